"""Rounds of one target at one vantage, simulated: when they are made, and whether they fail.

Times are seconds. Unless said otherwise a round each 5 minutes ± 1 minute, 20 % lost at random, and two gaps of 1 to 3
hours in 96 hours.
"""

import random
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from monitor.detect.cusum import DEFAULT, step
from monitor.detect.reprobe import ReprobeSettings, next_look
from monitor.model.measurement import Measurement, RunContext
from monitor.model.verdict import (
    Confidence,
    DetectorParameters,
    DetectorState,
    SeriesState,
    Status,
    Transition,
    Verdict,
)

EPOCH: Final = datetime(2024, 2, 15, tzinfo=UTC)
HOUR: Final = 3600.0
DAY: Final = 24 * HOUR
WEEK: Final = 7 * DAY
SPAN: Final = 96 * HOUR
INTERVAL: Final = 300.0

_MEASUREMENT: Final = Measurement(
    id=1,
    target="x-home",
    url="https://x.example/",
    vantage="home",
    started_at=EPOCH,
    elapsed_seconds=1,
    context=RunContext(software="s", config_digest="c", ca_digest="a", hello_profile="h"),
)
_GOOD: Final = Verdict(status=Status.ACCESSIBLE, rule="r", because="b", rules_version=1)
_BAD: Final = Verdict(
    status=Status.BLOCKED,
    rule="r",
    because="b",
    rules_version=1,
    confidence=Confidence.LIKELY,
    mechanisms=("tcp.timeout",),
)
KNOWN: Final = DetectorState(state=SeriesState.ACCESSIBLE, settled=SeriesState.ACCESSIBLE)
BLOCKED: Final = DetectorState(state=SeriesState.NOT_ACCESSIBLE, settled=SeriesState.NOT_ACCESSIBLE)


def at(seconds: float) -> datetime:
    """Return an instant of the simulation."""
    return EPOCH + timedelta(seconds=seconds)


def fed(
    state: DetectorState, when: float, parameters: DetectorParameters = DEFAULT, *, failing: bool
) -> tuple[DetectorState, Transition | None]:
    """Give the real detector one likely round."""
    return step(state, _BAD if failing else _GOOD, _MEASUREMENT, at(when), parameters)


def rounds(
    chance: random.Random, span: float = SPAN, *, interval: float = INTERVAL, lost: float = 0.2, gaps: int = 2
) -> list[float]:
    """Return when rounds were kept."""
    jitter = interval / 5
    spells = [(start, start + chance.uniform(1, 3) * HOUR) for start in (chance.uniform(0, span) for _ in range(gaps))]
    times = (number * interval + chance.uniform(-jitter, jitter) for number in range(1, int(span / interval)))
    return sorted(
        when for when in times if chance.random() >= lost and not any(low <= when < high for low, high in spells)
    )


def values(chance: random.Random, times: Sequence[float], share: Callable[[float], float]) -> list[bool]:
    """Return whether each round fails, with the share that `share` gives for its time."""
    return [chance.random() < share(when) for when in times]


def block(onset: float, normal: float, blocked: float) -> Callable[[float], float]:
    """Return a failing share that changes once."""
    return lambda when: blocked if when >= onset else normal


def alarm(
    times: Sequence[float], failing: Sequence[bool], since: float = 0.0, parameters: DetectorParameters = DEFAULT
) -> float | None:
    """Return when a series known to be accessible is first said not to be, at or after an instant."""
    state = KNOWN
    for when, fails in zip(times, failing, strict=True):
        state, transition = fed(state, when, parameters, failing=fails)
        if transition is not None and transition.after is SeriesState.NOT_ACCESSIBLE and when >= since:
            return when
    return None


def alarms(times: Sequence[float], failing: Sequence[bool], parameters: DetectorParameters = DEFAULT) -> int:
    """Count alarms; after each the series is known to be accessible again."""
    state, found = KNOWN, 0
    for when, fails in zip(times, failing, strict=True):
        state, transition = fed(state, when, parameters, failing=fails)
        if transition is not None:
            state, found = KNOWN, found + 1
    return found


def clears(times: Sequence[float], failing: Sequence[bool], parameters: DetectorParameters = DEFAULT) -> list[float]:
    """Return when a blocked series was said to be accessible again; after each it is known to be blocked."""
    state, found = BLOCKED, []
    for when, fails in zip(times, failing, strict=True):
        state, transition = fed(state, when, parameters, failing=fails)
        if transition is not None:
            state = BLOCKED
            found.append(when)
    return found


@dataclass(frozen=True)
class Faults:
    """Faults of the path that fail every look while they last, and that no control sees."""

    starts: Sequence[float]
    ends: Sequence[float]

    @classmethod
    def drawn(
        cls, chance: random.Random, span: float, a_day: float, shortest: float = 5.0, longest: float = 60.0
    ) -> "Faults":
        """Return faults at random times, so many a day."""
        starts, when = [], 0.0
        while (when := when + chance.expovariate(a_day / DAY)) < span:
            starts.append(when)
        return cls(starts, [start + chance.uniform(shortest, longest) for start in starts])

    def covers(self, low: float, high: float) -> bool:
        """Tell whether one fault lasts through."""
        found = bisect_right(self.starts, low) - 1
        return found >= 0 and self.ends[found] >= high


DEEP_SECONDS: Final = 10.0  # two retries five seconds apart: what passes meanwhile is transient and dropped
LOOK_SECONDS: Final = 1.0


def watched(
    chance: random.Random,
    settings: ReprobeSettings,
    fails: Callable[[float, float], bool],
    *,
    span: float = WEEK,
    interval: float = INTERVAL,
    lost: float = 0.2,
    is_once: bool = False,
) -> list[float]:
    """Watch a series with further looks and return when alarms were raised.

    `fails(low, high)` tells whether a look between two times fails; the first failing look of a run is deep, and what
    does not last through it is transient and dropped. After an alarm the series is known to be accessible again, or
    the watch ends (`is_once`).
    """
    state, looks, found, busy_until = KNOWN, list[datetime](), list[float](), 0.0
    phase = chance.uniform(0, interval)
    for number in range(int(span / interval)):
        look: float | None = phase + (number + chance.uniform(-0.1, 0.1)) * interval
        if chance.random() < lost:
            continue
        while look is not None and look >= busy_until:
            is_deep = state.score == 0.0 and fails(look, look)
            busy_until = look + (DEEP_SECONDS if is_deep else LOOK_SECONDS)
            if is_deep and not fails(look, busy_until):
                break
            before = state
            state, transition = fed(state, look, failing=fails(look, look))
            if transition is not None:
                state = KNOWN
                found.append(busy_until)
                if is_once:
                    return found
            wait = next_look(before, state, looks, at(look), interval_seconds=interval, settings=settings)
            look = None if wait is None else busy_until + wait
            if look is not None:
                looks = [*looks[-50:], at(look)]
    return found
