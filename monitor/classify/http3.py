"""What HTTP/3 shows beside the ordinary way: it explains, and by itself blocks nothing (docs/verdicts.md).

Browsers fall back to TCP without a word, so a dead QUIC is a finding at most. It is one only where this vantage
reaches another operator over QUIC and the control reaches the target: many lines pass no UDP, many servers speak no
QUIC.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from monitor.classify.evidence import AT_CONTROL
from monitor.classify.mechanisms import Mechanism, outcome_of
from monitor.model.observation import Purpose, QuicObservation, Step

if TYPE_CHECKING:
    from monitor.classify.facts import Facts
    from monitor.classify.path import Hop
    from monitor.model.observation import HttpObservation

_OWN: Final = frozenset({Purpose.PATH, Purpose.HTTP3})
NEEDED: Final = 2  # a datagram may get lost; twice it does not


def quic_mechanisms(facts: Facts) -> tuple[Mechanism, ...]:
    """Return the dead QUIC of the last hop: it failed twice, while others reach it and this vantage others."""
    hop = facts.end.hop
    own = _own(facts, hop)
    outcomes = [outcome for one in own if (outcome := outcome_of(one)) is not None]
    is_dead = len(outcomes) == len(own) and len(outcomes) >= NEEDED and len(set(outcomes)) == 1
    if not is_dead or not _reference_works(facts) or not _control_works(facts, hop):
        return ()
    if any(facts.is_suspect(hop, one.address) for one in own):
        return ()
    return (Mechanism(Step.QUIC, outcomes[0], hop.index, on_path=False),)


def works(facts: Facts) -> bool:
    """Tell whether the target can be reached over HTTP/3 where the ordinary way ended."""
    return any(one.verified for one in _own(facts, facts.end.hop))


def offers_http3(response: HttpObservation | None) -> bool:
    """Tell whether a response says that the same port speaks HTTP/3 (RFC 7838; only port and host of its own)."""
    if response is None or not response.is_tls:
        return False
    value = next((value for name, value in response.headers if name == "alt-svc"), "")
    offers = [offer.partition(";")[0].strip() for offer in value.split(",")]
    return f'h3=":{response.port}"' in offers


def _own(facts: Facts, hop: Hop) -> list[QuicObservation]:
    return [
        one
        for one in facts.evidence
        if isinstance(one, QuicObservation) and one.hop == hop.index and one.purpose in _OWN
    ]


def _reference_works(facts: Facts) -> bool:
    return any(
        isinstance(one, QuicObservation) and one.purpose is Purpose.QUIC_REFERENCE and one.verified
        for one in facts.evidence
    )


def is_dead_at_control(facts: Facts, hop: Hop) -> bool:
    """Tell whether the controls tried HTTP/3 and none got through."""
    found = _at_controls(facts, hop)
    return bool(found) and not any(found)


def _control_works(facts: Facts, hop: Hop) -> bool:
    return any(_at_controls(facts, hop))


def _at_controls(facts: Facts, hop: Hop) -> list[bool]:
    return [
        one.verified
        for control in facts.controls_at(hop)
        for one in control.observations
        if isinstance(one, QuicObservation) and one.hop == hop.index and one.purpose in AT_CONTROL
    ]
