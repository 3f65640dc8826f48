import random
from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec
import pytest

from monitor.detect.cusum import DEFAULT, accessible_step, changed_layer, confirmed_step, failing_step, is_failing, step
from monitor.model.measurement import Measurement, RunContext
from monitor.model.observation import HttpObservation, Observation
from monitor.model.verdict import Confidence, DetectorState, Reason, SeriesState, Status, Transition, Verdict

START: Final = datetime(2026, 11, 1, tzinfo=UTC)
ROUND: Final = timedelta(minutes=5)

ACCESSIBLE, UNKNOWN, NOT_ACCESSIBLE = SeriesState.ACCESSIBLE, SeriesState.UNKNOWN, SeriesState.NOT_ACCESSIBLE


def measurement(*observations: Observation) -> Measurement:
    context = RunContext(software="s", config_digest="c", ca_digest="a", hello_profile="h")
    return Measurement(
        id=1, target="x-home", url="https://x.example/", vantage="home", started_at=START, elapsed_seconds=1,
        context=context, observations=observations,
    )  # fmt: skip


def served(*, is_tls: bool = True) -> HttpObservation:
    return HttpObservation(url="https://x.example/", address="93.184.216.34", port=443, is_tls=is_tls, status_code=403)


def verdict(status: Status, confidence: Confidence | None = None, reason: Reason | None = None) -> Verdict:
    return Verdict(
        status=status, rule="r", because="b", rules_version=1, confidence=confidence, reason=reason,
        mechanisms=("tls.reset",) if status is Status.BLOCKED else (),
    )  # fmt: skip


VERDICTS: Final = {
    ".": verdict(Status.ACCESSIBLE),
    "x": verdict(Status.BLOCKED, Confidence.LIKELY),
    "X": verdict(Status.BLOCKED, Confidence.CONFIRMED),
    "h": msgspec.structs.replace(verdict(Status.BLOCKED, Confidence.LIKELY), mechanisms=("http.reset",)),
    "t": verdict(Status.THROTTLED, Confidence.LIKELY),
    "w": verdict(Status.WITHHELD, Confidence.LIKELY),
    "d": verdict(Status.DOWN),
    "?": verdict(Status.INCONCLUSIVE, reason=Reason.NO_CONTROL),
    "c": verdict(Status.INCONCLUSIVE, reason=Reason.CHALLENGE),
    "s": verdict(Status.INCONCLUSIVE, reason=Reason.SERVER_DIFFERS),
}


def run(
    rounds: str, state: DetectorState | None = None, begin: datetime = START
) -> tuple[DetectorState, list[tuple[int, Transition]]]:
    """Feed one round for each sign, five minutes apart; return the state and the transitions by round."""
    state, found = state or DetectorState(), []
    for number, sign in enumerate(rounds):
        state, transition = step(state, VERDICTS[sign], measurement(served()), begin + number * ROUND)
        if transition:
            found.append((number, transition))
    return state, found


def test_steps_have_the_published_sizes() -> None:
    assert (round(failing_step(), 3), round(accessible_step(), 3)) == (2.485, -0.865)
    assert round(confirmed_step(), 3) == 4.787


def test_four_failing_rounds_make_a_transition_and_three_do_not() -> None:
    known, _ = run("...")
    assert run("xxx", known)[1] == []
    ((number, transition),) = run("xxxx", known)[1]
    assert (number, transition.before, transition.after) == (3, ACCESSIBLE, NOT_ACCESSIBLE)
    assert transition.status is Status.BLOCKED
    assert transition.score == pytest.approx(9.94, abs=0.01)
    assert transition.parameters == DEFAULT


def test_two_confirmed_rounds_suffice_and_one_never_does() -> None:
    known, _ = run("...")
    assert run("X", known)[1] == []
    assert [number for number, _ in run("XX", known)[1]] == [1]


def test_eleven_accessible_rounds_clear_and_ten_do_not() -> None:
    blocked, _ = run("...XX")
    assert run("." * 10, blocked)[1] == []
    ((number, transition),) = run("." * 11, blocked)[1]
    assert (number, transition.before, transition.after) == (10, NOT_ACCESSIBLE, ACCESSIBLE)
    assert transition.status is Status.ACCESSIBLE


def test_failing_round_sets_clearing_back() -> None:
    blocked, _ = run("...XX")
    assert [number for number, _ in run("." * 10 + "x" + "." * 4, blocked)[1]] == [14]
    assert run("." * 10 + "x" + "." * 3, blocked)[1] == []


def test_three_accessible_rounds_make_an_unknown_series_accessible_without_a_transition() -> None:
    assert run("..")[0].state is UNKNOWN
    state, transitions = run("...")
    assert (state.state, transitions) == (ACCESSIBLE, [])


def test_accessible_rounds_of_an_unknown_series_must_be_in_a_row() -> None:
    assert run("..x..")[0].state is UNKNOWN


def test_first_crossing_from_unknown_began_before_the_first_measurement() -> None:
    ((number, transition),) = run("xxxx")[1]
    assert (number, transition.before, transition.last_before_at) == (3, UNKNOWN, None)
    assert transition.first_after_at == START


def test_transition_names_the_rounds_around_the_change() -> None:
    ((_, transition),) = run("....xxxx")[1]
    assert transition.last_before_at == START + 3 * ROUND
    assert transition.first_after_at == START + 4 * ROUND
    assert transition.at == START + 7 * ROUND


def test_score_returns_to_zero_after_a_transition_and_nothing_repeats() -> None:
    state, transitions = run("...XX" + "x" * 50)
    assert (len(transitions), state.state, state.score) == (1, NOT_ACCESSIBLE, 0.0)


def test_a_lone_failing_round_is_forgotten() -> None:
    state, transitions = run("..." + "x..." * 20)
    assert (transitions, state.score) == ([], 0.0)
    assert state.run_started_at is None


@pytest.mark.parametrize("sign", "d?")
def test_dropped_round_neither_confirms_nor_breaks_a_run(sign: str) -> None:
    known, _ = run("...")
    ((number, _),) = run(f"xx{sign * 5}xx", known)[1]
    assert number == 8


@pytest.mark.parametrize("sign", "tw")
def test_throttled_and_withheld_count_as_failing(sign: str) -> None:
    known, _ = run("...")
    ((_, transition),) = run(sign * 4, known)[1]
    assert transition.status is VERDICTS[sign].status


@pytest.mark.parametrize("sign", "cs")
def test_answer_of_the_server_over_tls_counts_as_accessible_whatever_it_says(sign: str) -> None:
    assert run(sign * 3)[0].state is ACCESSIBLE
    assert is_failing(VERDICTS[sign], measurement(served())) is False


def test_such_an_answer_in_cleartext_or_none_at_all_is_dropped() -> None:
    assert is_failing(VERDICTS["c"], measurement(served(is_tls=False))) is None
    assert is_failing(VERDICTS["s"], measurement()) is None


def test_silence_of_a_day_leaves_the_score_and_a_longer_one_halves_it() -> None:
    known, _ = run("...xxx")
    last = known.last_kept_at
    assert last is not None
    assert run("x", known, last + timedelta(hours=24))[1]
    after, transitions = run("x", known, last + timedelta(hours=48))
    assert transitions == []
    assert after.score == pytest.approx(known.score / 2 + failing_step())


def test_after_ten_days_of_silence_the_state_is_unknown() -> None:
    blocked, _ = run("...XX")
    last = blocked.last_kept_at
    assert last is not None
    assert run("?", blocked, last + timedelta(days=10))[0].state is NOT_ACCESSIBLE
    assert run("?", blocked, last + timedelta(days=10, seconds=1))[0].state is UNKNOWN


def test_return_after_such_a_silence_is_told() -> None:
    blocked, _ = run("...XX")
    ((number, transition),) = run("....", blocked, START + timedelta(days=20))[1]
    assert (number, transition.before, transition.after) == (2, UNKNOWN, ACCESSIBLE)


def test_another_layer_counts_after_four_failing_rounds_of_it_and_no_single_one() -> None:
    blocked, _ = run("...xxxx")
    assert blocked.layer == "tls"
    for rounds in ("hhh", "hxhxhx"):
        still, transitions = run(rounds, blocked)
        assert (still.layer, transitions) == ("tls", [])
    moved, transitions = run("hhhh", blocked)
    assert (moved.layer, transitions) == ("http", [])
    assert changed_layer(blocked, moved)
    assert not changed_layer(DetectorState(), blocked)


def test_clock_set_back_breaks_nothing() -> None:
    known, _ = run("...xx")
    assert run("xx", known, START - timedelta(days=30))[1]


def test_same_rounds_give_the_same_transitions_wherever_the_daemon_restarts() -> None:
    rounds = "...xx.xxxx" + "." * 12 + "?dXX"
    whole = run(rounds)
    for cut in range(len(rounds)):
        state, first = run(rounds[:cut])
        state, second = run(rounds[cut:], state, START + cut * ROUND)
        assert (state, [one for _, one in first + second]) == (whole[0], [one for _, one in whole[1]])


def simulated(generator: random.Random, share: float, rounds: int) -> str:
    return "".join("x" if generator.random() < share else "." for _ in range(rounds))


def test_noise_of_three_percent_gives_no_alarm_in_four_weeks() -> None:
    generator = random.Random(7)  # noqa: S311 - a simulation, no secret
    assert run("..." + simulated(generator, 0.03, 8000))[1] == []


def test_block_of_every_round_is_found_in_twenty_minutes_and_a_partial_one_within_hours() -> None:
    generator = random.Random(7)  # noqa: S311 - a simulation, no secret
    quiet, _ = run("..." + simulated(generator, 0.03, 500))
    assert run("xxxx", quiet)[1]
    ((number, _), *_) = run(simulated(generator, 0.6, 200), quiet)[1]
    assert number < 50
