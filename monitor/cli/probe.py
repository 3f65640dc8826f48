"""`monitor probe`: one measurement now, layer by layer."""

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path

import click
import msgspec

from monitor.cli._consent import seek_consent
from monitor.cli._options import accept_risks_option, config_option
from monitor.cli._rendering import console, print_outcome
from monitor.config.load import load
from monitor.config.schema import Configuration
from monitor.daemon.one_off import measure_once, target_named
from monitor.model.outcome import Outcome
from monitor.model.vantage import Role
from monitor.model.verdict import Status
from monitor.network.clock import SystemClock
from monitor.store.connection import StoreError


@click.command()
@click.argument("url_or_target")
@config_option
@click.option(
    "--vantage", "vantages", multiple=True, metavar="ID", help="Measure from here; all test vantages if none."
)
@click.option("--deep", is_flag=True, help="Run the follow-ups that isolate a cause, whatever is seen.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object for each vantage.")
@accept_risks_option
@click.pass_context
def command(
    ctx: click.Context,
    url_or_target: str,
    config_path: Path,
    vantages: Sequence[str],
    *,
    deep: bool,
    as_json: bool,
    accept_risks: bool,
) -> None:
    """Measure URL_OR_TARGET now, layer by layer.

    Says what was seen from each vantage and what it means. The measurements are stored.

    Exit status: 0 accessible from all, 1 any other verdict, 2 a mistake in command or configuration, 3 nothing worse
    than inconclusive.
    """
    config = load(config_path, os.environ)
    unknown = [name for name in vantages if name not in config.vantages]
    if unknown:
        raise click.UsageError(f"unknown vantage {unknown[0]!r}; known: {', '.join(config.vantages)}")
    asked = vantages or [name for name, one in config.vantages.items() if one.role is not Role.CONTROL]
    pushing = [name for name in asked if name in config.pushing]
    if pushing and (vantages or len(pushing) == len(asked)):
        raise click.UsageError(f"{pushing[0]} measures by itself and cannot be asked")
    target = target_named(config, url_or_target)
    if target is None:
        raise click.UsageError(f"{url_or_target!r} is neither a configured target nor an http:// or https:// URL")
    clock = SystemClock()
    if not seek_consent(config.storage.path.parent, clock.now(), accept_risks=accept_risks):
        click.echo("Nothing was measured.", err=True)
        ctx.exit(2)
    try:
        outcomes, controls = asyncio.run(measure_once(config, target, tuple(vantages), os.environ, clock, deep=deep))
    except (StoreError, OSError, ValueError) as error:
        click.echo(str(error), err=True)
        ctx.exit(2)
    if as_json:
        for outcome in outcomes:
            click.echo(msgspec.json.encode(as_contract(outcome, controls)))
    else:
        _tell(config, outcomes)
    ctx.exit(exit_status(outcomes))


def as_contract(outcome: Outcome, controls: Sequence[Outcome]) -> dict[str, object]:
    """Return the JSON form that design contracts promise: observations, control and verdict of one vantage."""
    measurement = outcome.recording.measurement
    control = next(
        (one.recording.measurement for one in controls if one.recording.measurement.id in outcome.control_ids), None
    )
    return {
        "id": measurement.id,
        "target": measurement.target,
        "url": measurement.url,
        "vantage": measurement.vantage,
        "started_at": measurement.started_at,
        "elapsed_seconds": measurement.elapsed_seconds,
        "is_deep": measurement.is_deep,
        "network": measurement.network,
        "context": measurement.context,
        "vantage_state": {"before": outcome.state_before, "after": outcome.state_after},
        "observations": measurement.observations,
        "control": control,
        "verdict": outcome.verdict,
    }


def exit_status(outcomes: Sequence[Outcome]) -> int:
    """Return 0 if the target is accessible from all, 3 if nothing worse than inconclusive was found, else 1."""
    statuses = {outcome.verdict.status for outcome in outcomes if outcome.verdict}
    if statuses == {Status.ACCESSIBLE}:
        return 0
    return 3 if statuses <= {Status.ACCESSIBLE, Status.INCONCLUSIVE} else 1


def _tell(config: Configuration, outcomes: Sequence[Outcome]) -> None:
    to = console()
    for outcome in outcomes:
        name = outcome.recording.measurement.vantage
        print_outcome(to, outcome, name, config.vantages[name].country)
    if not any(written.role == "control" for written in config.vantages.values()):
        to.print()
        to.print(
            "No control vantage is configured: a block by address cannot be told from an outage of the platform.",
            style="italic",
        )
