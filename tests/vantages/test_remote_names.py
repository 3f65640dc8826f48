"""Proxies that are asked for names: lookup and connection are one fact, which no verdict splits."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any

from monitor.lab import places
from monitor.lab.configuration import Agent
from monitor.lab.interference import Cut
from monitor.lab.laboratory import Lab
from monitor.lab.pages import always, redirect
from tests.vantages.measuring import X, measured, no_verdict, steps
from tests.vantages.servers import dante, microsocks, tinyproxy

Y = f"y.{places.DOMAIN}"
Proxy = Callable[..., AbstractContextManager[str]]
EACH: Mapping[Proxy, str] = {microsocks: "socks5", dante: "socks5", tinyproxy: "http_connect"}


def known_to_all() -> dict[str, str]:
    """The hosts of the sanity checks."""
    portals = dict(zip(places.PORTAL_NAMES, places.PORTALS, strict=True))
    return {**portals, **dict(zip(places.SANE_NAMES, places.SANE_HOSTS, strict=True))}


def seen(
    lab: Lab, folder: Path, names: Mapping[str, str], url: str, *proxies: Proxy, control: Agent | None = None
) -> dict[str, dict[str, Any]]:
    """Measure a URL through proxies that look up these names; by default through one of each program."""
    vantages = {}
    with ExitStack() as running:
        for proxy in proxies or EACH:
            place = folder / proxy.__name__
            place.mkdir()
            server = running.enter_context(proxy(place, names={**known_to_all(), **names}))
            vantages[proxy.__name__] = {"kind": EACH[proxy], "server": server, "resolve": "remote"}
        return measured(lab, folder, vantages, url, control=control)


def test_what_is_reached_by_name_is_accessible_and_its_lookup_is_not_claimed(lab: Lab, tmp_path: Path) -> None:
    for proxy, result in seen(lab, tmp_path, {X: lab.address(X)}, lab.url(X)).items():
        assert result["verdict"]["status"] == "accessible", proxy
        assert steps(result) == {"tcp", "tls", "http"}, proxy
        assert {one["address"] for one in result["observations"]} == {X}, proxy


def test_a_name_that_is_cut_after_the_connection_is_blocked_by_name(lab: Lab, tmp_path: Path) -> None:
    lab.censor(X, Cut.RESET)
    for proxy, result in seen(lab, tmp_path, {X: lab.address(X)}, lab.url(X)).items():
        verdict = result["verdict"]
        assert (verdict["status"], verdict["confidence"]) == ("blocked", "confirmed"), proxy
        assert set(verdict["mechanisms"]) <= {"tls.reset.sni", "tls.eof.sni"}, proxy
        assert "dns" not in steps(result), proxy


def test_a_name_that_the_proxy_cannot_look_up_is_no_verdict_on_any_layer(
    lab: Lab, control: Agent, tmp_path: Path
) -> None:
    for proxy, result in seen(lab, tmp_path, {}, lab.url(X), control=control).items():
        verdict = result["verdict"]
        assert (verdict["status"], verdict["reason"]) == ("inconclusive", "insufficient_data"), proxy
        assert (verdict["layer"], verdict["mechanisms"]) == (None, []), proxy
        assert verdict["because"].startswith("The lookup of or the connection to x.lab.test failed"), proxy
        assert {one["failure"][:15] for one in result["observations"]} == {"unknown_failure"}, proxy
        assert steps(result) == {"tcp"}, proxy


def test_a_refused_connection_by_name_is_no_verdict_on_any_layer(lab: Lab, control: Agent, tmp_path: Path) -> None:
    # Nobody listens where this resolver leads: a lie, or a dead host, which the proxy does not tell apart.
    for result in seen(lab, tmp_path, {X: "127.4.4.4"}, lab.url(X), microsocks, dante, control=control).values():
        assert {one["failure"] for one in result["observations"]} == {"connection_refused"}
        assert (result["verdict"]["status"], result["verdict"]["mechanisms"]) == ("inconclusive", [])
        assert result["verdict"]["layer"] is None


def test_what_fails_by_name_and_at_the_control_is_down(lab: Lab, control: Agent, tmp_path: Path) -> None:
    # No resolver knows it, so the control does not come as far as connecting.
    gone = lab.url(X).replace(X, f"gone.{places.DOMAIN}")
    verdict = seen(lab, tmp_path, {}, gone, dante, control=control)["dante"]["verdict"]
    assert (verdict["status"], verdict["layer"]) == ("down", None)


def test_a_name_that_leads_to_an_impostor_is_not_accessible(lab: Lab, control: Agent, tmp_path: Path) -> None:
    verdict = seen(lab, tmp_path, {X: places.IMPOSTOR}, lab.url(X), dante, control=control)["dante"]["verdict"]
    assert (verdict["status"], verdict["mechanisms"]) == ("inconclusive", [])


def test_what_a_proxy_refuses_is_no_obstacle_where_the_target_is_let_through(lab: Lab, tmp_path: Path) -> None:
    for folder in ("all", "some", "none"):
        (tmp_path / folder).mkdir()
    names = {X: lab.address(X)}
    with (
        tinyproxy(tmp_path / "some", connect_port=lab.ports.https, names={**known_to_all(), **names}) as some,
        microsocks(tmp_path / "none", names=names) as none,
    ):
        tls_only = {"kind": "http_connect", "server": some}
        vantages = {
            "by-name": {**tls_only, "resolve": "remote"},
            "by-address": tls_only,
            "knows-no-other-name": {"kind": "socks5", "server": none, "resolve": "remote"},
        }
        results = measured(lab, tmp_path, vantages, lab.url(X))
    assert results["by-name"]["verdict"]["status"] == "accessible"
    assert no_verdict(results["by-address"])
    assert no_verdict(results["knows-no-other-name"])


def test_a_redirect_does_not_lead_into_cleartext_at_a_place_that_cannot_be_seen(lab: Lab, tmp_path: Path) -> None:
    lab.site(Y, answerer=always(redirect(lab.url(X, scheme="http"))))
    lab.connections.clear()
    result = seen(lab, tmp_path, {X: lab.address(X), Y: lab.address(Y)}, lab.url(Y), dante)["dante"]
    assert {one["hop"] for one in result["observations"]} == {0}
    assert result["verdict"]["status"] == "inconclusive"
    assert lab.address(X) not in {destination for _, destination, _ in lab.connections}
