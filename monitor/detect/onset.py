"""When a change happened, with the interval that the rounds support: the posterior of a single change.

One vantage, one network, one window. Kept rounds at t1 < … < tn, edges t0 and t(n+1); one change at an unknown instant,
uniform over the window; failing with unknown probability before and another after, both uniform on (0, 1). The change
lies between two rounds with a weight that is the length of that gap times two beta functions; inside a gap every
instant is equally likely. All counts are whole, so the beta functions are sums of tabulated logarithms of factorials.

The two rounds around the change are no interval: with 3 % noise they contain it in four of five clean blocks and in
one of eight partial ones (docs/detection.md).
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import accumulate, pairwise
from math import exp, lgamma, log
from typing import Final, NamedTuple

from monitor.model.onset import Dating, Edge, KeptRound, Onset

WINDOW_BEFORE: Final = timedelta(hours=48)
WINDOW_AFTER: Final = timedelta(hours=24)
# At the alarm, and again when more rounds have narrowed the interval; only the last is final.
DATED_AFTER: Final = (timedelta(), timedelta(hours=1), timedelta(hours=6), WINDOW_AFTER)
LEAST_SUPPORT: Final = 3.0
_QUANTILES: Final = (0.025, 0.5, 0.975)
_SHORTEST_GAP: Final = 1e-3


class Posterior(NamedTuple):
    """Quantiles of the instant of change, in the unit of the times given, and how the rounds speak for it."""

    low: float
    median: float
    high: float
    log_support: float  # logarithm of the Bayes factor of one change against none
    is_at_edge: bool  # `low` lies before the first round: the beginning is not covered


def posterior(times: Sequence[float], failing: Sequence[bool], start: float, end: float) -> Posterior:
    """Return when the one change happened, for kept rounds of one vantage in order of time inside (start, end).

    Raises ValueError if the window is empty.
    """
    if not start < end:
        raise ValueError("a window must have a length")
    rounds, total = len(times), sum(failing)
    factorial = [lgamma(number + 1.0) for number in range(rounds + 2)]
    edges = (start, *times, end)
    gaps = [max(later - earlier, _SHORTEST_GAP) for earlier, later in pairwise(edges)]
    log_weights = [
        log(gap)
        + factorial[before] + factorial[number - before] - factorial[number + 1]
        + factorial[total - before] + factorial[rounds - number - total + before] - factorial[rounds - number + 1]
        for number, (gap, before) in enumerate(zip(gaps, accumulate(failing, initial=0), strict=True))
    ]  # fmt: skip
    top = max(log_weights)
    weights = [exp(weight - top) for weight in log_weights]
    mass = sum(weights)
    low, median, high = _quantiles(edges, weights, mass)
    without_change = factorial[total] + factorial[rounds - total] - factorial[rounds + 1]
    log_support = top + log(mass) - log(end - start) - without_change
    return Posterior(low, median, high, log_support, is_at_edge=not times or low <= times[0])


def _quantiles(edges: Sequence[float], weights: Sequence[float], mass: float) -> list[float]:
    found, passed, wanted = [], 0.0, list(_QUANTILES)
    for (earlier, later), weight in zip(pairwise(edges), weights, strict=True):
        while wanted and wanted[0] * mass <= passed + weight:
            found.append(earlier + (later - earlier) * (wanted.pop(0) * mass - passed) / weight)
        passed += weight
    return found + [edges[-1]] * len(wanted)


def date(rounds: Sequence[KeptRound], edge: Edge, alarm: datetime, previous: datetime | None, now: datetime) -> Onset:
    """Return when the change began that an alarm confirmed, from the kept rounds of its series, oldest first.

    `previous` is the first round of the run that the transition before it rests on, if any: one change to a window.
    Rounds outside the window are left out.
    """
    start, end = window(alarm, previous, now)
    inside = [one for one in rounds if start <= one.at < end]
    if inside and previous is None:
        # Where measuring began inside the window, the time before that is no gap between rounds.
        start = max(start, inside[0].at - max(alarm - inside[0].at, timedelta()) / len(inside))
    times = [(one.at - start).total_seconds() for one in inside]
    failing = [one.is_failing for one in inside]
    found = posterior(times, failing, 0.0, (end - start).total_seconds())
    onset = Onset(
        edge=edge,
        dating=Dating.UNDATED,
        log_support=found.log_support,
        rounds=len(inside),
        window_start=start,
        window_end=end,
        computed_at=now,
        is_final=now >= alarm + WINDOW_AFTER,
    )
    if not _changes_towards(edge, times, failing, found.median) or found.log_support < LEAST_SUPPORT:
        # Nothing but the new state was ever seen: it is older than the window.
        is_older = bool(inside) and previous is None and all(one is (edge is Edge.START) for one in failing)
        return onset.with_(dating=Dating.BEFORE, latest=inside[0].at) if is_older else onset
    low, median, high = (start + timedelta(seconds=one) for one in found[:3])
    if found.is_at_edge and previous is None:
        return onset.with_(dating=Dating.BEFORE, latest=high)
    return onset.with_(dating=Dating.DATED, earliest=low, median=median, latest=high)


def window(alarm: datetime, previous: datetime | None, now: datetime) -> tuple[datetime, datetime]:
    """Return the part of the series that may hold the change."""
    start = alarm - WINDOW_BEFORE
    if previous is not None:
        start = max(start, min(previous, alarm - timedelta(seconds=1)))
    return start, max(min(now, alarm + WINDOW_AFTER), alarm + timedelta(seconds=1))


def is_due(alarm: datetime, last_dated_at: datetime | None, now: datetime) -> bool:
    """Tell whether a change is to be dated now: at its alarm, and each time an interval of `DATED_AFTER` is over."""
    return any(alarm + wait <= now and (last_dated_at is None or last_dated_at < alarm + wait) for wait in DATED_AFTER)


def hull(onsets: Sequence[Onset]) -> tuple[datetime | None, datetime] | None:
    """Return within what all the series changed, None if none can be dated.

    The lower bound is None if one of them began before it was measured. The hull is not the time of one act.
    """
    dated = [(one.earliest, one.latest) for one in onsets if one.latest is not None]
    if not dated:
        return None
    lows = [low for low, _ in dated if low is not None]
    return min(lows) if len(lows) == len(dated) else None, max(high for _, high in dated)


def _changes_towards(edge: Edge, times: Sequence[float], failing: Sequence[bool], median: float) -> bool:
    """Tell whether the failing share rises at the median for a start, falls for an end; the formula does not care."""
    before = [one for at, one in zip(times, failing, strict=True) if at < median]
    after = [one for at, one in zip(times, failing, strict=True) if at >= median]
    if not before or not after:
        return False
    rise = sum(after) / len(after) - sum(before) / len(before)
    return rise > 0 if edge is Edge.START else rise < 0
