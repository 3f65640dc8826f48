"""Conclusions: verdicts, transitions and incidents."""

from datetime import datetime
from enum import StrEnum
from typing import Final

import msgspec

from monitor.model.observation import Step


class Status(StrEnum):
    """What an ordinary client at the vantage gets."""

    ACCESSIBLE = "accessible"
    BLOCKED = "blocked"
    THROTTLED = "throttled"
    WITHHELD = "withheld"
    DOWN = "down"
    INCONCLUSIVE = "inconclusive"


# How bad it is for whoever wants to use it, worst first.
GRAVITY: Final = (
    Status.BLOCKED,
    Status.THROTTLED,
    Status.WITHHELD,
    Status.DOWN,
    Status.INCONCLUSIVE,
    Status.ACCESSIBLE,
)


class Confidence(StrEnum):
    """How an interference or refusal was established."""

    CONFIRMED = "confirmed"
    LIKELY = "likely"


class Reason(StrEnum):
    """Why a verdict is inconclusive."""

    VANTAGE_OFFLINE = "vantage_offline"
    CAPTIVE_PORTAL = "captive_portal"
    VANTAGE_DNS_BROKEN = "vantage_dns_broken"
    TLS_INTERCEPTED = "tls_intercepted"
    VANTAGE_MOVED = "vantage_moved"
    VANTAGE_DEGRADED = "vantage_degraded"
    VANTAGE_UNREADY = "vantage_unready"  # no sanity check at hand
    PROXY_FAILED = "proxy_failed"
    QUOTA_EXHAUSTED = "quota_exhausted"  # what a service grants, or the configuration allows, is used up
    INTERRUPTED = "interrupted"
    LOCAL_FAULT = "local_fault"
    INTERNAL_ERROR = "internal_error"
    CHALLENGE = "challenge"
    SERVER_DIFFERS = "server_differs"
    CONTENT_UNCLEAR = "content_unclear"
    NO_CONTROL = "no_control"
    CONTROL_DISAGREES = "control_disagrees"
    LONG_PACKETS_LOST = "long_packets_lost"
    TRANSIENT = "transient"
    INSUFFICIENT_DATA = "insufficient_data"


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """The conclusion drawn from a measurement and its context, with the rule that drew it.

    `mechanisms` are ordered labels `layer.outcome[.trigger]`; an accessible verdict may carry findings there.
    `observations` are the positions, in the measurement, of those that it rests on; `isolation_observations` those in
    the earlier deep run that stands for this round. Empty where there is nothing to point at: an accessible target
    without findings, or a fault of our own.
    """

    status: Status
    rule: str
    because: str
    rules_version: int
    confidence: Confidence | None = None
    layer: Step | None = None
    mechanisms: tuple[str, ...] = ()
    reason: Reason | None = None
    observations: tuple[int, ...] = ()
    isolation_observations: tuple[int, ...] = ()


class SeriesState(StrEnum):
    """What the detector holds to be true of one target at one vantage and network."""

    UNKNOWN = "unknown"
    ACCESSIBLE = "accessible"
    NOT_ACCESSIBLE = "not_accessible"


class DetectorState(msgspec.Struct, frozen=True, kw_only=True):
    """State of the sequential detector after a round (detection.md section 2), stored so a restart forgets nothing."""

    state: SeriesState = SeriesState.UNKNOWN
    score: float = 0.0
    accessible_rounds: int = 0  # kept accessible rounds in a row, while unknown
    last_kept_at: datetime | None = None
    last_state_at: datetime | None = None  # last kept round that spoke for `state` while the score was 0
    run_started_at: datetime | None = None  # first round since the score left 0
    settled: SeriesState = SeriesState.UNKNOWN  # the last state that was known; outlives a long silence
    layer: str | None = None  # while not accessible: where it is prevented
    other_layer: str | None = None  # another layer that failing rounds speak for
    other_score: float = 0.0  # how much they do


class DetectorParameters(msgspec.Struct, frozen=True, kw_only=True):
    """Probabilities of a failing round, the threshold, and how silence is forgotten; stored with each transition.

    With these values four failing rounds or two confirmed ones reach the threshold, and eleven accessible ones clear.
    """

    p0: float = 0.05  # failing when nothing is wrong
    p0_confirmed: float = 0.005  # failing with a confirmed verdict when nothing is wrong
    p1: float = 0.6  # failing under the weakest block to be caught quickly
    h: float = 9.0
    rounds_to_accessible: int = 3
    halving_after_hours: float = 24.0
    half_life_hours: float = 48.0
    forgotten_after_hours: float = 240.0


class Transition(msgspec.Struct, frozen=True, kw_only=True):
    """A confirmed change for a target at a vantage; never made from a single unconfirmed round."""

    target: str
    vantage: str
    at: datetime  # when it was confirmed
    before: SeriesState
    after: SeriesState
    status: Status
    score: float
    last_before_at: datetime | None = None  # last round of the old state
    first_after_at: datetime | None = None  # first round of the run that led here
    asn: int = 0  # of the network it was seen on, 0 if unknown: each network is a series of its own
    parameters: DetectorParameters | None = None  # None: confirmed before they were stored
