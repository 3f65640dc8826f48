from collections.abc import Iterator

import pytest

from monitor.lab.configuration import Agent
from monitor.lab.laboratory import Lab
from tests.scenarios.running import control_agent
from tests.vantages.measuring import X


@pytest.fixture(scope="module")
def running_lab() -> Iterator[Lab]:
    with Lab() as lab:
        lab.site(X)
        yield lab


@pytest.fixture
def lab(running_lab: Lab) -> Iterator[Lab]:
    yield running_lab
    running_lab.lift()


@pytest.fixture(scope="module")
def control(running_lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Agent]:
    with control_agent(running_lab, tmp_path_factory.mktemp("control")) as agent:
        yield agent
