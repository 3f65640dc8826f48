"""Events as marks on a chart: what to draw, when, and the words beside it.

An event is one mark from its beginning to its end. What must not be taken for a beginning or an end stands in marks of
its own: a claim that it was over, a planned end, an opening in between, the margin within which sources disagree.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

import msgspec

from monitor.config.problem import Problem
from monitor.events.interval import Interval
from monitor.events.record import ConfidenceLevel, Dated, Edge, Phase, Precision, RegulatoryEvent, Source
from monitor.events.selection import when
from monitor.events.timeline import PhaseDate, Span

CLAIM: Final = "claim"
OPENING: Final = "opening"
DISPUTED: Final = "disputed"
_FINE: Final = frozenset({Precision.SECOND, Precision.MINUTE, Precision.HOUR})
_CLAIMS: Final = {Phase.CLAIMED_LIFTED: "Claimed to be over", Phase.PLANNED_END: "Planned end"}


class Mark(msgspec.Struct, frozen=True, kw_only=True):
    """One thing to draw; `kind` is the event's, or `claim`, `opening`, `disputed`. `latest` is None while it is open.

    A point in time has `latest` equal to `earliest`. `id` is unique: the event's, with a suffix for secondary marks.
    """

    id: str
    event: str
    kind: str
    earliest: datetime
    latest: datetime | None
    title: str
    text: str
    tags: tuple[str, ...]
    countries: tuple[str, ...]
    platforms: tuple[str, ...]
    status: str | None
    url: str | None

    def overlaps(self, since: datetime, until: datetime) -> bool:
        """Tell whether any of it lies between two instants, both included."""
        return self.earliest <= until and (self.latest is None or self.latest >= since)


class Calendar(msgspec.Struct, frozen=True):
    """The events by id, what to draw of them, and what is odd in their files."""

    events: Mapping[str, RegulatoryEvent] = {}
    marks: tuple[Mark, ...] = ()
    warnings: tuple[Problem, ...] = ()


def marks(events: Mapping[str, RegulatoryEvent]) -> tuple[Mark, ...]:
    """Return every mark of the events, in the order of time."""
    found = [mark for event in events.values() for mark in _of(event, events)]
    return tuple(sorted(found, key=lambda one: (one.earliest, one.id)))


def _of(event: RegulatoryEvent, events: Mapping[str, RegulatoryEvent]) -> Iterator[Mark]:
    stands = when(event, events)
    if stands is None:
        return
    drawn = _drawn(stands.span) if stands.span is not None else (stands.earliest, stands.latest)
    yield _mark(event, kind=event.kind.value, drawn=drawn, title=event.name, text=text_of(event, stands.span))
    if stands.span is not None:
        for edge, one in (("start", stands.span.start), ("end", stands.span.end)):
            # Of a moment the mark itself covers all that is disputed.
            if one is not None and one.is_disputed and stands.span.start is not stands.span.end:
                words = f"Sources disagree about the {edge}: {date_text(one.interval, one.precision, one.tz)}."
                around = (one.interval.earliest, one.interval.latest)
                title = f"Date in dispute: {event.name}"
                suffix = f":disputed-{edge}"
                yield _mark(event, suffix=suffix, kind=DISPUTED, drawn=around, title=title, text=words)
    for number, dated in enumerate(event.dates, 1):
        is_opening = dated.phase is Phase.OBSERVED and dated.edge is Edge.OPENING
        if dated.phase not in _CLAIMS and not is_opening:
            continue
        kind = OPENING if is_opening else CLAIM
        title = f"{'Open for a while' if is_opening else _CLAIMS[dated.phase]}: {event.name}"
        text = _date_sentence(event, dated) + _withdrawal(event, number)
        yield _mark(event, suffix=f":{kind}-{number}", kind=kind, drawn=_edges(dated), title=title, text=text)


def _mark(
    event: RegulatoryEvent,
    *,
    suffix: str = "",
    kind: str,
    drawn: tuple[datetime, datetime | None],
    title: str,
    text: str,
) -> Mark:
    countries, platforms = event.countries, tuple(one.id for one in event.platforms)
    return Mark(
        id=f"{event.id}{suffix}",
        event=event.id,
        kind=kind,
        earliest=drawn[0],
        latest=drawn[1],
        title=title,
        text=text,
        tags=tuple(dict.fromkeys((kind, *countries, *platforms, *event.tags))),
        countries=countries,
        platforms=platforms,
        status=event.status,
        url=next((source.url for source in event.sources if source.url), None),
    )


def _drawn(span: Span) -> tuple[datetime, datetime | None]:
    """Return what is drawn: all of it, but where a beginning or end is disputed only the certain part."""
    start, end = span.start, span.end
    first = start.interval.earliest
    if end is None:
        return (start.interval.latest if start.is_disputed else first), None
    if start is end:
        return (
            (first, first) if start.precision in {Precision.SECOND, Precision.MINUTE} else (first, end.interval.latest)
        )
    certain = (
        start.interval.latest if start.is_disputed else first,
        end.interval.earliest if end.is_disputed else _end(end),
    )
    return certain if certain[0] < certain[1] else (first, end.interval.latest)


def _end(end: PhaseDate) -> datetime:
    is_point = end.precision in {Precision.SECOND, Precision.MINUTE}
    return end.interval.earliest if is_point and not end.is_disputed else end.interval.latest


def _edges(dated: Dated) -> tuple[datetime, datetime]:
    return dated.earliest, dated.earliest if dated.precision in {Precision.SECOND, Precision.MINUTE} else dated.latest


def text_of(event: RegulatoryEvent, span: Span | None) -> str:
    """Return the words for a chart: what, by whom, when and how precisely, by which sources."""
    parts = [event.summary.get("en", "")]
    if event.authorities:
        parts.append("; ".join(f"{one.name} ({one.role.replace('_', ' ')})" for one in event.authorities) + ".")
    if span is not None:
        parts.append(span_text(event, span))
    parts.append(_sources_text(event))
    return " ".join(part for part in parts if part)


def span_text(event: RegulatoryEvent, span: Span) -> str:
    """Return from when until when, with precision, zone and dispute."""
    start, end = span.start, span.end
    text = f"{_words(start.phase)}: {date_text(start.interval, start.precision, start.tz)}"
    text += ", in dispute" if start.is_disputed else ""
    if end is not None and end is not start:
        text += f". {_words(end.phase)}: {date_text(end.interval, end.precision, end.tz)}"
        text += ", in dispute" if end.is_disputed else ""
        if (days := span.days) is not None and days[1] > 0:
            fewest, most = days
            text += f" ({fewest} days)" if fewest == most else f" ({fewest} to {most} days)"
    elif event.is_end_unknown:
        text += ". No source tells the end"
    elif end is None:
        text += ". No end is known"
    return f"{text}."


def date_text(interval: Interval, precision: Precision, tz: str) -> str:
    """Return an interval in words: local day, month or year; a time in UTC and local."""
    zone = ZoneInfo(tz)
    first = interval.earliest.astimezone(zone)
    last = (interval.latest - timedelta(microseconds=1)).astimezone(zone)
    if precision in _FINE:
        is_point = precision in {Precision.SECOND, Precision.MINUTE} and interval.latest - interval.earliest <= (
            timedelta(minutes=1)
        )
        edges = [interval.earliest] if is_point else [interval.earliest, interval.latest]
        utc = " to ".join(at.strftime("%Y-%m-%d %H:%M") for at in edges)
        local = " to ".join(at.astimezone(zone).strftime("%Y-%m-%d %H:%M") for at in edges)
        return f"{utc} UTC" if tz == "UTC" else f"{utc} UTC ({local} {tz})"
    form = {Precision.YEAR: "%Y", Precision.MONTH: "%B %Y"}.get(precision, "%-d %B %Y")
    words = [first.strftime(form), last.strftime(form)]
    return f"{' to '.join(dict.fromkeys(words))} ({precision}, {tz})"


def _date_sentence(event: RegulatoryEvent, dated: Dated) -> str:
    words = f"{_words(dated.phase)}: {date_text(Interval(dated.earliest, dated.latest), dated.precision, dated.tz)}."
    note = f" {dated.note[0].upper()}{dated.note[1:]}." if dated.note else ""
    known = {source.id: source for source in event.sources}
    publishers = dict.fromkeys(known[one].publisher for one in dated.sources)
    return f"{words}{note} Told by {', '.join(publishers)}."


def _withdrawal(event: RegulatoryEvent, number: int) -> str:
    """Say that a claim was withdrawn: the date written right after it tells so."""
    after = event.dates[number : number + 1]
    if not after or after[0].phase is not Phase.RETRACTED or event.dates[number - 1].phase is not Phase.CLAIMED_LIFTED:
        return ""
    [one] = after
    return f" Withdrawn on {date_text(Interval(one.earliest, one.latest), one.precision, one.tz)}."


def _sources_text(event: RegulatoryEvent) -> str:
    publishers = list(dict.fromkeys(one.publisher for one in event.sources))
    if event.confidence.level is ConfidenceLevel.LOW and len(publishers) == 1:
        return f"As told by {publishers[0]} alone: {_reference(event.sources[0])}"
    shown = ", ".join(publishers[:4]) + (" and others" if len(publishers) > 4 else "")
    return f"Sources: {shown}. First of them: {_reference(event.sources[0])}"


def _reference(source: Source) -> str:
    return source.url or source.document or source.title


def _words(phase: Phase) -> str:
    return phase.replace("_", " ").capitalize()
