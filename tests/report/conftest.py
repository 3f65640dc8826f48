from datetime import timedelta
from pathlib import Path

import pytest

from tests.simulate_history import at, write


@pytest.fixture(scope="session")
def history(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the simulated history of five weeks around the beginning of the block, one round an hour."""
    folder = tmp_path_factory.mktemp("history")
    write(folder, timedelta(hours=1), at("2024-02-08"), at("2024-03-16"))
    return folder


@pytest.fixture(scope="session")
def ending(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same around its end, and around the worldwide outage after it."""
    folder = tmp_path_factory.mktemp("ending")
    write(folder, timedelta(hours=1), at("2025-05-01"), at("2025-05-26"))
    return folder
