"""Which regulatory events lie next to a change, in one sentence each. "Coincides with" is all that is ever said.

At the alarm nothing was measured after the change yet, so networks cannot be counted as `coincidence.py` does: here an
interval is held against an interval, and the lag says the rest.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Final

import msgspec

from monitor.detect.coincidence import WINDOW, duration_words

MOST_SENTENCES: Final = 3
_FINE: Final = timedelta(hours=2)


class DatedEvent(msgspec.Struct, frozen=True, kw_only=True):
    """One dated phase of an event: within [earliest, latest), UTC."""

    event: str
    title: str
    phase: str
    earliest: datetime
    latest: datetime
    publisher: str = ""


def sentences(
    earliest: datetime | None, latest: datetime, events: Iterable[DatedEvent], window: timedelta = WINDOW
) -> tuple[str, ...]:
    """Return a sentence for each of the nearest events of a change within [earliest, latest], the nearest first.

    An `earliest` of None is a change that began unmeasured: it is compared with nothing.
    """
    if earliest is None:
        return ()
    phases: dict[tuple[str, str], list[DatedEvent]] = {}
    for one in events:
        phases.setdefault((one.event, one.phase), []).append(one)
    near = [
        (min(_distance(earliest, latest, one) for one in dates), _sentence(earliest, latest, dates))
        for dates in phases.values()
    ]
    return tuple(sentence for distance, sentence in sorted(near) if distance <= window)[:MOST_SENTENCES]


def _sentence(earliest: datetime, latest: datetime, dates: Sequence[DatedEvent]) -> str:
    one = dates[0]
    if len({(each.earliest, each.latest) for each in dates}) > 1:
        return f'dates of "{one.title}" ({one.phase}) are disputed ({" / ".join(map(_date, dates))}); not compared.'
    about = f'"{one.title}" ({", ".join(filter(None, (one.phase, one.publisher, _date(one))))})'
    if latest < one.earliest:
        low, high = one.earliest - latest, one.latest - earliest
        return f"precedes {about} by {_length(low)} to {_length(high)}. Coincidence is not cause."
    if earliest >= one.latest and earliest > one.earliest:
        low, high = earliest - one.latest, latest - one.earliest
        return f"follows {about} by {_length(low)} to {_length(high)}. Coincidence is not cause."
    low, high = earliest - one.latest, latest - one.earliest
    return f"coincides with {about}; lag {_signed(low)} to {_signed(high)}. Coincidence is not cause."


def _distance(earliest: datetime, latest: datetime, event: DatedEvent) -> timedelta:
    return max(event.earliest - latest, earliest - event.latest, timedelta())


def _date(event: DatedEvent) -> str:
    if event.latest - event.earliest < _FINE:
        return f"{event.earliest:%Y-%m-%d %H:%M} UTC"
    return f"{event.earliest + (event.latest - event.earliest) / 2:%Y-%m-%d}, to the day"


def _length(length: timedelta) -> str:
    return duration_words(length.total_seconds())


def _signed(length: timedelta) -> str:
    return f"{'-' if length < timedelta() else '+'}{_length(length)}"
