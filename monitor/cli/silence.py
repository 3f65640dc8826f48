"""`monitor silence`: be told nothing about something for a time, with a name and a reason; measuring goes on."""

import getpass
import os
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from datetime import datetime, timedelta
from pathlib import Path

import click
import msgspec
from rich.table import Table
from rich.text import Text

from monitor.alerts.story import clean
from monitor.cli._options import config_option
from monitor.cli._reading import stored
from monitor.cli._rendering import console, instant
from monitor.cli._times import INSTANT
from monitor.cli._writing import write_beside
from monitor.config.load import load
from monitor.config.quantities import seconds_of
from monitor.model.alert import Mute
from monitor.network.clock import SystemClock
from monitor.store import outbox_reader
from monitor.store.store import Store

_LONGEST = timedelta(days=366)


def _whoever() -> str:
    """Return who asks, as far as the system knows."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container may know no name
        return "unknown"


@click.group()
def command() -> None:
    """Be told nothing about something for a time. Measuring goes on, and what happens stays in the record."""


@command.command()
@config_option
@click.option("--why", required=True, help="The reason.")
@click.option("--author", default=_whoever, show_default="who you are", help="Who asks for it.")
@click.option("--for", "length", metavar="TIME", help="How long, such as 2h.")
@click.option("--until", type=INSTANT, help="Until when.")
@click.option("--platform", "platforms", multiple=True, metavar="ID", help="Only about this platform.")
@click.option("--country", "countries", multiple=True, metavar="CODE", help="Only about this country.")
@click.option("--vantage", "vantages", multiple=True, metavar="ID", help="Only what was seen from this vantage.")
@click.option("--channel", "channels", multiple=True, metavar="ID", help="Only through this channel.")
@click.option("--incident", "subjects", multiple=True, metavar="ID", help="Only about this incident.")
@click.option("--everything", is_flag=True, help="About everything: needed if nothing else narrows it.")
def add(
    *,
    config_path: Path,
    why: str,
    author: str,
    length: str | None,
    until: datetime | None,
    platforms: Sequence[str],
    countries: Sequence[str],
    vantages: Sequence[str],
    channels: Sequence[str],
    subjects: Sequence[str],
    everything: bool,
) -> None:
    """Silence what fits all of the options, from now on.

    A beginning that is held back is told afterwards if it lasts until then; one that ended meanwhile is not told.
    """
    if (length is None) is (until is None):
        raise click.UsageError("give either --for or --until")
    if not (platforms or countries or vantages or channels or subjects or everything):
        raise click.UsageError("narrow it with --platform, --country, …, or say --everything")
    now = SystemClock().now()
    try:
        end = until or now + timedelta(seconds=seconds_of(length))
    except ValueError as error:
        raise click.UsageError(f"--for: {error}") from error
    if not now < end <= now + _LONGEST:
        raise click.UsageError("it must end in the future, and within a year")
    asked = Mute(
        id=0,
        author=author,
        why=why,
        from_at=now,
        until=end,
        platforms=tuple(platforms),
        countries=tuple(one.upper() for one in countries),
        vantages=tuple(vantages),
        channels=tuple(channels),
        subjects=tuple(subjects),
    )
    _write(config_path, lambda store: store.mute(asked))
    click.echo(f"Silent until {instant(end)}.")


@command.command("list")
@config_option
@click.option("--all", "is_all", is_flag=True, help="Those that have ended, too.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line.")
def list_(*, config_path: Path, is_all: bool, as_json: bool) -> None:
    """Show what is silenced, by whom, why and until when."""
    now = SystemClock().now()
    with stored(config_path) as (_, reader):
        found = outbox_reader.mutes(reader.ask, since=now - 10 * _LONGEST if is_all else now)
    if as_json:
        for one in found:
            click.echo(msgspec.json.encode(one))
        return
    if not found:
        click.echo("Nothing is silenced.")
        return
    table = Table("id", "what", "from", "until", "author", "why", box=None, pad_edge=False)
    for one in found:
        what = [*one.platforms, *one.countries, *one.vantages, *one.channels, *one.subjects]
        words = (Text(clean(text, 200)) for text in (one.author, one.why))
        table.add_row(str(one.id), " ".join(what) or "everything", instant(one.from_at), instant(one.until), *words)
    console().print(table)


@command.command()
@click.argument("mute_id", metavar="ID", type=click.IntRange(min=1))
@config_option
@click.pass_context
def expire(ctx: click.Context, mute_id: int, config_path: Path) -> None:
    """End a silence now."""
    now = SystemClock().now()
    with stored(config_path) as (_, reader):
        known = {one.id for one in outbox_reader.mutes(reader.ask, since=now)}
    if mute_id not in known:
        click.echo(f"No silence {mute_id} is in force.", err=True)
        ctx.exit(2)
    _write(config_path, lambda store: store.unmute(mute_id, now))
    click.echo(f"Silence {mute_id} has ended.")


def _write(config_path: Path, write: Callable[[Store], Future[bool]]) -> None:
    write_beside(load(config_path, os.environ, only_to_read=True), write)
