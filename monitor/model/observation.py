"""Observations: one step of a measurement each, with its own timings and at most one failure.

`Observation` is a tagged union; the tag is the field `step` of its JSON form.
Times are monotonic seconds since the start of the measurement, rounded to microseconds.
"""

from enum import StrEnum
from typing import Final

import msgspec

from monitor.model.address import is_address


class Step(StrEnum):
    """The layers that an observation can speak about."""

    DNS = "dns"
    TCP = "tcp"
    TLS = "tls"
    HTTP = "http"
    QUIC = "quic"
    THROUGHPUT = "throughput"


class Purpose(StrEnum):
    """Why a step was taken: the system path, or the follow-up that isolates a cause (docs/verdicts.md)."""

    PATH = "path"  # what an ordinary client at the vantage does
    ADDRESS_CHECK = "address_check"  # TLS on 443 with the target's name, to learn whom an address belongs to
    RETRY = "retry"  # the failed step again, from a fresh socket
    OTHER_RESOLVER = "other_resolver"  # the same name from a public or encrypted resolver
    RESOLVER_HARMLESS_NAME = "resolver_harmless_name"  # the same resolver, a harmless name
    OTHER_ADDRESS = "other_address"  # an address of the control or of another resolver, the target's name
    HARMLESS_NAME = "harmless_name"  # the same address, a harmless server name or Host
    UNRELATED_ADDRESS = "unrelated_address"  # an address that is not the platform's, the target's name
    UNRELATED_HARMLESS = "unrelated_harmless"  # that address with a harmless name
    OTHER_PORT = "other_port"  # the same address, another port that works elsewhere
    CONTROL_CHECK = "control_check"  # at a control: the test vantage's own addresses
    NO_NAME = "no_name"  # the same address, a handshake that names nobody
    HTTP3 = "http3"  # the same address, the target's name, over QUIC
    QUIC_PING = "quic_ping"  # the same address, a version that no server speaks: does UDP pass at all
    QUIC_REFERENCE = "quic_reference"  # QUIC to another operator
    TRANSFER = "transfer"  # the target's URL, to see how fast it comes
    TRANSFER_REFERENCE = "transfer_reference"  # an innocuous file of another operator
    TRANSFER_HARMLESS = "transfer_harmless"  # the target's URL at the same server, under a harmless server name
    SMALL_SEGMENTS = "small_segments"  # the failed step again, over a connection of short packets
    RESIDUAL = "residual"  # a harmless name at the same address, minutes after the last hit


# The reason in the detail of a step that an imported instrument carried out with verification but shows no certificate
# of. Our own steps always keep the chain.
VERIFIED_UNSEEN: Final = "verified_unseen"


class FailureDetail(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What lies behind a failure string, where the system told: errno, X.509 verify code, TLS alert, reason."""

    errno: int | None = None
    verify_code: int | None = None
    alert: str | None = None
    reason: str | None = None


class _Observation(msgspec.Struct, frozen=True, kw_only=True, tag_field="step"):
    purpose: Purpose = Purpose.PATH
    hop: int = 0  # 0 is the target's URL, 1 the first redirect
    started_seconds: float = 0.0
    elapsed_seconds: float = 0.0
    failure: str | None = None
    detail: FailureDetail | None = None
    evidence: tuple[str, ...] = ()  # SHA-256 of the raw material, in order

    @property
    def is_vouched(self) -> bool:
        """Whether the step succeeded over TLS that an imported instrument verified without keeping the certificate."""
        return self.failure is None and self.detail is not None and self.detail.reason == VERIFIED_UNSEEN


class DnsAnswer(msgspec.Struct, frozen=True):
    """One record of an answer section: type A, AAAA or CNAME, value as text."""

    type: str
    value: str


class LateReply(msgspec.Struct, frozen=True, kw_only=True):
    """A further reply to a query already answered: somebody on the path may have spoken first."""

    elapsed_seconds: float
    rcode: int
    answers: tuple[DnsAnswer, ...]
    evidence: str


class DnsObservation(_Observation, frozen=True, kw_only=True, tag="dns"):
    """One question to one resolver (RFC 1035, 7858, 8484).

    `resolver` is `system` or the configured URL; a private address never appears in it.
    """

    host: str
    query_type: str  # A or AAAA
    resolver: str
    transport: str  # udp, tcp, tls, https
    rcode: int | None = None
    answers: tuple[DnsAnswer, ...] = ()
    ttls_seconds: tuple[int, ...] = ()  # one for each answer
    late_replies: tuple[LateReply, ...] = ()

    @property
    def addresses(self) -> tuple[str, ...]:
        """The addresses in the answer, in its order."""
        return tuple(answer.value for answer in self.answers if answer.type in {"A", "AAAA"})


class TcpObservation(_Observation, frozen=True, kw_only=True, tag="tcp"):
    """One connection attempt to one address.

    Where a proxy is asked for a host by name, `address` is that name in this and every later step: looking it up and
    connecting are one fact then, and there is no dns observation.
    """

    address: str
    port: int

    @property
    def is_by_name(self) -> bool:
        """Whether the lookup of the name is part of the attempt."""
        return not is_address(self.address)


class TlsObservation(_Observation, frozen=True, kw_only=True, tag="tls"):
    """One handshake (RFC 8446) over a stream already open; the presented chain is kept whether it verifies or not."""

    address: str
    port: int
    server_name: str | None  # None for a literal address: RFC 6066 section 3 allows none
    offered_alpn: tuple[str, ...] = ()
    version: str | None = None
    cipher: str | None = None
    alpn: str | None = None
    chain: tuple[str, ...] = ()  # SHA-256 of each DER certificate, leaf first
    leaf_issuer: str | None = None
    leaf_not_before: int | None = None  # epoch seconds
    leaf_not_after: int | None = None
    leaf_covers_name: bool | None = None
    earliest_expiry: int | None = None  # of the certificates presented, epoch seconds
    certificate_failures: tuple[str, ...] = ()  # every defect, not the first alone
    bytes_sent: int = 0
    bytes_received: int = 0

    @property
    def verified(self) -> bool:
        """Whether the peer proved that it holds a trusted certificate for the name asked."""
        return self.failure is None and (bool(self.chain) or self.is_vouched)


class HttpObservation(_Observation, frozen=True, kw_only=True, tag="http"):
    """One request and its response (RFC 9110) over a connection already measured."""

    url: str
    address: str
    port: int
    is_tls: bool
    method: str = "GET"
    http_version: str | None = None
    status_code: int | None = None
    header_names: tuple[str, ...] = ()  # lower case, sorted
    headers: tuple[tuple[str, str], ...] = ()  # the few values that rules read; see network/exchange.py
    location: str | None = None  # the absolute URL of a redirect
    title: str | None = None
    body_bytes: int = 0  # after decoding, at most the cap
    body_is_truncated: bool = False
    body_digest: str | None = None  # first 128 bits of SHA-256, hex
    text_found: bool | None = None  # whether the target's expected text is in the body; None if none is expected
    first_byte_seconds: float | None = None  # from sending the request
    bytes_sent: int = 0
    bytes_received: int = 0


class QuicObservation(_Observation, frozen=True, kw_only=True, tag="quic"):
    """One QUIC handshake (RFC 9000, 9001), or one question for the versions spoken (RFC 8999 section 6).

    A handshake is without failure only if the peer proved to hold a trusted certificate for the name asked. A question
    for versions (`purpose` quic_ping) sends no name; any answer to it shows that UDP passes both ways.
    """

    address: str
    port: int
    server_name: str | None
    offered_alpn: tuple[str, ...] = ()
    version: str | None = None  # as hexadecimal digits
    server_versions: tuple[str, ...] = ()  # what a Version Negotiation packet listed
    alpn: str | None = None
    chain: tuple[str, ...] = ()  # SHA-256 of each DER certificate, leaf first
    leaf_issuer: str | None = None
    leaf_not_before: int | None = None  # epoch seconds
    leaf_not_after: int | None = None
    leaf_covers_name: bool | None = None
    earliest_expiry: int | None = None
    certificate_failures: tuple[str, ...] = ()
    bytes_sent: int = 0
    bytes_received: int = 0

    @property
    def verified(self) -> bool:
        """Whether the peer proved that it holds a trusted certificate for the name asked."""
        return self.failure is None and bool(self.chain)


class ThroughputObservation(_Observation, frozen=True, kw_only=True, tag="throughput"):
    """One transfer over a connection of its own, and how its bytes came.

    A transfer that our deadline or limit cut while bytes still came has no failure: it is slow or long, not broken.
    `samples` are pairs of microseconds since the request was sent and the bytes on the wire received by then, taken at
    random moments. `variation` is the coefficient of variation of the rate over stretches of half a second: a policer
    holds a rate steady, congestion scatters.
    """

    url: str
    address: str
    port: int
    is_tls: bool
    server_name: str | None = None
    status_code: int | None = None
    connect_seconds: float | None = None
    handshake_seconds: float | None = None
    first_byte_seconds: float | None = None  # from sending the request
    transfer_seconds: float = 0.0  # from sending the request to the last byte seen
    bytes_received: int = 0  # since the request was sent
    is_cut: bool = False  # ended by our deadline or limit
    samples: tuple[tuple[int, int], ...] = ()
    variation: float | None = None

    @property
    def bytes_per_second(self) -> float:
        """The rate from sending the request to the last byte seen; 0 if none came."""
        return self.bytes_received / self.transfer_seconds if self.transfer_seconds > 0 else 0.0


Observation = (
    DnsObservation | TcpObservation | TlsObservation | HttpObservation | QuicObservation | ThroughputObservation
)


def step_of(observation: Observation) -> Step:
    """Return the step that an observation reports."""
    return Step(str(observation.__struct_config__.tag))
