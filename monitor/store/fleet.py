"""Writing what the centre knows of its agents; every function runs inside a transaction that the writer opened."""

import sqlite3
from datetime import datetime
from typing import Final

from monitor.model.agent import Agent, Receipt, Token
from monitor.store.rows import milliseconds, optional_milliseconds, text

REPLACED: Final = "replaced"  # why an agent was revoked: another one was enrolled at its vantage


def invite(db: sqlite3.Connection, token: Token) -> None:
    """Write a token."""
    db.execute(
        "INSERT INTO agent_token (id, digest, vantage, created_at, expires_at) VALUES (?, ?, ?, ?, ?)",
        (token.id, token.digest, token.vantage, milliseconds(token.created_at), milliseconds(token.expires_at)),
    )


def enrol(db: sqlite3.Connection, agent: Agent) -> None:
    """Write an agent and use up its token; whoever spoke for its vantage until now is revoked.

    Raises ValueError if the token was used meanwhile.
    """
    at = milliseconds(agent.enrolled_at)
    if not db.execute(
        "UPDATE agent_token SET used_at = ? WHERE id = ? AND used_at IS NULL", (at, agent.token_id)
    ).rowcount:
        raise ValueError("the token was used meanwhile")
    db.execute(
        "UPDATE agent SET revoked_at = ?, revoked_why = ? WHERE vantage = ? AND revoked_at IS NULL",
        (at, REPLACED, agent.vantage),
    )
    db.execute(
        "INSERT INTO agent (name, vantage, token_id, public_key, enrolled_at, consent_version, consent_at, software, "
        "features) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            agent.id,
            agent.vantage,
            agent.token_id,
            agent.public_key,
            at,
            agent.consent_version,
            optional_milliseconds(agent.consent_at),
            agent.software,
            text(agent.features),
        ),
    )


def revoke(db: sqlite3.Connection, agent_id: str, at: datetime, why: str) -> None:
    """Write that an agent is heard no more; what it sent stays."""
    db.execute(
        "UPDATE agent SET revoked_at = ?, revoked_why = ? WHERE name = ? AND revoked_at IS NULL",
        (milliseconds(at), why, agent_id),
    )


def seen(db: sqlite3.Connection, agent: Agent) -> None:
    """Write what an agent said of itself last."""
    offset = agent.clock_offset_seconds
    db.execute(
        "UPDATE agent SET last_seen_at = ?, software = ?, features = ?, config_version = ?, quiet = ?, spool_rows = ?, "
        "spool_bytes = ?, dropped_count = ?, vetoed = ?, clock_offset_milliseconds = ? WHERE name = ?",
        (
            optional_milliseconds(agent.last_seen_at),
            agent.software,
            text(agent.features),
            agent.config_version,
            agent.quiet,
            agent.spool_rows,
            agent.spool_bytes,
            agent.dropped_count,
            text(agent.vetoed),
            None if offset is None else round(offset * 1000),
            agent.id,
        ),
    )


def instruct(db: sqlite3.Connection, vantage: str, version: int, digest: str, at: datetime) -> None:
    """Write which version a vantage's instructions have now; one that is not higher changes nothing."""
    db.execute(
        "INSERT INTO agent_instructions (vantage, version, digest, since) VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE "
        "SET version = excluded.version, digest = excluded.digest, since = excluded.since "
        "WHERE excluded.version > version",
        (vantage, version, digest, milliseconds(at)),
    )


def received(db: sqlite3.Connection, boot_id: int, receipt: Receipt, measurement_id: int) -> bool:
    """Write that a result was taken, and tell whether it is new."""
    return bool(
        db.execute(
            "INSERT OR IGNORE INTO agent_result (boot_id, sequence, measurement_id, received_at, told_at, clock, "
            "is_late) VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                boot_id,
                receipt.sequence,
                measurement_id,
                milliseconds(receipt.received_at),
                milliseconds(receipt.told_at),
                receipt.clock,
                receipt.is_late,
            ),
        ).rowcount
    )


def forget_received(db: sqlite3.Connection, boot_id: int, before: int, limit: int) -> int:
    """Delete the oldest names of results of a boot that were received before (milliseconds); return how many.

    They are numbered in the order in which they came about, so the first that is younger ends it.
    """
    oldest = db.execute(
        "SELECT sequence, received_at FROM agent_result WHERE boot_id = ? ORDER BY sequence LIMIT ?", (boot_id, limit)
    ).fetchall()
    young = next((index for index, (_, at) in enumerate(oldest) if at >= before), len(oldest))
    if young:
        db.execute("DELETE FROM agent_result WHERE boot_id = ? AND sequence <= ?", (boot_id, oldest[young - 1][0]))
    return young
