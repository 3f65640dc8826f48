"""Kill the daemon again and again, under load and while alerts go out, and look for what was lost.

`python -m tests.benchmarks.soak [--kills N] [--alert-kills N]`
"""

import argparse
import random
import sqlite3
import tempfile
import time
from contextlib import closing
from pathlib import Path

import click

from tests.benchmarks.daemon import Plan, daemon
from tests.benchmarks.world import world
from tests.scenarios.crashes import crash


def main() -> None:
    """Kill the daemon at random moments and account for rows and messages."""
    arguments = argparse.ArgumentParser(description=main.__doc__)
    arguments.add_argument("--kills", type=int, default=20)
    arguments.add_argument("--alert-kills", type=int, default=100)
    options = arguments.parse_args()
    lose_no_row(options.kills)
    lose_no_message(options.alert_kills)


def lose_no_message(kills: int) -> None:
    """Kill the daemon while a censor switches a platform off and on, and account for every message."""
    if not kills:
        return
    with tempfile.TemporaryDirectory() as folder:
        account = crash(Path(folder), kills, random.Random(), click.echo)  # noqa: S311 - any moment will do
    click.echo(f"{account.alerts} alerts, {account.requests} messages taken, {account.repeats} of them repeats")
    if account.problems:
        raise SystemExit("\n".join(account.problems))


def lose_no_row(kills: int) -> None:
    """Kill the daemon under load, and compare what it had committed with what the database holds."""
    stored = 0
    with tempfile.TemporaryDirectory() as folder, world(Path(folder)) as here:
        for number in range(1, kills + 1):
            with daemon(here, Plan(500, 2.5, here.http2_port), "soak") as victim:
                time.sleep(random.uniform(2, 6))  # noqa: S311 - any moment will do
                acknowledged = victim.committed()
                victim.process.kill()
            with closing(sqlite3.connect(victim.database)) as connection:
                (verdict,) = connection.execute("PRAGMA integrity_check").fetchone()
                # A check of the vantage is a run too.
                (found,) = connection.execute(
                    "SELECT (SELECT count(*) FROM measurement) + (SELECT count(*) FROM vantage_check)"
                ).fetchone()
            click.echo(f"{number}: {acknowledged} acknowledged, {found - stored} found, integrity {verdict}")
            if verdict != "ok" or found - stored < acknowledged:
                raise SystemExit("rows were lost")
            stored = found


if __name__ == "__main__":
    main()
