from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from monitor.config.schema import EventsConfig
from monitor.events.load import load_events
from monitor.model.place import Place
from monitor.web.page import render
from monitor.web.services import WebSettings
from tests.fakes.events import BLOCK, CALENDAR, ORDER
from tests.fakes.outcomes import NOW
from tests.fakes.services import STATUS, ScriptedServices
from tests.web.client import Client
from tests.web.test_web_page import BLOCKED

BUILTIN = load_events(EventsConfig(), (), NOW)
GRAFANA = "https://grafana.example.org"


def ms(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


def annotations(query: str = "", **options: Any) -> list[dict[str, Any]]:
    answer = Client(ScriptedServices(calendar=BUILTIN)).get(f"/api/v1/annotations{query}", **options)
    assert answer.status_code == 200
    found: list[dict[str, Any]] = answer.json()
    return found


def test_annotations_are_what_grafana_reads() -> None:
    found = Client(ScriptedServices()).get("/api/v1/annotations").json()
    assert [one["id"] for one in found] == [BLOCK.id, f"{BLOCK.id}:claim-3", ORDER.id, f"{BLOCK.id}:claim-2"]
    block = found[0]
    assert set(block) == {
        "id", "time", "timeEnd", "title", "text", "tags", "kind", "country", "platform", "status", "url"
    }  # fmt: skip
    assert block["time"] == ms("2026-10-31T19:00")
    # Grafana knows no open end.
    assert block["timeEnd"] == int(NOW.timestamp() * 1000)
    assert (block["tags"], block["kind"], block["country"], block["platform"]) == ("block,PK,x", "block", "PK", "x")


def test_a_region_that_began_before_the_range_and_ends_after_it_is_there() -> None:
    query = f"?from={ms('2024-06-01')}&to={ms('2024-06-02')}&platform=x&country=PK"
    assert [one["id"] for one in annotations(query)] == ["pk-x-block-2024"]
    assert [
        one["id"] for one in annotations(f"?from={ms('2025-05-08')}&to={ms('2025-05-09')}&platform=x&country=PK")
    ] == []


def test_kinds_choose_blocks_or_claims() -> None:
    range_ = f"?from={ms('2024-02-01')}&to={ms('2024-12-31')}&platform=x&country=PK"
    assert {one["kind"] for one in annotations(f"{range_}&kind=block,throttle")} == {"block"}
    claims = annotations(f"{range_}&kind=claim")
    assert [one["id"] for one in claims] == [f"pk-x-block-2024:claim-{number}" for number in (6, 7, 9)]


def test_answers_are_bounded() -> None:
    assert len(annotations("?limit=3")) == 3
    client = Client(ScriptedServices(calendar=BUILTIN))
    assert len(client.get("/api/v1/events?limit=2").json()["events"]) == 2


@pytest.mark.parametrize(
    "query",
    [
        "annotations?from=yesterday", "annotations?from=5&to=4", "annotations?limit=0", "annotations?to=1e9",
        "annotations?from=9999999999999999", "events?since=soon", "events?limit=1001",
    ],
)  # fmt: skip
def test_a_query_that_makes_no_sense_is_refused(query: str) -> None:
    answer = Client(ScriptedServices()).get(f"/api/v1/{query}")
    assert answer.status_code == 400
    assert answer.json()["error"]


def test_events_are_records_with_what_follows_from_them() -> None:
    client = Client(ScriptedServices(calendar=BUILTIN))
    [found] = client.get("/api/v1/events?country=PK&platform=x&kind=block&since=2024-02-11T00:00:00Z").json()["events"]
    assert found["event"]["id"] == "pk-x-block-2024"
    assert (found["earliest"], found["latest"], found["in_force"]) == (
        "2024-02-16T19:00:00Z",
        "2025-05-07T19:00:00Z",
        "no",
    )
    assert len(found["event"]["sources"]) > 20
    one = client.get("/api/v1/events/pk-online-harm-rules-2020").json()
    assert [due["obligation"] for due in one["deadlines"]][:2] == ["office@2020-04-21", "register@2020-04-21"]
    assert one["in_force"] is None


def test_an_event_that_is_not_there_is_told() -> None:
    answer = Client(ScriptedServices()).get("/api/v1/events/nothing")
    assert (answer.status_code, answer.json()) == (404, {"error": "no such event"})


def allowing(*origins: str, token: str | None = None) -> Client:
    return Client(ScriptedServices(settings=WebSettings(allow_origins=frozenset(origins), token=token)))


PAGE = {"Origin": GRAFANA, "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "cors"}


def test_a_page_of_another_site_reads_nothing_unless_its_origin_is_named() -> None:
    refused = allowing().get("/api/v1/annotations", headers=PAGE)
    assert refused.status_code == 403
    assert "access-control-allow-origin" not in refused.headers
    other = allowing("https://other.example.org").get("/api/v1/annotations", headers=PAGE)
    assert other.status_code == 403


def test_a_page_of_a_named_origin_may_read_the_api() -> None:
    answer = allowing(GRAFANA).get("/api/v1/annotations", headers=PAGE)
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == GRAFANA
    assert answer.headers["vary"] == "Origin"
    assert answer.headers["cross-origin-resource-policy"] == "cross-origin"


def test_a_named_origin_still_needs_the_token_and_may_ask_whether_it_may_send_it() -> None:
    client = allowing(GRAFANA, token="s3cret")  # noqa: S106 -- made up
    preflight = client.request(
        "OPTIONS", "/api/v1/annotations", headers=PAGE | {"Access-Control-Request-Headers": "authorization"}
    )
    assert preflight.status_code == 204
    assert preflight.headers["access-control-allow-headers"] == "Authorization"
    assert client.get("/api/v1/annotations", headers=PAGE).status_code == 401
    assert client.get("/api/v1/annotations", headers=PAGE | {"Authorization": "Bearer s3cret"}).status_code == 200


def test_a_named_origin_may_read_and_nothing_else() -> None:
    client = allowing(GRAFANA)
    assert client.post("/-/reload", headers=PAGE).status_code == 403
    assert client.get("/probe?target=x-home", headers=PAGE).status_code == 403


def test_a_named_origin_at_a_strange_host_is_refused() -> None:
    settings = WebSettings(allow_origins=frozenset({GRAFANA}), hosts=frozenset({"localhost"}))
    client = Client(ScriptedServices(settings=settings))
    for method in ("GET", "OPTIONS"):
        assert client.request(method, "/api/v1/annotations", headers=PAGE | {"Host": "evil.example"}).status_code == 400


def test_the_page_shows_events_and_deadlines_of_what_is_measured() -> None:
    text = render(STATUS, [BLOCKED], calendar=CALENDAR)
    assert "X blocked again" in text
    assert "in force" in text
    assert "Due: register with the authority" in text
    assert "2026-12-01 19:00 UTC" in text
    assert "1 month after ordered 2026-11-01" in text
    assert "Ordered: 1 November 2026 (day, Asia/Karachi). No end is known." in text


def test_the_page_leaves_out_events_of_other_platforms_and_countries() -> None:
    text = render(STATUS, [BLOCKED], calendar=BUILTIN)
    assert "pk-x-registration-2025" in text
    assert "pk-tiktok-2021-07" not in text
    assert "np-platforms-2025" not in text
    assert "Regulatory events" not in render(STATUS, [BLOCKED])


def test_what_an_event_file_says_is_shown_and_not_obeyed() -> None:
    text = render(STATUS, [BLOCKED], calendar=CALENDAR)
    assert "<b>X</b>" not in text
    assert "Court orders &lt;b&gt;X&lt;/b&gt; opened, and" in text


def test_where_a_target_is_served_from_is_told_and_shown() -> None:
    client = Client(ScriptedServices())
    [found] = client.get("/api/v1/served-from?target=x-home").json()["served_from"]
    assert (found["day"], found["place"]) == ("2026-11-22", {"country": "US", "asn": 13335})
    assert client.get("/api/v1/served-from").status_code == 400
    moved = msgspec.structs.replace(BLOCKED, served_from=(Place("US", 13414), Place("PK", 0)))
    assert "served from PK, US (AS13414)" in render(STATUS, [moved])
