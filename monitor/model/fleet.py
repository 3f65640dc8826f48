"""What agents that push and the centre say to each other; both sides keep to these shapes.

All of it goes over HTTPS from the agent to the centre, never the other way: POST `/v1/enrol`, `/v1/check-in`,
`/v1/control` and `/v1/batch`. Every request after enrolment carries a signature of the agent's key over method, path
and digest of the body, every answer one of the centre's key (`network/message_signatures.py`). Fields that a side does
not know are left out of account, so that either side may be newer. Bodies are JSON; that of a batch is NDJSON under
zstd (RFC 8878, `Content-Encoding: zstd`), and its signature covers the bytes as they are sent. Whatever is not answered
with 200 is answered with a Refusal.
"""

from datetime import datetime

import msgspec

from monitor.model.measurement import FollowUp, Limits, Measurement, Recording
from monitor.model.target import Target
from monitor.model.vantage import VantageState

PROTOCOL_VERSION = 1


class Enrolment(msgspec.Struct, frozen=True, kw_only=True):
    """`POST /v1/enrol`: sent once; the token is good for one agent and a short time."""

    token: str
    public_key: bytes  # Ed25519, 32 bytes
    software: str
    features: tuple[str, ...] = ()  # kinds of steps that the agent can carry out
    consent_version: int = 0  # of the risk text that its owner accepted
    consent_at: datetime | None = None
    protocol: int = PROTOCOL_VERSION


class Enrolled(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to an enrolment."""

    agent_id: str
    vantage: str
    centre_public_key: bytes  # Ed25519, 32 bytes; its digest is part of the invitation
    ingest_urls: tuple[str, ...]  # tried in this order; the network under test may block some
    server_time: datetime


class ClockReading(msgspec.Struct, frozen=True, kw_only=True):
    """What the agent knows of its own clock."""

    is_synchronised: bool | None = None  # None: the system does not tell
    offset_seconds: float | None = None  # the centre's clock minus the agent's, less half the round trip
    source: str | None = None  # kernel, centre


class CheckIn(msgspec.Struct, frozen=True, kw_only=True):
    """`POST /v1/check-in`: every 30 to 60 s, whether or not there is anything to send."""

    nonce: str  # comes back in the answer, so that an old answer cannot be played again
    sent_at: datetime
    software: str
    features: tuple[str, ...] = ()
    config_version: int = 0  # in use; 0: none
    state: VantageState | None = None
    is_paused: bool = False
    quiet: str | None = None  # why nothing is measured: paused, quiet_hours, budget, lease
    spool_rows: int = 0
    spool_bytes: int = 0
    dropped_count: int = 0  # since enrolment
    vetoed: tuple[str, ...] = ()  # names of targets that the owner does not measure
    clock: ClockReading = ClockReading()


class AgentTarget(msgspec.Struct, frozen=True, kw_only=True):
    """One target that an agent measures."""

    target: Target
    interval_seconds: float


class Instructions(msgspec.Struct, frozen=True, kw_only=True):
    """What the centre wants measured. `version` only rises; an agent never goes back to an older one."""

    version: int
    config_digest: str
    targets: tuple[AgentTarget, ...]
    resolvers: tuple[str, ...]
    limits: Limits
    deep_limits: Limits
    jitter: float
    user_agent: str
    cleartext_user_agent: str
    allowed_bogons: tuple[str, ...] = ()  # wishes only: the owner's own exceptions decide
    follow_ups: msgspec.Raw = msgspec.Raw(b"null")  # settings of deep runs, see the agent's runner; null: none
    sanity: msgspec.Raw = msgspec.Raw(b"null")  # the checks of the line; null: the built-in ones
    check_in_seconds: float = 45.0
    country: str | None = None
    consent_version: int = 0  # the text that must be accepted for these kinds of test


class CheckInAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to a check-in. After `lease_until` an agent measures nothing until it hears from the centre again."""

    nonce: str
    server_time: datetime
    lease_until: datetime
    min_software: str  # older agents stop measuring and say so
    instructions: Instructions | None = None  # None: those of `config_version` stand
    backoff_seconds: float = 0.0


class ControlQuestion(msgspec.Struct, frozen=True, kw_only=True):
    """`POST /v1/control`: something unexpected was seen, and the agent asks what the outside sees now."""

    nonce: str
    target: str  # one of the instructions' targets
    follow_ups: tuple[FollowUp, ...] = ()  # for the control to carry out on the addresses that were met here
    max_age_seconds: float = 0.0  # a known control measurement may be this old


class ControlAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What the centre's controls saw. They are stored there under the ids in it before this is sent."""

    nonce: str
    controls: tuple[Measurement, ...] = ()


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """One round of an agent. (agent, boot, sequence) names it for ever; the id in it is the agent's own."""

    sequence: int  # from 1 in each boot
    recording: Recording
    monotonic_seconds: float  # at the start of the round, in the boot; runs on while the host is suspended
    state_before: VantageState | None = None
    state_after: VantageState | None = None
    fault: str | None = None  # a Reason value: the round itself came to nothing
    control_ids: tuple[int, ...] = ()  # of the centre, that the agent's deep run went by
    instructions_version: int = 0


class BatchHead(msgspec.Struct, frozen=True, kw_only=True):
    """The first line of `POST /v1/batch` (NDJSON, zstd); each further line is a Result."""

    agent_id: str
    boot_id: str
    batch_sequence: int
    nonce: str
    sent_at: datetime
    software: str
    results: int  # lines that follow: a truncated batch is refused as a whole
    is_backfill: bool = False
    spool_rows: int = 0
    dropped_count: int = 0
    clock: ClockReading = ClockReading()
    # At `sent_at`, on the clock of the results' `monotonic_seconds`: when they began is then told without any calendar.
    # None: the results are of an earlier boot, whose clock is gone.
    monotonic_seconds: float | None = None


class Rejected(msgspec.Struct, frozen=True, kw_only=True):
    """A result that the centre will never take."""

    sequence: int
    reason: str  # malformed, unknown_target, expired


class Acknowledgement(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to a batch, given only when every accepted row is durable."""

    nonce: str
    accepted: int
    duplicate: int
    rejected: tuple[Rejected, ...] = ()
    server_time: datetime
    backoff_seconds: float = 0.0


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to a request that was not taken, signed like any other.

    401 `unsigned`, `unknown_agent`, `signature`, `clock` (signed at another time than now: see `server_time`), `token`;
    403 `revoked`; 400 `malformed`; 404 `unknown_target`; 408 `slow`; 409 `replayed`; 411 `length`; 413 `too_large`;
    429 `rate`, and 503 `busy`, `store` or `not_configured`, each with Retry-After.
    """

    error: str
    server_time: datetime
    answers: str = ""  # the Signature header of the request, so that an old refusal cannot be played again
