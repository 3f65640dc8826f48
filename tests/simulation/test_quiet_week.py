"""A week without a block, seen from vantages that keep failing: nothing is told about a platform."""

import random
from collections import Counter

import pytest

from monitor.model.alert import AlertKind
from tests.simulation.quiet_week import week
from tests.simulation.series import WEEK


@pytest.mark.parametrize("interval", [300.0, 60.0])
def test_a_week_of_flaky_vantages_and_short_faults_tells_of_vantages_and_of_no_platform(interval: float) -> None:
    told = Counter(one.kind for one in week(random.Random(20261127), interval=interval).told)  # noqa: S311 - a simulation
    assert set(told) == {AlertKind.VANTAGE, AlertKind.VANTAGE_END}
    assert told[AlertKind.VANTAGE] > 50


def test_the_same_week_with_a_block_tells_of_it_as_one_incident() -> None:
    about = week(random.Random(20261127), block_from=WEEK / 2).about_platforms  # noqa: S311 - a simulation
    assert [one.kind for one in about if one.kind is AlertKind.START] == [AlertKind.START]
    assert len({one.subject for one in about}) == 1
    assert {one.platform for one in about} == {"x"}
