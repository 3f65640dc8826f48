"""The verdict on one measurement: the first rule that matches, and its sentence."""

from collections.abc import Callable
from typing import Final

from monitor.classify.context import Context
from monitor.classify.facts import Facts
from monitor.classify.http3 import works as works_over_http3
from monitor.classify.mechanisms import Mechanism, labels
from monitor.classify.path import Hop
from monitor.classify.rules import RULES, RULES_VERSION, Rule
from monitor.classify.support import rests_on
from monitor.model.failure import Failure
from monitor.model.measurement import Measurement
from monitor.model.observation import Step
from monitor.model.verdict import Reason, Status, Verdict

_STEP_WORDS: Final = {
    Step.DNS: "the name lookup for",
    Step.TCP: "the connection to",
    Step.TLS: "the TLS handshake with",
    Step.HTTP: "the request to",
}
_LOOKED_UP_ELSEWHERE: Final = "the lookup of or the connection to"
_REASON_WORDS: Final = {
    Reason.VANTAGE_OFFLINE: "its line was down",
    Reason.CAPTIVE_PORTAL: "a captive portal stands in the way",
    Reason.VANTAGE_DNS_BROKEN: "its name lookups do not work",
    Reason.TLS_INTERCEPTED: "something on its line intercepts all TLS",
    Reason.VANTAGE_MOVED: "it moved to another network",
    Reason.VANTAGE_DEGRADED: "its line is much slower than usual",
    Reason.VANTAGE_UNREADY: "no check of its line is at hand",
    Reason.QUOTA_EXHAUSTED: "what it may ask of the service is used up",
    Reason.LONG_PACKETS_LOST: "long packets get lost on the way",
    Reason.CONTROL_DISAGREES: "the controls disagree about it",
    Reason.CONTENT_UNCLEAR: "what was served is neither what is expected nor plainly a replacement",
    Reason.INSUFFICIENT_DATA: "what was seen does not suffice for a conclusion",
}


def classify(measurement: Measurement, context: Context) -> Verdict:
    """Return the verdict on a measurement; total: every input gets one, and none raises."""
    return verdict_on(Facts(measurement, context))


def verdict_on(facts: Facts) -> Verdict:
    """Return the verdict on facts already drawn."""
    rule = next(rule for rule in RULES if rule.when(facts))
    mechanisms = rule.mechanisms(facts)
    confidence = rule.confidence(facts) if callable(rule.confidence) else rule.confidence
    if rule.status is Status.ACCESSIBLE and not mechanisms:
        confidence = None
    reason = rule.reason(facts) if rule.reason else None
    is_plain = rule.is_our_fault or (rule.status is Status.ACCESSIBLE and not mechanisms)
    own, earlier = ((), ()) if is_plain else rests_on(facts, mechanisms)
    return Verdict(
        status=rule.status,
        confidence=confidence,
        layer=_layer(facts, rule, mechanisms),
        mechanisms=labels(mechanisms),
        reason=reason,
        rule=rule.id,
        because=_sentence(facts, rule, mechanisms, reason),
        rules_version=RULES_VERSION,
        observations=own,
        isolation_observations=earlier,
    )


def over_verified_tls(measurement: Measurement, context: Context) -> bool:
    """Tell whether the system path ended over verified TLS, whatever the server then said."""
    return Facts(measurement, context).over_verified_tls


def _layer(facts: Facts, rule: Rule, mechanisms: tuple[Mechanism, ...]) -> Step | None:
    """Return the layer at fault: where the path ended, unless only other layers were shown to be wrong."""
    if rule.status is Status.ACCESSIBLE or rule.is_our_fault:
        return None
    ended = facts.end.layer if len(facts.end.layers) == 1 else None
    blamed = [one.layer for one in mechanisms]
    return ended if not blamed or ended in blamed else blamed[0]


def _sentence(facts: Facts, rule: Rule, mechanisms: tuple[Mechanism, ...], reason: Reason | None) -> str:
    on_path = [one for one in mechanisms if one.on_path] or list(mechanisms)
    blamed = facts.end.hop.index if rule.status is not Status.BLOCKED or not on_path else on_path[-1].hop
    hop = facts.path.hop(blamed) or facts.end.hop
    words = ", and ".join(dict.fromkeys(one.words for one in _by_layer(mechanisms)))
    template = rule.because
    if rule.status is Status.BLOCKED and works_over_http3(facts):
        template = template.removesuffix(".") + "; over HTTP/3 it can still be reached."
    sentence = template.format_map(
        _Parts(
            host=lambda: _host(hop),
            step=lambda: _step(facts),
            words=lambda: words,
            findings=lambda: f", although interference was seen: {words}" if mechanisms else "",
            why=lambda: _REASON_WORDS.get(reason, "the reason is not known") if reason else "",
            trouble=lambda: _trouble(facts),
            gone=lambda: ", and elsewhere the name no longer exists" if _is_gone(facts, hop) else "",
        )
    )
    return sentence[:1].upper() + sentence[1:] if not sentence.startswith(hop.place.printable_host) else sentence


class _Parts(dict[str, Callable[[], str]]):
    """The parts of a sentence, each worded only if its template asks for it."""

    def __getitem__(self, name: str) -> str:  # type: ignore[override]  # format_map takes the word, not its maker
        return super().__getitem__(name)()


def _by_layer(mechanisms: tuple[Mechanism, ...]) -> list[Mechanism]:
    """One mechanism for each label, in the labels' order."""
    best = {one.label: one for one in sorted(mechanisms, key=lambda one: one.trigger)}
    return [best[label] for label in labels(Mechanism(one.layer, one.outcome, one.hop) for one in best.values())]


def _host(hop: Hop) -> str:
    host = hop.place.printable_host or "this target"
    if not hop.index:
        return host
    return f"{host} (after {hop.index} redirect{'s' if hop.index != 1 else ''})"


def _step(facts: Facts) -> str:
    words = _STEP_WORDS[facts.end.layer] if len(facts.end.layers) == 1 else _LOOKED_UP_ELSEWHERE
    return f"{words} {_host(facts.end.hop)}"


def _trouble(facts: Facts) -> str:
    end, step = facts.end, _step(facts)
    if facts.failed:
        return f"{step} failed"
    if not end.complete:
        return f"{step} was not carried out"
    if facts.response is None:
        return f"{step} led to an address that may not be the platform's"
    return f"{_host(end.hop)} served a page that nothing vouches for"


def _is_gone(facts: Facts, hop: Hop) -> bool:
    theirs = [one for control in facts.control_hops(hop) for one in control.dns] or list(facts.other_resolvers(hop))
    return bool(theirs) and all(
        one.failure == Failure.DNS_NXDOMAIN_ERROR or (one.query_type != "A" and not one.addresses) for one in theirs
    )
