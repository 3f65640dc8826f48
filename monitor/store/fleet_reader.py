"""Reading what is stored of agents; every function takes the reader's way to ask (`Reader.ask`), and blocks."""

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import msgspec

from monitor.model.agent import Agent, Token
from monitor.model.measurement import Measurement
from monitor.store.reader import Reader
from monitor.store.rows import instant, milliseconds, optional_instant

Ask = Callable[..., Sequence[Any]]
_MOST_CONTROLS: Final = 32


def token(ask: Ask, token_id: str) -> Token | None:
    """Return a token by its id."""
    for row in ask("SELECT * FROM agent_token WHERE id = ?", (token_id,)):
        return Token(
            id=row["id"],
            digest=row["digest"],
            vantage=row["vantage"],
            created_at=instant(row["created_at"]),
            expires_at=instant(row["expires_at"]),
            used_at=optional_instant(row["used_at"]),
        )
    return None


def open_tokens(ask: Ask, now: datetime) -> dict[str, datetime]:
    """Return when the latest invitation that nobody took up yet expires, by vantage."""
    rows = ask(
        "SELECT vantage, max(expires_at) AS until FROM agent_token WHERE used_at IS NULL AND expires_at > ? "
        "GROUP BY vantage",
        (milliseconds(now),),
    )
    return {row["vantage"]: instant(row["until"]) for row in rows}


def agent(ask: Ask, agent_id: str) -> Agent | None:
    """Return an agent, revoked or not, by its id."""
    return next((_agent(row) for row in ask("SELECT * FROM agent WHERE name = ?", (agent_id,))), None)


def agents(ask: Ask) -> list[Agent]:
    """Return every agent that ever was, by vantage, the latest first."""
    return [_agent(row) for row in ask("SELECT * FROM agent ORDER BY vantage, enrolled_at DESC")]


def versions(ask: Ask) -> dict[str, tuple[int, str]]:
    """Return version and digest of the instructions of each vantage."""
    rows = ask("SELECT vantage, version, digest FROM agent_instructions")
    return {row["vantage"]: (row["version"], row["digest"]) for row in rows}


def taken(ask: Ask, agent_id: str, boot: str, sequences: Collection[int]) -> frozenset[int]:
    """Return which of an agent's results of a boot are stored."""
    rows = ask(
        "SELECT sequence FROM agent_result WHERE boot_id = (SELECT b.id FROM agent_boot b JOIN agent a "
        "ON a.id = b.agent_id WHERE a.name = ? AND b.boot = ?) AND sequence IN (SELECT value FROM json_each(?))",
        (agent_id, boot, msgspec.json.encode(sorted(sequences)).decode()),
    )
    return frozenset(row["sequence"] for row in rows)


def latest_rounds(ask: Ask, vantages: Collection[str]) -> dict[tuple[str, str], datetime]:
    """Return when the latest round of each target at these vantages began."""
    rows = ask(
        "SELECT t.name AS target, v.name AS vantage, (SELECT max(started_at) FROM measurement "
        "WHERE target_id = s.target_id AND vantage_id = s.vantage_id) AS started_at FROM series s "
        "JOIN target t ON t.id = s.target_id JOIN vantage v ON v.id = s.vantage_id "
        "WHERE v.name IN (SELECT value FROM json_each(?))",
        (msgspec.json.encode(sorted(vantages)).decode(),),
    )
    return {(row["target"], row["vantage"]): instant(row["started_at"]) for row in rows if row["started_at"]}


def controls(reader: Reader, ids: Collection[int]) -> Mapping[int, Measurement]:
    """Return stored measurements of control vantages among these ids, at most so many."""
    found = {}
    for id_ in sorted(ids)[:_MOST_CONTROLS]:
        stored = reader.measurement(id_)
        if stored is not None and not stored.verdicts:
            found[id_] = stored.measurement
    return found


def _agent(row: Any) -> Agent:
    offset = row["clock_offset_milliseconds"]
    return Agent(
        id=row["name"],
        vantage=row["vantage"],
        token_id=row["token_id"],
        public_key=row["public_key"],
        enrolled_at=instant(row["enrolled_at"]),
        consent_version=row["consent_version"],
        consent_at=optional_instant(row["consent_at"]),
        revoked_at=optional_instant(row["revoked_at"]),
        revoked_why=row["revoked_why"],
        last_seen_at=optional_instant(row["last_seen_at"]),
        software=row["software"],
        features=msgspec.json.decode(row["features"], type=tuple[str, ...]),
        config_version=row["config_version"],
        quiet=row["quiet"],
        spool_rows=row["spool_rows"],
        spool_bytes=row["spool_bytes"],
        dropped_count=row["dropped_count"],
        vetoed=msgspec.json.decode(row["vetoed"], type=tuple[str, ...]),
        clock_offset_seconds=None if offset is None else offset / 1000,
    )
