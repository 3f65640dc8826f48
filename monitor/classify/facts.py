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

import msgspec

from monitor.classify import connections, http3, lookups, throttling
from monitor.classify.content import Comparison, block_page, compare, is_challenge, meets, same_body
from monitor.classify.context import Context
from monitor.classify.evidence import AT_CONTROL, ENCRYPTED, NO_SUCH_NAME, OWN_NAME, ROUTINE, UNREACHABLE
from monitor.classify.fingerprints import unvetoed
from monitor.classify.mechanisms import LAYERS, OUTCOMES, Mechanism, outcome_of, passed
from monitor.classify.path import End, Endpoint, Hop, Path, dns_failure, is_v6
from monitor.model.bogon import is_bogon
from monitor.model.failure import LOCAL_FAULTS, Failure
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

    def is_bogon(self, address: str) -> bool:
        """Tell whether no public site can have an address."""
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
        if not path.end.complete or not (path.last.is_vouched or any(one.verified for one in path.last.tls)):
            return False
        return all(
            hop.is_vouched or any(one.verified for one in hop.tls) or self._leads_home(hop, onward)
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
        if earlier.routine.end.hop.place != self.routine.end.hop.place:
            return None  # a redirect led elsewhere, to another name
        # What was shown at one address says nothing of another, so a name that leads elsewhere now is isolated anew;
        # unless its name was shown to set it off, which holds wherever the name leads.
        if any(one.trigger in {"sni", "host"} for one in earlier.differences):
            return earlier
        end = self.routine.end
        failed = {one.address for one in end.hop.endpoints if one.failure is not None and step_of(one) is end.layer}
        failed_then = {
            one.address
            for one in earlier.measurement.observations
            if isinstance(one, Endpoint) and one.failure is not None and step_of(one) is end.layer
        }
        return earlier if not failed or failed & failed_then else None

    @cached_property
    def evidence(self) -> tuple[Observation, ...]:
        """The observations of this round and the follow-ups of the run that stands for it."""
        if self.isolation is None:
            return self.routine.observations
        earlier = self.isolation.routine.observations
        return (*self.routine.observations, *(one for one in earlier if one.purpose not in ROUTINE))

    def runs(self) -> Iterator[tuple[Observation, ...]]:
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

    @cached_property
    def is_persistent(self) -> bool:
        """Whether what ended the path was tried again and failed again."""
        end = self.end
        return any(
            one.purpose is Purpose.RETRY
            and one.hop == end.hop.index
            and step_of(one) is end.layer
            and not self._is_cured(one, end.hop)
            for one in self.evidence
        )

    def _is_cured(self, one: Observation, hop: Hop) -> bool:
        if isinstance(one, DnsObservation):
            return one.failure is None and bool(self.path.usable(one.addresses))
        if not isinstance(one, Endpoint) or one.address not in hop.places or one.port != hop.place.port:
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
                and not path.end.layers.isdisjoint(end.layers)
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

    @cached_property
    def controls_disagree(self) -> bool:
        """Whether one control got no further than the place where our path ended, and another one did."""
        if True in self.control_alike and False in self.control_alike:
            return True
        ours = self.end.hop.index, LAYERS.index(self.end.layer)
        stuck = {
            not path.end.complete
            and path.end.failure is not None
            and (path.end.hop.index, LAYERS.index(path.end.layer)) <= ours
            for path in self.controls
        }
        return self.failed and len(stuck) > 1

    def control_passed(self, control: Path, hop: Hop, one: Endpoint) -> bool | None:
        """Tell whether a control passed a step, at this address if it tried it, else at its own; None: not tried."""
        looks = self.control_looks(control, hop, one)
        # A place that fails the control now and then is unwell, and proves nothing against the network here.
        return any(map(passed, looks)) and not any(map(outcome_of, looks)) if looks else None

    def control_looks(self, control: Path, hop: Hop, one: Endpoint) -> list[Endpoint]:
        """Return a control's looks at a step, at this address if it tried it, else on its own way."""
        tried = [
            theirs
            for theirs in control.observations
            if isinstance(theirs, Endpoint)
            and theirs.hop == hop.index
            and theirs.purpose in AT_CONTROL
            and theirs.port == one.port
            and step_of(theirs) is step_of(one)
        ]
        return [theirs for theirs in tried if theirs.address == one.address] or [
            theirs for theirs in tried if theirs.purpose in ROUTINE
        ]

    @cached_property
    def comparison(self) -> Comparison | None:
        """How the final cleartext response compares with every control's; None if there is none to compare."""
        return self._comparison(self.path)

    def _comparison(self, path: Path) -> Comparison | None:
        response = path.last.response
        if response is None or response.is_tls or not path.end.complete:
            return None
        suspicious = any(map(unvetoed, block_page(response, self.context.bodies, self.context.fingerprints)))
        found = set()
        for hop in self.control_hops(path.last):
            theirs = hop.response
            if theirs is not None and theirs.failure is None:
                compared = compare(response, theirs, suspicious=suspicious)
                is_idle = compared is Comparison.MODIFIED and not self._speaks_against(hop, theirs, path.last)
                found.add(Comparison.UNCLEAR if is_idle else compared)
        if not found:
            return None
        return found.pop() if len(found) == 1 else Comparison.UNCLEAR

    def _speaks_against(self, hop: Hop, theirs: HttpObservation, ours: Hop) -> bool:
        """Tell whether what a control was served can speak against another page served here.

        Its own network may replace pages too: a known signature shows it, and so does an address that did not prove
        itself at the control while ours did here.
        """
        is_proven_here, is_proven_there = (any(one.verified for one in each.handshakes) for each in (ours, hop))
        is_replaced = any(map(unvetoed, block_page(theirs, self.context.bodies, self.context.fingerprints)))
        return not is_replaced and (is_proven_there or not is_proven_here)

    # --- Trust

    def view(self, hop: Hop) -> View:
        """Return what untouched places know of a hop's host."""
        if hop.index not in self._views:
            self._views[hop.index] = self._view(hop)
        return self._views[hop.index]

    def _view(self, hop: Hop) -> View:
        theirs = self.control_hops(hop)
        encrypted = [one for one in self.other_resolvers(hop) if one.transport in ENCRYPTED]
        here = frozenset(_verified(self.evidence, hop.place.host, OWN_NAME))
        there = (_verified(path.observations, hop.place.host, AT_CONTROL) for path in self.controls)
        return View(
            control=frozenset(self.path.usable(address for one in theirs for address in one.addresses)),
            encrypted=frozenset(self.path.usable(address for one in encrypted for address in one.addresses)),
            verified=here.union(*there),
            verified_here=here,
            has_reference=any(one.addresses or dns_failure(one.dns) in NO_SUCH_NAME for one in theirs)
            or any(one.failure is None or one.failure in NO_SUCH_NAME for one in encrypted),
        )

    def is_trusted(self, hop: Hop, address: str) -> bool:
        """Tell whether an address is the platform's by the word of a control or by its own proof."""
        view = self.view(hop)
        return hop.place.is_literal or address in view.control or address in view.verified

    def is_suspect(self, hop: Hop, address: str) -> bool:
        """Tell whether an address is likely not the platform's; of a name looked up elsewhere nobody can say so."""
        if hop.is_by_name:
            return False
        view = self.view(hop)
        if not view.has_reference or self.is_trusted(hop, address) or address in view.encrypted:
            return False
        asn = self.context.asn_of.get(address)
        if asn is None:
            # Where no certificate is shown, an address has no way of its own to prove whose it is.
            return not self.context.expectation.tcp_only
        return asn not in self.networks(view.reference)

    def networks(self, addresses: Iterable[str]) -> set[int]:
        """Return the AS numbers of addresses, as far as they are known."""
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
        return lookups.dns_mechanisms(self)

    # --- Connections

    @cached_property
    def differences(self) -> tuple[Mechanism, ...]:
        """Steps that fail here with the target's name at the platform's own addresses, and do not fail elsewhere."""
        return connections.differences(self)

    @cached_property
    def substitutes(self) -> tuple[TlsObservation, ...]:
        """Handshakes where the path ended with another certificate than the genuine one a control saw there."""
        return connections.substitutes(self)

    # --- HTTP/3 and throughput

    @cached_property
    def quic_mechanisms(self) -> tuple[Mechanism, ...]:
        """A dead HTTP/3 beside the ordinary way; never a reason to call anything blocked."""
        return http3.quic_mechanisms(self)

    @cached_property
    def is_slow(self) -> bool:
        """Whether the response came so slowly that it calls for a comparison of transfers."""
        return throttling.is_slow(self)

    @cached_property
    def throttling(self) -> throttling.Throttling:
        """What the transfers of this round, or of the deep run that stands for it, show."""
        return throttling.throttling(self)

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
        telling = {row.id: row for row in unvetoed(rows) if row.confirms(self.context.country)}
        for theirs in self.control_hops(hop) if telling else ():
            if theirs.response is None:
                continue
            shown_there = {row.id for row in block_page(theirs.response, bodies, self.context.fingerprints)[where]}
            # The body of a control's response is not always kept; its digest is.
            same = same_body(theirs.response, hop.response)
            telling = {
                name: row
                for name, row in telling.items()
                if name not in shown_there and not (same and row.location == "body")
            }
        return bool(telling)

    # --- The whole

    @cached_property
    def mechanisms(self) -> tuple[Mechanism, ...]:
        """Everything that was shown to be wrong at DNS, on the way to the platform's own addresses, and beside it."""
        return (*self.dns_mechanisms, *self.differences, *self.quic_mechanisms)

    @cached_property
    def symptom(self) -> tuple[str, ...]:
        """What is unexpected about the routine run, sorted; the same trouble gives the same strings every time.

        Drawn from the routine steps alone, so that the deep run which explains a symptom shows that same symptom.
        What the controls show as well is expected.
        """
        found: set[str] = set()
        for hop in self.routine.hops:
            if any(map(self.is_bogon, hop.addresses)) and not any(
                any(map(self.is_bogon, theirs.addresses)) for theirs in self.control_hops(hop)
            ):
                found.add(f"{hop.index}:dns:bogon")
            found.update(
                f"{hop.index}:{step_of(one)}:{one.port}:{outcome_of(one) or one.failure}"
                for one in hop.endpoints
                if one.failure is not None and not self._is_slow(one) and not self._is_expected(hop, one)
            )
            if hop.quic and not http3.is_dead_at_control(self, hop):
                found.update(f"{hop.index}:quic:{outcome_of(one)}" for one in hop.quic if outcome_of(one) is not None)
        end = self.routine.end
        where = f"{end.hop.index}:{end.layer}"
        if not end.complete and end.failure is None:
            found.add(f"{where}:absent")
        elif end.layer is Step.DNS and not any(self._dns_alike(end)):
            found.add(f"{where}:{OUTCOMES[Step.DNS].get(end.failure or '', end.failure)}")
        if self.is_slow:
            found.add(f"{end.hop.index}:http:slow")
        found.update(self._content_symptom(end))
        if not found and any(map(self._leads_to_unknown, self.routine.hops)):
            found.add("unknown_address")
        return tuple(sorted(found))

    def _is_slow(self, one: Endpoint) -> bool:
        """Tell whether a failure is only slowness, which is looked into by itself."""
        return isinstance(one, HttpObservation) and throttling.is_still_receiving(one)

    def _dns_alike(self, end: End) -> Iterator[bool]:
        return (not self.routine.usable(theirs.addresses) for theirs in self.control_hops(end.hop))

    def _is_expected(self, hop: Hop, one: Endpoint) -> bool:
        is_family_fault = one.failure == Failure.NETWORK_UNREACHABLE or is_v6(one.address)
        if isinstance(one, TcpObservation) and is_family_fault and one.failure in UNREACHABLE | LOCAL_FAULTS:
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
        return bool(known) and known.isdisjoint(ours) and not self.networks(ours) & self.networks(known)


def _verified(observations: Iterable[Observation], host: str, purposes: frozenset[Purpose]) -> Iterator[str]:
    return (
        one.address
        for one in observations
        if isinstance(one, TlsObservation)
        and one.verified
        and one.purpose in purposes
        and (one.server_name or "").casefold().rstrip(".") == host
    )
