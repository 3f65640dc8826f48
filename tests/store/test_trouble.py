"""What happens when the file cannot be written, and when the process is killed."""

import queue
import random
import resource
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from monitor.model.vantage import VantageCheck, VantageState
from monitor.store.connection import StoreError
from monitor.store.reader import Reader, StoredEvidence
from monitor.store.store import Store, StoreEvent
from tests.store.samples import BLOCKED, NOW, FixedClock, open_store, outcome, seconds

PATIENCE_SECONDS = 60.0
# Byte 18 of the header is the version needed to write; above 2 SQLite may only read the file
# (https://www.sqlite.org/fileformat.html, section 1.3.3), whoever runs the tests.
WRITE_VERSION_OFFSET = 18


class Watch:
    """Collects the events of a store and waits for one."""

    def __init__(self) -> None:
        self._events: queue.Queue[StoreEvent] = queue.Queue()

    def __call__(self, event: StoreEvent) -> None:
        self._events.put(event)

    def wait_for(self, kind: str) -> StoreEvent:
        while (event := self._events.get(timeout=PATIENCE_SECONDS)).kind != kind:
            pass
        return event

    def has(self, kind: str) -> bool:
        try:
            return self._events.get(timeout=0.02).kind == kind
        except queue.Empty:
            return False


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "monitor.db"


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Another program holds the write lock meanwhile."""
    db = sqlite3.connect(path, isolation_level=None)
    try:
        db.execute("BEGIN IMMEDIATE")
        yield
        db.execute("ROLLBACK")
    finally:
        db.close()


@contextmanager
def full(_: Path) -> Iterator[None]:
    """No file of this process may grow beyond a few pages meanwhile, as on a full disk."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (32 * 1024, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def set_write_version(path: Path, version: int) -> None:
    with path.open("r+b") as file:
        file.seek(WRITE_VERSION_OFFSET)
        file.write(bytes([version]))


@pytest.mark.parametrize(("trouble", "why"), [(locked, {"locked"}), (full, {"full", "io_error"})])
def test_while_the_file_cannot_be_written_runs_are_spooled_and_written_later(
    path: Path, trouble: Callable[[Path], AbstractContextManager[None]], why: set[str]
) -> None:
    watch = Watch()
    store = open_store(path, on_event=watch)
    assert store.record(outcome(1)).result(PATIENCE_SECONDS)
    # Incompressible, so that it needs room.
    page = random.Random(1).randbytes(200_000)  # noqa: S311 -- the same every time
    with trouble(path):
        assert store.record(outcome(2, NOW + seconds(1), verdict=BLOCKED, body=page)).result(PATIENCE_SECONDS) is False
        assert watch.wait_for("unavailable").why in why
        assert store.record(outcome(3, NOW + seconds(2))).result(PATIENCE_SECONDS) is False
        health = store.health()
        assert health.last_error in why
        assert (health.spooled, health.lost_total, health.committed_total) == (2, 0, 1)
    watch.wait_for("recovered")
    store.close()
    health = store.health()
    assert (health.last_error, health.spooled, health.committed_total) == (None, 0, 3)
    with Reader(path) as reader:
        assert [row.id for row in reader.history("x-home")] == [3, 2, 1]
        assert reader.gaps() == []


def test_a_file_that_becomes_read_only_is_written_once_it_is_writable_again(path: Path) -> None:
    watch = Watch()
    store = open_store(path, on_event=watch)
    with locked(path):
        assert store.record(outcome(1)).result(PATIENCE_SECONDS) is False
        watch.wait_for("unavailable")
        set_write_version(path, 3)
    while store.health().last_error != "read_only":
        assert store.health().spooled == 1
    set_write_version(path, 2)
    watch.wait_for("recovered")
    store.close()
    with Reader(path) as reader:
        assert reader.counts().measurements == 1


def test_what_the_spool_cannot_hold_is_counted_and_written_down_as_a_gap(path: Path) -> None:
    watch, clock = Watch(), FixedClock()
    store = open_store(path, spool_rows=3, on_event=watch, clock=clock)
    with locked(path):
        assert store.record(outcome(1)).result(PATIENCE_SECONDS) is False
        watch.wait_for("unavailable")
        for number in range(2, 8):
            clock.at = NOW + seconds(number)
            assert store.record(outcome(number, clock.at)).result(PATIENCE_SECONDS) is False
        # The configuration is never lost.
        configured = store.sync_configuration({"x": "X"}, (), (), "d", clock.at)
        assert configured.result(PATIENCE_SECONDS) is False
        assert watch.wait_for("lost").why == "locked"
        assert (store.health().lost_total, store.health().spooled) == (4, 4)
    watch.wait_for("recovered")
    store.close()
    with Reader(path) as reader:
        assert [row.id for row in reader.history("x-home")] == [3, 2, 1]
        (gap,) = reader.gaps()
        assert (gap.from_at, gap.to_at, gap.runs) == (NOW + seconds(4), NOW + seconds(7), 4)
        assert gap.why == "locked"
        assert reader.counts().runs_lost == 4
    db = sqlite3.connect(path)
    assert db.execute("SELECT name FROM platform").fetchall() == [("x",)]
    db.close()


def test_every_lost_run_is_in_a_gap_however_often_writing_failed_meanwhile(path: Path) -> None:
    watch = Watch()
    store = open_store(path, spool_rows=1, on_event=watch)
    with locked(path):
        assert store.record(outcome(1)).result(PATIENCE_SECONDS) is False
        # A loss is told once for each attempt to write, so the third comes after two that failed.
        for _ in range(3):
            while not watch.has("lost"):
                store.record(outcome(2))
    watch.wait_for("recovered")
    store.close()
    with Reader(path) as reader:
        assert reader.counts().runs_lost == store.health().lost_total > 2


def test_spooled_accessible_runs_let_go_of_their_evidence_and_blocked_ones_keep_it(path: Path) -> None:
    watch = Watch()
    store = open_store(path, on_event=watch)
    with locked(path):
        store.record_check(VantageCheck(vantage="lahore", started_at=NOW, state=VantageState.ONLINE))
        watch.wait_for("unavailable")
        store.record(outcome(2, body=b"page"))
        store.record(outcome(3, body=b"block page", verdict=BLOCKED))
    watch.wait_for("recovered")
    store.close()
    with Reader(path) as reader:
        assert [evidence.is_held for evidence in _evidence_of(reader, 2)] == [False]
        assert [evidence.is_held for evidence in _evidence_of(reader, 3)] == [True]


def test_closing_while_the_file_is_locked_ends_and_tells_what_was_not_written(path: Path) -> None:
    watch = Watch()
    store = open_store(path, on_event=watch)
    with locked(path):
        store.record(outcome(1)).result(PATIENCE_SECONDS)
        upkeep = store.record(outcome(2))
        store.close()
        assert upkeep.result(PATIENCE_SECONDS) is False
        assert watch.wait_for("closed_unwritten").runs == 2


def test_closing_writes_what_waits(path: Path) -> None:
    store = open_store(path)
    futures = [store.record(outcome(number)) for number in range(1, 400)]
    store.close()
    assert all(future.result(0) for future in futures)


def test_two_processes_may_write_to_one_file(path: Path) -> None:
    daemon, by_hand = open_store(path), open_store(path)
    futures = [
        store.record(outcome(number + shift, NOW + seconds(number), target=f"t{number % 3}", body=b"%d" % number))
        for number in range(1, 100)
        for store, shift in ((daemon, 0), (by_hand, 1000))
    ]
    assert all(future.result(PATIENCE_SECONDS) for future in futures)
    daemon.close()
    by_hand.close()
    with Reader(path) as reader:
        assert reader.counts().measurements == 198
        assert all(stored.is_genuine for id_ in (1, 99, 1001, 1099) if (stored := reader.measurement(id_)))


@pytest.mark.parametrize("place", ["/proc/monitor.db", "/proc/none/monitor.db", "/dev/null/monitor.db"])
def test_a_place_that_cannot_be_written_is_refused_at_once(place: str) -> None:
    with pytest.raises(StoreError, match="cannot write"):
        open_store(Path(place))


def test_a_file_that_can_only_be_read_is_refused_at_once(path: Path) -> None:
    open_store(path).close()
    set_write_version(path, 3)
    with pytest.raises(StoreError, match="read_only"):
        open_store(path)


def test_a_file_held_by_another_program_is_refused_at_once(path: Path) -> None:
    open_store(path).close()
    with locked(path), pytest.raises(StoreError, match="locked"):
        open_store(path)


def test_kill_9_twenty_times_under_load_loses_no_acknowledged_row(path: Path) -> None:
    acknowledged: set[int] = set()
    first_id = 1
    for kill in range(20):
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.store.writer_process", str(path), str(first_id)],
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[2],
        )
        assert process.stdout is not None
        # A different moment each time: after so many acknowledgements more.
        seen = [int(process.stdout.readline()) for _ in range(5 + 37 * kill % 101)]
        process.kill()
        rest, _ = process.communicate(timeout=PATIENCE_SECONDS)
        # The last line may have been cut by the kill.
        seen += [int(line) for line in rest.split("\n")[:-1]]
        acknowledged.update(seen)
        first_id += 10_000
    store = Store.open(path, FixedClock(), spool_rows=10)
    store.close()
    db = sqlite3.connect(path)
    assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert db.execute("PRAGMA foreign_key_check").fetchall() == []
    stored = {id_ for (id_,) in db.execute("SELECT id FROM measurement")}
    # Each run is there as a whole: its observations, its verdict, its evidence.
    whole = db.execute(
        "SELECT count(*) FROM measurement m WHERE "
        "(SELECT count(*) FROM observation WHERE id BETWEEN m.id << 10 AND (m.id << 10) + 1023) = 2 "
        "AND (SELECT count(*) FROM verdict WHERE measurement_id = m.id) = 1 AND (SELECT count(*) "
        "FROM observation_evidence WHERE observation_id BETWEEN m.id << 10 AND (m.id << 10) + 1023) = 1"
    ).fetchone()
    db.close()
    assert acknowledged <= stored
    assert whole == (len(stored),)


def _evidence_of(reader: Reader, measurement_id: int) -> list[StoredEvidence]:
    stored = reader.measurement(measurement_id)
    assert stored is not None
    return list(stored.evidence)
