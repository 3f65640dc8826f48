"""Which further looks isolate a cause: decided here, carried out by a vantage (measurement.md section 6).

Stage by stage, each drawn from what has been seen so far:

1. other resolvers for the host, a harmless name for the same resolver, the failed step again;
2. addresses not tried yet; a harmless name, and none, at the same address; the target's name at an unrelated one;
   another port; HTTP/3;
3. the target's name again, after the harmless one passed; the same in small packets where it is never answered; a
   harmless name at another address that failed too; where HTTP/3 failed, the same again, whether UDP passes there at
   all, and HTTP/3 of another operator.

What came too slowly gets transfers instead, until these decide. What may be residual blocking is looked at again
minutes later (`residual_looks`), in a measurement of its own.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Final

import msgspec

from monitor.classify.connections import is_cut_elsewhere, is_silenced
from monitor.classify.context import Context
from monitor.classify.evidence import AT_ONCE, OWN_NAME, SMALL_LOOKS, STEADY_PASSES, is_answered
from monitor.classify.facts import Facts
from monitor.classify.http3 import offers_http3
from monitor.classify.mechanisms import LAYERS, outcome_of, passed
from monitor.classify.path import Endpoint, Hop, Path, is_v6
from monitor.classify.throttling import REPEATS
from monitor.model.measurement import FollowUp, Measurement
from monitor.model.observation import (
    HttpObservation,
    Purpose,
    QuicObservation,
    Step,
    TcpObservation,
    TlsObservation,
    step_of,
)
from monitor.model.target import Expectation

MAX_ADDRESSES_PER_FAMILY: Final = 4
MAX_CONTROL_CHECKS: Final = 8
MAX_RESIDUAL_LOOKS: Final = 2
_Stage = Callable[[Facts, "FollowUpSettings"], Iterator[FollowUp]]
_FIRST: Final = frozenset({Purpose.OTHER_RESOLVER, Purpose.RESOLVER_HARMLESS_NAME, Purpose.RETRY})
_SECOND: Final = frozenset(
    {
        Purpose.OTHER_ADDRESS,
        Purpose.HARMLESS_NAME,
        Purpose.UNRELATED_ADDRESS,
        Purpose.UNRELATED_HARMLESS,
        Purpose.OTHER_PORT,
        Purpose.NO_NAME,
        Purpose.HTTP3,
    }
)


class Stranger(msgspec.Struct, frozen=True, kw_only=True):
    """A host that has nothing to do with the target, at the address where it is asked."""

    host: str
    address: str
    port: int = 443
    url: str = ""  # of the file to fetch, where it is asked for one


class FollowUpSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What a deep run compares with, from the configuration; `unrelated_address` empty: none."""

    harmless_name: str
    resolvers: tuple[str, ...] = ()
    unrelated_address: str = ""
    unrelated_port: int = 443
    http3: bool = True  # QUIC may be tried at all
    quic_reference: Stranger | None = None
    transfer_reference: Stranger | None = None  # None: no transfers
    retries: int = 2
    retry_wait_seconds: float = 5.0
    max_follow_ups: int = 40
    is_whole: bool = True  # False: only what failed is tried again


_NO_SETTINGS: Final = FollowUpSettings(harmless_name="")


@dataclass(frozen=True)
class _Looks:
    """Builds the follow-ups about one hop."""

    hop: Hop
    settings: FollowUpSettings

    @property
    def _authority(self) -> str:
        place = self.hop.place
        host = f"[{place.host}]" if is_v6(place.host) else place.host
        return f"{host}:{place.port}" if place.names_port else host

    @property
    def _url(self) -> str:
        return self.hop.response.url if self.hop.response else f"{self.hop.place.scheme}://{self._authority}/"

    def lookup(
        self, purpose: Purpose, host: str, query_type: str = "A", *, resolver: str = "", wait: float = 0
    ) -> FollowUp:
        """Return a question to `resolver`, an empty one being that of the path."""
        return FollowUp(
            purpose=purpose, until="dns", hop=self.hop.index, host=host, resolver=resolver, query_type=query_type,
            wait_seconds=wait,
        )  # fmt: skip

    def own(self, purpose: Purpose, until: Step, address: str, port: int, wait: float = 0) -> FollowUp:
        """Return a look with the target's own name at an address."""
        place = self.hop.place
        return FollowUp(
            purpose=purpose, until=until, hop=self.hop.index, host=self._authority, address=address, port=port,
            server_name=None if place.is_literal else place.host, url=self._url, wait_seconds=wait,
        )  # fmt: skip

    def nameless(self, address: str, port: int) -> FollowUp:
        """Return a handshake that names nobody."""
        return FollowUp(purpose=Purpose.NO_NAME, until=Step.TLS, hop=self.hop.index, address=address, port=port)

    def stranger(self, purpose: Purpose, until: Step, stranger: Stranger) -> FollowUp:
        """Return a look at somebody else, under its own name."""
        return FollowUp(
            purpose=purpose, until=until, hop=self.hop.index, host=stranger.host, address=stranger.address,
            port=stranger.port, server_name=stranger.host, url=stranger.url,
        )  # fmt: skip

    def transfer(self, response: HttpObservation, *, harmless: bool = False) -> FollowUp:
        """Return a transfer of the target's URL from the server that gave `response`."""
        host = None if self.hop.place.is_literal else self.hop.place.host
        return FollowUp(
            purpose=Purpose.TRANSFER_HARMLESS if harmless else Purpose.TRANSFER, until=Step.THROUGHPUT,
            hop=self.hop.index, host=self._authority, address=response.address, port=response.port,
            server_name=self.settings.harmless_name if harmless else host, verify_name=host, url=response.url,
        )  # fmt: skip

    def harmless(self, purpose: Purpose, until: Step, address: str, port: int) -> FollowUp:
        """Return a look with a harmless name at an address; an HTTP request goes in cleartext."""
        name = self.settings.harmless_name
        authority = f"{name}:{port}" if self.hop.place.names_port else name
        return FollowUp(
            purpose=purpose, until=until, hop=self.hop.index, host=authority, address=address, port=port,
            server_name=name, url=f"http://{authority}/",
        )  # fmt: skip


def follow_ups(measurement: Measurement, context: Context, settings: FollowUpSettings) -> tuple[FollowUp, ...]:
    """Return the next looks for a measurement so far, () when there is nothing more to learn.

    `measurement` holds what earlier stages brought, on one clock (starts counted from the start of the first run). A
    stage whose looks brought nothing at all would be asked for again: the caller stops there.
    """
    facts = Facts(measurement, msgspec.structs.replace(context, isolation=None))
    if settings.is_whole and settings.transfer_reference is not None and facts.is_slow:
        return tuple(_transfers(facts, settings, settings.transfer_reference))
    seen = [one for one in measurement.observations if one.purpose in _FIRST | _SECOND]
    # A connection opened only to go on over it is no look of its own.
    room = settings.max_follow_ups - sum(step_of(one) is not Step.TCP or one.failure is not None for one in seen)
    purposes = {one.purpose for one in seen}
    if room <= 0 or facts.is_transient:
        return ()
    genuine = facts.differing_response is not None
    if genuine:
        stages: tuple[tuple[_Stage, frozenset[Purpose]], ...] = ((_again, _FIRST),)
    elif settings.is_whole:
        stages = (_first, _FIRST), (_second, _SECOND), (_third, frozenset())
    else:
        stages = ((_retries, _FIRST),)
    for stage, done in stages:
        if purposes.isdisjoint(done) and (wanted := tuple(stage(facts, settings))):
            return wanted[:room]
    return ()


def _again(facts: Facts, settings: FollowUpSettings) -> Iterator[FollowUp]:
    """Ask the genuine server, which answered otherwise than expected, once more."""
    response = facts.differing_response
    if response is not None and settings.retries:
        look = _Looks(facts.end.hop, settings)
        yield look.own(Purpose.RETRY, Step.HTTP, response.address, response.port, settings.retry_wait_seconds)


def _first(facts: Facts, settings: FollowUpSettings) -> Iterator[FollowUp]:
    hop = facts.end.hop
    look = _Looks(hop, settings)
    if hop.dns and not hop.place.is_literal:
        types = ("A", "AAAA") if any(is_v6(address) for address in hop.addresses) else ("A",)
        for resolver in settings.resolvers:
            for query_type in types:
                yield look.lookup(Purpose.OTHER_RESOLVER, hop.place.host, query_type, resolver=resolver)
        yield look.lookup(Purpose.RESOLVER_HARMLESS_NAME, settings.harmless_name)
    yield from _retries(facts, settings)


def _retries(facts: Facts, settings: FollowUpSettings) -> Iterator[FollowUp]:
    """Try again what failed."""
    hop = facts.end.hop
    look = _Looks(hop, settings)
    for again in range(1, settings.retries):
        wait = settings.retry_wait_seconds
        if facts.failed and facts.end.layer is Step.DNS:
            yield look.lookup(Purpose.RETRY, hop.place.host, wait=again * wait)
        for one in _failures(facts, hop):
            yield look.own(Purpose.RETRY, step_of(one), one.address, one.port, wait)


def _second(facts: Facts, settings: FollowUpSettings) -> Iterator[FollowUp]:
    hop = facts.end.hop
    look = _Looks(hop, settings)
    failures = [one for one in _failures(facts, hop) if not facts.is_suspect(hop, one.address)]
    for one in failures:
        yield from _harmless_looks(look, one, settings)
        if isinstance(one, TcpObservation):
            yield look.own(Purpose.OTHER_PORT, Step.TCP, one.address, 443 if one.port != 443 else 80)
    if facts.failed:
        yield from _other_addresses(facts, look)
    if settings.http3 and (place := _http3_place(facts, hop)) is not None:
        yield look.own(Purpose.HTTP3, Step.QUIC, *place)


def _http3_place(facts: Facts, hop: Hop) -> tuple[str, int] | None:
    """Return where HTTP/3 may tell something: it failed, TCP failed and so it may help, or the server offers it."""
    if hop.place.scheme != "https" or facts.context.expectation.tcp_only:
        return None
    failed = [one for one in _failures(facts, hop) if not facts.is_suspect(hop, one.address)]
    if hop.quic:
        return hop.quic[0].address, hop.quic[0].port
    if failed and not isinstance(failed[0], HttpObservation):
        return failed[0].address, failed[0].port
    return (hop.response.address, hop.response.port) if hop.response and offers_http3(hop.response) else None


def _http3_again(facts: Facts, look: _Looks, settings: FollowUpSettings) -> Iterator[FollowUp]:
    """Where HTTP/3 failed: once more, does UDP pass there, and is it this operator alone."""
    own = [
        one
        for one in facts.routine.observations
        if isinstance(one, QuicObservation) and one.hop == look.hop.index and one.purpose is Purpose.HTTP3
    ]
    is_asked = any(one.purpose is Purpose.QUIC_PING for one in facts.routine.observations)
    if len(own) == 1 and outcome_of(own[0]) is not None and not is_asked:
        yield look.own(Purpose.HTTP3, Step.QUIC, own[0].address, own[0].port)
        yield FollowUp(
            purpose=Purpose.QUIC_PING, until=Step.QUIC, hop=look.hop.index, address=own[0].address, port=own[0].port
        )
        if settings.quic_reference is not None:
            yield look.stranger(Purpose.QUIC_REFERENCE, Step.QUIC, settings.quic_reference)


def _transfers(facts: Facts, settings: FollowUpSettings, reference: Stranger) -> Iterator[FollowUp]:
    """Yield the target, then an innocuous file, until the comparison is decided; once under a harmless name."""
    response = facts.routine.last.response
    own = [one for one in facts.routine.observations if one.purpose is Purpose.TRANSFER]
    if response is None or facts.throttling.is_decided or len(own) >= REPEATS:
        return
    look = _Looks(facts.routine.last, settings)
    yield look.transfer(response)
    yield look.stranger(Purpose.TRANSFER_REFERENCE, Step.THROUGHPUT, reference)
    if not own and response.is_tls and not look.hop.place.is_literal:
        yield look.transfer(response, harmless=True)


def residual_looks(measurement: Measurement, context: Context, settings: FollowUpSettings) -> tuple[FollowUp, ...]:
    """Return what to look at again minutes after a deep run, from a new source port: a harmless name that failed alike.

    Right after a hit some boxes punish the pair of addresses for a while, so that failure proves nothing yet.
    """
    facts = Facts(measurement, msgspec.structs.replace(context, isolation=None))
    hop = facts.end.hop
    look = _Looks(hop, settings)
    if not facts.failed or facts.is_transient:
        return ()
    wanted = {}
    for one in _failures(facts, hop):
        if isinstance(one, TcpObservation) or facts.is_suspect(hop, one.address):
            continue
        alike = [
            other
            for other in facts.routine.observations
            if isinstance(other, Endpoint)
            and other.purpose is Purpose.HARMLESS_NAME
            and (step_of(other), other.address, other.port) == (step_of(one), one.address, one.port)
        ]
        if alike and all(outcome_of(other) == outcome_of(one) for other in alike):
            wanted[one.address, one.port] = look.harmless(Purpose.RESIDUAL, step_of(one), one.address, one.port)
    return tuple(wanted.values())[:MAX_RESIDUAL_LOOKS]


def _third(facts: Facts, settings: FollowUpSettings) -> Iterator[FollowUp]:
    hop = facts.end.hop
    look = _Looks(hop, settings)
    observations = facts.routine.observations
    for one in _failures(facts, hop):
        if facts.is_suspect(hop, one.address) or isinstance(one, TcpObservation):
            continue
        here = [
            other
            for other in observations
            if isinstance(other, Endpoint)
            and (step_of(other), other.address, other.port) == (step_of(one), one.address, one.port)
        ]
        passed_at = [
            other.started_seconds for other in here if other.purpose in {Purpose.HARMLESS_NAME, Purpose.NO_NAME}
        ]
        tried_at = [other.started_seconds for other in here if other.purpose in OWN_NAME]
        if passed_at and settings.retries and max(tried_at) < max(passed_at):
            yield look.own(Purpose.RETRY, step_of(one), one.address, one.port, settings.retry_wait_seconds)
        elif not passed_at and one.purpose is Purpose.OTHER_ADDRESS:
            yield from _harmless_looks(look, one, settings)
        elif settings.retries and outcome_of(one) in AT_ONCE:
            yield from _steady_looks(facts, look, one)
        if outcome_of(one) == "timeout" and _may_pass_in_small_packets(facts, one):
            yield look.own(Purpose.SMALL_SEGMENTS, step_of(one), one.address, one.port)
    yield from _http3_again(facts, look, settings)


def _may_pass_in_small_packets(facts: Facts, one: Endpoint) -> bool:
    """Tell whether to look in small packets at a place that never answers: until it fails, or passed often enough."""
    tried = [
        other
        for other in facts.routine.observations
        if isinstance(other, Endpoint)
        and other.purpose is Purpose.SMALL_SEGMENTS
        and (other.hop, other.address, other.port) == (one.hop, one.address, one.port)
    ]
    looks = [other for other in tried if step_of(other) is step_of(one)]
    return not tried or (all(map(passed, looks)) and 0 < len(looks) < SMALL_LOOKS)


def _steady_looks(facts: Facts, look: _Looks, one: Endpoint) -> Iterator[FollowUp]:
    """Look by turns, with a harmless name and the target's, until overload can hardly be all there is to it."""
    alike = [
        other
        for other in facts.routine.observations
        if isinstance(other, Endpoint) and other.hop == look.hop.index and step_of(other) is step_of(one)
    ]
    # Each look opened one connection, however far it came.
    connections = [
        other
        for other in facts.routine.observations
        if isinstance(other, TcpObservation) and (other.address, other.port) == (one.address, one.port)
    ]
    if is_cut_elsewhere(alike, outcome_of(one) or "") or is_silenced(connections):
        return
    opened = [other.purpose for other in connections]
    here = [other for other in alike if (other.address, other.port) == (one.address, one.port)]
    answered = {other.purpose for other in here if is_answered(other)}
    # Where a box cuts the harmless name as well, a handshake without any may pass.
    is_nameless = Purpose.NO_NAME in answered and Purpose.HARMLESS_NAME not in answered
    has_harmless = not (isinstance(one, HttpObservation) and one.is_tls)
    other_purpose = Purpose.NO_NAME if is_nameless else Purpose.HARMLESS_NAME
    for _ in range(opened.count(other_purpose if has_harmless else Purpose.RETRY), STEADY_PASSES):
        if is_nameless:
            yield look.nameless(one.address, one.port)
        elif has_harmless:
            yield look.harmless(Purpose.HARMLESS_NAME, step_of(one), one.address, one.port)
        yield look.own(Purpose.RETRY, step_of(one), one.address, one.port, min(1.0, look.settings.retry_wait_seconds))


def _harmless_looks(look: _Looks, one: Endpoint, settings: FollowUpSettings) -> Iterator[FollowUp]:
    if isinstance(one, TlsObservation):
        yield look.harmless(Purpose.HARMLESS_NAME, Step.TLS, one.address, one.port)
        if one.server_name is not None:
            yield look.nameless(one.address, one.port)
        if settings.unrelated_address and one.server_name is not None:
            stranger = settings.unrelated_address, settings.unrelated_port
            yield look.own(Purpose.UNRELATED_ADDRESS, Step.TLS, *stranger)
            yield look.harmless(Purpose.UNRELATED_HARMLESS, Step.TLS, *stranger)
    elif isinstance(one, HttpObservation) and not one.is_tls:
        yield look.harmless(Purpose.HARMLESS_NAME, Step.HTTP, one.address, one.port)


def _other_addresses(facts: Facts, look: _Looks) -> Iterator[FollowUp]:
    """Addresses not tried yet: the system resolver's own first, then the controls' and the other resolvers'."""
    hop, place = look.hop, look.hop.place
    others = facts.other_resolvers(hop)
    views = [
        hop.addresses,
        *(theirs.addresses for theirs in facts.control_hops(hop)),
        *(one.addresses for one in sorted(others, key=lambda one: (one.transport == "udp", one.resolver))),
    ]
    tried = {one.address for one in hop.tcp}
    found = dict.fromkeys(one for view in views for one in facts.path.usable(sorted(view)) if one not in tried)
    v6_works = any(one.failure is None and is_v6(one.address) for one in hop.tcp)
    for v6, family in groupby(sorted(found, key=is_v6), key=is_v6):
        if v6 and not v6_works:
            continue
        for address in list(family)[:MAX_ADDRESSES_PER_FAMILY]:
            until = _depth(facts.context.expectation)
            # A browser goes on to the system resolver's own addresses; the others only have to prove themselves.
            if place.scheme == "https" and until is Step.HTTP and address not in hop.addresses:
                until = Step.TLS
            yield look.own(Purpose.OTHER_ADDRESS, until, address, place.port)
            if place.scheme == "http" and not place.names_port:
                yield look.own(Purpose.OTHER_ADDRESS, Step.TLS, address, 443)


def _depth(expectation: Expectation) -> Step:
    if expectation.tcp_only:
        return Step.TCP
    return Step.TLS if expectation.tls_only else Step.HTTP


def _failures(facts: Facts, hop: Hop) -> list[Endpoint]:
    """One failed endpoint for each step and port of a hop: not suspect, on the path, IPv4 where there is a choice."""
    found = [
        one
        for one in facts.routine.observations
        if isinstance(one, Endpoint)
        and one.hop == hop.index
        and one.purpose in {Purpose.PATH, Purpose.ADDRESS_CHECK, Purpose.OTHER_ADDRESS}
        and outcome_of(one) is not None
    ]

    def worth(one: Endpoint) -> tuple[bool, bool, bool, str]:
        is_other = one.purpose is Purpose.OTHER_ADDRESS
        return facts.is_suspect(hop, one.address), is_other, is_v6(one.address), one.address

    best: dict[tuple[int, int], Endpoint] = {}
    for one in sorted(found, key=worth):
        best.setdefault((LAYERS.index(step_of(one)), one.port), one)
    return [best[key] for key in sorted(best)]


def control_checks(
    measurement: Measurement, allowed_bogons: tuple[str, ...] = (), *, http3: bool = False, transfer: bool = False
) -> tuple[FollowUp, ...]:
    """Return the test vantage's own endpoints, to be tried by a control: a dead address is no blocked one.

    With `http3` also over QUIC where TLS was tried, with `transfer` also how fast the last response comes. Where
    connections are ended at once, the control looks as often as it takes to tell that from an overloaded server.
    """
    path = Path(measurement, Expectation(), allowed_bogons)
    wanted: dict[tuple[int, str, int], FollowUp] = {}
    steady: list[FollowUp] = []
    for hop in path.hops:
        for one in _in_order(hop.endpoints):
            if not path.usable((one.address,)):
                continue
            if not isinstance(one, TcpObservation) and outcome_of(one) in AT_ONCE:
                own = _Looks(hop, _NO_SETTINGS).own(Purpose.CONTROL_CHECK, step_of(one), one.address, one.port)
                steady += [own] * STEADY_PASSES
            if isinstance(one, HttpObservation):
                continue
            is_tls = isinstance(one, TlsObservation) or one.port == 443
            wanted[(hop.index, one.address, one.port)] = FollowUp(
                purpose=Purpose.CONTROL_CHECK,
                until="tls" if is_tls else "tcp",
                hop=hop.index,
                host=hop.place.host,
                address=one.address,
                port=one.port,
                server_name=hop.place.host if is_tls and not hop.place.is_literal else None,
            )
    # The last hop first: that is where something went wrong.
    checks = sorted(wanted.values(), key=lambda one: (-one.hop, is_v6(one.address)))[:MAX_CONTROL_CHECKS]
    tls = next((one for one in checks if one.until == "tls" and one.server_name), None)
    if http3 and tls is not None:
        checks.append(msgspec.structs.replace(tls, until="quic"))
    response = path.last.response
    if transfer and response is not None and path.usable((response.address,)):
        asked = _Looks(path.last, _NO_SETTINGS).transfer(response)
        checks.append(msgspec.structs.replace(asked, purpose=Purpose.CONTROL_CHECK))
    return (*checks, *steady[: 2 * STEADY_PASSES])


def _in_order(endpoints: Iterable[Endpoint]) -> list[Endpoint]:
    return sorted(endpoints, key=lambda one: (LAYERS.index(step_of(one)), one.address, one.port))
