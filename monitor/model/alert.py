"""Alerts: what people are told, the messages that wait for each channel, and what became of every attempt.

A subject is what an alert is about: an incident by its id, or a condition such as `vantage:lahore`. Its alerts are
numbered; subject, kind and number name an alert for good, and with the channel they are its idempotency key.
"""

from datetime import datetime
from enum import StrEnum
from typing import Final, NamedTuple

import msgspec

from monitor.model.outcome import Incident, IncidentUpdate
from monitor.model.verdict import Confidence, Status


class AlertKind(StrEnum):
    """What is told: everything that happens to an incident, then what is told of it, then conditions of our own."""

    START = "start"
    FOUND = "found"
    JOIN = "join"
    SPREAD = "spread"
    QUORUM = "quorum"
    CONFIRMED = "confirmed"
    MECHANISM = "mechanism"
    PARTIAL_END = "partial_end"
    END = "end"
    UNWATCHED = "unwatched"
    RETURNING = "returning"  # reachable again, not confirmed
    REMINDER = "reminder"
    RETRACTION = "retraction"
    SILENCE = "silence"  # a country of which no vantage has a line: perhaps a shutdown
    SILENCE_END = "silence_end"
    DOWN = "down"  # a platform fails from the control too
    DOWN_END = "down_end"
    VANTAGE = "vantage"  # a vantage is not in order
    VANTAGE_END = "vantage_end"
    STOPPED = "stopped"  # nothing is measured where something should be
    STOPPED_END = "stopped_end"
    CERTIFICATE = "certificate"
    CERTIFICATE_END = "certificate_end"
    STORAGE = "storage"
    STORAGE_END = "storage_end"
    DEADLINE = "deadline"
    TEST = "test"


class Severity(StrEnum):
    """How much it matters, least first."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"


# What opens a subject and what closes it: these are never left out once the one was told, and hold the order.
OPENING: Final = frozenset(
    {
        AlertKind.START,
        AlertKind.FOUND,
        AlertKind.SILENCE,
        AlertKind.DOWN,
        AlertKind.VANTAGE,
        AlertKind.STOPPED,
        AlertKind.CERTIFICATE,
        AlertKind.STORAGE,
    }
)
# What else a route may be told first of a subject, if its conditions were not met before.
BEGINNING: Final = frozenset({AlertKind.SPREAD, AlertKind.QUORUM, AlertKind.CONFIRMED})
CLOSING: Final = frozenset(
    {
        AlertKind.END,
        AlertKind.SILENCE_END,
        AlertKind.DOWN_END,
        AlertKind.VANTAGE_END,
        AlertKind.STOPPED_END,
        AlertKind.CERTIFICATE_END,
        AlertKind.STORAGE_END,
    }
)
SEVERITIES: Final = tuple(Severity)


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that people are told, with the facts as they were then; texts are written when it is sent."""

    subject: str
    kind: AlertKind
    sequence: int
    at: datetime
    severity: Severity
    platform: str | None = None
    platforms: tuple[str, ...] = ()  # of a deadline that concerns several
    platform_name: str | None = None  # what people call it
    country: str | None = None
    status: Status | None = None
    confidence: Confidence | None = None  # of the verdict that confirmed it
    vantages: tuple[str, ...] = ()
    because: str = ""
    incident: Incident | None = None  # as it was then
    update: IncidentUpdate | None = None
    why: str = ""  # of a retraction, or a word for a condition
    since: datetime | None = None  # of a condition or a return, when it began
    until: datetime | None = None  # of a certificate or a deadline, when it is reached

    @property
    def name(self) -> str:
        """What names the alert for good."""
        return f"{self.subject}/{self.kind}/{self.sequence}"


class Planned(msgspec.Struct, frozen=True, kw_only=True):
    """A message to be sent through a channel, as its route wants it."""

    channel: str
    route: str
    due_at: datetime
    language: str = "en"
    form: str = "long"
    delay_seconds: float = 0.0  # a subject that closes before it is over is not told at all

    def key(self, alert: Alert) -> str:
        """Return the idempotency key of the message."""
        return f"{alert.name}/{self.channel}"


class Notice(msgspec.Struct, frozen=True, kw_only=True):
    """An alert and the messages that it means; written in one transaction with what it tells of."""

    alert: Alert
    planned: tuple[Planned, ...] = ()


class DeliveryState(StrEnum):
    """What became of a message."""

    PENDING = "pending"
    DELIVERED = "delivered"
    DEAD = "dead"  # given up
    MUTED = "muted"
    SUPERSEDED = "superseded"  # over before it had to be told
    DAMPED = "damped"  # one of too many changes; a later one tells how it stands


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """A message in the outbox."""

    id: int
    alert_id: int
    alert: Alert
    channel: str
    route: str
    key: str
    state: DeliveryState
    due_at: datetime
    claimed_until: datetime
    attempts: int
    parcel: int | None  # id of the message that it is sent with; None: not sent before
    language: str
    form: str
    delay_seconds: float
    sent_at: datetime | None = None
    last_outcome: str | None = None


class Result(StrEnum):
    """How an attempt ended, in the words of metrics and tables."""

    DELIVERED = "delivered"
    REFUSED = "refused"  # for good: it would be refused again
    FAILED = "failed"  # to be tried again


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """One try to send a parcel. `detail` never holds a secret, an address of a receiver, or raw text from it."""

    parcel: int
    number: int
    started_at: datetime
    elapsed_seconds: float
    result: Result
    detail: str
    code: int | None = None  # of HTTP or SMTP
    state: DeliveryState  # of the messages afterwards
    due_at: datetime  # of the next attempt, if they are pending still


class Shift(NamedTuple):
    """A message that is not sent now: it waits until `due_at`, or `state` says what became of it."""

    delivery_id: int
    state: DeliveryState
    due_at: datetime
    why: str


class Mute(msgspec.Struct, frozen=True, kw_only=True):
    """What a person asked to be silent about, for a time; measuring goes on."""

    id: int
    author: str
    why: str
    from_at: datetime
    until: datetime
    platforms: tuple[str, ...] = ()
    countries: tuple[str, ...] = ()
    vantages: tuple[str, ...] = ()
    channels: tuple[str, ...] = ()
    subjects: tuple[str, ...] = ()
