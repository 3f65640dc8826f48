from collections.abc import Mapping
from typing import Any

import pytest

from tests.lab.internet.campaign import Campaign
from tests.lab.internet.scenarios import SCENARIOS, Scenario

# Most scenarios wait for deadlines, so several laboratories side by side do not load two cores.
LABORATORIES = 6
Results = Mapping[str, Mapping[str, Any]]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    """Carry out one round of every scenario; each test then looks at one."""
    campaign = Campaign(SCENARIOS, "round", LABORATORIES)
    campaign.carry_out(tmp_path_factory.mktemp("laboratories"))
    return {scenario.name: found for scenario, found in campaign.results}


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_the_scenario_gets_the_verdict_that_it_demands(scenario: Scenario, results: Results) -> None:
    assert scenario.name in results, "no laboratory could carry it out"
    result = results[scenario.name]
    assert result["wrong"] == [], result["verdict"]
    status = result["verdict"]["status"]
    assert result["exit_status"] == (0 if status == "accessible" else 3 if status == "inconclusive" else 1)
