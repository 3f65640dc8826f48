"""What fails at the platform's own addresses, and whether the name, the address or the port sets it off."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from monitor.classify.evidence import AT_ONCE, OWN_NAME, STEADY_PASSES, UNREACHABLE, defects, is_answered
from monitor.classify.mechanisms import LAYERS, Mechanism, outcome_of, passed
from monitor.classify.path import Endpoint, is_v6
from monitor.model.failure import Failure
from monitor.model.observation import HttpObservation, Purpose, Step, TcpObservation, TlsObservation, step_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from monitor.classify.facts import Facts
    from monitor.classify.path import Hop
    from monitor.model.observation import Observation

# What makes a certificate somebody else's.
_FOREIGN: Final = frozenset({Failure.SSL_UNKNOWN_AUTHORITY, Failure.SSL_INVALID_HOSTNAME})
_HARMLESS: Final = frozenset({Purpose.HARMLESS_NAME, Purpose.NO_NAME})
# A stranger's server may turn an unknown name away with an alert; it cannot cut it off just as the path did.
_CUTS: Final = frozenset({"reset", "eof", "timeout"})


def differences(facts: Facts) -> tuple[Mechanism, ...]:
    """Return the steps that fail here with the target's name at its own addresses, and do not fail elsewhere.

    "Elsewhere" is a control that passed the step, or the same place with another name; a control that fails
    alike excludes both.
    """
    found = {
        mechanism
        for hop in facts.path.hops
        for one, outcome in _failures_at(facts, hop)
        if (mechanism := _difference(facts, hop, one, outcome)) is not None
    }
    return tuple(
        sorted(found, key=lambda one: (one.hop, LAYERS.index(one.layer), one.outcome, one.trigger, not one.on_path))
    )


def _difference(facts: Facts, hop: Hop, one: Endpoint, outcome: str) -> Mechanism | None:
    passes = [facts.control_passed(control, hop, one) for control in facts.controls_at(hop)]
    if False in passes:
        return None
    trigger = _trigger(facts, hop, one, outcome)
    if trigger not in {"sni", "host"} and (
        not (True in passes and facts.is_trusted(hop, one.address)) or _is_unsteady(facts, hop, one, outcome)
    ):
        return None
    on_path = one.purpose is not Purpose.ADDRESS_CHECK and one.address in hop.places
    return Mechanism(step_of(one), outcome, hop.index, trigger, on_path)


def _failures_at(facts: Facts, hop: Hop) -> Iterator[tuple[Endpoint, str]]:
    own = [
        one for one in facts.evidence if isinstance(one, Endpoint) and one.hop == hop.index and one.purpose in OWN_NAME
    ]
    worked = {(step_of(one), one.address, one.port) for one in own if passed(one)}
    for one in own:
        outcome = outcome_of(one)
        if (
            outcome is not None
            and one.purpose is not Purpose.RETRY
            and (step_of(one), one.address, one.port) not in worked
            and (hop.is_by_name or not facts.is_bogon(one.address))
            and not _is_masked(facts, one)
            and not facts.is_suspect(hop, one.address)
        ):
            yield one, outcome


def _is_unsteady(facts: Facts, hop: Hop, one: Endpoint, outcome: str) -> bool:
    """Tell whether a place may cut connections at once now and then, whoever opens them: that is overload.

    To exclude it takes as many failures here, and as many passes at the controls, as it takes to show a name.
    """
    if outcome not in AT_ONCE or isinstance(one, TcpObservation) or not facts.context.has_retries:
        return False
    there = [
        other
        for other in facts.evidence
        if isinstance(other, Endpoint) and (other.hop, other.address, other.port) == (one.hop, one.address, one.port)
    ]
    if is_silenced(there):
        return False
    alike = [other for other in there if step_of(other) is step_of(one)]
    failures = [other for other in alike if other.purpose in OWN_NAME and outcome_of(other) is not None]
    beneath = [other for other in there if isinstance(other, TlsObservation) and other.purpose in OWN_NAME]
    theirs = [
        other for control in facts.controls_at(hop) for other in facts.control_looks(control, hop, one) if passed(other)
    ]
    return (
        len(failures) <= STEADY_PASSES
        or len(theirs) < STEADY_PASSES
        or any(other.purpose in _HARMLESS and is_answered(other) for other in alike)
        or (isinstance(one, HttpObservation) and one.is_tls and any(outcome_of(other) in AT_ONCE for other in beneath))
    )


def is_silenced(looks: Sequence[Endpoint]) -> bool:
    """Tell whether a place that answered goes silent: residual blocking does that, overload ends connections."""
    return any(isinstance(one, TcpObservation) and outcome_of(one) == "timeout" for one in looks)


def _is_masked(facts: Facts, one: Endpoint) -> bool:
    """Tell whether a failed connection may be the family's fault: IPv6 is broken on many lines.

    A family without a route is nobody's doing either; any other unreachable IPv4 address counts, since the line was
    found to work.
    """
    if not isinstance(one, TcpObservation) or one.failure not in UNREACHABLE:
        return False
    v6 = is_v6(one.address)
    works = any(
        isinstance(other, TcpObservation) and other.failure is None and is_v6(other.address) == v6
        for other in facts.evidence
    )
    return not works and (v6 or one.failure == Failure.NETWORK_UNREACHABLE)


def _trigger(facts: Facts, hop: Hop, one: Endpoint, outcome: str) -> str:
    match one:
        case TcpObservation():
            return "address" if _all_ports_fail(facts, hop, one) else ""
        case TlsObservation() if one.server_name is not None:
            return "sni" if _is_shown_by_name(facts, hop, one, outcome) else ""
        case HttpObservation() if not one.is_tls:
            return "host" if _is_shown_by_name(facts, hop, one, outcome) else ""
        case _:
            return ""


def _is_shown_by_name(facts: Facts, hop: Hop, one: Endpoint, outcome: str) -> bool:
    """Tell whether a run showed that the name sets the failure off, here or, earlier, at another of its addresses.

    A delivery network hands out a new address every minute; a filter of names meets the name at each of them.
    """
    if any(_other_name_passes(run, hop, one, outcome) for run in facts.runs()):
        return True
    return facts.isolation is not None and any(
        _other_name_passes(facts.isolation.routine.observations, hop, sibling, outcome)
        for sibling in facts.isolation.routine.observations
        if isinstance(sibling, Endpoint)
        and (sibling.hop, sibling.port) == (hop.index, one.port)
        and step_of(sibling) is step_of(one)
        and sibling.purpose in OWN_NAME
        and outcome_of(sibling) == outcome
    )


def _other_name_passes(run: tuple[Observation, ...], hop: Hop, one: Endpoint, outcome: str) -> bool:
    """Tell whether, in one run, the target's name fails twice while a harmless one passes.

    At the same address the harmless name must pass between two failures, so that neither an outage that ended nor
    residual blocking that began can pass for a filter of names.
    """
    alike = [
        other
        for other in run
        if isinstance(other, Endpoint) and other.hop == hop.index and step_of(other) is step_of(one)
    ]
    here = [other for other in alike if (other.address, other.port) == (one.address, one.port)]
    own = [other for other in here if other.purpose in OWN_NAME]
    failures = [other.started_seconds for other in own if outcome_of(other)]
    if len(failures) < 2 or any(passed(other) for other in own):
        return False
    first, last = min(failures), max(failures)
    needed = STEADY_PASSES if outcome in AT_ONCE else 1
    for purpose in _HARMLESS:
        harmless_here = [other for other in here if other.purpose is purpose]
        between = [other for other in harmless_here if is_answered(other) and first < other.started_seconds < last]
        is_mixed = outcome in AT_ONCE and any(outcome_of(other) == outcome for other in harmless_here)
        if len(between) >= needed and len(failures) > needed and not is_mixed:
            return True
    # Minutes after the last hit, so that no residual blocking is left: what passes then and fails right after is named.
    if any(
        other.purpose is Purpose.RESIDUAL and is_answered(other) and other.started_seconds < first for other in here
    ):
        return True
    return is_cut_elsewhere(alike, outcome)


def is_cut_elsewhere(looks: Sequence[Endpoint], outcome: str) -> bool:
    """Tell whether the target's name is cut at an address that has nothing to do with it, where another passes."""
    harmless = {
        (other.address, other.port)
        for other in looks
        if other.purpose is Purpose.UNRELATED_HARMLESS and is_answered(other)
    }
    return any(
        other.purpose is Purpose.UNRELATED_ADDRESS
        and (other.address, other.port) in harmless
        and outcome in _CUTS
        and outcome_of(other) == outcome
        for other in looks
    )


def _all_ports_fail(facts: Facts, hop: Hop, one: TcpObservation) -> bool:
    """Tell whether an address is blocked as such: other ports that a control reaches fail, or a sibling works."""
    tried = [other for other in facts.evidence if isinstance(other, TcpObservation) and other.hop == hop.index]
    here = [other for other in tried if other.address == one.address]
    if any(other.failure is None for other in here):
        return False
    if any(
        True in [facts.control_passed(control, hop, other) for control in facts.controls_at(hop)]
        for other in here
        if other.port != one.port
    ):
        return True
    return any(other.failure is None and other.port == one.port and other.purpose in OWN_NAME for other in tried)


def other_address_works(facts: Facts) -> bool:
    """Whether an address that the system resolver did not give proves to be the platform's from here."""
    hop = facts.end.hop
    return not facts.view(hop).verified_here <= set(hop.addresses)


def substitutes(facts: Facts) -> tuple[TlsObservation, ...]:
    """Return the handshakes where the path ended with another certificate than a control saw at that address."""
    hop = facts.end.hop
    if not facts.failed or facts.end.layer is not Step.TLS:
        return ()
    theirs = [
        other
        for control in facts.controls_at(hop)
        for other in control.observations
        if isinstance(other, TlsObservation) and other.hop == hop.index and other.chain
    ]
    seen_there = {other.chain[0] for other in theirs}
    genuine_at = {other.address for other in theirs if other.verified}
    # An expired certificate alone may be the platform's own at one of its places.
    return tuple(
        one
        for one in hop.tls
        if one.chain
        and one.failure is not None
        and _FOREIGN & defects(one)
        and one.address in genuine_at
        and one.chain[0] not in seen_there
    )
