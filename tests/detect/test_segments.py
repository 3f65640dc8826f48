import random

from hypothesis import given
from hypothesis import strategies as st

from monitor.detect.segments import LEAST_ROUNDS, segments


def failing(signs: str) -> list[bool]:
    return [sign == "x" for sign in signs]


def test_a_series_that_never_changes_is_one_segment() -> None:
    assert segments([]) == []
    assert segments(failing("." * 500)) == [0]
    assert segments(failing("x" * 3)) == [0]


def test_a_block_that_was_opened_for_a_while_has_four_edges() -> None:
    assert segments(failing("." * 50 + "x" * 60 + "." * 20 + "x" * 60 + "." * 40)) == [0, 50, 110, 130, 190]


def test_noise_alone_makes_no_segment() -> None:
    chance = random.Random(5)  # noqa: S311 - a simulation, no secret
    for share in (0.03, 0.1, 0.5):
        assert segments([chance.random() < share for _ in range(1000)]) == [0]


def test_a_partial_block_is_found() -> None:
    chance = random.Random(5)  # noqa: S311 - a simulation, no secret
    series = [chance.random() < share for share in [0.03] * 300 + [0.5] * 200 + [0.03] * 300]
    start, first, second = segments(series)
    assert start == 0
    assert abs(first - 300) < 10
    assert abs(second - 500) < 10


@given(st.lists(st.booleans(), min_size=1, max_size=120))
def test_segments_are_in_order_and_long_enough(series: list[bool]) -> None:
    found = segments(series)
    assert found[0] == 0
    lengths = [end - start for start, end in zip(found, [*found[1:], len(series)], strict=True)]
    assert all(length >= LEAST_ROUNDS for length in lengths) or len(found) <= 1
