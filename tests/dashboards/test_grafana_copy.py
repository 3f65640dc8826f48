"""The copy that Grafana reads: what the dashboards ask and nothing else, replaced as a whole."""

import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from monitor.store.connection import connect_writer
from monitor.store.schema import prepare
from tests.dashboards import history
from tests.dashboards.boards import ROOT, filled, sql

VALUES = {"${country:csv}": ".+", "${platform:csv}": ".+", "${event}": "none"}
RANGE = {"$__from": history.FROM, "$__to": history.TO}


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "dashboards.grafana_copy", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Path]:
    """A database of the monitor in use: open for writing, in write-ahead mode."""
    path = tmp_path / "data" / "monitor.db"
    prepare(path)
    with closing(connect_writer(path)) as db:
        history.simulate(db)
        assert db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        yield path


def test_every_query_finds_in_the_copy_what_it_finds_in_the_database(database: Path, tmp_path: Path) -> None:
    to = tmp_path / "copy.db"
    done = run(database, to, "--days", "36500")
    assert (done.returncode, done.stderr) == (0, "")
    with closing(sqlite3.connect(database)) as original, closing(sqlite3.connect(to)) as copy:
        for one in sql():
            query = filled(one.text, {**VALUES, **RANGE})
            assert copy.execute(query).fetchall() == original.execute(query).fetchall(), str(one)


def test_it_can_be_read_by_everybody_without_write_access(database: Path, tmp_path: Path) -> None:
    to = tmp_path / "copy.db"
    assert run(database, to).returncode == 0
    assert stat.S_IMODE(to.stat().st_mode) == 0o644
    with closing(sqlite3.connect(f"{to.as_uri()}?mode=ro&immutable=0", uri=True)) as db:
        assert db.execute("PRAGMA journal_mode").fetchone() == ("delete",)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["copy.db", "data"]


def test_it_holds_no_evidence(database: Path, tmp_path: Path) -> None:
    to = tmp_path / "copy.db"
    assert run(database, to).returncode == 0
    with closing(sqlite3.connect(to)) as db:
        held = {name for (name,) in db.execute("SELECT name FROM sqlite_schema WHERE type IN ('table', 'view')")}
    assert (
        held & {"evidence", "observation", "observation_facts", "endpoint", "measurement", "url", "delivery"} == set()
    )


def test_old_counts_stay_behind(database: Path, tmp_path: Path) -> None:
    to = tmp_path / "copy.db"
    assert run(database, to, "--days", "1").returncode == 0
    with closing(sqlite3.connect(to)) as db:
        assert db.execute("SELECT count(*) FROM rollup_hour").fetchone() == (0,)


def test_what_cannot_be_copied_leaves_the_copy_as_it_was(tmp_path: Path) -> None:
    to = tmp_path / "copy.db"
    to.write_bytes(b"as it was")
    other = tmp_path / "other.db"
    with closing(sqlite3.connect(other)) as db:
        db.execute("CREATE TABLE something (else_ TEXT)")
    for source, why in ((tmp_path / "none.db", "unable to open"), (other, "it has no platform")):
        done = run(source, to)
        assert done.returncode == 2
        assert why in done.stderr
        assert "Traceback" not in done.stderr
    assert to.read_bytes() == b"as it was"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["copy.db", "other.db"]
