"""Who is told what: which alerts mean which messages, by the routes of the configuration.

A route decides when a subject begins to matter to it. What follows (`FOLLOWING`) goes wherever the beginning went,
which is known only when it is sent (`dispatch.py`): so a route that wants two networks is never told the end of what it
was not told the beginning of.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta, tzinfo
from typing import Final, Literal

from monitor.detect.incidents import Returning
from monitor.events.deadlines import DeadlineState, deadlines
from monitor.events.record import RegulatoryEvent
from monitor.model.alert import CLOSING, SEVERITIES, Alert, AlertKind, Mute, Notice, Planned, Severity
from monitor.model.outcome import Incident, IncidentUpdate, Silence, UpdateKind
from monitor.model.verdict import Confidence, Status, Verdict

FOLLOWING: Final = CLOSING | {
    AlertKind.MECHANISM,
    AlertKind.PARTIAL_END,
    AlertKind.UNWATCHED,
    AlertKind.RETURNING,
    AlertKind.REMINDER,
}
# What a route is told unless it says otherwise. A first look that finds a block has no beginning to tell, and another
# target on the same network is seldom news.
USUAL: Final = frozenset(AlertKind) - {AlertKind.FOUND, AlertKind.JOIN, AlertKind.REMINDER, AlertKind.TEST}
# Never held back: somebody asked for it, or it corrects what was said.
URGENT: Final = frozenset({AlertKind.TEST, AlertKind.RETRACTION})
RETURNING_SCORE: Final = 2.5  # three accessible rounds in a row
_INTERFERENCE: Final = frozenset({Status.BLOCKED, Status.THROTTLED, Status.WITHHELD})
_SEVERITIES_OF: Final = {
    AlertKind.MECHANISM: Severity.WARNING,
    AlertKind.UNWATCHED: Severity.WARNING,
    AlertKind.RETRACTION: Severity.CRITICAL,
    AlertKind.SILENCE: Severity.CRITICAL,
    AlertKind.DOWN: Severity.WARNING,
    AlertKind.VANTAGE: Severity.WARNING,
    AlertKind.STOPPED: Severity.WARNING,
    AlertKind.STORAGE: Severity.CRITICAL,
}
_ENTERING: Final = frozenset({AlertKind.START, AlertKind.FOUND, AlertKind.JOIN, AlertKind.SPREAD, AlertKind.QUORUM})
_INTERFERING: Final = _ENTERING | {AlertKind.CONFIRMED}


@dataclass(frozen=True)
class Quiet:
    """Hours of the local day in which only what is grave enough is told; it may reach over midnight."""

    start: time
    end: time
    zone: tzinfo
    passes: Severity = Severity.CRITICAL

    def ends_at(self, now: datetime) -> datetime | None:
        """Return when the quiet hours that `now` lies in end, None outside of them."""
        local = now.astimezone(self.zone)
        for day in (local.date() - timedelta(days=1), local.date()):
            start = datetime.combine(day, self.start, self.zone)
            end = datetime.combine(day if self.end > self.start else day + timedelta(days=1), self.end, self.zone)
            if start <= local < end:
                return end.astimezone(now.tzinfo)
        return None


@dataclass(frozen=True)
class Route:
    """Which alerts go to which channels, and how; an empty condition means any."""

    name: str
    channels: tuple[str, ...]
    platforms: frozenset[str] = frozenset()
    countries: frozenset[str] = frozenset()
    vantages: frozenset[str] = frozenset()
    statuses: frozenset[Status] = frozenset()
    confidence: Confidence | None = None
    severity: Severity = Severity.INFO
    kinds: frozenset[AlertKind] = USUAL
    quorum: Literal["any", "majority", "all"] | int = "any"
    delay_seconds: float = 0.0
    remind_seconds: float | None = None
    quiet: Quiet | None = None
    language: str = "en"
    form: str = "long"


@dataclass(frozen=True)
class Policy:
    """Everything that decides who is told."""

    routes: tuple[Route, ...] = ()
    group_seconds: float = 10.0
    maintenance: tuple[Mute, ...] = ()


def plan(alert: Alert, policy: Policy, now: datetime) -> Notice:
    """Return the alert with one message for each channel; where several routes name a channel, the first counts."""
    planned: dict[str, Planned] = {}
    for route in policy.routes:
        if not wants(route, alert):
            continue
        wait = 0.0 if alert.kind in URGENT else max(policy.group_seconds, route.delay_seconds)
        for channel in route.channels:
            one = Planned(
                channel=channel,
                route=route.name,
                due_at=now + timedelta(seconds=wait),
                language=route.language,
                form=route.form,
                delay_seconds=route.delay_seconds,
            )
            planned.setdefault(channel, one)
    return Notice(alert=alert, planned=tuple(planned.values()))


def wants(route: Route, alert: Alert) -> bool:
    """Tell whether a route is to be told of an alert."""
    if not _asks_for(route, alert):
        return False
    about = (
        (route.platforms, {alert.platform, *alert.platforms}),
        (route.countries, {alert.country}),
        (route.vantages, set(alert.vantages)),
    )
    if any(wanted and not wanted & has for wanted, has in about):
        return False
    if alert.kind in FOLLOWING:
        return True
    return (
        (not route.statuses or alert.status in route.statuses)
        and (route.confidence is None or is_confirmed(alert))
        and SEVERITIES.index(alert.severity) >= SEVERITIES.index(route.severity)
        and (alert.incident is None or has_quorum(route, alert.incident))
    )


def is_confirmed(alert: Alert) -> bool:
    """Tell whether an artefact settles what an alert tells of; an incident stays confirmed once it was anywhere."""
    if alert.incident is None:
        return alert.confidence is Confidence.CONFIRMED
    return alert.incident.confirmed_at is not None


def _asks_for(route: Route, alert: Alert) -> bool:
    """Tell whether a route names a kind of alert."""
    match alert.kind:
        case AlertKind.REMINDER:
            return route.remind_seconds is not None
        case AlertKind.CONFIRMED:
            # To a route that wants nothing likely it is the beginning.
            is_found = alert.incident is not None and alert.incident.started_after is None
            begins = (AlertKind.FOUND if is_found else AlertKind.START) in route.kinds
            if begins and route.confidence is not None:
                return True
            # What was found at the first look matters to those only who asked for that.
            return AlertKind.CONFIRMED in route.kinds and (begins or not is_found)
        case kind:
            return kind in route.kinds


def has_quorum(route: Route, incident: Incident) -> bool:
    """Tell whether enough of the networks measured are affected now for a route."""
    affected = len({one.asn for one in incident.members if one.asn})
    match route.quorum:
        case "any":
            return True
        case "majority":
            return 2 * affected > incident.measured_networks
        case "all":
            return affected >= max(1, incident.measured_networks)
        case int() as least:
            return affected >= least


def alerts_of(
    incident: Incident, updates: Iterable[IncidentUpdate], verdict: Verdict | None, *, platform_name: str | None = None
) -> tuple[Alert, ...]:
    """Return what is told of an incident after something happened to it; `verdict` confirmed it."""
    vantages = tuple(sorted({one.vantage for one in incident.all_members}))
    return tuple(
        Alert(
            subject=incident.id,
            kind=(kind := AlertKind(update.kind)),
            sequence=update.sequence,
            at=update.at,
            severity=severity_of(kind, incident.status),
            platform=incident.platform,
            platform_name=platform_name,
            country=incident.country,
            status=incident.status,
            confidence=None if verdict is None else verdict.confidence,
            vantages=(update.member.vantage,) if update.member and kind in _ENTERING else vantages,
            because="" if verdict is None else verdict.because,
            incident=incident,
            # Several entries of one round: an incident that ended with the last of them had not ended before.
            update=update,
        )
        for update in updates
        # An incident whose last member is measured no more has ended without anybody seeing it end.
        if update.kind is not UpdateKind.UNWATCHED or update.sequence == incident.sequence
    )


def returning_alert(incident: Incident, returned: Sequence[Returning], at: datetime, name: str | None) -> Alert | None:
    """Return the early word that all of an incident is reachable again, once a few rounds in a row say so.

    It is numbered as the last entry of the incident, so it is said once until something else happens.
    """
    if len(returned) < len(incident.members) or any(one.score < RETURNING_SCORE for one in returned):
        return None
    return Alert(
        subject=incident.id,
        kind=AlertKind.RETURNING,
        sequence=incident.sequence,
        at=at,
        severity=Severity.INFO,
        platform=incident.platform,
        platform_name=name,
        country=incident.country,
        status=incident.status,
        vantages=tuple(sorted({one.vantage for one in incident.all_members})),
        incident=incident,
        since=min(one.since for one in returned),
    )


def silence_alert(silence: Silence, at: datetime) -> Alert:
    """Return what is told of a country that fell silent, or that is heard again."""
    kind = AlertKind.SILENCE if silence.ended_at is None else AlertKind.SILENCE_END
    return Alert(
        subject=f"silence:{silence.country.lower()}-{silence.started_at:%Y%m%d%H%M%S}",
        kind=kind,
        sequence=1 if silence.ended_at is None else 2,
        at=silence.ended_at or at,
        severity=severity_of(kind, None),
        country=silence.country,
        vantages=silence.vantages,
        since=silence.started_at,
    )


def deadline_alerts(
    events: Mapping[str, RegulatoryEvent], before_seconds: Collection[float], now: datetime
) -> Iterator[Alert]:
    """Yield the deadlines that come near, each numbered by how long before it is told.

    Of several times before a deadline only the nearest counts, so that a daemon started late tells it once.
    """
    for due in deadlines(events, now):
        if due.state is not DeadlineState.PENDING:
            continue
        left = (due.interval.latest - now).total_seconds()
        before = min((one for one in before_seconds if left <= one), default=None)
        event = events.get(due.event)
        if before is None or event is None:
            continue
        yield Alert(
            subject=f"deadline:{due.event}/{due.obligation}",
            kind=AlertKind.DEADLINE,
            sequence=int(before),
            at=now,
            severity=severity_of(AlertKind.DEADLINE, None),
            platforms=due.platforms,
            country=next(iter(event.countries), None),
            why=f"{due.what} ({event.name})",
            until=due.interval.latest,
        )


def severity_of(kind: AlertKind, status: Status | None) -> Severity:
    """Return how much an alert matters."""
    if kind in _INTERFERING:
        return Severity.CRITICAL if status in _INTERFERENCE else Severity.WARNING
    # The end of a condition matters as much as its beginning did.
    return _SEVERITIES_OF.get(
        AlertKind(kind.removesuffix("_end")) if kind in CLOSING - {AlertKind.END} else kind, Severity.INFO
    )


def reminders(
    incidents: Iterable[Incident], policy: Policy, now: datetime, names: dict[str, str | None]
) -> Sequence[Notice]:
    """Return the reminders that are due, each numbered by the minutes since the incident opened.

    Of those missed while nothing ran only the last is due, and one that was written already is not written again.
    """
    found = []
    for incident in incidents:
        for route in policy.routes:
            if route.remind_seconds is None:
                continue
            number = (now - incident.opened_at) // timedelta(seconds=route.remind_seconds)
            if number < 1:
                continue
            at = incident.opened_at + number * timedelta(seconds=route.remind_seconds)
            alert = Alert(
                subject=incident.id,
                kind=AlertKind.REMINDER,
                sequence=int((at - incident.opened_at).total_seconds() // 60),
                at=at,
                severity=Severity.INFO,
                platform=incident.platform,
                platform_name=names.get(incident.platform),
                country=incident.country,
                status=incident.status,
                vantages=tuple(sorted({one.vantage for one in incident.all_members})),
                incident=incident,
            )
            notice = plan(alert, Policy((route,), policy.group_seconds), now)
            if notice.planned:
                found.append(notice)
    return found
