"""The system path of one measurement: hop by hop what an ordinary client met, and where it ended.

Works alike on a test vantage's measurement and on a control's, so that the two can be laid side by side.
"""

import ipaddress
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Final
from urllib.parse import urlsplit

from monitor.model.bogon import is_bogon
from monitor.model.failure import LOCAL_FAULTS, Failure
from monitor.model.measurement import Measurement
from monitor.model.observation import (
    DnsObservation,
    HttpObservation,
    Observation,
    Purpose,
    QuicObservation,
    Step,
    TcpObservation,
    ThroughputObservation,
    TlsObservation,
)
from monitor.model.target import Expectation

Endpoint = TcpObservation | TlsObservation | HttpObservation  # a step at one address of the ordinary way

REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})  # those that are followed (measurement.md section 1)
MAX_HOST_CHARS: Final = 253  # RFC 1035 section 2.3.4

_UNTOLD: Final = frozenset({"total_seconds", "late", "resolver_name"})  # reasons given by network/ and probes/
_PRINTABLE_HOST: Final = re.compile(r"[A-Za-z0-9._:\-]+")


@dataclass(frozen=True)
class Place:
    """Where a URL leads: scheme, lower-case host and port; empty and 0 where the URL cannot be read."""

    scheme: str = ""
    host: str = ""
    port: int = 0
    names_port: bool = False
    is_literal: bool = False  # the host is an address, which needs no DNS

    @property
    def printable_host(self) -> str:
        """The host for a sentence: nothing else that a redirect may have put there gets through."""
        found = _PRINTABLE_HOST.match(self.host[:MAX_HOST_CHARS])
        return found[0] if found and found[0] == self.host else "a host with an unprintable name"


@lru_cache(maxsize=4096)
def place_of(url: str) -> Place:
    """Read a URL; total."""
    try:
        parts = urlsplit(url)
        host, port = (parts.hostname or "").rstrip("."), parts.port
    except ValueError:
        return Place()
    default = {"http": 80, "https": 443}.get(parts.scheme, 0)
    return Place(parts.scheme, host, default if port is None else port, port is not None, _is_address(host))


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def is_v6(address: str) -> bool:
    """Tell whether an address is IPv6, by its form."""
    return ":" in address


@dataclass
class Hop:
    """What was seen of one URL of the chain on the system path; `checks` are the address checks on 443."""

    index: int
    place: Place
    dns: list[DnsObservation] = field(default_factory=list)
    tcp: list[TcpObservation] = field(default_factory=list)
    tls: list[TlsObservation] = field(default_factory=list)
    http: list[HttpObservation] = field(default_factory=list)
    quic: list[QuicObservation] = field(default_factory=list)
    tcp_checks: list[TcpObservation] = field(default_factory=list)
    tls_checks: list[TlsObservation] = field(default_factory=list)

    @cached_property
    def addresses(self) -> tuple[str, ...]:
        """The distinct addresses that the system resolver gave, or the literal host."""
        if self.place.is_literal:
            return (self.place.host,)
        return tuple(dict.fromkeys(address for one in self.dns for address in one.addresses))

    @cached_property
    def is_by_name(self) -> bool:
        """Whether a proxy was asked for the host by name: whether lookup or connection failed cannot be told then."""
        host = "" if self.place.is_literal else self.place.host
        return bool(host) and any(one.address == host for one in self.tcp)

    @property
    def places(self) -> tuple[str, ...]:
        """What an ordinary client here connects to: the addresses, or the name itself."""
        return (self.place.host,) if self.is_by_name else self.addresses

    @property
    def response(self) -> HttpObservation | None:
        """The one exchange of this hop; if there are several, one without failure."""
        if len(self.http) == 1:
            return self.http[0]
        return min(self.http, key=lambda one: (one.failure is not None, one.address, one.url), default=None)

    @property
    def is_vouched(self) -> bool:
        """Whether the response itself is the only witness of the steps below it (imported measurements)."""
        return not self.tls and self.response is not None and self.response.is_vouched

    @property
    def handshakes(self) -> list[TlsObservation]:
        """The handshakes that show whom the addresses belong to."""
        return self.tls or self.tls_checks

    @property
    def endpoints(self) -> Iterable[Endpoint]:
        """Everything tried at an address of this hop, in no order that matters."""
        return (*self.tcp, *self.tls, *self.http, *self.tcp_checks, *self.tls_checks)


@dataclass(frozen=True)
class End:
    """Where the path ended. `failure` None and `complete` False: the next step was never taken (no time, no data)."""

    hop: Hop
    layer: Step
    failure: str | None = None
    complete: bool = False

    @property
    def layers(self) -> frozenset[Step]:
        """The layers of which one is where it ended: asked by name, a proxy does not say which of the two."""
        is_either = self.layer is Step.TCP and self.hop.is_by_name
        return frozenset({Step.DNS, Step.TCP}) if is_either else frozenset({self.layer})


class Path:
    """The hops of a measurement in order; there is always a first one.

    `siblings` are follow-ups at other addresses: those that the system resolver gave as well belong to the path, since
    an ordinary client tries them next.
    """

    def __init__(
        self,
        measurement: Measurement,
        expectation: Expectation,
        allowed_bogons: tuple[str, ...],
        siblings: Sequence[Observation] = (),
    ) -> None:
        self.observations = telling(measurement.observations)
        self._expectation = expectation
        self._allowed = allowed_bogons
        self.hops = _hops(measurement.url, self.observations, siblings)

    @property
    def last(self) -> Hop:
        """The hop where the chain ended."""
        return self.hops[-1]

    def hop(self, index: int) -> Hop | None:
        """Return the hop of that index, if the chain came so far."""
        return next((hop for hop in self.hops if hop.index == index), None)

    def usable(self, addresses: Iterable[str]) -> tuple[str, ...]:
        """Return those addresses that are no bogons."""
        return tuple(address for address in addresses if not is_bogon(address, self._allowed))

    @cached_property
    def end(self) -> End:
        """Where and how the system path ended, as deep as the target's expectation goes."""
        hop = self.last
        if hop.is_vouched and not (self._expectation.tcp_only or self._expectation.tls_only):
            return self._end_in_http(hop)
        return self._end_by_steps(hop)

    def _end_by_steps(self, hop: Hop) -> End:
        if not (hop.place.is_literal or hop.is_by_name) and not self.usable(hop.addresses):
            return End(hop, Step.DNS, Failure.DNS_BOGON_ERROR if hop.addresses else dns_failure(hop.dns))
        if not any(one.failure is None for one in hop.tcp):
            return End(hop, Step.TCP, _leading_failure(hop.tcp))
        if self._expectation.tcp_only:
            return End(hop, Step.TCP, complete=True)
        needs_tls = hop.place.scheme == "https" or self._expectation.tls_only
        if needs_tls and not any(one.verified for one in hop.tls):
            return End(hop, Step.TLS, _leading_failure(hop.tls))
        if self._expectation.tls_only:
            return End(hop, Step.TLS, complete=True)
        return self._end_in_http(hop)

    def _end_in_http(self, hop: Hop) -> End:
        response = hop.response
        if response is None or response.failure is not None:
            return End(hop, Step.HTTP, response.failure if response else None)
        status = response.status_code
        cut_short = status in REDIRECTS and response.location is not None and not self._expectation.allows(status)
        return End(hop, Step.HTTP, complete=status is not None and not cut_short)


def dns_failure(observations: Iterable[DnsObservation]) -> str | None:
    """Return the failure that speaks for a name without addresses: that of the A question, if it was asked."""
    failed = [one for one in observations if one.failure is not None]
    return min(failed, key=lambda one: (one.query_type != "A", one.failure or "")).failure if failed else None


def _leading_failure(observations: Iterable[TcpObservation | TlsObservation]) -> str | None:
    """Return the failure that speaks for several addresses: the network's before our own, IPv4 before IPv6."""
    failed = [one for one in observations if one.failure is not None]
    if not failed:
        return None
    return min(
        failed, key=lambda one: (one.failure in LOCAL_FAULTS, is_v6(one.address), one.failure or "", one.address)
    ).failure


def telling(observations: tuple[Observation, ...]) -> tuple[Observation, ...]:
    """Leave out steps that failed for want of our own time or because a resolver's own name was not found."""
    if not any(one.detail is not None for one in observations):
        return observations
    return tuple(one for one in observations if one.detail is None or one.detail.reason not in _UNTOLD)


def _hops(url: str, observations: Sequence[Observation], siblings: Sequence[Observation]) -> tuple[Hop, ...]:
    by_index: dict[int, list[Observation]] = defaultdict(list)
    for one in observations:
        if one.purpose in {Purpose.PATH, Purpose.ADDRESS_CHECK}:
            by_index[one.hop].append(one)
    hops: list[Hop] = []
    for index in sorted(by_index) or [0]:
        hop = Hop(index, Place())
        for one in by_index[index]:
            _file(hop, one)
        given = {address for one in hop.dns for address in one.addresses}
        for one in siblings:
            if isinstance(one, Endpoint) and one.hop == index and one.address in given:
                _file(hop, one)
        if hop.response is not None:
            url = hop.response.url
        hop.place = place_of(url)
        hops.append(hop)
        url = (hop.response.location if hop.response else None) or ""
    return tuple(hops)


def _file(hop: Hop, one: Observation) -> None:
    is_path = one.purpose is not Purpose.ADDRESS_CHECK
    match one:
        case DnsObservation():
            hop.dns.append(one)
        case TcpObservation():
            (hop.tcp if is_path else hop.tcp_checks).append(one)
        case TlsObservation():
            (hop.tls if is_path else hop.tls_checks).append(one)
        case HttpObservation():
            hop.http.append(one)
        case QuicObservation():
            hop.quic.append(one)
        case ThroughputObservation():
            pass  # a transfer is looked at beside the path, never part of it
