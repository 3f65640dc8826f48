"""How the daemon ends: told to while measurements hang, and killed at any moment under load."""

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from monitor.lab import Cut, Lab
from tests.scenarios.daemon import Daemon, configuration

KILLS = 5  # `make soak` does it twenty times and for longer


@pytest.fixture
def lab() -> Iterator[Lab]:
    with Lab() as lab:
        yield lab


def test_told_to_stop_it_drops_what_hangs_and_ends_with_0(lab: Lab, tmp_path: Path) -> None:
    names = [f"hung-{number}" for number in range(30)]
    for name in names:
        lab.site(f"{name}.lab.test", cut=Cut.SILENCE)
    lab.site("clean.lab.test")
    targets = {name: {"url": lab.url(f"{name}.lab.test"), "interval": 14} for name in names}
    # Each hangs for longer than the grace of ten seconds.
    config = configuration(
        lab,
        tmp_path,
        {**targets, "clean": lab.url("clean.lab.test")},
        interval_seconds=13,
        defaults={"timeouts": {"dns": 1, "tls": 12}},
    )
    daemon = Daemon(config)
    with daemon.running():
        daemon.wait_for(lambda: any((name or "").startswith("hung") for *_, name in list(lab.connections)))
        daemon.wait_for(lambda: daemon.metric("monitor_runs_in_flight"))
        assert daemon.stop() == 0
    assert daemon.rows("SELECT DISTINCT target FROM measurement_detail") in ([], ["clean"])
    assert '"stopped"' in daemon.log.read_text()
    assert '"error"' not in daemon.log.read_text()


def test_killed_under_load_it_loses_nothing_that_it_called_safe(lab: Lab, tmp_path: Path) -> None:
    """What is called safe: the runs that the daemon counts as committed, and those that its API shows."""
    lab.site("clean.lab.test")
    lab.site("reset.lab.test", cut=Cut.RESET)
    paths = {f"clean-{number}": lab.url("clean.lab.test", f"/?{number}") for number in range(30)}
    paths |= {f"reset-{number}": lab.url("reset.lab.test", f"/?{number}") for number in range(5)}
    daemon = Daemon(configuration(lab, tmp_path, paths, interval_seconds=1, sanity={"enabled": False}))
    stored = 0
    for kill in range(KILLS):
        with daemon.running():
            committed = committed_at_least(daemon, 5 + 7 * kill)  # so that the moments differ
            shown = {one["measurement"] for one in daemon.get("/api/v1/targets").json()["targets"]} - {None}
            daemon.kill()
        with contextlib.closing(sqlite3.connect(daemon.database)) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
        # A check of the vantage is a run too.
        before, stored = stored, daemon.count("measurement") + daemon.count("vantage_check")
        assert stored - before >= committed
        assert shown
        assert shown <= set(daemon.rows("SELECT measurement_id FROM verdict"))


def committed_at_least(daemon: Daemon, number: int) -> float:
    """Wait until the daemon has called that many runs safe; returns how many it has."""

    def committed() -> float | None:
        found = daemon.metric("monitor_store_committed_total")
        return found if found is not None and found >= number else None

    return daemon.wait_for(committed)
