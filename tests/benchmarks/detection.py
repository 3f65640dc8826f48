"""Print the tables of docs/detection.md: `python -m tests.benchmarks.detection [--quick]`; minutes on one core."""

import argparse
import random
import statistics
import time
from collections import Counter
from collections.abc import Iterator, Sequence

import click

from monitor.model.alert import AlertKind
from tests.benchmarks.__main__ import machine
from tests.simulation import tables
from tests.simulation.quiet_week import week
from tests.simulation.tables import EVEN_LOOKS, LOOKS, NO_LOOKS, SHARES, percent, rows, spread

SEED = 20240217
HOUR = 3600.0


def main() -> None:
    """Compute every table with a fixed seed."""
    arguments = argparse.ArgumentParser(description=main.__doc__)
    arguments.add_argument("--quick", action="store_true", help="a tenth of the runs")
    scale = 0.1 if arguments.parse_args().quick else 1.0
    began = time.monotonic()
    click.echo(f"{time.strftime('%Y-%m-%d', time.gmtime())}, seed {SEED}, {machine()}\n")
    for title, table in (
        ("False alarms a week and series", noise),
        ("Minutes from a block to its alarm, median / 95 %", delay),
        ("Interval of an onset", onset),
        ("Three vantages changing within six hours", three),
        ("Clearing", clearing),
        ("Uplink faults", uplink),
        ("Further looks: seconds from a block to its alarm by likely verdicts, median / 95 %", looks),
        ("Further looks: false alarms a week and series, rounds every five minutes", looks_in_noise),
        ("Quiet weeks: alerts about platforms", quiet),
        ("A block of eight hours each night, seven days", nightly),
    ):
        click.echo(f"{title}\n")
        for line in rows(table(random.Random(SEED), scale)):  # noqa: S311 - a simulation, no secret
            click.echo(line)
        click.echo()
    click.echo(f"{time.monotonic() - began:.0f} s")


def noise(chance: random.Random, scale: float) -> Iterator[Sequence[str]]:
    """Measure the false alarms of each threshold under independent failures."""
    yield "h", "3 %", "5 %", "10 %"
    for h in (5.0, 7.0, 9.0, 11.0):
        found = [tables.false_alarms(chance, int(400 * scale), normal, h) for normal in (0.03, 0.05, 0.10)]
        yield f"{h:g}", *(f"{one:.3g}" for one in found)


def delay(chance: random.Random, scale: float) -> Iterator[Sequence[str]]:
    """Measure how soon a block is noticed without further looks."""
    yield "h", *(f"p = {share}" for share in SHARES)
    for h in (5.0, 7.0, 9.0, 11.0):
        found = [spread(tables.delays(chance, int(600 * scale), share, h)) for share in SHARES]
        yield f"{h:g}", *(f"{one.median:.0f} / {one.p95:.0f}" for one in found)


def onset(chance: random.Random, scale: float) -> Iterator[Sequence[str]]:
    """Measure how often the interval holds the truth, and how wide it is."""
    yield "setting", "coverage", "median width", "median error of the median"
    runs = int(600 * scale)

    def row(name: str, found: tables.Cover) -> Sequence[str]:
        return name, f"{found.coverage:.2f}", f"{found.width:.0f} min", f"{found.error:.0f} min"

    for share in SHARES:
        yield row(f"p = {share}", tables.onset_cover(chance, runs, share))
    yield row("p = 0.95, hourly rounds", tables.onset_cover(chance, runs, 0.95, interval=HOUR))
    for share in SHARES[:2]:
        for hours in (0, 1, 6, 24):
            when = "at the alarm" if not hours else f"{hours} h after the alarm"
            yield row(f"p = {share}, {when}", tables.onset_cover(chance, runs, share, after=hours * HOUR))
    support = tables.support_without_change(chance, runs)
    below = percent(sum(one < 0 for one in support) / len(support))
    yield f"no change: log support, {below} below 0, largest {max(support):.1f}", "", "", ""


def three(chance: random.Random, scale: float) -> Iterator[Sequence[str]]:
    """Measure what pooling does to an onset."""
    yield "changing", "pooled holds the first", "each by itself", "hull holds all", "median width of the hull"
    for name, within in (("together", 0.0), ("within 6 h", 6 * HOUR)):
        found = tables.onset_of_three(chance, int(300 * scale), within)
        shares = (found.pooled_first, found.each, found.hull)
        yield name, *(f"{one:.2f}" for one in shares), f"{found.hull_minutes:.0f} min"


def clearing(chance: random.Random, scale: float) -> Iterator[Sequence[str]]:
    """Measure false clears during a block, and the delay of true ones on the schedule alone."""
    yield "h", *(f"false clears a week, p = {share}" for share in SHARES), "minutes to a true one, median / 95 %"
    for h in (5.0, 7.0, 9.0):
        false = [tables.false_clears(chance, int(100 * scale), share, h) for share in SHARES]
        true = spread(tables.clearing_delays(chance, int(600 * scale), h))
        yield f"{h:g}", *(f"{one:.2g}" for one in false), f"{true.median:.0f} / {true.p95:.0f}"


def uplink(chance: random.Random, scale: float) -> Iterator[Sequence[str]]:
    """Measure what dropping the rounds of a dead line is worth."""
    yield "case", "no rule", "rounds dropped"
    days = int(600 * scale)
    dead = [f"{tables.dead_uplink(chance, days, drops=drops):.3f}" for drops in (False, True)]
    yield "three pooled vantages, one line dead for 2 h: share of days with an alarm", *dead
    weeks = int(150 * scale)
    for h in (7.0, 9.0, 11.0):
        flaky = [f"{tables.flaky_uplink(chance, weeks, h, drops=drops):.3g}" for drops in (False, True)]
        yield f"one line down 2 % of the time: false alarms a week, h = {h:g}", *flaky


def looks(chance: random.Random, scale: float) -> Iterator[Sequence[str]]:
    """Measure how much sooner a block is noticed with further looks."""
    yield "interval", "share", "none", "three, 5 s apart", "5, 10 and 30 s apart"
    for interval in (60.0, 300.0):
        for share in (1.0, 0.95, 0.60):
            found = [
                spread(tables.delay_with_looks(chance, int(600 * scale), each, interval=interval, share=share))
                for each in (NO_LOOKS, EVEN_LOOKS, LOOKS)
            ]
            yield f"{interval:.0f} s", f"{share:g}", *(f"{one.median:.0f} / {one.p95:.0f}" for one in found)


def looks_in_noise(chance: random.Random, scale: float) -> Iterator[Sequence[str]]:
    """Measure false alarms with further looks, under noise and under faults that several looks meet."""
    yield "failures", "none", "three, 5 s apart", "5, 10 and 30 s apart"
    weeks = int(200 * scale)
    for normal in (0.03, 0.05, 0.10):
        found = [tables.false_alarms_with_looks(chance, weeks, each, normal=normal) for each in ALL_LOOKS]
        yield f"independent, {percent(normal)}", *(f"{one:.3g}" for one in found)
    for faults in (10, 48, 200):
        found = [tables.false_alarms_with_looks(chance, weeks, each, faults_a_day=faults) for each in ALL_LOOKS]
        yield f"{faults} faults of 5 to 60 s a day, unseen by any control", *(f"{one:.3g}" for one in found)


def quiet(_: random.Random, scale: float) -> Iterator[Sequence[str]]:
    """Count what is told about platforms in weeks without a block, with faults that meet several vantages at once."""
    yield "interval", "faults that no control meets", "weeks", "blocks told", "told to be down"
    for interval, weeks in ((300.0, 10), (60.0, 3)):
        for share in (0.0, 0.2, 1.0):
            runs = max(1, int(weeks * scale))
            told = Counter(
                one.kind
                for seed in range(runs)
                for one in week(random.Random(seed), interval=interval, unseen_share=share).about_platforms  # noqa: S311 - a simulation
            )
            counts = (told[AlertKind.START], told[AlertKind.DOWN])
            yield f"{interval:.0f} s", percent(share), str(runs), *map(str, counts)


ALL_LOOKS = (NO_LOOKS, EVEN_LOOKS, LOOKS)


def nightly(chance: random.Random, scale: float) -> Iterator[Sequence[str]]:
    """Measure what one change makes of a nightly block, and what segmentation does."""
    yield "runs", "edges found of 14, mean", "edges invented, mean", "log support of one change, median"
    found = [tables.nightly(chance) for _ in range(int(100 * scale))]
    yield (
        str(len(found)),
        f"{statistics.mean(one.found for one in found):.2f}",
        f"{statistics.mean(one.invented for one in found):.2f}",
        f"{statistics.median(one.log_support_of_one for one in found):.0f}",
    )


if __name__ == "__main__":
    main()
