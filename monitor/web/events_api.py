"""The JSON API of regulatory events: records, and marks in the shape that Grafana draws."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from monitor.events.annotation import Calendar, Mark, text_of
from monitor.events.deadlines import Deadline, deadlines
from monitor.events.record import RegulatoryEvent
from monitor.events.selection import Filter, when
from monitor.events.timeline import InForce, in_force
from monitor.web.api import LIMIT, MOST_ITEMS, BadQueryError, Problem, answer, limit_of, time_of
from monitor.web.route import Parameter, Route
from monitor.web.services import Services

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LATEST_MILLISECONDS: Final = 253_402_300_799_000  # the end of the year 9999
_WORDS: Final = {"type": "string", "maxLength": 400, "description": "one, or several with commas between"}
_MILLISECONDS: Final = {"type": "integer", "description": "milliseconds since 1970"}
_TIME: Final = {"type": "string", "description": "ISO 8601 with an offset, or seconds since 1970"}


class Annotation(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A mark as Grafana takes it: milliseconds since 1970, an open end is now, lists with commas between."""

    id: str
    time: int
    time_end: int
    title: str
    text: str
    tags: str
    kind: str
    country: str
    platform: str
    status: str | None
    url: str | None


class EventView(msgspec.Struct, frozen=True, kw_only=True):
    """An event and what follows from it now; `in_force` is None for a moment, `latest` while no end is known."""

    event: RegulatoryEvent
    earliest: datetime | None
    latest: datetime | None
    in_force: InForce | None
    text: str
    deadlines: tuple[Deadline, ...]


class Events(msgspec.Struct, frozen=True):
    """Answer of /api/v1/events, newest first."""

    events: tuple[EventView, ...]


async def annotations(services: Services, request: Request) -> Response:
    """Return the marks that overlap a time range."""
    since, until = _milliseconds(request, "from", 0), _milliseconds(request, "to", _LATEST_MILLISECONDS)
    if since > until:
        raise BadQueryError("from: lies after to")
    wanted = _filter(request)
    kinds = _several(request, "kind")
    limit = limit_of(request, MOST_ITEMS)
    calendar, now = services.calendar, services.now()
    found = [
        mark
        for mark in calendar.marks
        if mark.overlaps(_instant(since), _instant(until)) and (not kinds or mark.kind in kinds) and _fits(mark, wanted)
    ]
    return answer([annotation_of(mark, now) for mark in found[-limit:]])


async def events(services: Services, request: Request) -> Response:
    """Return the events that fit, newest first."""
    wanted, limit = _filter(request, with_kinds=True), limit_of(request)
    calendar, now = services.calendar, services.now()
    return answer(Events(tuple(await asyncio.to_thread(_views, calendar, wanted, now, limit))))


async def event(services: Services, request: Request) -> Response:
    """Return one event."""
    found = services.calendar.events.get(request.path_params["event"])
    if found is None:
        return answer(Problem("no such event"), 404)
    calendar = services.calendar
    due = await asyncio.to_thread(deadlines, calendar.events, now := services.now())
    return answer(view_of(found, calendar, now, [one for one in due if one.event == found.id]))


def annotation_of(mark: Mark, now: datetime) -> Annotation:
    """Return a mark as Grafana takes it."""
    return Annotation(
        id=mark.id,
        time=_ms(mark.earliest),
        time_end=_ms(max(mark.earliest, now) if mark.latest is None else mark.latest),
        title=mark.title,
        text=mark.text,
        tags=",".join(mark.tags),
        kind=mark.kind,
        country=",".join(mark.countries),
        platform=",".join(mark.platforms),
        status=mark.status,
        url=mark.url,
    )


def view_of(event: RegulatoryEvent, calendar: Calendar, now: datetime, due: Sequence[Deadline]) -> EventView:
    """Return an event with what follows from it; `due` are its deadlines."""
    stands = when(event, calendar.events)
    span = stands.span if stands else None
    is_moment = span is None or span.start is span.end
    return EventView(
        event=event,
        earliest=stands.earliest if stands else None,
        latest=stands.latest if stands else None,
        in_force=None if is_moment or span is None else in_force(span, now),
        text=text_of(event, span),
        deadlines=tuple(due),
    )


def _views(calendar: Calendar, wanted: Filter, now: datetime, limit: int) -> list[EventView]:
    stands = {name: found for name, one in calendar.events.items() if (found := when(one, calendar.events))}
    fitting = [name for name, found in stands.items() if wanted.fits(calendar.events[name], found)]
    fitting.sort(key=lambda name: (stands[name].earliest, name), reverse=True)
    due: dict[str, list[Deadline]] = {}
    for one in deadlines(calendar.events, now):
        due.setdefault(one.event, []).append(one)
    return [view_of(calendar.events[name], calendar, now, due.get(name, ())) for name in fitting[:limit]]


def _filter(request: Request, *, with_kinds: bool = False) -> Filter:
    return Filter(
        countries=_several(request, "country"),
        platforms=_several(request, "platform"),
        kinds=_several(request, "kind") if with_kinds else (),
        tags=_several(request, "tag"),
        since=time_of(request, "since"),
        until=time_of(request, "until"),
    )


def _fits(mark: Mark, wanted: Filter) -> bool:
    return (
        (not wanted.countries or not set(wanted.countries).isdisjoint(mark.countries))
        and (not wanted.platforms or not set(wanted.platforms).isdisjoint(mark.platforms))
        and (not wanted.tags or not set(wanted.tags).isdisjoint(mark.tags))
    )


def _several(request: Request, name: str) -> tuple[str, ...]:
    return tuple(word for word in request.query_params.get(name, "").split(",") if word)


def _milliseconds(request: Request, name: str, default: int) -> int:
    written = request.query_params.get(name, "")
    if not written:
        return default
    digits = written.removeprefix("-")
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 15):
        raise BadQueryError(f"{name}: must be milliseconds since 1970")
    return min(max(int(written), 0), _LATEST_MILLISECONDS)


def _instant(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


def _ms(at: datetime) -> int:
    return int((at - _EPOCH).total_seconds() * 1000)


_FILTERS: Final = (
    Parameter("country", "only these (ISO 3166-1)", _WORDS),
    Parameter("platform", "only these", _WORDS),
    Parameter("kind", "only these", _WORDS),
    Parameter("tag", "only these", _WORDS),
)
ROUTES: Final = (
    Route(
        "/api/v1/annotations",
        annotations,
        "Regulatory events that overlap a time range, as Grafana draws them; of too many the latest",
        parameters=(
            Parameter("from", "the beginning of the range", _MILLISECONDS),
            Parameter("to", "its end", _MILLISECONDS),
            *_FILTERS,
            LIMIT,
        ),
        answer=list[Annotation],
    ),
    Route(
        "/api/v1/events",
        events,
        "Regulatory events with their sources, newest first",
        parameters=(
            *_FILTERS,
            Parameter("since", "what had not ended by then", _TIME),
            Parameter("until", "what had begun by then", _TIME),
            LIMIT,
        ),
        answer=Events,
    ),
    Route(
        "/api/v1/events/{event}",
        event,
        "One regulatory event",
        parameters=(Parameter("event", "its id", {"type": "string", "maxLength": 80}),),
        answer=EventView,
    ),
)
