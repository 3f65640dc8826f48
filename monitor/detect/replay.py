"""The detector run again over what was stored: the same rounds give the same transitions."""

from collections.abc import Iterable

from monitor.detect.cusum import DEFAULT, step
from monitor.model.measurement import Measurement
from monitor.model.verdict import DetectorParameters, DetectorState, Transition, Verdict


def replay(rounds: Iterable[tuple[Measurement, Verdict]], parameters: DetectorParameters = DEFAULT) -> list[Transition]:
    """Return the transitions that rounds of any series confirm, oldest first, with the verdicts first drawn."""
    states: dict[tuple[str, str, int], DetectorState] = {}
    found = []
    for measurement, verdict in rounds:
        key = (measurement.target, measurement.vantage, measurement.network.asn or 0)
        before = states.get(key, DetectorState())
        states[key], transition = step(before, verdict, measurement, measurement.started_at, parameters)
        if transition is not None:
            found.append(transition)
    return found
