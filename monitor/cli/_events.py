"""The calendar that a command works on, and the options that choose events from it."""

import os
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

import click

from monitor.cli._options import CountryCode
from monitor.cli._times import INSTANT
from monitor.config.load import load
from monitor.config.schema import Configuration, EventsConfig
from monitor.events.annotation import Calendar
from monitor.events.load import load_events
from monitor.events.record import Kind, RegulatoryEvent
from monitor.events.selection import Filter, when
from monitor.network.clock import SystemClock

Command = TypeVar("Command", bound=Callable[..., Any])
_FILTERS = (
    click.option("--country", "countries", multiple=True, type=CountryCode(), help="Only there; may be repeated."),
    click.option("--platform", "platforms", multiple=True, metavar="ID", help="Only about it; may be repeated."),
    click.option(
        "--kind",
        "kinds",
        multiple=True,
        type=click.Choice([one.value for one in Kind]),
        metavar="KIND",
        help="Only these; may be repeated.",
    ),
    click.option("--tag", "tags", multiple=True, metavar="TAG", help="Only with this tag; may be repeated."),
    click.option("--since", type=INSTANT, help="What had not ended by then."),
    click.option("--until", type=INSTANT, help="What had begun by then."),
)


def filter_options(command: Command) -> Command:
    """Add the options that choose events; `chosen` takes them."""
    for option in reversed(_FILTERS):
        command = option(command)
    return command


def configuration(config_path: Path) -> Configuration | None:
    """Return the configuration; None if the default file is not there: the built-in events need none."""
    ctx = click.get_current_context()
    is_default = ctx.get_parameter_source("config_path") is not click.core.ParameterSource.COMMANDLINE
    if is_default and not config_path.exists():
        return None
    return load(config_path, os.environ)


def calendar_of(config: Configuration | None, *more: Path) -> Calendar:
    """Return the events that the configuration names, and those of further files; raises ConfigError."""
    wanted = config.events if config is not None else EventsConfig()
    wanted = wanted.model_copy(update={"files": (*wanted.files, *more)})
    return load_events(wanted, config.platforms if config is not None else (), SystemClock().now())


def chosen(
    calendar: Calendar,
    *,
    countries: Sequence[str],
    platforms: Sequence[str],
    kinds: Sequence[str],
    tags: Sequence[str],
    since: datetime | None,
    until: datetime | None,
) -> list[RegulatoryEvent]:
    """Return the events that fit, in the order of time."""
    wanted = Filter(
        countries=tuple(countries),
        platforms=tuple(platforms),
        kinds=tuple(kinds),
        tags=tuple(tags),
        since=since,
        until=until,
    )
    stands = {name: found for name, one in calendar.events.items() if (found := when(one, calendar.events))}
    names = [name for name, found in stands.items() if wanted.fits(calendar.events[name], found)]
    return [calendar.events[name] for name in sorted(names, key=lambda name: (stands[name].earliest, name))]
