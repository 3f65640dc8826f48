from datetime import datetime, timedelta
from typing import Final

from monitor.detect.reprobe import ReprobeSettings, next_look, spread
from monitor.model.verdict import DetectorState
from tests.simulation.series import BLOCKED, KNOWN, at, fed

SETTINGS: Final = ReprobeSettings()
INTERVAL: Final = 300.0


def waits(
    signs: str, state: DetectorState = KNOWN, *, interval: float = INTERVAL, settings: ReprobeSettings = SETTINGS
) -> list[float | None]:
    """Return what each round asks for: those after one that asked are further looks, the others on schedule."""
    looks, found, when = list[datetime](), list[float | None](), 0.0
    for sign in signs:
        before = state
        state, _ = fed(state, when, failing=sign == "x")
        wait = next_look(before, state, looks, at(when), interval_seconds=interval, settings=settings)
        found.append(wait)
        when += wait or interval
        if wait is not None:
            looks.append(at(when))
    return found


def test_three_looks_further_and_further_apart_follow_a_first_failing_round() -> None:
    assert waits("xxxx") == [5.0, 10.0, 30.0, None]


def test_rounds_that_are_slow_themselves_need_no_waits_to_spread_them() -> None:
    state, _ = fed(KNOWN, 0.0, failing=True)

    def wait(looks: int, began: float, elapsed_seconds: float) -> float | None:
        later, _ = (state, None) if not looks else fed(state, began, failing=True)
        return next_look(
            KNOWN, later, [at(began)] * looks, at(began),
            interval_seconds=INTERVAL, settings=SETTINGS, elapsed_seconds=elapsed_seconds,
        )  # fmt: skip

    assert [wait(0, 0.0, elapsed) for elapsed in (0.2, 10.0, 12.0, 25.0)] == [5.0, 5.0, 3.0, 1.0]
    # As if the first round had taken ten seconds and the looks one each: the last begins 57 s after the run did.
    assert wait(2, 27.0, 0.5) == 29.5
    assert wait(2, 33.0, 6.0) == 18.0
    assert wait(2, 80.0, 6.0) == 1.0


def test_accessible_looks_that_take_the_suspicion_back_end_it() -> None:
    assert waits("x....") == [5.0, 10.0, 30.0, None, None]
    assert waits("...") == [None] * 3


def test_one_look_more_where_a_single_one_would_settle_it() -> None:
    assert waits("x.xxx") == [5.0, 10.0, 30.0, 10.0, None]
    assert waits("x..xx")[3] is None


def test_a_later_round_of_the_same_run_starts_no_new_looks() -> None:
    assert waits("x..x" + "x")[4] is None
    first, _ = fed(KNOWN, 0.0, failing=True)
    second, _ = fed(first, INTERVAL, failing=True)
    assert next_look(first, second, [], at(INTERVAL), interval_seconds=INTERVAL, settings=SETTINGS) is None


def test_rounds_run_a_minute_apart_until_a_return_is_confirmed() -> None:
    assert waits("." * 11, BLOCKED) == [60.0] * 10 + [None]
    assert waits("xxx", BLOCKED) == [None] * 3
    assert waits("..x..", BLOCKED) == [60.0, 60.0, None, 60.0, 60.0]


def test_an_interval_that_is_short_enough_needs_no_further_looks() -> None:
    assert waits("." * 11, BLOCKED, interval=60.0) == [None] * 11
    assert waits("xxxx", interval=4.0) == [None] * 4


def test_looks_of_a_series_have_a_budget_within_six_hours() -> None:
    few = ReprobeSettings(budget=2)
    assert waits("xxxx", settings=few) == [5.0, 10.0, None, None]
    long_ago = [at(-7 * 3600.0)] * 100
    state, _ = fed(KNOWN, 0.0, failing=True)
    assert next_look(KNOWN, state, long_ago, at(0.0), interval_seconds=INTERVAL, settings=few) == 5.0


def test_a_dropped_round_asks_for_nothing() -> None:
    state, _ = fed(KNOWN, 0.0, failing=True)
    later = at(0.0) + timedelta(seconds=5)
    assert next_look(state, state, [], later, interval_seconds=INTERVAL, settings=SETTINGS) is None


def test_none_are_made_where_they_are_switched_off() -> None:
    assert waits("xxxx", settings=ReprobeSettings(suspicion_seconds=())) == [None] * 4


def test_the_configuration_says_how_many_and_how_soon() -> None:
    assert spread(3, 5.0) == (5.0, 10.0, 30.0)
    assert (spread(0, 5.0), spread(1, 2.0)) == ((), (2.0,))
