"""What a text can say: the facts of an alert, gathered for templates; pure, and clean of what could move a terminal."""

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, tzinfo
from typing import Final

from monitor.model.alert import OPENING, Alert, AlertKind
from monitor.model.onset import Dating, Edge
from monitor.model.outcome import AffectedNetwork
from monitor.model.verdict import Confidence, Verdict
from monitor.store.incident_detail import IncidentDetail
from monitor.store.reader import DatedEdge

_LONGEST_NAME: Final = 60
_LONGEST_SENTENCE: Final = 600
_MOST_NETWORKS: Final = 20
LATE: Final = timedelta(minutes=5)
_SAME: Final = timedelta(seconds=1)  # the tables keep milliseconds


@dataclass(frozen=True)
class Moment:
    """An instant to be written in UTC and, where the place has one zone, in local time."""

    at: datetime
    zone: tzinfo | None = None
    zone_name: str = ""

    @property
    def utc(self) -> str:
        """Return date and minute in UTC."""
        return f"{self.at:%Y-%m-%d %H:%M}"

    @property
    def local(self) -> str:
        """Return date and minute in local time, empty where that is not known."""
        return "" if self.zone is None else f"{self.at.astimezone(self.zone):%Y-%m-%d %H:%M}"


@dataclass(frozen=True)
class Where:
    """One network of an incident."""

    name: str
    asn: int
    mechanisms: tuple[str, ...]
    confidence: str
    is_over: bool


@dataclass(frozen=True)
class Story:
    """Everything that a template may say about one alert."""

    kind: str
    alert: Alert
    platform: str
    country: str
    status: str
    place: str
    networks: tuple[Where, ...]
    more_networks: int
    affected: int
    ever_affected: int
    measured: int
    confirmed: int
    likely: int
    because: str
    at: Moment
    earliest: Moment | None
    latest: Moment | None
    last_good: Moment | None
    first_bad: Moment | None
    is_before_first: bool
    duration: str
    event_sentences: tuple[str, ...] | None  # None: not compared, since it is not dated
    rounds: int
    returning: tuple[str, ...]
    vantages: tuple[str, ...]
    link: str
    is_late: bool
    is_unstable: bool
    since: Moment | None
    until: Moment | None
    why: str
    replaces: int | None


@dataclass(frozen=True)
class Background:
    """What is known beside the alert when its text is written."""

    now: datetime
    details: Mapping[str, IncidentDetail] = field(default_factory=dict)
    verdicts: Mapping[int, Verdict] = field(default_factory=dict)
    event_sentences: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    zones: Mapping[str, tuple[tzinfo, str]] = field(default_factory=dict)  # of countries that have one alone
    countries: Mapping[str, str] = field(default_factory=dict)  # what they are called
    link: str | None = None
    unstable: frozenset[str] = frozenset()


def story(alert: Alert, background: Background) -> Story:
    """Gather the facts of one alert."""
    incident, detail = alert.incident, background.details.get(alert.subject)
    zone, zone_name = background.zones.get(alert.country or "", (None, ""))
    networks = incident.networks if incident else ()
    now_affected = {one.asn for one in incident.members} if incident else set()
    shown = tuple(_where(one, now_affected, alert, detail, background.verdicts) for one in networks[:_MOST_NETWORKS])
    ended = incident.closed_at if incident else None
    edge = Edge.END if alert.kind is AlertKind.END else Edge.START
    start = interval_of(detail, edge, alert)
    last_good, first_bad = _raw(detail, edge, alert)

    def moment(at: datetime | None) -> Moment | None:
        return None if at is None else Moment(at, zone, zone_name)

    began_at = alert.since or (incident.started_before if incident else None)
    over_at = ended or alert.at
    return Story(
        kind=alert.kind.value,
        alert=alert,
        platform=clean(alert.platform_name or alert.platform or ""),
        country=alert.country or "",
        status=alert.status.value if alert.status else "",
        place=background.countries.get(alert.country or "", alert.country or ""),
        networks=shown,
        more_networks=len(networks) - len(shown),
        affected=len(now_affected),
        ever_affected=len(networks),
        measured=max(incident.measured_networks, len(now_affected)) if incident else 0,
        confirmed=sum(one.confidence == Confidence.CONFIRMED for one in shown if not one.is_over),
        likely=sum(one.confidence == Confidence.LIKELY for one in shown if not one.is_over),
        because=clean(alert.because, _LONGEST_SENTENCE),
        at=Moment(alert.at, zone, zone_name),
        earliest=moment(start[0]),
        latest=moment(start[1]),
        last_good=moment(last_good),
        first_bad=moment(first_bad),
        is_before_first=incident is not None and incident.started_after is None and edge is Edge.START,
        duration=duration(over_at - began_at) if began_at and over_at > began_at else "",
        event_sentences=None
        if (said := background.event_sentences.get(alert.subject)) is None
        else tuple(clean(one, _LONGEST_SENTENCE) for one in said),
        rounds=max((one.onset.rounds for one in detail.edges if one.onset), default=0) if detail else 0,
        returning=tuple(sorted({one.member.target for one in detail.returning})) if detail else (),
        vantages=alert.vantages,
        link=background.link or "",
        is_late=background.now - alert.at > LATE,
        is_unstable=alert.subject in background.unstable,
        since=moment(alert.since),
        until=moment(alert.until),
        why=clean(alert.why, _LONGEST_SENTENCE),
        replaces=alert.update.sequence if alert.kind is AlertKind.RETRACTION and alert.update else None,
    )


def clean(text: str, longest: int = _LONGEST_NAME) -> str:
    """Return text from elsewhere on one line, without controls and marks that reorder what follows, and bounded."""
    plain = "".join(" " if unicodedata.category(each) in {"Cc", "Cf", "Zl", "Zp", "Cs"} else each for each in text)
    plain = " ".join(plain.split())
    return plain if len(plain) <= longest else plain[: longest - 1] + "…"


def duration(length: timedelta) -> str:
    """Return a length of time in the largest two units: `2 d 3 h`, `14 min`."""
    minutes = max(0, int(length.total_seconds() // 60))
    days, rest = divmod(minutes, 24 * 60)
    hours, minutes = divmod(rest, 60)
    parts = [
        f"{days} d" if days else "",
        f"{hours} h" if hours else "",
        f"{minutes} min" if minutes and not days else "",
    ]
    return " ".join(one for one in parts if one) or "under 1 min"


def _where(
    network: AffectedNetwork,
    affected: set[int],
    alert: Alert,
    detail: IncidentDetail | None,
    verdicts: Mapping[int, Verdict],
) -> Where:
    """Return a network as the last entry about it says, the alert's own included."""
    mechanisms: tuple[str, ...] = ()
    confidence = ""
    last = alert.incident.sequence if alert.incident else 0
    known = [one for one in detail.updates if one.sequence <= last] if detail else []
    for update in (*known, *((alert.update,) if alert.update else ())):
        if update.member and update.member.asn == network.asn and update.mechanisms:
            mechanisms = update.mechanisms
            verdict = verdicts.get(update.measurement_id or 0)
            # What an artefact settled stays settled, whatever a later entry rests on.
            if confidence == Confidence.CONFIRMED:
                continue
            if verdict is not None:
                confidence = verdict.confidence or ""
            elif update is alert.update:
                confidence = alert.confidence or ""
    return Where(clean(network.name or ""), network.asn, mechanisms, confidence, network.asn not in affected)


def interval_of(detail: IncidentDetail | None, edge: Edge, alert: Alert) -> tuple[datetime | None, datetime | None]:
    """Return the hull of the dated edges up to an alert; (None, None) while none is dated.

    The rounds around a change are no interval of it: they are shown beside it, as evidence.
    """
    onsets = [one.onset for one in _edges(detail, edge, alert) if one.onset and one.onset.dating is not Dating.UNDATED]
    latest = [one.latest for one in onsets if one.latest]
    earliest = [one.earliest for one in onsets]
    known = [one for one in earliest if one]
    if not latest:
        return None, None
    return (min(known) if len(known) == len(earliest) else None), max(latest)


def _raw(detail: IncidentDetail | None, edge: Edge, alert: Alert) -> tuple[datetime | None, datetime | None]:
    """Return the rounds around the change, the last of the old state and the first of the new."""
    edges = _edges(detail, edge, alert)
    if edges:
        return edges[0].last_before_at, edges[0].first_after_at
    incident = alert.incident
    if incident is None or edge is Edge.END or alert.kind not in OPENING:
        return None, None
    return incident.started_after, incident.started_before


def _edges(detail: IncidentDetail | None, edge: Edge, alert: Alert) -> Sequence[DatedEdge]:
    """Return what had been confirmed when the alert was written, of one edge.

    Which edge it is only its onset tells, so one that was not dated yet must be what the alert itself tells of.
    """
    found = [one for one in detail.edges if one.confirmed_at <= alert.at] if detail else []
    return [
        one for one in found if (alert.at - one.confirmed_at < _SAME if one.onset is None else one.onset.edge is edge)
    ]
