import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from monitor.config.schema import EventsConfig
from monitor.events.annotation import Calendar
from monitor.events.load import load_events
from monitor.events.record import Phase
from monitor.network.clock import SystemClock
from monitor.store.connection import connect_reader, connect_writer
from monitor.store.event_recorder import record_calendar
from monitor.store.schema import MIGRATIONS, prepare
from monitor.store.store import Store
from tests.fakes.events import BLOCK, CALENDAR, ORDER, calendar, dated, event

AT = datetime(2026, 11, 27, 10, tzinfo=UTC)
LATER = datetime(2026, 11, 27, 11, tzinfo=UTC)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "monitor.db"
    prepare(path)
    return path


@pytest.fixture
def db(path: Path) -> Iterator[sqlite3.Connection]:
    db = connect_writer(path)
    yield db
    db.close()


def record(db: sqlite3.Connection, told: Calendar, at: datetime = AT) -> int:
    """Record, and return how many rows changed."""
    before = db.total_changes
    db.execute("BEGIN IMMEDIATE")
    record_calendar(db, told, at)
    db.execute("COMMIT")
    return db.total_changes - before


def test_an_event_is_stored_with_dates_sources_marks_and_deadlines(db: sqlite3.Connection) -> None:
    record(db, CALENDAR)
    assert db.execute(
        "SELECT id, kind, country, platform, starts_at, ends_at, confidence FROM event ORDER BY id"
    ).fetchall() == [
        ("court-order-2026", "court_order", "PK", "x", 1794717000000, 1794717060000, "medium"),
        ("x-block-2026", "block", "PK", "x", 1793473200000, None, "medium"),
    ]
    assert db.execute(
        "SELECT phase, earliest, latest, precision, time_zone, edge, sources FROM event_date "
        "WHERE event_id = 'x-block-2026' AND ordinal = 0"
    ).fetchall() == [("ordered", 1793473200000, 1793559600000, "day", "Asia/Karachi", "start", '["dawn"]')]
    assert db.execute(
        "SELECT source_id, url FROM event_source WHERE event_id = 'x-block-2026' ORDER BY 1"
    ).fetchall() == [
        ("dawn", "https://www.dawn.com/news/1"),
        ("letter", "letter 7 of 2026"),
    ]
    assert db.execute("SELECT obligation, latest, is_disputed, why_moot FROM event_deadline").fetchall() == [
        ("register", 1796151600000, 0, None)
    ]


def test_the_view_is_in_seconds_and_an_open_end_is_null(db: sqlite3.Connection) -> None:
    record(db, CALENDAR)
    assert db.execute(
        "SELECT id, kind, country, platform, time, time_end, tags FROM event_annotation ORDER BY time, id"
    ).fetchall() == [
        ("x-block-2026", "block", "PK", "x", 1793473200, None, "block,PK,x"),
        ("x-block-2026:claim-3", "claim", "PK", "x", 1794250800, 1794337200, "claim,PK,x"),
        ("court-order-2026", "court_order", "PK", "x", 1794717000, 1794717000, "court_order,PK,x"),
        ("x-block-2026:claim-2", "claim", "PK", "x", 1798657200, 1798743600, "claim,PK,x"),
    ]


def test_an_event_of_two_platforms_has_a_row_for_each_under_one_id(db: sqlite3.Connection) -> None:
    record(db, load_events(EventsConfig(), (), AT))
    rows = db.execute(
        "SELECT platform FROM event_annotation WHERE id = 'pk-social-media-2021-04' ORDER BY 1"
    ).fetchall()
    assert rows == [("facebook",), ("telegram",), ("whatsapp",), ("x",), ("youtube",)]
    # What concerns no platform is there as well.
    assert db.execute("SELECT platform FROM event_annotation WHERE id = 'pk-mobile-2023-05'").fetchall() == [(None,)]


def test_recording_the_same_again_changes_nothing(db: sqlite3.Connection) -> None:
    assert record(db, CALENDAR) > 0
    assert record(db, CALENDAR, LATER) == 0


def test_an_edited_event_is_updated_and_only_that_one(db: sqlite3.Connection) -> None:
    record(db, CALENDAR)
    edited = event(ORDER.id, dated(Phase.COURT_ORDERED, "2026-11-16"), kind=ORDER.kind, title={"en": "Another title"})
    record(db, calendar(BLOCK, edited), LATER)
    assert db.execute("SELECT id, title, loaded_at FROM event ORDER BY id").fetchall() == [
        (ORDER.id, "Another title", 1795777200000),
        (BLOCK.id, "X blocked again", 1795773600000),
    ]
    assert db.execute("SELECT title FROM event_annotation WHERE id = ?", (ORDER.id,)).fetchall() == [("Another title",)]


def test_what_is_told_no_more_leaves_the_charts_and_not_the_record(db: sqlite3.Connection) -> None:
    record(db, CALENDAR)
    record(db, calendar(BLOCK), LATER)
    assert db.execute("SELECT removed_at FROM event WHERE id = ?", (ORDER.id,)).fetchall() == [(1795777200000,)]
    assert db.execute("SELECT count(*) FROM event_annotation WHERE id = ?", (ORDER.id,)).fetchone() == (0,)
    assert db.execute("SELECT count(*) FROM event_date WHERE event_id = ?", (ORDER.id,)).fetchone() == (1,)
    record(db, CALENDAR, LATER)
    assert db.execute("SELECT removed_at FROM event WHERE id = ?", (ORDER.id,)).fetchall() == [(None,)]
    assert db.execute("SELECT count(*) FROM event_annotation WHERE id = ?", (ORDER.id,)).fetchone() == (1,)


def test_new_words_of_a_newer_version_are_written_though_the_record_is_the_same(db: sqlite3.Connection) -> None:
    record(db, CALENDAR)
    db.execute("UPDATE event_mark SET text = 'as an older version put it'")
    record(db, CALENDAR)
    assert db.execute("SELECT count(*) FROM event_mark WHERE text LIKE 'as an older%'").fetchone() == (0,)


def test_the_store_writes_events_among_everything_else(path: Path) -> None:
    clock = SystemClock()
    store = Store.open(path, clock, spool_rows=10)
    try:
        assert store.sync_events(CALENDAR, AT).result(timeout=10)
    finally:
        store.close()
    reader = connect_reader(path)
    try:
        assert reader.execute("SELECT count(*) FROM event").fetchone()[0] == 2
    finally:
        reader.close()


def test_a_file_from_before_events_keeps_everything(tmp_path: Path) -> None:
    """An older file has the tables, empty or filled by hand, and the view in its first form."""
    path = tmp_path / "old.db"
    old = type(MIGRATIONS)(MIGRATIONS.name)
    for step in list(MIGRATIONS._migrations)[:2]:  # noqa: SLF001 -- there is no other way to stop in between
        old._migrations.append(step)  # noqa: SLF001 -- as above
    prepare(path, old)
    db = connect_writer(path)
    db.execute(
        "INSERT INTO event (id, kind, title, starts_at, record, loaded_at) "
        "VALUES ('by-hand', 'block', 'By hand', 1, '{}', 1)"
    )
    db.close()
    prepare(path)
    db = connect_writer(path)
    try:
        record(db, CALENDAR)
        assert db.execute("SELECT title, removed_at IS NULL FROM event WHERE id = 'by-hand'").fetchall() == [
            ("By hand", 0)
        ]
        assert db.execute("SELECT count(DISTINCT id) FROM event_annotation").fetchone() == (4,)
    finally:
        db.close()
