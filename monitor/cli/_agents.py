"""`monitor agent invite`, `list` and `revoke`: who may send results to this centre."""

import os
import secrets
from concurrent.futures import Future
from datetime import datetime, timedelta
from functools import partial
from hashlib import sha256
from pathlib import Path

import click
import msgspec
from rich.table import Table

from monitor.cli._options import config_option
from monitor.cli._reading import stored
from monitor.cli._rendering import console, instant
from monitor.cli._writing import write_beside
from monitor.config.load import load
from monitor.config.quantities import seconds_of
from monitor.config.schema import AgentOptions, Configuration
from monitor.daemon.ingest_keys import folder_of, listener_files, signing_key
from monitor.model.agent import Agent, Token
from monitor.model.invitation import Invitation
from monitor.network.clock import SystemClock
from monitor.network.message_signatures import fingerprint
from monitor.store import fleet_reader
from monitor.store.store import Store

_SHORTEST, _LONGEST = timedelta(minutes=1), timedelta(days=30)
_OPERATOR = "operator"  # who revoked an agent


@click.command()
@click.argument("vantage")
@config_option
@click.option("--valid", default="24h", show_default=True, metavar="TIME", help="How long it can be taken up.")
@click.pass_context
def invite(ctx: click.Context, vantage: str, config_path: Path, valid: str) -> None:
    """Print an invitation for one agent at VANTAGE, which `monitor agent enroll` takes.

    It is good once. Whoever enrols with it takes the place of the agent that VANTAGE had.
    """
    config = load(config_path, os.environ, only_to_read=True)
    written = config.vantages.get(vantage)
    if not isinstance(written, AgentOptions) or not written.is_pushing or config.ingest is None:
        raise click.UsageError(f"{vantage!r} is no vantage of {config_path} with kind: agent and without url")
    try:
        length = timedelta(seconds=seconds_of(valid))
    except ValueError as error:
        raise click.UsageError(f"--valid: {error}") from error
    if not _SHORTEST <= length <= _LONGEST:
        raise click.UsageError("--valid: from a minute to 30 days")
    now, secret = SystemClock().now(), secrets.token_urlsafe(24)
    token = Token(
        id=secrets.token_hex(6),
        digest=sha256(secret.encode()).digest(),
        vantage=vantage,
        created_at=now,
        expires_at=now + length,
    )
    try:
        key = signing_key(folder_of(config, config.ingest))
        files = listener_files(config, config.ingest, now)
    except (OSError, ValueError) as error:
        click.echo(f"The keys of the centre cannot be used: {error}", err=True)
        ctx.exit(2)
    write_beside(config, lambda store: store.invite(token))
    click.echo(
        Invitation(
            url=config.ingest.urls[0],
            token_id=token.id,
            secret=secret,
            key_fingerprint=fingerprint(key.public_key()),
            certificate_fingerprint=files.fingerprint if files else None,
        )
    )
    click.echo(f"For {vantage}, until {instant(token.expires_at)}. Whoever has this line can enrol once.", err=True)


@click.command("list")
@config_option
@click.option("--all", "is_all", is_flag=True, help="Those that are revoked, too.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line.")
def list_(*, config_path: Path, is_all: bool, as_json: bool) -> None:
    """Show the agents that push: when each was heard last, what waits at it, and what was lost."""
    now = SystemClock().now()
    with stored(config_path) as (config, reader):
        found = [one for one in fleet_reader.agents(reader.ask) if is_all or one.revoked_at is None]
        invited = fleet_reader.open_tokens(reader.ask, now)
    if as_json:
        for one in found:
            click.echo(msgspec.json.encode(one))
        return
    table = Table("vantage", "agent", "state", "heard", "software", "waiting", "dropped", box=None, pad_edge=False)
    for one in found:
        heard = instant(one.last_seen_at) if one.last_seen_at else "never"
        counts = (str(one.spool_rows), str(one.dropped_count))
        table.add_row(one.vantage, one.id, _state(one, config), heard, one.software, *counts)
    if found:
        console().print(table)
    else:
        click.echo("No agent is enrolled.")
    for vantage, until in sorted(invited.items()):
        click.echo(f"{vantage}: an invitation is open until {instant(until)}")


@click.command()
@click.argument("agent")
@config_option
@click.pass_context
def revoke(ctx: click.Context, agent: str, config_path: Path) -> None:
    """Hear AGENT no more, named by its id or its vantage; at once, and for good. What it sent stays."""
    now = SystemClock().now()
    with stored(config_path) as (config, reader):
        known = [one for one in fleet_reader.agents(reader.ask) if one.revoked_at is None]
    found = [one for one in known if agent in {one.id, one.vantage}]
    if not found:
        click.echo(f"No agent {agent!r} is enrolled.", err=True)
        ctx.exit(2)
    for one in found:
        write_beside(config, partial(_revoke, agent_id=one.id, at=now))
        click.echo(f"{one.id} at {one.vantage} is heard no more.")


def _revoke(store: Store, agent_id: str, at: datetime) -> Future[bool]:
    return store.revoke(agent_id, at, _OPERATOR)


def _state(one: Agent, config: Configuration) -> str:
    if one.revoked_at is not None:
        return f"revoked ({one.revoked_why})"
    written = config.vantages.get(one.vantage)
    if not isinstance(written, AgentOptions) or not written.is_pushing:
        return "not configured"
    return one.quiet or "active"
