"""The sync with Grafana's annotation API, against a server on loopback that answers as its documentation says."""

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from monitor.events.annotation import Mark
from monitor.events.grafana import OWN_TAG, Grafana, GrafanaError, plan, wanted
from monitor.events.record import Phase
from tests.fakes.events import BLOCK, CALENDAR, ORDER, calendar, dated, event

NOW = datetime(2026, 11, 27, 12, 34, tzinfo=UTC)
TOKEN = "glsa_a-made-up-token"  # noqa: S105 -- made up


class FakeGrafana:
    """Annotations as Grafana keeps them; `answers` are given first, whatever is asked."""

    def __init__(self) -> None:
        self.annotations: dict[int, dict[str, Any]] = {}
        self.answers: list[tuple[int, Mapping[str, str], bytes]] = []
        self.asked: list[tuple[str, str]] = []
        self._next = 1

    def add(self, **fields: Any) -> int:
        number, self._next = self._next, self._next + 1
        known: dict[str, Any] = {
            "id": number,
            "alertId": 0,
            "dashboardUID": None,
            "panelId": 0,
            "userId": 1,
            "text": "",
            "tags": [],
        }
        self.annotations[number] = known | {"timeEnd": fields.get("time", 0)} | fields
        return number

    def find(self, query: Mapping[str, list[str]]) -> list[dict[str, Any]]:
        since, until = int(query["from"][0]), int(query["to"][0])
        found = [
            one
            for one in self.annotations.values()
            if set(query["tags"]) <= set(one["tags"]) and one["time"] <= until and one["timeEnd"] >= since
        ]
        found.sort(key=lambda one: one["timeEnd"], reverse=True)
        return found[: int(query["limit"][0])]

    def answer(self, method: str, path: str, body: bytes) -> tuple[int, Any]:
        url = urlsplit(path)
        if (method, url.path) == ("GET", "/api/annotations"):
            return 200, self.find(parse_qs(url.query))
        if (method, url.path) == ("POST", "/api/annotations"):
            return 200, {"message": "Annotation added", "id": self.add(**json.loads(body))}
        number = int(url.path.removeprefix("/api/annotations/"))
        if number not in self.annotations:
            return 404, {"message": "Annotation not found"}
        if method == "PUT":
            self.annotations[number] |= json.loads(body)
            return 200, {"message": "Annotation updated"}
        del self.annotations[number]
        return 200, {"message": "Annotation deleted"}

    @contextmanager
    def serving(self) -> Iterator[str]:
        fake = self

        class Handler(BaseHTTPRequestHandler):
            def _serve(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                fake.asked.append((self.command, self.path))
                if self.headers.get("Authorization") != f"Bearer {TOKEN}":
                    return self._send(401, {}, b'{"message":"Invalid API key"}')
                if fake.answers:
                    return self._send(*fake.answers.pop(0))
                status, value = fake.answer(self.command, self.path, body)
                return self._send(status, {}, json.dumps(value).encode())

            do_GET = do_POST = do_PUT = do_DELETE = _serve  # noqa: N815 -- names of the library

            def _send(self, status: int, headers: Mapping[str, str], content: bytes) -> None:
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            server.server_close()
            thread.join()


@pytest.fixture
def fake() -> FakeGrafana:
    return FakeGrafana()


class Pushing:
    """The command's two steps, with a clock that stands and waits that are noted."""

    def __init__(self, url: str, token: str = TOKEN, page: int = 1000) -> None:
        self.waits: list[float] = []
        self.client = httpx.Client(base_url=url, timeout=5)
        self.server = Grafana(self.client, token, now=lambda: NOW, sleep=self.waits.append, page=page)

    def push(self, marks: tuple[Mark, ...], now: datetime = NOW) -> tuple[int, int, int, int]:
        steps = plan(self.server.annotations(), wanted(marks, now))
        self.server.carry_out(steps)
        return len(steps.create), len(steps.update), len(steps.delete), steps.unchanged


@pytest.fixture
def pushing(fake: FakeGrafana) -> Iterator[Pushing]:
    with fake.serving() as url:
        found = Pushing(url)
        with found.client:
            yield found


def test_a_region_and_a_point_are_created(fake: FakeGrafana, pushing: Pushing) -> None:
    assert pushing.push(CALENDAR.marks) == (4, 0, 0, 0)
    by_tag = {tag: one for one in fake.annotations.values() for tag in one["tags"] if tag.startswith("event:")}
    block, order = by_tag[f"event:{BLOCK.id}"], by_tag[f"event:{ORDER.id}"]
    # An open end is the hour that has begun.
    assert block["timeEnd"] == NOW.replace(minute=0).timestamp() * 1000
    assert block["time"] == datetime(2026, 10, 31, 19, tzinfo=UTC).timestamp() * 1000
    assert order["time"] == order["timeEnd"]
    assert {OWN_TAG, "block", "PK", "x"} <= set(block["tags"])
    assert order["text"].startswith("Court orders &lt;b&gt;X&lt;/b&gt; opened, and\n")


def test_a_second_run_changes_nothing(fake: FakeGrafana, pushing: Pushing) -> None:
    pushing.push(CALENDAR.marks)
    before = json.dumps(fake.annotations)
    fake.asked.clear()
    assert pushing.push(CALENDAR.marks, NOW + timedelta(minutes=20)) == (0, 0, 0, 4)
    assert {method for method, _ in fake.asked} == {"GET"}
    assert json.dumps(fake.annotations) == before


def test_an_edited_event_is_updated_in_place_and_one_that_is_gone_is_deleted(
    fake: FakeGrafana, pushing: Pushing
) -> None:
    pushing.push(CALENDAR.marks)
    edited = event(ORDER.id, *ORDER.dates, kind=ORDER.kind, title={"en": "Another title"})
    assert pushing.push(calendar(edited).marks) == (0, 1, 3, 0)
    [left] = fake.annotations.values()
    assert left["text"].startswith("Another title\n")


def test_what_others_made_is_left_alone(fake: FakeGrafana, pushing: Pushing) -> None:
    fake.add(time=1, tags=["deploy"])
    fake.add(time=1, tags=[OWN_TAG, "by hand"])
    fake.add(time=1, tags=[OWN_TAG, "event:of-an-alert"], alertId=7)
    fake.add(time=1, tags=[OWN_TAG, "event:on-a-dashboard"], dashboardUID="abc")
    before = json.dumps(fake.annotations)
    assert pushing.push(()) == (0, 0, 0, 0)
    assert json.dumps(fake.annotations) == before


def test_an_annotation_that_is_there_twice_is_left_once(fake: FakeGrafana, pushing: Pushing) -> None:
    pushing.push(CALENDAR.marks)
    fake.add(**{key: value for key, value in fake.annotations[1].items() if key != "id"})
    assert pushing.push(CALENDAR.marks) == (0, 0, 1, 4)
    assert len(fake.annotations) == 4


def test_more_than_a_page_is_found_by_halving_the_time(fake: FakeGrafana) -> None:
    days = [
        event(f"e{day}", dated(Phase.ORDERED, f"2026-10-{day:02}"), dated(Phase.LIFTED, "2026-11-01"))
        for day in range(1, 31)
    ]
    marks = calendar(*days).marks
    # Regions that all reach to the same day: halving tells them apart by their beginnings alone where pages are small.
    points = tuple(
        mark
        for mark in calendar(
            *[
                event(f"p{d}", dated(Phase.COURT_ORDERED, f"2026-10-{d:02}T10:00"), is_end_unknown=True)
                for d in range(1, 31)
            ]
        ).marks
    )
    with fake.serving() as url:
        small = Pushing(url, page=7)
        with small.client:
            assert small.push(points) == (30, 0, 0, 0)
            assert small.push(points) == (0, 0, 0, 30)
        large = Pushing(url)
        with large.client:
            assert large.push((*marks, *points)) == (30, 0, 0, 30)


def test_a_busy_server_is_waited_for_as_long_as_it_says(fake: FakeGrafana, pushing: Pushing) -> None:
    fake.answers = [
        (429, {"Retry-After": "7"}, b""),
        (503, {"Retry-After": "Fri, 27 Nov 2026 12:34:20 GMT"}, b""),
        (503, {"Retry-After": "99999"}, b""),
        (502, {}, b""),
    ]
    assert pushing.push(CALENDAR.marks) == (4, 0, 0, 0)
    assert pushing.waits == [7.0, 20.0, 60.0, 60.0]


def test_a_server_that_stays_busy_is_given_up(fake: FakeGrafana, pushing: Pushing) -> None:
    fake.answers = [(503, {}, b"")] * 10
    with pytest.raises(GrafanaError, match="is answered with status 503, 5 times"):
        pushing.push(CALENDAR.marks)
    assert pushing.waits == [1.0, 2.0, 4.0, 8.0]


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ((401, {}, b""), "the token is not known there"),
        ((403, {}, b""), "needs annotations:read"),
        ((404, {}, b""), "is that the address of a Grafana server"),
        ((302, {"Location": "https://elsewhere.example/"}, b""), "is answered with status 302"),
        ((200, {}, b"<html>"), "is not understood"),
        ((200, {}, b'[{"id": "one"}]'), "is not understood"),
    ],
)
def test_another_answer_ends_it_with_a_sentence(
    fake: FakeGrafana, pushing: Pushing, answer: tuple[int, Mapping[str, str], bytes], message: str
) -> None:
    fake.answers = [answer]
    with pytest.raises(GrafanaError, match=message) as refused:
        pushing.push(CALENDAR.marks)
    assert TOKEN not in str(refused.value)
    assert len(fake.asked) == 1


def test_a_server_that_is_not_there_is_told() -> None:
    with FakeGrafana().serving() as url:
        pass
    gone = Pushing(url)
    with gone.client, pytest.raises(GrafanaError, match="fails: ConnectError, 5 times"):
        gone.push(())


def test_what_is_deleted_already_is_no_mistake(fake: FakeGrafana, pushing: Pushing) -> None:
    pushing.push(CALENDAR.marks)
    steps = plan(pushing.server.annotations(), {})
    fake.annotations.clear()
    pushing.server.carry_out(steps)
    assert sum(method == "DELETE" for method, _ in fake.asked) == 4
