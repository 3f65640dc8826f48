import json
import sqlite3
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from monitor.daemon.ooni_aggregation import AggregationError, Wanted, fetch
from monitor.interchange.ooni_aggregation import AnswerError, counts_from
from monitor.store.reader import Reader
from monitor.store.store import Store
from tests.interchange.world import World
from tests.store.samples import FixedClock

FEBRUARY = Wanted(country="PK", domain="x.com", test="web_connectivity", since=date(2024, 2, 1), until=date(2024, 3, 1))
Answer = tuple[int, dict[str, str], bytes]


def row(day: str = "2024-02-17", asn: object = 17557, **counts: Any) -> dict[str, Any]:
    found = {"measurement_count": 5, "ok_count": 1, "anomaly_count": 3, "confirmed_count": 0, "failure_count": 1}
    return {"measurement_start_day": day, "probe_asn": asn} | found | counts


def body(*rows: object) -> bytes:
    return json.dumps({"dimension_count": 2, "result": list(rows), "v": 0}).encode()


class Api:
    """A server on loopback that answers as it is told and remembers what it was asked."""

    def __init__(self, answer: Callable[[dict[str, str]], Answer]) -> None:
        self.asked: list[dict[str, str]] = []
        self.agents: list[str] = []
        api = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                parts = urlsplit(self.path)
                query = dict(parse_qsl(parts.query))
                api.asked.append(query | {"path": parts.path})
                api.agents.append(self.headers["User-Agent"])
                status, headers, content = answer(query)
                self.send_response(status)
                for name, value in (headers | {"Content-Length": str(len(content))}).items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def serve() -> Iterator[Callable[[Callable[[dict[str, str]], Answer]], Api]]:
    running: list[Api] = []

    def start(answer: Callable[[dict[str, str]], Answer]) -> Api:
        running.append(Api(answer))
        return running[-1]

    yield start
    for one in running:
        one.close()


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def ask(world: World, api: Api, wanted: Wanted, at: datetime, pauses: list[float] | None = None) -> int:
    clock = FixedClock(at)
    store = Store.open(world.database, clock, spool_rows=10)
    try:
        with Reader(world.database) as reader:
            noted = [] if pauses is None else pauses
            return fetch(wanted, api.url, store, reader, clock=clock, progress=lambda _: None, pause=noted.append)
    finally:
        store.close()


NOW = datetime(2024, 6, 1, tzinfo=UTC)


def test_counts_are_asked_for_and_stored_as_ooni_gives_them(world: World, serve: Any) -> None:
    api = serve(lambda _: (200, {}, body(row(), row("2024-02-18T00:00:00Z", "AS9541"))))
    command = ("import", "ooni-aggregation", "--country", "pk", "--domain", "X.com")
    dates = ("--since", "2024-02-16", "--until", "2024-02-20")
    assert world.json(*command, *dates, "--api", api.url) == {"rows": 2}
    assert api.asked == [
        {
            "path": "/api/v1/aggregation", "probe_cc": "PK", "domain": "x.com", "test_name": "web_connectivity",
            "since": "2024-02-16", "until": "2024-02-20", "time_grain": "day", "axis_x": "measurement_start_day",
            "axis_y": "probe_asn",
        }
    ]  # fmt: skip
    assert api.agents[0].startswith("access-monitor/")
    db = sqlite3.connect(world.database)
    assert db.execute("SELECT asn, measurements, anomaly FROM ooni_aggregation ORDER BY day").fetchall() == [
        (17557, 5, 3),
        (9541, 5, 3),
    ]
    assert db.execute("SELECT count(*) FROM verdict").fetchone() == (0,)
    db.close()


def test_days_that_are_known_are_not_asked_for_again_and_young_ones_are(world: World, serve: Any) -> None:
    api = serve(lambda _: (200, {}, body()))
    ask(world, api, FEBRUARY, at=datetime(2024, 2, 25, tzinfo=UTC))
    ask(world, api, FEBRUARY, at=NOW)
    ask(world, api, FEBRUARY, at=NOW)
    assert [(one["since"], one["until"]) for one in api.asked] == [
        ("2024-02-01", "2024-03-01"),
        ("2024-02-23", "2024-03-01"),
    ]


def test_a_long_time_is_asked_for_a_month_at_a_time_with_a_pause_between(world: World, serve: Any) -> None:
    api = serve(lambda _: (200, {}, body()))
    pauses: list[float] = []
    ask(world, api, Wanted("PK", "x.com", "web_connectivity", date(2024, 1, 1), date(2024, 3, 15)), NOW, pauses)
    assert [(one["since"], one["until"]) for one in api.asked] == [
        ("2024-01-01", "2024-01-31"),
        ("2024-01-31", "2024-03-01"),
        ("2024-03-01", "2024-03-15"),
    ]
    assert pauses == [1.0, 1.0]


def test_a_busy_server_is_left_in_peace_for_as_long_as_it_asks(world: World, serve: Any) -> None:
    answers = [(429, {"Retry-After": "17"}, b""), (503, {}, b""), (200, {}, body(row()))]
    api = serve(lambda _: answers.pop(0))
    pauses: list[float] = []
    assert ask(world, api, FEBRUARY, NOW, pauses) == 1
    assert pauses == [17.0, 2.0]


def test_what_came_before_a_failure_is_kept_and_not_asked_for_again(world: World, serve: Any) -> None:
    is_well = [True, False]
    api = serve(lambda _: (200, {}, body(row("2024-01-05"))) if is_well.pop(0) else (400, {}, b""))
    wanted = Wanted("PK", "x.com", "web_connectivity", date(2024, 1, 1), date(2024, 2, 15))
    with pytest.raises(AggregationError, match="HTTP status 400"):
        ask(world, api, wanted, NOW)
    is_well.append(True)
    ask(world, api, wanted, NOW)
    assert [one["since"] for one in api.asked] == ["2024-01-01", "2024-01-31", "2024-01-31"]


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ((429, {"Retry-After": "86400"}, b""), "asks for 86400 s of patience"),
        ((200, {}, b"<html>"), "not JSON"),
        ((200, {}, b'{"result": {"ok_count": 1}}'), "result: must be a list"),
        ((302, {"Location": "http://127.0.0.1:9/"}, b""), "HTTP status 302"),
    ],
)
def test_an_answer_of_no_use_ends_it_plainly(world: World, serve: Any, answer: Answer, why: str) -> None:
    api = serve(lambda _: answer)
    with pytest.raises(AggregationError, match=why):
        ask(world, api, FEBRUARY, NOW)


def test_files_with_answers_are_taken_as_well(world: World) -> None:
    file = world.folder / "answer.json"
    file.write_bytes(body(row() | {"probe_cc": "PK", "domain": "x.com"}))
    assert world.json("import", "ooni-aggregation", str(file)) == {"rows": 1}
    assert "OONI's own counts (imported; not verdicts of this program)" in world.run("history", "x-home").stdout


def test_every_mistake_in_a_file_is_named(world: World) -> None:
    file = world.folder / "answer.json"
    file.write_bytes(body(row("yesterday"), row(ok_count=-1), 7))
    done = world.run("import", "ooni-aggregation", str(file), "--country", "PK", "--domain", "x.com")
    assert done.exit_code == 2
    assert done.stderr.splitlines()[:2] == [
        f"{file}: result[0].measurement_start_day: must be a day such as 2024-02-17",
        f"{file}: result[1].ok_count: must be a count",
    ]


def test_a_row_that_names_no_country_needs_the_option() -> None:
    with pytest.raises(AnswerError, match="probe_cc: names no country; give --country"):
        counts_from(body(row()), country=None, domain="x.com", test="web_connectivity")


@pytest.mark.parametrize("arguments", [(), ("--country", "PK"), ("--country", "Pakistan", "--domain", "x.com")])
def test_what_is_not_enough_to_ask_is_a_mistake_in_the_command(world: World, arguments: tuple[str, ...]) -> None:
    assert world.run("import", "ooni-aggregation", *arguments).exit_code == 2
