"""The laboratory that all agents of a test session measure in."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from monitor.lab.laboratory import Lab
from tests.agent.setting import Machine
from tests.fakes.centre import FakeCentre

OPEN, CLOSED = "open.lab.test", "closed.lab.test"


@pytest.fixture(scope="session")
def lab() -> Iterator[Lab]:
    with Lab() as lab:
        lab.site(OPEN)
        lab.site(CLOSED)
        yield lab


@pytest.fixture
def centre() -> Iterator[FakeCentre]:
    with FakeCentre().running() as centre:
        yield centre


@pytest.fixture
def machine(lab: Lab, tmp_path: Path) -> Machine:
    lab.lift()
    return Machine(lab, tmp_path)
