"""Measurements: facts about one target from one vantage at one moment, and requests for them."""

from datetime import datetime

import msgspec

from monitor.model.observation import Observation, Purpose
from monitor.model.target import Target
from monitor.model.vantage import NetworkIdentity


class RunContext(msgspec.Struct, frozen=True, kw_only=True):
    """Under what a measurement was made, so that a change of method is never read as a change of policy."""

    software: str
    config_digest: str
    ca_digest: str
    hello_profile: str
    clock_offset_seconds: float | None = None
    clock_source: str | None = None


class Measurement(msgspec.Struct, frozen=True, kw_only=True):
    """One run: facts only, no opinion. `id` sorts by time and fits a JSON number (see `identifier.py`)."""

    id: int
    target: str
    url: str
    vantage: str
    started_at: datetime  # UTC
    elapsed_seconds: float
    context: RunContext
    network: NetworkIdentity = NetworkIdentity()
    is_deep: bool = False
    interrupted: bool = False  # the host was suspended inside the run
    observations: tuple[Observation, ...] = ()


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """Raw material behind an observation, addressed by the SHA-256 of `content`."""

    sha256: str
    kind: str  # dns_reply, certificate, http_response
    content: bytes


class Recording(msgspec.Struct, frozen=True, kw_only=True):
    """A measurement with the raw material it refers to; what a vantage returns and an agent sends."""

    measurement: Measurement
    evidence: tuple[Evidence, ...] = ()


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds of one measurement."""

    dns_seconds: float = 4.0
    dns_listen_seconds: float = 0.0  # how long to listen for late replies: 0 routine, 0.5 deep
    tcp_seconds: float = 10.0
    tls_seconds: float = 10.0
    http_seconds: float = 10.0
    quic_seconds: float = 10.0
    transfer_seconds: float = 10.0  # of a transfer, once the request is sent
    total_seconds: float = 45.0
    body_bytes: int = 65_536
    transfer_bytes: int = 524_288
    redirects: int = 10
    addresses_per_family: int = 1  # 4 in a deep run


class FollowUp(msgspec.Struct, frozen=True, kw_only=True):
    """One extra look, decided by `classify.follow_ups` and carried out without judging by a vantage.

    `until` is the last step taken: dns asks `resolver` for `host`; tcp connects to `address`; tls also shakes hands
    with `server_name`; http also requests `url` with `host` as Host header; quic shakes hands over UDP, or asks for the
    versions spoken if the purpose is quic_ping; throughput requests `url` over a connection of its own, whose
    certificate must be good for `verify_name` if that is given.
    """

    purpose: Purpose
    until: str  # dns, tcp, tls, http, quic, throughput
    hop: int = 0
    host: str = ""
    query_type: str = "A"
    resolver: str = ""
    address: str = ""
    port: int = 443
    server_name: str | None = None
    verify_name: str | None = None
    url: str = ""
    wait_seconds: float = 0.0  # before starting, for retries


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """Ask a vantage to measure a target: the whole way of an ordinary client, or only the given follow-ups."""

    target: Target
    resolvers: tuple[str, ...] = ("system",)  # the first is the system path; follow-ups name the others
    limits: Limits = Limits()
    user_agent: str = ""  # over TLS; an empty one sends no header
    cleartext_user_agent: str = ""  # the path can read it, so it names neither the tool nor a contact
    allowed_bogons: tuple[str, ...] = ()
    follow_ups: tuple[FollowUp, ...] = ()
