"""`monitor export`: what is stored, for other programs."""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import click
import msgspec

from monitor.cli._options import config_option
from monitor.cli._reading import stored
from monitor.cli._times import INSTANT


@click.command()
@config_option
@click.option("--format", "form", type=click.Choice(["jsonl"]), default="jsonl", show_default=True, help="The form.")
@click.option("--since", type=INSTANT, help="From then on.")
@click.option("--until", type=INSTANT, help="Before then.")
@click.option("--target", "targets", multiple=True, metavar="NAME", help="Only this target; may be repeated.")
@click.option("--vantage", "vantages", multiple=True, metavar="ID", help="Only this vantage; may be repeated.")
def command(
    *,
    config_path: Path,
    form: str,  # noqa: ARG001 - one form so far
    since: datetime | None,
    until: datetime | None,
    targets: Sequence[str],
    vantages: Sequence[str],
) -> None:
    """Write what is stored as JSON lines, oldest first.

    Each line is one measurement with observations, context, digest and every verdict.
    """
    with stored(config_path) as (_, reader):
        for row in reader.export(since=since, until=until, targets=targets, vantages=vantages):
            click.echo(msgspec.json.encode(row))
