"""Blocks that come back at the same time of day: one pattern, instead of many onsets.

A window that assumes one change gives one confident wrong answer for a block of every night; see docs/detection.md.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta, tzinfo
from typing import Final

import msgspec

from monitor.model.onset import KeptRound

SAME_TIME: Final = timedelta(hours=1)
_DAY: Final = timedelta(days=1)


class Pattern(msgspec.Struct, frozen=True, kw_only=True):
    """What comes back: times of day are `HH:MM` in the zone that was asked for."""

    days: int  # on which it started at that time
    first_at: datetime
    last_at: datetime
    start_from: str
    start_to: str
    end_from: str | None  # None while no end was seen
    end_to: str | None


def pattern(spans: Sequence[tuple[datetime, datetime | None]], zone: tzinfo) -> Pattern | None:
    """Return the pattern in the starts and ends of a series' incidents, None if there is none.

    At least two must start within an hour of the same local time of day, on different days. The largest such group is
    returned.
    """
    local = sorted((start.astimezone(zone), end.astimezone(zone) if end else None) for start, end in spans)
    groups = ([one for one in local if _distance(one[0], middle) <= SAME_TIME / 2] for middle, _ in local)
    group = max(groups, key=lambda one: len({start.date() for start, _ in one}), default=[])
    days = {start.date() for start, _ in group}
    if len(days) < 2:
        return None
    starts = _range([start for start, _ in group])
    ended = [end for _, end in group if end is not None]
    ends = _range(ended) if ended else (None, None)
    return Pattern(
        days=len(days),
        first_at=group[0][0],
        last_at=group[-1][0],
        start_from=starts[0],
        start_to=starts[1],
        end_from=ends[0],
        end_to=ends[1],
    )


def share_by_hour(rounds: Sequence[KeptRound], zone: tzinfo) -> list[float | None]:
    """Return the failing share for each of the 24 hours of the local day, None where nothing was kept."""
    failing, kept = [0] * 24, [0] * 24
    for one in rounds:
        hour = one.at.astimezone(zone).hour
        kept[hour] += 1
        failing[hour] += one.is_failing
    return [failed / number if number else None for failed, number in zip(failing, kept, strict=True)]


def _distance(one: datetime, other: datetime) -> timedelta:
    apart = abs(_time_of_day(one) - _time_of_day(other))
    return min(apart, _DAY - apart)


def _time_of_day(at: datetime) -> timedelta:
    return timedelta(hours=at.hour, minutes=at.minute, seconds=at.second)


def _range(instants: Sequence[datetime]) -> tuple[str, str]:
    """Return the earliest and latest time of day, on the shorter way round the clock."""
    anchor = _time_of_day(instants[0])
    offsets = [(_time_of_day(one) - anchor + _DAY / 2) % _DAY - _DAY / 2 for one in instants]
    return _clock(anchor + min(offsets)), _clock(anchor + max(offsets))


def _clock(time_of_day: timedelta) -> str:
    minutes = int((time_of_day % _DAY).total_seconds()) // 60
    return f"{minutes // 60:02}:{minutes % 60:02}"
