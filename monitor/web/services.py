"""What the web side asks of the daemon, and the values it shows."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, NamedTuple, Protocol

import msgspec

from monitor.detect.rollup import PlatformVerdict
from monitor.events.annotation import Calendar
from monitor.exporter.exporter import Exporter
from monitor.model.aggregation import OoniCount
from monitor.model.measurement import Recording
from monitor.model.outcome import Incident, Silence
from monitor.model.place import Place
from monitor.model.target import Target
from monitor.model.vantage import NetworkIdentity, Role, VantageState
from monitor.model.verdict import Confidence, Reason, Status, Verdict
from monitor.store.incident_detail import IncidentDetail
from monitor.store.outbox_reader import AlertRecord
from monitor.store.reader import HistoryRow, ServedFrom, StoredMeasurement
from monitor.store.store import StoreHealth

# Name and platform of a target that is not configured and that `/probe` is allowed to measure. It has no history.
UNLISTED: Final = "unlisted"


class TargetState(msgspec.Struct, frozen=True, kw_only=True):
    """A target at a vantage as of its latest measurement; `status` is None before the first."""

    platform: str
    platform_name: str  # what people call it
    target: str
    url: str
    vantage: str
    interval_seconds: float
    network: NetworkIdentity = NetworkIdentity()
    status: Status | None = None
    confidence: Confidence | None = None
    mechanisms: tuple[str, ...] = ()
    reason: Reason | None = None
    rule: str | None = None
    because: str | None = None
    since: datetime | None = None  # UTC
    measured_at: datetime | None = None  # UTC
    measurement: int | None = None
    served_from: tuple[Place, ...] = ()  # of its servers, as last seen within two days


class VantageHealth(msgspec.Struct, frozen=True, kw_only=True):
    """A vantage as of its latest sanity checks; `state` is None before the first, or where they are switched off."""

    name: str
    kind: str
    role: Role
    country: str | None = None  # claimed by the configuration
    network: NetworkIdentity = NetworkIdentity()
    as_claimed: dict[str, bool] = {}  # `country` and `asn`, where both the claim and what is seen are known
    state: VantageState | None = None
    checked_at: datetime | None = None  # UTC
    notes: tuple[str, ...] = ()
    reason: str | None = None  # why it cannot be used at all, as in verdicts


class AgentHealth(msgspec.Struct, frozen=True, kw_only=True):
    """An agent that pushes, by what it last said of itself."""

    vantage: str
    enrolled_at: datetime  # UTC
    last_seen_at: datetime | None  # UTC
    software: str
    quiet: str | None  # why it measures nothing
    spool_rows: int  # results that wait at it
    dropped_count: int  # results that it had no room for
    vetoed: tuple[str, ...]  # targets that its owner does not measure
    clock_offset_seconds: float | None  # our clock minus its own


class DaemonStatus(msgspec.Struct, frozen=True, kw_only=True):
    """The daemon and what it works with. `has_control_vantage` decides what an address block can be told from."""

    now: datetime  # UTC
    started_at: datetime  # UTC
    is_ready: bool
    version: str
    rules_version: int
    config_digest: str
    config_loaded_at: datetime  # UTC
    config_error: str | None  # why the latest reload was refused
    has_control_vantage: bool
    vantages: tuple[VantageHealth, ...]
    open_incidents: tuple[Incident, ...]
    silences: tuple[Silence, ...] = ()  # countries of which no vantage has a line: perhaps a shutdown
    agents: tuple[AgentHealth, ...] = ()  # that push, and are heard
    store: StoreHealth


@dataclass(frozen=True)
class WebSettings:
    """What the configuration says about the HTTP side; a reload replaces it as a whole."""

    token: str | None = field(default=None, repr=False)
    hosts: frozenset[str] | None = None  # names that the Host header may carry; None: any. See `guard.hosts_of`
    allow_hosts: tuple[str, ...] = ()
    allow_origins: frozenset[str] = frozenset()  # sites whose pages may read the API in a browser
    probe_seconds: float = 45.0  # the longest that a measurement for `/probe` may take
    timeout_offset_seconds: float = 0.5


class ProbeResult(NamedTuple):
    """A measurement asked for through `/probe`, and its verdict."""

    recording: Recording
    verdict: Verdict


class HistoryQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which measurements are wanted, newest first; times are UTC, `since` included, `until` not."""

    target: str
    vantage: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    limit: int = 100


class CountsQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which of OONI's counts are wanted, newest first; times as in `HistoryQuery`."""

    domain: str
    country: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    limit: int = 100


class IncidentQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which incidents are wanted, newest first."""

    platform: str | None = None
    country: str | None = None
    is_open: bool = False  # only those that have not ended
    limit: int = 100


class AlertQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which alerts are wanted, newest first."""

    incident: str | None = None
    channel: str | None = None
    state: str | None = None  # of a message
    limit: int = 100


class Services(Protocol):
    """The daemon, as far as HTTP may reach it. Nothing here blocks the event loop."""

    exporter: Exporter

    @property
    def settings(self) -> WebSettings:
        """What the configuration in use says."""
        ...

    @property
    def vantages(self) -> Collection[str]:
        """Names of the vantages that `/probe` may ask for."""
        ...

    @property
    def calendar(self) -> Calendar:
        """The regulatory events."""
        ...

    def now(self) -> datetime:
        """Return the time, in UTC."""
        ...

    def is_ready(self) -> bool:
        """Tell whether the configuration is in use, the store open and the schedule running."""
        ...

    def status(self) -> DaemonStatus:
        """Return how the daemon is."""
        ...

    def find_target(self, name_or_url: str) -> Target | None:
        """Return the configured target with this name or exactly this URL."""
        ...

    async def targets(self) -> Sequence[TargetState]:
        """Return every configured target at every vantage that measures it."""
        ...

    def platforms(self, targets: Sequence[TargetState]) -> Sequence[PlatformVerdict]:
        """Return how platforms stand as a whole, for each country, drawn from how their targets do."""
        ...

    async def history(self, query: HistoryQuery) -> Sequence[HistoryRow]:
        """Return stored measurements with their verdicts."""
        ...

    async def ooni_counts(self, query: CountsQuery) -> Sequence[OoniCount]:
        """Return counts that OONI published."""
        ...

    async def measurement(self, measurement_id: int) -> StoredMeasurement | None:
        """Return one stored measurement whole: observations, verdicts, digests of its evidence."""
        ...

    async def served_from(self, target: str, limit: int) -> Sequence[ServedFrom]:
        """Return where a target was served from, the latest days first."""
        ...

    async def incidents(self, query: IncidentQuery) -> Sequence[IncidentDetail]:
        """Return incidents with their details, newest first."""
        ...

    async def report(self, incident: str) -> str | None:
        """Return the report of an incident as a page, at most a minute old; None if there is no such incident."""
        ...

    async def alerts(self, query: AlertQuery) -> Sequence[AlertRecord]:
        """Return alerts with their messages and attempts, newest first."""
        ...

    async def reload(self) -> tuple[bool, str]:
        """Read the configuration again; return whether it is in use now, and what is wrong with it otherwise."""
        ...

    async def probe(self, target: Target, vantage: str | None, timeout_seconds: float) -> ProbeResult:
        """Measure now, from the first test vantage by default.

        A vantage that cannot be used is an inconclusive verdict, not an exception. The target's expectation may stop
        at an earlier step than the configured one, so nothing that follows may be taken into the target's series.
        """
        ...
