"""`monitor report`: what was measured of a platform, beside the events that concern it, to be read and quoted."""

import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import click
import msgspec

from monitor.cli._events import calendar_of
from monitor.cli._options import config_option
from monitor.cli._reading import stored
from monitor.cli._times import INSTANT
from monitor.config.schema import Configuration
from monitor.network.clock import SystemClock
from monitor.report.gather import ReportError, Subject, about_event, about_incident, about_platform, gathered
from monitor.report.page import as_page
from monitor.report.picture import alone
from monitor.report.record import Report
from monitor.report.table import as_csv, as_text

_FORMS: dict[str, Callable[[Report], str]] = {
    "html": as_page,
    "text": as_text,
    "json": lambda report: msgspec.json.format(msgspec.json.encode(report), indent=2).decode() + "\n",
    "csv": as_csv,
}


@click.command()
@click.argument("event", metavar="[EVENT]", required=False)
@config_option
@click.option("--platform", metavar="ID", help="About this platform.")
@click.option("--country", metavar="CODE", help="In this country, `unknown` included.")
@click.option("--incident", metavar="ID", help="About this incident.")
@click.option("--since", type=INSTANT, help="From then on; by default what EVENT or incident suggest, or 90 days.")
@click.option("--until", type=INSTANT, help="Before then.")
@click.option("--format", "form", type=click.Choice(list(_FORMS)), default="html", show_default=True, help="The form.")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="A file; by default, print.")
@click.option("--png", type=click.Path(dir_okay=False, path_type=Path), help="Write the picture there as well.")
@click.pass_context
def command(
    ctx: click.Context,
    /,
    *,
    event: str | None,
    config_path: Path,
    platform: str | None,
    country: str | None,
    incident: str | None,
    since: datetime | None,
    until: datetime | None,
    form: str,
    out: Path | None,
    png: Path | None,
) -> None:
    """Write a report about EVENT, a platform or an incident: when it began and ended, what lies next to it, the data.

    The page needs nothing else: no script and no network. Nothing in it says what caused a change.
    """
    if (event is None and platform is None and incident is None) or (incident is not None and (event or platform)):
        raise click.UsageError("name an EVENT, --platform or --incident")
    draw = _png() if png is not None else None
    if png is not None and draw is None:
        click.echo('--png needs the extra: pip install "access-monitor[report]"', err=True)
        ctx.exit(2)
    with stored(config_path) as (config, reader):
        calendar = calendar_of(config)
        now = SystemClock().now()
        try:
            if incident is not None:
                subject = about_incident(reader, incident, now)
            elif event is not None:
                subject = about_event(reader, calendar, event, platform, now)
            else:
                subject = about_platform(reader, platform or "", _code(country), now)
            report = gathered(reader, calendar, _narrowed(subject, config, country, since, until), now)
        except ReportError as error:
            click.echo(str(error), err=True)
            ctx.exit(2)
    content = _FORMS[form](report).encode()
    drawn = draw(alone(report)) if draw is not None else b""
    _write(out, content)
    if png is not None:
        _write(png, drawn)


def _code(country: str | None) -> str | None:
    return country.upper() if country and country != "unknown" else country


def _narrowed(
    subject: Subject, config: Configuration, country: str | None, since: datetime | None, until: datetime | None
) -> Subject:
    written = config.platforms.get(subject.platform)
    return Subject(
        platform=subject.platform,
        name=(written.name if written else None) or subject.platform,
        country=_code(country) or subject.country,
        since=since or subject.since,
        until=until or subject.until,
        words=subject.words,
        incident=subject.incident,
    )


def _png() -> Callable[[str], bytes] | None:
    try:
        from monitor.report.bitmap import as_png  # noqa: PLC0415 - an extra that need not be there
    except ImportError:
        return None
    return as_png


def _write(path: Path | None, content: bytes) -> None:
    if path is None:
        sys.stdout.buffer.write(content)
        return
    try:
        path.write_bytes(content)
    except OSError as error:
        raise click.FileError(str(path), error.strerror) from error
