"""Whether a routine run showed anything that calls for a closer look."""

from monitor.classify.context import Context
from monitor.classify.facts import Facts
from monitor.model.failure import LOCAL_FAULTS
from monitor.model.measurement import Measurement
from monitor.model.vantage import VantageState


def is_unexpected(measurement: Measurement, context: Context) -> bool:
    """Tell whether to start a deep run: anything that target, control and recent past do not lead us to expect.

    Not when the vantage is not in order, and not when `context.isolation` looked into the same symptom already. The
    state of the vantage after the round is not looked at, since that check comes later.
    """
    facts = Facts(measurement, context)
    if context.state_before is not VantageState.ONLINE or context.fault is not None or measurement.interrupted:
        return False
    if facts.routine.end.failure in LOCAL_FAULTS or not facts.symptom:
        return False
    return facts.isolation is None


def symptom(measurement: Measurement, context: Context) -> tuple[str, ...]:
    """Return what is unexpected about a run in stable words, () if nothing; equal ones need looking into once."""
    return Facts(measurement, context).symptom
