"""Hourly counts and retention, done in slices between which the writer writes what has come in meanwhile.

Raw measurements go after their time, evidence of accessible ones earlier; what a verdict other than accessible rests
on, and what lies within a day of a transition of the target, stays. Rollups are counted from the raw rows of an hour
once it is over, and again when a late row arrives, so that a rebuilt bucket is the bucket.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Final

from monitor.config.schema import Retention
from monitor.store.fleet import forget_received
from monitor.store.recorder import DAY_MILLISECONDS, HOUR_MILLISECONDS
from monitor.store.rows import IMPORTED_KIND, milliseconds

# Longer than results may be old when they are received (monitor/daemon/batch.py): none can be taken twice.
RECEIPT_DAYS: Final = 30
_SLICE_ROWS: Final = 200
_SLICE_HOURS: Final = 50
# Empty hours are filled in so far back at most: a tool that slept for years need not list them all.
SPENDING_MILLISECONDS: Final = 2 * DAY_MILLISECONDS  # the longest window of a quota is a day
_FILL_HOURS: Final = 31 * 24

_COUNT_HOUR: Final = """
INSERT OR REPLACE INTO rollup_hour
SELECT ?1, ?2, ?3, ?4, count(*), coalesce(sum(c.status <> 'inconclusive'), 0),
    count(*) FILTER (WHERE c.status = 'accessible'), count(*) FILTER (WHERE c.status = 'blocked'),
    count(*) FILTER (WHERE c.status = 'throttled'), count(*) FILTER (WHERE c.status = 'withheld'),
    count(*) FILTER (WHERE c.status = 'down'), count(*) FILTER (WHERE c.status = 'inconclusive'),
    coalesce(sum(m.elapsed_microseconds) FILTER (WHERE c.status = 'accessible'), 0),
    min(m.elapsed_microseconds) FILTER (WHERE c.status = 'accessible'),
    max(m.elapsed_microseconds) FILTER (WHERE c.status = 'accessible')
FROM measurement m
LEFT JOIN conclusion c ON c.id = (
    SELECT conclusion_id FROM verdict WHERE measurement_id = m.id ORDER BY drawn_at DESC, rules_version DESC LIMIT 1)
WHERE m.target_id = ?1 AND m.vantage_id = ?2 AND m.started_at >= ?3 AND m.started_at < ?3 + 3600000
"""

_IS_COUNTED: Final = "SELECT 1 FROM rollup_hour WHERE target_id = ? AND vantage_id = ? AND hour = ?"
_SCHEDULE: Final = "SELECT since, interval_seconds FROM target_definition WHERE target_id = ? ORDER BY since"

_OLD_MEASUREMENTS: Final = """
SELECT id, started_at, EXISTS (SELECT 1 FROM pinned WHERE measurement_id = m.id) OR EXISTS (
    SELECT 1 FROM transition WHERE target_id = m.target_id
    AND at BETWEEN m.started_at - 86400000 AND m.started_at + 86400000)
FROM measurement m
WHERE target_id = ? AND vantage_id = ? AND started_at < ? AND (started_at, id) > (?, ?)
ORDER BY started_at, id LIMIT ?
"""

_OLD_EVIDENCE: Final = """
SELECT id, used_at, EXISTS (
    SELECT 1 FROM observation_evidence l JOIN measurement m ON m.id = l.observation_id >> 10
    JOIN transition t ON t.target_id = m.target_id AND t.at BETWEEN m.started_at - 86400000 AND m.started_at + 86400000
    WHERE l.evidence_id = e.id)
FROM evidence e WHERE NOT is_pinned AND content IS NOT NULL AND used_at < ? AND (used_at, id) > (?, ?)
ORDER BY used_at, id LIMIT ?
"""


def upkeep(db: sqlite3.Connection, now: datetime, retention: Retention) -> Iterator[None]:
    """Bring rollups up to date and let go of what has had its time; one transaction between two yields."""
    at = milliseconds(now)
    measurements_before = at - int(retention.measurements * 1000)
    yield from _fill_hours(db, at)
    yield from _count_hours(db, at, measurements_before)
    yield from _expire_evidence(db, at - int(retention.evidence * 1000))
    yield from _expire_measurements(db, measurements_before)
    yield from _forget_received(db, at - RECEIPT_DAYS * DAY_MILLISECONDS)
    yield from _sweep(db, at, measurements_before, at - int(retention.rollups * 1000))


def expected_runs(schedule: Sequence[tuple[int, float | None]], start: int, end: int) -> float:
    """Return how many runs the intervals in force call for between two times in milliseconds.

    `schedule` holds (since, interval in seconds or None for none), oldest first.
    """
    total = 0.0
    for index, (since, interval_seconds) in enumerate(schedule):
        until = schedule[index + 1][0] if index + 1 < len(schedule) else end
        overlap = min(until, end) - max(since, start)
        if interval_seconds and overlap > 0:
            total += overlap / 1000 / interval_seconds
    return total


def _fill_hours(db: sqlite3.Connection, at: int) -> Iterator[None]:
    """Mark hours without any run, so that a pause of the daemon shows as a gap and not as nothing."""
    current = at - at % HOUR_MILLISECONDS
    series = db.execute(
        "SELECT target_id, vantage_id, (SELECT max(hour) FROM rollup_hour WHERE target_id = s.target_id "  # noqa: S608 -- our own words
        "AND vantage_id = s.vantage_id) FROM series s JOIN target t ON t.id = s.target_id "
        "JOIN vantage v ON v.id = s.vantage_id WHERE t.added_at IS NOT NULL AND t.removed_at IS NULL "
        f"AND v.removed_at IS NULL AND NOT {IMPORTED_KIND}"
    ).fetchall()
    for target, vantage, latest in series:
        if latest is None or latest + HOUR_MILLISECONDS >= current:
            continue
        first = max(latest + HOUR_MILLISECONDS, current - _FILL_HOURS * HOUR_MILLISECONDS)
        db.executemany(
            "INSERT OR IGNORE INTO rollup_dirty (hour, target_id, vantage_id) VALUES (?, ?, ?)",
            ((hour, target, vantage) for hour in range(first, current, HOUR_MILLISECONDS)),
        )
        yield


def _count_hours(db: sqlite3.Connection, at: int, measurements_before: int) -> Iterator[None]:
    current = at - at % HOUR_MILLISECONDS
    imported = {id_ for (id_,) in db.execute(f"SELECT id FROM vantage v WHERE {IMPORTED_KIND}")}  # noqa: S608 -- our own words
    while True:
        dirty = db.execute(
            "SELECT hour, target_id, vantage_id FROM rollup_dirty WHERE hour < ? LIMIT ?", (current, _SLICE_HOURS)
        ).fetchall()
        if not dirty:
            return
        for hour, target, vantage in dirty:
            # Where raw rows may be gone already, the row stands as it was counted.
            is_whole = hour >= measurements_before or vantage in imported
            if is_whole or not db.execute(_IS_COUNTED, (target, vantage, hour)).fetchone():
                # Nobody of ours was to measure there.
                schedule = () if vantage in imported else db.execute(_SCHEDULE, (target,)).fetchall()
                expected = expected_runs(schedule, hour, hour + HOUR_MILLISECONDS)
                db.execute(_COUNT_HOUR, (target, vantage, hour, expected))
        db.executemany("DELETE FROM rollup_dirty WHERE hour = ? AND target_id = ? AND vantage_id = ?", dirty)
        yield


def _expire_measurements(db: sqlite3.Connection, before: int) -> Iterator[None]:
    for series in db.execute("SELECT target_id, vantage_id FROM series").fetchall():
        position = (-(2**62), 0)
        while True:
            found = db.execute(_OLD_MEASUREMENTS, (*series, before, *position, _SLICE_ROWS)).fetchall()
            if not found:
                break
            db.executemany("DELETE FROM measurement WHERE id = ?", ((id_,) for id_, _, stays in found if not stays))
            position = (found[-1][1], found[-1][0])
            yield


def _expire_evidence(db: sqlite3.Connection, before: int) -> Iterator[None]:
    """Let the content go; the digest stays with its measurement, whose own digest can so be computed for ever."""
    position = (-(2**62), 0)
    while True:
        found = db.execute(_OLD_EVIDENCE, (before, *position, _SLICE_ROWS)).fetchall()
        if not found:
            return
        db.executemany("UPDATE evidence SET is_pinned = 1 WHERE id = ?", ((id_,) for id_, _, stays in found if stays))
        db.executemany(
            "UPDATE evidence SET content = NULL WHERE id = ?",
            ((id_,) for id_, _, stays in found if not stays),
        )
        position = (found[-1][1], found[-1][0])
        yield


def _forget_received(db: sqlite3.Connection, before: int) -> Iterator[None]:
    """Let go of the names of results that no spool can hold any more."""
    for (boot,) in db.execute("SELECT id FROM agent_boot").fetchall():
        while forget_received(db, boot, before, _SLICE_ROWS):
            yield


def _sweep(db: sqlite3.Connection, at: int, measurements_before: int, rollups_before: int) -> Iterator[None]:
    """Delete what nothing refers to any more, and rows that have had their time."""
    while db.execute(
        "DELETE FROM evidence WHERE id IN (SELECT id FROM evidence e WHERE NOT is_pinned AND content IS NULL "
        "AND used_at < ? AND NOT EXISTS (SELECT 1 FROM observation_evidence WHERE evidence_id = e.id) LIMIT ?)",
        (measurements_before, _SLICE_ROWS),
    ).rowcount:
        yield
    for (vantage,) in db.execute("SELECT id FROM vantage").fetchall():
        while db.execute(
            "DELETE FROM vantage_check WHERE id IN (SELECT id FROM vantage_check "
            "WHERE vantage_id = ? AND started_at < ? AND state = 'online' LIMIT ?)",
            (vantage, measurements_before, _SLICE_ROWS),
        ).rowcount:
            yield
    db.execute("DELETE FROM service_spending WHERE minute < ?", (at - SPENDING_MILLISECONDS,))
    db.execute("DELETE FROM probe_count WHERE at < ?", (rollups_before,))
    yield
    for series in db.execute("SELECT target_id, vantage_id FROM series").fetchall():
        while db.execute(
            "DELETE FROM rollup_hour WHERE target_id = ?1 AND vantage_id = ?2 AND hour IN (SELECT hour "
            "FROM rollup_hour WHERE target_id = ?1 AND vantage_id = ?2 AND hour < ?3 LIMIT ?4)",
            (*series, rollups_before, _SLICE_ROWS),
        ).rowcount:
            yield
    _sweep_facts(db, measurements_before)
    _sweep_circumstances(db, measurements_before)


def _sweep_facts(db: sqlite3.Connection, measurements_before: int) -> None:
    """Delete facts out of use: of those unused for so long, only the measurements that stay can still refer to any."""
    stale = {
        id_ for (id_,) in db.execute("SELECT id FROM observation_facts WHERE used_until < ?", (measurements_before,))
    }
    if not stale:
        return
    needed = stale.intersection(
        id_
        for (id_,) in db.execute(
            "SELECT o.facts_id FROM series s CROSS JOIN measurement m ON m.target_id = s.target_id "
            "AND m.vantage_id = s.vantage_id AND m.started_at < ? "
            "CROSS JOIN observation o ON o.id BETWEEN m.id << 10 AND (m.id << 10) + 1023",
            (measurements_before,),
        )
    )
    # Asked again a month later, and not at every turn.
    renewed = measurements_before + 30 * DAY_MILLISECONDS
    db.executemany("UPDATE observation_facts SET used_until = ? WHERE id = ?", ((renewed, id_) for id_ in needed))
    db.executemany("DELETE FROM observation_facts WHERE id = ?", ((id_,) for id_ in stale - needed))


def _sweep_circumstances(db: sqlite3.Connection, measurements_before: int) -> None:
    """Delete circumstances that no verdict rests on any more, found as in `_sweep_facts`."""
    stale = {id_ for (id_,) in db.execute("SELECT id FROM circumstances WHERE used_until < ?", (measurements_before,))}
    if not stale:
        return
    needed = stale.intersection(
        id_
        for (id_,) in db.execute(
            "SELECT v.circumstances_id FROM series s CROSS JOIN measurement m ON m.target_id = s.target_id "
            "AND m.vantage_id = s.vantage_id AND m.started_at < ? CROSS JOIN verdict v ON v.measurement_id = m.id",
            (measurements_before,),
        )
    )
    renewed = measurements_before + 30 * DAY_MILLISECONDS
    db.executemany("UPDATE circumstances SET used_until = ? WHERE id = ?", ((renewed, id_) for id_ in needed))
    db.executemany("DELETE FROM circumstances WHERE id = ?", ((id_,) for id_ in stale - needed))
