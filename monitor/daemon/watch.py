"""Hears every round and check, and says which conditions begin and end (`monitor.detect.conditions`)."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from monitor.config.schema import CONTROL_SITES_PLATFORM
from monitor.daemon.station import Station
from monitor.detect.conditions import (
    CertificateNow,
    Down,
    Limits,
    PlatformNow,
    Situation,
    VantageNow,
    changed,
    down_after,
)
from monitor.model.alert import Alert
from monitor.model.observation import Purpose, TlsObservation
from monitor.model.outcome import Outcome, Silence
from monitor.model.vantage import Role, VantageCheck, VantageState
from monitor.model.verdict import Status


@dataclass
class _Heard:
    state: VantageState
    since: datetime


class Watch:
    """Remembers what was last seen; what was told before comes from the store at the start."""

    def __init__(self, started_at: datetime, told: Iterable[Alert]) -> None:
        self._started_at = started_at
        self._told = {one.subject: one for one in told}
        self._vantages: dict[str, _Heard] = {}
        self._rounds: dict[str, datetime] = {}
        self._down: dict[tuple[str, str], Down] = {}
        self._judged: set[str] = set()
        self._certificates: dict[str, datetime] = {}

    def check(self, check: VantageCheck) -> None:
        """Take in a vantage's sanity checks."""
        before = self._vantages.get(check.vantage)
        if before is None or before.state is not check.state:
            self._vantages[check.vantage] = _Heard(check.state, check.started_at)

    def hear(self, outcome: Outcome, platform: str, role: Role) -> None:
        """Take in a round."""
        measurement, verdict = outcome.recording.measurement, outcome.verdict
        self._rounds[measurement.vantage] = measurement.started_at
        ends = [
            one.earliest_expiry
            for one in measurement.observations
            if isinstance(one, TlsObservation) and one.verified and one.earliest_expiry and one.purpose is Purpose.PATH
        ]
        if ends:
            self._certificates[measurement.target] = datetime.fromtimestamp(min(ends), UTC)
        # A circumvention route fails for reasons of its own.
        if verdict is None or role is not Role.TEST or verdict.status is Status.INCONCLUSIVE:
            return
        self._judged.add(platform)
        key = (measurement.target, measurement.vantage)
        down = down_after(self._down.pop(key, None), verdict, measurement.started_at)
        if down is not None:
            self._down[key] = down

    def changes(
        self, station: Station, silences: Iterable[Silence], limits: Limits, now: datetime
    ) -> tuple[Alert, ...]:
        """Return what is to be told now, each thing once."""
        alerts = changed(self._told, self._situation(station, silences, now), limits)
        self._told.update((one.subject, one) for one in alerts)
        return alerts

    def _situation(self, station: Station, silences: Iterable[Silence], now: datetime) -> Situation:
        longest: dict[str, float] = {}
        for (_, vantage), one in station.assignments.items():
            longest[vantage] = max(one.interval_seconds, longest.get(vantage, 0.0))
        downs: dict[str, list[Down]] = {}
        for (target, vantage), down in self._down.items():
            if (target, vantage) in station.assignments:
                downs.setdefault(station.targets[target].platform, []).append(down)
        return Situation(
            now=now,
            started_at=self._started_at,
            vantages=tuple(
                VantageNow(
                    name=name,
                    country=vantage.info.country,
                    state=heard.state if (heard := self._vantages.get(name)) else None,
                    since=heard.since if heard else None,
                    last_round_at=self._rounds.get(name),
                    interval_seconds=longest.get(name),
                )
                for name, vantage in station.vantages.items()
            ),
            platforms=tuple(
                PlatformNow(
                    platform=platform,
                    name=written.name,
                    is_judged=platform in self._judged,
                    downs=tuple(downs.get(platform, ())),
                )
                for platform, written in station.config.platforms.items()
            ),
            certificates=tuple(
                CertificateNow(name, target.platform, self._certificates.get(name))
                for name, target in station.targets.items()
                if target.platform != CONTROL_SITES_PLATFORM
            ),
            silent_countries=frozenset(one.country for one in silences),
        )
