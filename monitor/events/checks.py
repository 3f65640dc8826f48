"""Rules that one event file must keep, and those that files must keep together; messages complete `key.path: …`."""

import contextlib
import difflib
from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import UTC, date, datetime
from typing import Final
from zoneinfo import ZoneInfo

from monitor.config.checks import suggestion
from monitor.config.document import Complaint, KeyPath
from monitor.events.confidence import confidence_in
from monitor.events.interval import Interval, edge, trouble_with, written
from monitor.events.record import (
    Dated,
    EventStatus,
    Kind,
    Phase,
    Precision,
    RegulatoryEvent,
    SourceKind,
)
from monitor.events.schema import DatePart, DuePart, EventPart
from monitor.events.timeline import phase_date

# Dates that may lie ahead; what is said to have happened may not.
_MAY_LIE_AHEAD: Final = frozenset({Phase.PLANNED_END})
_NAMED_AT_MOST: Final = 20
_ONCE_IN_FORCE: Final = (Phase.EFFECTIVE, Phase.ORDERED, Phase.OBSERVED)


def read_date(one: DuePart, default_zone: str) -> tuple[Interval, Precision, str]:
    """Return what a written date means; raises ValueError."""
    tz = one.tz or default_zone
    zone = ZoneInfo(tz)
    if one.on is not None:
        return *written(one.on, zone), tz
    first, _ = edge(one.earliest or "", zone)
    _, last = edge(one.latest or "", zone)
    found, precision = Interval(first, last), one.precision or Precision.DAY
    trouble = trouble_with(found, precision, zone)
    if trouble:
        raise ValueError(trouble)
    return found, precision, tz


def dated(one: DatePart, default_zone: str) -> Dated:
    """Return a written date as a value; raises ValueError."""
    found, precision, tz = read_date(one, default_zone)
    return Dated(
        phase=one.phase,
        earliest=found.earliest,
        latest=found.latest,
        precision=precision,
        tz=tz,
        sources=one.sources,
        edge=one.edge,
        note=one.note,
    )


def complaints_about(event: EventPart, stem: str, platforms: Collection[str], now: datetime) -> Iterator[Complaint]:
    """Yield what is wrong inside one file called `stem`, given the platforms that are known."""
    if event.id != stem:
        yield Complaint(("id",), f"must be the name of the file, {stem!r}")
    yield from _about_dates(event, now)
    yield from _about_sources(event)
    yield from _about_places(event, platforms)
    yield from _about_obligations(event)
    if event.kind is Kind.DEADLINE and not event.obligations:
        message = "a deadline names under obligations what is due, and its base event and period or its date"
        yield Complaint(("kind",), message)
    elif event.kind is not Kind.DEADLINE and not event.dates:
        yield Complaint(("dates",), "must hold at least one date")


def _about_places(event: EventPart, platforms: Collection[str]) -> Iterator[Complaint]:
    for index, one in enumerate(event.platforms):
        if one.id not in platforms:
            yield Complaint(("platforms", index, "id"), f"unknown platform {one.id!r}; {suggestion(one.id, platforms)}")
    for index, region in enumerate(event.regions):
        if region.partition("-")[0] not in event.countries:
            yield Complaint(("regions", index), f"{region} lies in none of the countries of this event")


def _about_obligations(event: EventPart) -> Iterator[Complaint]:
    seen: set[str] = set()
    for index, duty in enumerate(event.obligations):
        if duty.id in seen:
            yield Complaint(("obligations", index, "id"), f"{duty.id!r} is there already")
        seen.add(duty.id)
        if duty.due is not None:
            try:
                read_date(duty.due, event.tz)
            except ValueError as error:
                yield Complaint(("obligations", index, "due"), str(error))


def _about_dates(event: EventPart, now: datetime) -> Iterator[Complaint]:
    dates: list[Dated] = []
    for index, one in enumerate(event.dates):
        path: KeyPath = ("dates", index)
        try:
            found = dated(one, event.tz)
        except ValueError as error:
            yield Complaint((*path, "on") if one.on is not None else path, str(error))
            continue
        dates.append(found)
        if found.earliest > now and one.phase not in _MAY_LIE_AHEAD:
            yield Complaint(path, f"lies ahead; only {Phase.PLANNED_END} and deadlines may")
    if len(dates) == len(event.dates):
        yield from _about_end(event, dates)


def _about_end(event: EventPart, dates: list[Dated]) -> Iterator[Complaint]:
    claimed = {claim.source for claim in event.claims}
    lifted = [one for one in dates if one.phase is Phase.LIFTED]
    if event.status is EventStatus.LIFTED and not any(set(one.sources) - claimed for one in lifted):
        yield Complaint(
            ("status",), "lifted needs a lifted date with a source that is no claim; a claimed_lifted date ends nothing"
        )
    begun = [one.earliest for one in dates if one.phase in _ONCE_IN_FORCE and one.edge == "start"]
    for index, one in enumerate(dates):
        if one.phase in {Phase.LIFTED, Phase.SUSPENDED} and begun and one.latest <= min(begun):
            yield Complaint(("dates", index), f"{one.phase} lies before everything that it could end")


def _about_sources(event: EventPart) -> Iterator[Complaint]:
    known: set[str] = set()
    for index, source in enumerate(event.sources):
        path: KeyPath = ("sources", index)
        if source.id in known:
            yield Complaint((*path, "id"), f"{source.id!r} is there already")
        known.add(source.id)
        if source.url is None and source.document is None:
            yield Complaint(path, "give a url or a document")
        if source.published is not None:
            try:
                written(source.published, ZoneInfo("UTC"))
            except ValueError as error:
                yield Complaint((*path, "published"), str(error))
    for path, key in _named_sources(event):
        if key not in known:
            yield Complaint(path, f"unknown source {key!r}; {suggestion(key, known)}")


def _named_sources(event: EventPart) -> Iterator[tuple[KeyPath, str]]:
    named = [("dates", [one.sources for one in event.dates])]
    named.append(("obligations", [one.sources for one in event.obligations]))
    for section, lists in named:
        for index, keys in enumerate(lists):
            for place, key in enumerate(keys):
                yield (section, index, "sources", place), key
    for index, claim in enumerate(event.claims):
        yield ("claims", index, "source"), claim.source
        if claim.retracted_by is not None:
            yield ("claims", index, "retracted_by"), claim.retracted_by
    for index, cause in enumerate(event.causes):
        yield ("causes", index, "source"), cause.source
    for index, duty in enumerate(event.obligations):
        if duty.moot is not None:
            yield ("obligations", index, "moot", "source"), duty.moot.source


def warnings_about(written_form: EventPart, event: RegulatoryEvent) -> Iterator[Complaint]:
    """Yield what is odd in a sound file."""
    if written_form.status is EventStatus.DISPUTED:
        disputed = [phase for phase in dict.fromkeys(one.phase for one in event.dates) if _is_disputed(event, phase)]
        if disputed:
            message = "disputed is for facts that are denied; that dates disagree is computed"
            yield Complaint(("status",), message)
    computed = confidence_in(event.sources)
    typed = written_form.confidence
    if typed is not None and typed.level is not computed.level and typed.why is None:
        message = f"the rule says {computed.level} ({computed.why}); another level needs a why"
        yield Complaint(("confidence", "level"), message)
    for index, source in enumerate(event.sources):
        is_paper = source.kind in {SourceKind.OFFICIAL, SourceKind.COURT}
        if is_paper and source.quote is None and source.document is None:
            yield Complaint(("sources", index), "an official or court source should have a quote or a document")
        if source.accessed and source.published and _day_before(source.accessed, source.published):
            yield Complaint(("sources", index, "accessed"), "lies before the source was published")
    for index, one in enumerate(event.dates):
        weekday = _weekday_in(one.note or "")
        if weekday is not None and one.precision is Precision.DAY and not _falls_on(one, weekday):
            yield Complaint(("dates", index, "note"), f"names a {weekday}, and the date is none")


_WEEKDAYS: Final = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


def _weekday_in(note: str) -> str | None:
    return next((day for day in _WEEKDAYS if day in note), None)


def _falls_on(one: Dated, weekday: str) -> bool:
    return _WEEKDAYS[one.earliest.astimezone(ZoneInfo(one.tz)).weekday()] == weekday


def _is_disputed(event: RegulatoryEvent, phase: Phase) -> bool:
    found = phase_date(event, phase)
    return found is not None and found.is_disputed


def _day_before(accessed: date, published: str) -> bool:
    with contextlib.suppress(ValueError):
        earliest = written(published, ZoneInfo("UTC"))[0].earliest
        return datetime(accessed.year, accessed.month, accessed.day, tzinfo=UTC) < earliest
    return False


def complaints_across(events: Mapping[str, RegulatoryEvent]) -> Iterator[tuple[str, Complaint]]:
    """Yield (event id, complaint): what only shows when all events are there."""
    for event in events.values():
        for key, targets in (
            ("caused_by", event.links.caused_by),
            ("reversal_of", event.links.reversal_of),
            ("followed_by", event.links.followed_by),
            ("related", event.links.related),
        ):
            for index, target in enumerate(targets):
                path: KeyPath = ("links", key, index)
                if target == event.id:
                    yield event.id, Complaint(path, "an event is not linked to itself")
                elif target not in events:
                    yield event.id, Complaint(path, _no_event(target, events))
        for index, duty in enumerate(event.obligations):
            if duty.event is not None and duty.event not in events:
                yield event.id, Complaint(("obligations", index, "event"), _no_event(duty.event, events))
                continue
            base = events[duty.event] if duty.event else event
            missing = [phase for phase in duty.phases if all(one.phase is not phase for one in base.dates)]
            if missing and duty.due is None:
                message = f"{base.id} has no {missing[0]} date to count from"
                yield event.id, Complaint(("obligations", index, "phases"), message)
    for member in _in_a_cycle(events):
        yield member, Complaint(("links", "caused_by"), "goes round in a circle")


def _no_event(name: str, events: Mapping[str, RegulatoryEvent]) -> str:
    known = events if len(events) <= _NAMED_AT_MOST else difflib.get_close_matches(name, events, n=1)
    return f"no event {name!r}" + (f"; {suggestion(name, known)}" if known else "")


def _in_a_cycle(events: Mapping[str, RegulatoryEvent]) -> Iterable[str]:
    """Return the events that cause themselves: what is left when those without a known cause are taken out again."""
    causes = {name: {one for one in event.links.caused_by if one in events} for name, event in events.items()}
    while free := [name for name, its in causes.items() if not its & causes.keys()]:
        for name in free:
            del causes[name]
    return sorted(causes)
