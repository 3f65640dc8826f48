import sqlite3
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace as _replace

from monitor.config.schema import Retention
from monitor.model.agent import Agent, Receipt, Token
from monitor.model.target import Target
from monitor.model.vantage import VantageInfo
from monitor.model.verdict import SeriesState, Status, Transition, Verdict
from monitor.store.connection import connect_writer
from monitor.store.reader import Reader
from monitor.store.recorder import Recorder
from monitor.store.rows import milliseconds
from monitor.store.schema import prepare
from monitor.store.store import Store, StoreEvent
from monitor.store.upkeep import expected_runs, upkeep
from tests.store.samples import ACCESSIBLE, BLOCKED, NOW, open_store, outcome, seconds

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
START = NOW.replace(minute=0)
RETENTION = Retention(measurements=100 * 86400.0, evidence=30 * 86400.0, rollups=1000 * 86400.0)
GREY = Verdict(status=Status.INCONCLUSIVE, rule="r", because="Nobody knows.", rules_version=1)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "monitor.db"


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    opened = open_store(path)
    yield opened
    opened.close()


def put(store: Store, *outcomes: Any) -> None:
    for future in [store.record(one) for one in outcomes]:
        assert future.result(30)


def rows(path: Path, sql: str) -> list[tuple[Any, ...]]:
    db = sqlite3.connect(path)
    found = db.execute(sql).fetchall()
    db.close()
    return found


def test_an_hour_counts_each_status_and_its_timings(store: Store, path: Path) -> None:
    verdicts = (ACCESSIBLE, ACCESSIBLE, BLOCKED, GREY, None)
    put(
        store,
        *(
            outcome(i + 1, START + seconds(300 * i), verdict=verdict, elapsed_seconds=0.1 * (i + 1))
            for i, verdict in enumerate(verdicts)
        ),
    )
    assert store.maintain(START + HOUR, RETENTION).result(30)
    assert rows(
        path,
        "SELECT hour, runs, kept, accessible, blocked, inconclusive, elapsed_microseconds_sum, "
        "elapsed_microseconds_min, elapsed_microseconds_max FROM rollup_hour",
    ) == [(milliseconds(START), 5, 3, 2, 1, 1, 300_000, 100_000, 200_000)]


def test_the_hour_that_is_not_over_is_not_counted(store: Store, path: Path) -> None:
    put(store, outcome(1, START))
    assert store.maintain(START + seconds(3599), RETENTION).result(30)
    assert rows(path, "SELECT * FROM rollup_hour") == []


def test_a_late_row_brings_its_hour_up_to_date(store: Store, path: Path) -> None:
    put(store, outcome(1, START))
    assert store.maintain(START + 2 * HOUR, RETENTION).result(30)
    put(store, outcome(2, START + seconds(1), verdict=BLOCKED))
    assert store.maintain(START + 2 * HOUR, RETENTION).result(30)
    assert rows(path, "SELECT runs, accessible, blocked FROM rollup_hour") == [(2, 1, 1)]


def test_a_late_row_does_not_undo_the_count_of_an_hour_whose_raw_rows_are_gone(store: Store, path: Path) -> None:
    put(store, outcome(1, START), outcome(2, START))
    assert store.maintain(START + 200 * DAY, RETENTION).result(30)
    put(store, outcome(3, START))
    assert store.maintain(START + 200 * DAY, RETENTION).result(30)
    assert rows(path, "SELECT runs FROM rollup_hour") == [(2,)]


def test_hours_without_runs_show_how_many_were_expected(store: Store, path: Path) -> None:
    targets = [Target(name="x-home", platform="x", url="https://x.com/")]
    vantages = [VantageInfo(name="lahore", kind="direct")]
    store.sync_configuration(
        {"x": "X"}, targets, vantages, "d", START + HOUR / 2, intervals_seconds={"x-home": 300.0}
    ).result(30)
    put(store, outcome(1, START + HOUR / 2))
    assert store.maintain(START + HOUR, RETENTION).result(30)
    assert store.maintain(START + 3 * HOUR, RETENTION).result(30)
    assert rows(path, "SELECT expected, runs FROM rollup_hour ORDER BY hour") == [(6.0, 1), (12.0, 0), (12.0, 0)]


def test_expected_runs_follow_the_interval_in_force() -> None:
    schedule = [(0, 60.0), (1_800_000, 300.0), (2_700_000, None)]
    assert expected_runs(schedule, 0, 3_600_000) == 33
    assert expected_runs(schedule, 3_600_000, 7_200_000) == 0
    assert expected_runs([], 0, 3_600_000) == 0


RUNS = st.lists(
    st.tuples(st.integers(0, 6 * 3600), st.sampled_from((ACCESSIBLE, BLOCKED, GREY, None)), st.integers(1, 9)),
    min_size=1,
    max_size=30,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25, deadline=None)
@given(RUNS, st.lists(st.integers(0, 7), max_size=4))
def test_rollups_equal_a_recomputation_from_the_raw_rows(
    tmp_path: Path, runs: list[tuple[int, Verdict | None, int]], turns: list[int]
) -> None:
    path = tmp_path / "monitor.db"
    path.unlink(missing_ok=True)
    prepare(path)
    db = connect_writer(path)
    db.execute("PRAGMA synchronous = OFF")
    recorder = Recorder(db)
    # Upkeep runs at odd times between late and early rows; the last one comes after everything.
    for number, (offset, verdict, tenths) in enumerate(runs, 1):
        run = outcome(number, START + seconds(offset), verdict=verdict, elapsed_seconds=tenths / 10)
        recorder.outcome(run, START)
        if number in turns:
            _turn(db, START + HOUR * number)
    _turn(db, START + 8 * HOUR)
    counted = db.execute(
        "SELECT hour, runs, kept, accessible, blocked, inconclusive, elapsed_microseconds_sum FROM rollup_hour "
        "WHERE runs > 0 ORDER BY hour"
    ).fetchall()
    db.close()
    expected = []
    for hour in sorted({offset // 3600 for offset, _, _ in runs}):
        inside = [(verdict, tenths) for offset, verdict, tenths in runs if offset // 3600 == hour]
        statuses = [verdict.status for verdict, _ in inside if verdict]
        good = [tenths * 100_000 for verdict, tenths in inside if verdict is ACCESSIBLE]
        grey = statuses.count(Status.INCONCLUSIVE)
        expected.append(
            (
                milliseconds(START + hour * HOUR),
                len(inside),
                len(statuses) - grey,
                len(good),
                statuses.count(Status.BLOCKED),
                grey,
                sum(good),
            )
        )
    assert counted == expected


def test_old_measurements_go_and_what_a_verdict_rests_on_stays(store: Store, path: Path) -> None:
    put(
        store,
        outcome(1, START, vantage="frankfurt", verdict=None, body=b"control"),
        outcome(2, START, vantage="frankfurt", verdict=None),
        outcome(3, START + seconds(60), verdict=BLOCKED, control_ids=(1,), body=b"blocked"),
        outcome(4, START + seconds(120), body=b"fine"),
        outcome(5, START + 90 * DAY),
    )
    assert store.maintain(START + 101 * DAY, RETENTION).result(30)
    assert rows(path, "SELECT id FROM measurement ORDER BY id") == [(1,), (3,), (5,)]
    assert rows(path, "SELECT DISTINCT measurement_id FROM observation ORDER BY 1") == [(1,), (3,), (5,)]
    assert rows(path, "SELECT count(*) FROM http_exchange") == [(3,)]
    assert rows(path, "SELECT measurement_id FROM verdict ORDER BY 1") == [(3,), (5,)]
    with Reader(path) as reader:
        for measurement_id, content in ((1, b"control"), (3, b"blocked")):
            stored = reader.measurement(measurement_id)
            assert stored is not None
            assert stored.is_genuine
            assert reader.evidence(stored.evidence[0].sha256) == content
    assert rows(path, "SELECT sum(runs) FROM rollup_hour") == [(5,)]
    assert rows(path, "PRAGMA foreign_key_check") == []


def test_evidence_of_accessible_runs_expires_first_and_leaves_its_digest(store: Store, path: Path) -> None:
    put(store, outcome(1, START, body=b"fine"), outcome(2, START, verdict=BLOCKED, body=b"blocked"))
    assert store.maintain(START + 31 * DAY, RETENTION).result(30)
    with Reader(path) as reader:
        fine, blocked = reader.measurement(1), reader.measurement(2)
        assert fine is not None
        assert blocked is not None
        assert (fine.evidence[0].is_held, blocked.evidence[0].is_held) == (False, True)
        assert reader.evidence(fine.evidence[0].sha256) is None
        assert fine.is_genuine
    assert store.maintain(START + 101 * DAY, RETENTION).result(30)
    assert rows(path, "SELECT count(*) FROM evidence") == [(1,)]


@pytest.mark.parametrize(("distance", "stays"), [(DAY - HOUR, True), (DAY + HOUR, False)])
def test_what_lies_within_a_day_of_a_transition_stays(
    store: Store, path: Path, distance: timedelta, *, stays: bool
) -> None:
    transition = Transition(
        target="x-home",
        vantage="lahore",
        at=START + distance,
        before=SeriesState.ACCESSIBLE,
        after=SeriesState.NOT_ACCESSIBLE,
        status=Status.BLOCKED,
        score=9,
    )
    put(store, outcome(1, START, body=b"fine"), outcome(2, START + distance, verdict=BLOCKED, transition=transition))
    assert store.maintain(START + 200 * DAY, RETENTION).result(30)
    with Reader(path) as reader:
        stored = reader.measurement(1)
        assert (stored is not None) == stays
        if stored is not None:
            assert reader.evidence(stored.evidence[0].sha256) == b"fine"
        assert len(reader.transitions()) == 1


def test_facts_out_of_use_are_swept_and_those_still_needed_stay(store: Store, path: Path) -> None:
    put(
        store,
        outcome(1, START, target="gone", body=b"a"),
        outcome(2, START, target="kept", verdict=BLOCKED, body=b"b"),
    )
    other = outcome(3, START, target="gone")
    url = "https://other.example/"
    http = other.recording.measurement.observations[1]
    changed = _replace(
        other,
        recording=_replace(
            other.recording, measurement=_replace(other.recording.measurement, observations=(_replace(http, url=url),))
        ),
    )
    put(store, changed)
    assert len(rows(path, "SELECT id FROM observation_facts")) == 3
    assert store.maintain(START + 102 * DAY, RETENTION).result(30)
    assert rows(path, f"SELECT count(*) FROM observation_facts WHERE facts LIKE '%{url}%'") == [(0,)]  # noqa: S608 -- a constant of this test
    with Reader(path) as reader:
        stored = reader.measurement(2)
        assert stored is not None
        assert stored.is_genuine
    # What was swept comes back when it is seen again.
    put(store, _at(changed, 4, START + 103 * DAY))
    with Reader(path) as reader:
        again = reader.measurement(4)
        assert again is not None
        assert again.is_genuine


def test_circumstances_go_when_no_verdict_rests_on_them_any_more(store: Store, path: Path) -> None:
    put(
        store,
        outcome(1, START, target="gone", circumstances='{"country":"IN"}'),
        outcome(2, START, target="kept", verdict=BLOCKED, circumstances='{"country":"PK"}'),
        outcome(3, START + 101 * DAY, target="kept", circumstances="{}"),
    )
    assert store.maintain(START + 102 * DAY, RETENTION).result(30)
    assert rows(path, "SELECT content FROM circumstances ORDER BY content") == [('{"country":"PK"}',), ("{}",)]
    put(store, outcome(4, START + 103 * DAY, circumstances='{"country":"IN"}'))
    with Reader(path) as reader:
        again = reader.measurement(4)
    assert again is not None
    assert again.verdicts[0].circumstances == '{"country":"IN"}'


def test_rollups_have_a_time_of_their_own(store: Store, path: Path) -> None:
    put(store, outcome(1, START))
    assert store.maintain(START + HOUR, RETENTION).result(30)
    put(store, outcome(2, START + 1001 * DAY))
    assert store.maintain(START + 1001 * DAY, RETENTION).result(30)
    assert rows(path, f"SELECT count(*) FROM rollup_hour WHERE hour = {milliseconds(START)}") == [(0,)]  # noqa: S608 -- a number


def test_upkeep_is_done_in_slices_that_let_runs_through(path: Path) -> None:
    prepare(path)
    db = connect_writer(path)
    recorder = Recorder(db)
    db.execute("BEGIN")
    for number in range(1, 1001):
        recorder.outcome(outcome(number, START + seconds(number)), START)
    db.execute("COMMIT")
    slices = 0
    for _ in upkeep(db, START + 200 * DAY, RETENTION):
        slices += 1
    assert slices >= 5
    assert db.execute("SELECT count(*) FROM measurement").fetchone() == (0,)
    db.close()


def test_upkeep_that_cannot_be_done_does_not_stop_the_writer(path: Path) -> None:
    events: list[StoreEvent] = []
    store = open_store(path, on_event=events.append)
    put(store, outcome(1, START))
    db = sqlite3.connect(path)
    db.execute("ALTER TABLE rollup_dirty RENAME TO elsewhere")
    db.close()
    assert store.maintain(START + DAY, RETENTION).result(30) is False
    db = sqlite3.connect(path)
    db.execute("ALTER TABLE elsewhere RENAME TO rollup_dirty")
    db.close()
    put(store, outcome(2, START))
    store.close()
    assert [event.kind for event in events] == ["upkeep_failed"]


def _turn(db: sqlite3.Connection, at: datetime) -> None:
    for _ in upkeep(db, at, RETENTION):
        pass


def _at(run: Any, measurement_id: int, at: datetime) -> Any:
    measurement = _replace(run.recording.measurement, id=measurement_id, started_at=at)
    return _replace(run, recording=_replace(run.recording, measurement=measurement))


def test_names_of_results_outlive_every_spool_and_then_go(store: Store, path: Path) -> None:
    agent = Agent(id="a", vantage="lahore", token_id="", public_key=bytes(32), enrolled_at=NOW, consent_version=1)
    store.invite(Token(id="", digest=bytes(32), vantage="lahore", created_at=NOW, expires_at=NOW))
    assert store.enrol(agent).result(30)
    for number, at in enumerate((NOW - 31 * DAY, NOW - 29 * DAY, NOW), 1):
        receipt = Receipt(agent="a", boot="b", sequence=number, received_at=at, told_at=at)
        put(store, _replace(outcome(number, at, verdict=ACCESSIBLE), receipt=receipt))
    assert store.maintain(NOW, RETENTION).result(30)
    assert rows(path, "SELECT sequence FROM agent_result ORDER BY sequence") == [(2,), (3,)]
    # The measurement itself has its own time.
    assert rows(path, "SELECT count(*) FROM measurement") == [(3,)]


def test_a_result_under_a_name_that_is_taken_is_not_written(store: Store, path: Path) -> None:
    agent = Agent(id="a", vantage="lahore", token_id="", public_key=bytes(32), enrolled_at=NOW, consent_version=1)
    store.invite(Token(id="", digest=bytes(32), vantage="lahore", created_at=NOW, expires_at=NOW))
    assert store.enrol(agent).result(30)
    receipt = Receipt(agent="a", boot="b", sequence=1, received_at=NOW, told_at=NOW)
    put(store, *(_replace(outcome(number, NOW, verdict=ACCESSIBLE), receipt=receipt) for number in (1, 2)))
    assert rows(path, "SELECT id FROM measurement") == [(1,)]
    # A token that is used up enrols nobody.
    assert not store.enrol(_replace(agent, id="c")).result(30)
    assert rows(path, "SELECT name FROM agent") == [("a",)]
