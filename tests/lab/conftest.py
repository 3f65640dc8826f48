from collections.abc import Iterator

import pytest

from monitor.lab import Lab


@pytest.fixture(scope="session")
def running_lab() -> Iterator[Lab]:
    with Lab() as lab:
        yield lab


@pytest.fixture
def lab(running_lab: Lab) -> Iterator[Lab]:
    """The laboratory without interference, which is lifted again afterwards."""
    yield running_lab
    running_lab.lift()
