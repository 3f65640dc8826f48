"""Which regulatory events lie next to a change, in one sentence each. "Coincides with" is all that is ever said.

At the alarm nothing was measured after the change yet, so networks cannot be counted as `coincidence.py` does: here an
interval is held against an interval, and the lag and the chance level say the rest.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Final

import msgspec

from monitor.detect.coincidence import WINDOW, chance_level, duration_words

MOST_SENTENCES: Final = 3
_MOST_PUBLISHERS: Final = 3
_LEAST_LEVEL: Final = 0.01
_FINE: Final = timedelta(hours=2)


class DatedEvent(msgspec.Struct, frozen=True, kw_only=True):
    """What some sources say about when one phase of an event was: within [earliest, latest), UTC."""

    event: str
    title: str
    phase: str
    earliest: datetime
    latest: datetime
    publishers: tuple[str, ...] = ()  # of the sources that say so


class _Change(msgspec.Struct, frozen=True):
    """A change within [earliest, latest], and how often a series changes in a year, None if that is not known."""

    earliest: datetime
    latest: datetime
    changes_a_year: float | None


def sentences(
    earliest: datetime | None,
    latest: datetime,
    events: Iterable[DatedEvent],
    *,
    changes_a_year: float | None,
    window: timedelta = WINDOW,
) -> tuple[str, ...]:
    """Return a sentence for each of the nearest events of a change within [earliest, latest], the nearest first.

    An `earliest` of None is a change that began unmeasured: it is compared with nothing. `changes_a_year` of this
    platform in this country gives the chance level.
    """
    if earliest is None:
        return ()
    change = _Change(earliest, latest, changes_a_year)
    phases: dict[tuple[str, str], list[DatedEvent]] = {}
    for one in events:
        phases.setdefault((one.event, one.phase), []).append(one)
    near = [(min(_distance(change, one) for one in dates), _sentence(change, dates)) for dates in phases.values()]
    return tuple(sentence for distance, sentence in sorted(near) if distance <= window)[:MOST_SENTENCES]


def _sentence(change: _Change, dates: Sequence[DatedEvent]) -> str:
    one = _agreed(dates)
    if one is None:
        said = " / ".join(map(_date, dates))
        return f'dates of "{dates[0].title}" ({dates[0].phase}) are disputed ({said}); not compared.'
    sources = " / ".join(one.publishers[:_MOST_PUBLISHERS])
    about = f'"{one.title}" ({", ".join(filter(None, (one.phase, sources, _date(one))))})'
    chance = f"{_chance(change, one)}. Coincidence is not cause."
    if change.latest < one.earliest:
        low, high = one.earliest - change.latest, one.latest - change.earliest
        return f"precedes {about} by {_length(low)} to {_length(high)}; {chance}"
    low, high = change.earliest - one.latest, change.latest - one.earliest
    if change.earliest >= one.latest and change.earliest > one.earliest:
        return f"follows {about} by {_length(low)} to {_length(high)}; {chance}"
    return f"coincides with {about}; lag {_signed(low)} to {_signed(high)}; {chance}"


def _agreed(dates: Sequence[DatedEvent]) -> DatedEvent | None:
    """Return what all sources have in common, None if some of them cannot both be right."""
    earliest, latest = max(one.earliest for one in dates), min(one.latest for one in dates)
    if earliest >= latest and len({(one.earliest, one.latest) for one in dates}) > 1:
        return None
    publishers = dict.fromkeys(name for one in dates for name in one.publishers)
    return msgspec.structs.replace(dates[0], earliest=earliest, latest=latest, publishers=tuple(publishers))


def _chance(change: _Change, event: DatedEvent) -> str:
    """Say how often an unrelated change would lie as near as this one does, or nearer."""
    if change.changes_a_year is None:
        return "how often a change falls this close by chance is not known: the record is too short"
    length = (event.latest - event.earliest) + (change.latest - change.earliest)
    level = chance_level(change.changes_a_year, length, _distance(change, event))
    said = f"{level:.2f}" if level >= _LEAST_LEVEL else f"below {_LEAST_LEVEL}"
    return f"a change would fall this close by chance with probability {said}"


def _distance(change: _Change, event: DatedEvent) -> timedelta:
    return max(event.earliest - change.latest, change.earliest - event.latest, timedelta())


def _date(event: DatedEvent) -> str:
    if event.latest - event.earliest < _FINE:
        return f"{event.earliest:%Y-%m-%d %H:%M} UTC"
    return f"{event.earliest + (event.latest - event.earliest) / 2:%Y-%m-%d}, to the day"


def _length(length: timedelta) -> str:
    return duration_words(length.total_seconds())


def _signed(length: timedelta) -> str:
    return f"{'-' if length < timedelta() else '+'}{_length(length)}"
