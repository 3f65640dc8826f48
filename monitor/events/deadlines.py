"""Obligations → dated deadlines. Where the base date is disputed there is one deadline for each of its dates."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from enum import StrEnum
from zoneinfo import ZoneInfo

import msgspec

from monitor.events.interval import Interval, later, period_text
from monitor.events.record import Dated, Obligation, Phase, RegulatoryEvent
from monitor.events.timeline import phase_date


class DeadlineState(StrEnum):
    """`moot`: nobody has to keep it any more."""

    PENDING = "pending"
    PASSED = "passed"
    MOOT = "moot"


class Deadline(msgspec.Struct, frozen=True, kw_only=True):
    """By when an obligation is due: within `interval`, at the latest at its end.

    `obligation` is the obligation's id, followed by `@` and the date if the base date is disputed.
    """

    event: str
    obligation: str
    what: str
    interval: Interval
    tz: str
    state: DeadlineState
    is_disputed: bool
    base: str  # what it is counted from, in words
    why_moot: str | None = None
    reported_by: str | None = None
    platforms: tuple[str, ...] = ()


def deadlines(events: Mapping[str, RegulatoryEvent], now: datetime) -> tuple[Deadline, ...]:
    """Return the deadlines of all events as of `now`, in the order of time."""
    found = [one for event in events.values() for one in _of(event, events, now)]
    return tuple(sorted(found, key=lambda one: (one.interval, one.event, one.obligation)))


def due_intervals(event: RegulatoryEvent, events: Mapping[str, RegulatoryEvent]) -> list[Interval]:
    """Return when the obligations of an event are due, as far as their base is dated."""
    return [interval for one in event.obligations for interval, _, _ in _dues(one, _base(event, one, events))]


def _base(event: RegulatoryEvent, obligation: Obligation, events: Mapping[str, RegulatoryEvent]) -> RegulatoryEvent:
    return events.get(obligation.event, event) if obligation.event else event


def _of(event: RegulatoryEvent, events: Mapping[str, RegulatoryEvent], now: datetime) -> Iterator[Deadline]:
    for obligation in event.obligations:
        base = _base(event, obligation, events)
        dues = {interval: (tz, words) for interval, tz, words in _dues(obligation, base)}
        for interval, (tz, words) in sorted(dues.items()):
            day = interval.earliest.astimezone(ZoneInfo(tz)).date()
            why_moot = obligation.moot.why if obligation.moot else _ended_before(base, interval)
            yield Deadline(
                event=event.id,
                obligation=obligation.id if len(dues) == 1 else f"{obligation.id}@{day}",
                what=obligation.what,
                interval=interval,
                tz=tz,
                state=_state(interval, now, is_moot=why_moot is not None),
                is_disputed=len(dues) > 1,
                base=words,
                why_moot=why_moot,
                reported_by=obligation.reported_by,
                platforms=tuple(one.id for one in event.platforms),
            )


def _dues(obligation: Obligation, base: RegulatoryEvent) -> Iterator[tuple[Interval, str, str]]:
    if obligation.due is not None:
        yield Interval(obligation.due.earliest, obligation.due.latest), obligation.due.tz, "the date set"
    elif obligation.after is not None:
        for one in _base_dates(base, obligation.phases):
            day = one.earliest.astimezone(ZoneInfo(one.tz)).date()
            words = f"{period_text(obligation.after)} after {one.phase.replace('_', ' ')} {day}"
            yield later(Interval(one.earliest, one.latest), obligation.after, ZoneInfo(one.tz)), one.tz, words


def _base_dates(base: RegulatoryEvent, phases: Iterable[Phase]) -> list[Dated]:
    """Return the dates to count from; those of one phase that agree count once, as the narrowest of them."""
    found: list[Dated] = []
    for phase in phases:
        dates = [one for one in base.dates if one.phase is phase]
        joined = phase_date(base, phase)
        if joined is not None and not joined.is_disputed:
            dates = [min(dates, key=lambda one: one.latest - one.earliest)]
        found += dates
    return found


def _ended_before(base: RegulatoryEvent, due: Interval) -> str | None:
    """Say that what the obligation rests on ended before it was due, if it did."""
    for phase in (Phase.LIFTED, Phase.SUSPENDED):
        end = phase_date(base, phase)
        if end is not None and end.interval.latest <= due.earliest:
            return f"{base.name}: {phase} before it was due"
    return None


def _state(due: Interval, now: datetime, *, is_moot: bool) -> DeadlineState:
    if is_moot:
        return DeadlineState.MOOT
    return DeadlineState.PASSED if now >= due.latest else DeadlineState.PENDING
