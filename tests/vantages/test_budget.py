"""A budget is never passed: not within its window, not by the service's word, not over a restart."""

from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.model.seams import Ledger, VantageError
from monitor.vantages._budget import Budget
from tests.fakes.vantages import HandClock

HOUR = 3600


class Book:
    """A ledger in memory."""

    def __init__(self, clock: HandClock) -> None:
        self._clock = clock
        self.entries: list[tuple[datetime, int]] = []

    def spent(self, _vantage: str, seconds: float) -> list[tuple[datetime, int]]:
        return [one for one in self.entries if one[0] > self._clock.now() - timedelta(seconds=seconds)]

    def spend(self, _vantage: str, at: datetime, units: int) -> None:
        self.entries.append((at, units))


_: type[Ledger] = Book


def budget(clock: HandClock, book: Book | None = None, limit: int = 10) -> Budget:
    return Budget("lent", clock, book, unit="tests", limit=limit, window_seconds=HOUR)


def refused(asked: Budget, units: int = 1) -> bool:
    try:
        asked.take(units)
    except VantageError as error:
        return error.reason == "quota_exhausted"
    return False


@given(st.lists(st.tuples(st.floats(0, 1800), st.integers(1, 6)), max_size=40), st.booleans())
def test_no_window_ever_holds_more_than_the_limit(steps: list[tuple[float, int]], restarts: bool) -> None:  # noqa: FBT001  drawn
    clock = HandClock()
    book = Book(clock)
    asked, spent = budget(clock, book), []
    for seconds, units in steps:
        clock.seconds += seconds
        if restarts:
            asked = budget(clock, book)
        if not refused(asked, units):
            spent.append((clock.seconds, units))
        assert sum(units for at, units in spent if at > clock.seconds - HOUR) <= 10


def test_what_was_spent_comes_back_after_the_window() -> None:
    clock = HandClock()
    asked = budget(clock)
    asked.take(10)
    clock.seconds = HOUR - 1
    assert refused(asked)
    clock.seconds = HOUR
    assert not refused(asked)


def test_the_services_word_lowers_it_until_the_service_counts_anew() -> None:
    clock = HandClock()
    asked = budget(clock)
    asked.told(remaining=2, reset_seconds=60)
    asked.take(2)
    assert refused(asked)
    clock.seconds = 60
    assert not refused(asked, 8)
    assert refused(asked)


def test_the_services_word_never_raises_it() -> None:
    asked = budget(HandClock())
    asked.told(remaining=400, reset_seconds=60)
    asked.take(10)
    assert refused(asked)


def test_a_night_of_sleep_counts() -> None:
    clock = HandClock()
    asked = budget(clock)
    asked.take(10)
    clock.suspended_seconds = HOUR
    assert not refused(asked)


def test_what_a_wrong_clock_noted_for_the_future_counts_as_spent_now() -> None:
    clock = HandClock()
    book = Book(clock)
    book.entries = [(clock.now() + timedelta(days=2), 10)]
    asked = budget(clock, book)
    assert refused(asked)
    clock.seconds = HOUR
    assert not refused(asked)


def test_more_than_is_left_is_refused_as_a_whole() -> None:
    asked = budget(HandClock())
    asked.take(8)
    with pytest.raises(VantageError, match="3 tests are needed and 2 are left"):
        asked.take(3)
    assert asked.use().used == 8
