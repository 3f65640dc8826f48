"""`monitor run`: the daemon."""

import asyncio
import os
import sys
from pathlib import Path

import click
import uvloop

from monitor.cli._consent import seek_consent
from monitor.cli._options import accept_risks_option, config_option
from monitor.config.load import load
from monitor.daemon.application import Daemon, raise_file_limit
from monitor.daemon.logs import Redaction, configure
from monitor.network.clock import SystemClock
from monitor.store.connection import StoreError


@click.command()
@config_option
@accept_risks_option
@click.pass_context
def command(ctx: click.Context, config_path: Path, *, accept_risks: bool) -> None:
    """Run the daemon until SIGTERM or Ctrl-C.

    It measures on a schedule, stores, exports metrics and answers HTTP.
    """
    clock = SystemClock()
    config = load(config_path, os.environ)
    if not seek_consent(config.storage.path.parent, clock.now(), accept_risks=accept_risks):
        click.echo("Nothing was started.", err=True)
        ctx.exit(2)
    redaction = Redaction()
    configure(sys.stderr, redaction)
    raise_file_limit()
    daemon = Daemon(config_path, os.environ, clock, redaction, click.echo)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(daemon.run())
    except (StoreError, OSError, ValueError) as error:
        click.echo(str(error), err=True)
        ctx.exit(2)
