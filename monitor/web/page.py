"""The page at `/`: what somebody without Grafana sees. Made here, without a script."""

import asyncio
import base64
import hashlib
from collections import Counter
from collections.abc import Collection, Container, Iterable, Sequence
from datetime import datetime, timedelta
from functools import cache
from itertools import groupby
from typing import Final, NamedTuple

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from monitor.detect.rollup import PlatformVerdict
from monitor.events.annotation import Calendar, span_text
from monitor.events.deadlines import Deadline, DeadlineState, deadlines
from monitor.events.record import RegulatoryEvent
from monitor.events.selection import when
from monitor.events.timeline import InForce, Span, in_force
from monitor.model.place import Place
from monitor.model.vantage import Role, VantageState
from monitor.model.verdict import Status
from monitor.store.incident_detail import IncidentDetail
from monitor.web.guard import CONTENT_POLICY
from monitor.web.route import Route
from monitor.web.services import DaemonStatus, IncidentQuery, Services, TargetState, VantageHealth

# A sign as well as a colour: one reader in twenty does not see the difference between red and green. Worst first.
_SIGNS: Final = {
    Status.BLOCKED: "✕",
    Status.THROTTLED: "≈",
    Status.WITHHELD: "⊘",
    Status.DOWN: "▼",
    Status.INCONCLUSIVE: "?",
    None: "…",
    Status.ACCESSIBLE: "✓",
}
_RANK: Final = {status: rank for rank, status in enumerate(_SIGNS)}
_ROUNDS_UNTIL_STALE: Final = 3
_MOST_SHOWN: Final = 8
_MOST_INCIDENTS: Final = 100
NO_EVENTS: Final = Calendar()


class ShownEvent(NamedTuple):
    """A regulatory event as the page shows it; `force` is None for a moment."""

    event: RegulatoryEvent
    span: Span
    when: str
    force: InForce | None


async def page(services: Services, _: Request) -> Response:
    """Return the page as it is now."""
    targets = await services.targets()
    incidents = await services.incidents(IncidentQuery(is_open=True, limit=_MOST_INCIDENTS))
    platforms = services.platforms(targets)
    text = await asyncio.to_thread(render, services.status(), targets, platforms, incidents, services.calendar)
    policy = f"{CONTENT_POLICY}; style-src '{_style_hash()}'"
    return HTMLResponse(text, headers={"Content-Security-Policy": policy})


def render(
    status: DaemonStatus,
    targets: Sequence[TargetState],
    platforms: Sequence[PlatformVerdict] = (),
    incidents: Sequence[IncidentDetail] = (),
    calendar: Calendar = NO_EVENTS,
) -> str:
    """Return the HTML."""
    names = {one.platform: one.platform_name for one in targets}
    ordered = sorted(
        targets,
        key=lambda one: (one.platform_name.casefold(), one.platform, _RANK[one.status], one.target, one.vantage),
    )
    groups = [list(members) for _, members in groupby(ordered, key=lambda one: one.platform)]
    groups.sort(key=lambda members: min(_RANK[one.status] for one in members))
    counts = Counter(one.status for one in targets)
    ranked = sorted(platforms, key=lambda one: (_worst(one), _RANK[one.status], one.name.casefold()))
    return (
        _environment()
        .get_template("page.html")
        .render(
            status=status,
            incidents=incidents,
            groups=groups,
            platforms=[one for one in ranked if not _is_clear(one)],
            clear=[one for one in ranked if _is_clear(one)],
            counts=[(found, counts[found]) for found in _SIGNS if counts[found]],
            signs=_SIGNS,
            style=_style(),
            sick=[one for one in status.vantages if one.state not in {None, VantageState.ONLINE}],
            agents={one.vantage: one for one in status.agents},
            network=network_text,
            places=places_text,
            events=latest_events(calendar, names, _countries(status), status.now),
            due=pending_deadlines(calendar, names, _countries(status), status.now),
            names=names,
            titles={name: event.name for name, event in calendar.events.items()},
            platform_names=lambda ids: ", ".join(names[one] for one in ids if one in names) or "no single platform",
            ago=lambda at: duration_text(status.now - at),
            until=lambda at: duration_text(at - status.now),
            is_stale=lambda one: (
                one.measured_at is not None
                and status.now - one.measured_at > timedelta(seconds=_ROUNDS_UNTIL_STALE * one.interval_seconds)
            ),
            words=lambda value: str(value).replace("_", " "),
        )
    )


def _is_clear(one: PlatformVerdict) -> bool:
    """Tell whether a platform is accessible from every vantage, and all that could be judged of it."""
    return not one.is_partial and all(vantage.status is Status.ACCESSIBLE for vantage in one.vantages)


def _worst(one: PlatformVerdict) -> int:
    """Return the rank of the worst that any target of a platform shows anywhere: one that is blocked is the signal."""
    shown = (status for vantage in one.vantages for status in vantage.targets.values())
    return min(map(_RANK.__getitem__, shown), default=_RANK[one.status])


def latest_events(
    calendar: Calendar, platforms: Container[str], countries: Collection[str], now: datetime
) -> list[ShownEvent]:
    """Return the latest events that concern what is measured here, newest first."""
    shown = []
    for event in calendar.events.values():
        stands = when(event, calendar.events)
        if stands is None or stands.span is None or not _concerns(event, platforms, countries):
            continue
        span = stands.span
        force = None if span.start is span.end else in_force(span, now)
        shown.append(ShownEvent(event, span, span_text(event, span), force))
    shown.sort(key=lambda one: (one.span.start.interval.earliest, one.event.id), reverse=True)
    return shown[:_MOST_SHOWN]


def pending_deadlines(
    calendar: Calendar, platforms: Container[str], countries: Collection[str], now: datetime
) -> list[Deadline]:
    """Return the next deadlines that concern what is measured here, the first due first."""
    return [
        one
        for one in deadlines(calendar.events, now)
        if one.state is DeadlineState.PENDING and _concerns(calendar.events[one.event], platforms, countries)
    ][:_MOST_SHOWN]


def _concerns(event: RegulatoryEvent, platforms: Container[str], countries: Collection[str]) -> bool:
    """Tell whether an event names a platform measured here, or none, and a country measured from, or none."""
    is_ours = not event.platforms or any(one.id in platforms for one in event.platforms)
    is_here = not event.countries or not countries or not set(countries).isdisjoint(event.countries)
    return is_ours and is_here


def _countries(status: DaemonStatus) -> set[str]:
    tests = [one for one in status.vantages if one.role is not Role.CONTROL]
    return {country for one in tests if (country := one.country or one.network.country)}


def duration_text(duration: timedelta) -> str:
    """Return a length of time in its two largest units: 3 d 4 h, 12 min, 8 s."""
    seconds = max(0, int(duration.total_seconds()))
    units = (("d", 86_400), ("h", 3600), ("min", 60), ("s", 1))
    largest = next((place for place, (_, length) in enumerate(units) if seconds >= length), len(units) - 1)
    parts: list[str] = []
    for name, length in units[largest : largest + 2]:
        count, seconds = divmod(seconds, length)
        if count or not parts:
            parts.append(f"{count} {name}")
    return " ".join(parts)


def network_text(one: TargetState | VantageHealth) -> str:
    """Return name and number of the network that was observed."""
    names: Iterable[str | None] = (one.network.name, f"AS{one.network.asn}" if one.network.asn is not None else None)
    return " · ".join(name for name in names if name) or "unknown network"


def places_text(places: Sequence[Place]) -> str:
    """Return where servers stand: US (AS13414), PK (AS17557)."""
    return ", ".join(
        f"{one.country or 'unknown country'}{f' (AS{one.asn})' if one.asn else ''}" for one in sorted(places)
    )


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("monitor.web"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["utc"] = _utc
    return environment


@cache
def _style() -> str:
    return _environment().get_template("page.css").render()


@cache
def _style_hash() -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(_style().encode()).digest()).decode()


def _utc(at: datetime) -> str:
    return at.strftime("%Y-%m-%d %H:%M")


ROUTE: Final = Route("/", page, "The page", is_public=True)
