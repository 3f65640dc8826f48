"""`monitor alerts`: send a test, see what was sent, withdraw what should not have been said."""

import asyncio
import os
from pathlib import Path

import click
import msgspec
from rich.table import Table
from rich.text import Text

from monitor.alerts import channels
from monitor.alerts.channel import Answer
from monitor.alerts.office import message_of
from monitor.cli._options import config_option
from monitor.cli._reading import stored
from monitor.cli._rendering import console, instant
from monitor.config.load import load
from monitor.config.schema import Configuration
from monitor.detect.policy import severity_of
from monitor.model.alert import Alert, AlertKind, DeliveryState, Notice, Planned, Result
from monitor.model.outcome import IncidentUpdate, UpdateKind
from monitor.model.seams import Clock
from monitor.network.clock import SystemClock
from monitor.store import outbox_reader
from monitor.store.connection import StoreError
from monitor.store.store import Store

_STYLES = {
    DeliveryState.DELIVERED: "green",
    DeliveryState.PENDING: "yellow",
    DeliveryState.DEAD: "red",
}


@click.group()
def command() -> None:
    """Send a test, see what was sent and what waits, withdraw what should not have been said."""


@command.command()
@click.argument("channel")
@config_option
@click.pass_context
def test(ctx: click.Context, channel: str, config_path: Path) -> None:
    """Send one message through CHANNEL now, and say what the other side answered; nothing is stored.

    Exit status: 0 delivered, 1 not delivered, 2 a mistake in command or configuration.
    """
    config = load(config_path, os.environ)
    if channel not in config.alerts.channels:
        known = ", ".join(config.alerts.channels) or "none"
        raise click.UsageError(f"unknown channel {channel!r}; known: {known}")
    answer = asyncio.run(_test(config, channel, SystemClock()))
    click.echo(f"{channel}: {answer.result.value}, {answer.detail}")
    ctx.exit(0 if answer.result is Result.DELIVERED else 1)


async def _test(config: Configuration, name: str, clock: Clock) -> Answer:
    written, now = config.alerts.channels[name], clock.now()
    alert = Alert(
        subject="test",
        kind=AlertKind.TEST,
        sequence=int(now.timestamp()),
        at=now,
        severity=severity_of(AlertKind.TEST, None),
    )
    language = next((one.language for one in config.alerts.routes.values() if name in one.channels), "en")
    planned = Planned(channel=name, route="test", due_at=now, language=language)
    message = message_of(alert, planned, config.alerts, now)
    channel = channels.build(written)
    try:
        async with asyncio.timeout(written.timeout):
            return await channel.send(message)
    except TimeoutError:
        return Answer(result=Result.FAILED, detail="no answer within the time")
    finally:
        await channel.close()


@command.command("list")
@config_option
@click.option("--incident", metavar="ID", help="Only about this incident.")
@click.option("--channel", metavar="ID", help="Only with a message for this channel.")
@click.option("--state", type=click.Choice([one.value for one in DeliveryState]), help="Only with a message in it.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, show_default=True, help="At most so many alerts.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line.")
def list_(
    *, config_path: Path, incident: str | None, channel: str | None, state: str | None, limit: int, as_json: bool
) -> None:
    """Show alerts, newest first, with the messages that they meant and every attempt to send them."""
    with stored(config_path) as (_, reader):
        found = outbox_reader.records(reader.ask, limit=limit, incident=incident, channel=channel, state=state)
    if as_json:
        for one in found:
            click.echo(msgspec.json.encode(one))
        return
    if not found:
        click.echo("No alert is stored that fits.")
        return
    table = Table("at", "about", "alert", "channel", "state", "attempts", "last answer", box=None, pad_edge=False)
    for one in found:
        what = f"{one.alert.kind.value} {one.alert.sequence}"
        if not one.deliveries:
            table.add_row(instant(one.alert.at), one.alert.subject, what, "", "no route wanted it", "", "")
        for sent in one.deliveries:
            state_text = Text(sent.state.value, _STYLES.get(sent.state, ""))
            row = (instant(one.alert.at), one.alert.subject, what, sent.channel, state_text, str(len(sent.attempts)))
            table.add_row(*row, sent.last_outcome or "")
    console().print(table)


@command.command()
@click.argument("incident")
@config_option
@click.option("--why", required=True, help="The reason, as readers will see it.")
@click.pass_context
def retract(ctx: click.Context, incident: str, config_path: Path, why: str) -> None:
    """Withdraw what was told of INCIDENT: everyone who was told gets a correction.

    The record stays as it is. A running daemon sends the correction at once, otherwise the next one does.
    """
    config, clock = load(config_path, os.environ, only_to_read=True), SystemClock()
    with stored(config_path) as (_, reader):
        found = next((one for one in reader.incidents() if one.id == incident), None)
        if found is None:
            click.echo(f"No incident {incident!r} is stored.", err=True)
            ctx.exit(2)
        told = outbox_reader.channels_told(reader.ask, incident)
        before = outbox_reader.latest_of(reader.ask, [AlertKind.RETRACTION]).get(incident)
    if not told:
        click.echo(f"Nobody was told of {incident}.", err=True)
        ctx.exit(1)
    now = clock.now()
    platform = config.platforms.get(found.platform)
    alert = Alert(
        subject=incident,
        kind=AlertKind.RETRACTION,
        sequence=1 if before is None else before.sequence + 1,
        at=now,
        severity=severity_of(AlertKind.RETRACTION, found.status),
        platform=found.platform,
        platform_name=platform.name if platform else None,
        country=found.country,
        status=found.status,
        vantages=tuple(sorted({one.vantage for one in found.all_members})),
        incident=found,
        update=IncidentUpdate(incident=incident, sequence=found.sequence, kind=UpdateKind.END, at=now),
        why=why,
    )
    planned = tuple(
        Planned(channel=one.channel, route=one.route, due_at=now, language=one.language, form=one.form) for one in told
    )
    try:
        store = Store.open(config.storage.path, clock, spool_rows=config.storage.spool_rows)
    except StoreError as error:
        click.echo(str(error), err=True)
        ctx.exit(2)
    try:
        is_written = store.post([Notice(alert=alert, planned=planned)]).result(30)
    finally:
        store.close()
    if not is_written:
        click.echo("The database cannot be written; nothing was withdrawn.", err=True)
        ctx.exit(2)
    click.echo(f"Correction {alert.sequence} of {incident} goes to {', '.join(one.channel for one in told)}.")
