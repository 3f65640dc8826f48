"""While the database cannot be written, measuring goes on, no verdict changes, and the rows arrive afterwards."""

import resource
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager

import pytest

from monitor.lab import Cut, Lab
from tests.scenarios.daemon import Daemon, configuration

EXPECTED = {"clean": ("accessible", None), "reset": ("blocked", None)}
# Byte 18 of the header is the version needed to write; above 2 SQLite may only read the file
# (https://www.sqlite.org/fileformat.html, section 1.3.3), whoever runs the tests.
WRITE_VERSION_OFFSET = 18


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    with Lab() as lab:
        for name in EXPECTED:
            lab.site(f"{name}.lab.test")
        lab.censor("reset.lab.test", Cut.RESET)
        targets = {name: lab.url(f"{name}.lab.test") for name in EXPECTED}
        daemon = Daemon(configuration(lab, tmp_path_factory.mktemp("storage"), targets, interval_seconds=2))
        with daemon.running():
            daemon.wait_for(lambda: all(len(daemon.verdicts(name)) > 2 for name in EXPECTED))
            yield daemon


@contextmanager
def locked(daemon: Daemon) -> Iterator[None]:
    """Another program holds the write lock meanwhile."""
    db = sqlite3.connect(daemon.database, isolation_level=None)
    try:
        db.execute("BEGIN IMMEDIATE")
        yield
        db.execute("ROLLBACK")
    finally:
        db.close()


@contextmanager
def full(daemon: Daemon) -> Iterator[None]:
    """No file of the daemon may grow beyond a few pages meanwhile, its log included, as on a full disk."""
    limits = resource.prlimit(daemon.pid, resource.RLIMIT_FSIZE, (16 * 1024, resource.RLIM_INFINITY))
    yield
    resource.prlimit(daemon.pid, resource.RLIMIT_FSIZE, limits)


@contextmanager
def read_only(daemon: Daemon) -> Iterator[None]:
    with locked(daemon):
        # The daemon gives up its connection, to open another again and again.
        daemon.wait_for(lambda: daemon.metric("monitor_store_failing"))
        # While page 1 is in the log, the one in the file is not looked at.
        with closing(sqlite3.connect(daemon.database)) as db:
            daemon.wait_for(lambda: len(set(db.execute("PRAGMA wal_checkpoint").fetchone()[1:])) == 1)
        set_write_version(daemon, 3)
    yield
    set_write_version(daemon, 2)


def set_write_version(daemon: Daemon, version: int) -> None:
    with daemon.database.open("r+b") as file:
        file.seek(WRITE_VERSION_OFFSET)
        file.write(bytes([version]))


@pytest.mark.parametrize(
    ("trouble", "errors"),
    [(locked, {"locked"}), (full, {"full", "io_error"}), (read_only, {"read_only"})],
    ids=lambda one: getattr(one, "__name__", ""),
)
def test_measuring_goes_on_and_the_rows_arrive_afterwards(
    daemon: Daemon, trouble: Callable[[Daemon], AbstractContextManager[None]], errors: set[str]
) -> None:
    def measured() -> float:
        return daemon.metric("monitor_measurements_total", vantage="here") or 0

    def failing() -> set[str]:
        return {labels["error"] for labels, value in daemon.metrics("monitor_store_failing") if value}

    with trouble(daemon):
        daemon.wait_for(lambda: failing() & errors)
        before = measured()
        daemon.wait_for(lambda: measured() >= before + 6)
        assert (daemon.metric("monitor_store_spooled") or 0) >= 6
        assert daemon.metric("monitor_store_lost_total") == 0
        assert "The database cannot be written" in daemon.get("/").text
        assert {name: (daemon.status(name), None) for name in EXPECTED} == EXPECTED
    daemon.wait_for(lambda: not failing() and daemon.metric("monitor_store_spooled") == 0)
    assert "The database cannot be written" not in daemon.get("/").text
    # Every single one, and nothing of the trouble shows in what they say.
    count = measured()
    daemon.wait_for(lambda: sum(len(daemon.verdicts(name)) for name in EXPECTED) >= count)
    assert daemon.count("gap") == 0
    for name, verdict in EXPECTED.items():
        assert set(daemon.verdicts(name)) == {verdict}
    assert daemon.rows("PRAGMA integrity_check") == ["ok"]
