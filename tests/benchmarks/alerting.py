"""From a censor's rule to a message in somebody's hands: `python -m tests.benchmarks.alerting [--repetitions N]`.

The real daemon in the laboratory, with random phase and grouping off. The interval is that of the command line, so one
of a minute takes about an hour and a half for 20 repetitions.
"""

import argparse
import random
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import click

from monitor.lab import Cut, Lab
from tests.alerts.receivers import receiver
from tests.scenarios.daemon import Daemon, configuration

NAME = "switched.lab.test"


def main() -> None:
    """Print the delay of each repetition and their quantiles."""
    arguments = argparse.ArgumentParser(description=main.__doc__)
    arguments.add_argument("--repetitions", type=int, default=20)
    arguments.add_argument("--interval", type=float, default=60.0, help="seconds from round to round")
    options = arguments.parse_args()
    delays: list[float] = []
    with tempfile.TemporaryDirectory() as folder, Lab() as lab, receiver() as hook:
        lab.site(NAME)
        alerts = {
            "channels": {"hook": {"kind": "webhook", "url": hook.url, "rate": {"messages": 1000}}},
            "routes": {"all": {"channels": "hook", "kinds": ["start", "end"]}},
            "group": 0,
            "flapping": {"changes": 0},
        }
        # Clearing is made quick, so that the next repetition can begin; it plays no part in the delay.
        detection = {"clearing_interval": 1, "budget": 200}
        config = configuration(
            lab, Path(folder), {"switched": lab.url(NAME)}, interval_seconds=options.interval, alerts=alerts,
            detection=detection, defaults={"timeouts": {"total": min(15.0, options.interval)} | dict.fromkeys(
                ("dns", "tcp", "tls", "http"), min(4.0, options.interval / 2))},
        )  # fmt: skip
        daemon = Daemon(config)
        with daemon.running():
            wait(lambda: daemon.rows("SELECT state FROM detector") == ["accessible"])
            for number in range(1, options.repetitions + 1):
                time.sleep(random.uniform(0, options.interval))  # noqa: S311 - any phase will do
                lab.censor(NAME, Cut.RESET)
                began = time.monotonic()
                hook.wait_for(2 * number - 1, 10 * options.interval + 60)
                delays.append(time.monotonic() - began)
                click.echo(f"{number}: {delays[-1]:.1f} s")
                lab.lift()
                hook.wait_for(2 * number, 20 * options.interval + 60)
    delays.sort()
    shares = {"median": 0.5, "p95": 0.95}
    found = {name: delays[min(len(delays) - 1, int(share * len(delays)))] for name, share in shares.items()}
    said = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in found.items())
    click.echo(f"{len(delays)} repetitions at {options.interval:g} s: {said}, longest {delays[-1]:.1f} s")


def wait(question: Callable[[], bool]) -> None:
    """Ask until the answer is yes."""
    while not question():
        time.sleep(0.5)


if __name__ == "__main__":
    main()
