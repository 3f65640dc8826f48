"""Kill the daemon under load again and again, and look for lost rows: `python -m tests.benchmarks.soak [--kills N]`."""

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


def main() -> None:
    """Kill the daemon at random moments and compare what it had committed with what the database holds."""
    arguments = argparse.ArgumentParser(description=main.__doc__)
    arguments.add_argument("--kills", type=int, default=20)
    options = arguments.parse_args()
    stored = 0
    with tempfile.TemporaryDirectory() as folder, world(Path(folder)) as here:
        for number in range(1, options.kills + 1):
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
