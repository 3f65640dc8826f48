"""`monitor check`: whether the configuration is sound, and what it will cost."""

import os
from pathlib import Path

import click
import msgspec

from monitor.cli._options import config_option
from monitor.config.assignment import targets_of
from monitor.config.demand import DEEP_STEPS, Demand, demands
from monitor.config.digest import digest
from monitor.config.fingerprints import fingerprints_of
from monitor.config.load import load
from monitor.config.problem import ConfigError
from monitor.config.schema import CONTROL_SITES_PLATFORM
from monitor.config.traffic import stretch_factor, traffic
from monitor.events.load import load_events
from monitor.model.vantage import Role
from monitor.network.clock import SystemClock


class _Summary(msgspec.Struct, frozen=True, kw_only=True):
    file: str
    platforms: int
    targets: int
    control_sites: int
    vantages: int
    control_vantages: int
    mb_per_day: float
    mb_per_month: float
    monthly_mb: float | None
    stretch_factor: float
    services: tuple[Demand, ...]
    fingerprints: int
    events: int
    digest: str


@click.command()
@config_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object: the summary, or every problem.")
@click.pass_context
def command(ctx: click.Context, config_path: Path, *, as_json: bool) -> None:
    """Validate the configuration and its events, and say how much traffic it means.

    Every mistake is printed as `file:line: key.path: message`; then the exit status is 2.
    """
    try:
        summary = _summary(config_path)
    except ConfigError as error:
        if not as_json:
            raise
        click.echo(msgspec.json.encode({"problems": error.problems}))
        ctx.exit(2)
    if as_json:
        click.echo(msgspec.json.encode(summary))
    else:
        _tell(summary)


def _summary(path: Path) -> _Summary:
    config = load(path, os.environ)
    fingerprints = fingerprints_of(config.fingerprints)
    factor = stretch_factor(config)
    expected = traffic(config, factor)
    platforms = [target.platform for target, _ in targets_of(config)]
    return _Summary(
        file=str(path),
        platforms=len(config.platforms),
        targets=len(platforms) - platforms.count(CONTROL_SITES_PLATFORM),
        control_sites=platforms.count(CONTROL_SITES_PLATFORM),
        vantages=len(config.vantages),
        control_vantages=sum(vantage.role is Role.CONTROL for vantage in config.vantages.values()),
        mb_per_day=round(expected.mb_per_day, 1),
        mb_per_month=round(expected.mb_per_month, 1),
        monthly_mb=config.data.monthly_mb,
        stretch_factor=round(factor, 3),
        services=tuple(demands(config, factor)),
        fingerprints=len(fingerprints.rows),
        events=len(load_events(config.events, config.platforms, SystemClock().now()).events),
        digest=digest(config, fingerprints),
    )


def _tell(summary: _Summary) -> None:
    click.echo(f"{summary.file} is sound (digest {summary.digest[:12]}).")
    click.echo(
        f"Platforms {summary.platforms}, targets {summary.targets}, control sites {summary.control_sites}; "
        f"vantages {summary.vantages}, of them controls {summary.control_vantages}; "
        f"fingerprints of block pages {summary.fingerprints}, regulatory events {summary.events}."
    )
    click.echo(f"Expected traffic: {summary.mb_per_day:g} MB per day, {summary.mb_per_month:g} MB per month (30 days).")
    if summary.stretch_factor > 1:
        click.echo(
            f"Every interval is {summary.stretch_factor:g} times as long as written, "
            f"so that data.monthly_mb: {summary.monthly_mb:g} holds."
        )
    for one in summary.services:
        click.echo(
            f"{one.vantage} asks for {one.needed} of {one.allowed} {one.unit} {one.within} in routine rounds; "
            f"a deep run takes about {DEEP_STEPS * one.step_units}."
        )
        if one.needed + DEEP_STEPS * one.step_units > one.allowed:
            click.echo(f"That leaves no room for a deep run of {one.vantage}: what it finds cannot be explained.")
    if not summary.control_vantages:
        click.echo("Without a control vantage an address block cannot be told from an outage of the platform.")
