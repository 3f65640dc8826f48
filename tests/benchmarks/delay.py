"""See how long a block takes to be confirmed by a real daemon: `python -m tests.benchmarks.delay [--interval N]`.

A laboratory with many names, each at its own place in the interval; all are cut at once when all are known to be
accessible. Printed are the seconds from the cut to the end of the round that confirmed it. No control is configured,
and resets are isolated, so the verdicts are `confirmed`.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import click

from monitor.lab import Cut, Lab
from tests.benchmarks.__main__ import machine
from tests.scenarios.daemon import Daemon, configuration
from tests.simulation.tables import spread

KNOWN = "SELECT count(*) FROM detector WHERE state = 'accessible'"
CONFIRMED = """
SELECT x.at / 1e3 + m.elapsed_microseconds / 1e6 FROM transition x JOIN measurement m ON m.id = x.measurement_id
WHERE x.after = 'not_accessible'
"""


def main() -> None:
    """Cut every name at once and print how soon each was noticed."""
    arguments = argparse.ArgumentParser(description=main.__doc__)
    arguments.add_argument("--targets", type=int, default=20)
    arguments.add_argument("--interval", type=float, default=60.0, help="seconds")
    options = arguments.parse_args()
    with tempfile.TemporaryDirectory() as folder, Lab() as lab:
        names = [f"block{number}" for number in range(options.targets)]
        for name in names:
            lab.site(f"{name}.lab.test")
        targets = {name: lab.url(f"{name}.lab.test") for name in names}
        path = configuration(
            lab,
            Path(folder),
            targets,
            interval_seconds=options.interval,
            defaults={"timeouts": {"dns": 4, "tcp": 10, "tls": 10, "http": 10, "total": 45}},
            follow_ups={"retry_wait": 5},
        )
        daemon = Daemon(path)
        with daemon.running():
            wait(lambda: daemon.rows(KNOWN) == [options.targets], 5 * options.interval)
            cut_at = time.clock_gettime(time.CLOCK_REALTIME)
            for name in names:
                lab.censor(f"{name}.lab.test", Cut.RESET)
            wait(lambda: len(daemon.rows(CONFIRMED)) == options.targets, 6 * options.interval + 120)
            found = sorted(confirmed - cut_at for confirmed in daemon.rows(CONFIRMED))
    median, p95 = spread(found)
    click.echo(f"{time.strftime('%Y-%m-%d', time.gmtime())}, {machine()}")
    click.echo(f"{len(found)} targets every {options.interval:g} s, reset all at once: confirmed after")
    click.echo(f"median {median:.0f} s, 95 % {p95:.0f} s, longest {found[-1]:.0f} s")


def wait(is_so: Callable[[], bool], seconds: float) -> None:
    """Wait until something is so; it ends with an error if it takes too long."""
    end = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > end:
            raise TimeoutError("it never came")
        time.sleep(1)


if __name__ == "__main__":
    main()
