"""The rules, first match wins; ids are stored and never change meaning (docs/verdicts.md is drawn from these rows).

Any change to a row or to what its predicate means raises `RULES_VERSION`; a new meaning gets a new id.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from monitor.classify.connections import other_address_works
from monitor.classify.content import Comparison, is_challenge, refuses_place, same_body
from monitor.classify.evidence import SMALL_LOOKS, defects
from monitor.classify.facts import Facts
from monitor.classify.lookups import dns_isolated, impostor
from monitor.classify.mechanisms import Mechanism, passed
from monitor.classify.path import Hop
from monitor.classify.throttling import NEEDED
from monitor.model.failure import LOCAL_FAULTS, Failure
from monitor.model.observation import Purpose, Step, step_of
from monitor.model.vantage import VantageState
from monitor.model.verdict import Confidence, Reason, Status

RULES_VERSION: Final = 5

OF_STATE: Final = {
    VantageState.OFFLINE: Reason.VANTAGE_OFFLINE,
    VantageState.CAPTIVE: Reason.CAPTIVE_PORTAL,
    VantageState.DNS_BROKEN: Reason.VANTAGE_DNS_BROKEN,
    VantageState.TLS_INTERCEPTED: Reason.TLS_INTERCEPTED,
    VantageState.MOVED: Reason.VANTAGE_MOVED,
    VantageState.DEGRADED: Reason.VANTAGE_DEGRADED,
}
_VANTAGE_FAULTS: Final = frozenset({*OF_STATE.values(), Reason.VANTAGE_UNREADY, Reason.QUOTA_EXHAUSTED})

Mechanisms = tuple[Mechanism, ...]


@dataclass(frozen=True)
class Rule:
    """One row. `needs` tells a reader what must have been seen.

    `because` is a template: {host} the host at fault, {step} the step where the path ended and its host, {words} what
    happens there, {findings} what was seen although access works, {why} the reason, {trouble} how the path ended,
    {gone} that the name exists nowhere else.
    """

    id: str
    when: Callable[[Facts], bool]
    status: Status
    needs: str
    because: str
    confidence: Confidence | Callable[[Facts], Confidence] | None = None
    reason: Callable[[Facts], Reason] | None = None
    mechanisms: Callable[[Facts], Mechanisms] = lambda _: ()
    is_our_fault: bool = False  # says nothing about any layer


def vantage_fault(facts: Facts) -> Reason | None:
    """Return what was wrong with the vantage before or after the round, or None; a failed proxy has its own row."""
    context = facts.context
    if context.fault is Reason.PROXY_FAILED:
        return None
    if context.fault in _VANTAGE_FAULTS:
        return context.fault
    for state in (context.state_before, context.state_after) if context.is_checked else ():
        if state is not VantageState.ONLINE:
            return Reason.VANTAGE_UNREADY if state is None else OF_STATE[state]
    return None


def _lands_at(*outcomes: str) -> Callable[[Facts], bool]:
    return lambda facts: any(one.on_path and one.outcome in outcomes for one in facts.dns_mechanisms)


def _bogon_only(facts: Facts) -> bool:
    last = facts.end.hop.index
    # A router that answers for a line being set up gives bogons for a moment.
    return (
        facts.failed
        and not facts.is_transient
        and any(one.on_path and one.outcome == "bogon" and one.hop == last for one in facts.dns_mechanisms)
    )


def _impostor(facts: Facts) -> Confidence | None:
    return None if facts.end.hop.place.is_literal or not facts.end.hop.dns else impostor(facts, facts.end.hop)


def _refused(facts: Facts) -> bool:
    response, bodies = facts.differing_response, facts.context.bodies
    return (
        response is not None
        and refuses_place(response, bodies)
        and not is_challenge(response, bodies)
        and not any(_refuses_control(facts, hop) for hop in facts.control_hops(facts.end.hop))
    )


def _refuses_control(facts: Facts, hop: Hop) -> bool:
    ours = facts.response
    return hop.response is not None and (
        refuses_place(hop.response, facts.context.bodies)
        or (ours is not None and hop.response.status_code == ours.status_code and same_body(hop.response, ours))
    )


def _refused_confidence(facts: Facts) -> Confidence:
    response = facts.response
    served = any(
        hop.response is not None and 200 <= (hop.response.status_code or 0) <= 299
        for hop in facts.control_hops(facts.end.hop)
    )
    is_451 = response is not None and response.status_code == 451
    return Confidence.CONFIRMED if is_451 and served else Confidence.LIKELY


def _challenged(facts: Facts) -> bool:
    response = facts.differing_response
    return response is not None and is_challenge(response, facts.context.bodies)


def _reaches_own_address(facts: Facts) -> bool:
    hop = facts.end.hop
    return not hop.is_by_name and any(one.failure is None and not facts.is_suspect(hop, one.address) for one in hop.tcp)


def _content_expected(facts: Facts) -> bool:
    expectation, response = facts.context.expectation, facts.response
    declares = expectation.title is not None or expectation.text is not None
    return response is not None and not response.is_tls and declares and facts.meets_expectation


def _control_fails_too(facts: Facts) -> bool:
    return bool(facts.control_alike) and all(facts.control_alike)


def _isolated(facts: Facts) -> bool:
    end = facts.end
    return facts.failed and any(
        one.trigger in {"sni", "host"} and one.layer is end.layer and one.hop == end.hop.index
        for one in facts.differences
    )


def _dns_isolated(facts: Facts) -> bool:
    hop = facts.end.hop
    return (
        facts.failed
        and not facts.controls_at(hop)
        and any(one.on_path and one.hop == hop.index for one in facts.dns_mechanisms)
        and dns_isolated(facts, hop)
    )


def _loses_long_packets(facts: Facts) -> bool:
    end = facts.end
    looks = [
        one
        for one in facts.evidence
        if one.purpose is Purpose.SMALL_SEGMENTS and one.hop == end.hop.index and step_of(one) is end.layer
    ]
    return facts.failed and len(looks) >= SMALL_LOOKS and all(map(passed, looks)) and not _control_fails_too(facts)


def _differs(facts: Facts) -> bool:
    hop = facts.end.hop
    if not facts.failed or not facts.controls_at(hop) or facts.controls_disagree:
        return False
    if facts.context.has_retries and not facts.is_persistent:
        return False
    here = [one for one in (*facts.dns_mechanisms, *facts.differences) if one.hop == hop.index]
    return any(one.on_path and one.layer in {Step.DNS, facts.end.layer} for one in here) or (
        any(one.layer is not Step.DNS for one in here)
        and not other_address_works(facts)
        and not any(facts.is_trusted(hop, address) for address in hop.addresses)
    )


def _modified(facts: Facts) -> bool:
    response = facts.response
    return (
        response is not None
        and facts.comparison is Comparison.MODIFIED
        and not facts.end.hop.is_by_name
        and not facts.is_suspect(facts.end.hop, response.address)
    )


def _finding_confidence(facts: Facts) -> Confidence:
    settled = any(one.trigger in {"sni", "host"} or one.outcome == "bogon" for one in facts.mechanisms)
    return Confidence.CONFIRMED if settled else Confidence.LIKELY


def _why_insufficient(facts: Facts) -> Reason:
    if facts.controls_disagree:
        return Reason.CONTROL_DISAGREES
    if facts.response is not None:
        return Reason.CONTENT_UNCLEAR
    return Reason.INSUFFICIENT_DATA


def _shown(facts: Facts) -> Mechanisms:
    return facts.mechanisms


def _as_well(own: Callable[[Facts], Mechanism | None]) -> Callable[[Facts], Mechanisms]:
    def collect(facts: Facts) -> Mechanisms:
        found = own(facts)
        return (*facts.mechanisms, found) if found is not None else facts.mechanisms

    return collect


def _slowed(facts: Facts) -> Mechanism:
    return Mechanism(Step.THROUGHPUT, "throttled", facts.end.hop.index, "sni" if facts.throttling.is_by_name else "")


def _substitution(facts: Facts) -> Mechanism:
    return Mechanism(Step.TLS, "certificate_substituted", facts.end.hop.index)


def _substitution_confidence(facts: Facts) -> Confidence:
    """One address may be many servers: of a good certificate for another name one of them may be at fault."""
    is_forged = any(Failure.SSL_UNKNOWN_AUTHORITY in defects(one) for one in facts.substitutes)
    return Confidence.CONFIRMED if is_forged else Confidence.LIKELY


def _page_modified(facts: Facts) -> Mechanism:
    return Mechanism(Step.HTTP, "modified", facts.end.hop.index)


RULES: Final = (
    Rule(
        id="vantage_not_ready",
        when=lambda facts: vantage_fault(facts) is not None,
        status=Status.INCONCLUSIVE,
        reason=lambda facts: vantage_fault(facts) or Reason.VANTAGE_UNREADY,
        needs="A sanity check of the vantage before or after the round was not `online`, or is missing.",
        because="The vantage itself was not in order ({why}), so this round says nothing about {host}.",
        is_our_fault=True,
    ),
    Rule(
        id="proxy_failed",
        when=lambda facts: facts.context.fault is Reason.PROXY_FAILED,
        status=Status.INCONCLUSIVE,
        reason=lambda _: Reason.PROXY_FAILED,
        needs="The proxy or tunnel that the vantage measures through failed its own test.",
        because="The proxy of this vantage failed, so this round says nothing about {host}.",
        is_our_fault=True,
    ),
    Rule(
        id="interrupted",
        when=lambda facts: facts.measurement.interrupted or facts.context.fault is Reason.INTERRUPTED,
        status=Status.INCONCLUSIVE,
        reason=lambda _: Reason.INTERRUPTED,
        needs="The host was suspended, or the run was cancelled, before it was complete.",
        because="The measurement was interrupted on our side, so this round says nothing about {host}.",
        is_our_fault=True,
    ),
    Rule(
        id="internal_error",
        when=lambda facts: facts.context.fault is not None,
        status=Status.INCONCLUSIVE,
        reason=lambda facts: facts.context.fault or Reason.INTERNAL_ERROR,
        needs="The monitor itself made a mistake.",
        because="The monitor itself failed, so this round says nothing about {host}.",
        is_our_fault=True,
    ),
    Rule(
        id="local_fault",
        when=lambda facts: not facts.end.complete and facts.end.failure in LOCAL_FAULTS,
        status=Status.INCONCLUSIVE,
        reason=lambda _: Reason.LOCAL_FAULT,
        needs="The path ended in an error of the vantage's own system (a local errno), never evidence.",
        because="The vantage's own system could not carry out {step}.",
    ),
    Rule(
        id="dns_blockpage_address",
        when=_lands_at("blockpage_address"),
        status=Status.BLOCKED,
        confidence=Confidence.CONFIRMED,
        mechanisms=_shown,
        needs="The system resolver gives a listed block-page address, or one unknown to the control (without a control:"
        " to encrypted DNS) that serves a known block page.",
        because="For {host}, {words}{gone}.",
    ),
    Rule(
        id="dns_bogon",
        when=_bogon_only,
        status=Status.BLOCKED,
        confidence=Confidence.CONFIRMED,
        mechanisms=_shown,
        needs="The system resolver gives bogons only, and the control (without one: encrypted DNS) none. A mixed answer"
        " is a finding.",
        because="For {host}, {words}; elsewhere the answer is another.",
    ),
    Rule(
        id="certificate_substituted",
        when=lambda facts: bool(facts.substitutes),
        status=Status.BLOCKED,
        confidence=_substitution_confidence,
        mechanisms=_as_well(_substitution),
        needs="A certificate that does not verify, at an address where a control verified another one this round."
        " Confirmed if no known authority signed it; one that is good for another name may be a server's mistake.",
        because="For {host}, {words}: the control sees the genuine one at the same address.",
    ),
    Rule(
        id="dns_impostor",
        when=lambda facts: _impostor(facts) is not None,
        status=Status.BLOCKED,
        confidence=lambda facts: _impostor(facts) or Confidence.LIKELY,
        mechanisms=_shown,
        needs="A suspect address shows a certificate of an unknown authority or for another name, while a trusted"
        " address verifies. Confirmed if that certificate claims the target's name under an authority nobody trusts.",
        because="For {host}, {words}: the host there cannot prove that it is the platform, while the true one can.",
    ),
    Rule(
        id="http_blockpage",
        when=lambda facts: facts.block_page is not None,
        status=Status.BLOCKED,
        confidence=Confidence.CONFIRMED,
        mechanisms=_as_well(lambda facts: facts.block_page),
        needs="A cleartext response, or the redirect it gives, shows a known signature that no veto and no control's"
        " response shows too.",
        because="For {host}, {words}.",
    ),
    Rule(
        id="throttled",
        when=lambda facts: facts.throttling.is_shown,
        status=Status.THROTTLED,
        confidence=lambda facts: Confidence.CONFIRMED if facts.throttling.is_by_name else Confidence.LIKELY,
        mechanisms=_as_well(_slowed),
        needs="In three of five transfers of one deep run the target came ten times slower than an innocuous file over"
        " the same line and than to the control, each time with 64 KiB, ten seconds or all of it seen, and more slowly"
        " than distance explains. Below 16 KiB: the waiting for it, in five of five. Confirmed if the same server was"
        " quick under a harmless name in between.",
        because="{host} can be reached, but {words}: an innocuous file over the same line and the same page at the"
        " control come at least ten times faster.",
    ),
    Rule(
        id="tls_refused",
        when=_refused,
        status=Status.WITHHELD,
        confidence=_refused_confidence,
        needs="Over verified TLS the server itself answers 451, or 403 with words about the visitor's country, and no"
        " control is told the same. Confirmed for 451 while a control is served.",
        because="{host} itself says, over a verified TLS connection, that it does not serve this place.",
    ),
    Rule(
        id="tls_challenge",
        when=_challenged,
        status=Status.INCONCLUSIVE,
        reason=lambda _: Reason.CHALLENGE,
        needs="Over verified TLS the server answers 429, or 403 or 503 with the marks of an anti-bot challenge.",
        because="{host} itself answers over a verified TLS connection but asks to prove that a person is there; the"
        " network let the connection through.",
    ),
    Rule(
        id="tls_success",
        when=lambda facts: facts.over_verified_tls and facts.meets_expectation,
        status=Status.ACCESSIBLE,
        confidence=_finding_confidence,
        mechanisms=_shown,
        needs="The path ends over verified TLS with what the target declares (for `expect: tls`, the handshake). A"
        " cleartext redirect on the way must stay with the site, lead to the declared final host, or be the control's"
        " way too.",
        because="{host} answered over a verified TLS connection as expected{findings}.",
    ),
    Rule(
        id="tls_server_differs",
        when=lambda facts: (
            facts.differing_response is not None and not _control_fails_too(facts) and not facts.is_transient
        ),
        status=Status.INCONCLUSIVE,
        reason=lambda _: Reason.SERVER_DIFFERS,
        needs="Over verified TLS the server answers otherwise than the target declares, also when asked again.",
        because="{host} itself answered over a verified TLS connection, but not as this target expects; the network let"
        " the connection through.",
    ),
    Rule(
        id="tcp_success",
        when=lambda facts: facts.end.complete and facts.end.layer is Step.TCP and _reaches_own_address(facts),
        status=Status.ACCESSIBLE,
        confidence=_finding_confidence,
        mechanisms=_shown,
        needs="The target demands no more than a connection (`expect: tcp`), and one was opened to an address that is"
        " not suspect.",
        because="A connection to {host} was opened, which is all that this target demands{findings}.",
    ),
    Rule(
        id="content_expected",
        when=_content_expected,
        status=Status.ACCESSIBLE,
        confidence=_finding_confidence,
        mechanisms=_shown,
        needs="A cleartext response shows the title or text that the target declares.",
        because="{host} served the declared page, in cleartext{findings}.",
    ),
    Rule(
        id="line_slow",
        when=lambda facts: not facts.end.complete and facts.is_slow and facts.throttling.line_slow >= NEEDED,
        status=Status.INCONCLUSIVE,
        reason=lambda _: Reason.VANTAGE_DEGRADED,
        needs="The response was cut by our deadline while bytes still came, and in three transfers an innocuous file"
        " came over the same line just as slowly.",
        because="The response of {host} was still coming when our time was up, and other things come just as slowly"
        " over this line.",
    ),
    Rule(
        id="transient",
        when=lambda facts: facts.is_transient,
        status=Status.INCONCLUSIVE,
        reason=lambda _: Reason.TRANSIENT,
        needs="What ended the path worked when tried again in the same round.",
        because="{step} failed once and worked when tried again, which decides nothing.",
    ),
    Rule(
        id="long_packets_lost",
        when=_loses_long_packets,
        status=Status.INCONCLUSIVE,
        reason=lambda _: Reason.LONG_PACKETS_LOST,
        needs="The handshake or the request was never answered, but twice of twice was when the server was asked to"
        " send small packets. A short answer to another name proves nothing then. A control that fails alike excludes"
        " it.",
        because="{step} is never answered in packets of the usual size but is in small ones: long packets get lost on"
        " the way, as where a link carries less than it says.",
    ),
    Rule(
        id="isolated_trigger",
        when=_isolated,
        status=Status.BLOCKED,
        confidence=Confidence.CONFIRMED,
        mechanisms=_shown,
        needs="The target's name fails at least twice while another name passes between (`.sni`, `.host`), at the same"
        " address or at an unrelated one, and no control fails alike. Where connections are ended at once, as by an"
        " overloaded server, it takes five failures around four passes, or an unrelated address.",
        because="For {host}, {words}, while another name passes.",
    ),
    Rule(
        id="dns_isolated",
        when=_dns_isolated,
        status=Status.BLOCKED,
        confidence=Confidence.LIKELY,
        mechanisms=_shown,
        needs="Without a control: the system answer fails twice, the same resolver answers a harmless name, and an"
        " address from encrypted DNS verifies here.",
        because="For {host}, {words}, while an address from encrypted DNS proves to be the platform's.",
    ),
    Rule(
        id="no_control",
        when=lambda facts: not facts.controls,
        status=Status.INCONCLUSIVE,
        reason=lambda _: Reason.NO_CONTROL,
        needs="No usable control vantage, and nothing above.",
        because="{trouble}, and without a control vantage a block cannot be told from an outage or a change.",
    ),
    Rule(
        id="content_same",
        when=lambda facts: facts.comparison is Comparison.SAME and facts.meets_expectation,
        status=Status.ACCESSIBLE,
        confidence=_finding_confidence,
        mechanisms=_shown,
        needs="A cleartext response equals that of every control: the digest, or two of length, headers and title.",
        because="{host} serves the same page here as to the control{findings}.",
    ),
    Rule(
        id="control_fails_too",
        when=_control_fails_too,
        status=Status.DOWN,
        needs="Every control that came to the same place fails there at the same hop and layer, or gets the same"
        " unexpected 5xx status.",
        because="{step} fails at the control too, so it is down rather than blocked.",
    ),
    Rule(
        id="differs",
        when=_differs,
        status=Status.BLOCKED,
        confidence=Confidence.LIKELY,
        mechanisms=_shown,
        needs="The name lookup, or any step at a trusted address, fails here, also when tried again, while every"
        " control that tried it passed. Where connections are ended at once it takes five failures here and four passes"
        " at the controls.",
        because="For {host}, {words}, while it works at the control.",
    ),
    Rule(
        id="http_modified",
        when=_modified,
        status=Status.BLOCKED,
        confidence=Confidence.LIKELY,
        mechanisms=_as_well(_page_modified),
        needs="A cleartext response from an address that is not suspect has the control's status, and of length,"
        " headers and title every one that can be compared, two at least, differs. A control that is shown a known"
        " block page, or whose address did not prove to be the site's while ours did, cannot say so.",
        because="For {host}, {words}.",
    ),
    Rule(
        id="insufficient",
        when=lambda _: True,
        status=Status.INCONCLUSIVE,
        reason=_why_insufficient,
        needs="Anything else.",
        because="{trouble}, and {why}.",
    ),
)

# Rules that say that a round tells nothing of its target, since the fault lay with the vantage or with us.
OUR_FAULT: Final = frozenset({rule.id for rule in RULES if rule.is_our_fault} | {"local_fault"})
