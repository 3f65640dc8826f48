"""Each date of an event against the changes of each network: what is asked, and what comes of it. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

import msgspec

from monitor.detect.coincidence import (
    WINDOW,
    ChangeInterval,
    Direction,
    EventInterval,
    NetworkSeries,
    Relation,
    chance_level_moved,
    coincidence,
    country_line,
)
from monitor.events.annotation import date_text
from monitor.events.interval import Interval
from monitor.events.record import Dated, Edge, Kind, Phase, Precision, RegulatoryEvent
from monitor.events.timeline import together
from monitor.report.record import Comparison, Place, SourceLink, Span
from monitor.report.words import between, clock

_CLOSING: Final = frozenset({Kind.BLOCK, Kind.THROTTLE, Kind.SHUTDOWN})
_ENDS: Final = frozenset({Phase.LIFTED, Phase.SUSPENDED, Phase.CLAIMED_LIFTED, Phase.PLANNED_END})
# Each of these dates is a statement of its own, not another account of the same.
_SEPARATE: Final = frozenset({Phase.CLAIMED_LIFTED, Phase.RETRACTED, Phase.PLANNED_END})
_WORDS: Final = {
    Phase.CLAIMED_LIFTED: "the claim that it was over",
    Phase.RETRACTED: "the withdrawal of that claim",
    Phase.PLANNED_END: "the planned end",
    Phase.LIFTED: "the end as announced or reported",
    Phase.COURT_ORDERED: "the court's order",
    Phase.ORDERED: "the order",
    Phase.EFFECTIVE: "the day it took effect",
    Phase.ANNOUNCED: "the announcement",
    Phase.PUBLISHED: "the publication",
    Phase.NOTIFIED: "the notification",
    Phase.ADOPTED: "the adoption",
    Phase.SUSPENDED: "the suspension",
}
_OBSERVED: Final = {
    Edge.START: "the beginning as reported",
    Edge.OPENING: "the short opening as reported",
    Edge.END: "the end as reported",
}
_COARSE: Final = (Precision.DAY, Precision.MONTH, Precision.YEAR)
_COARSE_FIRST: Final = (*_COARSE, Precision.HOUR, Precision.MINUTE, Precision.SECOND)
_SUBJECT: Final = "this date"  # the event, its phase and date stand beside the sentence
_MOVED: Final = 1000
LONGEST: Final = timedelta(days=32)  # a date known to the year lies beside everything


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """One date, or the several that sources give for the same thing."""

    event: RegulatoryEvent
    interval: EventInterval
    phase: str
    date: str
    is_claim: bool
    note: str | None
    sources: tuple[str, ...]

    @property
    def intervals(self) -> tuple[tuple[datetime, datetime], ...]:
        """Every interval that is to be compared."""
        return self.interval.alternatives or ((self.interval.earliest, self.interval.latest),)


def questions(event: RegulatoryEvent) -> Iterator[Question]:
    """Yield what is to be compared of an event, in the order of time; dates known to no month are left out."""
    groups: dict[object, list[Dated]] = {}
    for number, dated in enumerate(event.dates):
        is_alone = dated.phase in _SEPARATE or (dated.phase is Phase.OBSERVED and dated.edge is Edge.OPENING)
        groups.setdefault(number if is_alone else (dated.phase, dated.edge), []).append(dated)
    for dates in sorted(groups.values(), key=lambda one: (one[0].earliest, one[0].latest)):
        found = together(dates)
        if found is None or found.interval.latest - found.interval.earliest > LONGEST:
            continue
        first = dates[0]
        alternatives = tuple(dict.fromkeys((one.earliest, one.latest) for one in dates)) if found.is_disputed else ()
        yield Question(
            event=event,
            interval=EventInterval(
                id=event.id,
                phase=first.phase,
                earliest=found.interval.earliest,
                latest=found.interval.latest,
                expected=_expected(event.kind, first),
                alternatives=alternatives,
            ),
            phase=_OBSERVED[first.edge] if first.phase is Phase.OBSERVED else _WORDS[first.phase],
            date=short_date(found.interval, dates, found.tz),
            is_claim=first.phase is Phase.CLAIMED_LIFTED,
            note=first.note,
            sources=found.sources,
        )


def short_date(interval: Interval, dates: Sequence[Dated], tz: str) -> str:
    """Return a date in words; a time in local time and in UTC."""
    if any(one.precision in _COARSE for one in dates):
        coarsest = min((one.precision for one in dates), key=_COARSE_FIRST.index)
        text = date_text(interval, coarsest, tz).partition(" (")[0]
        first, _, last = text.partition(" to ")
        # 12 September 2024 to 13 September 2024 -> 12 to 13 September 2024
        return f"{first.partition(' ')[0]} to {last}" if last and first.split()[1:] == last.split()[1:] else text
    zone = Place(country="", name="", zone=tz)
    if interval.latest - interval.earliest <= timedelta(minutes=1):
        return clock(interval.earliest, zone)
    return between(Span(earliest=interval.earliest, latest=interval.latest), zone)


def compared(
    question: Question,
    series: Sequence[NetworkSeries],
    covered: tuple[datetime, datetime],
    sources: Mapping[str, SourceLink],
) -> Comparison:
    """Compare one date with every network; `series` hold the rounds around it, `covered` is what was measured."""
    outcomes = tuple(coincidence(question.interval, one) for one in series)
    met = outcomes and any(one.relation in _NEAR for one in outcomes)
    changes = max((one.changes for one in series), key=len, default=())
    chance = chance_level_moved(question.interval, changes, covered, _SHARES) if met else None
    return Comparison(
        event=question.event.id,
        title=question.event.name,
        phase=question.phase,
        date=question.date,
        is_claim=question.is_claim,
        note=question.note,
        sources=tuple(sources[one] for one in question.sources if one in sources),
        outcomes=outcomes,
        line=country_line(_SUBJECT, outcomes, least_networks=1),
        chance=chance,
    )


_NEAR: Final = frozenset({Relation.COINCIDES, Relation.PRECEDES, Relation.FOLLOWS})
# Evenly spread, so that the same record gives the same figure.
_SHARES: Final = tuple((number + 0.5) / _MOVED for number in range(_MOVED))


def window(question: Question) -> Iterator[tuple[datetime, datetime]]:
    """Yield the stretches of time whose rounds tell whether a question can be answered."""
    for earliest, latest in question.intervals:
        yield earliest - WINDOW, earliest
        yield latest, latest + WINDOW


def _expected(kind: Kind, dated: Dated) -> Direction | None:
    if dated.phase in _ENDS or (dated.phase is Phase.OBSERVED and dated.edge is not Edge.START):
        return Direction.OPENING
    if kind is Kind.UNBLOCK:
        return Direction.OPENING
    return Direction.CLOSING if kind in _CLOSING and dated.phase is not Phase.RETRACTED else None


def change(earliest: datetime | None, latest: datetime, *, is_start: bool) -> ChangeInterval:
    """Return a dated change as it is compared."""
    direction = Direction.CLOSING if is_start else Direction.OPENING
    return ChangeInterval(earliest=earliest, latest=latest, direction=direction)
