"""Short versions of the published figures, with a fixed seed and wide tolerances."""

import random

import pytest

from tests.simulation.tables import (
    EVEN_LOOKS,
    LOOKS,
    NO_LOOKS,
    clearing_delays,
    dead_uplink,
    delay_with_looks,
    delays,
    false_alarms,
    false_alarms_with_looks,
    false_clears,
    flaky_uplink,
    nightly,
    onset_cover,
    onset_of_three,
    spread,
    support_without_change,
)


@pytest.fixture
def chance() -> random.Random:
    return random.Random(20240217)  # noqa: S311 - a simulation, no secret


def test_three_percent_of_noise_gives_next_to_no_alarm_and_ten_percent_some(chance: random.Random) -> None:
    assert false_alarms(chance, 20, 0.03) <= 0.1
    assert 0.1 < false_alarms(chance, 20, 0.10) < 3


@pytest.mark.parametrize(("share", "median", "p95"), [(0.95, 23, 37), (0.60, 42, 92), (0.35, 121, 343)])
def test_a_block_is_noticed_as_soon_as_the_published_figures_say(
    chance: random.Random, share: float, median: float, p95: float
) -> None:
    found = spread(delays(chance, 60, share))
    assert found.median == pytest.approx(median, rel=0.35)
    assert found.p95 < 2 * p95


@pytest.mark.parametrize(("share", "width"), [(0.95, 12), (0.60, 41), (0.35, 101)])
def test_the_interval_of_an_onset_holds_the_truth_as_often_as_it_says(
    chance: random.Random, share: float, width: float
) -> None:
    found = onset_cover(chance, 120, share)
    assert found.coverage >= 0.88
    assert found.width == pytest.approx(width, rel=0.4)


def test_the_interval_is_honest_at_the_alarm_and_narrower_a_day_later(chance: random.Random) -> None:
    early, late = onset_cover(chance, 120, 0.95, after=0.0), onset_cover(chance, 120, 0.95, after=24 * 3600.0)
    assert min(early.coverage, late.coverage) >= 0.88
    assert early.width > 1.5 * late.width


def test_series_without_a_change_support_none(chance: random.Random) -> None:
    assert max(support_without_change(chance, 100)) < 3


def test_pooled_networks_are_dated_wrongly_and_their_hull_is_right(chance: random.Random) -> None:
    found = onset_of_three(chance, 40, 6 * 3600.0)
    assert found.pooled_first < 0.4
    assert found.each >= 0.88
    assert found.hull >= 0.85


def test_a_block_is_not_cleared_by_noise_and_is_cleared_after_eleven_rounds(chance: random.Random) -> None:
    assert false_clears(chance, 10, 0.95) == 0
    assert false_clears(chance, 10, 0.60) <= 0.5
    assert spread(clearing_delays(chance, 60)).median == pytest.approx(69, rel=0.25)


def test_a_dead_uplink_raises_no_alarm_once_its_rounds_are_dropped(chance: random.Random) -> None:
    assert dead_uplink(chance, 60, drops=False) > 0.9
    assert dead_uplink(chance, 60, drops=True) <= 0.05


def test_a_flaky_uplink_needs_its_control(chance: random.Random) -> None:
    assert flaky_uplink(chance, 10, 9.0, drops=False) > 2
    assert flaky_uplink(chance, 10, 9.0, drops=True) <= 0.3


def test_a_block_of_every_night_has_all_its_edges_found(chance: random.Random) -> None:
    found = nightly(chance)
    assert (found.edges, found.found, found.invented) == (14, 14, 0)
    assert found.log_support_of_one > 20  # one change alone looks certain, and is wrong


def test_further_looks_notice_a_block_within_the_next_minutes(chance: random.Random) -> None:
    with_looks = spread(delay_with_looks(chance, 60, LOOKS, interval=300.0))
    without = spread(delay_with_looks(chance, 60, NO_LOOKS, interval=300.0))
    assert with_looks.p95 < 400
    assert without.median > 900


def test_looks_that_lie_further_apart_outlast_a_fault_of_a_minute(chance: random.Random) -> None:
    spread_out = false_alarms_with_looks(chance, 20, LOOKS, faults_a_day=48)
    even = false_alarms_with_looks(chance, 20, EVEN_LOOKS, faults_a_day=48)
    assert spread_out < 0.2 * even
