from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

import pytest

from tests.lab.internet.laboratory import Laboratory
from tests.lab.internet.scenarios import SCENARIOS, Scenario

# Most scenarios wait for deadlines, so several laboratories side by side do not load two cores.
LABORATORIES = 6
Results = Mapping[str, "Future[Mapping[str, Any]]"]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    """Carry out one round of every scenario; each test then looks at one."""
    waiting: SimpleQueue[Scenario] = SimpleQueue()
    found = {scenario.name: Future[Mapping[str, Any]]() for scenario in SCENARIOS}
    # The slow ones first: the last to begin should not be the last to end.
    for scenario in sorted(SCENARIOS, key=lambda scenario: not scenario.patient):
        waiting.put(scenario)

    def work(folder: Path) -> None:
        with Laboratory(folder) as laboratory:
            while True:
                try:
                    scenario = waiting.get_nowait()
                except Empty:
                    return
                try:
                    found[scenario.name].set_result(laboratory.ask(scenario.name))
                except BaseException as error:  # noqa: BLE001 - told by the test of that scenario
                    found[scenario.name].set_exception(error)

    with ThreadPoolExecutor(LABORATORIES) as pool:
        works = [pool.submit(work, tmp_path_factory.mktemp("laboratory")) for _ in range(LABORATORIES)]
    for one in works:
        one.result()
    return found


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_the_scenario_gets_the_verdict_that_it_demands(scenario: Scenario, results: Results) -> None:
    result = results[scenario.name].result(timeout=0)
    assert result["wrong"] == [], result["verdict"]
    status = result["verdict"]["status"]
    assert result["exit_status"] == (0 if status == "accessible" else 3 if status == "inconclusive" else 1)
