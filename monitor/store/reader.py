"""Reading the record, through a connection that cannot change it; safe to call from any thread, and blocking."""

import sqlite3
import threading
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple, Self

import msgspec

from monitor.detect.cusum import is_failing
from monitor.model.aggregation import OoniCount
from monitor.model.fingerprint import Fingerprint
from monitor.model.measurement import Measurement
from monitor.model.observation import Step
from monitor.model.onset import Dating, Edge, KeptRound, Onset
from monitor.model.outcome import Incident, IncidentUpdate, Member, Silence, UpdateKind
from monitor.model.place import Place
from monitor.model.vantage import NetworkIdentity, Role, VantageState
from monitor.model.verdict import (
    Confidence,
    DetectorParameters,
    DetectorState,
    Reason,
    SeriesState,
    Status,
    Transition,
    Verdict,
)
from monitor.store.connection import StoreError, connect_reader
from monitor.store.recorder import LATE_REPLY_ORDINAL, MINUTE_MILLISECONDS
from monitor.store.rows import (
    IMPORTED_KIND,
    POSITION_BITS,
    HttpRow,
    ObservationRow,
    digest,
    instant,
    measurement_from,
    milliseconds,
    network_from,
    observation_from,
    optional_instant,
    prepare_to_decode,
)

_FOREVER: Final = 2**62
_EXPORT_PAGE: Final = 200
_COUNT_FIELDS: Final = OoniCount.__struct_fields__
_KEYS_PAGE: Final = 500
_IMPORTED_SPEAKS_FOR: Final = timedelta(days=2)
_MAX_LIMIT: Final = 10_000
_NOT_ACCESSIBLE: Final = frozenset({Status.BLOCKED, Status.THROTTLED, Status.WITHHELD, Status.DOWN})

_MEASUREMENT_COLUMNS: Final = """
    m.id, t.name AS target, g.name AS vantage, p.name AS platform, u.url, m.started_at, m.elapsed_microseconds,
    m.clock_offset_microseconds, m.is_deep, m.is_interrupted, m.digest, x.software, x.config_digest, x.ca_digest,
    x.hello_profile, x.clock_source, n.asn, n.name AS network, n.country, n.resolver_asn, i.source, i.uid, i.report,
    i.label
FROM measurement m
JOIN target t ON t.id = m.target_id
JOIN vantage g ON g.id = m.vantage_id
JOIN url u ON u.id = m.url_id
JOIN network n ON n.id = m.network_id
JOIN run_context x ON x.id = m.run_context_id
LEFT JOIN platform p ON p.id = t.platform_id
LEFT JOIN imported i ON i.measurement_id = m.id
"""
# The verdict that counts today: the one drawn last.
_CURRENT_CONCLUSION: Final = """
JOIN conclusion c ON c.id = (
    SELECT conclusion_id FROM verdict WHERE measurement_id = m.id ORDER BY drawn_at DESC, rules_version DESC LIMIT 1)
"""
_CONCLUSION_COLUMNS: Final = "c.status, c.confidence, c.layer, c.mechanisms, c.reason, c.rule, c.because"
_OBSERVATIONS: Final = """
SELECT o.id, f.step, f.facts, e.address, e.port, o.failure, o.started_microseconds, o.elapsed_microseconds,
    o.ttls_seconds, h.bytes_sent, h.bytes_received, h.body_bytes, h.body_digest, h.first_byte_microseconds,
    h.header_values
FROM observation o JOIN observation_facts f ON f.id = o.facts_id LEFT JOIN endpoint e ON e.id = o.endpoint_id
LEFT JOIN http_exchange h ON h.observation_id = o.id
WHERE o.id BETWEEN ? AND ? ORDER BY o.id
"""


_COUNTED_HOURS: Final = """
SELECT v.name AS vantage, (h.hour - ?2) / ?4 AS place, sum(h.expected), sum(h.runs), sum(h.kept), sum(h.accessible),
    sum(h.blocked), sum(h.throttled), sum(h.withheld), sum(h.down), sum(h.inconclusive)
FROM platform p JOIN target t ON t.platform_id = p.id CROSS JOIN series s ON s.target_id = t.id
CROSS JOIN rollup_hour h ON h.target_id = s.target_id AND h.vantage_id = s.vantage_id AND h.hour >= ?2 AND h.hour < ?3
JOIN vantage v ON v.id = s.vantage_id
WHERE p.name = ?1 AND coalesce(v.role, '') <> 'control' GROUP BY v.id, place
"""
_UNCOUNTED_HOURS: Final = """
SELECT v.name AS vantage, (d.hour - ?2) / ?4 AS place, 0, count(*),
    sum(c.status IS NOT NULL AND c.status <> 'inconclusive'), sum(c.status IS 'accessible'), sum(c.status IS 'blocked'),
    sum(c.status IS 'throttled'), sum(c.status IS 'withheld'), sum(c.status IS 'down'), sum(c.status IS 'inconclusive')
FROM (SELECT d.hour, d.target_id, d.vantage_id FROM rollup_dirty d JOIN target t ON t.id = d.target_id
    JOIN platform p ON p.id = t.platform_id WHERE p.name = ?1 AND d.hour >= ?2 AND d.hour < ?3 AND NOT EXISTS (
        SELECT 1 FROM rollup_hour WHERE target_id = d.target_id AND vantage_id = d.vantage_id AND hour = d.hour)
    ORDER BY d.hour DESC LIMIT 1000) d
CROSS JOIN measurement m ON m.target_id = d.target_id AND m.vantage_id = d.vantage_id
    AND m.started_at >= d.hour AND m.started_at < d.hour + 3600000
JOIN vantage v ON v.id = d.vantage_id
LEFT JOIN conclusion c ON c.id = (
    SELECT conclusion_id FROM verdict WHERE measurement_id = m.id ORDER BY drawn_at DESC, rules_version DESC LIMIT 1)
WHERE coalesce(v.role, '') <> 'control' GROUP BY v.id, place
"""


class Origin(msgspec.Struct, frozen=True, kw_only=True):
    """Where an imported measurement comes from, and what its source said of it: no verdict of ours."""

    source: str  # ooni
    uid: str | None
    report: str | None
    label: dict[str, str | int | bool | None]


class CurrentState(msgspec.Struct, frozen=True, kw_only=True):
    """How a target stands at a vantage, as of the last measurement judged."""

    platform: str | None
    target: str
    vantage: str
    measurement_id: int
    measured_at: datetime
    since: datetime  # when it came to be so, as far as is known
    status: Status
    confidence: Confidence | None
    layer: Step | None
    mechanisms: tuple[str, ...]
    reason: Reason | None
    rule: str
    because: str
    network: NetworkIdentity
    is_imported: bool = False  # measured by somebody else


class HistoryRow(msgspec.Struct, frozen=True, kw_only=True):
    """One measurement in a history; the verdict's fields are None for one that was not judged."""

    id: int
    target: str
    vantage: str
    started_at: datetime
    elapsed_seconds: float
    is_deep: bool
    network: NetworkIdentity
    status: Status | None
    confidence: Confidence | None
    layer: Step | None
    mechanisms: tuple[str, ...]
    reason: Reason | None
    rule: str | None
    because: str | None
    imported: Origin | None = None


class StoredVerdict(msgspec.Struct, frozen=True, kw_only=True):
    """A verdict as it was drawn, and what else it rests on."""

    verdict: Verdict
    drawn_at: datetime
    state_before: VantageState | None
    state_after: VantageState | None
    control_ids: tuple[int, ...]
    isolation_id: int | None
    circumstances: str | None  # JSON: the rest of its context (classify/redraw.py)


class StoredEvidence(msgspec.Struct, frozen=True, kw_only=True):
    """Raw material behind the observation at `position`; `is_held` is False once its content has expired."""

    position: int
    sha256: str
    kind: str
    bytes: int | None
    is_held: bool


class StoredMeasurement(msgspec.Struct, frozen=True, kw_only=True):
    """A measurement as it is stored; `digest` is the hexadecimal SHA-256 written with it, verdicts newest first."""

    measurement: Measurement
    platform: str | None
    digest: str
    verdicts: tuple[StoredVerdict, ...]
    evidence: tuple[StoredEvidence, ...]
    imported: Origin | None = None

    @property
    def is_genuine(self) -> bool:
        """Whether the digest recomputed from what is stored is the one written with it."""
        return digest(self.measurement).hex() == self.digest


class StoredDetector(msgspec.Struct, frozen=True, kw_only=True):
    """State of the detector for a target at a vantage on a network (asn None: unknown)."""

    target: str
    vantage: str
    asn: int | None
    updated_at: datetime
    detector: DetectorState


class Gap(msgspec.Struct, frozen=True, kw_only=True):
    """Runs that were lost because the database could not be written."""

    from_at: datetime
    to_at: datetime
    runs: int
    why: str


class ServedFrom(msgspec.Struct, frozen=True, kw_only=True):
    """Where servers that proved to be the target's own stood on a day (UTC), as seen from a vantage."""

    target: str
    vantage: str
    day: date
    place: Place
    first_at: datetime
    last_at: datetime


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """How much is stored."""

    measurements: int
    targets: int
    vantages: int
    transitions: int
    incidents_open: int
    runs_lost: int


class StoredChange(msgspec.Struct, frozen=True, kw_only=True):
    """A confirmed change that is to be dated."""

    transition_id: int
    member: Member
    edge: Edge
    at: datetime
    previous_at: datetime | None  # first round of the change of the series before it
    dated_at: datetime | None  # when it was dated last


class DatedEdge(msgspec.Struct, frozen=True, kw_only=True):
    """A start or end at one vantage and network, with the rounds around it as raw evidence."""

    incident: str
    member: Member
    edge: Edge
    network: str | None
    confirmed_at: datetime
    last_before_at: datetime | None
    first_after_at: datetime | None
    onset: Onset | None  # None: not dated yet


class MeasuredFrom(msgspec.Struct, frozen=True, kw_only=True):
    """A vantage from which a platform was ever measured, and the networks it was seen on."""

    vantage: str
    role: Role
    country: str | None  # as configured, else as observed
    is_imported: bool
    targets: tuple[str, ...]
    networks: tuple[NetworkIdentity, ...]  # none for imported measurements


class Counted(NamedTuple):
    """How many runs of a platform at a vantage there were in a stretch of time, and what they showed."""

    vantage: str
    start: datetime
    expected: float
    runs: int
    kept: int
    accessible: int
    blocked: int
    throttled: int
    withheld: int
    down: int
    inconclusive: int


Round = tuple[Measurement, Verdict]


prepare_to_decode(Counts, DetectorParameters, DetectorState, Fingerprint, Incident, OoniCount)


class Reader(AbstractContextManager["Reader"]):
    """Answers questions about the record. Times taken and given are UTC instants; `until` is exclusive.

    Raises StoreError if the file cannot be opened, and sqlite3.Error if it cannot be read.
    """

    def __init__(self, path: Path) -> None:
        try:
            self._db = connect_reader(path)
            self._db.execute("SELECT 1 FROM measurement LIMIT 1")
        except sqlite3.Error as error:
            raise StoreError(f"cannot read {path}: {error}") from error
        self._lock = threading.Lock()

    def __exit__(self, *_: object) -> None:
        """Close."""
        self.close()

    def __enter__(self) -> Self:
        """Return the reader."""
        return self

    def close(self) -> None:
        """Close the connection."""
        with self._lock:
            self._db.close()

    def latest(self, at: datetime | None = None) -> list[CurrentState]:
        """Return how each target stood at each vantage at an instant (now by default), by target and vantage.

        Targets and vantages removed from the configuration by then are left out. What was imported says nothing of
        the present: it is there for an instant in the past, up to two days after it was measured.
        """
        moment = _FOREVER if at is None else milliseconds(at)
        series = self._all(
            "SELECT DISTINCT s.target_id, s.vantage_id FROM series s JOIN target t ON t.id = s.target_id "  # noqa: S608 -- our own words
            "JOIN vantage v ON v.id = s.vantage_id WHERE coalesce(t.removed_at > ?1, 1) "
            "AND coalesce(v.removed_at > ?1, 1) AND EXISTS (SELECT 1 FROM status_run "
            "WHERE target_id = s.target_id AND vantage_id = s.vantage_id AND started_at <= ?1) "
            f"AND (?2 OR NOT {IMPORTED_KIND}) ORDER BY t.name, v.name",
            (moment, at is not None),
        )
        states = (self._current(one["target_id"], one["vantage_id"], moment) for one in series)
        return [
            state
            for state in states
            if state is not None and not (state.is_imported and at and at - state.measured_at > _IMPORTED_SPEAKS_FOR)
        ]

    def names(self, of: Literal["platform", "target", "vantage"]) -> frozenset[str]:
        """Return every name that was ever stored, of what is no longer configured too."""
        return frozenset(row["name"] for row in self._all(f"SELECT name FROM {of}"))  # noqa: S608 -- one of three words

    def history(
        self,
        target: str,
        vantage: str | None = None,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        limit: int = 100,
    ) -> list[HistoryRow]:
        """Return the measurements of a target, newest first, at most `limit` and 10,000."""
        rows = self._all(
            f"SELECT {_CONCLUSION_COLUMNS}, {_MEASUREMENT_COLUMNS} LEFT {_CURRENT_CONCLUSION} "  # noqa: S608 -- our own columns
            "WHERE m.id IN (SELECT id FROM measurement WHERE target_id = (SELECT id FROM target WHERE name = ?1) "
            "AND (?2 IS NULL OR vantage_id = (SELECT id FROM vantage WHERE name = ?2)) "
            "AND started_at >= ?3 AND started_at < ?4 ORDER BY started_at DESC, id DESC LIMIT ?5) "
            "ORDER BY m.started_at DESC, m.id DESC",
            (target, vantage, _since(since), _until(until), max(0, min(limit, _MAX_LIMIT))),
        )
        return [_history_row(row) for row in rows]

    def imported(self, keys: Iterable[bytes]) -> dict[bytes, int]:
        """Return those of the keys (see `Imported`) that a stored measurement is known by, with its id."""
        wanted = list(dict.fromkeys(keys))
        found: dict[bytes, int] = {}
        for start in range(0, len(wanted), _KEYS_PAGE):
            page = wanted[start : start + _KEYS_PAGE]
            marks = ", ".join("?" * len(page))
            rows = self._all(f"SELECT digest, measurement_id FROM imported_key WHERE digest IN ({marks})", page)  # noqa: S608 -- marks only
            found |= {row["digest"]: row["measurement_id"] for row in rows}
        return found

    def ooni_days(self, domain: str, country: str, test: str) -> frozenset[date]:
        """Return the days for which OONI's counts are settled."""
        rows = self._all(
            "SELECT day FROM ooni_aggregation_day WHERE domain = ? AND country = ? AND test = ?",
            (domain, country, test),
        )
        return frozenset(instant(row["day"]).date() for row in rows)

    def ooni_counts(
        self,
        domain: str,
        *,
        country: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        limit: int = 100,
    ) -> list[OoniCount]:
        """Return OONI's own counts for a domain, newest day first, at most `limit` and 10,000."""
        rows = self._all(
            "SELECT * FROM ooni_aggregation WHERE domain = ?1 AND (?2 IS NULL OR country = ?2) "
            "AND day >= ?3 AND day < ?4 ORDER BY day DESC, country, asn, test LIMIT ?5",
            (domain, country, _since(since), _until(until), max(0, min(limit, _MAX_LIMIT))),
        )
        return [
            msgspec.convert({name: row[name] for name in _COUNT_FIELDS} | {"day": instant(row["day"])}, OoniCount)
            for row in rows
        ]

    def measurement(self, measurement_id: int) -> StoredMeasurement | None:
        """Return a measurement with its verdicts and the list of its evidence, or None."""
        row = self._one(f"SELECT {_MEASUREMENT_COLUMNS} WHERE m.id = ?", (measurement_id,))
        return None if row is None else self._stored(row)

    def evidence(self, sha256: str) -> bytes | None:
        """Return raw material by its digest, at most the first 256 KiB, or None if it is not held."""
        row = self._one("SELECT content FROM evidence WHERE digest = ?", (sha256,))
        return None if row is None or row["content"] is None else zlib.decompress(row["content"])

    def measurements(
        self,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        targets: Sequence[str] = (),
        vantages: Sequence[str] = (),
        not_judged_by: int | None = None,
    ) -> Iterator[StoredMeasurement]:
        """Yield measurements in the order of their ids; without targets or vantages, all.

        With `not_judged_by` only those that have a verdict, but none of that rules version. Read in pages, so that a
        long walk holds no transaction open.
        """
        last = 0
        while True:
            rows = self._all(
                f"SELECT {_MEASUREMENT_COLUMNS} WHERE m.id > ?1 AND m.started_at >= ?2 AND m.started_at < ?3 "  # noqa: S608 -- our own columns
                "AND (?4 = '[]' OR t.name IN (SELECT value FROM json_each(?4))) "
                "AND (?5 = '[]' OR g.name IN (SELECT value FROM json_each(?5))) "
                "AND (?7 IS NULL OR (EXISTS (SELECT 1 FROM verdict WHERE measurement_id = m.id) AND NOT EXISTS "
                "(SELECT 1 FROM verdict WHERE measurement_id = m.id AND rules_version = ?7))) ORDER BY m.id LIMIT ?6",
                (last, _since(since), _until(until), _list(targets), _list(vantages), _EXPORT_PAGE, not_judged_by),
            )
            if not rows:
                return
            for row in rows:
                yield self._stored(row)
            last = rows[-1]["id"]

    def export(
        self,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        targets: Sequence[str] = (),
        vantages: Sequence[str] = (),
    ) -> Iterator[dict[str, Any]]:
        """Yield what `measurements` does as JSON-ready dicts.

        Each has the fields of `monitor probe --json` and beside them id, digest, context, network and every verdict.
        """
        for stored in self.measurements(since=since, until=until, targets=targets, vantages=vantages):
            yield self._exported(stored)

    def detector_states(self) -> list[StoredDetector]:
        """Return the detector's state for every target, vantage and network."""
        rows = self._all(
            "SELECT t.name AS target, g.name AS vantage, d.asn, d.updated_at, d.detail FROM detector d "
            "JOIN target t ON t.id = d.target_id JOIN vantage g ON g.id = d.vantage_id ORDER BY t.name, g.name, d.asn"
        )
        return [
            StoredDetector(
                target=row["target"],
                vantage=row["vantage"],
                asn=row["asn"] or None,
                updated_at=instant(row["updated_at"]),
                detector=msgspec.json.decode(row["detail"], type=DetectorState),
            )
            for row in rows
        ]

    def transitions(
        self, target: str | None = None, *, since: datetime | None = None, until: datetime | None = None
    ) -> list[Transition]:
        """Return confirmed changes, oldest first."""
        rows = self._all(
            "SELECT t.name AS target, g.name AS vantage, n.asn, x.* FROM transition x "
            "JOIN target t ON t.id = x.target_id JOIN vantage g ON g.id = x.vantage_id "
            "JOIN network n ON n.id = x.network_id "
            "WHERE (?1 IS NULL OR t.name = ?1) AND x.at >= ?2 AND x.at < ?3 "
            "ORDER BY x.at, x.id",
            (target, _since(since), _until(until)),
        )
        return [
            Transition(
                target=row["target"],
                vantage=row["vantage"],
                at=instant(row["at"]),
                before=SeriesState(row["before"]),
                after=SeriesState(row["after"]),
                status=Status(row["status"]),
                score=row["score"],
                last_before_at=optional_instant(row["last_before_at"]),
                first_after_at=optional_instant(row["first_after_at"]),
                asn=row["asn"] or 0,
                parameters=None
                if row["parameters"] is None
                else msgspec.json.decode(row["parameters"], type=DetectorParameters),
            )
            for row in rows
        ]

    def rounds(self, *, since: datetime | None = None, until: datetime | None = None) -> Iterator[Round]:
        """Yield what the detector was given, oldest first: measurements and the verdicts first drawn on them.

        Read in pages, as `export` is.
        """
        at, last = _since(since), 0
        while True:
            rows = self._all(
                f"SELECT {_CONCLUSION_COLUMNS}, v.rules_version, {_MEASUREMENT_COLUMNS} "  # noqa: S608 -- our own columns
                "JOIN verdict v ON v.measurement_id = m.id AND (v.drawn_at, v.rules_version) = (SELECT drawn_at, "
                "rules_version FROM verdict WHERE measurement_id = m.id ORDER BY drawn_at, rules_version LIMIT 1) "
                "JOIN conclusion c ON c.id = v.conclusion_id "
                "WHERE (m.started_at, m.id) > (?1, ?2) AND m.started_at < ?3 "
                "AND NOT EXISTS (SELECT 1 FROM aside WHERE measurement_id = m.id) "
                "ORDER BY m.started_at, m.id LIMIT ?4",
                (at, last, _until(until), _EXPORT_PAGE),
            )
            if not rows:
                return
            for row in rows:
                yield self._stored(row).measurement, _verdict(row)
            at, last = rows[-1]["started_at"], rows[-1]["id"]

    def kept_rounds(self, target: str, vantage: str, asn: int, since: datetime, until: datetime) -> list[KeptRound]:
        """Return the rounds of a series that detection counts, by the verdicts that count today, oldest first."""
        rows = self._all(
            f"SELECT {_CONCLUSION_COLUMNS}, 0 AS rules_version, {_MEASUREMENT_COLUMNS} {_CURRENT_CONCLUSION} "  # noqa: S608 -- our own columns
            "WHERE m.target_id = (SELECT id FROM target WHERE name = ?1) "
            "AND m.vantage_id = (SELECT id FROM vantage WHERE name = ?2) AND m.started_at >= ?4 AND m.started_at < ?5 "
            "AND coalesce(n.asn, 0) = ?3 AND NOT EXISTS (SELECT 1 FROM aside WHERE measurement_id = m.id) "
            "AND (c.status IN ('accessible', 'blocked', 'throttled', 'withheld') "
            "OR c.reason IN ('challenge', 'server_differs')) ORDER BY m.started_at, m.id",
            (target, vantage, asn, milliseconds(since), milliseconds(until)),
        )
        kept = []
        for row in rows:
            # What a server said counts only if it came over TLS, which the observations tell.
            measurement = self._stored(row).measurement if row["status"] == Status.INCONCLUSIVE else None
            failing = is_failing(_verdict(row), measurement)
            if failing is not None:
                kept.append(KeptRound(instant(row["started_at"]), failing))
        return kept

    def changes_to_date(self, since: datetime) -> list[StoredChange]:
        """Return the confirmed changes since an instant, with what is needed to say when each happened."""
        return [
            StoredChange(
                transition_id=row["id"],
                member=Member(row["target"], row["vantage"], row["asn"]),
                edge=Edge.START if row["after"] == SeriesState.NOT_ACCESSIBLE else Edge.END,
                at=instant(row["at"]),
                previous_at=optional_instant(row["previous_at"]),
                dated_at=optional_instant(row["dated_at"]),
            )
            for row in self._all(
                "SELECT x.id, t.name AS target, g.name AS vantage, coalesce(n.asn, 0) AS asn, x.after, x.at, "
                "(SELECT coalesce(p.first_after_at, p.at) FROM transition p JOIN network q ON q.id = p.network_id "
                "WHERE p.target_id = x.target_id AND p.vantage_id = x.vantage_id "
                "AND coalesce(q.asn, 0) = coalesce(n.asn, 0) AND p.at < x.at ORDER BY p.at DESC LIMIT 1) "
                "AS previous_at, "
                "(SELECT max(computed_at) FROM onset WHERE transition_id = x.id) AS dated_at "
                "FROM transition x JOIN target t ON t.id = x.target_id JOIN vantage g ON g.id = x.vantage_id "
                "JOIN network n ON n.id = x.network_id WHERE x.at >= ? ORDER BY x.at, x.id",
                (milliseconds(since),),
            )
        ]

    def incident_updates(self, incidents: Sequence[str]) -> list[IncidentUpdate]:
        """Return what happened to incidents, by incident and number."""
        return [
            IncidentUpdate(
                incident=row["incident_id"],
                sequence=row["sequence"],
                kind=UpdateKind(row["kind"]),
                at=instant(row["at"]),
                member=None if row["target"] is None else Member(row["target"], row["vantage"], row["asn"]),
                network=row["network"],
                status=_optional(Status, row["status"]),
                mechanisms=tuple(msgspec.json.decode(row["mechanisms"])),
                measurement_id=row["measurement_id"],
            )
            for row in self._all(
                "SELECT * FROM incident_update WHERE incident_id IN (SELECT value FROM json_each(?)) "
                "ORDER BY incident_id, sequence",
                (_list(incidents),),
            )
        ]

    def dated_edges(self, incidents: Sequence[str]) -> list[DatedEdge]:
        """Return when the changes of incidents happened, as computed last, by incident and time of confirmation."""
        return [
            DatedEdge(
                incident=row["incident_id"],
                member=Member(row["target"], row["vantage"], row["asn"]),
                edge=Edge.START if row["after"] == SeriesState.NOT_ACCESSIBLE else Edge.END,
                network=row["network"],
                confirmed_at=instant(row["at"]),
                last_before_at=optional_instant(row["last_before_at"]),
                first_after_at=optional_instant(row["first_after_at"]),
                onset=None if row["computed_at"] is None else _onset(row),
            )
            for row in self._all(
                "SELECT x.incident_id, x.at, x.after, x.last_before_at, x.first_after_at, t.name AS target, "
                "g.name AS vantage, coalesce(n.asn, 0) AS asn, n.name AS network, o.* FROM transition x "
                "JOIN target t ON t.id = x.target_id JOIN vantage g ON g.id = x.vantage_id "
                "JOIN network n ON n.id = x.network_id LEFT JOIN onset o ON o.transition_id = x.id AND o.computed_at = "
                "(SELECT max(computed_at) FROM onset WHERE transition_id = x.id) "
                "WHERE x.incident_id IN (SELECT value FROM json_each(?)) ORDER BY x.incident_id, x.at, x.id",
                (_list(incidents),),
            )
        ]

    def measured_from(self, platform: str) -> list[MeasuredFrom]:
        """Return the vantages from which a platform was ever measured or judged, controls left out, by name."""
        rows = self._all(
            f"SELECT v.name AS vantage, v.role, v.country, {IMPORTED_KIND} AS is_imported, "  # noqa: S608 -- our own words
            "json_group_array(DISTINCT t.name) AS targets, json_group_array(DISTINCT d.asn) AS numbers "
            "FROM platform p JOIN target t ON t.platform_id = p.id JOIN series s ON s.target_id = t.id "
            "JOIN vantage v ON v.id = s.vantage_id "
            "LEFT JOIN detector d ON d.target_id = s.target_id AND d.vantage_id = s.vantage_id "
            "WHERE p.name = ? AND coalesce(v.role, '') <> 'control' GROUP BY v.id ORDER BY v.name",
            (platform,),
        )
        return [
            MeasuredFrom(
                vantage=row["vantage"],
                role=Role(row["role"] or Role.TEST),
                country=row["country"] or next((one.country for one in networks if one.country), None),
                is_imported=bool(row["is_imported"]),
                targets=tuple(sorted(msgspec.json.decode(row["targets"]))),
                networks=networks,
            )
            for row in rows
            for networks in [tuple(map(self._network, msgspec.json.decode(row["numbers"])))]
        ]

    def counted(self, platform: str, since: datetime, until: datetime, width: timedelta) -> list[Counted]:
        """Return the counts of a platform added up over stretches from `since` on, by vantage and time.

        Reads hourly counts; at most so many series and hours that are not counted yet are counted now, with no runs
        expected. `since` and `width` are whole hours.
        """
        asked = (platform, milliseconds(since), milliseconds(until), width // timedelta(milliseconds=1))
        found: dict[tuple[str, int], list[Any]] = {}
        for query in (_COUNTED_HOURS, _UNCOUNTED_HOURS):
            for row in self._all(query, asked):
                known = found.setdefault((row["vantage"], row["place"]), [0] * (len(row) - 2))
                known[:] = [sum(pair) for pair in zip(known, tuple(row)[2:], strict=True)]
        return [Counted(vantage, since + place * width, *counts) for (vantage, place), counts in sorted(found.items())]

    def network_from(self, vantage: str, target: str, at: datetime, until: datetime) -> int | None:
        """Return the AS number of the first network seen in a stretch of time (0 if unknown), None if nothing ran."""
        row = self._one(
            "SELECT coalesce(n.asn, 0) AS asn FROM measurement m JOIN network n ON n.id = m.network_id "
            "WHERE m.target_id = (SELECT id FROM target WHERE name = ?1) "
            "AND m.vantage_id = (SELECT id FROM vantage WHERE name = ?2) AND m.started_at >= ?3 AND m.started_at < ?4 "
            "ORDER BY m.started_at LIMIT 1",
            (target, vantage, milliseconds(at), milliseconds(until)),
        )
        return None if row is None else row["asn"]

    def urls(self, platform: str) -> list[str]:
        """Return the URLs of a platform's targets, as configured last."""
        rows = self._all(
            "SELECT DISTINCT t.url FROM target t JOIN platform p ON p.id = t.platform_id "
            "WHERE p.name = ? AND t.url IS NOT NULL ORDER BY t.url",
            (platform,),
        )
        return [row["url"] for row in rows]

    def _network(self, asn: int | None) -> NetworkIdentity:
        row = self._one(
            "SELECT asn, name AS network, country, resolver_asn FROM network WHERE coalesce(asn, 0) = ? "
            "ORDER BY name IS NULL, id DESC LIMIT 1",
            (asn or 0,),
        )
        return NetworkIdentity(asn=asn or None) if row is None else network_from(row)

    def spent(self, vantage: str, since: datetime) -> list[tuple[datetime, int]]:
        """Return what a vantage spent of a service's quota since an instant, by minute, oldest first."""
        # A minute that began before may reach past the instant; it counts whole.
        rows = self._all(
            "SELECT s.minute, s.units FROM service_spending s JOIN vantage g ON g.id = s.vantage_id "
            "WHERE g.name = ? AND s.minute > ? ORDER BY s.minute",
            (vantage, milliseconds(since) - MINUTE_MILLISECONDS),
        )
        # The latest moment that it can have been.
        return [(instant(row["minute"] + MINUTE_MILLISECONDS - 1), row["units"]) for row in rows]

    def silences(self, *, since: datetime | None = None) -> list[Silence]:
        """Return when countries were silent, newest first; those that are silent still in any case."""
        return [
            Silence(
                country=row["country"],
                started_at=instant(row["started_at"]),
                ended_at=optional_instant(row["ended_at"]),
                vantages=tuple(msgspec.json.decode(row["vantages"])),
                networks=tuple(msgspec.json.decode(row["networks"])),
            )
            for row in self._all(
                "SELECT * FROM silence WHERE ended_at IS NULL OR ended_at >= ? ORDER BY started_at DESC",
                (_since(since),),
            )
        ]

    def open_incidents(self) -> list[Incident]:
        """Return the incidents that have not ended, oldest first."""
        return [
            _incident(row) for row in self._all("SELECT * FROM incident WHERE closed_at IS NULL ORDER BY opened_at")
        ]

    def incidents(
        self,
        *,
        platform: str | None = None,
        country: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> list[Incident]:
        """Return the incidents that were open at some time between two instants, newest first."""
        rows = self._all(
            "SELECT * FROM incident WHERE (?1 IS NULL OR platform = ?1) AND coalesce(closed_at >= ?2, 1) "
            "AND opened_at < ?3 AND (?4 IS NULL OR country = ?4) ORDER BY opened_at DESC, id",
            (platform, _since(since), _until(until), country),
        )
        return [_incident(row) for row in rows]

    def incident(self, incident: str) -> Incident | None:
        """Return an incident by its id, or None."""
        row = self._one("SELECT * FROM incident WHERE id = ?", (incident,))
        return None if row is None else _incident(row)

    def platforms(self) -> list[str]:
        """Return every platform that was ever configured or imported, control sites among them."""
        return [row["name"] for row in self._all("SELECT name FROM platform ORDER BY name")]

    def last_deep(self, target: str, vantage: str) -> Measurement | None:
        """Return the newest deep measurement of a target at a vantage that was whole, and made over a line in order."""
        row = self._one(
            f"SELECT {_MEASUREMENT_COLUMNS} WHERE t.name = ? AND g.name = ? AND m.is_deep AND NOT m.is_interrupted "  # noqa: S608 -- our own columns
            "AND EXISTS (SELECT 1 FROM verdict v JOIN conclusion c ON c.id = v.conclusion_id WHERE "
            "v.measurement_id = m.id AND c.vantage_state_before = 'online' AND c.vantage_state_after = 'online') "
            "ORDER BY m.started_at DESC, m.id DESC LIMIT 1",
            (target, vantage),
        )
        return None if row is None else self._stored(row).measurement

    def last_clean(self, target: str, vantage: str, since: datetime) -> datetime | None:
        """Return when the newest round since an instant began that was accessible and needed no isolating run."""
        row = self._one(
            "SELECT m.started_at FROM measurement m WHERE target_id = (SELECT id FROM target WHERE name = ?) "
            "AND vantage_id = (SELECT id FROM vantage WHERE name = ?) AND m.started_at >= ? "
            "AND EXISTS (SELECT 1 FROM verdict v JOIN conclusion c ON c.id = v.conclusion_id WHERE "
            "v.measurement_id = m.id AND v.isolation_id IS NULL AND c.status = 'accessible') "
            "ORDER BY m.started_at DESC LIMIT 1",
            (target, vantage, milliseconds(since)),
        )
        return None if row is None else instant(row["started_at"])

    def known_addresses(self, target: str, since: datetime | None = None) -> frozenset[str]:
        """Return the addresses that proved over TLS to serve a name of the target, lately if `since` is given."""
        rows = self._all(
            "SELECT address FROM known_address a JOIN target t ON t.id = a.target_id WHERE t.name = ? AND last_at >= ?",
            (target, _since(since)),
        )
        return frozenset(row["address"] for row in rows)

    def fingerprint_digest_at(self, at: datetime) -> bytes | None:
        """Return which fingerprints verdicts drawn at an instant rest on; None if that was before any were kept."""
        row = self._one(
            "SELECT digest FROM fingerprint_use WHERE since <= ? ORDER BY since DESC LIMIT 1", (milliseconds(at),)
        )
        digest: bytes | None = None if row is None else row["digest"]
        return digest

    def fingerprints(self, digest: bytes) -> tuple[Fingerprint, ...]:
        """Return the fingerprints of a digest that `fingerprint_digest_at` gave."""
        row = self._one("SELECT content FROM fingerprint_set WHERE digest = ?", (digest,))
        if row is None:
            raise ValueError("no fingerprints have this digest")
        return msgspec.json.decode(zlib.decompress(row["content"]), type=tuple[Fingerprint, ...])

    def served_from(
        self, *, target: str | None = None, since: datetime | None = None, limit: int = 100
    ) -> list[ServedFrom]:
        """Return where targets were served from, the latest days first, most recently seen first."""
        rows = self._all(
            "SELECT t.name AS target, g.name AS vantage, s.day, s.country, s.asn, s.first_at, s.last_at "
            "FROM served_from s JOIN target t ON t.id = s.target_id JOIN vantage g ON g.id = s.vantage_id "
            "WHERE (?1 IS NULL OR t.name = ?1) AND s.last_at >= ?2 "
            "ORDER BY s.day DESC, t.name, g.name, s.last_at DESC, s.asn LIMIT ?3",
            (target, _since(since), min(limit, _MAX_LIMIT)),
        )
        return [
            ServedFrom(
                target=row["target"],
                vantage=row["vantage"],
                day=instant(row["day"]).date(),
                place=Place(row["country"], row["asn"]),
                first_at=instant(row["first_at"]),
                last_at=instant(row["last_at"]),
            )
            for row in rows
        ]

    def gaps(self, since: datetime | None = None) -> list[Gap]:
        """Return the times for which runs were lost, oldest first."""
        rows = self._all("SELECT * FROM gap WHERE to_at >= ? ORDER BY from_at", (_since(since),))
        return [
            Gap(from_at=instant(row["from_at"]), to_at=instant(row["to_at"]), runs=row["runs"], why=row["why"])
            for row in rows
        ]

    def counts(self) -> Counts:
        """Count what is stored; reads an index of every measurement."""
        row = self._one(
            "SELECT (SELECT count(*) FROM measurement) AS measurements, "
            "(SELECT count(*) FROM target WHERE removed_at IS NULL) AS targets, "
            "(SELECT count(*) FROM vantage WHERE removed_at IS NULL) AS vantages, "
            "(SELECT count(*) FROM transition) AS transitions, "
            "(SELECT count(*) FROM incident WHERE closed_at IS NULL) AS incidents_open, "
            "(SELECT coalesce(sum(runs), 0) FROM gap) AS runs_lost"
        )
        return msgspec.convert(dict(row or {}), Counts)

    def _current(self, target_id: int, vantage_id: int, moment: int) -> CurrentState | None:
        row = self._one(
            f"SELECT {_CONCLUSION_COLUMNS}, {_MEASUREMENT_COLUMNS} {_CURRENT_CONCLUSION} "
            "WHERE m.target_id = ? AND m.vantage_id = ? AND m.started_at <= ? ORDER BY m.started_at DESC LIMIT 1",
            (target_id, vantage_id, moment),
        )
        if row is None:
            return None
        status = Status(row["status"])
        return CurrentState(
            platform=row["platform"],
            target=row["target"],
            vantage=row["vantage"],
            measurement_id=row["id"],
            measured_at=instant(row["started_at"]),
            since=instant(self._since(target_id, vantage_id, moment, status)),
            status=status,
            confidence=_optional(Confidence, row["confidence"]),
            layer=_optional(Step, row["layer"]),
            mechanisms=tuple(msgspec.json.decode(row["mechanisms"])),
            reason=_optional(Reason, row["reason"]),
            rule=row["rule"],
            because=row["because"],
            network=network_from(row),
            is_imported=row["source"] is not None,
        )

    def _since(self, target_id: int, vantage_id: int, moment: int, status: Status) -> int:
        """Return when a status began: with the detector's state if it says the same, else with the run of the status.

        Inconclusive rounds inside a run do not end it.
        """
        transition = self._one(
            "SELECT after, coalesce(first_after_at, at) AS since FROM transition "
            "WHERE target_id = ? AND vantage_id = ? AND at <= ? ORDER BY at DESC, id DESC LIMIT 1",
            (target_id, vantage_id, moment),
        )
        if transition is not None and (
            (transition["after"] == SeriesState.ACCESSIBLE and status is Status.ACCESSIBLE)
            or (transition["after"] == SeriesState.NOT_ACCESSIBLE and status in _NOT_ACCESSIBLE)
        ):
            return int(transition["since"])
        run = self._one(
            "SELECT min(started_at) AS since FROM status_run WHERE target_id = ?1 AND vantage_id = ?2 "
            "AND status = ?4 AND started_at <= ?3 AND started_at > coalesce((SELECT max(started_at) FROM status_run "
            "WHERE target_id = ?1 AND vantage_id = ?2 AND started_at <= ?3 "
            "AND status NOT IN (?4, 'inconclusive')), -1)",
            (target_id, vantage_id, moment, status),
        )
        return moment if run is None or run["since"] is None else int(run["since"])

    def _stored(self, row: sqlite3.Row) -> StoredMeasurement:
        first = row["id"] << POSITION_BITS
        last = first + (1 << POSITION_BITS) - 1
        evidence = self._all(
            "SELECT l.observation_id - ?1 AS position, l.ordinal, e.digest, e.kind, e.bytes, e.content IS NOT NULL "
            "AS is_held FROM observation_evidence l JOIN evidence e ON e.id = l.evidence_id "
            "WHERE l.observation_id BETWEEN ?1 AND ?2 ORDER BY l.observation_id, l.ordinal",
            (first, last),
        )
        references: dict[int, list[str]] = {}
        for link in evidence:
            if link["ordinal"] < LATE_REPLY_ORDINAL:
                references.setdefault(link["position"], []).append(link["digest"])
        observations = [
            observation_from(
                ObservationRow._make((*found[1:9], None if found["body_bytes"] is None else HttpRow._make(found[9:]))),
                references.get(found[0] - first, ()),
            )
            for found in self._all(_OBSERVATIONS, (first, last))
        ]
        verdicts = self._all(
            "SELECT * FROM verdict_detail WHERE measurement_id = ? ORDER BY drawn_at DESC, rules_version DESC",
            (row["id"],),
        )
        return StoredMeasurement(
            measurement=measurement_from(row, observations),
            platform=row["platform"],
            digest=row["digest"].hex(),
            verdicts=tuple(_stored_verdict(verdict) for verdict in verdicts),
            evidence=tuple(
                StoredEvidence(
                    position=link["position"],
                    sha256=link["digest"],
                    kind=link["kind"],
                    bytes=link["bytes"],
                    is_held=bool(link["is_held"]),
                )
                for link in evidence
            ),
            imported=_origin(row),
        )

    def _exported(self, stored: StoredMeasurement) -> dict[str, Any]:
        found: dict[str, Any] = msgspec.to_builtins(stored.measurement)
        verdicts = [
            msgspec.to_builtins(one.verdict)
            | {
                "drawn_at": msgspec.to_builtins(one.drawn_at),
                "control_ids": list(one.control_ids),
                "isolation_id": one.isolation_id,
                "state_before": one.state_before,
                "state_after": one.state_after,
            }
            for one in stored.verdicts
        ]
        control = None
        if stored.verdicts and stored.verdicts[0].control_ids:
            known = self.measurement(stored.verdicts[0].control_ids[0])
            control = None if known is None else msgspec.to_builtins(known.measurement)
        return found | {
            "platform": stored.platform,
            "imported": msgspec.to_builtins(stored.imported),
            "digest": stored.digest,
            "control": control,
            "verdict": msgspec.to_builtins(stored.verdicts[0].verdict) if stored.verdicts else None,
            "verdicts": verdicts,
            "evidence": [msgspec.to_builtins(one) for one in stored.evidence],
        }

    def ask(self, sql: str, parameters: Sequence[Any] = ()) -> list[sqlite3.Row]:
        """Return the rows of a query of another module of the store (`outbox_reader`)."""
        return self._all(sql, parameters)

    def conclusions(self, measurements: Sequence[int]) -> dict[int, Verdict]:
        """Return the verdicts that count today on measurements, by their ids."""
        rows = self._all(
            f"SELECT m.id, {_CONCLUSION_COLUMNS}, 0 AS rules_version FROM measurement m {_CURRENT_CONCLUSION} "  # noqa: S608 -- our own columns
            "WHERE m.id IN (SELECT value FROM json_each(?))",
            (msgspec.json.encode(list(measurements)).decode(),),
        )
        return {row["id"]: _verdict(row) for row in rows}

    def _all(self, sql: str, parameters: Sequence[Any] = ()) -> list[sqlite3.Row]:
        with self._lock:
            return self._db.execute(sql, parameters).fetchall()

    def _one(self, sql: str, parameters: Sequence[Any] = ()) -> sqlite3.Row | None:
        with self._lock:
            found: sqlite3.Row | None = self._db.execute(sql, parameters).fetchone()
            return found


def _history_row(row: sqlite3.Row) -> HistoryRow:
    return HistoryRow(
        id=row["id"],
        target=row["target"],
        vantage=row["vantage"],
        started_at=instant(row["started_at"]),
        elapsed_seconds=row["elapsed_microseconds"] / 1e6,
        is_deep=bool(row["is_deep"]),
        network=network_from(row),
        status=_optional(Status, row["status"]),
        confidence=_optional(Confidence, row["confidence"]),
        layer=_optional(Step, row["layer"]),
        mechanisms=tuple(msgspec.json.decode(row["mechanisms"] or "[]")),
        reason=_optional(Reason, row["reason"]),
        rule=row["rule"],
        because=row["because"],
        imported=_origin(row),
    )


def _origin(row: sqlite3.Row) -> Origin | None:
    if row["source"] is None:
        return None
    label = msgspec.json.decode(row["label"] or "{}")
    return Origin(source=row["source"], uid=row["uid"], report=row["report"], label=label)


def _stored_verdict(row: sqlite3.Row) -> StoredVerdict:
    return StoredVerdict(
        verdict=msgspec.structs.replace(
            _verdict(row),
            observations=tuple(msgspec.json.decode(row["observations"] or "[]")),
            isolation_observations=tuple(msgspec.json.decode(row["isolation_observations"] or "[]")),
        ),
        drawn_at=instant(row["drawn_at"]),
        state_before=_optional(VantageState, row["vantage_state_before"]),
        state_after=_optional(VantageState, row["vantage_state_after"]),
        control_ids=tuple(msgspec.json.decode(row["control_ids"] or "[]")),
        isolation_id=row["isolation_id"],
        circumstances=row["circumstances"],
    )


def _incident(row: sqlite3.Row) -> Incident:
    found = dict(row)
    for column in ("opened_at", "started_after", "started_before", "closed_at", "quorum_at", "confirmed_at"):
        found[column] = optional_instant(found[column])
    for column in ("mechanisms", "members", "all_members", "networks"):
        found[column] = msgspec.json.decode(found[column])
    return msgspec.convert(found, Incident)


def _verdict(row: sqlite3.Row) -> Verdict:
    return Verdict(
        status=Status(row["status"]),
        rule=row["rule"],
        because=row["because"],
        rules_version=row["rules_version"],
        confidence=_optional(Confidence, row["confidence"]),
        layer=_optional(Step, row["layer"]),
        mechanisms=tuple(msgspec.json.decode(row["mechanisms"])),
        reason=_optional(Reason, row["reason"]),
    )


def _onset(row: sqlite3.Row) -> Onset:
    return Onset(
        edge=Edge(row["edge"]),
        dating=Dating(row["dating"]),
        earliest=optional_instant(row["earliest"]),
        median=optional_instant(row["median"]),
        latest=optional_instant(row["latest"]),
        log_support=row["log_support"],
        rounds=row["rounds"],
        window_start=instant(row["window_start"]),
        window_end=instant(row["window_end"]),
        computed_at=instant(row["computed_at"]),
        is_final=bool(row["is_final"]),
    )


def _optional(kind: Any, value: str | None) -> Any:
    return None if value is None else kind(value)


def _since(at: datetime | None) -> int:
    return -_FOREVER if at is None else milliseconds(at)


def _until(at: datetime | None) -> int:
    return _FOREVER if at is None else milliseconds(at)


def _list(names: Sequence[str]) -> str:
    return msgspec.json.encode(list(names)).decode()
