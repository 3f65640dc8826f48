"""Writing to the database beside the daemon, for the commands that do."""

from collections.abc import Callable
from concurrent.futures import Future

import click

from monitor.config.schema import Configuration
from monitor.network.clock import SystemClock
from monitor.store.connection import StoreError
from monitor.store.store import Store


def write_beside(config: Configuration, write: Callable[[Store], Future[bool]]) -> None:
    """Write beside the daemon, if one runs; ends the command with 2 if the database cannot be written."""
    try:
        store = Store.open(config.storage.path, SystemClock(), spool_rows=config.storage.spool_rows)
    except StoreError as error:
        click.echo(str(error), err=True)
        click.get_current_context().exit(2)
    try:
        is_written = write(store).result(30)
    finally:
        store.close()
    if not is_written:
        click.echo("The database cannot be written.", err=True)
        click.get_current_context().exit(2)
