"""Every query, put to a real Prometheus and a real database that a real daemon fills in the laboratory."""

import sqlite3
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import pytest

from monitor.lab import Cut, Lab
from monitor.lab.pages import by_place, challenge
from tests.dashboards import history
from tests.dashboards.boards import BOARDS, Asked, filled, filled_promql, panels, promql, sql
from tests.dashboards.prometheus import PATIENCE_SECONDS, Prometheus, running
from tests.dashboards.test_promql import NOT_YET_EXPORTED
from tests.dashboards.test_rules import rules
from tests.fakes.mmdb import write_mmdb
from tests.scenarios.daemon import Daemon, configuration
from tests.scenarios.running import control_agent

ANNOTATION = ["time", "timeEnd", "title", "text", "tags", "id"]
ALL = {"${country:csv}": ".+", "${platform:csv}": ".+"}
SQL = sql()


@dataclass(frozen=True)
class Scene:
    daemon: Daemon
    prometheus: Prometheus


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """Four sites: one clean, one reset by name, one down everywhere, one behind a challenge; and a control."""
    folder = tmp_path_factory.mktemp("dashboards")
    with Lab() as lab:
        names = ("clean", "reset", "down", "challenged")
        for name in names:
            lab.site(f"{name}.lab.test", cut=Cut.RESET if name == "down" else None)
        lab.site("challenged.lab.test", by_place(challenge()))
        lab.censor("reset.lab.test", Cut.RESET)
        targets = {name: lab.url(f"{name}.lab.test") for name in names}
        with control_agent(lab, folder) as agent:
            write_mmdb(
                folder / "geo.mmdb", {"127.0.0.0/8": {"autonomous_system_number": 64500, "country": {"iso_code": "PK"}}}
            )
            geo = {"database": str(folder / "geo.mmdb")}
            events = {"files": [str(history.with_a_deadline_ahead(folder))]}
            daemon = Daemon(
                configuration(lab, folder, targets, control=agent, interval_seconds=2, geo=geo, events=events)
            )
            with daemon.running():
                address = daemon.get("/-/healthy").url.netloc.decode()
                with running(folder, address) as prometheus:
                    daemon.wait_for(lambda: daemon.metric("access_incident_active", platform="lab", country="PK") == 1)
                    yield Scene(daemon, prometheus)


@pytest.fixture(scope="module")
def past(scene: Scene, tmp_path_factory: pytest.TempPathFactory) -> Iterator[sqlite3.Connection]:
    """The daemon's database, with a simulated history of X in Pakistan from 2024 to 2025 put in."""
    path = tmp_path_factory.mktemp("history") / "history.db"
    with (
        closing(sqlite3.connect(f"file:{scene.daemon.database}?mode=ro", uri=True)) as source,
        closing(sqlite3.connect(path)) as copy,
    ):
        source.backup(copy)
    with closing(sqlite3.connect(path)) as db:
        history.simulate(db)
        yield db


def _is_instant(one: Asked) -> bool:
    """Tell whether a panel asks for the end of the range only."""
    return not any(
        target.get("expr") == one.text and target.get("range")
        for panel in panels(BOARDS[one.board])
        for target in panel.get("targets", [])
    )


def test_every_expression_returns_data(scene: Scene) -> None:
    waiting = [one for one in promql() if not any(name in one.text for name in NOT_YET_EXPORTED)]

    def unanswered() -> list[str]:
        for one in list(waiting):
            ask = scene.prometheus.now if _is_instant(one) else scene.prometheus.lately
            if ask(filled_promql(one.text)):
                waiting.remove(one)
        return [str(one) for one in waiting]

    end = time.monotonic() + PATIENCE_SECONDS
    while unanswered() and time.monotonic() < end:
        time.sleep(0.5)
    assert unanswered() == []


def _rests_on_what_is_exported(rule: dict[str, Any]) -> bool:
    recorded = {one["record"] for one in rules("record") if any(name in one["expr"] for name in NOT_YET_EXPORTED)}
    return not any(name in rule["expr"] for name in NOT_YET_EXPORTED.keys() | recorded)


def test_every_rule_is_evaluated_and_the_block_is_told(scene: Scene) -> None:
    names = [rule["record"] for rule in rules("record") if _rests_on_what_is_exported(rule)]
    scene.daemon.wait_for(lambda: all(scene.prometheus.now(name) for name in names))
    for rule in rules("alert"):
        scene.prometheus.now(rule["expr"])

    def told() -> set[str]:
        return {alert["labels"]["alertname"] for alert in scene.prometheus.alerts()}

    of_the_block = {
        rule["alert"]
        for rule in rules("alert")
        if rule["alert"] in {"AccessPlatformBlocked", "AccessPlatformBlockedEverywhere", "AccessNetworkBlocked"}
        and _rests_on_what_is_exported(rule)
    }
    scene.daemon.wait_for(lambda: of_the_block | {"AccessEventDeadlineNear"} <= told())
    (alert,) = (one for one in scene.prometheus.alerts() if one["labels"]["alertname"] == "AccessNetworkBlocked")
    labels = {name: alert["labels"][name] for name in ("platform", "country", "vantage", "severity")}
    assert labels == {"platform": "lab", "country": "PK", "vantage": "here", "severity": "info"}
    assert alert["annotations"]["summary"].startswith("lab is blocked at here (AS")
    assert told() & {"AccessVantageOffline", "AccessControlOffline", "AccessMonitorDown", "AccessNotMeasured"} == set()


def test_a_target_that_nobody_measures_any_more_is_told_to_be_not_measured(scene: Scene) -> None:
    (one,) = (one for one in promql() if one.place.startswith("Status by vantage"))
    codes = {
        (series["metric"]["target"], value)
        for series in scene.prometheus.lately(filled_promql(one.text))
        for _, value in series["values"]
    }
    assert ("reset", "6") in codes
    assert {value for target, value in codes if target == "clean"} == {"1"}
    # A day long the series says so itself, since a state timeline would draw its last state for ever.
    gone = filled_promql(one.text).replace('target_status{platform=~".+"', 'target_status{platform="gone"')
    assert scene.prometheus.lately(gone) == []
    ended = gone.replace(
        'present_over_time(access_target_status{platform="gone"',
        'present_over_time(access_target_status{platform=~".+"',
    )
    assert {value for series in scene.prometheus.lately(ended) for _, value in series["values"]} == {"0"}


def test_what_prometheus_reads_is_well_made(scene: Scene) -> None:
    text = scene.daemon.get("/metrics").text
    done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def _rows(db: sqlite3.Connection, one: Asked, values: dict[str, str]) -> tuple[list[str], list[tuple[Any, ...]]]:
    cursor = db.execute(filled(one.text, values))
    return [column[0] for column in cursor.description], cursor.fetchall()


@pytest.mark.parametrize("one", SQL, ids=str)
def test_every_query_returns_rows_from_the_past(past: sqlite3.Connection, one: Asked) -> None:
    range_ = {"$__from": history.BEGINNING, "$__to": history.TO, "${event}": history.EVENT}
    columns, everything = _rows(past, one, {**ALL, **range_})
    assert everything
    for name in one.times:
        values = [row[columns.index(name)] for row in everything]
        assert all(value is None or (isinstance(value, int) and 0 < value < 5_000_000_000) for value in values), name
    if one.place.startswith("annotation "):
        assert columns == ANNOTATION
        assert all(row[0] <= row[1] for row in everything)
        assert len({row[5] for row in everything}) == len(everything)
        assert all(", " not in (row[4] or "") for row in everything)
    # The same for one country and platform, and nothing at all of those that there are not.
    chosen = {"${country:csv}": "PK", "${platform:csv}": "x"}
    _, some = _rows(past, one, {**chosen, **range_})
    assert some
    nowhere = {"${country:csv}": "ZZ,YY", "${platform:csv}": "nothing"}
    _, none = _rows(past, one, {**nowhere, **range_})
    if "${platform:csv}" in one.text and one.place != "In one sentence":
        assert len(none) < len(everything) or not everything


def test_a_block_is_drawn_on_a_range_inside_it_and_its_false_endings_are_claims(past: sqlite3.Connection) -> None:
    inside = {"$__from": history.ms("2024-09-01"), "$__to": history.ms("2024-10-01")}
    (blocks,) = (one for one in SQL if (one.board, one.place) == ("overview", "annotation Blocks"))
    chosen = {"${country:csv}": "PK", "${platform:csv}": "x"}
    drawn = {row[5]: row for row in _rows(past, blocks, {**chosen, **inside})[1]}
    begun, ended = drawn["pk-x-block-2024"][:2]
    assert history.seconds("2024-02-16") < begun < history.seconds("2024-02-18")
    assert history.seconds("2025-05-06") < ended < history.seconds("2025-05-09")
    (claims,) = (one for one in SQL if (one.board, one.place) == ("overview", "annotation Claims and planned ends"))
    assert any(row[5].startswith("pk-x-block-2024:") for row in _rows(past, claims, {**chosen, **inside})[1])


def test_the_event_dashboard_tells_what_coincides_and_what_was_not_measured(past: sqlite3.Connection) -> None:
    def of(place: str, event: str) -> list[tuple[Any, ...]]:
        (one,) = (one for one in SQL if (one.board, one.place) == ("event", place))
        return _rows(past, one, {**ALL, "$__from": history.FROM, "$__to": history.TO, "${event}": event})[1]

    ((said,),) = of("In one sentence", "pk-x-block-2024")
    assert said.startswith("x was blocked in PK from ")
    assert said.endswith("Coincidence is not cause.")
    (karachi,) = (row for row in of("Before and after", "pk-x-block-2024") if row[1] == "karachi")
    assert karachi[2] == 1
    assert karachi[3] < 0.2
    # Lahore was measured only later.
    assert ("x", "lahore") in {row[:2] for row in of("Not measured then", "pk-x-block-2024")}
    ((said,),) = of("In one sentence", "pk-youtube-2012")
    assert said == "Not measured around this event."


def test_the_sentence_states_its_denominator_and_its_age(scene: Scene) -> None:
    (one,) = (one for one in SQL if (one.board, one.place) == ("overview", "In one sentence"))
    with closing(sqlite3.connect(f"file:{scene.daemon.database}?mode=ro", uri=True)) as db:
        ((said,),) = _rows(db, one, ALL)[1]
        ((nothing,),) = _rows(db, one, {"${country:csv}": "ZZ", "${platform:csv}": "lab"})[1]
    assert "is blocked in PK since" in said
    assert "tls.reset.sni on 1 of 1 networks measured; last measurement less than a minute ago." in said
    assert nothing == "Not measured in the last 24 hours."


@pytest.mark.parametrize("board", BOARDS)
def test_events_over_http_have_what_the_annotation_reads(scene: Scene, board: str) -> None:
    (one,) = (found for found in BOARDS[board]["annotations"]["list"] if found["name"] == "Events by HTTP")
    # Beside the queries of the database it would draw everything twice.
    assert one["enable"] is False
    september = {"${__from}": history.ms("2024-09-01"), "${__to}": history.ms("2024-10-01")}
    answer = scene.daemon.get(filled(one["target"]["url"], september))
    assert answer.status_code == 200
    drawn = {mark["id"]: mark for mark in answer.json()}
    assert "pk-x-block-2024" in drawn
    for mark in drawn.values():
        assert {column["selector"] for column in one["target"]["columns"]} <= mark.keys()
        assert 0 < mark["time"] <= mark["timeEnd"]
        assert all(isinstance(mark[key], int) for key in ("time", "timeEnd"))
