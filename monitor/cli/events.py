"""`monitor events`: regulatory events that stand beside the measurements."""

import ipaddress
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

import click
import httpx
import msgspec

from monitor.cli._event_file import completed, document, written_whole
from monitor.cli._event_sheet import sheet
from monitor.cli._events import calendar_of, chosen, configuration, filter_options
from monitor.cli._options import config_option
from monitor.cli._secret_file import token_in
from monitor.cli._sheet import Sheet
from monitor.config.problem import ConfigError
from monitor.config.schema import Configuration
from monitor.daemon.store_events import tell
from monitor.events.annotation import Calendar
from monitor.events.deadlines import deadlines
from monitor.events.formats.atom import atom
from monitor.events.formats.icalendar import icalendar
from monitor.events.formats.table import table
from monitor.events.grafana import Grafana, GrafanaError, plan, wanted
from monitor.events.record import EventStatus, Kind, Phase, RegulatoryEvent, SourceKind
from monitor.events.selection import when
from monitor.exporter.event_history import event_history
from monitor.network.clock import SystemClock
from monitor.store.connection import StoreError
from monitor.store.store import Store

_Write = Callable[[Iterable[RegulatoryEvent], Mapping[str, RegulatoryEvent]], Iterator[str]]
_TEXT_FORMATS: Mapping[str, _Write] = {"csv": table, "ics": icalendar, "atom": atom}
_SYNC_SECONDS = 30.0


@click.group()
def command() -> None:
    """Regulatory events: orders, rules, court decisions, deadlines, denials, with their sources."""


@command.command("list")
@config_option
@filter_options
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line.")
def list_command(*, config_path: Path, as_json: bool, **filters: Any) -> None:
    """List events in the order of time, in UTC and in the time of the place."""
    calendar = calendar_of(configuration(config_path))
    found = chosen(calendar, **filters)
    if as_json:
        for event in found:
            click.echo(msgspec.json.encode(event))
        return
    if not found:
        click.echo("No event fits.")
        return
    labels = ("from (UTC)", "from (there)", "until (UTC)", "kind", "where", "platforms", "event", "title")
    rows = Sheet(*labels, prose=["title"])
    for event in found:
        rows.add(*_row(event, calendar))
    rows.print()


@command.command("show")
@click.argument("event_id", metavar="EVENT")
@config_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_context
def show_command(ctx: click.Context, event_id: str, *, config_path: Path, as_json: bool) -> None:
    """Show everything about one EVENT: dates by phase, claims, causes, deadlines, sources."""
    calendar = calendar_of(configuration(config_path))
    event = calendar.events.get(event_id)
    if event is None:
        click.echo(f"There is no event {event_id!r}; `monitor events list` names them.", err=True)
        ctx.exit(2)
    if as_json:
        click.echo(msgspec.json.encode(event))
        return
    due = [one for one in deadlines(calendar.events, SystemClock().now()) if one.event == event.id]
    for line in sheet(event, due):
        click.echo(line)


@command.command("check")
@click.argument("files", nargs=-1, metavar="[FILE]...", type=click.Path(path_type=Path))
@config_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object: how many events, or every problem.")
@click.pass_context
def check_command(ctx: click.Context, files: Sequence[Path], *, config_path: Path, as_json: bool) -> None:
    """Validate the events that the configuration names, and each FILE (or folder) besides.

    Every mistake is printed as `file:line: key.path: message`; then the exit status is 2. Oddities are warnings.
    """
    try:
        calendar = calendar_of(configuration(config_path), *files)
    except ConfigError as error:
        if not as_json:
            raise
        click.echo(msgspec.json.encode({"problems": error.problems}))
        ctx.exit(2)
    if as_json:
        click.echo(msgspec.json.encode({"events": len(calendar.events), "warnings": calendar.warnings}))
        return
    for warning in calendar.warnings:
        click.echo(f"{warning} (warning)", err=True)
    click.echo(f"{len(calendar.events)} events are sound.")


@command.command("add")
@config_option
@click.option("--folder", type=click.Path(path_type=Path, file_okay=False), help="Where the file goes; by default "
              "the first folder of events.files, or `events` beside the configuration.")  # fmt: skip
@click.option("--id", "id", metavar="ID", help="Id, and the name of the file.")
@click.option("--kind", type=click.Choice([one.value for one in Kind]), metavar="KIND", help="What was done.")
@click.option("--title", help="In English.")
@click.option("--summary", help="A few sentences, in English.")
@click.option(
    "--status", type=click.Choice([one.value for one in EventStatus]), metavar="STATUS", help="How the matter stands."
)
@click.option("--country", "countries", multiple=True, metavar="CC", help="May be repeated.")
@click.option("--platform", "platforms", multiple=True, metavar="ID", help="May be repeated.")
@click.option("--authority", "authorities", multiple=True, metavar="NAME=ROLE", help="May be repeated.")
@click.option("--phase", type=click.Choice([one.value for one in Phase]), metavar="PHASE", help="What is dated.")
@click.option("--on", metavar="WHEN", help="2026, 2026-11, 2026-11-27 or 2026-11-27T22:00, in the zone.")
@click.option("--date", "dates", multiple=True, metavar="PHASE=WHEN", help="A further date; may be repeated.")
@click.option("--tz", metavar="ZONE", help="Zone of the dates, such as Asia/Karachi.")
@click.option("--publisher", help="Of the source.")
@click.option(
    "--source-kind", type=click.Choice([one.value for one in SourceKind]), metavar="KIND", help="What the publisher is."
)
@click.option("--source-title", help="Of the page or paper.")
@click.option("--url", help="Of the source.")
@click.option("--tag", "tags", multiple=True, help="May be repeated.")
@click.pass_context
def add_command(ctx: click.Context, /, *, config_path: Path, folder: Path | None, **given: Any) -> None:
    """Write an event file of your own; what is not given is asked for at a terminal.

    The file is validated before it is there, and one that exists is left as it is.
    """
    config = configuration(config_path)
    folder = folder or _folder_of(config, config_path)
    answers = completed(given)
    try:
        path = written_whole(folder, answers["id"], document(answers), lambda fresh: calendar_of(config, fresh))
    except OSError as error:
        click.echo(f"{folder}: {error.strerror}; nothing was written.", err=True)
        ctx.exit(2)
    click.echo(f"{path} is written.")
    if config is None or not any(one in {path.parent, path} for one in config.events.files):
        click.echo(f"To have it used, name {folder} under events.files in {config_path}.")
        return
    _store(config, calendar_of(config))
    click.echo("A running daemon shows it after a reload.")


@command.command("export")
@config_option
@filter_options
@click.option("--format", "form", type=click.Choice(["json", *_TEXT_FORMATS, "openmetrics"]), default="json",
              show_default=True, help="The form.")  # fmt: skip
def export_command(*, config_path: Path, form: str, **filters: Any) -> None:
    """Write events for other programs.

    openmetrics is for `promtool tsdb create-blocks-from openmetrics`.
    """
    calendar = calendar_of(configuration(config_path))
    found = chosen(calendar, **filters)
    if form == "json":
        content = msgspec.json.Encoder(order="sorted").encode({"events": found})
        click.echo(msgspec.json.format(content, indent=2))
        return
    if form == "openmetrics":
        parts = event_history(found, calendar.events, SystemClock().now())
    else:
        parts = _TEXT_FORMATS[form](found, calendar.events)
    for part in parts:
        sys.stdout.buffer.write(part.encode())


@command.command("push-grafana")
@config_option
@filter_options
@click.option("--url", required=True, help="Of the Grafana server.")
@click.option("--token-file", required=True, type=click.Path(path_type=Path, dir_okay=False, exists=True),
              help="A file with a service account token.")  # fmt: skip
@click.option("--insecure", is_flag=True, help="Allow plain HTTP to another host, where others can read the token.")
@click.option("--dry-run", is_flag=True, help="Say what would be done, and change nothing.")
@click.pass_context
def push_command(
    ctx: click.Context,
    /,
    *,
    config_path: Path,
    url: str,
    token_file: Path,
    insecure: bool,
    dry_run: bool,
    **filters: Any,
) -> None:
    """Keep the annotations of a Grafana server in step with the events that fit.

    Only annotations that this command made are changed or deleted; a second run changes nothing.
    """
    _refuse_exposed(url, insecure=insecure)
    calendar = calendar_of(configuration(config_path))
    names = {one.id for one in chosen(calendar, **filters)}
    clock = SystemClock()
    marks = [mark for mark in calendar.marks if mark.event in names]
    timeout = httpx.Timeout(_SYNC_SECONDS)
    with httpx.Client(base_url=url.rstrip("/"), timeout=timeout, follow_redirects=False) as client:
        server = Grafana(client, token_in(token_file), now=clock.now)
        try:
            steps = plan(server.annotations(), wanted(marks, clock.now()))
            if not dry_run:
                server.carry_out(steps)
        except GrafanaError as error:
            click.echo(f"Grafana: {error}.", err=True)
            ctx.exit(2)
    done = "would be " if dry_run else ""
    click.echo(
        f"{len(steps.create)} {done}created, {len(steps.update)} {done}updated, {len(steps.delete)} {done}deleted, "
        f"{steps.unchanged} unchanged."
    )


def _row(event: RegulatoryEvent, calendar: Calendar) -> tuple[str, ...]:
    stands = when(event, calendar.events)
    start = stands.span.start if stands and stands.span else None
    zone = ZoneInfo(start.tz) if start else ZoneInfo("UTC")
    return (
        f"{stands.earliest:%Y-%m-%d %H:%M}" if stands else "",
        f"{stands.earliest.astimezone(zone):%Y-%m-%d %H:%M}" if stands else "",
        f"{stands.latest:%Y-%m-%d %H:%M}" if stands and stands.latest else "open",
        event.kind,
        ",".join(event.countries),
        _few([one.id for one in event.platforms]),
        event.id,
        event.name,
    )


def _few(names: Sequence[str]) -> str:
    return ",".join(names[:3]) + (f" +{len(names) - 3}" if len(names) > 3 else "")


def _folder_of(config: Configuration | None, config_path: Path) -> Path:
    folders = [path for path in config.events.files if path.suffix != ".yaml"] if config is not None else []
    return folders[0] if folders else config_path.absolute().parent / "events"


def _store(config: Configuration, calendar: Calendar) -> None:
    """Bring the database up to date, if there is one; a daemon at work does so at its next reload."""
    if not config.storage.path.exists():
        return
    clock = SystemClock()
    try:
        store = Store.open(config.storage.path, clock, spool_rows=config.storage.spool_rows, on_event=tell)
    except StoreError as error:
        click.echo(f"The database was not brought up to date: {error}", err=True)
        return
    try:
        store.sync_events(calendar, clock.now())
    finally:
        store.close()


def _refuse_exposed(url: str, *, insecure: bool) -> None:
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        parts, host = urlsplit(""), ""
    if parts.scheme not in {"http", "https"} or not host or "@" in parts.netloc:
        raise click.UsageError("--url must be a web address such as https://grafana.example.org, without a password")
    is_loopback = host == "localhost"
    with suppress(ValueError):
        is_loopback = is_loopback or ipaddress.ip_address(host).is_loopback
    if parts.scheme == "http" and not is_loopback and not insecure:
        raise click.UsageError("plain http shows the token to others; use https, or --insecure on a line you trust")
