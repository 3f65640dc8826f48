from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from monitor.detect.rollup import Standing, roll_up
from monitor.model.rollup import RollupRule
from monitor.model.verdict import Status
from monitor.store.incident_detail import IncidentDetail
from monitor.store.reader import HistoryRow
from monitor.web.app import ROUTES
from monitor.web.services import CountsQuery, HistoryQuery, IncidentQuery, TargetState
from tests.fakes.outcomes import ACCESSIBLE, ISP, LAHORE, NOW, X_HOME, outcome
from tests.fakes.services import STATUS, STORE, ScriptedServices
from tests.web.client import Client
from tests.web.test_web_report import INCIDENT

STATE = TargetState(
    platform="x",
    platform_name="X",
    target="x-home",
    url="https://x.com/",
    vantage="lahore",
    interval_seconds=300,
    status=Status.ACCESSIBLE,
)


def test_metrics_are_text_by_default_and_openmetrics_if_asked() -> None:
    services = ScriptedServices()
    services.exporter.observe(outcome(ACCESSIBLE), X_HOME, LAHORE, 300)
    client = Client(services)
    text = client.get("/metrics")
    assert text.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert 'access_target_accessible{platform="x"' in text.text
    openmetrics = client.get("/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"})
    assert openmetrics.headers["content-type"] == "application/openmetrics-text; version=1.0.0; charset=utf-8"
    assert list(text_string_to_metric_families(openmetrics.text))  # type: ignore[no-untyped-call]  # untyped there


def test_metrics_show_the_store_as_it_is_now() -> None:
    status = msgspec.structs.replace(STATUS, store=msgspec.structs.replace(STORE, spooled=17, last_error="disk_full"))
    text = Client(ScriptedServices(status=status)).get("/metrics").text
    assert "monitor_store_spooled 17\n" in text
    assert 'monitor_store_failing{error="disk_full"} 1\n' in text


def test_a_daemon_that_is_not_ready_lives_but_is_not_ready() -> None:
    client = Client(ScriptedServices(status=msgspec.structs.replace(STATUS, is_ready=False)))
    assert client.get("/-/healthy").status_code == 200
    assert client.get("/-/ready").status_code == 503


def test_a_reload_needs_post() -> None:
    services = ScriptedServices()
    assert Client(services).get("/-/reload").status_code == 405
    assert services.asked == []


def test_a_bad_file_is_answered_with_its_mistakes() -> None:
    mistake = "probes.yaml:7: defaults.interval: must be at least 5 min"
    answer = Client(ScriptedServices(reload_answer=(False, mistake))).post("/-/reload")
    assert (answer.status_code, answer.text) == (500, mistake + "\n")


def test_the_status_tells_how_the_daemon_is() -> None:
    found = Client(ScriptedServices()).get("/api/v1/status").json()
    assert (found["version"], found["has_control_vantage"], found["store"]["committed_total"]) == ("0.1.0", True, 4711)


def test_targets_can_be_narrowed_to_a_platform_and_a_vantage() -> None:
    other = msgspec.structs.replace(STATE, platform="facebook", target="facebook-home")
    elsewhere = msgspec.structs.replace(STATE, vantage="karachi")
    client = Client(ScriptedServices(targets=(STATE, other, elsewhere)))

    def found(query: str) -> list[tuple[str, str]]:
        return [(one["target"], one["vantage"]) for one in client.get(f"/api/v1/targets{query}").json()["targets"]]

    assert found("") == [("x-home", "lahore"), ("facebook-home", "lahore"), ("x-home", "karachi")]
    assert found("?platform=x") == [("x-home", "lahore"), ("x-home", "karachi")]
    assert found("?platform=x&vantage=karachi") == [("x-home", "karachi")]


def test_platforms_are_drawn_from_targets_and_chosen_by_the_query() -> None:
    def standing(country: str) -> Standing:
        return Standing(target="x-home", vantage=country, country=country, status=Status.BLOCKED, measured_at=NOW)

    verdicts = roll_up("x", "X", RollupRule(), [standing("PK"), standing("IN")], NOW)
    services = ScriptedServices(targets=(STATE,), platforms=verdicts)
    client = Client(services)

    def found(query: str) -> list[tuple[str, str, str]]:
        answer = client.get(f"/api/v1/platforms{query}").json()["platforms"]
        return [(one["platform"], one["country"], one["status"]) for one in answer]

    assert found("") == [("x", "IN", "blocked"), ("x", "PK", "blocked")]
    assert found("?platform=x&country=PK") == [("x", "PK", "blocked")]
    assert found("?platform=facebook") == []
    assert services.asked[0] == ("platforms", (STATE,))


def test_history_asks_for_what_the_query_says() -> None:
    row = HistoryRow(
        id=1,
        target="x-home",
        vantage="lahore",
        started_at=NOW,
        elapsed_seconds=0.4,
        is_deep=False,
        network=ISP,
        status=Status.ACCESSIBLE,
        confidence=None,
        layer=None,
        mechanisms=(),
        reason=None,
        rule="page_as_expected",
        because="The page came as expected.",
    )
    services = ScriptedServices(stored=(row,))
    answer = Client(services).get(
        "/api/v1/history?target=x-home&vantage=lahore&since=2026-11-22T15:00:00%2B05:00&until=1795305600&limit=7"
    )
    [found] = answer.json()["measurements"]
    assert (found["id"], found["status"], found["network"]["asn"]) == (1, "accessible", 17557)
    assert services.asked == [
        (
            "history",
            HistoryQuery(
                target="x-home",
                vantage="lahore",
                since=datetime(2026, 11, 22, 10, tzinfo=UTC),
                until=datetime(2026, 11, 22, tzinfo=UTC),
                limit=7,
            ),
        )
    ]


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("", "target: name one, as probes.yaml does"),
        ("?target=x-home&limit=0", "limit: must be a number from 1 to 1000"),
        ("?target=x-home&limit=1001", "limit: must be a number from 1 to 1000"),
        ("?target=x-home&limit=-1", "limit: must be a number from 1 to 1000"),
        ("?target=x-home&limit=²", "limit: must be a number from 1 to 1000"),
        ("?target=x-home&since=yesterday", "since: must be a time such as 2026-11-22T10:00:00Z"),
        ("?target=x-home&since=2026-11-22T10:00:00", "since: must be a time such as 2026-11-22T10:00:00Z"),
        ("?target=x-home&until=99999999999999999999", "until: must be a time such as 2026-11-22T10:00:00Z"),
        ("?target=x-home&until=²", "until: must be a time such as 2026-11-22T10:00:00Z"),
    ],
)
def test_a_query_that_makes_no_sense_is_explained(query: str, message: str) -> None:
    answer = Client(ScriptedServices()).get(f"/api/v1/history{query}")
    assert (answer.status_code, answer.json()) == (400, {"error": message})


def test_a_measurement_is_found_by_its_id() -> None:
    client = Client(ScriptedServices())
    assert client.get("/api/v1/measurements/1").json()["measurement"]["target"] == "x-home"
    assert client.get("/api/v1/measurements/2").status_code == 404


def test_an_id_that_no_database_holds_is_not_looked_for() -> None:
    services = ScriptedServices()
    assert Client(services).get(f"/api/v1/measurements/{2**63}").status_code == 404
    assert services.asked == []


def test_incidents_are_bounded() -> None:
    incident = IncidentDetail(
        id="x-pk-20261122",
        platform="x",
        country="PK",
        status=Status.BLOCKED,
        opened_at=NOW,
        started_after=None,
        started_before=NOW,
        extent="on the one network measured",
    )
    client = Client(ScriptedServices(incidents=(incident,) * 150))
    assert len(client.get("/api/v1/incidents").json()["incidents"]) == 100
    assert client.get("/api/v1/incidents?limit=1").json()["incidents"][0]["id"] == "x-pk-20261122"


def test_incidents_of_a_platform_and_country_that_have_not_ended_are_asked_for() -> None:
    services = ScriptedServices()
    Client(services).get("/api/v1/incidents?platform=x&country=PK&open=1")
    Client(services).get("/api/v1/incidents?open=0")
    assert services.asked == [
        ("incidents", IncidentQuery(platform="x", country="PK", is_open=True)),
        ("incidents", IncidentQuery()),
    ]


def openapi() -> Any:
    return Client(ScriptedServices()).get("/api/v1/openapi.json").json()


def test_the_api_description_holds_every_route_and_each_exists() -> None:
    paths = openapi()["paths"]
    assert {(route.path.replace(":int}", "}"), route.method.lower()) for route in ROUTES} == {
        (path, method) for path, methods in paths.items() for method in methods
    }
    client = Client(ScriptedServices(incidents=[INCIDENT]))
    query = {"target": "x-home", "domain": "x.com", "incident": INCIDENT.id}
    for path, methods in paths.items():
        for method in methods:
            named = path.replace("{id}", "1").replace("{event}", "x-block-2026")
            answer = client.request(method, named, params=query)
            assert answer.status_code == 200, path


def test_every_reference_of_the_api_description_leads_somewhere() -> None:
    document = openapi()
    schemas = document["components"]["schemas"]
    text = msgspec.json.encode(document).decode()
    references = [part.partition('"')[0] for part in text.split('"#/components/schemas/')[1:]]
    assert references
    assert set(references) <= set(schemas)


def test_the_api_description_says_which_routes_want_the_token() -> None:
    paths = openapi()["paths"]
    assert "security" not in paths["/metrics"]["get"]
    assert paths["/-/reload"]["post"]["security"] == [{"token": []}]


def test_counts_of_ooni_are_asked_for_by_domain_and_say_whose_they_are() -> None:
    services = ScriptedServices()
    client = Client(services)
    assert client.get("/api/v1/ooni-aggregation").status_code == 400
    answer = client.get("/api/v1/ooni-aggregation?domain=X.com&country=pk&since=2024-02-01T00:00:00Z&limit=5")
    assert answer.json() == {"counts": [], "source": "ooni"}
    since = datetime(2024, 2, 1, tzinfo=UTC)
    assert services.asked == [("ooni_counts", CountsQuery(domain="x.com", country="PK", since=since, limit=5))]
