"""Run the benchmarks and print a table for the docs: `python -m tests.benchmarks [--seconds N]`."""

import argparse
import asyncio
import os
import platform
import re
import statistics
import tempfile
import time
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import click

from tests.benchmarks.blackbox import blackbox
from tests.benchmarks.daemon import Plan, daemon, lag_below
from tests.benchmarks.world import World, world

TARGETS = 1000
INTERVAL_SECONDS = 30.0
PER_SECOND = TARGETS / INTERVAL_SECONDS
BUSY_INTERVAL_SECONDS = 10.0
FLAT_OUT_INTERVAL_SECONDS = 4.0  # asks for more than there can be
AT_ONCE = 50
SCRAPED_TARGETS = 200
Row = tuple[str, str, str, str]


def main() -> None:
    """Measure both protocols, the daemon and blackbox_exporter in turn, and print the table."""
    arguments = argparse.ArgumentParser(description=main.__doc__)
    arguments.add_argument("--seconds", type=float, default=60.0, help="how long each phase lasts")
    arguments.add_argument("--keep", type=Path, help="leave configurations, logs and databases in this new folder")
    options = arguments.parse_args()
    if options.keep:
        options.keep.mkdir(parents=True)
    click.echo(f"{time.strftime('%Y-%m-%d', time.gmtime())}, {machine()}\n")
    click.echo("| what | monitor | blackbox_exporter | ratio |\n|---|---:|---:|---:|")
    with tempfile.TemporaryDirectory() as temporary, world(options.keep or Path(temporary)) as here:
        for row in chain(side_by_side(here, options.seconds), scraped(here), hung(here, options.seconds)):
            click.echo(f"| {' | '.join(row)} |")


def side_by_side(here: World, seconds: float) -> Iterator[Row]:
    """Compare the two at the same rate, then each as fast as it can."""
    for version, port in (("HTTP/2", here.http2_port), ("HTTP/1.1", here.http1_port)):
        with daemon(here, Plan(TARGETS, INTERVAL_SECONDS, port), f"paced-{port}") as ours:
            time.sleep(INTERVAL_SECONDS * 1.2)  # every target once: caches are warm and evidence is stored
            before = ours.read()
            time.sleep(max(seconds, INTERVAL_SECONDS))
            after = ours.read()
            resident = ours.process.resident_bytes()
            elapsed = ours.elapsed_seconds()
        count = after.measurements - before.measurements
        with blackbox(here) as theirs:
            asyncio.run(theirs.paced(port, PER_SECOND, int(PER_SECOND * 5)))
            cpu_before = theirs.process.cpu_seconds()
            durations = sorted(asyncio.run(theirs.paced(port, PER_SECOND, count)))
            their_cpu = (theirs.process.cpu_seconds() - cpu_before) / count
            their_resident = theirs.process.resident_bytes()
            cpu_before = theirs.process.cpu_seconds()
            busy_count = int(TARGETS / BUSY_INTERVAL_SECONDS * seconds)
            asyncio.run(theirs.paced(port, TARGETS / BUSY_INTERVAL_SECONDS, busy_count))
            their_busy = (theirs.process.cpu_seconds() - cpu_before) / busy_count
            their_rate = asyncio.run(theirs.flat_out(port, AT_ONCE, seconds / 2))
        our_cpu = (after.cpu - before.cpu) / count
        yield versus(f"CPU per measurement, {version}, {PER_SECOND:.0f}/s", our_cpu * 1e3, their_cpu * 1e3, "ms")
        yield versus("wall time, median", statistics.median(elapsed) * 1e3, statistics.median(durations) * 1e3, "ms")
        yield versus(f"resident memory, {TARGETS} targets", resident / 1e6, their_resident / 1e6, "MB")
        yield alone("schedule lag, 99 % below", f"{lag_below(before, after, 0.99):g} s")
        yield alone("runs skipped", str(after.skipped - before.skipped))
        with daemon(here, Plan(TARGETS, BUSY_INTERVAL_SECONDS, port), f"busy-{port}") as ours:
            time.sleep(BUSY_INTERVAL_SECONDS * 2.5)
            bytes_before, before = ours.stored_bytes(), ours.read()
            time.sleep(max(seconds, BUSY_INTERVAL_SECONDS * 2))
            after, bytes_after = ours.read(), ours.stored_bytes()
        count = after.measurements - before.measurements
        busy = f"{TARGETS / BUSY_INTERVAL_SECONDS:.0f}/s"
        yield versus(
            f"CPU per measurement, {version}, {busy}", (after.cpu - before.cpu) / count * 1e3, their_busy * 1e3, "ms"
        )
        yield alone(
            f"stored per measurement, {count} of {TARGETS} targets", f"{(bytes_after - bytes_before) / count:.0f} B"
        )
        with daemon(here, Plan(TARGETS, FLAT_OUT_INTERVAL_SECONDS, port), f"flat-out-{port}") as ours:
            time.sleep(FLAT_OUT_INTERVAL_SECONDS * 2)
            before = ours.read()
            time.sleep(seconds / 2)
            after = ours.read()
        rate = (after.measurements - before.measurements) / (after.at - before.at)
        yield versus(f"as fast as it can, {version}", rate, their_rate, "/s")


def scraped(here: World) -> Iterator[Row]:
    """See what a scrape of about ten thousand series costs."""
    with daemon(here, Plan(SCRAPED_TARGETS, BUSY_INTERVAL_SECONDS, here.http2_port), "scraped") as ours:
        time.sleep(BUSY_INTERVAL_SECONDS * 1.5)
        readings = [ours.read() for _ in range(5)]
    milliseconds = statistics.median(reading.scrape for reading in readings) * 1e3
    yield alone(f"/metrics with {readings[-1].series} series", f"{milliseconds:.0f} ms")


def hung(here: World, seconds: float) -> Iterator[Row]:
    """See whether targets that never answer delay the others."""
    plan = Plan(TARGETS, INTERVAL_SECONDS, here.http2_port, hung=TARGETS // 2)
    with daemon(here, plan, "hung") as ours:
        time.sleep(INTERVAL_SECONDS * 1.2)
        before = ours.read()
        time.sleep(max(seconds, INTERVAL_SECONDS))
        after = ours.read()
    yield alone("half of the targets hung: schedule lag, 99 % below", f"{lag_below(before, after, 0.99):g} s")
    yield alone("half of the targets hung: runs skipped", str(after.skipped - before.skipped))


def versus(what: str, ours: float, theirs: float, unit: str) -> Row:
    """Return a row that compares."""
    return what, f"{ours:.3g} {unit}", f"{theirs:.3g} {unit}", f"{ours / theirs:.2f}"


def alone(what: str, ours: str) -> Row:
    """Return a row about the monitor only."""
    return what, ours, "", ""


def machine() -> str:
    """Return what the numbers were measured on."""
    names = re.findall(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    processors = f"{os.cpu_count()} x {names[0] if names else platform.machine()}"
    return f"{processors}, Linux {platform.release()}, Python {platform.python_version()}"


if __name__ == "__main__":
    main()
