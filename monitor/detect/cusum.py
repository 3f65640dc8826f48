"""When a series of verdicts has changed: a Bernoulli log-likelihood-ratio CUSUM.

Source: E. S. Page, Continuous Inspection Schemes, Biometrika 41 (1954); the numbers were chosen by simulation
(docs/verdicts.md, "When a change counts").

Two hypotheses for a kept round: failing with probability p0 (nothing wrong) or p1 (the weakest block to be caught
quickly). Each round adds the logarithm of their ratio to a score that never falls below 0; at h the state changes. A
failing round whose verdict is `confirmed` is rarer by far when nothing is wrong, hence weighs more. In a state only the
other direction accumulates, with the signs swapped on the way back.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from math import log
from typing import Final

import msgspec

from monitor.model.measurement import Measurement
from monitor.model.observation import HttpObservation, Purpose
from monitor.model.verdict import Confidence, DetectorState, Reason, SeriesState, Status, Transition, Verdict

_FAILING: Final = frozenset({Status.BLOCKED, Status.THROTTLED, Status.WITHHELD})
# Whatever the server says, the network let it through: without these a bot-walled target would have no baseline.
_SERVED: Final = frozenset({Reason.CHALLENGE, Reason.SERVER_DIFFERS})


@dataclass(frozen=True)
class Parameters:
    """Probabilities of a failing round and the threshold; four failing rounds or two confirmed ones reach it."""

    p0: float = 0.05
    p0_confirmed: float = 0.005
    p1: float = 0.6
    h: float = 9.0
    rounds_to_accessible: int = 3
    halving_after: timedelta = timedelta(hours=24)
    half_life: timedelta = timedelta(hours=48)
    forgotten_after: timedelta = timedelta(days=10)

    @property
    def failing(self) -> float:
        """Step of a failing round."""
        return log(self.p1 / self.p0)

    @property
    def confirmed(self) -> float:
        """Step of a failing round whose verdict is confirmed."""
        return log(self.p1 / self.p0_confirmed)

    @property
    def accessible(self) -> float:
        """Step of an accessible round, negative."""
        return log((1 - self.p1) / (1 - self.p0))


DEFAULT: Final = Parameters()


def is_failing(verdict: Verdict, measurement: Measurement) -> bool | None:
    """Return the value of a round, None for one that is dropped: it says nothing about the series."""
    if verdict.status in _FAILING:
        return True
    served = verdict.reason in _SERVED and _over_tls(measurement)
    return False if verdict.status is Status.ACCESSIBLE or served else None


def _over_tls(measurement: Measurement) -> bool:
    """Tell whether the path ended with a response over TLS; a request is sent over a verified handshake only."""
    responses = [
        one for one in measurement.observations if isinstance(one, HttpObservation) and one.purpose is Purpose.PATH
    ]
    last = max(responses, key=lambda one: one.hop, default=None)
    return last is not None and last.is_tls and last.failure is None


def step(
    state: DetectorState, verdict: Verdict, measurement: Measurement, at: datetime, parameters: Parameters = DEFAULT
) -> tuple[DetectorState, Transition | None]:
    """Return the state after a round that started `at` (UTC), and the transition that it confirmed, if any."""
    failing = is_failing(verdict, measurement)
    after = _after_silence(state, at, parameters)
    if failing is None:
        # Halved once, at the next kept round, however many are dropped before; forgotten at once.
        return (after if after.last_kept_at is None else state), None
    state = after
    if state.state is SeriesState.NOT_ACCESSIBLE:
        gain = -parameters.failing if failing else -parameters.accessible
    elif failing:
        gain = parameters.confirmed if verdict.confidence is Confidence.CONFIRMED else parameters.failing
    else:
        gain = parameters.accessible
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
        return _changed(
            state, verdict, measurement, SeriesState.NOT_ACCESSIBLE if is_blocked else SeriesState.ACCESSIBLE
        )
    if state.accessible_rounds >= parameters.rounds_to_accessible:
        settled, transition = _changed(state, verdict, measurement, SeriesState.ACCESSIBLE)
        # Nothing changed for a series that was never known to be otherwise.
        return settled, transition if state.settled is SeriesState.NOT_ACCESSIBLE else None
    return state, None


def _after_silence(state: DetectorState, at: datetime, parameters: Parameters) -> DetectorState:
    """Forget by halves what was not kept up: nothing within a day, everything after ten."""
    silence = at - state.last_kept_at if state.last_kept_at else timedelta()
    if silence > parameters.forgotten_after:
        return DetectorState(settled=state.settled)
    if silence > parameters.halving_after:
        return msgspec.structs.replace(state, score=state.score * 0.5 ** (silence / parameters.half_life))
    return state


def _changed(
    state: DetectorState, verdict: Verdict, measurement: Measurement, after: SeriesState
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
    )
    return DetectorState(state=after, last_kept_at=at, last_state_at=at, settled=after), transition
