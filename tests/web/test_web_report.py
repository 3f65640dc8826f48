from monitor.model.verdict import Status
from monitor.store.incident_detail import IncidentDetail
from monitor.web.page import render
from tests.fakes.outcomes import NOW
from tests.fakes.services import STATUS, ScriptedServices
from tests.web.client import Client

INCIDENT = IncidentDetail(
    id="x-pk-20261122",
    platform="x",
    country="PK",
    status=Status.BLOCKED,
    opened_at=NOW,
    started_after=None,
    started_before=NOW,
    extent="on 1 of 3 networks measured",
)


def test_the_report_of_an_incident_is_a_page_of_its_own() -> None:
    services = ScriptedServices(incidents=[INCIDENT])
    answer = Client(services).get("/report", params={"incident": INCIDENT.id})
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'")
    assert "style-src 'sha256-" in policy
    assert "unsafe" not in policy


def test_an_incident_that_is_not_there_is_404() -> None:
    client = Client(ScriptedServices())
    for query in ({}, {"incident": ""}, {"incident": "x-pk-1"}, {"incident": "x" * 5000}):
        assert client.get("/report", params=query).status_code == 404


def test_each_open_incident_links_to_its_report() -> None:
    assert f'href="/report?incident={INCIDENT.id}"' in render(STATUS, [], incidents=[INCIDENT])
