import sqlite3
import stat
from pathlib import Path
from typing import Any

import pytest
from sqlite_utils import Migrations

from monitor.store.connection import StoreError
from monitor.store.reader import Reader
from monitor.store.schema import MIGRATIONS, prepare
from tests.store.samples import open_store, outcome

CONTRACT = {
    *("platform", "target", "vantage", "measurement", "observation", "evidence", "verdict", "transition", "incident"),
    *("event", "event_date", "event_source", "alert", "delivery", "rollup_hour", "event_annotation"),
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "monitor.db"


def names(path: Path) -> set[str]:
    db = sqlite3.connect(path)
    found = {name for (name,) in db.execute("SELECT name FROM sqlite_schema WHERE type IN ('table', 'view')")}
    db.close()
    return found


def later(name: str = "m9999_later", *, broken: bool = False) -> Migrations:
    """The migrations of a version of this program yet to come."""
    migrations = Migrations(MIGRATIONS.name)
    migrations._migrations.extend(MIGRATIONS._migrations)  # noqa: SLF001 -- sqlite-utils has no other way to extend a set

    @migrations(name=name)
    def add_table(database: Any) -> None:
        database.execute("CREATE TABLE later (id INTEGER PRIMARY KEY) STRICT")
        if broken:
            database.execute("INSERT INTO absent VALUES (1)")

    return migrations


def test_the_tables_of_the_contract_exist(path: Path) -> None:
    prepare(path)
    assert names(path) >= CONTRACT


def test_every_table_of_ours_is_strict(path: Path) -> None:
    prepare(path)
    db = sqlite3.connect(path)
    lax = [
        row[1]
        for row in db.execute("PRAGMA table_list")
        if row[0] == "main" and row[2] == "table" and not row[5] and not row[1].startswith(("sqlite_", "_sqlite_"))
    ]
    db.close()
    assert lax == []


def test_the_file_is_for_its_owner_alone(path: Path) -> None:
    prepare(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_permissions_that_a_person_widened_stay(path: Path) -> None:
    prepare(path)
    path.chmod(0o640)
    prepare(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_preparing_twice_changes_nothing(path: Path) -> None:
    prepare(path)
    before = path.read_bytes()
    prepare(path)
    assert path.read_bytes() == before
    assert list(path.parent.glob("*.before-*")) == []


def test_a_file_with_data_is_copied_before_it_is_migrated(path: Path) -> None:
    store = open_store(path)
    assert store.record(outcome(1)).result(30)
    store.close()
    prepare(path, later())
    copy = path.with_name("monitor.db.before-m9999_later")
    assert "later" in names(path)
    assert "later" not in names(copy)
    db = sqlite3.connect(copy)
    assert db.execute("SELECT count(*) FROM measurement").fetchone() == (1,)
    db.close()
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600


def test_a_migration_that_fails_leaves_the_file_as_it_was(path: Path) -> None:
    prepare(path)
    with pytest.raises(StoreError, match="cannot prepare"):
        prepare(path, later(broken=True))
    assert "later" not in names(path)
    prepare(path)


def test_a_file_of_a_newer_version_is_refused_with_one_clear_sentence(path: Path) -> None:
    prepare(path, later())
    with pytest.raises(StoreError, match=r"newer version of this program \(it has m9999_later\)"):
        open_store(path)


def test_a_database_of_another_program_is_refused(path: Path) -> None:
    path.parent.mkdir()
    db = sqlite3.connect(path)
    db.execute("CREATE TABLE bookmarks (id)")
    db.close()
    with pytest.raises(StoreError, match="another program"):
        prepare(path)
    assert names(path) == {"bookmarks"}


def test_a_file_that_is_no_database_is_refused(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"words\n" * 1000)
    with pytest.raises(StoreError, match="cannot"):
        prepare(path)


def test_members_of_old_incidents_get_the_network_of_their_transitions(path: Path) -> None:
    old = Migrations(MIGRATIONS.name)
    old._migrations.extend(one for one in MIGRATIONS._migrations if one.name < "m0050")  # noqa: SLF001 -- as above
    prepare(path, old)
    db = sqlite3.connect(path)
    db.executescript("""
        INSERT INTO target (id, name) VALUES (1, 'x-home'), (2, 'x-api');
        INSERT INTO vantage (id, name) VALUES (1, 'laptop');
        INSERT INTO network (id, asn) VALUES (1, 17557), (2, 45773);
        INSERT INTO transition (target_id, vantage_id, network_id, measurement_id, at, before, after, status, score)
            VALUES (1, 1, 2, 1, 50, 'accessible', 'not_accessible', 'blocked', 9),
                   (1, 1, 1, 2, 100, 'accessible', 'not_accessible', 'blocked', 9),
                   (1, 1, 2, 3, 200, 'not_accessible', 'accessible', 'accessible', 9);
        INSERT INTO incident
            (id, platform, country, status, opened_at, started_before, mechanisms, members, all_members)
            VALUES ('x-pk-19700101', 'x', 'PK', 'blocked', 100, 90, '[]', '[["x-home","laptop"]]',
                    '[["x-home","laptop"],["x-api","laptop"]]');
    """)
    db.close()
    prepare(path)
    with Reader(path) as reader:
        (incident,) = reader.open_incidents()
    assert incident.members == (("x-home", "laptop", 17557),)
    assert incident.all_members == (("x-home", "laptop", 17557), ("x-api", "laptop", 0))
    assert (incident.networks, incident.sequence) == ((), 0)
