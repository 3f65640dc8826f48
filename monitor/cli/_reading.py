"""Opening what is stored, for the commands that only read."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from monitor.config.load import load
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
