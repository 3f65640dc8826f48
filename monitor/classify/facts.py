"""What follows from a measurement and its context before any rule speaks: trust, differences, triggers.

Everything is drawn lazily, so a routine measurement that met its expectation costs little, and nothing depends on the
order of observations.

Trust is per address (measurement.md section 3 in the words of docs/verdicts.md, "Trust"). Trusted: a control's DNS
answer holds it, or a handshake with the target's name verified on it this round, here or at a control. Suspect: a
reference (the controls' answers; without them those of encrypted DNS) lacks it and its AS too, and nothing verified.
What a suspect address does is evidence about DNS, never about the platform.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import msgspec

from monitor.classify.content import Comparison, block_page, compare, is_challenge, meets
from monitor.classify.context import Context
from monitor.classify.fingerprints import shown, unvetoed
from monitor.classify.mechanisms import LAYERS, OUTCOMES, Mechanism, outcome_of, passed
from monitor.classify.path import End, Hop, Path, dns_failure, is_v6
from monitor.model.bogon import is_bogon
from monitor.model.failure import LOCAL_FAULTS, TIMEOUTS, Failure
from monitor.model.measurement import Measurement
from monitor.model.observation import (
    DnsObservation,
    HttpObservation,
    Observation,
    Purpose,
    Step,
    TcpObservation,
    TlsObservation,
    step_of,
)
from monitor.model.vantage import VantageState
from monitor.model.verdict import Confidence

Endpoint = TcpObservation | TlsObservation | HttpObservation

OWN_NAME: Final = frozenset({Purpose.PATH, Purpose.ADDRESS_CHECK, Purpose.RETRY, Purpose.OTHER_ADDRESS})
_ROUTINE: Final = frozenset({Purpose.PATH, Purpose.ADDRESS_CHECK})
_AT_CONTROL: Final = _ROUTINE | {Purpose.CONTROL_CHECK}
_ENCRYPTED: Final = frozenset({"https", "tls"})
_NO_SUCH_NAME: Final = frozenset({Failure.DNS_NXDOMAIN_ERROR, Failure.DNS_NO_ANSWER})
# What makes a certificate somebody else's.
_FOREIGN: Final = frozenset({Failure.SSL_UNKNOWN_AUTHORITY, Failure.SSL_INVALID_HOSTNAME})
_UNREACHABLE: Final = frozenset({Failure.HOST_UNREACHABLE, Failure.NETWORK_UNREACHABLE, *TIMEOUTS})
# A stranger's server may turn an unknown name away with an alert; it cannot cut it off just as the path did.
_CUTS: Final = frozenset({"reset", "eof", "timeout"})


@dataclass(frozen=True)
class View:
    """What is known of the addresses of one hop's host from places that the network did not touch."""

    control: frozenset[str]
    encrypted: frozenset[str]
    verified: frozenset[str]  # here or at a control
    verified_here: frozenset[str]
    has_reference: bool  # a control or encrypted DNS said what the name leads to, or that it leads nowhere

    @property
    def reference(self) -> frozenset[str]:
        """The addresses that count as the platform's for want of a handshake."""
        return self.control or self.encrypted


class Facts:
    """One measurement in its context."""

    def __init__(self, measurement: Measurement, context: Context) -> None:
        self.measurement = measurement
        self.context = context
        self._views: dict[int, View] = {}

    def _is_bogon(self, address: str) -> bool:
        return is_bogon(address, self.context.allowed_bogons)

    def _path(self, measurement: Measurement, siblings: tuple[Observation, ...] = ()) -> Path:
        return Path(measurement, self.context.expectation, self.context.allowed_bogons, siblings)

    # --- The system path

    @cached_property
    def routine(self) -> Path:
        """The system path as the routine run went it."""
        return self._path(self.measurement)

    @cached_property
    def path(self) -> Path:
        """The system path with the addresses that an ordinary client would have tried next."""
        siblings = tuple(one for one in self.evidence if one.purpose is Purpose.OTHER_ADDRESS)
        return self._path(self.measurement, siblings) if siblings else self.routine

    @property
    def end(self) -> End:
        """Where the system path ended."""
        return self.path.end

    @property
    def failed(self) -> bool:
        """Whether an ordinary client got nothing, for a reason that has a name."""
        return not self.end.complete and self.end.failure is not None

    @property
    def response(self) -> HttpObservation | None:
        """The final response, if the path led to one."""
        return self.end.hop.response if self.end.complete and self.end.layer is Step.HTTP else None

    @cached_property
    def meets_expectation(self) -> bool:
        """Whether the path came as far as the target demands and showed what it declares."""
        if self.end.layer is not Step.HTTP:
            return self.end.complete
        return self.response is not None and meets(self.response, self.context.expectation, self.end.hop.place.host)

    @cached_property
    def over_verified_tls(self) -> bool:
        """Whether the end was reached over verified TLS and no cleartext redirect can have led elsewhere."""
        return self._over_verified_tls(self.path)

    def _over_verified_tls(self, path: Path) -> bool:
        if not path.end.complete or not any(one.verified for one in path.last.tls):
            return False
        return all(
            any(one.verified for one in hop.tls) or self._leads_home(hop, onward)
            for hop, onward in zip(path.hops, path.hops[1:], strict=False)
        )

    def _leads_home(self, hop: Hop, onward: Hop) -> bool:
        """Tell whether a cleartext redirect stays with the site, or goes where it is declared to or a control went."""
        host, next_host = hop.place.host, onward.place.host
        declared = (self.context.expectation.final_host or "").casefold().rstrip(".")
        related = host == next_host or next_host.endswith("." + host) or host.endswith("." + next_host)
        return bool(next_host) and (related or next_host == declared or bool(self.controls_at(onward)))

    @property
    def differing_response(self) -> HttpObservation | None:
        """The final response, if it is the genuine server's and not what the target declares."""
        return self.response if self.over_verified_tls and not self.meets_expectation else None

    @cached_property
    def is_delivered(self) -> bool:
        """Whether the client got what it asked for: proven by TLS, by declared content or by the control's."""
        declares = self.context.expectation.title is not None or self.context.expectation.text is not None
        return self.meets_expectation and (self.over_verified_tls or declares or self.comparison is Comparison.SAME)

    # --- What else counts as evidence

    @cached_property
    def isolation(self) -> "Facts | None":
        """The recent deep run, if it stands for this round: the same symptom, and trying again did not help."""
        if self.context.isolation is None:
            return None
        earlier = Facts(self.context.isolation, msgspec.structs.replace(self.context, isolation=None))
        if earlier.symptom != self.symptom or earlier.is_transient:
            return None
        # What was shown at one address says nothing of another: a name that leads elsewhere now is isolated anew.
        failed = {one.address for one in self.routine.end.hop.endpoints if one.failure is not None}
        tried = {one.address for one in earlier.measurement.observations if not isinstance(one, DnsObservation)}
        return earlier if not failed or failed & tried else None

    @cached_property
    def evidence(self) -> tuple[Observation, ...]:
        """The observations of this round and the follow-ups of the run that stands for it."""
        if self.isolation is None:
            return self.routine.observations
        earlier = self.isolation.routine.observations
        return (*self.routine.observations, *(one for one in earlier if one.purpose not in _ROUTINE))

    def _runs(self) -> Iterator[tuple[Observation, ...]]:
        """Each run by itself: starts can be compared inside one only."""
        yield self.routine.observations
        if self.isolation is not None:
            yield self.isolation.routine.observations

    @cached_property
    def is_transient(self) -> bool:
        """Whether what ended the path did not happen again."""
        end = self.end
        if end.complete and self.meets_expectation:
            return False
        return any(
            one.purpose is Purpose.RETRY
            and one.hop == end.hop.index
            and step_of(one) is end.layer
            and self._is_cured(one, end.hop)
            for one in self.routine.observations
        )

    def _is_cured(self, one: Observation, hop: Hop) -> bool:
        if isinstance(one, DnsObservation):
            return one.failure is None and bool(self.path.usable(one.addresses))
        if one.address not in hop.addresses or one.port != hop.place.port:
            return False
        if isinstance(one, HttpObservation) and not self.failed:
            return meets(one, self.context.expectation, hop.place.host)
        return passed(one)

    # --- The control

    @cached_property
    def controls(self) -> tuple[Path, ...]:
        """The paths of the controls that say anything: not interrupted, no fault of their own."""
        paths = (self._path(one) for one in self.context.controls if one.observations and not one.interrupted)
        return tuple(path for path in paths if path.end.failure not in LOCAL_FAULTS)

    def controls_at(self, hop: Hop) -> tuple[Path, ...]:
        """Return the controls that came to the same place at the same hop."""
        return tuple(
            path for path in self.controls if (theirs := path.hop(hop.index)) is not None and theirs.place == hop.place
        )

    def control_hops(self, hop: Hop) -> tuple[Hop, ...]:
        """Return the same hop of the controls that came to the same place."""
        return tuple(theirs for path in self.controls_at(hop) if (theirs := path.hop(hop.index)) is not None)

    @cached_property
    def control_alike(self) -> tuple[bool, ...]:
        """For each control that came to the place where the path ended, whether it fared no better."""
        end = self.end
        if self.failed:
            return tuple(
                path.end.hop.index == end.hop.index
                and path.end.layer is end.layer
                and not path.end.complete
                and path.end.failure is not None
                for path in self.controls_at(end.hop)
            )
        response = self.response
        if response is None or self.meets_expectation:
            return ()
        status = response.status_code or 0
        theirs = (hop.response for hop in self.control_hops(end.hop))
        return tuple(status >= 500 and one is not None and one.status_code == status for one in theirs)

    def control_passed(self, control: Path, hop: Hop, one: Endpoint) -> bool | None:
        """Tell whether a control passed a step, at this address if it tried it, else at its own; None: not tried."""
        tried = [
            theirs
            for theirs in control.observations
            if not isinstance(theirs, DnsObservation)
            and theirs.hop == hop.index
            and theirs.purpose in _AT_CONTROL
            and theirs.port == one.port
            and step_of(theirs) is step_of(one)
        ]
        pool = [theirs for theirs in tried if theirs.address == one.address] or [
            theirs for theirs in tried if theirs.purpose in _ROUTINE
        ]
        return any(passed(theirs) for theirs in pool) if pool else None

    @cached_property
    def comparison(self) -> Comparison | None:
        """How the final cleartext response compares with every control's; None if there is none to compare."""
        return self._comparison(self.path)

    def _comparison(self, path: Path) -> Comparison | None:
        response = path.last.response
        if response is None or response.is_tls or not path.end.complete:
            return None
        suspicious = any(map(unvetoed, block_page(response, self.context.bodies, self.context.fingerprints)))
        found = {
            compare(response, theirs, suspicious=suspicious)
            for hop in self.control_hops(path.last)
            if (theirs := hop.response) is not None and theirs.failure is None
        }
        if not found:
            return None
        return found.pop() if len(found) == 1 else Comparison.UNCLEAR

    # --- Trust

    def view(self, hop: Hop) -> View:
        """Return what untouched places know of a hop's host."""
        if hop.index not in self._views:
            self._views[hop.index] = self._view(hop)
        return self._views[hop.index]

    def _view(self, hop: Hop) -> View:
        theirs = self.control_hops(hop)
        encrypted = [one for one in self.other_resolvers(hop) if one.transport in _ENCRYPTED]
        here = frozenset(_verified(self.evidence, hop.place.host, OWN_NAME))
        there = (_verified(path.observations, hop.place.host, _AT_CONTROL) for path in self.controls)
        return View(
            control=frozenset(self.path.usable(address for one in theirs for address in one.addresses)),
            encrypted=frozenset(self.path.usable(address for one in encrypted for address in one.addresses)),
            verified=here.union(*there),
            verified_here=here,
            has_reference=any(one.addresses or dns_failure(one.dns) in _NO_SUCH_NAME for one in theirs)
            or any(one.failure is None or one.failure in _NO_SUCH_NAME for one in encrypted),
        )

    def is_trusted(self, hop: Hop, address: str) -> bool:
        """Tell whether an address is the platform's by the word of a control or by its own proof."""
        view = self.view(hop)
        return hop.place.is_literal or address in view.control or address in view.verified

    def is_suspect(self, hop: Hop, address: str) -> bool:
        """Tell whether an address is likely not the platform's."""
        view = self.view(hop)
        if not view.has_reference or self.is_trusted(hop, address) or address in view.encrypted:
            return False
        asn = self.context.asn_of.get(address)
        if asn is None:
            # Where no certificate is shown, an address has no way of its own to prove whose it is.
            return not self.context.expectation.tcp_only
        return asn not in self._networks(view.reference)

    def _networks(self, addresses: Iterable[str]) -> set[int]:
        return {self.context.asn_of[address] for address in addresses if address in self.context.asn_of}

    # --- DNS

    def other_resolvers(self, hop: Hop) -> tuple[DnsObservation, ...]:
        """Return what other resolvers said about a hop's host."""
        return tuple(
            one
            for one in self.evidence
            if isinstance(one, DnsObservation)
            and one.purpose is Purpose.OTHER_RESOLVER
            and one.hop == hop.index
            and one.host.casefold().rstrip(".") == hop.place.host
        )

    @cached_property
    def answers_harmless(self) -> bool | None:
        """Whether the resolver of the path answers a harmless name; None: not asked."""
        tried = [
            one
            for one in self.evidence
            if isinstance(one, DnsObservation) and one.purpose is Purpose.RESOLVER_HARMLESS_NAME
        ]
        return any(passed(one) and self.path.usable(one.addresses) for one in tried) if tried else None

    @cached_property
    def dns_mechanisms(self) -> tuple[Mechanism, ...]:
        """What is wrong with the answers of the system resolver, at most one mechanism for each hop."""
        trigger = "name" if self.answers_harmless else ""
        return tuple(
            Mechanism(Step.DNS, outcome, hop.index, trigger, on_path)
            for hop in self.path.hops
            if hop.dns and not hop.place.is_literal
            for outcome, on_path in (self._wrong_with(hop),)
            if outcome
        )

    def _wrong_with(self, hop: Hop) -> tuple[str, bool]:
        """Return the outcome, empty if nothing is wrong, and whether it leaves the client nothing else."""
        listed = [address for address in hop.addresses if self._is_block_page_address(hop, address)]
        if listed:
            return "blockpage_address", len(listed) == len(hop.addresses)
        serves_one = self.serves_block_page(hop) and hop.response and self.is_suspect(hop, hop.response.address)
        if serves_one or self._is_led_to_block_page_host(hop):
            return "blockpage_address", True
        bogons = [address for address in hop.addresses if self._is_bogon(address)]
        if bogons and self._elsewhere_no_bogon(hop):
            return "bogon", len(bogons) == len(hop.addresses)
        if self.impostor(hop) is not None or self._is_contradicted(hop):
            return "wrong_address", True
        if not hop.addresses and self._fails_here_only(hop):
            return OUTCOMES[Step.DNS].get(dns_failure(hop.dns) or "", ""), True
        return "", False

    def _is_block_page_address(self, hop: Hop, address: str) -> bool:
        return self._is_listed(address) and address not in self.view(hop).control | self.view(hop).verified

    def _is_led_to_block_page_host(self, hop: Hop) -> bool:
        """Tell whether the answer makes the name an alias of a block page's host, and nowhere else does."""
        theirs = {alias for one in self.control_hops(hop) for alias in _aliases(one)}
        return self.view(hop).verified.isdisjoint(hop.addresses) and any(
            self._is_listed(alias) for alias in _aliases(hop) - theirs
        )

    def _is_listed(self, answer: str) -> bool:
        listed = shown(self.context.fingerprints, {"dns": answer.encode()})
        return any(row.confirms(self.context.country) for row in unvetoed(listed))

    def _elsewhere_no_bogon(self, hop: Hop) -> bool:
        """Tell whether the name leads to no bogon elsewhere: at the controls, without them by encrypted DNS."""
        theirs: list[tuple[Iterable[str], str | None]] = [
            (one.addresses, dns_failure(one.dns)) for one in self.control_hops(hop)
        ] or [(one.addresses, one.failure) for one in self.other_resolvers(hop) if one.transport in _ENCRYPTED]
        said = [(list(addresses), failure) for addresses, failure in theirs]
        return any(addresses or failure in _NO_SUCH_NAME for addresses, failure in said) and not any(
            self._is_bogon(address) for addresses, _ in said for address in addresses
        )

    def _is_contradicted(self, hop: Hop) -> bool:
        """Tell whether the answer leads to a foreign place and somebody on the path was seen to answer.

        Foreign: neither address nor AS is known to the reference. Seen: two replies to one query contradict each
        other, or one operator answers differently over UDP and over encrypted DNS. A CDN node inside the provider
        fails the second test.
        """
        if not any(one.late_replies for one in hop.dns) and not self.other_resolvers(hop):
            return False
        view, asn_of = self.view(hop), self.context.asn_of
        ours = self.path.usable(hop.addresses)
        if not ours or not view.has_reference or view.reference.intersection(ours):
            return False
        foreign = {asn_of.get(address) for address in ours}
        if foreign & self._networks(view.reference):
            return False
        if any(
            late.answers
            and not {answer.value for answer in late.answers if answer.type != "CNAME"} & set(one.addresses)
            # A forger answers for every resolver; only those of a deep run are listened to for long.
            for one in (*hop.dns, *(other for other in self.other_resolvers(hop) if set(other.addresses) & set(ours)))
            for late in one.late_replies
        ):
            return True
        return None not in foreign and (
            self._leads_astray(hop) or any(self._forged_over_udp(hop, one) for one in self.other_resolvers(hop))
        )

    def _leads_astray(self, hop: Hop) -> bool:
        """Tell whether the path ended at foreign addresses while an address known elsewhere proves itself here."""
        view = self.view(hop)
        is_end = not self.end.complete and self.end.hop.index == hop.index
        return is_end and self.answers_harmless is True and not view.reference.isdisjoint(view.verified_here)

    def _forged_over_udp(self, hop: Hop, plain: DnsObservation) -> bool:
        if plain.transport != "udp" or not plain.addresses:
            return False
        view = self.view(hop)
        known = self._networks(view.reference)
        if any(one in view.reference or self.context.asn_of.get(one) in known for one in plain.addresses):
            return False
        return any(
            twin.transport in _ENCRYPTED
            and twin.query_type == plain.query_type
            and _server(twin.resolver) == _server(plain.resolver)
            and (twin.addresses or twin.failure in _NO_SUCH_NAME)
            and not set(twin.addresses) & set(plain.addresses)
            for twin in self.other_resolvers(hop)
        )

    def _fails_here_only(self, hop: Hop) -> bool:
        """Tell whether a failed lookup is the network's doing: not the resolver's own trouble, and well elsewhere."""
        if self.answers_harmless is False:
            return False
        theirs = self.control_hops(hop)
        if theirs:
            return all(self.path.usable(one.addresses) for one in theirs)
        return self.dns_isolated(hop)

    def dns_isolated(self, hop: Hop) -> bool:
        """Tell whether this vantage alone shows that its resolver keeps a living name from its users."""
        repeated = any(
            one.purpose is Purpose.RETRY and one.hop == hop.index and step_of(one) is self.end.layer and not passed(one)
            for one in self.evidence
        )
        view = self.view(hop)
        return repeated and self.answers_harmless is True and not view.encrypted.isdisjoint(view.verified_here)

    def impostor(self, hop: Hop) -> Confidence | None:
        """Return how surely a wrong address is shown by the certificate of the host there; None: it is not."""
        if self.is_delivered or any(one.verified for one in hop.handshakes):
            return None
        # On the controls' own way: at the liar's address they would see its certificate just the same.
        seen_there = {one.chain[0] for theirs in self.control_hops(hop) for one in theirs.handshakes if one.chain}
        foreign = [
            one
            for one in hop.handshakes
            if one.chain
            and one.chain[0] not in seen_there
            and not {Failure.SSL_UNKNOWN_AUTHORITY, Failure.SSL_INVALID_HOSTNAME}.isdisjoint(_defects(one))
            and self.is_suspect(hop, one.address)
        ]
        if not foreign or not self.view(hop).verified:
            return None
        claims = any(one.leaf_covers_name and Failure.SSL_UNKNOWN_AUTHORITY in _defects(one) for one in foreign)
        return Confidence.CONFIRMED if claims else Confidence.LIKELY

    # --- Connections

    @cached_property
    def differences(self) -> tuple[Mechanism, ...]:
        """Steps that fail here with the target's name at the platform's own addresses, and do not fail elsewhere.

        "Elsewhere" is a control that passed the step, or the same place with another name; a control that fails
        alike excludes both.
        """
        found = {
            mechanism
            for hop in self.path.hops
            for one, outcome in self._failures_at(hop)
            if (mechanism := self._difference(hop, one, outcome)) is not None
        }
        return tuple(
            sorted(found, key=lambda one: (one.hop, LAYERS.index(one.layer), one.outcome, one.trigger, not one.on_path))
        )

    def _difference(self, hop: Hop, one: Endpoint, outcome: str) -> Mechanism | None:
        passes = [self.control_passed(control, hop, one) for control in self.controls_at(hop)]
        if False in passes:
            return None
        trigger = self._trigger(hop, one, outcome)
        if trigger not in {"sni", "host"} and not (True in passes and self.is_trusted(hop, one.address)):
            return None
        on_path = one.purpose is not Purpose.ADDRESS_CHECK and one.address in hop.addresses
        return Mechanism(step_of(one), outcome, hop.index, trigger, on_path)

    def _failures_at(self, hop: Hop) -> Iterator[tuple[Endpoint, str]]:
        own = [
            one
            for one in self.evidence
            if not isinstance(one, DnsObservation) and one.hop == hop.index and one.purpose in OWN_NAME
        ]
        worked = {(step_of(one), one.address, one.port) for one in own if passed(one)}
        for one in own:
            outcome = outcome_of(one)
            if (
                outcome is not None
                and one.purpose is not Purpose.RETRY
                and (step_of(one), one.address, one.port) not in worked
                and not self._is_bogon(one.address)
                and not self._is_masked(one)
                and not self.is_suspect(hop, one.address)
            ):
                yield one, outcome

    def _is_masked(self, one: Endpoint) -> bool:
        """Tell whether a failed connection may be the family's fault: IPv6 is broken on many lines.

        An unreachable IPv4 address counts only where the line is known to work.
        """
        if not isinstance(one, TcpObservation) or one.failure not in _UNREACHABLE:
            return False
        if one.failure == Failure.NETWORK_UNREACHABLE:
            v6 = is_v6(one.address)
            return not any(
                isinstance(other, TcpObservation) and other.failure is None and is_v6(other.address) == v6
                for other in self.evidence
            )
        v6 = is_v6(one.address)
        works = any(
            isinstance(other, TcpObservation) and other.failure is None and is_v6(other.address) == v6
            for other in self.evidence
        )
        return not works and (v6 or (one.failure not in TIMEOUTS and not self._is_online))

    @property
    def _is_online(self) -> bool:
        return self.context.state_before is VantageState.ONLINE

    def _trigger(self, hop: Hop, one: Endpoint, outcome: str) -> str:
        match one:
            case TcpObservation():
                return "address" if self._all_ports_fail(hop, one) else ""
            case TlsObservation() if one.server_name is not None:
                shown = any(self._other_name_passes(run, hop, one, outcome) for run in self._runs())
                return "sni" if shown else ""
            case HttpObservation() if not one.is_tls:
                return "host" if any(self._other_name_passes(run, hop, one, outcome) for run in self._runs()) else ""
            case _:
                return ""

    def _other_name_passes(self, run: tuple[Observation, ...], hop: Hop, one: Endpoint, outcome: str) -> bool:
        """Tell whether, in one run, the target's name fails twice while a harmless one passes.

        At the same address the harmless name must pass between two failures, so that neither an outage that ended nor
        residual blocking that began can pass for a filter of names.
        """
        alike = [
            other
            for other in run
            if not isinstance(other, DnsObservation) and other.hop == hop.index and step_of(other) is step_of(one)
        ]
        here = [other for other in alike if (other.address, other.port) == (one.address, one.port)]
        own = [other for other in here if other.purpose in OWN_NAME]
        failures = [other.started_seconds for other in own if outcome_of(other)]
        if len(failures) < 2 or any(passed(other) for other in own):
            return False
        first, last = min(failures), max(failures)
        if any(
            other.purpose is Purpose.HARMLESS_NAME and _is_answered(other) and first < other.started_seconds < last
            for other in here
        ):
            return True
        harmless = {
            (other.address, other.port)
            for other in alike
            if other.purpose is Purpose.UNRELATED_HARMLESS and _is_answered(other)
        }
        return any(
            other.purpose is Purpose.UNRELATED_ADDRESS
            and (other.address, other.port) in harmless
            and outcome in _CUTS
            and outcome_of(other) == outcome
            for other in alike
        )

    def _all_ports_fail(self, hop: Hop, one: TcpObservation) -> bool:
        """Tell whether an address is blocked as such: other ports that a control reaches fail, or a sibling works."""
        tried = [other for other in self.evidence if isinstance(other, TcpObservation) and other.hop == hop.index]
        here = [other for other in tried if other.address == one.address]
        if any(other.failure is None for other in here):
            return False
        if any(
            True in [self.control_passed(control, hop, other) for control in self.controls_at(hop)]
            for other in here
            if other.port != one.port
        ):
            return True
        return any(other.failure is None and other.port == one.port and other.purpose in OWN_NAME for other in tried)

    @cached_property
    def other_address_works(self) -> bool:
        """Whether an address that the system resolver did not give proves to be the platform's from here."""
        hop = self.end.hop
        return not self.view(hop).verified_here <= set(hop.addresses)

    @cached_property
    def substituted(self) -> Mechanism | None:
        """The substitution of a certificate where the path ended: a control saw a genuine one at the same address."""
        hop = self.end.hop
        if not self.failed or self.end.layer is not Step.TLS:
            return None
        for one in hop.tls:
            # An expired certificate alone may be the platform's own at one of its places.
            if not one.chain or one.failure is None or not _FOREIGN & _defects(one):
                continue
            theirs = [
                other
                for control in self.controls_at(hop)
                for other in control.observations
                if isinstance(other, TlsObservation) and other.hop == hop.index and other.chain
            ]
            genuine = any(other.verified and other.address == one.address for other in theirs)
            if genuine and one.chain[0] not in {other.chain[0] for other in theirs}:
                return Mechanism(Step.TLS, "certificate_substituted", hop.index)
        return None

    # --- Content

    def serves_block_page(self, hop: Hop) -> bool:
        """Tell whether a hop's cleartext response is a known block page that the controls do not get."""
        return self._shows(hop, 0)

    @cached_property
    def block_page(self) -> Mechanism | None:
        """A known block page in cleartext from an address that is the platform's, or a redirect to one."""
        for before, hop in zip((None, *self.path.hops), self.path.hops, strict=False):
            if self._shows(hop, 1):
                return Mechanism(Step.HTTP, "redirect", hop.index)
            if not self.serves_block_page(hop):
                continue
            led_here = (
                before is not None
                and before.place.scheme == "http"
                and before.place.host != hop.place.host
                and not self.controls_at(hop)
            )
            if before is not None and led_here:
                return Mechanism(Step.HTTP, "redirect", before.index)
            return Mechanism(Step.HTTP, "blockpage", hop.index)
        return None

    def _shows(self, hop: Hop, where: int) -> bool:
        """Tell whether a response shows a confirming signature: 0 in page or headers, 1 in its Location."""
        if hop.response is None or hop.response.is_tls:
            return False
        bodies = self.context.bodies
        rows = block_page(hop.response, bodies, self.context.fingerprints)[where]
        telling = {row.id for row in unvetoed(rows) if row.confirms(self.context.country)}
        for theirs in self.control_hops(hop) if telling else ():
            if theirs.response is not None:
                telling -= {row.id for row in block_page(theirs.response, bodies, self.context.fingerprints)[where]}
        return bool(telling)

    # --- The whole

    @cached_property
    def mechanisms(self) -> tuple[Mechanism, ...]:
        """Everything that was shown to be wrong at DNS and on the way to the platform's own addresses."""
        return (*self.dns_mechanisms, *self.differences)

    @cached_property
    def symptom(self) -> tuple[str, ...]:
        """What is unexpected about the routine run, sorted; the same trouble gives the same strings every time.

        Drawn from the routine steps alone, so that the deep run which explains a symptom shows that same symptom.
        What the controls show as well is expected.
        """
        found: set[str] = set()
        for hop in self.routine.hops:
            if any(map(self._is_bogon, hop.addresses)) and not any(
                any(map(self._is_bogon, theirs.addresses)) for theirs in self.control_hops(hop)
            ):
                found.add(f"{hop.index}:dns:bogon")
            found.update(
                f"{hop.index}:{step_of(one)}:{one.port}:{outcome_of(one) or one.failure}"
                for one in hop.endpoints
                if one.failure is not None and not self._is_expected(hop, one)
            )
        end = self.routine.end
        where = f"{end.hop.index}:{end.layer}"
        if not end.complete and end.failure is None:
            found.add(f"{where}:absent")
        elif end.layer is Step.DNS and not any(self._dns_alike(end)):
            found.add(f"{where}:{OUTCOMES[Step.DNS].get(end.failure or '', end.failure)}")
        found.update(self._content_symptom(end))
        if not found and any(map(self._leads_to_unknown, self.routine.hops)):
            found.add("unknown_address")
        return tuple(sorted(found))

    def _dns_alike(self, end: End) -> Iterator[bool]:
        return (not self.routine.usable(theirs.addresses) for theirs in self.control_hops(end.hop))

    def _is_expected(self, hop: Hop, one: Endpoint) -> bool:
        is_family_fault = one.failure == Failure.NETWORK_UNREACHABLE or is_v6(one.address)
        if isinstance(one, TcpObservation) and is_family_fault and one.failure in _UNREACHABLE | LOCAL_FAULTS:
            return any(other.failure is None for other in hop.tcp)
        return False in [self.control_passed(control, hop, one) for control in self.controls_at(hop)]

    def _content_symptom(self, end: End) -> Iterator[str]:
        response = end.hop.response
        if not end.complete or end.layer is not Step.HTTP or response is None:
            return
        theirs = [one.response for one in self.control_hops(end.hop) if one.response is not None]
        expectation, host = self.context.expectation, end.hop.place.host
        if not meets(response, expectation, host):
            # Nothing more can be learned of a challenge: the server asks for a person.
            challenged = self._over_verified_tls(self.routine) and is_challenge(response, self.context.bodies)
            alike = any(one.status_code == response.status_code and not meets(one, expectation, host) for one in theirs)
            if not challenged and not alike:
                yield f"{end.hop.index}:http:status:{response.status_code}"
        elif self._comparison(self.routine) not in {None, Comparison.SAME}:
            yield f"{end.hop.index}:http:differs"
        if any(self.serves_block_page(hop) or self._shows(hop, 1) for hop in self.routine.hops):
            yield f"{end.hop.index}:http:block_page"

    def _leads_to_unknown(self, hop: Hop) -> bool:
        """Tell whether a name leads to addresses that neither the controls nor, for want of them, history know."""
        ours = self.routine.usable(hop.addresses)
        if not ours or hop.place.is_literal:
            return False
        theirs = frozenset(address for one in self.control_hops(hop) for address in one.addresses)
        known = theirs | self.context.known_addresses
        return bool(known) and known.isdisjoint(ours) and not self._networks(ours) & self._networks(known)


def _verified(observations: Iterable[Observation], host: str, purposes: frozenset[Purpose]) -> Iterator[str]:
    return (
        one.address
        for one in observations
        if isinstance(one, TlsObservation)
        and one.verified
        and one.purpose in purposes
        and (one.server_name or "").casefold().rstrip(".") == host
    )


def _defects(one: TlsObservation) -> set[str]:
    return {*one.certificate_failures, *((one.failure,) if one.failure else ())}


def _is_answered(one: Observation) -> bool:
    """Tell whether any TLS or HTTP answer came, whatever it said."""
    match one:
        case TlsObservation():
            return bool(one.chain) or (one.detail is not None and one.detail.alert is not None)
        case HttpObservation():
            return one.status_code is not None
        case _:
            return False


def _server(resolver: str) -> str:
    """Return the address part of a resolver's URL: what follows `@`, else its host."""
    pinned = resolver.rpartition("@")[2] if "@" in resolver else resolver.partition("://")[2].partition("/")[0]
    return pinned if pinned.count(":") > 1 and not pinned.startswith("[") else pinned.partition(":")[0].strip("[]")


def _aliases(hop: Hop) -> set[str]:
    """Return the names that the answers lead through, in small letters."""
    return {
        answer.value.removesuffix(".").lower() for one in hop.dns for answer in one.answers if answer.type == "CNAME"
    }
