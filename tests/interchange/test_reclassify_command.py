import json
import sqlite3
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from monitor.classify.context import Context
from monitor.classify.facts import Facts
from monitor.classify.redraw import circumstances, context_from
from monitor.classify.rules import RULES_VERSION
from monitor.classify.verdict import classify, verdict_on
from monitor.config.schema import Retention
from monitor.daemon.reclassify import Redrawer
from monitor.model.measurement import Measurement
from monitor.model.outcome import Outcome
from monitor.model.verdict import Status
from monitor.network.clock import SystemClock
from monitor.store.reader import Reader
from monitor.store.store import Store
from tests.interchange.world import World
from tests.store.samples import NOW, outcome

CASES = sorted((Path(__file__).parents[1] / "classify" / "cases").iterdir())


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def judged(id_: int, *, version: int, status: Status, minutes: int = 0, **fields: Any) -> Outcome:
    """A run whose verdict was drawn by the rules of an earlier version, as if they had said something else."""
    made = outcome(id_, NOW + timedelta(minutes=minutes), vantage="here", **fields)
    context = Context(is_checked=False)
    drawn = classify(made.recording.measurement, context)
    verdict = msgspec.structs.replace(drawn, rules_version=version, status=status)
    kept = circumstances(made.recording.measurement, context)
    return msgspec.structs.replace(made, verdict=verdict, circumstances=kept)


def stored(world: World, *outcomes: Outcome) -> None:
    store = Store.open(world.database, SystemClock(), spool_rows=1000)
    written = [store.record(one) for one in outcomes]
    assert all(one.result(timeout=10) for one in written)
    store.close()


def rows(world: World, sql: str) -> list[tuple[Any, ...]]:
    db = sqlite3.connect(world.database)
    try:
        return db.execute(sql).fetchall()
    finally:
        db.close()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_every_golden_case_is_judged_the_same_from_what_would_be_stored_of_it(case: Path) -> None:
    measurement = msgspec.json.decode((case / "measurement.json").read_bytes(), type=Measurement)
    context = msgspec.json.decode((case / "context.json").read_bytes(), type=Context)
    again = context_from(
        circumstances(measurement, context), controls=context.controls, isolation=context.isolation,
        bodies=context.bodies, fingerprints=context.fingerprints,
        state_before=context.state_before, state_after=context.state_after,
    )  # fmt: skip
    assert verdict_on(Facts(measurement, again)) == verdict_on(Facts(measurement, context))


def test_verdicts_of_older_rules_get_new_ones_beside_them(world: World) -> None:
    stored(world, *(judged(n, version=0, status=Status.BLOCKED, minutes=n) for n in range(1, 4)))
    old = rows(world, "SELECT * FROM verdict ORDER BY measurement_id")
    summary = world.json("reclassify")
    assert (summary["redrawn"], summary["changed"]) == (3, 3)
    (change,) = summary["changes"]
    assert (change["before"].split()[0], change["after"].split()[0], change["count"]) == ("blocked", "inconclusive", 3)
    assert [one["measurement"] for one in summary["examples"]] == [1, 2, 3]
    assert rows(world, "SELECT * FROM verdict WHERE rules_version = 0 ORDER BY measurement_id") == old
    assert rows(world, "SELECT count(*) FROM verdict WHERE rules_version > 0") == [(3,)]
    assert rows(world, "SELECT DISTINCT status FROM measurement_detail") == [("inconclusive",)]


def test_the_same_rules_change_nothing_a_second_time(world: World) -> None:
    stored(world, judged(1, version=0, status=Status.BLOCKED))
    world.json("reclassify")
    before = rows(world, "SELECT * FROM verdict")
    assert world.json("reclassify")["redrawn"] == 0
    assert rows(world, "SELECT * FROM verdict") == before


def test_a_dry_run_says_what_would_change_and_writes_nothing(world: World) -> None:
    stored(world, judged(1, version=0, status=Status.BLOCKED))
    assert world.json("reclassify", "--dry-run")["changed"] == 1
    assert rows(world, "SELECT rules_version FROM verdict") == [(0,)]


def test_only_what_is_asked_for_is_drawn_again(world: World) -> None:
    stored(
        world,
        judged(1, version=0, status=Status.BLOCKED),
        judged(2, version=0, status=Status.BLOCKED, minutes=60),
        judged(3, version=0, status=Status.BLOCKED, target="other"),
    )
    since = (NOW + timedelta(minutes=30)).isoformat()
    summary = world.json("reclassify", "--since", since, "--target", "x-home")
    assert [one["measurement"] for one in summary["examples"]] == [2]


def test_runs_of_status_follow_the_new_verdicts(world: World) -> None:
    stored(world, *(judged(n, version=0, status=Status.BLOCKED, minutes=n) for n in range(1, 6)))
    middle = ("--since", (NOW + timedelta(minutes=2)).isoformat(), "--until", (NOW + timedelta(minutes=4)).isoformat())
    world.json("reclassify", *middle)
    runs = "SELECT (started_at - (SELECT min(started_at) FROM measurement)) / 60000, status FROM status_run ORDER BY 1"
    assert rows(world, runs) == [(0, "blocked"), (1, "inconclusive"), (3, "blocked")]
    world.json("reclassify")
    assert rows(world, runs) == [(0, "inconclusive")]


def test_hours_are_counted_again(world: World) -> None:
    stored(world, judged(1, version=0, status=Status.BLOCKED))
    clock = SystemClock()

    def upkeep() -> list[tuple[Any, ...]]:
        store = Store.open(world.database, clock, spool_rows=10)
        assert store.maintain(NOW + timedelta(hours=2), Retention()).result(timeout=20)
        store.close()
        return rows(world, "SELECT blocked, inconclusive FROM rollup_hour WHERE runs = 1")

    assert upkeep() == [(1, 0)]
    world.json("reclassify")
    assert upkeep() == [(0, 1)]


def test_what_was_drawn_without_circumstances_or_rests_on_what_is_gone_is_left_and_counted(world: World) -> None:
    old = msgspec.structs.replace(judged(1, version=0, status=Status.BLOCKED), circumstances=None)
    gone = msgspec.structs.replace(judged(2, version=0, status=Status.BLOCKED, minutes=1), control_ids=(77,))
    stored(world, old, gone)
    summary = world.json("reclassify")
    assert summary["redrawn"] == 0
    assert summary["not_redrawn"] == {
        "drawn before their circumstances were kept": 1,
        "their control or isolating run has expired": 1,
    }
    assert rows(world, "SELECT count(*) FROM verdict") == [(2,)]


def test_a_verdict_whose_page_is_gone_is_left_as_it_is(world: World) -> None:
    stored(world, judged(1, version=0, status=Status.BLOCKED, body=b"HTTP/1.1 200\r\n\r\npage"))
    db = sqlite3.connect(world.database)
    db.execute("UPDATE evidence SET content = NULL")
    db.commit()
    db.close()
    (obstacle,) = world.json("reclassify")["not_redrawn"]
    assert obstacle == "a response they rest on has expired or was never kept"


def test_verifying_tells_a_verdict_that_its_facts_do_not_bear(world: World) -> None:
    stored(
        world,
        judged(1, version=RULES_VERSION, status=Status.INCONCLUSIVE),
        judged(2, version=RULES_VERSION, status=Status.BLOCKED, minutes=1),
    )
    done = world.run("reclassify", "--verify", "--json")
    assert done.exit_code == 1
    assert [one["measurement"] for one in json.loads(done.stdout)["examples"]] == [2]
    assert rows(world, "SELECT count(*) FROM verdict") == [(2,)]


def test_it_goes_on_beside_a_writer(world: World) -> None:
    stored(world, *(judged(n, version=0, status=Status.BLOCKED, minutes=n) for n in range(1, 300)))
    daemon = Store.open(world.database, SystemClock(), spool_rows=1000)
    written = [
        daemon.record(judged(1000 + n, version=RULES_VERSION, status=Status.INCONCLUSIVE, minutes=-n))
        for n in range(1, 200)
    ]
    summary = world.json("reclassify")
    daemon.close()
    assert all(one.result(timeout=0) for one in written)
    assert summary["redrawn"] == 299
    with Reader(world.database) as reader:
        assert all(one.stored.verdicts for one in Redrawer(reader).all(reader.measurements()))
