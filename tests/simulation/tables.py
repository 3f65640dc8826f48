"""The figures of docs/detection.md, computed again; `python -m tests.benchmarks.detection` prints them."""

import random
import statistics
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from monitor.detect.onset import posterior
from monitor.detect.reprobe import ReprobeSettings
from monitor.detect.segments import segments
from monitor.model.verdict import DetectorParameters
from tests.simulation.series import (
    DAY,
    HOUR,
    SPAN,
    WEEK,
    Faults,
    alarm,
    alarms,
    block,
    clears,
    rounds,
    values,
    watched,
)

SHARES = (0.95, 0.60, 0.35)
NO_LOOKS = ReprobeSettings(suspicion_seconds=())
EVEN_LOOKS = ReprobeSettings(suspicion_seconds=(5.0, 5.0, 5.0))
LOOKS = ReprobeSettings()


class Spread(NamedTuple):
    """Median and 95 % quantile."""

    median: float
    p95: float


def spread(found: Sequence[float]) -> Spread:
    """Return median and 95 % quantile."""
    ordered = sorted(found)
    return Spread(statistics.median(ordered), ordered[int(0.95 * (len(ordered) - 1))])


def false_alarms(chance: random.Random, weeks: int, normal: float, h: float = 9.0) -> float:
    """Return false alarms a week of one series."""
    parameters = DetectorParameters(h=h)
    found = 0
    for _ in range(weeks):
        times = rounds(chance, WEEK, gaps=0)
        found += alarms(times, values(chance, times, lambda _: normal), parameters)
    return found / weeks


def delays(chance: random.Random, runs: int, share: float, h: float = 9.0) -> list[float]:
    """Return minutes from a block to its alarm; runs in which it is missed are infinite."""
    parameters = DetectorParameters(h=h)
    found = []
    for _ in range(runs):
        times = rounds(chance, gaps=0)
        onset = chance.uniform(24 * HOUR, 60 * HOUR)
        raised = alarm(times, values(chance, times, block(onset, 0.03, share)), onset, parameters)
        found.append((raised - onset) / 60 if raised is not None else float("inf"))
    return found


class Cover(NamedTuple):
    """How onset intervals did: share that held the truth, median width and median error in minutes."""

    coverage: float
    width: float
    error: float


def onset_cover(
    chance: random.Random, runs: int, share: float, *, interval: float = 300.0, after: float | None = None
) -> Cover:
    """Date a block in windows of 96 hours, or as it was so many seconds `after` the alarm."""
    inside, widths, errors = 0, [], []
    for _ in range(runs):
        times = rounds(chance, interval=interval)
        onset = chance.uniform(30 * HOUR, 60 * HOUR)
        failing = values(chance, times, block(onset, 0.03, share))
        start, end = 0.0, SPAN
        if after is not None:
            raised = alarm(times, failing, onset)
            if raised is None:
                continue
            start, end = max(0.0, raised - 48 * HOUR), raised + after + 1.0
        kept = [(when, fails) for when, fails in zip(times, failing, strict=True) if start < when < end]
        low, median, high, *_ = posterior([when for when, _ in kept], [fails for _, fails in kept], start, end)
        inside += low <= onset <= high
        widths.append((high - low) / 60)
        errors.append(abs(median - onset) / 60)
    return Cover(inside / len(widths), statistics.median(widths), statistics.median(errors))


class Together(NamedTuple):
    """Three vantages: pooled into one series, each by itself, and the hull of their intervals."""

    pooled_first: float
    each: float
    hull: float
    hull_minutes: float


def onset_of_three(chance: random.Random, runs: int, within: float) -> Together:
    """Date a block that reaches three vantages within so many seconds."""
    pooled_first = each = hull = 0
    widths = []
    for _ in range(runs):
        first = chance.uniform(24 * HOUR, 60 * HOUR)
        onsets = [first + chance.uniform(0, within) for _ in range(3)]
        series = []
        for onset in onsets:
            times = rounds(chance)
            series.append((times, values(chance, times, block(onset, 0.03, 0.95))))
        dated = [posterior(times, failing, 0.0, SPAN) for times, failing in series]
        each += sum(one.low <= onset <= one.high for one, onset in zip(dated, onsets, strict=True))
        low, high = min(one.low for one in dated), max(one.high for one in dated)
        hull += low <= min(onsets) and max(onsets) <= high
        widths.append((high - low) / 60)
        pool = sorted((when, fails) for times, failing in series for when, fails in zip(times, failing, strict=True))
        pooled = posterior([when for when, _ in pool], [fails for _, fails in pool], 0.0, SPAN)
        pooled_first += pooled.low <= min(onsets) <= pooled.high
    return Together(pooled_first / runs, each / runs / 3, hull / runs, statistics.median(widths))


def support_without_change(chance: random.Random, runs: int) -> list[float]:
    """Return the logarithms of the Bayes factors of series in which nothing changed."""
    found = []
    for _ in range(runs):
        times = rounds(chance)
        found.append(posterior(times, values(chance, times, lambda _: 0.03), 0.0, SPAN).log_support)
    return found


def false_clears(chance: random.Random, weeks: int, share: float, h: float = 9.0) -> float:
    """Return false clears a week during a block."""
    found = 0
    for _ in range(weeks):
        times = rounds(chance, WEEK, gaps=0)
        found += len(clears(times, values(chance, times, lambda _: share), DetectorParameters(h=h)))
    return found / weeks


def clearing_delays(chance: random.Random, runs: int, h: float = 9.0) -> list[float]:
    """Return minutes from the end of a block to its confirmation, at the interval of the schedule."""
    found = []
    for _ in range(runs):
        end = chance.uniform(12 * HOUR, 24 * HOUR)
        times = rounds(chance, 48 * HOUR, gaps=0)
        failing = values(chance, times, block(end, 0.95, 0.03))
        after = [when for when in clears(times, failing, DetectorParameters(h=h)) if when >= end]
        found.append((after[0] - end) / 60)
    return found


def dead_uplink(chance: random.Random, days: int, *, drops: bool) -> float:
    """Return the share of days with an alarm where one of three pooled vantages has no line for two hours."""
    found = 0
    for _ in range(days):
        dead = chance.uniform(4 * HOUR, 20 * HOUR)
        pool = []
        for vantage in range(3):
            for when in rounds(chance, DAY, gaps=0):
                is_dead = vantage == 0 and dead <= when < dead + 2 * HOUR
                if not (is_dead and drops):
                    pool.append((when, is_dead or chance.random() < 0.03))
        pool.sort()
        found += alarm([when for when, _ in pool], [fails for _, fails in pool]) is not None
    return found / days


def flaky_uplink(chance: random.Random, weeks: int, h: float, *, drops: bool) -> float:
    """Return false alarms a week where the line is down 2 % of the time in spells of four rounds.

    The control sees 97 % of that, and itself fails 3 %.
    """
    found = 0
    for _ in range(weeks):
        times, failing, left = [], [], 0
        for when in rounds(chance, WEEK, gaps=0):
            left = left - 1 if left else (4 if chance.random() < 0.02 / 4 else 0)
            is_down = left > 0
            is_dropped = chance.random() < (0.97 if is_down else 0.03)
            if not (drops and is_dropped):
                times.append(when)
                failing.append(is_down or chance.random() < 0.03)
        found += alarms(times, failing, DetectorParameters(h=h))
    return found / weeks


class Nightly(NamedTuple):
    """A block of eight hours each night for a week: as one change, and segmented."""

    edges: int
    found: int  # edges that segmentation puts within two rounds of the truth
    invented: int
    log_support_of_one: float


def nightly(chance: random.Random) -> Nightly:
    """Date a block of eight hours each night for seven days."""
    times = rounds(chance, 8 * DAY, gaps=0)
    failing = values(chance, times, lambda when: 0.95 if when / HOUR % 24 >= 16 and when < 7 * DAY else 0.03)
    truth = [day * DAY + hour * HOUR for day in range(7) for hour in (16, 24)]
    found = [times[index] for index in segments(failing)[1:]]
    near = sum(any(abs(one - edge) <= 900 for one in found) for edge in truth)
    return Nightly(len(truth), near, len(found) - near, posterior(times, failing, 0.0, 8 * DAY).log_support)


def delay_with_looks(
    chance: random.Random, runs: int, settings: ReprobeSettings, *, interval: float, share: float = 0.95
) -> list[float]:
    """Return seconds from a block to its alarm by likely verdicts, at a random phase of the schedule."""
    found = []
    for _ in range(runs):
        onset = chance.uniform(DAY / 2, DAY / 2 + interval)
        fails = one_block(chance, onset, share)
        raised = watched(chance, settings, fails, span=2 * DAY, interval=interval, lost=0.0, is_once=True)
        found.append(raised[0] - onset if raised else float("inf"))
    return found


def one_block(chance: random.Random, onset: float, share: float) -> Callable[[float, float], bool]:
    """Return looks that fail with a share from an onset on, and never before."""
    drawn: dict[float, bool] = {}

    def fails(low: float, _: float) -> bool:
        return low >= onset and drawn.setdefault(low, chance.random() < share)

    return fails


def false_alarms_with_looks(
    chance: random.Random, weeks: int, settings: ReprobeSettings, *, normal: float = 0.0, faults_a_day: float = 0.0
) -> float:
    """Return false alarms a week under independent failures and faults of 5 to 60 seconds that no control sees."""
    found = 0
    for _ in range(weeks):
        faults = Faults.drawn(chance, WEEK + HOUR, faults_a_day) if faults_a_day else None
        drawn: dict[float, bool] = {}

        def fails(low: float, high: float, faults: Faults | None = faults, drawn: dict[float, bool] = drawn) -> bool:
            independent = drawn.setdefault(low, chance.random() < normal)
            return independent or (faults is not None and faults.covers(low, high))

        found += len(watched(chance, settings, fails))
    return found / weeks


def percent(number: float) -> str:
    """Return a share as a percentage."""
    return f"{100 * number:.0f} %"


def rows(table: Iterator[Sequence[str]]) -> Iterator[str]:
    """Yield a Markdown table; the first row is the heading."""
    for number, row in enumerate(table):
        yield f"| {' | '.join(row)} |"
        if not number:
            yield f"|{'---|' * len(row)}"
