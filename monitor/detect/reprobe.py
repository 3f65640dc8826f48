"""When to look again sooner than the schedule says: on a first suspicion, and on a return that is not confirmed.

Both are bounded: a few looks after the first failing round, and a budget for each series within six hours. The looks on
suspicion lie further and further apart, so that together with the deep run they outlast a fault of a minute: looks a
few seconds apart would all meet the same fault, and count it four times (docs/detection.md).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from monitor.detect.cusum import DEFAULT, failing_step
from monitor.model.verdict import DetectorState, SeriesState

BUDGET_WITHIN: Final = timedelta(hours=6)
# Looks are spread as if the first round took so long and each look a second; slower ones are spread by themselves.
SWIFT_SECONDS: Final = 10.0
_LOOK_SECONDS: Final = 1.0
_LEAST_SECONDS: Final = 1.0


@dataclass(frozen=True)
class ReprobeSettings:
    """How eagerly to look again."""

    suspicion_seconds: tuple[float, ...] = (5.0, 10.0, 30.0)  # from the end of each round to the next, at most
    decisive_seconds: float = 10.0  # before one look more, where a single failing one would settle it
    clearing_seconds: float = 60.0
    budget: int = 40  # further looks of one series within six hours


REPROBES: Final = ReprobeSettings()


def next_look(
    before: DetectorState,
    after: DetectorState,
    looks: Sequence[datetime],
    at: datetime,
    *,
    interval_seconds: float,
    settings: ReprobeSettings,
    elapsed_seconds: float = 0.0,
) -> float | None:
    """Return how many seconds after the round's end to look again, None to wait for the schedule.

    `before` and `after` are the detector's states around a round that started `at` and took `elapsed_seconds`; `looks`
    are when further looks of the series started.
    """
    if after.last_kept_at != at or after.run_started_at is None:
        return None  # dropped, or nothing speaks for a change
    if sum(one > at - BUDGET_WITHIN for one in looks) >= settings.budget:
        return None
    if after.state is SeriesState.NOT_ACCESSIBLE:
        return settings.clearing_seconds if settings.clearing_seconds < interval_seconds else None
    # Only a run of failing rounds that has just begun: later ones have had their looks.
    made = sum(one >= after.run_started_at for one in looks)
    is_first = before.run_started_at != after.run_started_at
    waits = settings.suspicion_seconds
    if waits and made == len(waits) and after.score + failing_step() >= DEFAULT.h:
        waits = (*waits, settings.decisive_seconds)
    if made >= len(waits) or not (is_first or made):
        return None
    if waits[made] >= interval_seconds:
        return None
    since_begin = (at - after.run_started_at).total_seconds() + elapsed_seconds
    begins_at = SWIFT_SECONDS + made * _LOOK_SECONDS + sum(waits[: made + 1])
    return min(waits[made], max(_LEAST_SECONDS, begins_at - since_begin))


def spread(looks: int, first_seconds: float) -> tuple[float, ...]:
    """Return the waits before so many looks on suspicion; each of the first three lies further off."""
    return tuple(first_seconds * factor for factor in (1, 2, 6, 6, 6)[:looks])
