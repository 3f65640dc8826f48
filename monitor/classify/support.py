"""Which observations a verdict rests on, so that whoever doubts it knows where to look."""

from collections.abc import Iterable
from typing import Final

from monitor.classify.evidence import ROUTINE
from monitor.classify.facts import Facts
from monitor.classify.mechanisms import Mechanism
from monitor.classify.path import telling
from monitor.model.observation import Observation, Step, step_of

# Beside the step itself: what tells whose an address is, and how fast a page came.
_ALSO: Final = {Step.DNS: (Step.TLS,), Step.HTTP: (Step.TLS,), Step.THROUGHPUT: (Step.HTTP,)}


def rests_on(facts: Facts, mechanisms: Iterable[Mechanism]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return positions among the measurement's own observations, and among those of the deep run that stands for it.

    With mechanisms: every look at the layers and hops where these showed. Without: where the path ended.
    """
    places = {(one.hop, step) for one in mechanisms for step in (one.layer, *_ALSO.get(one.layer, ()))}
    if not places:
        end = facts.end
        places = {(end.hop.index, step) for step in (end.layer, *_ALSO.get(end.layer, ()))}
    own = _positions(facts.measurement.observations, places)
    if facts.isolation is None:
        return own, ()
    earlier = facts.isolation.measurement.observations
    return own, tuple(at for at in _positions(earlier, places) if earlier[at].purpose not in ROUTINE)


def _positions(observations: tuple[Observation, ...], places: set[tuple[int, Step]]) -> tuple[int, ...]:
    return tuple(at for at, one in enumerate(observations) if telling((one,)) and (one.hop, step_of(one)) in places)
