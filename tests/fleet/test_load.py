"""The small version of `make fleet`."""

import asyncio
from pathlib import Path

from tests.benchmarks.fleet import Load, run


def test_every_result_is_stored_once_though_the_centre_is_killed_and_the_line_cut(tmp_path: Path) -> None:
    load = Load(agents=10, results_a_minute=600, seconds=12, kills=1, cut_seconds=2, send_seconds=1, check_in_seconds=5)
    summary = asyncio.run(run(load, tmp_path))
    assert summary.made > 50
    assert (summary.stored, summary.twice) == (summary.made, 0)
    assert summary.strangers
    assert summary.strangers == summary.strangers_refused
