"""The store: one named thread owns the write connection and writes what is queued, many runs in one transaction.

The queue is the spool. While the file is locked, full or read-only, everything stays in it, the caller is told so, and
the thread tries again, less and less often, on a fresh connection. When the queue is full, further runs are lost: they
are counted, and the gap is written down in the first transaction that succeeds. Nothing here raises for such trouble
once the store is open, and nothing blocks the caller.
"""

import contextlib
import sqlite3
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import date, datetime
from itertools import islice
from pathlib import Path
from typing import Final

import msgspec

from monitor.config.schema import Retention
from monitor.events.annotation import Calendar
from monitor.model.agent import Agent, Token
from monitor.model.aggregation import OoniCount
from monitor.model.alert import Attempt, Mute, Notice, Shift
from monitor.model.fingerprint import FingerprintSet
from monitor.model.onset import Onset
from monitor.model.outcome import Incident, IncidentUpdate, Outcome, Redrawn, Silence
from monitor.model.seams import Clock
from monitor.model.target import Target
from monitor.model.vantage import ProbeCount, VantageCheck, VantageInfo
from monitor.model.verdict import Status
from monitor.store import fleet, outbox
from monitor.store.connection import connect_writer, trouble
from monitor.store.recorder import Recorder
from monitor.store.schema import prepare
from monitor.store.upkeep import upkeep

# Long enough that a busy daemon commits four times a second and not five hundred; short against any interval.
GATHER_SECONDS: Final = 0.25
BATCH_JOBS: Final = 500
BACKOFF_SECONDS: Final = (0.5, 30.0)
# Raw material held in memory while the file is unusable; beyond it runs are kept without.
SPOOL_EVIDENCE_BYTES: Final = 64 * 1024 * 1024
_CLOSE_SECONDS: Final = 10.0
_CLOSING_RETRY_SECONDS: Final = 0.2
_LAST_ATTEMPT_SECONDS: Final = 3.0  # an attempt under way may wait for a lock that long


class StoreHealth(msgspec.Struct, frozen=True, kw_only=True):
    """How the store is. `last_error` is a word of connection.py while the file cannot be written, else None."""

    pending: int  # waiting to be written
    spooled: int  # the same, while the file cannot be written
    lost_total: int  # runs for which the spool had no room
    refused_total: int  # runs that no row can hold: a mistake of ours or of an agent
    committed_total: int  # runs durable
    last_error: str | None
    last_commit_seconds: float
    file_bytes: int
    wal_bytes: int


class StoreEvent(msgspec.Struct, frozen=True, kw_only=True):
    """Something an operator should know.

    `kind` is `unavailable`, `recovered`, `lost`, `refused`, `closed_unwritten` or `upkeep_failed`; `why` is a word of
    connection.py, or for `refused` and `upkeep_failed` the text of the exception.
    """

    kind: str
    why: str = ""
    runs: int = 0


@dataclass(frozen=True)
class _Job:
    write: Callable[[Recorder], None]
    done: "Future[bool]"
    at: datetime
    is_run: bool
    evidence_bytes: int = 0


@dataclass(frozen=True)
class _Gap:
    from_at: datetime
    to_at: datetime
    runs: int
    why: str

    def joined(self, later: "_Gap | None") -> "_Gap":
        return self if later is None else _Gap(self.from_at, later.to_at, self.runs + later.runs, self.why)


@dataclass(frozen=True)
class _Upkeep:
    now: datetime
    retention: Retention
    done: "Future[bool]"


class Store:
    """Writes outcomes, checks and the configuration; made by `open`, ended by `close`. Any thread may call it.

    The futures it returns resolve to True once the row would survive a power cut, and to False if it is spooled, lost
    or refused; `asyncio.wrap_future` makes them awaitable.
    """

    def __init__(self, path: Path, clock: Clock, spool_rows: int, on_event: Callable[[StoreEvent], None]) -> None:
        self._path = path
        self._clock = clock
        self._spool_rows = spool_rows
        self._on_event = on_event
        self._changed = threading.Condition()
        self._jobs: deque[_Job] = deque()
        self._upkeep: deque[_Upkeep] = deque()
        self._slices: Iterator[None] | None = None
        self._spooled_evidence_bytes = 0
        self._gap: _Gap | None = None
        self._error: str | None = None
        self._lost = self._refused = self._committed = 0
        self._commit_seconds = 0.0
        self._closing = threading.Event()
        self._give_up = threading.Event()
        self._db: sqlite3.Connection | None = None
        self._recorder: Recorder | None = None
        self._thread = threading.Thread(target=self._work, name="store-writer", daemon=True)

    @classmethod
    def open(
        cls, path: Path, clock: Clock, *, spool_rows: int, on_event: Callable[[StoreEvent], None] | None = None
    ) -> "Store":
        """Make or migrate the file and start the writer; blocks, and raises StoreError if the file cannot be used.

        `on_event` is called from the thread that notices, and must not block.
        """
        prepare(path)
        store = cls(path, clock, spool_rows, on_event or (lambda _: None))
        store._thread.start()
        return store

    def record(self, outcome: Outcome, notices: Sequence[Notice] = ()) -> "Future[bool]":
        """Queue a run, everything concluded from it and who is told, to be written as a whole."""
        at = self._clock.now()
        with self._changed:
            if self._error is not None:
                outcome = self._without_spare_evidence(outcome)
        size = sum(len(evidence.content) for evidence in outcome.recording.evidence)
        return self._queue(lambda recorder: recorder.outcome(outcome, at, notices), is_run=True, evidence_bytes=size)

    def record_imported(self, outcome: Outcome, target: Target, vantage: VantageInfo) -> "Future[bool]":
        """Queue a measurement that somebody else made; `vantage` stands for the network it was made on."""
        at = self._clock.now()
        return self._queue(lambda recorder: recorder.imported(outcome, target, vantage, at), is_run=True)

    def record_imported_keys(self, measurement_id: int, keys: Sequence[bytes]) -> "Future[bool]":
        """Queue further names of an imported measurement that is stored."""
        return self._queue(lambda recorder: recorder.imported_keys(measurement_id, keys), is_run=True)

    def record_ooni_counts(
        self, counts: Sequence[OoniCount], settled: Sequence[tuple[str, str, str, date]], at: datetime
    ) -> "Future[bool]":
        """Queue OONI's counts; `settled` are days (domain, country, test, day) that need not be asked for again."""
        return self._queue(lambda recorder: recorder.ooni_counts(counts, settled, at), is_run=True)

    def record_redrawn(self, redrawn: Redrawn) -> "Future[bool]":
        """Queue another verdict on a measurement that is stored."""
        at = self._clock.now()
        return self._queue(lambda recorder: recorder.redrawn(redrawn, at), is_run=True)

    def record_incident(
        self, incident: Incident, updates: Sequence[IncidentUpdate], notices: Sequence[Notice] = ()
    ) -> "Future[bool]":
        """Queue an incident as it is now, what happened to it by something else than a run, and who is told."""
        return self._queue(lambda recorder: recorder.incident(incident, updates, notices), is_run=False)

    def record_onset(self, transition_id: int, onset: Onset) -> "Future[bool]":
        """Queue when a confirmed change happened, as far as is known now."""
        return self._queue(lambda recorder: recorder.onset(transition_id, onset), is_run=False)

    def record_silence(self, silence: Silence, notices: Sequence[Notice] = ()) -> "Future[bool]":
        """Queue that a country fell silent, or that it is heard again, and who is told."""
        return self._queue(lambda recorder: recorder.silence(silence, notices), is_run=False)

    def post(self, notices: Sequence[Notice]) -> "Future[bool]":
        """Queue alerts with their messages."""
        return self._outbox(lambda db: outbox.post(db, notices))

    def shift(self, shifts: Sequence[Shift]) -> "Future[bool]":
        """Queue that messages wait, or are not sent."""
        return self._outbox(lambda db: outbox.shift(db, shifts))

    def claim(self, parcel: Sequence[int], until: datetime) -> "Future[bool]":
        """Queue that messages are about to be sent together; False if another process holds them."""
        return self._outbox(lambda db: outbox.claim(db, parcel, self._clock.now(), until))

    def attempted(self, attempt: Attempt) -> "Future[bool]":
        """Queue what an attempt to send came to."""
        return self._outbox(lambda db: outbox.attempted(db, attempt))

    def mute(self, asked: Mute) -> "Future[bool]":
        """Queue what a person asked to be silent about."""
        return self._outbox(lambda db: outbox.mute(db, asked))

    def unmute(self, mute_id: int, at: datetime) -> "Future[bool]":
        """Queue that a mute ends before its time."""
        return self._outbox(lambda db: outbox.unmute(db, mute_id, at))

    def invite(self, token: Token) -> "Future[bool]":
        """Queue a token with which an agent may enrol."""
        return self._outbox(lambda db: fleet.invite(db, token))

    def enrol(self, agent: Agent) -> "Future[bool]":
        """Queue an agent in the place of the one before; False if its token was used meanwhile."""
        return self._outbox(lambda db: fleet.enrol(db, agent))

    def revoke(self, agent_id: str, at: datetime, why: str) -> "Future[bool]":
        """Queue that an agent is heard no more."""
        return self._outbox(lambda db: fleet.revoke(db, agent_id, at, why))

    def record_agent(self, agent: Agent) -> "Future[bool]":
        """Queue what an agent said of itself last."""
        return self._outbox(lambda db: fleet.seen(db, agent))

    def instruct(self, vantage: str, version: int, digest: str, at: datetime) -> "Future[bool]":
        """Queue the version that a vantage's instructions have now."""
        return self._outbox(lambda db: fleet.instruct(db, vantage, version, digest, at))

    def settled(self) -> "Future[bool]":
        """Queue nothing: the future tells when all that was queued before is durable."""
        return self._outbox(lambda _: None)

    def _outbox(self, write: Callable[[sqlite3.Connection], None]) -> "Future[bool]":
        return self._queue(lambda recorder: recorder.outbox(write), is_run=False)

    def record_spending(self, vantage: str, at: datetime, units: int) -> "Future[bool]":
        """Queue what a vantage spent of a service's quota; never lost."""
        return self._queue(lambda recorder: recorder.spending(vantage, at, units), is_run=False)

    def record_probe_counts(self, vantage: str, at: datetime, counts: Sequence[ProbeCount]) -> "Future[bool]":
        """Queue how many probes a service lists."""
        return self._queue(lambda recorder: recorder.probe_counts(vantage, at, counts), is_run=True)

    def record_check(self, check: VantageCheck) -> "Future[bool]":
        """Queue a round of sanity checks."""
        return self._queue(lambda recorder: recorder.check(check), is_run=True)

    def sync_configuration(
        self,
        platforms: Mapping[str, str | None],
        targets: Iterable[Target],
        vantages: Iterable[VantageInfo],
        config_digest: str,
        at: datetime,
        *,
        intervals_seconds: Mapping[str, float] | None = None,
    ) -> "Future[bool]":
        """Queue what is configured from `at` on; never lost, and what is no longer named keeps its history.

        `platforms` maps each id to what people call it; `intervals_seconds` each target to its interval, from which the
        rollups know how many runs to expect.
        """
        targets, vantages, intervals_seconds = tuple(targets), tuple(vantages), intervals_seconds or {}
        return self._queue(
            lambda recorder: recorder.configuration(
                platforms,
                targets,
                vantages,
                intervals_seconds=intervals_seconds,
                config_digest=config_digest,
                at=at,
            ),
            is_run=False,
        )

    def sync_fingerprints(self, fingerprints: FingerprintSet, at: datetime) -> "Future[bool]":
        """Queue which fingerprints verdicts rest on from `at` on; never lost."""
        return self._queue(lambda recorder: recorder.fingerprints(fingerprints, at), is_run=False)

    def sync_events(self, calendar: Calendar, at: datetime) -> "Future[bool]":
        """Queue the regulatory events as they are told from `at` on; never lost."""
        return self._queue(lambda recorder: recorder.calendar(calendar, at), is_run=False)

    def maintain(self, now: datetime, retention: Retention) -> "Future[bool]":
        """Queue rollups and retention as of `now`, done in slices while nothing else waits long; about once an hour.

        False if the file could not be written; the next call takes up where this one ended.
        """
        with self._changed:
            # One at work and one behind it are enough.
            if len(self._upkeep) < 2:
                self._upkeep.append(_Upkeep(now, retention, _future()))
                self._changed.notify()
            return self._upkeep[-1].done

    def health(self) -> StoreHealth:
        """Tell how the store is; asks the file system for two sizes."""
        with self._changed:
            waiting = len(self._jobs)
            return StoreHealth(
                pending=waiting,
                spooled=waiting if self._error else 0,
                lost_total=self._lost,
                refused_total=self._refused,
                committed_total=self._committed,
                last_error=self._error,
                last_commit_seconds=self._commit_seconds,
                file_bytes=_size(self._path),
                wal_bytes=_size(self._path.with_name(self._path.name + "-wal")),
            )

    def close(self) -> None:
        """Write what waits, if the file lets us within ten seconds, and stop; what cannot be written is lost."""
        self._closing.set()
        with self._changed:
            self._changed.notify()
        self._thread.join(_CLOSE_SECONDS)
        self._give_up.set()
        self._thread.join(_LAST_ATTEMPT_SECONDS)
        with self._changed:
            unwritten = sum(job.is_run for job in self._jobs)
        if unwritten:
            self._on_event(StoreEvent(kind="closed_unwritten", why=self._error or "", runs=unwritten))

    # What follows runs in the caller's thread, under the lock.

    def _queue(self, write: Callable[[Recorder], None], *, is_run: bool, evidence_bytes: int = 0) -> "Future[bool]":
        job = _Job(write, _future(), self._clock.now(), is_run, evidence_bytes)
        with self._changed:
            is_first_loss = self._gap is None
            if is_run and (len(self._jobs) >= self._spool_rows or self._closing.is_set()):
                self._lose(job)
            else:
                self._jobs.append(job)
                self._spooled_evidence_bytes += evidence_bytes
                if self._error is not None:
                    job.done.set_result(False)
                self._changed.notify()
                return job.done
        if is_first_loss:
            self._on_event(StoreEvent(kind="lost", why=self._error or "overrun", runs=1))
        job.done.set_result(False)
        return job.done

    def _lose(self, job: _Job) -> None:
        self._lost += 1
        gap = _Gap(job.at, job.at, 1, self._error or "overrun")
        self._gap = gap if self._gap is None else self._gap.joined(gap)

    def _without_spare_evidence(self, outcome: Outcome) -> Outcome:
        """Let go of raw material that retention would drop soonest, or of all once there is too much of it."""
        is_spare = (outcome.verdict is None or outcome.verdict.status is Status.ACCESSIBLE) and (
            not outcome.recording.measurement.is_deep
        )
        if not is_spare and self._spooled_evidence_bytes < SPOOL_EVIDENCE_BYTES:
            return outcome
        return msgspec.structs.replace(outcome, recording=msgspec.structs.replace(outcome.recording, evidence=()))

    # What follows runs in the writer's thread.

    def _work(self) -> None:
        backoff, longest = BACKOFF_SECONDS
        while self._wait_for_work():
            if self._turn():
                backoff = BACKOFF_SECONDS[0]
            elif self._closing.wait(backoff):
                if self._give_up.wait(_CLOSING_RETRY_SECONDS):
                    break
            else:
                backoff = min(2 * backoff, longest)
        self._abandon_upkeep()
        self._disconnect(truncate=True)

    def _wait_for_work(self) -> bool:
        """Wait until there is something to do, and a moment longer for more; False once all is done and we close."""
        with self._changed:
            while not (self._jobs or self._upkeep or self._gap or self._closing.is_set()):
                self._changed.wait()
            idle = not (self._upkeep or self._slices)
        if idle:
            self._closing.wait(GATHER_SECONDS)
        return bool(self._jobs or self._gap) or not self._closing.is_set()

    def _turn(self) -> bool:
        """Write one batch and do one slice of upkeep; False if the file could not be written."""
        with self._changed:
            batch = list(islice(self._jobs, BATCH_JOBS))
            gap, self._gap = self._gap, None
        try:
            recorder = self._connected()
            began = self._clock.monotonic()
            refused = self._write(recorder, batch, gap) if batch or gap else []
            self._commit_seconds = self._clock.monotonic() - began
        except sqlite3.Error as error:
            self._fail(trouble(error) or "io_error", gap)
            return False
        self._acknowledge(batch, refused)
        return self._slice_of_upkeep()

    def _write(self, recorder: Recorder, batch: list[_Job], gap: _Gap | None) -> list[_Job]:
        """Commit a batch, each job whole; return those that no row can hold. Raises sqlite3.Error for trouble."""
        db = self._open_connection()
        refused = []
        with self._transaction(db, recorder):
            if gap is not None:
                recorder.gap(gap.from_at, gap.to_at, gap.runs, gap.why)
            for job in batch:
                db.execute("SAVEPOINT job")
                try:
                    job.write(recorder)
                # The edge of a job: a value that no row can hold must not stop the others.
                except Exception as error:
                    if isinstance(error, sqlite3.Error) and trouble(error):
                        raise
                    db.execute("ROLLBACK TO job")
                    recorder.forget()
                    refused.append(job)
                    self._on_event(StoreEvent(kind="refused", why=f"{type(error).__name__}: {error}", runs=1))
                db.execute("RELEASE job")
        return refused

    @contextlib.contextmanager
    def _transaction(self, db: sqlite3.Connection, recorder: Recorder) -> Iterator[None]:
        # IMMEDIATE: a deferred transaction that reads first fails at once if another writer commits in between.
        db.execute("BEGIN IMMEDIATE")
        try:
            yield
            db.execute("COMMIT")
        except BaseException:
            recorder.forget()
            if db.in_transaction:
                db.execute("ROLLBACK")
            raise

    def _acknowledge(self, batch: list[_Job], refused: list[_Job]) -> None:
        with self._changed:
            for job in batch:
                self._jobs.popleft()
                self._spooled_evidence_bytes -= job.evidence_bytes
            self._committed += sum(job.is_run for job in batch) - sum(job.is_run for job in refused)
            self._refused += len(refused)
            recovered_from, self._error = self._error, None
        for job in batch:
            if not job.done.done():
                job.done.set_result(job not in refused)
        if recovered_from is not None:
            self._on_event(StoreEvent(kind="recovered", why=recovered_from))

    def _fail(self, why: str, gap: _Gap | None) -> None:
        """Turn the queue into a spool: tell every caller, and try again on a new connection."""
        self._disconnect(truncate=False)
        with self._changed:
            is_new, self._error = self._error is None, why
            if gap is not None:
                self._gap = gap.joined(self._gap)
            told = [job.done for job in self._jobs if not job.done.done()]
        for done in told:
            done.set_result(False)
        self._abandon_upkeep()
        if is_new:
            self._on_event(StoreEvent(kind="unavailable", why=why, runs=len(told)))

    def _abandon_upkeep(self) -> None:
        self._slices = None
        with self._changed:
            abandoned = list(self._upkeep)
            self._upkeep.clear()
        for task in abandoned:
            task.done.set_result(False)

    def _slice_of_upkeep(self) -> bool:
        if not self._upkeep:
            return True
        task = self._upkeep[0]
        db, recorder = self._open_connection(), self._connected()
        if self._slices is None:
            self._slices = upkeep(db, task.now, task.retention)
        try:
            with self._transaction(db, recorder):
                is_done = next(self._slices, self) is self
            if is_done:
                db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        except Exception as error:  # noqa: BLE001 -- the edge of upkeep: a mistake of ours must not stop the writer
            if isinstance(error, sqlite3.Error) and (why := trouble(error)):
                self._fail(why, None)
                return False
            self._abandon_upkeep()
            self._on_event(StoreEvent(kind="upkeep_failed", why=f"{type(error).__name__}: {error}"))
            return True
        if is_done:
            self._slices = None
            with self._changed:
                self._upkeep.popleft()
            task.done.set_result(True)
        return True

    def _connected(self) -> Recorder:
        if self._recorder is None:
            self._db = connect_writer(self._path)
            self._recorder = Recorder(self._db)
        return self._recorder

    def _open_connection(self) -> sqlite3.Connection:
        self._connected()
        assert self._db is not None  # noqa: S101 -- _connected has just seen to it
        return self._db

    def _disconnect(self, *, truncate: bool) -> None:
        if self._db is None:
            return
        with contextlib.suppress(sqlite3.Error):
            if truncate:
                self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        self._db.close()
        self._db = self._recorder = None


def _future() -> "Future[bool]":
    """Return a future that its reader cannot cancel: what is queued is written."""
    future: Future[bool] = Future()
    future.set_running_or_notify_cancel()
    return future


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
