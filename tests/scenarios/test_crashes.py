import random
from pathlib import Path

from tests.scenarios.crashes import crash


def test_a_daemon_that_is_killed_again_and_again_loses_no_message_and_invents_none(tmp_path: Path) -> None:
    account = crash(tmp_path, 5, random.Random(7))  # noqa: S311 - instants of death
    assert account.problems == []
    assert account.alerts > 0
