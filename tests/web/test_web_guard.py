import base64
import hashlib
import re

import pytest

from monitor.web.app import ROUTES
from monitor.web.guard import hosts_of
from monitor.web.route import Route
from monitor.web.services import Services, WebSettings
from tests.fakes.services import ScriptedServices
from tests.web.client import Client
from tests.web.test_web_report import INCIDENT

TOKEN = "s3cret-of-the-operator"  # noqa: S105 -- a made-up token
_: Services = ScriptedServices()
PUBLIC = {"/", "/metrics", "/-/healthy", "/-/ready"}
CLOSED = [route for route in ROUTES if route.path not in PUBLIC]


def filled(path: str) -> str:
    return path.replace("{id:int}", "1").replace("{event}", "x-block-2026")


@pytest.mark.parametrize("route", CLOSED, ids=lambda route: route.path)
@pytest.mark.parametrize(
    "headers", [{}, {"Authorization": "Bearer wrong"}, {"Authorization": f"Basic {TOKEN}"}, {"Authorization": TOKEN}]
)
def test_a_configured_token_closes_every_route_that_is_not_public(route: Route, headers: dict[str, str]) -> None:
    client = Client(ScriptedServices(settings=WebSettings(token=TOKEN)))
    answer = client.request(route.method, filled(route.path), headers=headers)
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")


def test_a_path_that_does_not_exist_is_closed_too() -> None:
    client = Client(ScriptedServices(settings=WebSettings(token=TOKEN)))
    assert client.get("/admin").status_code == 401
    assert client.get("/metrics/").status_code == 401


@pytest.mark.parametrize("route", CLOSED, ids=lambda route: route.path)
def test_the_token_opens_them(route: Route) -> None:
    client = Client(ScriptedServices(settings=WebSettings(token=TOKEN), incidents=[INCIDENT]))
    answer = client.request(
        route.method,
        filled(route.path),
        params={"target": "x-home", "domain": "x.com", "incident": INCIDENT.id},
        headers={"Authorization": f"bearer {TOKEN}"},
    )
    assert answer.status_code == 200


@pytest.mark.parametrize("path", sorted(PUBLIC))
def test_public_routes_need_no_token(path: str) -> None:
    assert Client(ScriptedServices(settings=WebSettings(token=TOKEN))).get(path).status_code == 200


def test_settings_never_show_their_token() -> None:
    assert TOKEN not in repr(WebSettings(token=TOKEN))


@pytest.mark.parametrize(
    ("listen", "hosts"),
    [
        ("127.0.0.1:9817", {"localhost", "127.0.0.1", "::1"}),
        ("[::1]:9817", {"localhost", "127.0.0.1", "::1"}),
        ("localhost:9817", {"localhost", "127.0.0.1", "::1"}),
        ("127.0.0.2:9817", {"localhost", "127.0.0.1", "127.0.0.2", "::1"}),
        ("0.0.0.0:9817", None),
        ("monitor.example.org:9817", None),
    ],
)
def test_who_listens_on_loopback_answers_to_loopback_names_only(listen: str, hosts: set[str] | None) -> None:
    assert hosts_of(listen) == hosts


@pytest.mark.parametrize("host", ["localhost:9817", "127.0.0.1:9817", "[::1]:9817", "LOCALHOST"])
def test_own_names_are_served(host: str) -> None:
    services = ScriptedServices(settings=WebSettings(hosts=hosts_of("127.0.0.1:9817")))
    assert Client(services).get("/", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize("host", ["rebound.example.org:9817", "127.0.0.1.example.org", "[::1", ""])
@pytest.mark.parametrize("path", ["/", "/metrics", "/api/v1/status"])
def test_a_name_that_was_pointed_at_loopback_is_not_served(host: str, path: str) -> None:
    services = ScriptedServices(settings=WebSettings(hosts=hosts_of("127.0.0.1:9817")))
    assert Client(services).get(path, headers={"Host": host}).status_code == 400


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "http://evil.example.org"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"},
    ],
)
def test_another_site_cannot_make_a_browser_reload_the_configuration(headers: dict[str, str]) -> None:
    services = ScriptedServices()
    assert Client(services).post("/-/reload", headers=headers).status_code == 403
    assert services.asked == []


@pytest.mark.parametrize(
    "headers", [{}, {"Sec-Fetch-Site": "same-origin", "Origin": "http://127.0.0.1:9817"}, {"Sec-Fetch-Site": "none"}]
)
def test_the_operator_can_reload_the_configuration(headers: dict[str, str]) -> None:
    services = ScriptedServices()
    assert Client(services).post("/-/reload", headers=headers).status_code == 200
    assert services.asked == [("reload",)]


def test_another_site_cannot_start_a_measurement_or_read_the_api_but_may_link_to_it() -> None:
    client = Client(ScriptedServices())
    image = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}
    link = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
    assert client.get("/probe?target=x-home", headers=image).status_code == 403
    assert client.get("/api/v1/status", headers=image).status_code == 403
    assert client.get("/api/v1/status", headers=link).status_code == 200


@pytest.mark.parametrize("path", ["/", "/metrics", "/-/healthy", "/api/v1/status", "/nowhere"])
def test_every_answer_forbids_frames_sniffing_and_sharing(path: str) -> None:
    headers = Client(ScriptedServices()).get(path, headers={"Origin": "http://127.0.0.1:9817"}).headers
    assert headers["content-security-policy"].startswith("default-src 'none';")
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert "access-control-allow-origin" not in headers


def test_the_page_may_use_its_own_style_and_nothing_else() -> None:
    answer = Client(ScriptedServices()).get("/")
    [style] = re.findall(r"<style>(.*?)</style>", answer.text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert answer.headers["content-security-policy"].endswith(f"style-src 'sha256-{digest}'")
    assert "<script" not in answer.text
    assert "style=" not in answer.text
