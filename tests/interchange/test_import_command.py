import gzip
import json
import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from monitor.classify.rules import RULES_VERSION
from monitor.config.schema import Retention
from monitor.model.vantage import VantageInfo
from monitor.network.clock import SystemClock
from monitor.store.reader import Reader
from monitor.store.store import Store
from tests.fakes.outcomes import X_HOME
from tests.interchange import ooni_lines as lines
from tests.interchange.world import World
from tests.store.samples import outcome


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def rows(world: World, sql: str) -> list[tuple[Any, ...]]:
    db = sqlite3.connect(world.database)
    try:
        return db.execute(sql).fetchall()
    finally:
        db.close()


def test_measurements_are_taken_in_once_however_often_they_are_given(world: World) -> None:
    blocked = lines.version_4("connection_reset") | {"measurement_start_time": "2024-02-18 11:00:00"}
    file = world.file("feb.jsonl", lines.version_4(), blocked, lines.version_4())
    first = world.json("import", "ooni", file)
    assert (first["accepted"], first["duplicate"], first["refused"]) == (2, 1, 0)
    assert first["statuses"] == {"accessible": 1, "blocked": 1}
    again = world.json("import", "ooni", file)
    assert (again["accepted"], again["duplicate"], again["refused"]) == (0, 3, 0)
    assert rows(world, "SELECT count(*) FROM measurement") == [(4,)]  # the helper's side of each as well


def test_the_same_measurement_under_its_uid_or_its_report_is_the_same(world: World) -> None:
    with_uid = lines.version_5()
    only_report = lines.version_5()
    del only_report["measurement_uid"]
    only_uid = lines.version_5() | {"report_id": ""}
    assert world.json("import", "ooni", world.file("a", with_uid))["accepted"] == 1
    assert world.json("import", "ooni", world.file("b", only_report, only_uid))["duplicate"] == 2


def test_every_name_that_a_measurement_was_seen_under_stands_for_it(world: World) -> None:
    both, report, uid = lines.version_5(), lines.version_5(), lines.version_5() | {"report_id": ""}
    del report["measurement_uid"]
    counts = [world.json("import", "ooni", world.file(str(n), one)) for n, one in enumerate((report, both, uid))]
    assert [(one["accepted"], one["duplicate"]) for one in counts] == [(1, 0), (0, 1), (0, 1)]


def test_gzip_is_read_and_a_damaged_file_ends_with_2_and_keeps_what_came_before(world: World) -> None:
    many = [lines.version_4() | {"measurement_start_time": f"2024-02-18 10:{n:02}:00"} for n in range(3)]
    whole = gzip.compress("".join(f"{json.dumps(one)}\n" for one in many).encode())
    good, cut = world.folder / "good.jsonl.gz", world.folder / "cut.jsonl.gz"
    good.write_bytes(whole)
    cut.write_bytes(whole[:-40])
    assert world.json("import", "ooni", str(good))["accepted"] == 3
    done = world.run("import", "ooni", str(cut))
    assert done.exit_code == 2
    assert "cut.jsonl.gz: it is damaged or cut short; what came before is kept" in done.stderr


def test_lines_that_cannot_be_taken_in_are_named_all_at_once(world: World) -> None:
    file = world.folder / "bad.jsonl"
    good = json.dumps(lines.version_4())
    file.write_text(f'{good}\nnot json\n\n{{"test_name": "telegram", "test_keys": {{"a": 1}}}}\n{"[" * 100_000}\n')
    done = world.run("import", "ooni", str(file))
    assert done.exit_code == 0
    assert done.stderr.splitlines() == [
        f"{file}:2: not JSON",
        f"{file}:4: not of the test web_connectivity",
        f"{file}:5: not JSON",
    ]
    assert done.stdout == "1 accepted (1 accessible), 0 duplicate, 3 refused\n"


def test_imported_history_is_labelled_and_says_nothing_of_the_present(world: World) -> None:
    world.json("import", "ooni", world.file("a", lines.version_4("connection_reset")))
    assert world.run("status").stdout == "Nothing has been measured yet.\n"
    assert "Nothing was measured by then" in world.run("status", "--at", "2024-02-25").stdout
    then = world.run("status", "--at", "2024-02-19").stdout
    assert "ooni-pk-as17557" in then
    assert "imported" in then
    history = world.run("history", "x-home").stdout
    assert "blocked likely tls.reset [imported from ooni]" in history
    only = world.run("history", "x-home", "--vantage", "ooni-pk-as17557", "--json")
    (row,) = [json.loads(line) for line in only.stdout.splitlines()]
    assert row["imported"]["label"]["blocking"] == "http-failure"
    assert rows(world, "SELECT kind, role, country, claimed_asn FROM vantage WHERE name = 'ooni-pk-as17557'") == [
        ("ooni", "test", "PK", 17557)
    ]


def test_imported_history_moves_neither_detector_nor_incident_nor_what_is_known_of_addresses(world: World) -> None:
    world.json("import", "ooni", world.file("a", lines.version_4("connection_reset"), lines.version_5()))
    for table in ("detector", "transition", "incident", "known_address", "alert"):
        assert rows(world, f"SELECT count(*) FROM {table}") == [(0,)], table  # noqa: S608 - names of our own


def test_imported_history_outlives_retention_and_expects_nothing(world: World) -> None:
    clock = SystemClock()
    long_ago = datetime(2024, 1, 1, tzinfo=UTC)
    store = Store.open(world.database, clock, spool_rows=10)
    here = VantageInfo(name="here", kind="direct")
    store.sync_configuration({"x": None}, [X_HOME], [here], "0", long_ago, intervals_seconds={"x-home": 300.0})
    store.close()
    world.json("import", "ooni", world.file("a", lines.version_4()))
    store = Store.open(world.database, clock, spool_rows=10)
    for hours in (0, 5):
        assert store.maintain(clock.now() + timedelta(hours=hours), Retention()).result(timeout=20)
    store.close()
    assert rows(world, "SELECT count(*) FROM measurement") == [(2,)]
    assert rows(
        world,
        "SELECT t.name, expected, runs, accessible FROM rollup_hour JOIN target t ON t.id = target_id "
        "JOIN vantage v ON v.id = vantage_id WHERE v.name = 'ooni-pk-as17557'",
    ) == [("x-home", 0.0, 1, 1)]


def test_a_vantage_of_ours_with_the_name_of_an_imported_one_is_left_alone(world: World) -> None:
    store = Store.open(world.database, SystemClock(), spool_rows=10)
    assert store.record(outcome(1, vantage="ooni-pk-as17557")).result(timeout=10)
    store.close()
    db = sqlite3.connect(world.database)
    db.execute("UPDATE vantage SET kind = 'direct'")
    db.commit()
    db.close()
    summary = world.json("import", "ooni", world.file("a", lines.version_4()))
    assert (summary["accepted"], summary["refused"]) == (0, 1)


def test_verdicts_on_imported_measurements_can_be_drawn_again(world: World) -> None:
    later = lines.version_5("connection_reset") | {"measurement_start_time": "2024-02-18 12:00:00"}
    world.json("import", "ooni", world.file("a", lines.version_4(), later, lines.older()))
    assert world.json("reclassify", "--verify") == {
        "rules_version": RULES_VERSION, "redrawn": 3, "changed": 0, "changes": [], "examples": [], "not_redrawn": {},
    }  # fmt: skip


def test_what_is_stored_of_an_imported_measurement_is_whole(world: World) -> None:
    world.json("import", "ooni", world.file("a", lines.version_5("connection_reset")))
    with Reader(world.database) as reader:
        stored = list(reader.measurements())
    assert all(one.is_genuine for one in stored)
    (judged,) = [one for one in stored if one.verdicts]
    assert judged.imported is not None
    assert judged.imported.uid == "20240218100001.123456_PK_webconnectivity_0123456789abcdef"
    assert judged.measurement.context.software == "ooni: ooniprobe-android 3.8.5 0.5.28"


@pytest.mark.parametrize("arguments", [("import", "ooni"), ("import", "ooni", "missing.jsonl")])
def test_a_mistake_in_the_command_ends_with_2(world: World, arguments: tuple[str, ...]) -> None:
    assert world.run(*arguments).exit_code == 2
