"""What is told although no platform is blocked: a vantage out of order, a platform down, certificates, silence of ours.

A condition is begun and ended like an incident, and numbered, so that a restart neither repeats nor forgets it. What
cannot be judged yet (nothing was heard since the start) neither begins nor ends anything. A country that is silent
speaks for its vantages, and a vantage out of order for what is not measured from it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec

from monitor.detect.policy import severity_of
from monitor.model.alert import CLOSING, Alert, AlertKind
from monitor.model.vantage import VantageState
from monitor.model.verdict import Status, Verdict

KINDS: Final = (AlertKind.VANTAGE, AlertKind.DOWN, AlertKind.STOPPED, AlertKind.CERTIFICATE)
GONE: Final = "gone"  # why a condition ended: what it was about is watched no more
_WELL: Final = frozenset({VantageState.ONLINE, VantageState.DEGRADED, VantageState.MOVED})
_LEAST_INTERVALS: Final = 3
_LEAST_DOWN_ROUNDS: Final = 3  # each of fewer may have met a fault of seconds of its own


@dataclass(frozen=True)
class Limits:
    """How long a condition must last before it is told, in seconds."""

    vantage_seconds: float = 300.0
    down_seconds: float = 300.0
    stopped_seconds: float = 900.0
    certificate_seconds: float = 14 * 86_400.0


@dataclass(frozen=True)
class VantageNow:
    """A vantage as it was last heard of."""

    name: str
    country: str | None
    state: VantageState | None  # None: not heard of since the start
    since: datetime | None  # when that state began
    last_round_at: datetime | None
    interval_seconds: float | None  # the longest of its targets; None: it is asked on demand only


@dataclass(frozen=True)
class Down:
    """A target that is down as seen from a vantage: since which round, and in how many in a row."""

    since: datetime
    rounds: int
    because: str


def down_after(before: Down | None, verdict: Verdict, at: datetime) -> Down | None:
    """Return what a judged round that started `at` leaves of a target's being down at a vantage."""
    if verdict.status is Status.INCONCLUSIVE:
        return before
    if verdict.status is not Status.DOWN:
        return None
    if before is None:
        return Down(at, 1, verdict.because)
    return replace(before, rounds=before.rounds + 1)


@dataclass(frozen=True)
class PlatformNow:
    """A platform as it was last judged; `downs` are those of its targets and vantages."""

    platform: str
    name: str | None
    is_judged: bool
    downs: tuple[Down, ...] = ()


@dataclass(frozen=True)
class CertificateNow:
    """When the certificate that a target shows ends, None if none was seen since the start."""

    target: str
    platform: str
    ends_at: datetime | None


@dataclass(frozen=True)
class Situation:
    """What the daemon knows now."""

    now: datetime
    started_at: datetime
    vantages: tuple[VantageNow, ...] = ()
    platforms: tuple[PlatformNow, ...] = ()
    certificates: tuple[CertificateNow, ...] = ()
    silent_countries: frozenset[str] = frozenset()


def changed(latest: Mapping[str, Alert], situation: Situation, limits: Limits) -> tuple[Alert, ...]:
    """Return the conditions that begin and those that end; `latest` is the last alert about each subject."""
    judged = dict(_judged(situation, limits))
    alerts = []
    for subject, found in judged.items():
        before = latest.get(subject)
        is_open = before is not None and before.kind not in CLOSING
        number = 1 if before is None else before.sequence + 1
        if isinstance(found, Alert) and not is_open:
            alerts.append(_numbered(found, number))
        elif found is False and is_open and before is not None:
            alerts.append(_ended(before, situation.now, number))
    alerts += [
        _ended(before, situation.now, before.sequence + 1, GONE)
        for subject, before in latest.items()
        if subject not in judged and before.kind in KINDS
    ]
    return tuple(alerts)


def _judged(situation: Situation, limits: Limits) -> Iterable[tuple[str, Alert | bool | None]]:
    """Yield each subject with its alert if the condition holds, False if not, None if that cannot be said."""
    for vantage in situation.vantages:
        yield f"vantage:{vantage.name}", _vantage(vantage, situation, limits)
        if vantage.interval_seconds is not None:
            yield f"stopped:{vantage.name}", _stopped(vantage, vantage.interval_seconds, situation, limits)
    for platform in situation.platforms:
        yield f"down:{platform.platform}", _down(platform, situation.now, limits)
    for one in situation.certificates:
        yield f"certificate:{one.target}", _certificate(one, situation.now, limits)


def _vantage(one: VantageNow, situation: Situation, limits: Limits) -> Alert | bool | None:
    if one.state is None or one.since is None:
        return None
    if one.state in _WELL:
        return False
    lasted = situation.now - one.since
    if lasted < timedelta(seconds=limits.vantage_seconds) or one.country in situation.silent_countries:
        return None
    return _alert(
        f"vantage:{one.name}", AlertKind.VANTAGE, situation.now, one.since,
        country=one.country, vantages=(one.name,), why=one.state.value,
    )  # fmt: skip


def _stopped(one: VantageNow, interval_seconds: float, situation: Situation, limits: Limits) -> Alert | bool | None:
    if one.state is not None and one.state not in _WELL:
        return None
    last = max(one.last_round_at or situation.started_at, situation.started_at)
    wait = timedelta(seconds=max(limits.stopped_seconds, _LEAST_INTERVALS * interval_seconds))
    if situation.now - last < wait:
        return None if one.last_round_at is None else False
    return _alert(
        f"stopped:{one.name}", AlertKind.STOPPED, situation.now, last, country=one.country, vantages=(one.name,)
    )


def _down(one: PlatformNow, now: datetime, limits: Limits) -> Alert | bool | None:
    if not one.is_judged:
        return None
    if not one.downs:
        return False
    sure = [each for each in one.downs if each.rounds >= _LEAST_DOWN_ROUNDS]
    first = min(sure, key=lambda each: each.since, default=None)
    if first is None or now - first.since < timedelta(seconds=limits.down_seconds):
        return None
    return _alert(
        f"down:{one.platform}", AlertKind.DOWN, now, first.since,
        platform=one.platform, platform_name=one.name, status=Status.DOWN, because=first.because,
    )  # fmt: skip


def _certificate(one: CertificateNow, now: datetime, limits: Limits) -> Alert | bool | None:
    if one.ends_at is None:
        return None
    if one.ends_at - now >= timedelta(seconds=limits.certificate_seconds):
        return False
    return _alert(
        f"certificate:{one.target}", AlertKind.CERTIFICATE, now, None,
        platform=one.platform, until=one.ends_at, why=one.target,
    )  # fmt: skip


def _alert(subject: str, kind: AlertKind, at: datetime, since: datetime | None, **fields: Any) -> Alert:
    severity = severity_of(kind, None)
    return Alert(subject=subject, kind=kind, sequence=1, at=at, severity=severity, since=since, **fields)


def _numbered(alert: Alert, number: int) -> Alert:
    return msgspec.structs.replace(alert, sequence=number)


def _ended(before: Alert, at: datetime, number: int, why: str | None = None) -> Alert:
    kind = AlertKind(f"{before.kind}_end")
    return msgspec.structs.replace(before, kind=kind, sequence=number, at=at, why=before.why if why is None else why)
