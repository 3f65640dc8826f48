"""A daemon for the web side that answers from a script."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from monitor.detect.rollup import PlatformVerdict
from monitor.events.annotation import Calendar
from monitor.exporter.exporter import Exporter
from monitor.model.aggregation import OoniCount
from monitor.model.measurement import Recording
from monitor.model.place import Place
from monitor.model.target import Target
from monitor.model.vantage import Role, VantageState
from monitor.model.verdict import Verdict
from monitor.store.incident_detail import IncidentDetail
from monitor.store.outbox_reader import AlertRecord
from monitor.store.reader import HistoryRow, ServedFrom, StoredMeasurement
from monitor.store.store import StoreHealth
from monitor.web.services import (
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
from tests.fakes.events import CALENDAR
from tests.fakes.outcomes import ACCESSIBLE, ISP, LAHORE, NOW, X_HOME, recording

STORE: Final = StoreHealth(
    pending=0,
    spooled=0,
    lost_total=0,
    refused_total=0,
    committed_total=4711,
    last_error=None,
    last_commit_seconds=0.004,
    file_bytes=12_345_678,
    wal_bytes=4096,
)
STATUS: Final = DaemonStatus(
    now=NOW,
    started_at=NOW - timedelta(hours=3),
    is_ready=True,
    version="0.1.0",
    rules_version=1,
    config_digest="d1ce" * 16,
    config_loaded_at=NOW - timedelta(hours=3),
    config_error=None,
    has_control_vantage=True,
    vantages=(
        VantageHealth(
            name=LAHORE.name,
            kind="direct",
            role=Role.TEST,
            country="PK",
            network=ISP,
            state=VantageState.ONLINE,
            checked_at=NOW - timedelta(seconds=20),
        ),
    ),
    open_incidents=(),
    store=STORE,
)


class ScriptedServices:
    """Implements `monitor.web.services.Services`; what was asked of it stands in `asked`."""

    def __init__(
        self,
        *,
        settings: WebSettings | None = None,
        status: DaemonStatus = STATUS,
        targets: Sequence[TargetState] = (),
        platforms: Sequence[PlatformVerdict] = (),
        configured: Sequence[Target] = (X_HOME,),
        recorded: Recording | None = None,
        verdict: Verdict = ACCESSIBLE,
        reload_answer: tuple[bool, str] = (True, "The configuration is in use."),
        stored: Sequence[HistoryRow] = (),
        incidents: Sequence[IncidentDetail] = (),
        calendar: Calendar = CALENDAR,
    ) -> None:
        self.settings = settings or WebSettings()
        self.vantages = (LAHORE.name,)
        self.exporter = Exporter(version="0.1.0", rules_version=1)
        self.asked: list[tuple[object, ...]] = []
        self._status = status
        self._targets = targets
        self._platforms = platforms
        self._configured = configured
        self._result = ProbeResult(recorded or recording(), verdict)
        self._reload_answer = reload_answer
        self._stored = stored
        self._incidents = incidents
        self.calendar = calendar

    def now(self) -> datetime:
        return NOW

    def is_ready(self) -> bool:
        return self._status.is_ready

    def status(self) -> DaemonStatus:
        return self._status

    def find_target(self, name_or_url: str) -> Target | None:
        return next((one for one in self._configured if name_or_url in {one.name, one.url}), None)

    async def targets(self) -> Sequence[TargetState]:
        return self._targets

    def platforms(self, targets: Sequence[TargetState]) -> Sequence[PlatformVerdict]:
        self.asked.append(("platforms", tuple(targets)))
        return self._platforms

    async def history(self, query: HistoryQuery) -> Sequence[HistoryRow]:
        self.asked.append(("history", query))
        return self._stored[: query.limit]

    async def ooni_counts(self, query: CountsQuery) -> Sequence[OoniCount]:
        self.asked.append(("ooni_counts", query))
        return ()

    async def measurement(self, measurement_id: int) -> StoredMeasurement | None:
        self.asked.append(("measurement", measurement_id))
        if measurement_id != 1:
            return None
        return StoredMeasurement(
            measurement=self._result.recording.measurement, platform="x", digest="0" * 64, verdicts=(), evidence=()
        )

    async def served_from(self, target: str, limit: int) -> Sequence[ServedFrom]:
        self.asked.append(("served_from", target, limit))
        return [
            ServedFrom(
                target=target, vantage=LAHORE.name, day=NOW.date(), place=Place("US", 13335), first_at=NOW, last_at=NOW
            )
        ][:limit]

    async def incidents(self, query: IncidentQuery) -> Sequence[IncidentDetail]:
        self.asked.append(("incidents", query))
        return self._incidents[: query.limit]

    async def report(self, incident: str) -> str | None:
        self.asked.append(("report", incident))
        known = any(one.id == incident for one in self._incidents)
        return f"<!DOCTYPE html><title>{incident}</title>" if known else None

    async def alerts(self, query: AlertQuery) -> Sequence[AlertRecord]:
        self.asked.append(("alerts", query))
        return ()

    async def reload(self) -> tuple[bool, str]:
        self.asked.append(("reload",))
        return self._reload_answer

    async def probe(self, target: Target, vantage: str | None, timeout_seconds: float) -> ProbeResult:
        self.asked.append(("probe", target, vantage, timeout_seconds))
        return self._result
