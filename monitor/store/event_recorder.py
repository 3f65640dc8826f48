"""Regulatory events as rows, brought up to date with what the files tell."""

import sqlite3
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Final

from monitor.events.annotation import Calendar, Mark, text_of
from monitor.events.deadlines import Deadline, deadlines
from monitor.events.record import RegulatoryEvent
from monitor.events.selection import when
from monitor.store.rows import milliseconds, optional_milliseconds, text

# The state of a deadline follows from its dates and the clock of whoever asks, so it is no column.
_LONG_AGO: Final = datetime(1970, 1, 1, tzinfo=UTC)


def record_calendar(db: sqlite3.Connection, calendar: Calendar, at: datetime) -> None:
    """Write what changed; an event that nothing tells of any more is marked as removed and keeps its rows.

    Writing the same calendar again changes nothing. Runs inside the caller's transaction; raises sqlite3.Error.
    """
    now = milliseconds(at)
    known = dict(db.execute("SELECT id, record FROM event WHERE removed_at IS NULL"))
    marks: dict[str, list[Mark]] = {}
    for mark in calendar.marks:
        marks.setdefault(mark.event, []).append(mark)
    dues: dict[str, list[Deadline]] = {}
    for due in deadlines(calendar.events, _LONG_AGO):
        dues.setdefault(due.event, []).append(due)
    for event in calendar.events.values():
        record = text(event)
        if known.get(event.id) == record and _stored(db, event.id) == _written(marks[event.id], dues.get(event.id, ())):
            continue
        _event(db, event, calendar, record, now)
        _replace(db, "event_mark", event.id, _mark_rows(marks[event.id]))
        _replace(db, "event_deadline", event.id, _deadline_rows(dues.get(event.id, ())))
    gone = known.keys() - calendar.events.keys()
    db.executemany("UPDATE event SET removed_at = ? WHERE id = ?", [(now, name) for name in sorted(gone)])


def _event(db: sqlite3.Connection, event: RegulatoryEvent, calendar: Calendar, record: str, now: int) -> None:
    stands = when(event, calendar.events)
    if stands is None:
        raise ValueError(f"nothing dates the event {event.id}")
    db.execute(
        "INSERT INTO event (id, kind, status, title, text, country, platform, starts_at, ends_at, record, loaded_at, "
        "confidence, origin, removed_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, NULL) "
        "ON CONFLICT (id) DO UPDATE SET kind = excluded.kind, status = excluded.status, title = excluded.title, "
        "text = excluded.text, country = excluded.country, platform = excluded.platform, "
        "starts_at = excluded.starts_at, ends_at = excluded.ends_at, record = excluded.record, "
        "loaded_at = excluded.loaded_at, confidence = excluded.confidence, origin = excluded.origin, removed_at = NULL",
        (
            event.id,
            event.kind,
            event.status,
            event.name,
            text_of(event, stands.span),
            next(iter(event.countries), None),
            next((one.id for one in event.platforms), None),
            milliseconds(stands.earliest),
            optional_milliseconds(stands.latest),
            record,
            now,
            event.confidence.level,
            event.origin,
        ),
    )
    dates = [
        (
            event.id,
            ordinal,
            one.phase,
            milliseconds(one.earliest),
            milliseconds(one.latest),
            one.precision,
            one.tz,
            one.edge,
            text(one.sources),
        )
        for ordinal, one in enumerate(event.dates)
    ]
    _replace(db, "event_date", event.id, dates)
    sources = [
        (
            event.id,
            one.id,
            one.publisher,
            one.title,
            one.url or one.document,
            one.kind,
            one.lang,
            one.published,
            None if one.accessed is None else one.accessed.isoformat(),
            one.quote,
        )
        for one in event.sources
    ]
    _replace(db, "event_source", event.id, sources)


def _mark_rows(marks: Iterable[Mark]) -> Iterator[tuple[object, ...]]:
    for one in marks:
        for country in one.countries or ("",):
            for platform in one.platforms or ("",):
                yield (
                    one.event,
                    one.id,
                    country,
                    platform,
                    one.kind,
                    milliseconds(one.earliest),
                    optional_milliseconds(one.latest),
                    one.title,
                    one.text,
                    ",".join(one.tags),
                )


def _deadline_rows(dues: Iterable[Deadline]) -> Iterator[tuple[object, ...]]:
    for one in dues:
        yield (
            one.event,
            one.obligation,
            one.what,
            milliseconds(one.interval.earliest),
            milliseconds(one.interval.latest),
            one.base,
            int(one.is_disputed),
            one.why_moot,
        )


def _written(marks: Iterable[Mark], dues: Iterable[Deadline]) -> set[tuple[object, ...]]:
    return {*_mark_rows(marks), *_deadline_rows(dues)}


def _stored(db: sqlite3.Connection, event_id: str) -> set[tuple[object, ...]]:
    """Return the rows that follow from an event: they change with the words of a newer version, or another event."""
    marks = db.execute("SELECT * FROM event_mark WHERE event_id = ?", (event_id,)).fetchall()
    dues = db.execute("SELECT * FROM event_deadline WHERE event_id = ?", (event_id,)).fetchall()
    return {*map(tuple, marks), *map(tuple, dues)}


def _replace(db: sqlite3.Connection, table: str, event_id: str, rows: Iterable[tuple[object, ...]]) -> None:
    db.execute(f"DELETE FROM {table} WHERE event_id = ?", (event_id,))  # noqa: S608 -- a table of ours
    for row in rows:
        places = ", ".join("?" * len(row))
        db.execute(f"INSERT INTO {table} VALUES ({places})", row)  # noqa: S608 -- as above
