"""A database that the program of before the tenth migration wrote in the laboratory, opened by the program of today."""

import gzip
import sqlite3
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest

from monitor.daemon.memory import Memory
from monitor.daemon.reclassify import NO_CIRCUMSTANCES, Redrawer
from monitor.model.outcome import IncidentUpdate, Member, UpdateKind
from monitor.model.verdict import Confidence, SeriesState
from monitor.store.incident_detail import details
from monitor.store.reader import Reader
from monitor.store.schema import APPLICATION_ID, prepare
from tests.alerts.samples import INCIDENT
from tests.store.samples import BLOCKED, NOW, open_store, outcome

DUMP = Path(__file__).with_name("before-m0010.sql.gz")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The database as it was written, not upgraded yet."""
    path = tmp_path / "monitor.db"
    db = sqlite3.connect(path)
    db.execute(f"PRAGMA application_id = {APPLICATION_ID}")  # which a dump leaves out
    db.executescript(gzip.decompress(DUMP.read_bytes()).decode())
    db.close()
    return path


def counts(path: Path) -> dict[str, int]:
    db = sqlite3.connect(path)
    names = [name for (name,) in db.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
    found = {
        name: int(db.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0])  # noqa: S608 -- names of our own tables
        for name in names
        if "sqlite" not in name
    }
    db.close()
    return found


def test_nothing_is_lost(path: Path) -> None:
    before = counts(path)
    prepare(path)
    assert before["measurement"] > 0
    assert before.items() <= counts(path).items()
    db = sqlite3.connect(path)
    assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert db.execute("PRAGMA foreign_key_check").fetchall() == []
    db.close()


def test_what_was_measured_then_is_read_and_proves_to_be_genuine(path: Path) -> None:
    prepare(path)
    with Reader(path) as reader:
        stored = list(reader.measurements())
        assert len(stored) == counts(path)["measurement"]
        assert all(one.is_genuine for one in stored)
        assert {one.obstacle for one in Redrawer(reader).all(iter(stored))} == {NO_CIRCUMSTANCES}


def test_an_incident_that_was_open_then_is_open_still_and_the_detector_goes_on(path: Path) -> None:
    prepare(path)
    member = Member("dropped", "here", 135407)
    with Reader(path) as reader:
        (incident,) = reader.open_incidents()
        assert len(details(reader, [incident])) == 1
        assert incident.members == (member,)
        memory = Memory()
        memory.recall(reader, [("dropped", "here")], incident.opened_at + timedelta(minutes=5), {})
        assert memory.detectors[member].state is SeriesState.NOT_ACCESSIBLE
        assert memory.incidents == {("lab", "PK"): incident}


def test_today_is_written_beside_what_was_written_then(path: Path) -> None:
    before = counts(path)["measurement"]
    store = open_store(path)
    assert store.record(outcome(1)).result(30)
    store.close()
    assert counts(path)["measurement"] == before + 1


def test_an_incident_of_before_is_confirmed_since_its_first_confirmed_entry(tmp_path: Path) -> None:
    path = tmp_path / "monitor.db"
    store = open_store(path)
    likely = msgspec.structs.replace(BLOCKED, confidence=Confidence.LIKELY)
    update = IncidentUpdate(incident="", sequence=1, kind=UpdateKind.START, at=NOW)
    for number, verdict in enumerate((likely, BLOCKED)):
        first = 10 * number + 1
        told = outcome(first, verdict=likely), outcome(first + 1, verdict=verdict)
        assert all(store.record(one).result(30) for one in told)
        updates = tuple(
            msgspec.structs.replace(update, incident=f"i{number}", sequence=place, measurement_id=one.measurement_id)
            for place, one in enumerate(told, 1)
        )
        assert store.record_incident(msgspec.structs.replace(INCIDENT, id=f"i{number}"), updates).result(30)
    store.close()
    db = sqlite3.connect(path)
    db.execute("ALTER TABLE incident DROP COLUMN confirmed_at")
    db.execute("DELETE FROM _sqlite_migrations WHERE name = 'm0090_confirmed_incidents'")
    db.commit()
    db.close()
    prepare(path)
    with Reader(path) as reader:
        assert {one.id: one.confirmed_at for one in reader.incidents()} == {"i0": None, "i1": NOW}
