"""What the web side may ask of the daemon (`monitor.web.services.Services`)."""

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING

import msgspec

import monitor
from monitor.classify.rules import RULES_VERSION
from monitor.daemon.platforms import platform_verdicts
from monitor.detect.rollup import PlatformVerdict
from monitor.events.annotation import Calendar
from monitor.model.agent import Agent
from monitor.model.aggregation import OoniCount
from monitor.model.place import Place
from monitor.model.seams import Clock
from monitor.model.target import Target
from monitor.model.verdict import Reason, Status, Verdict
from monitor.report.gather import ReportError, about_incident, gathered
from monitor.report.page import as_page
from monitor.store import outbox_reader
from monitor.store.incident_detail import IncidentDetail, details
from monitor.store.outbox_reader import AlertRecord
from monitor.store.reader import HistoryRow, ServedFrom, StoredMeasurement
from monitor.web.guard import hosts_of
from monitor.web.services import (
    AgentHealth,
    AlertQuery,
    CountsQuery,
    DaemonStatus,
    HistoryQuery,
    IncidentQuery,
    ProbeResult,
    TargetState,
    VantageHealth,
    WebSettings,
)

if TYPE_CHECKING:
    from monitor.daemon.application import Daemon


_LATELY = timedelta(days=2)
_MOST_PLACES = 10_000
_REPORT_SECONDS = 60.0
_REPORTS_KEPT = 8


class DaemonServices:
    """Reads from the daemon's present state and, in threads, from the store."""

    def __init__(self, daemon: "Daemon", clock: Clock) -> None:
        self._daemon = daemon
        self._clock = clock
        self.exporter = daemon.exporter
        self._writing = asyncio.Lock()
        self._reports: dict[str, tuple[float, str]] = {}  # by incident: when it was written (monotonic), the page

    @property
    def settings(self) -> WebSettings:
        """What the configuration in use says."""
        config = self._daemon.station.config
        server = config.server
        return WebSettings(
            token=server.token.get_secret_value() if server.token else None,
            hosts=hosts_of(server.listen),
            allow_hosts=server.probe.allow_hosts,
            allow_origins=frozenset(server.allow_origins),
            probe_seconds=config.defaults.timeouts.total,
            timeout_offset_seconds=server.probe.timeout_offset,
        )

    @property
    def vantages(self) -> Collection[str]:
        """Names of the vantages that `/probe` may ask for."""
        return self._daemon.station.test_vantages

    @property
    def calendar(self) -> Calendar:
        """The regulatory events that the configuration in use names."""
        return self._daemon.calendar

    def now(self) -> datetime:
        """Return the time, in UTC."""
        return self._clock.now()

    def is_ready(self) -> bool:
        """Tell whether the configuration is in use, the store open and the schedule running."""
        return self._daemon.is_ready

    def status(self) -> DaemonStatus:
        """Return how the daemon is."""
        daemon = self._daemon
        station = daemon.station
        return DaemonStatus(
            now=self._clock.now(),
            started_at=daemon.started_at,
            is_ready=daemon.is_ready,
            version=monitor.__version__,
            rules_version=RULES_VERSION,
            config_digest=station.config_digest,
            config_loaded_at=daemon.config_loaded_at,
            config_error=daemon.config_error,
            has_control_vantage=bool(station.controls),
            vantages=tuple(self._vantage(name) for name in station.vantages),
            open_incidents=daemon.open_incidents,
            silences=daemon.silences,
            agents=tuple(map(_health_of, daemon.agents)),
            store=daemon.store.health(),
        )

    def find_target(self, name_or_url: str) -> Target | None:
        """Return the configured target with this name or exactly this URL."""
        targets = self._daemon.station.targets
        return targets.get(name_or_url) or next((one for one in targets.values() if one.url == name_or_url), None)

    async def targets(self) -> Sequence[TargetState]:
        """Return every configured target at every vantage that measures it."""
        station = self._daemon.station
        served = await asyncio.to_thread(self._served_lately)
        latest = {(one.target, one.vantage): one for one in await asyncio.to_thread(self._daemon.reader.latest, None)}
        states = []
        for key, assignment in station.assignments.items():
            platform = station.config.platforms.get(assignment.target.platform)
            state = TargetState(
                platform=assignment.target.platform,
                platform_name=(platform and platform.name) or assignment.target.platform,
                target=assignment.target.name,
                url=assignment.target.url,
                vantage=assignment.vantage_name,
                interval_seconds=assignment.interval_seconds,
                served_from=served.get(key, ()),
            )
            if known := latest.get(key):
                state = msgspec.structs.replace(
                    state,
                    network=known.network,
                    status=known.status,
                    confidence=known.confidence,
                    mechanisms=known.mechanisms,
                    reason=known.reason,
                    rule=known.rule,
                    because=known.because,
                    since=known.since,
                    measured_at=known.measured_at,
                    measurement=known.measurement_id,
                )
            states.append(state)
        return states

    def platforms(self, targets: Sequence[TargetState]) -> Sequence[PlatformVerdict]:
        """Return how platforms stand as a whole, for each country, drawn from how their targets do."""
        station = self._daemon.station
        latest = {(one.target, one.vantage): one for one in targets}
        return platform_verdicts(station.config, station.plan, latest, self._clock.now())

    async def history(self, query: HistoryQuery) -> Sequence[HistoryRow]:
        """Return stored measurements with their verdicts, newest first."""
        return await asyncio.to_thread(
            self._daemon.reader.history,
            query.target,
            query.vantage,
            since=query.since,
            until=query.until,
            limit=query.limit,
        )

    async def ooni_counts(self, query: CountsQuery) -> Sequence[OoniCount]:
        """Return counts that OONI published."""
        return await asyncio.to_thread(
            self._daemon.reader.ooni_counts,
            query.domain,
            country=query.country,
            since=query.since,
            until=query.until,
            limit=query.limit,
        )

    async def measurement(self, measurement_id: int) -> StoredMeasurement | None:
        """Return one stored measurement whole."""
        return await asyncio.to_thread(self._daemon.reader.measurement, measurement_id)

    async def served_from(self, target: str, limit: int) -> Sequence[ServedFrom]:
        """Return where a target was served from, the latest days first."""
        return await asyncio.to_thread(self._daemon.reader.served_from, target=target, limit=limit)

    def _served_lately(self) -> dict[tuple[str, str], tuple[Place, ...]]:
        """Return where each target was served from on the last day of the past two that tells."""
        found: dict[tuple[str, str], dict[Place, date]] = {}
        for one in self._daemon.reader.served_from(since=self._clock.now() - _LATELY, limit=_MOST_PLACES):
            places = found.setdefault((one.target, one.vantage), {})
            if one.day == next(iter(places.values()), one.day):
                places[one.place] = one.day
        return {key: tuple(places) for key, places in found.items()}

    async def incidents(self, query: IncidentQuery) -> Sequence[IncidentDetail]:
        """Return incidents with their details, newest first."""
        return await asyncio.to_thread(self._incidents, query)

    def _incidents(self, query: IncidentQuery) -> Sequence[IncidentDetail]:
        reader = self._daemon.reader
        found = reader.incidents(platform=query.platform, country=query.country)
        wanted = [one for one in found if one.closed_at is None or not query.is_open]
        return details(reader, wanted[: query.limit])

    async def report(self, incident: str) -> str | None:
        """Return the report of an incident as a page, at most a minute old; one is written at a time."""
        async with self._writing:
            written = self._reports.get(incident)
            if written is None or self._clock.monotonic() - written[0] > _REPORT_SECONDS:
                text = await asyncio.to_thread(self._report, incident)
                if text is None:
                    return None
                while len(self._reports) >= _REPORTS_KEPT:
                    del self._reports[next(iter(self._reports))]
                written = self._reports[incident] = (self._clock.monotonic(), text)
            return written[1]

    def _report(self, incident: str) -> str | None:
        reader, now = self._daemon.reader, self._clock.now()
        platforms = {name: one.name for name, one in self._daemon.station.config.platforms.items()}
        try:
            subject = about_incident(reader, incident, now)
            named = replace(subject, name=platforms.get(subject.platform) or subject.platform)
            return as_page(gathered(reader, self.calendar, named, now))
        except ReportError:
            return None

    async def alerts(self, query: AlertQuery) -> Sequence[AlertRecord]:
        """Return alerts with their messages and attempts, newest first."""
        ask = self._daemon.reader.ask
        return await asyncio.to_thread(
            outbox_reader.records,
            ask,
            limit=query.limit,
            incident=query.incident,
            channel=query.channel,
            state=query.state,
        )

    async def reload(self) -> tuple[bool, str]:
        """Read the configuration again; return whether it is in use now, and what is wrong with it otherwise."""
        return await self._daemon.reload()

    async def probe(self, target: Target, vantage: str | None, timeout_seconds: float) -> ProbeResult:
        """Measure now, from the first test vantage by default, beside the target's series."""
        station = self._daemon.station
        place = station.vantages[vantage or station.test_vantages[0]]
        outcome = await station.pipeline.glance(target, place, timeout_seconds)
        verdict = outcome.verdict or Verdict(
            status=Status.INCONCLUSIVE,
            rule="insufficient",
            because="Nothing could be measured.",
            rules_version=RULES_VERSION,
            reason=Reason.INSUFFICIENT_DATA,
        )
        return ProbeResult(outcome.recording, verdict)

    def _vantage(self, name: str) -> VantageHealth:
        station = self._daemon.station
        info, check = station.vantages[name].info, station.sanity.latest(name)
        health = VantageHealth(name=name, kind=info.kind, role=info.role, country=info.country)
        if check is None:
            return health
        return msgspec.structs.replace(
            health,
            network=check.network,
            as_claimed=info.as_claimed(check.network),
            state=check.state,
            checked_at=check.started_at,
            notes=check.notes,
            reason=check.reason,
        )


def _health_of(agent: Agent) -> AgentHealth:
    return AgentHealth(**{name: getattr(agent, name) for name in AgentHealth.__struct_fields__})
