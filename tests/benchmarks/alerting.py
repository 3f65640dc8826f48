"""From a censor's rule to a message in somebody's hands: `python -m tests.benchmarks.alerting [--interval N]`.

The real daemon in the laboratory, with random phase and grouping off. Nearly all of it is waiting, so many daemons wait
side by side, each with a laboratory, a receiver and one target of its own: 20 repetitions at an interval of a minute
take a quarter of an hour, at five minutes half an hour. `--cut drop` makes verdicts that are only likely, by a control.
"""

import argparse
import math
import random
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import click

from monitor.config.schema import FollowUpConfig, Timeouts
from monitor.lab import Cut, Lab
from tests.alerts.receivers import receiver
from tests.benchmarks.__main__ import machine
from tests.scenarios.daemon import Daemon, configuration
from tests.scenarios.running import control_agent

NAME = "switched.lab.test"
CUTS = {"reset": Cut.RESET, "drop": Cut.DROP}
SHIPPED: dict[str, dict[str, object]] = {
    "defaults": {"timeouts": Timeouts().model_dump(exclude={"quic"})},
    "follow_ups": {"retry_wait": FollowUpConfig().retry_wait},
}
ROUNDS_TO_KNOW = 3
START_EVERY_SECONDS = 5.0  # a daemon's start is the only work here, and must not disturb what is measured


def main() -> None:
    """Print the delay of each repetition, and a row of a table."""
    arguments = argparse.ArgumentParser(description=main.__doc__)
    arguments.add_argument("--repetitions", type=int, default=20)
    arguments.add_argument("--side-by-side", type=int, default=20, help="daemons; they share the repetitions")
    arguments.add_argument("--interval", type=float, default=60.0, help="seconds from round to round")
    arguments.add_argument("--cut", choices=sorted(CUTS), default="reset")
    arguments.add_argument("--shipped", action="store_true", help="deadlines and retries as shipped, not short ones")
    options = arguments.parse_args()
    lanes = min(options.side_by_side, options.repetitions)
    shares = [options.repetitions // lanes + (number < options.repetitions % lanes) for number in range(lanes)]

    deadlines = SHIPPED if options.shipped else short(options.interval)

    def lane(number: int) -> list[float]:
        time.sleep(number * START_EVERY_SECONDS)
        return list(delays(CUTS[options.cut], options.interval, shares[number], deadlines))

    with ThreadPoolExecutor(lanes) as pool:
        done = [pool.submit(lane, number) for number in range(lanes)]
    failed = [one for one in done if one.exception()]
    found = sorted(delay for one in done if one not in failed for delay in one.result())
    click.echo(f"{time.strftime('%Y-%m-%d', time.gmtime())}, {lanes} daemons side by side, {machine()}\n")
    click.echo("| interval | cut | repetitions | least | median | 95 % | longest |")
    click.echo("|---:|---|---:|---:|---:|---:|---:|")
    if not found:
        raise SystemExit("no daemon came to a result")
    values = (found[0], rank(found, 0.5), rank(found, 0.95), found[-1])
    click.echo(
        f"| {options.interval:g} s | {options.cut} | {len(found)} | {' | '.join(f'{one:.0f} s' for one in values)} |"
    )
    if failed:
        raise SystemExit(f"{len(failed)} daemons failed; the first: {failed[0].exception()}")


def short(interval_seconds: float) -> dict[str, dict[str, object]]:
    """Return deadlines for a line without delay, so that rounds may follow each other quickly."""
    steps = dict.fromkeys(("dns", "tcp", "tls", "http"), min(4.0, interval_seconds / 2))
    return {"defaults": {"timeouts": {"total": min(15.0, interval_seconds)} | steps}}


def delays(
    cut: Cut, interval_seconds: float, repetitions: int, deadlines: Mapping[str, dict[str, object]]
) -> Iterator[float]:
    """Yield the seconds from rule to message of one daemon, repetition by repetition."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        lab, hook = stack.enter_context(Lab()), stack.enter_context(receiver())
        # A reset is isolated by asking for other names; without a control nothing can be said of silence.
        control = stack.enter_context(control_agent(lab, folder)) if cut is Cut.DROP else None
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
            lab, folder, {"switched": lab.url(NAME)}, control=control, interval_seconds=interval_seconds,
            alerts=alerts, detection=detection, **deadlines,
        )  # fmt: skip
        daemon = Daemon(config)
        stack.enter_context(daemon.running())
        known_within = (ROUNDS_TO_KNOW + 1) * interval_seconds + 60
        wait(lambda: daemon.rows("SELECT state FROM detector") == ["accessible"], known_within)
        for number in range(1, repetitions + 1):
            time.sleep(random.uniform(0, interval_seconds))  # noqa: S311 - any phase will do
            lab.censor(NAME, cut)
            began = time.monotonic()
            hook.wait_for(2 * number - 1, 10 * interval_seconds + 60)
            delay = time.monotonic() - began
            click.echo(f"{delay:.1f} s")
            yield delay
            lab.lift()
            # The last end need not be seen.
            if number < repetitions:
                hook.wait_for(2 * number, 20 * interval_seconds + 60)


def rank(ordered: Sequence[float], share: float) -> float:
    """Return the least value that so large a share of the values does not exceed (nearest rank)."""
    return ordered[math.ceil(share * len(ordered)) - 1]


def wait(question: Callable[[], bool], seconds: float) -> None:
    """Ask until the answer is yes; raises TimeoutError if it takes too long."""
    end = time.monotonic() + seconds
    while not question():
        if time.monotonic() > end:
            raise TimeoutError("it never came")
        time.sleep(0.5)


if __name__ == "__main__":
    main()
