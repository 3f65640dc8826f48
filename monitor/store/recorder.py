"""What is written for each thing that happened; every method runs inside a transaction that the writer opened."""

import hashlib
import sqlite3
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Final, TypeVar

import msgspec

from monitor.events.annotation import Calendar
from monitor.model.address import is_address
from monitor.model.agent import Receipt
from monitor.model.aggregation import OoniCount
from monitor.model.alert import Notice
from monitor.model.fingerprint import FingerprintSet
from monitor.model.measurement import Evidence, Measurement
from monitor.model.observation import Purpose, TlsObservation
from monitor.model.onset import Onset
from monitor.model.outcome import AffectedNetwork, Imported, Incident, IncidentUpdate, Outcome, Redrawn, Silence
from monitor.model.place import Place
from monitor.model.target import Target
from monitor.model.vantage import NetworkIdentity, ProbeCount, VantageCheck, VantageInfo
from monitor.model.verdict import DetectorState, Status, Transition, Verdict
from monitor.store import fleet
from monitor.store.event_recorder import record_calendar
from monitor.store.outbox import post
from monitor.store.rows import (
    MAX_ID,
    MAX_OBSERVATIONS,
    POSITION_BITS,
    ObservationRow,
    as_stored,
    digest,
    instant,
    microseconds,
    milliseconds,
    observation_row,
    optional_milliseconds,
    text,
)

MINUTE_MILLISECONDS: Final = 60_000
HOUR_MILLISECONDS: Final = 3_600_000
DAY_MILLISECONDS: Final = 24 * HOUR_MILLISECONDS
EVIDENCE_BYTES: Final = 256 * 1024
# Raw material of late replies is linked after that of the observation itself.
LATE_REPLY_ORDINAL: Final = 1000
_CHECK_OBSERVATIONS: Final = 100
_OF_THE_TARGET: Final = frozenset({Purpose.PATH, Purpose.ADDRESS_CHECK})
_REMEMBERED: Final = 16_384

_INSERT_OBSERVATION: Final = (
    "INSERT INTO observation (id, facts_id, endpoint_id, failure, started_microseconds, elapsed_microseconds, "
    "ttls_seconds) VALUES (?, ?, ?, ?, ?, ?, ?)"
)
_INSERT_HTTP: Final = (
    "INSERT INTO http_exchange (observation_id, bytes_sent, bytes_received, body_bytes, body_digest, "
    "first_byte_microseconds, header_values) VALUES (?, ?, ?, ?, ?, ?, ?)"
)

Key = TypeVar("Key")
Value = TypeVar("Value")


class Remembered(dict[Key, Value]):
    """A dictionary that forgets everything when it is full, so that no stream of new keys fills the memory."""

    def __setitem__(self, key: Key, value: Value) -> None:
        """Store, after making room."""
        if len(self) >= _REMEMBERED:
            self.clear()
        super().__setitem__(key, value)


class Recorder:
    """Writes through one connection and remembers the ids of shared rows.

    After a rollback `forget` must be called: some of those rows are gone. Another process may write to the same file.
    Methods raise sqlite3.Error, and ValueError, TypeError or OverflowError for a value that no row can hold.
    """

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._ids: Remembered[tuple[object, ...], int] = Remembered()
        self._facts: Remembered[tuple[str, str], tuple[int, int]] = Remembered()  # (id, used_until)
        self._circumstances: Remembered[bytes, tuple[int, int]] = Remembered()  # (id, used_until)
        self._proved: Remembered[tuple[int, str, str], int] = Remembered()  # hour last written
        self._served: Remembered[tuple[int, int, Place], int] = Remembered()  # hour last written
        self._sampled: Remembered[tuple[int, int, int], int] = Remembered()  # day evidence was last kept

    def forget(self) -> None:
        """Drop every remembered id."""
        for remembered in (
            self._ids, self._facts, self._circumstances, self._proved, self._served, self._sampled,
        ):  # fmt: skip
            remembered.clear()

    def outcome(self, outcome: Outcome, at: datetime, notices: Iterable[Notice] = ()) -> None:
        """Write one run, all that was concluded from it, and who is told; one that is there already stays.

        `at` is when the conclusions were drawn.
        """
        measurement = outcome.recording.measurement
        if not 0 < measurement.id <= MAX_ID or len(measurement.observations) > MAX_OBSERVATIONS:
            raise ValueError(f"measurement {measurement.id} is beyond the bounds of a row")
        if outcome.receipt is not None and not self._received(outcome.receipt, measurement.id):
            return
        target, vantage = self._named("target", measurement.target), self._named("vantage", measurement.vantage)
        network = self._network(measurement.network)
        started = milliseconds(measurement.started_at)
        rows = [observation_row(observation) for observation in measurement.observations]
        facts = [self._facts_id(row, started) for row in rows]
        kept = self._kept(outcome, [is_new for _, is_new in facts], (target, vantage), started)
        stored = as_stored(measurement, kept)
        if not self._measurement(stored, digest(stored), (target, vantage, network)):
            return
        self._observations(measurement.id, rows, [id_ for id_, _ in facts])
        self._evidence(outcome, kept, started)
        if outcome.imported is None:
            self._prove(stored, outcome.verdict, target, started)
        else:
            self._imported(outcome.imported, measurement.id, at)
        self._served_from(outcome.served_from, (target, vantage), started)
        if outcome.verdict is not None:
            self._verdict(started, outcome, outcome.verdict, at)
            self._status_run((target, vantage), started, outcome.verdict.status)
        self._count_again(started, target, vantage)
        if outcome.detector is not None:
            self._detector((target, vantage, measurement.network.asn or 0), outcome.detector, started)
        if outcome.is_aside:
            self._db.execute("INSERT INTO aside (measurement_id) VALUES (?)", (measurement.id,))
        if outcome.incident is not None:
            self.incident(outcome.incident, outcome.updates, notices)
        if outcome.transition is not None:
            self._transition(outcome.transition, outcome, network)

    def imported(self, outcome: Outcome, target: Target, info: VantageInfo, at: datetime) -> None:
        """Write an imported run. Its vantage and a target that nobody configured get their rows with it.

        Raises ValueError if a vantage of ours has that name.
        """
        vantage = self._named("vantage", info.name)
        (known,) = self._db.execute("SELECT kind FROM vantage WHERE id = ?", (vantage,)).fetchone()
        if known is None:
            self._db.execute(
                "UPDATE vantage SET kind = ?, role = ?, country = ?, claimed_asn = ? WHERE id = ?",
                (info.kind, info.role, info.country, info.claimed_asn, vantage),
            )
        elif known != info.kind:
            raise ValueError(f"{info.name} is the name of a vantage of kind {known}")
        self._db.execute(
            "UPDATE target SET platform_id = ?, url = ? WHERE id = ? AND platform_id IS NULL",
            (self._named("platform", target.platform), target.url, self._named("target", target.name)),
        )
        self.outcome(outcome, at)

    def imported_keys(self, measurement_id: int, keys: Iterable[bytes]) -> None:
        """Write the names that the source knows a measurement by."""
        self._db.executemany(
            "INSERT OR IGNORE INTO imported_key (digest, measurement_id) VALUES (?, ?)",
            ((key, measurement_id) for key in keys),
        )

    def ooni_counts(
        self, counts: Iterable[OoniCount], settled: Iterable[tuple[str, str, str, date]], at: datetime
    ) -> None:
        """Write OONI's counts, in the place of those for the same day, network, domain, country and test."""
        now = milliseconds(at)
        self._db.executemany(
            "INSERT OR REPLACE INTO ooni_aggregation (day, country, asn, domain, test, measurements, ok, anomaly, "
            "confirmed, failure, fetched_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                (
                    milliseconds(one.day), one.country, one.asn, one.domain, one.test, one.measurements, one.ok,
                    one.anomaly, one.confirmed, one.failure, now,
                )
                for one in counts
            ),
        )  # fmt: skip
        self._db.executemany(
            "INSERT OR REPLACE INTO ooni_aggregation_day (domain, country, test, day, fetched_at) "
            "VALUES (?, ?, ?, ?, ?)",
            (
                (domain, country, test, milliseconds(datetime(day.year, day.month, day.day, tzinfo=UTC)), now)
                for domain, country, test, day in settled
            ),
        )

    def redrawn(self, redrawn: Redrawn, at: datetime) -> None:
        """Write another verdict beside those that a measurement has; one whose measurement is gone is left out."""
        row = self._db.execute(
            "SELECT target_id, vantage_id, started_at FROM measurement WHERE id = ?", (redrawn.measurement_id,)
        ).fetchone()
        if row is None:
            return
        target, vantage, started = row
        self._verdict(started, redrawn, redrawn.verdict, at)
        self._status_run((target, vantage), started, redrawn.verdict.status)
        self._count_again(started, target, vantage)

    def check(self, check: VantageCheck) -> None:
        """Write a round of sanity checks; its observations only if state or network changed since the one before."""
        vantage, network = self._named("vantage", check.vantage), self._network(check.network)
        before = self._db.execute(
            "SELECT state, network_id FROM vantage_check WHERE vantage_id = ? ORDER BY started_at DESC LIMIT 1",
            (vantage,),
        ).fetchone()
        observations = None if before == (check.state, network) else text(check.observations[:_CHECK_OBSERVATIONS])
        self._db.execute(
            "INSERT INTO vantage_check (vantage_id, started_at, state, network_id, notes, observations) "
            "VALUES (?, ?, ?, ?, ?, ?)",
            (
                vantage,
                milliseconds(check.started_at),
                check.state,
                network,
                text(check.notes) if check.notes else None,
                observations,
            ),
        )

    def configuration(
        self,
        platforms: Mapping[str, str | None],
        targets: Iterable[Target],
        vantages: Iterable[VantageInfo],
        *,
        intervals_seconds: Mapping[str, float],
        config_digest: str,
        at: datetime,
    ) -> None:
        """Write what is configured from now on; what is no longer named gets `removed_at` and keeps its history."""
        now = milliseconds(at)
        for name, title in platforms.items():
            self._configured("platform", name, {"title": title}, now)
        names = []
        for target in targets:
            names.append(target.name)
            fields = {"platform_id": self._named("platform", target.platform), "url": target.url}
            self._configured("target", target.name, fields, now)
            self._define(target, intervals_seconds.get(target.name), config_digest, now)
        infos = {info.name: info for info in vantages}
        for name, info in infos.items():
            fields = {"kind": info.kind, "role": info.role, "country": info.country, "claimed_asn": info.claimed_asn}
            self._configured("vantage", name, fields, now)
        for table, present in (("platform", platforms), ("target", names), ("vantage", infos)):
            self._remove_others(table, text(list(present)), now)
        # Their definition ends too: nothing is expected of them from now on.
        self._db.execute(
            "INSERT OR REPLACE INTO target_definition "
            "SELECT target_id, ?1, platform, url, probe, expectation, NULL, ?2 FROM target_definition AS d "
            "WHERE since = (SELECT max(since) FROM target_definition WHERE target_id = d.target_id) "
            "AND interval_seconds IS NOT NULL AND target_id IN (SELECT id FROM target WHERE removed_at = ?1)",
            (now, config_digest),
        )

    def fingerprints(self, fingerprints: FingerprintSet, at: datetime) -> None:
        """Write which fingerprints are in use from now on, their rows once for each set."""
        digest = fingerprints.digest()
        self._db.execute(
            "INSERT OR IGNORE INTO fingerprint_set (digest, sources, rows, content) VALUES (?, ?, ?, ?)",
            (digest, text(fingerprints.sources), len(fingerprints.rows), zlib.compress(fingerprints.content())),
        )
        self._db.execute(
            "INSERT OR REPLACE INTO fingerprint_use (since, digest) SELECT ?1, ?2 "
            "WHERE ?2 IS NOT (SELECT digest FROM fingerprint_use ORDER BY since DESC LIMIT 1)",
            (milliseconds(at), digest),
        )

    def outbox(self, write: Callable[[sqlite3.Connection], None]) -> None:
        """Write to the outbox (`monitor.store.outbox`)."""
        write(self._db)

    def incident(self, incident: Incident, updates: Iterable[IncidentUpdate], notices: Iterable[Notice] = ()) -> None:
        """Write an incident as it is now, what happened to it, and who is told."""
        self._db.execute(
            "INSERT INTO incident (id, platform, country, status, opened_at, started_after, started_before, closed_at, "
            "mechanisms, members, all_members, networks, measured_networks, quorum_at, confirmed_at, sequence) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) "
            "ON CONFLICT (id) DO UPDATE SET status = excluded.status, started_after = excluded.started_after, "
            "started_before = excluded.started_before, closed_at = excluded.closed_at, "
            "mechanisms = excluded.mechanisms, members = excluded.members, all_members = excluded.all_members, "
            "networks = excluded.networks, measured_networks = excluded.measured_networks, "
            "quorum_at = excluded.quorum_at, confirmed_at = excluded.confirmed_at, sequence = excluded.sequence",
            (
                incident.id,
                incident.platform,
                incident.country,
                incident.status,
                milliseconds(incident.opened_at),
                optional_milliseconds(incident.started_after),
                milliseconds(incident.started_before),
                optional_milliseconds(incident.closed_at),
                text(incident.mechanisms),
                text(incident.members),
                text(incident.all_members),
                text([_in_milliseconds(one) for one in incident.networks]),
                incident.measured_networks,
                optional_milliseconds(incident.quorum_at),
                optional_milliseconds(incident.confirmed_at),
                incident.sequence,
            ),
        )
        self._db.executemany(
            "INSERT OR IGNORE INTO incident_update (incident_id, sequence, kind, at, target, vantage, asn, network, "
            "status, mechanisms, measurement_id) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                (
                    one.incident,
                    one.sequence,
                    one.kind,
                    milliseconds(one.at),
                    *(one.member or (None, None, None)),
                    one.network,
                    one.status,
                    text(one.mechanisms),
                    one.measurement_id,
                )
                for one in updates
            ),
        )
        post(self._db, notices)

    def onset(self, transition_id: int, onset: Onset) -> None:
        """Write when a confirmed change happened, as far as is known now."""
        self._db.execute(
            "INSERT OR REPLACE INTO onset (transition_id, computed_at, edge, dating, earliest, median, latest, "
            "log_support, rounds, window_start, window_end, is_final) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                transition_id,
                milliseconds(onset.computed_at),
                onset.edge,
                onset.dating,
                optional_milliseconds(onset.earliest),
                optional_milliseconds(onset.median),
                optional_milliseconds(onset.latest),
                onset.log_support,
                onset.rounds,
                milliseconds(onset.window_start),
                milliseconds(onset.window_end),
                onset.is_final,
            ),
        )

    def silence(self, silence: Silence, notices: Iterable[Notice] = ()) -> None:
        """Write that a country fell silent, or that it is heard again, and who is told."""
        self._db.execute(
            "INSERT INTO silence (country, started_at, ended_at, vantages, networks) VALUES (?, ?, ?, ?, ?) "
            "ON CONFLICT DO UPDATE SET ended_at = excluded.ended_at",
            (
                silence.country,
                milliseconds(silence.started_at),
                optional_milliseconds(silence.ended_at),
                text(silence.vantages),
                text(silence.networks),
            ),
        )
        post(self._db, notices)

    def spending(self, vantage: str, at: datetime, units: int) -> None:
        """Add to what a vantage spent of a service's quota."""
        now = milliseconds(at)
        self._db.execute(
            "INSERT INTO service_spending (vantage_id, minute, units) VALUES (?, ?, ?) "
            "ON CONFLICT DO UPDATE SET units = units + excluded.units",
            (self._named("vantage", vantage), now - now % MINUTE_MILLISECONDS, units),
        )

    def probe_counts(self, vantage: str, at: datetime, counts: Iterable[ProbeCount]) -> None:
        """Write how many probes a service lists."""
        id_ = self._named("vantage", vantage)
        self._db.executemany(
            "INSERT OR REPLACE INTO probe_count (vantage_id, at, country, asn, probes) VALUES (?, ?, ?, ?, ?)",
            ((id_, milliseconds(at), one.country, one.asn, one.probes) for one in counts),
        )

    def calendar(self, calendar: Calendar, at: datetime) -> None:
        """Bring the regulatory events up to date."""
        record_calendar(self._db, calendar, at)

    def gap(self, from_at: datetime, to_at: datetime, runs: int, why: str) -> None:
        """Write down that runs were lost."""
        self._db.execute(
            "INSERT INTO gap (from_at, to_at, runs, why) VALUES (?, ?, ?, ?)",
            (milliseconds(from_at), milliseconds(to_at), runs, why),
        )

    def _measurement(self, stored: Measurement, sha256: bytes, ids: tuple[int, int, int]) -> bool:
        """Insert the row and tell whether it is new; raises ValueError if the id stands for another measurement."""
        target, vantage, network = ids
        context = stored.context
        offset = context.clock_offset_seconds
        inserted = self._db.execute(
            "INSERT INTO measurement (id, target_id, vantage_id, url_id, started_at, elapsed_microseconds, "
            "run_context_id, network_id, clock_offset_microseconds, is_deep, is_interrupted, digest) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING",
            (
                stored.id,
                target,
                vantage,
                self._shared("url", url=stored.url),
                milliseconds(stored.started_at),
                microseconds(stored.elapsed_seconds),
                self._shared(
                    "run_context",
                    software=context.software,
                    config_digest=context.config_digest,
                    ca_digest=context.ca_digest,
                    hello_profile=context.hello_profile,
                    clock_source=context.clock_source,
                ),
                network,
                None if offset is None else microseconds(offset),
                stored.is_deep,
                stored.interrupted,
                sha256,
            ),
        ).rowcount
        if inserted:
            self._shared("series", id_column="target_id", target_id=target, vantage_id=vantage)
            return True
        # A commit whose success was not reported is tried again.
        row = self._db.execute("SELECT started_at FROM measurement WHERE id = ?", (stored.id,)).fetchone()
        if row != (milliseconds(stored.started_at),):
            raise ValueError(f"another measurement has the id {stored.id}")
        return False

    def _received(self, receipt: Receipt, measurement_id: int) -> bool:
        agent = self._shared("agent", name=receipt.agent)
        boot = self._shared("agent_boot", agent_id=agent, boot=receipt.boot)
        return fleet.received(self._db, boot, receipt, measurement_id)

    def _observations(self, measurement_id: int, rows: Sequence[ObservationRow], facts_ids: Sequence[int]) -> None:
        observations = []
        for id_, (row, facts_id) in enumerate(zip(rows, facts_ids, strict=True), measurement_id << POSITION_BITS):
            endpoint = None if row.address is None else self._shared("endpoint", address=row.address, port=row.port)
            observations.append(
                (
                    id_,
                    facts_id,
                    endpoint,
                    row.failure,
                    row.started_microseconds,
                    row.elapsed_microseconds,
                    row.ttls_seconds,
                )
            )
            if row.http is not None:
                self._db.execute(_INSERT_HTTP, (id_, *row.http))
        self._db.executemany(_INSERT_OBSERVATION, observations)

    def _facts_id(self, row: ObservationRow, at: int) -> tuple[int, bool]:
        """Return the id of an observation's stable part, and whether it was never seen before."""
        key = (row.step, row.facts)
        known = self._facts.get(key)
        if known is not None and known[1] > at:
            return known[0], False
        sha256 = hashlib.sha256(f"{row.step} {row.facts}".encode()).digest()
        found = self._db.execute("SELECT id, used_until FROM observation_facts WHERE digest = ?", (sha256,)).fetchone()
        used_until = at + DAY_MILLISECONDS
        if found is None:
            inserted = self._db.execute(
                "INSERT INTO observation_facts (digest, step, facts, used_until) VALUES (?, ?, ?, ?)",
                (sha256, row.step, row.facts, used_until),
            ).lastrowid
            assert inserted is not None  # noqa: S101 -- an INSERT has just set it
            self._facts[key] = (inserted, used_until)
            return inserted, True
        if found[1] <= at:
            self._db.execute("UPDATE observation_facts SET used_until = ? WHERE id = ?", (used_until, found[0]))
        self._facts[key] = (found[0], max(used_until, found[1]))
        return found[0], False

    def _kept(
        self, outcome: Outcome, new_facts: Sequence[bool], series: tuple[int, int], started: int
    ) -> tuple[bool, ...]:
        """Tell for each observation whether its raw material is kept.

        All of it behind anything remarkable; of an ordinary run what shows something new, once a day for each step, so
        that a page which changes all the time does not fill the disk.
        """
        observations = outcome.recording.measurement.observations
        if outcome.recording.measurement.is_deep or _is_remarkable(outcome.verdict):
            return (True,) * len(observations)
        kept = []
        day = started // DAY_MILLISECONDS
        for position, (observation, is_new) in enumerate(zip(observations, new_facts, strict=True)):
            key = (*series, position)
            keep = bool(getattr(observation, "late_replies", ())) or (is_new and self._sampled.get(key) != day)
            if keep:
                self._sampled[key] = day
            kept.append(keep)
        return tuple(kept)

    def _evidence(self, outcome: Outcome, kept: Sequence[bool], started: int) -> None:
        contents = {evidence.sha256: evidence for evidence in outcome.recording.evidence}
        first = outcome.recording.measurement.id << POSITION_BITS
        for position, observation in enumerate(outcome.recording.measurement.observations):
            if not kept[position]:
                continue
            late = [reply.evidence for reply in getattr(observation, "late_replies", ())]
            for start, digests in ((0, observation.evidence), (LATE_REPLY_ORDINAL, late)):
                for ordinal, sha256 in enumerate(digests, start):
                    self._db.execute(
                        "INSERT INTO observation_evidence (observation_id, ordinal, evidence_id) VALUES (?, ?, ?)",
                        (first + position, ordinal, self._evidence_id(sha256, contents.get(sha256), started)),
                    )

    def _evidence_id(self, sha256: str, evidence: Evidence | None, used_at: int) -> int:
        content = None
        if evidence is not None and hashlib.sha256(evidence.content).hexdigest() == sha256:
            content = evidence.content
        found = self._db.execute("SELECT id, content IS NULL FROM evidence WHERE digest = ?", (sha256,)).fetchone()
        packed = None
        if content is not None and (found is None or found[1]):
            packed = zlib.compress(content[:EVIDENCE_BYTES])
        if found is None:
            inserted = self._db.execute(
                "INSERT INTO evidence (digest, kind, bytes, content, used_at) VALUES (?, ?, ?, ?, ?)",
                (
                    sha256,
                    "unknown" if evidence is None else evidence.kind,
                    None if content is None else len(content),
                    packed,
                    used_at,
                ),
            ).lastrowid
            assert inserted is not None  # noqa: S101 -- an INSERT has just set it
            return inserted
        self._db.execute(
            "UPDATE evidence SET used_at = max(used_at, ?), content = coalesce(?, content), bytes = coalesce(bytes, ?) "
            "WHERE id = ?",
            (used_at, packed, None if content is None else len(content), found[0]),
        )
        return int(found[0])

    def _served_from(self, places: Sequence[Place], series: tuple[int, int], started: int) -> None:
        """Remember where the target was served from, to the hour."""
        hour = started // HOUR_MILLISECONDS
        for place in places:
            key = (*series, place)
            if self._served.get(key) == hour:
                continue
            self._served[key] = hour
            self._db.execute(
                "INSERT INTO served_from (target_id, vantage_id, day, country, asn, first_at, last_at) "
                "VALUES (?, ?, ?, ?, ?, ?6, ?6) ON CONFLICT DO UPDATE SET first_at = min(first_at, excluded.first_at), "
                "last_at = max(last_at, excluded.last_at)",
                (*series, started - started % DAY_MILLISECONDS, place.country, place.asn, started),
            )

    def _prove(self, stored: Measurement, verdict: Verdict | None, target: int, started: int) -> None:
        """Remember the addresses that proved over TLS whose they are, to the hour: the target's, and no stranger's.

        Where a redirect led is the target's only if that was the way to it, or a control went it.
        """
        hour = started // HOUR_MILLISECONDS
        leads_home = verdict is None or verdict.status is Status.ACCESSIBLE
        for observation in stored.observations:
            if not isinstance(observation, TlsObservation) or not observation.verified or not observation.server_name:
                continue
            if observation.purpose not in _OF_THE_TARGET or (observation.hop and not leads_home):
                continue
            if not is_address(observation.address):  # a name that a proxy looked up
                continue
            key = (target, observation.server_name, observation.address)
            if self._proved.get(key, -1) < hour:
                self._db.execute(
                    "INSERT INTO known_address (target_id, host, address, first_at, last_at) VALUES (?, ?, ?, ?, ?) "
                    "ON CONFLICT DO UPDATE SET last_at = max(last_at, excluded.last_at)",
                    (*key, started, started),
                )
                self._proved[key] = hour

    def _count_again(self, started: int, target: int, vantage: int) -> None:
        self._db.execute(
            "INSERT OR IGNORE INTO rollup_dirty (hour, target_id, vantage_id) VALUES (?, ?, ?)",
            (started - started % HOUR_MILLISECONDS, target, vantage),
        )

    def _imported(self, imported: Imported, measurement_id: int, at: datetime) -> None:
        """Write where a measurement comes from; what somebody fetched on purpose does not expire by age."""
        self._db.execute(
            "INSERT INTO imported (measurement_id, source, uid, report, label, imported_at) VALUES (?, ?, ?, ?, ?, ?)",
            (
                measurement_id,
                imported.source,
                imported.uid,
                imported.report,
                imported.label,
                milliseconds(at),
            ),
        )
        self.imported_keys(measurement_id, imported.keys)
        self._pin(measurement_id)

    def _verdict(self, started: int, outcome: Outcome | Redrawn, verdict: Verdict, at: datetime) -> None:
        measurement_id = outcome.measurement_id
        self._db.execute(
            "INSERT INTO verdict (measurement_id, rules_version, drawn_at, conclusion_id, control_ids, isolation_id, "
            "circumstances_id, observations, isolation_observations) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                measurement_id,
                verdict.rules_version,
                milliseconds(at),
                self._shared(
                    "conclusion",
                    rule=verdict.rule,
                    because=verdict.because,
                    status=verdict.status,
                    confidence=verdict.confidence,
                    layer=verdict.layer,
                    mechanisms=text(verdict.mechanisms),
                    reason=verdict.reason,
                    vantage_state_before=outcome.state_before,
                    vantage_state_after=outcome.state_after,
                ),
                text(outcome.control_ids) if outcome.control_ids else None,
                outcome.isolation_id,
                None if outcome.circumstances is None else self._circumstances_id(outcome.circumstances, started),
                text(verdict.observations) if verdict.observations else None,
                text(verdict.isolation_observations) if verdict.isolation_observations else None,
            ),
        )
        if _is_remarkable(verdict):
            for pinned in {measurement_id, *outcome.control_ids, outcome.isolation_id} - {None}:
                self._pin(pinned)

    def _circumstances_id(self, content: str, at: int) -> int:
        sha256 = hashlib.sha256(content.encode()).digest()
        known = self._circumstances.get(sha256)
        if known is not None and known[1] > at:
            return known[0]
        used_until = at + DAY_MILLISECONDS
        (id_,) = self._db.execute(
            "INSERT INTO circumstances (digest, content, used_until) VALUES (?, ?, ?) ON CONFLICT (digest) "
            "DO UPDATE SET used_until = max(used_until, excluded.used_until) RETURNING id",
            (sha256, content, used_until),
        ).fetchone()
        self._circumstances[sha256] = (id_, used_until)
        return int(id_)

    def _pin(self, measurement_id: int | None) -> None:
        self._db.execute("INSERT OR IGNORE INTO pinned SELECT id FROM measurement WHERE id = ?", (measurement_id,))
        self._db.execute(
            "UPDATE evidence SET is_pinned = 1 WHERE NOT is_pinned AND id IN (SELECT evidence_id "
            "FROM observation_evidence WHERE observation_id BETWEEN ?1 << 10 AND (?1 << 10) + 1023)",
            (measurement_id,),
        )

    def _status_run(self, series: tuple[int, int], started: int, status: Status) -> None:
        """Note the status of a measurement where it changes; a late row or another verdict may split or join runs."""
        held = self._status_at(series, started)
        if held == status:
            return
        after = self._db.execute(
            "SELECT m.started_at FROM measurement m WHERE target_id = ? AND vantage_id = ? AND started_at > ? "
            "AND EXISTS (SELECT 1 FROM verdict WHERE measurement_id = m.id) ORDER BY started_at LIMIT 1",
            (*series, started),
        ).fetchone()
        insert = "INSERT OR REPLACE INTO status_run (target_id, vantage_id, started_at, status) VALUES (?, ?, ?, ?)"
        delete = "DELETE FROM status_run WHERE target_id = ? AND vantage_id = ? AND started_at = ?"
        if after is not None:
            next_status = self._db.execute(
                "SELECT status FROM status_run WHERE target_id = ? AND vantage_id = ? AND started_at = ?",
                (*series, *after),
            ).fetchone()
            if next_status is None and held is not None:
                self._db.execute(insert, (*series, *after, held))
            elif next_status == (status,):
                self._db.execute(delete, (*series, *after))
        if self._status_at(series, started - 1) == status:
            self._db.execute(delete, (*series, started))
        else:
            self._db.execute(insert, (*series, started, status))

    def _status_at(self, series: tuple[int, int], at: int) -> str | None:
        found = self._db.execute(
            "SELECT status FROM status_run WHERE target_id = ? AND vantage_id = ? AND started_at <= ? "
            "ORDER BY started_at DESC LIMIT 1",
            (*series, at),
        ).fetchone()
        return None if found is None else str(found[0])

    def _detector(self, key: tuple[int, int, int], detector: DetectorState, started: int) -> None:
        # In the order in which rounds were judged, whatever the clock said: it may have been set back in between.
        self._db.execute(
            "INSERT INTO detector (target_id, vantage_id, asn, updated_at, state, score, detail) "
            "VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET updated_at = excluded.updated_at, "
            "state = excluded.state, score = excluded.score, detail = excluded.detail",
            (*key, started, detector.state, detector.score, text(detector)),
        )

    def _transition(self, transition: Transition, outcome: Outcome, network: int) -> None:
        self._db.execute(
            "INSERT INTO transition (target_id, vantage_id, network_id, measurement_id, at, before, after, status, "
            "score, last_before_at, first_after_at, rules_version, incident_id, parameters) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                self._named("target", transition.target),
                self._named("vantage", transition.vantage),
                network,
                outcome.recording.measurement.id,
                milliseconds(transition.at),
                transition.before,
                transition.after,
                transition.status,
                transition.score,
                optional_milliseconds(transition.last_before_at),
                optional_milliseconds(transition.first_after_at),
                None if outcome.verdict is None else outcome.verdict.rules_version,
                None if outcome.incident is None else outcome.incident.id,
                None if transition.parameters is None else text(transition.parameters),
            ),
        )

    def _configured(self, table: str, name: str, fields: Mapping[str, object], now: int) -> None:
        id_ = self._named(table, name)
        assignments = "".join(f"{column} = ?, " for column in fields)
        self._db.execute(
            f"UPDATE {table} SET {assignments}added_at = coalesce(added_at, ?), removed_at = NULL WHERE id = ?",  # noqa: S608 -- our own names
            (*fields.values(), now, id_),
        )

    def _define(self, target: Target, interval_seconds: float | None, config_digest: str, now: int) -> None:
        id_ = self._named("target", target.name)
        definition = (target.platform, target.url, target.probe, text(target.expectation), interval_seconds)
        latest = self._db.execute(
            "SELECT platform, url, probe, expectation, interval_seconds FROM target_definition WHERE target_id = ? "
            "ORDER BY since DESC LIMIT 1",
            (id_,),
        ).fetchone()
        if latest != definition:
            self._db.execute(
                "INSERT OR REPLACE INTO target_definition VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (id_, now, *definition, config_digest),
            )

    def _remove_others(self, table: str, present: str, now: int) -> None:
        self._db.execute(
            f"UPDATE {table} SET removed_at = ? WHERE added_at IS NOT NULL AND removed_at IS NULL "  # noqa: S608 -- our own names
            "AND name NOT IN (SELECT value FROM json_each(?))",
            (now, present),
        )

    def _named(self, table: str, name: str) -> int:
        return self._shared(table, name=name)

    def _network(self, network: NetworkIdentity) -> int:
        return self._shared(
            "network", asn=network.asn, name=network.name, country=network.country, resolver_asn=network.resolver_asn
        )

    def _shared(self, table: str, *, id_column: str = "id", **values: object) -> int:
        """Return the id of the row with these values, made if there is none."""
        key = (table, *values.values())
        known = self._ids.get(key)
        if known is not None:
            return known
        where = " AND ".join(f"{column} IS ?" for column in values)
        parameters = tuple(values.values())
        found = self._db.execute(f"SELECT {id_column} FROM {table} WHERE {where}", parameters).fetchone()  # noqa: S608 -- our own names
        if found is None:
            marks = ", ".join("?" * len(values))
            found = self._db.execute(
                f"INSERT INTO {table} ({', '.join(values)}) VALUES ({marks}) RETURNING {id_column}",  # noqa: S608 -- our own names
                parameters,
            ).fetchone()
        self._ids[key] = found[0]
        return int(found[0])


def _in_milliseconds(network: AffectedNetwork) -> AffectedNetwork:
    """Return a network with its times as the columns have theirs."""
    ended_at = None if network.ended_at is None else instant(milliseconds(network.ended_at))
    return msgspec.structs.replace(network, alarmed_at=instant(milliseconds(network.alarmed_at)), ended_at=ended_at)


def _is_remarkable(verdict: Verdict | None) -> bool:
    """Tell whether what lies behind a verdict must be kept: anything but accessible without a finding."""
    return verdict is not None and (verdict.status is not Status.ACCESSIBLE or bool(verdict.mechanisms))
