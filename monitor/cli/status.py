"""`monitor status`: how every target stands, now or at an earlier time."""

from datetime import datetime
from pathlib import Path

import click
import msgspec
from rich.text import Text

from monitor.cli._options import config_option
from monitor.cli._reading import stored
from monitor.cli._rendering import STYLES, console, instant, network_words
from monitor.cli._sheet import Sheet
from monitor.cli._times import INSTANT
from monitor.config.plan import plan
from monitor.daemon.platforms import platform_verdicts
from monitor.model.target import AD_HOC
from monitor.model.vantage import Role
from monitor.model.verdict import GRAVITY
from monitor.network.clock import SystemClock


@click.command()
@config_option
@click.option("--at", type=INSTANT, help="As it was then; now by default.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line.")
def command(config_path: Path, at: datetime | None, *, as_json: bool) -> None:
    """Show how each platform and each target stands, since when, and why.

    With --json the objects of platforms as a whole come first, and their "target" is null.
    """
    with stored(config_path) as (config, reader):
        # What was measured once for somebody's asking is no series.
        states = [state for state in reader.latest(at) if state.target != AD_HOC]
    latest = {(state.target, state.vantage): state for state in states}
    platforms = platform_verdicts(config, plan(config), latest, at or SystemClock().now())
    if as_json:
        wholes = ({"target": None, **msgspec.to_builtins(one)} for one in platforms)
        for one in (*wholes, *states):
            click.echo(msgspec.json.encode(one))
        return
    if not states:
        click.echo("Nothing was measured by then." if at else "Nothing has been measured yet.")
        return
    to = console()
    summary = Sheet("platform", "country", "status", "since", "in words", prose=["in words"])
    for verdict in sorted(platforms, key=lambda one: GRAVITY.index(one.status)):
        scope = ", in part" if verdict.is_partial else ""
        summary.add(
            verdict.name,
            verdict.country,
            Text(f"{verdict.status}{scope}", STYLES[verdict.status]),
            instant(verdict.since) if verdict.since else "",
            Text(verdict.summary),
        )
    summary.print()
    to.print()
    table = Sheet("target", "vantage", "status", "since", "measured", "why", prose=["why"])
    for state in sorted(states, key=lambda state: GRAVITY.index(state.status)):
        words = [state.status.value, f"({state.confidence})" if state.confidence else "", *state.mechanisms]
        country = config.vantages[state.vantage].country if state.vantage in config.vantages else None
        table.add(
            state.target,
            f"{state.vantage} ({network_words(state.network, country)}){', imported' if state.is_imported else ''}",
            Text(" ".join(word for word in words if word), STYLES[state.status]),
            instant(state.since),
            instant(state.measured_at),
            state.because,
        )
    table.print()
    if not any(written.role is Role.CONTROL for written in config.vantages.values()):
        to.print(
            "No control vantage is configured: a block by address cannot be told from an outage of the platform.",
            style="italic",
        )
