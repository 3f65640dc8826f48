from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import pytest

from monitor.daemon.reclassify import Redrawer
from monitor.lab.laboratory import Lab
from monitor.lab.scenarios import SCENARIOS, Scenario
from monitor.store.reader import Reader
from tests.scenarios.running import control_agent, verdict_in

# Most scenarios wait for deadlines, so a few laboratories side by side do not load two cores.
LABORATORIES = 4
Results = Mapping[str, "Future[Mapping[str, Any]]"]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    """Measure every scenario once through the command line; each test then looks at one."""
    waiting: SimpleQueue[tuple[Scenario, Future[Mapping[str, Any]]]] = SimpleQueue()
    found = {scenario.name: Future[Mapping[str, Any]]() for scenario in SCENARIOS}
    for scenario in SCENARIOS:
        waiting.put((scenario, found[scenario.name]))

    def work(folder: Path) -> None:
        with Lab() as lab, control_agent(lab, folder) as agent:
            while not waiting.empty():
                scenario, result = waiting.get()
                try:
                    result.set_result(verdict_in(lab, scenario, agent, folder))
                except BaseException as error:  # noqa: BLE001 - told by the test of that scenario
                    result.set_exception(error)

    with ThreadPoolExecutor(LABORATORIES) as pool:
        works = [pool.submit(work, tmp_path_factory.mktemp("laboratory")) for _ in range(LABORATORIES)]
    for one in works:
        one.result()
    return found


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_the_scenario_gets_the_verdict_that_it_demands(scenario: Scenario, results: Results) -> None:
    result = results[scenario.name].result(timeout=0)
    assert not scenario.expected.differences(result["verdict"]), result["verdict"]
    accessible, inconclusive = (result["verdict"]["status"] == one for one in ("accessible", "inconclusive"))
    assert result["exit_status"] == (0 if accessible else 3 if inconclusive else 1)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_the_verdict_can_be_drawn_again_from_what_is_stored(scenario: Scenario, results: Results) -> None:
    with Reader(results[scenario.name].result(timeout=0)["database"]) as reader:
        (again,) = Redrawer(reader).all(reader.measurements())
    assert again.redrawn is not None, again.obstacle
    assert again.redrawn.verdict == again.before
