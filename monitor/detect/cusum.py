"""When a series of verdicts has changed: a Bernoulli log-likelihood-ratio CUSUM.

Source: E. S. Page, Continuous Inspection Schemes, Biometrika 41 (1954); the numbers were chosen by simulation
(docs/verdicts.md, "When a change counts").

Two hypotheses for a kept round: failing with probability p0 (nothing wrong) or p1 (the weakest block to be caught
quickly). Each round adds the logarithm of their ratio to a score that never falls below 0; at h the state changes. A
failing round whose verdict is `confirmed` is rarer by far when nothing is wrong, hence weighs more. In a state only the
other direction accumulates, with the signs swapped on the way back.
"""

from datetime import datetime, timedelta
from math import log
from typing import Final

import msgspec

from monitor.model.measurement import Measurement
from monitor.model.observation import HttpObservation, Purpose
from monitor.model.verdict import (
    Confidence,
    DetectorParameters,
    DetectorState,
    Reason,
    SeriesState,
    Status,
    Transition,
    Verdict,
)

_FAILING: Final = frozenset({Status.BLOCKED, Status.THROTTLED, Status.WITHHELD})
# Whatever the server says, the network let it through: without these a bot-walled target would have no baseline.
_SERVED: Final = frozenset({Reason.CHALLENGE, Reason.SERVER_DIFFERS})


DEFAULT: Final = DetectorParameters()


def failing_step(parameters: DetectorParameters = DEFAULT) -> float:
    """Return the step of a failing round."""
    return log(parameters.p1 / parameters.p0)


def confirmed_step(parameters: DetectorParameters = DEFAULT) -> float:
    """Return the step of a failing round whose verdict is confirmed."""
    return log(parameters.p1 / parameters.p0_confirmed)


def accessible_step(parameters: DetectorParameters = DEFAULT) -> float:
    """Return the step of an accessible round, negative."""
    return log((1 - parameters.p1) / (1 - parameters.p0))


def is_failing(verdict: Verdict, measurement: Measurement | None) -> bool | None:
    """Return the value of a round, None for one that is dropped: it says nothing about the series.

    The measurement is looked at only where the verdict is inconclusive.
    """
    if verdict.status in _FAILING:
        return True
    served = verdict.reason in _SERVED and measurement is not None and _over_tls(measurement)
    return False if verdict.status is Status.ACCESSIBLE or served else None


def _over_tls(measurement: Measurement) -> bool:
    """Tell whether the path ended with a response over TLS; a request is sent over a verified handshake only."""
    responses = [
        one for one in measurement.observations if isinstance(one, HttpObservation) and one.purpose is Purpose.PATH
    ]
    last = max(responses, key=lambda one: one.hop, default=None)
    return last is not None and last.is_tls and last.failure is None


def step(
    state: DetectorState,
    verdict: Verdict,
    measurement: Measurement,
    at: datetime,
    parameters: DetectorParameters = DEFAULT,
) -> tuple[DetectorState, Transition | None]:
    """Return the state after a round that started `at` (UTC), and the transition that it confirmed, if any."""
    failing = is_failing(verdict, measurement)
    remembered = _after_silence(state, at, parameters)
    if failing is None:
        # Halved once, at the next kept round, however many are dropped before; forgotten at once.
        return (remembered if remembered.last_kept_at is None else state), None
    state = remembered
    if state.state is SeriesState.NOT_ACCESSIBLE:
        gain = -failing_step(parameters) if failing else -accessible_step(parameters)
    elif failing:
        gain = _weight(verdict, parameters)
    else:
        gain = accessible_step(parameters)
    score = max(0.0, state.score + gain)
    state = msgspec.structs.replace(
        state,
        score=score,
        last_kept_at=at,
        accessible_rounds=0 if failing or state.state is not SeriesState.UNKNOWN else state.accessible_rounds + 1,
        run_started_at=(state.run_started_at or at) if score > 0 else None,
        last_state_at=at if score == 0 and state.state is not SeriesState.UNKNOWN else state.last_state_at,
    )
    if score >= parameters.h:
        is_blocked = state.state is not SeriesState.NOT_ACCESSIBLE
        after = SeriesState.NOT_ACCESSIBLE if is_blocked else SeriesState.ACCESSIBLE
        return _changed(state, verdict, measurement, after, parameters)
    if failing and state.state is SeriesState.NOT_ACCESSIBLE:
        return _with_layer(state, verdict, parameters), None
    if state.accessible_rounds >= parameters.rounds_to_accessible:
        settled, transition = _changed(state, verdict, measurement, SeriesState.ACCESSIBLE, parameters)
        # Nothing changed for a series that was never known to be otherwise.
        return settled, transition if state.settled is SeriesState.NOT_ACCESSIBLE else None
    return state, None


def _after_silence(state: DetectorState, at: datetime, parameters: DetectorParameters) -> DetectorState:
    """Forget by halves what was not kept up: nothing within a day, everything after ten."""
    silence = at - state.last_kept_at if state.last_kept_at else timedelta()
    if silence > timedelta(hours=parameters.forgotten_after_hours):
        return DetectorState(settled=state.settled)
    if silence > timedelta(hours=parameters.halving_after_hours):
        halvings = silence / timedelta(hours=parameters.half_life_hours)
        return msgspec.structs.replace(state, score=state.score * 0.5**halvings)
    return state


def _weight(verdict: Verdict, parameters: DetectorParameters) -> float:
    return confirmed_step(parameters) if verdict.confidence is Confidence.CONFIRMED else failing_step(parameters)


def _layer(verdict: Verdict) -> str | None:
    return verdict.mechanisms[0].partition(".")[0] if verdict.mechanisms else None


def _with_layer(state: DetectorState, verdict: Verdict, parameters: DetectorParameters) -> DetectorState:
    """Let a failing round of a series that is not accessible speak for its layer; enough of them change it."""
    layer = _layer(verdict)
    if layer is None:
        return state
    if state.layer is None:
        return msgspec.structs.replace(state, layer=layer)
    if layer == state.layer:
        score = max(0.0, state.other_score + accessible_step(parameters))
        return msgspec.structs.replace(state, other_score=score, other_layer=state.other_layer if score else None)
    score = _weight(verdict, parameters) + (state.other_score if layer == state.other_layer else 0.0)
    if score >= parameters.h:
        return msgspec.structs.replace(state, layer=layer, other_layer=None, other_score=0.0)
    return msgspec.structs.replace(state, other_layer=layer, other_score=score)


def changed_layer(before: DetectorState, after: DetectorState) -> bool:
    """Tell whether what prevents access moved to another layer, while it is prevented."""
    return None not in {before.layer, after.layer} and before.layer != after.layer


def _changed(
    state: DetectorState,
    verdict: Verdict,
    measurement: Measurement,
    after: SeriesState,
    parameters: DetectorParameters,
) -> tuple[DetectorState, Transition]:
    at = state.last_kept_at or measurement.started_at
    transition = Transition(
        target=measurement.target,
        vantage=measurement.vantage,
        at=at,
        before=state.state,
        after=after,
        status=Status.ACCESSIBLE if after is SeriesState.ACCESSIBLE else verdict.status,
        score=state.score,
        last_before_at=state.last_state_at,
        first_after_at=state.run_started_at or at,
        asn=measurement.network.asn or 0,
        parameters=parameters,
    )
    layer = _layer(verdict) if after is SeriesState.NOT_ACCESSIBLE else None
    return DetectorState(state=after, last_kept_at=at, last_state_at=at, settled=after, layer=layer), transition
