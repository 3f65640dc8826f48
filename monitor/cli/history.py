"""`monitor history`: the measurements of one target."""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from urllib.parse import urlsplit

import click
import msgspec
from rich.text import Text

from monitor.cli._options import config_option
from monitor.cli._reading import refuse_unknown, stored
from monitor.cli._rendering import STYLES, console, instant
from monitor.cli._sheet import Sheet
from monitor.cli._times import INSTANT
from monitor.config.plan import plan
from monitor.config.schema import Configuration
from monitor.model.aggregation import OoniCount
from monitor.store.reader import HistoryRow


@click.command()
@click.argument("target")
@config_option
@click.option("--vantage", metavar="ID", help="Only from here.")
@click.option("--since", type=INSTANT, help="From then on.")
@click.option("--until", type=INSTANT, help="Before then.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, show_default=True, help="At most so many.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line.")
def command(
    *,
    target: str,
    config_path: Path,
    vantage: str | None,
    since: datetime | None,
    until: datetime | None,
    limit: int,
    as_json: bool,
) -> None:
    """Show measurements of TARGET and verdicts, newest first."""
    with stored(config_path) as (config, reader):
        if vantage is not None:
            refuse_unknown(config, reader, "vantage", [vantage])
        rows = reader.history(target, vantage, since=since, until=until, limit=limit)
        counts = reader.ooni_counts(_host_of(config, target), since=since, until=until, limit=limit)
        if not rows and not counts:
            refuse_unknown(config, reader, "target", [target])
    if as_json:
        for row in rows:
            click.echo(msgspec.json.encode(row))
        return
    if not rows:
        click.echo(f"No measurement of {target} is stored for that time.")
    else:
        _print_measurements(rows)
    if counts:
        _print_counts(counts)


def _host_of(config: Configuration, target: str) -> str:
    """Return the host that a target is at; a name that is not configured may be the host itself (imported history)."""
    found = next((one.target.url for one in plan(config).assignments if one.target.name == target), None)
    return (urlsplit(found).hostname or "") if found else target


def _print_counts(counts: Sequence[OoniCount]) -> None:
    to = console()
    to.print()
    to.print("OONI's own counts (imported; not verdicts of this program)", style="italic")
    sheet = Sheet("day", "country", "AS", "measurements", "ok", "anomaly", "confirmed", "failure")
    for one in counts:
        numbers = (one.measurements, one.ok, one.anomaly, one.confirmed, one.failure)
        sheet.add(f"{one.day:%Y-%m-%d}", one.country, str(one.asn or "-"), *map(str, numbers))
    sheet.print()


def _print_measurements(rows: Sequence[HistoryRow]) -> None:
    sheet = Sheet("started", "vantage", "AS", "status", "rule", "measurement")
    for row in rows:
        words = [row.status.value if row.status else "not judged", row.confidence or "", *row.mechanisms]
        words.append(row.reason or "")
        if row.imported is not None:
            words.append(f"[imported from {row.imported.source}]")
        sheet.add(
            instant(row.started_at),
            row.vantage,
            str(row.network.asn or "-"),
            Text(" ".join(word for word in words if word), STYLES[row.status] if row.status else ""),
            row.rule or "-",
            f"{row.id}{' deep' if row.is_deep else ''}",
        )
    sheet.print()
