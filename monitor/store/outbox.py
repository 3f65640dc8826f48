"""Writing the outbox: alerts, the messages that wait, and what became of each attempt.

Every function runs inside a transaction that the writer opened, and may run again after a commit whose success was not
reported: the second time changes nothing.
"""

import sqlite3
from collections.abc import Iterable, Sequence
from datetime import datetime

from monitor.model.alert import Attempt, DeliveryState, Mute, Notice, Shift
from monitor.store.rows import microseconds, milliseconds, text


def post(db: sqlite3.Connection, notices: Iterable[Notice]) -> None:
    """Write alerts with their messages; one that is there already stays as it is."""
    for notice in notices:
        alert = notice.alert
        written = db.execute(
            "INSERT INTO alert (subject, kind, sequence, incident_id, created_at, payload) VALUES (?, ?, ?, ?, ?, ?) "
            "ON CONFLICT (subject, kind, sequence) DO NOTHING RETURNING id",
            (
                alert.subject,
                alert.kind,
                alert.sequence,
                None if alert.incident is None else alert.incident.id,
                milliseconds(alert.at),
                text(alert),
            ),
        ).fetchone()
        if written is None:
            continue
        db.executemany(
            "INSERT OR IGNORE INTO delivery (alert_id, channel, idempotency_key, due_at, route, language, form, "
            "delay_seconds) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                (
                    written[0],
                    one.channel,
                    one.key(alert),
                    milliseconds(one.due_at),
                    one.route,
                    one.language,
                    one.form,
                    one.delay_seconds,
                )
                for one in notice.planned
            ),
        )


def shift(db: sqlite3.Connection, shifts: Iterable[Shift]) -> None:
    """Let messages wait, or say that they are not sent."""
    db.executemany(
        "UPDATE delivery SET state = ?, due_at = ?, last_outcome = ? WHERE id = ? AND state = 'pending'",
        ((one.state, milliseconds(one.due_at), one.why, one.delivery_id) for one in shifts),
    )


def claim(db: sqlite3.Connection, parcel: Sequence[int], now: datetime, until: datetime) -> None:
    """Take messages to be sent together, the first of which names them; raises ValueError if another holds one."""
    held = db.execute(
        "UPDATE delivery SET parcel = ?1, claimed_until = ?2 WHERE id IN (SELECT value FROM json_each(?3)) "
        "AND state = 'pending' AND (claimed_until <= ?4 OR claimed_until = ?2)",
        (parcel[0], milliseconds(until), text(list(parcel)), milliseconds(now)),
    ).rowcount
    if held != len(parcel):
        raise ValueError("another process is sending these messages")


def attempted(db: sqlite3.Connection, attempt: Attempt) -> None:
    """Write down an attempt, and what it means for the messages that were sent together."""
    is_new = db.execute(
        "INSERT OR IGNORE INTO delivery_attempt (parcel, number, started_at, elapsed_microseconds, result, code, "
        "detail) VALUES (?, ?, ?, ?, ?, ?, ?)",
        (
            attempt.parcel,
            attempt.number,
            milliseconds(attempt.started_at),
            microseconds(attempt.elapsed_seconds),
            attempt.result,
            attempt.code,
            attempt.detail,
        ),
    ).rowcount
    if not is_new:
        return
    sent_at = None
    if attempt.state is DeliveryState.DELIVERED:
        sent_at = milliseconds(attempt.started_at) + round(attempt.elapsed_seconds * 1000)
    db.execute(
        "UPDATE delivery SET state = ?, due_at = ?, sent_at = ?, attempts = ?, claimed_until = 0, last_outcome = ? "
        "WHERE parcel = ?",
        (
            attempt.state,
            milliseconds(attempt.due_at),
            sent_at,
            attempt.number,
            attempt.detail,
            attempt.parcel,
        ),
    )


def mute(db: sqlite3.Connection, asked: Mute) -> None:
    """Write what a person asked to be silent about."""
    lists = (asked.platforms, asked.countries, asked.vantages, asked.channels, asked.subjects)
    db.execute(
        "INSERT INTO mute (author, why, from_at, until, platforms, countries, vantages, channels, subjects) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (asked.author, asked.why, milliseconds(asked.from_at), milliseconds(asked.until), *map(text, lists)),
    )


def unmute(db: sqlite3.Connection, mute_id: int, at: datetime) -> None:
    """End a mute before its time."""
    db.execute("UPDATE mute SET until = ?1 WHERE id = ?2 AND until > ?1", (milliseconds(at), mute_id))
