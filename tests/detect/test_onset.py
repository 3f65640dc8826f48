import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from math import exp, lgamma, log
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.detect.onset import date, hull, is_due, posterior, window
from monitor.model.onset import Dating, Edge, KeptRound, Onset

START: Final = datetime(2024, 2, 15, tzinfo=UTC)
ROUND: Final = timedelta(minutes=5)
HOUR: Final = timedelta(hours=1)


def kept(signs: str, start: datetime = START) -> list[KeptRound]:
    """Return one round for each sign, five minutes apart, the first five minutes after `start`."""
    return [KeptRound(start + number * ROUND, sign == "x") for number, sign in enumerate(signs, 1)]


def plainly(times: Sequence[float], failing: Sequence[bool], start: float, end: float) -> tuple[float, list[float]]:
    """Return the support and the weight of each gap, written out as the formula stands."""

    def lbeta(a: int, b: int) -> float:
        return lgamma(a) + lgamma(b) - lgamma(a + b)

    n, total, edges = len(times), sum(failing), [start, *times, end]
    logs = [
        log(max(later - earlier, 1e-3)) + lbeta(1 + s, 1 + i - s) + lbeta(1 + total - s, 1 + n - i - total + s)
        for i, (earlier, later) in enumerate(pairwise(edges))
        for s in [sum(failing[:i])]
    ]
    mass = sum(exp(one) for one in logs)
    return log(mass) - log(end - start) - lbeta(1 + total, 1 + n - total), [exp(one) / mass for one in logs]


@given(st.lists(st.tuples(st.floats(0.001, 99.999), st.booleans()), max_size=30))
def test_the_posterior_is_that_of_the_formula(rounds: list[tuple[float, bool]]) -> None:
    rounds.sort()
    times, failing = [one for one, _ in rounds], [one for _, one in rounds]
    found = posterior(times, failing, 0.0, 100.0)
    support, weights = plainly(times, failing, 0.0, 100.0)
    assert found.log_support == pytest.approx(support, abs=1e-9)
    assert 0 <= found.low <= found.median <= found.high <= 100
    edges = [0.0, *times, 100.0]
    before_median = sum(
        weight * min(1.0, max(0.0, (found.median - low) / max(high - low, 1e-3)))
        for weight, (low, high) in zip(weights, pairwise(edges), strict=True)
    )
    assert before_median == pytest.approx(0.5, abs=0.01)


def test_a_clean_block_is_dated_between_its_last_good_and_first_failing_round() -> None:
    found = posterior(range(1, 101), [False] * 60 + [True] * 40, 0, 101)
    assert 59 < found.low < 60.5 < found.high < 62
    assert found.log_support > 50


def test_a_window_without_length_is_refused() -> None:
    with pytest.raises(ValueError, match="length"):
        posterior([], [], 5.0, 5.0)


def dated(signs: str, edge: Edge = Edge.START, *, previous: datetime | None = None, later: timedelta = HOUR) -> Onset:
    """Date the change that an alarm at the last round confirmed."""
    rounds = kept(signs)
    return date(rounds, edge, rounds[-1].at, previous, rounds[-1].at + later)


def test_a_block_has_an_interval_that_holds_its_beginning() -> None:
    onset = dated("." * 40 + "xxxx")
    assert onset.dating is Dating.DATED
    assert onset.earliest is not None
    assert onset.latest is not None
    assert onset.earliest < START + 40.5 * ROUND < onset.latest
    assert (onset.rounds, onset.is_final) == (44, False)


def test_an_end_is_dated_by_the_fall_of_the_failing_share() -> None:
    assert dated("x" * 40 + "." * 11, Edge.END).dating is Dating.DATED
    assert dated("x" * 40 + "." * 11, Edge.START).dating is Dating.UNDATED
    assert dated("." * 40 + "xxxx", Edge.END).dating is Dating.UNDATED


def test_what_began_before_the_first_round_has_an_upper_bound_only() -> None:
    onset = dated("x" * 20)
    assert (onset.dating, onset.earliest, onset.latest) == (Dating.BEFORE, None, START + ROUND)
    early = dated(".x" + "x" * 60)
    assert early.dating is not Dating.DATED
    assert early.earliest is None


def test_noise_supports_no_change() -> None:
    chance = random.Random(3)  # noqa: S311 - a simulation, no secret
    signs = "".join("x" if chance.random() < 0.3 else "." for _ in range(200))
    assert dated(signs).dating is Dating.UNDATED


def test_a_block_soon_after_measuring_began_is_dated_as_well() -> None:
    onset = dated("." * 24 + "xxxx", later=timedelta(seconds=30))
    assert onset.dating is Dating.DATED
    assert onset.earliest is not None
    assert onset.earliest > START + 20 * ROUND


def test_a_lone_failing_round_at_the_end_is_too_little_to_date() -> None:
    onset = dated("." * 20 + "x", later=timedelta(seconds=30))
    assert 0 < onset.log_support < 3
    assert (onset.dating, onset.latest) == (Dating.UNDATED, None)


def test_a_window_begins_with_the_change_before_and_ends_a_day_after_the_alarm() -> None:
    alarm = START + timedelta(days=5)
    assert window(alarm, None, alarm + HOUR) == (alarm - 48 * HOUR, alarm + HOUR)
    assert window(alarm, alarm - HOUR, alarm + 100 * HOUR) == (alarm - HOUR, alarm + 24 * HOUR)


def test_rounds_outside_the_window_are_left_out() -> None:
    rounds = kept("x" * 30 + "." * 30 + "xxxx")
    previous = START + 32 * ROUND
    onset = date(rounds, Edge.START, rounds[-1].at, previous, rounds[-1].at + HOUR)
    assert onset.dating is Dating.DATED
    assert onset.rounds == 64 - 31


def test_a_change_is_dated_at_the_alarm_and_after_one_six_and_twenty_four_hours_and_then_no_more() -> None:
    moments, last = [], None
    for hours in range(40):
        if is_due(START, last, now := START + hours * HOUR):
            last = now
            moments.append(hours)
    assert moments == [0, 1, 6, 24]
    assert is_due(START, START + HOUR * 6, START + 30 * HOUR)
    assert date(kept(".x"), Edge.START, START, None, START + 24 * HOUR).is_final


def test_the_hull_holds_all_and_is_open_where_one_began_unmeasured() -> None:
    first, second = dated("." * 40 + "xxxx"), dated("." * 60 + "xxxx")
    assert hull([second, first]) == (first.earliest, second.latest)
    assert hull([first, dated("x" * 20)]) == (None, first.latest)
    assert hull([dated("x" * 10 + "." * 10)]) is None
