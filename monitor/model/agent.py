"""Agents that push, as the centre knows them."""

from datetime import datetime
from enum import StrEnum

import msgspec


class Token(msgspec.Struct, frozen=True, kw_only=True):
    """Half of an invitation: good for one agent at one vantage, until it expires."""

    id: str
    digest: bytes  # SHA-256 of the secret, which is not kept
    vantage: str
    created_at: datetime
    expires_at: datetime
    used_at: datetime | None = None


class Agent(msgspec.Struct, frozen=True, kw_only=True):
    """An enrolled agent: who it is, and what it last said of itself. Where it is, nobody keeps."""

    id: str
    vantage: str
    token_id: str
    public_key: bytes  # Ed25519, 32 bytes
    enrolled_at: datetime
    consent_version: int
    consent_at: datetime | None = None
    revoked_at: datetime | None = None
    revoked_why: str | None = None
    last_seen_at: datetime | None = None
    software: str = ""
    features: tuple[str, ...] = ()
    config_version: int = 0
    quiet: str | None = None  # why it does not measure
    spool_rows: int = 0
    spool_bytes: int = 0
    dropped_count: int = 0
    vetoed: tuple[str, ...] = ()  # targets that its owner does not measure
    clock_offset_seconds: float | None = None  # our clock minus its own


class ClockMark(StrEnum):
    """What was wrong with the agent's clock when it dated a result."""

    SKEWED = "skewed"  # more than a minute off, and corrected
    CLAMPED = "clamped"  # corrected, it lay in the future, and was set to when it was received


class Receipt(msgspec.Struct, frozen=True, kw_only=True):
    """How a result of an agent was received. (agent, boot, sequence) names it for ever."""

    agent: str
    boot: str
    sequence: int
    received_at: datetime
    told_at: datetime  # when it began by the agent's own clock
    clock: ClockMark | None = None
    is_late: bool = False  # too late to speak of the present: history only
