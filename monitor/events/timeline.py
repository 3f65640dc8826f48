"""What the dates of an event say together: agreement and dispute, beginning and end, whether it is in force."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final
from zoneinfo import ZoneInfo

import msgspec

from monitor.events.interval import Interval
from monitor.events.record import Dated, Edge, Kind, Phase, Precision, RegulatoryEvent

# Kinds that are in force from a beginning to an end; the others are moments, drawn as the interval of their date.
LASTING: Final = frozenset(
    {
        Kind.BLOCK,
        Kind.THROTTLE,
        Kind.SHUTDOWN,
        Kind.STATUTE,
        Kind.RULES,
        Kind.DIRECTIVE,
        Kind.LICENCE,
        Kind.INFRASTRUCTURE,
    }
)
# The first of these that is dated is the beginning; of a legal text, the act that made it.
_BEGINNINGS: Final = (
    Phase.EFFECTIVE,
    Phase.ORDERED,
    Phase.COURT_ORDERED,
    Phase.OBSERVED,
    Phase.ANNOUNCED,
    Phase.NOTIFIED,
    Phase.ADOPTED,
    Phase.PUBLISHED,
)
_BEGINNINGS_OF_A_TEXT: Final = (Phase.EFFECTIVE, Phase.NOTIFIED, Phase.ADOPTED, Phase.PUBLISHED, Phase.ANNOUNCED)
_TEXTS: Final = frozenset({Kind.STATUTE, Kind.RULES})
_INSTANT: Final = timedelta(microseconds=1)
_ENDS: Final = (Phase.LIFTED, Phase.SUSPENDED)


class InForce(StrEnum):
    """Whether an event is in force at a time."""

    YES = "yes"
    UNCERTAIN = "uncertain"
    NO = "no"


class PhaseDate(msgspec.Struct, frozen=True, kw_only=True):
    """What all entries of one phase say: their intersection, or if some pair disagrees the hull, then `is_disputed`."""

    phase: Phase
    interval: Interval
    precision: Precision
    tz: str
    sources: tuple[str, ...]
    is_disputed: bool = False


class Span(msgspec.Struct, frozen=True, kw_only=True):
    """From when until when; the end is None while it is open, and for a moment equal to the beginning."""

    start: PhaseDate
    end: PhaseDate | None

    @property
    def days(self) -> tuple[int, int] | None:
        """The fewest and most local days from the first day to the last, exclusive of the last; None while open."""
        if self.end is None:
            return None
        first, last = self.start.interval, self.end.interval
        spread = [
            (at.astimezone(ZoneInfo(self.end.tz)).date() - since.astimezone(ZoneInfo(self.start.tz)).date()).days
            for since in (first.earliest, first.latest - _INSTANT)
            for at in (last.earliest, last.latest - _INSTANT)
        ]
        return max(0, min(spread)), max(spread)


def phase_date(event: RegulatoryEvent, phase: Phase, edge: Edge = Edge.START) -> PhaseDate | None:
    """Return what the sources say about one phase, None if nothing."""
    return together([one for one in event.dates if one.phase is phase and one.edge is edge])


def together(dates: Sequence[Dated]) -> PhaseDate | None:
    """Join the entries of one phase."""
    if not dates:
        return None
    intervals = [Interval(one.earliest, one.latest) for one in dates]
    start, end = max(one.earliest for one in intervals), min(one.latest for one in intervals)
    # Intervals that overlap in pairs have an instant in common (Helly's theorem on a line).
    is_disputed = start >= end
    if is_disputed:
        start, end = min(one.earliest for one in intervals), max(one.latest for one in intervals)
    narrowest = min(dates, key=lambda one: one.latest - one.earliest)
    return PhaseDate(
        phase=dates[0].phase,
        interval=Interval(start, end),
        precision=narrowest.precision,
        tz=narrowest.tz,
        sources=tuple(dict.fromkeys(source for one in dates for source in one.sources)),
        is_disputed=is_disputed,
    )


def span(event: RegulatoryEvent) -> Span | None:
    """Return from when until when the event was, None if nothing that began it is dated.

    A claim, a planned end and a short opening end nothing. What has an end that nobody dates is a moment here: its
    beginning is all that is known.
    """
    beginnings = _BEGINNINGS_OF_A_TEXT if event.kind in _TEXTS else _BEGINNINGS
    start = next((found for phase in beginnings if (found := phase_date(event, phase))), None)
    end = next((found for phase in _ENDS if (found := phase_date(event, phase))), None)
    if event.kind not in LASTING or (end is None and event.is_end_unknown):
        moment = start or end
        return Span(start=moment, end=moment) if moment is not None else None
    return Span(start=start, end=end) if start is not None else None


def in_force(of: Span, at: datetime) -> InForce:
    """Tell whether something with this span was in force at an instant; what is open is in force."""
    start = of.start.interval
    end = of.end.interval if of.end is not None else None
    if at < start.earliest or (end is not None and at >= end.latest):
        return InForce.NO
    if at < start.latest or (end is not None and at >= end.earliest):
        return InForce.UNCERTAIN
    return InForce.YES
