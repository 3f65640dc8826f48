"""Opening what is stored, for the commands that only read."""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from typing import Literal

import click

from monitor.config.load import load
from monitor.config.plan import plan
from monitor.config.schema import Configuration
from monitor.store.connection import StoreError
from monitor.store.reader import Reader


@contextmanager
def stored(config_path: Path) -> Iterator[tuple[Configuration, Reader]]:
    """Yield the configuration and a reader of its database; ends the command with 2 if there is none yet."""
    config = load(config_path, os.environ, only_to_read=True)
    if not config.storage.path.exists():
        click.echo(f"Nothing is stored yet: {config.storage.path} does not exist.", err=True)
        click.get_current_context().exit(2)
    try:
        with Reader(config.storage.path) as reader:
            yield config, reader
    except StoreError as error:
        click.echo(str(error), err=True)
        click.get_current_context().exit(2)


def refuse_unknown(
    config: Configuration, reader: Reader, what: Literal["platform", "target", "vantage"], given: Iterable[str]
) -> None:
    """End the command with 2 at a name that is neither configured nor stored.

    A slip of the pen would otherwise read as "nothing was found", and so as "nothing happened".
    """
    known = reader.names(what)
    match what:
        case "platform":
            known |= set(config.platforms)
        case "target":
            known |= {one.target.name for one in plan(config).assignments}
        case "vantage":
            known |= set(config.vantages)
    for name in given:
        if name not in known:
            near = get_close_matches(name, sorted(known), n=3, cutoff=0.5)
            hint = f"; did you mean {' or '.join(map(repr, near))}?" if near else ""
            raise click.UsageError(f"no {what} {name!r} is configured or stored{hint}")
