"""`monitor incidents`: where platforms are or were not accessible, since when, and on which networks."""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import click
import msgspec
from rich.text import Text

from monitor.cli._options import CountryCode, config_option
from monitor.cli._reading import refuse_unknown, stored
from monitor.cli._rendering import STYLES, instant
from monitor.cli._sheet import Sheet
from monitor.cli._times import INSTANT
from monitor.store.incident_detail import IncidentDetail, Interval, details


@click.command()
@config_option
@click.option("--platform", metavar="ID", help="Only of this platform.")
@click.option("--country", type=CountryCode(unknown=True), help="Only in this country; or `unknown`.")
@click.option("--open", "is_open", is_flag=True, help="Only those that have not ended.")
@click.option("--since", type=INSTANT, help="Open at some time from then on.")
@click.option("--until", type=INSTANT, help="Open at some time before then.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, show_default=True, help="At most so many.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line.")
def command(
    *,
    config_path: Path,
    platform: str | None,
    country: str | None,
    is_open: bool,
    since: datetime | None,
    until: datetime | None,
    limit: int,
    as_json: bool,
) -> None:
    """Show incidents, newest first: status, networks, when they began and ended, and how."""
    with stored(config_path) as (config, reader):
        if platform is not None:
            refuse_unknown(config, reader, "platform", [platform])
        found = reader.incidents(platform=platform, country=country, since=since, until=until)
        incidents = details(reader, [one for one in found if one.closed_at is None or not is_open][:limit])
    if as_json:
        for one in incidents:
            click.echo(msgspec.json.encode(one))
        return
    if not incidents:
        click.echo("No incident is stored that fits.")
        return
    sheet = Sheet("incident", "status", "where", "began", "ended", "how")
    for one in incidents:
        sheet.add(
            one.id,
            Text("\n".join([one.status.value, one.extent, *_unconfirmed(one)]), STYLES[one.status]),
            "\n".join(_networks(one)),
            _began(one),
            _ended(one),
            " ".join(one.mechanisms),
        )
    sheet.print()


def _networks(incident: IncidentDetail) -> Sequence[str]:
    return [
        f"{one.name or 'network unknown'}{f' (AS{one.asn})' if one.asn else ''}{', ended' if one.ended_at else ''}"
        for one in incident.networks
    ] or sorted({member.vantage for member in incident.all_members})


def _unconfirmed(incident: IncidentDetail) -> Sequence[str]:
    return [
        f"{one.member.target} from {one.member.vantage} reachable again since {instant(one.since)}, not confirmed"
        for one in incident.returning
    ]


def _began(incident: IncidentDetail) -> str:
    lines = [_between(incident.start)] if incident.start else [f"by {instant(incident.started_before)}"]
    if incident.started_after is None:
        lines.append("began before the first measurement")
    if daily := incident.periodic:
        end = f" to {daily.end_from}-{daily.end_to}" if daily.end_from else ""
        lines.append(f"daily: from {daily.start_from}-{daily.start_to}{end} UTC on {daily.days} days")
    return "\n".join(lines)


def _ended(incident: IncidentDetail) -> str:
    if incident.closed_at is None:
        return "open"
    return _between(incident.end) if incident.end else f"by {instant(incident.closed_at)}"


def _between(interval: Interval) -> str:
    if interval.earliest is None:
        return f"before {instant(interval.latest)}"
    return f"{instant(interval.earliest)} to\n{instant(interval.latest)}"
