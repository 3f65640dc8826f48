"""Proxies that are asked for names: lookup and connection are one fact, which no verdict splits."""

import contextlib
import json
import sqlite3
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any

import pytest

from monitor.lab import places
from monitor.lab.configuration import Agent
from monitor.lab.interference import Cut
from monitor.lab.laboratory import Lab
from monitor.lab.pages import always, redirect
from tests.scenarios.running import MONITOR, ROOT
from tests.vantages.measuring import VANTAGE, X, measured, no_verdict, steps
from tests.vantages.servers import dante, microsocks, tinyproxy

Y = f"y.{places.DOMAIN}"
NOBODY = "127.4.4.4"  # where no host is
Proxy = Callable[..., AbstractContextManager[str]]
EACH: Mapping[Proxy, str] = {microsocks: "socks5", dante: "socks5", tinyproxy: "http_connect"}
Results = Mapping[str, dict[str, Any]]
EVERY_PROXY = pytest.mark.parametrize("proxy", [proxy.__name__ for proxy in EACH])
# The hosts of the sanity checks, which every resolver knows.
KNOWN = {
    **dict(zip(places.PORTAL_NAMES, places.PORTALS, strict=True)),
    **dict(zip(places.SANE_NAMES, places.SANE_HOSTS, strict=True)),
}


@contextlib.contextmanager
def asked_by_name(folder: Path, proxy: Proxy, names: Mapping[str, str], **how: Any) -> Iterator[VANTAGE]:
    """Run a proxy that looks up these names and no others."""
    with proxy(folder, names=names, **how) as server:
        yield {"kind": EACH[proxy], "server": server, "resolve": "remote"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("seen")


@pytest.fixture(scope="module")
def seen(running_lab: Lab, control: Agent, folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Results:
    """What is seen of an open target, by what the proxies know of it or allow."""
    x = running_lab.address(X)
    tls_only = running_lab.ports.https
    with ExitStack() as running:

        def vantage(name: str, proxy: Proxy, names: Mapping[str, str], **how: Any) -> VANTAGE:
            return running.enter_context(asked_by_name(tmp_path_factory.mktemp(name), proxy, names, **how))

        vantages = {
            **{f"knows-{proxy.__name__}": vantage("knows", proxy, {**KNOWN, X: x}) for proxy in EACH},
            **{f"lacks-{proxy.__name__}": vantage("lacks", proxy, KNOWN) for proxy in EACH},
            "refused-microsocks": vantage("refused", microsocks, {**KNOWN, X: NOBODY}),
            "refused-dante": vantage("refused", dante, {**KNOWN, X: NOBODY}),
            "impostor": vantage("impostor", dante, {**KNOWN, X: places.IMPOSTOR}),
            "tls-only": vantage("tls-only", tinyproxy, {**KNOWN, X: x}, connect_port=tls_only),
            "knows-it-alone": vantage("alone", microsocks, {X: x}),
        }
        vantages["tls-only-by-address"] = {**vantages["tls-only"], "resolve": "own"}
        return measured(running_lab, folder, vantages, running_lab.url(X), control=control)


@EVERY_PROXY
def test_what_is_reached_by_name_is_accessible_and_its_lookup_is_not_claimed(proxy: str, seen: Results) -> None:
    result = seen[f"knows-{proxy}"]
    assert result["verdict"]["status"] == "accessible"
    assert steps(result) == {"tcp", "tls", "http"}
    assert {one["address"] for one in result["observations"]} == {X}


def test_a_name_is_no_address_in_what_is_remembered_and_given_away(seen: Results, folder: Path) -> None:
    assert seen
    with contextlib.closing(sqlite3.connect(folder / "monitor.db")) as database:
        proved = {address for (address,) in database.execute("SELECT address FROM known_address")}
    assert X not in proved
    given = ("export", "-c", str(folder / "probes.yaml"), "--format", "ooni", "--vantage", "knows-dante")
    done = subprocess.run([*MONITOR, *given], capture_output=True, text=True, check=True, cwd=ROOT)
    (line,) = done.stdout.splitlines()
    keys = json.loads(line)["test_keys"]
    assert (keys["queries"], keys["tcp_connect"]) == ([], [])
    assert [one["failure"] for one in keys["tls_handshakes"]] == [None]


@EVERY_PROXY
def test_a_name_that_the_proxy_cannot_look_up_is_no_verdict_on_any_layer(proxy: str, seen: Results) -> None:
    result = seen[f"lacks-{proxy}"]
    verdict = result["verdict"]
    assert (verdict["status"], verdict["reason"]) == ("inconclusive", "insufficient_data")
    assert (verdict["layer"], verdict["mechanisms"]) == (None, [])
    assert verdict["because"].startswith("The lookup of or the connection to x.lab.test failed")
    assert {one["failure"].partition(":")[0] for one in result["observations"]} == {"unknown_failure"}
    assert steps(result) == {"tcp"}


@pytest.mark.parametrize("proxy", ["microsocks", "dante"])
def test_a_refused_connection_by_name_is_no_verdict_on_any_layer(proxy: str, seen: Results) -> None:
    # Nobody listens where this resolver leads: a lie, or a dead host, which the proxy does not tell apart.
    result = seen[f"refused-{proxy}"]
    assert {one["failure"] for one in result["observations"]} == {"connection_refused"}
    assert (result["verdict"]["status"], result["verdict"]["mechanisms"]) == ("inconclusive", [])
    assert result["verdict"]["layer"] is None


def test_a_name_that_leads_to_an_impostor_is_not_accessible(seen: Results) -> None:
    verdict = seen["impostor"]["verdict"]
    assert (verdict["status"], verdict["mechanisms"]) == ("inconclusive", [])


def test_what_a_proxy_refuses_is_no_obstacle_where_the_target_is_let_through(
    seen: Results,
) -> None:
    assert seen["tls-only"]["verdict"]["status"] == "accessible"
    assert no_verdict(seen["tls-only-by-address"])


def test_a_proxy_through_which_no_checked_host_is_reached_has_failed(seen: Results) -> None:
    assert no_verdict(seen["knows-it-alone"])


def test_a_name_that_is_cut_after_the_connection_is_blocked_by_name(lab: Lab, tmp_path: Path) -> None:
    lab.censor(X, Cut.RESET)
    with ExitStack() as running:
        vantages = {}
        for proxy in EACH:
            folder = tmp_path / proxy.__name__
            folder.mkdir()
            known = {**KNOWN, X: lab.address(X)}
            vantages[proxy.__name__] = running.enter_context(asked_by_name(folder, proxy, known))
        results = measured(lab, tmp_path, vantages)
    for name, result in results.items():
        verdict = result["verdict"]
        assert (verdict["status"], verdict["confidence"]) == ("blocked", "confirmed"), name
        assert set(verdict["mechanisms"]) <= {"tls.reset.sni", "tls.eof.sni"}, name
        assert "dns" not in steps(result), name


def test_what_fails_by_name_and_at_the_control_is_down(lab: Lab, control: Agent, tmp_path: Path) -> None:
    # No resolver knows it, so the control does not come as far as connecting.
    gone = lab.url(X).replace(X, f"gone.{places.DOMAIN}")
    with asked_by_name(tmp_path, dante, KNOWN) as vantage:
        verdict = measured(lab, tmp_path, {"tunnel": vantage}, gone, control=control)["tunnel"]["verdict"]
    assert (verdict["status"], verdict["layer"]) == ("down", None)


def test_a_redirect_does_not_lead_into_cleartext_at_a_place_that_cannot_be_seen(lab: Lab, tmp_path: Path) -> None:
    lab.site(Y, answerer=always(redirect(lab.url(X, scheme="http"))))
    lab.connections.clear()
    with asked_by_name(tmp_path, dante, {**KNOWN, X: lab.address(X), Y: lab.address(Y)}) as vantage:
        result = measured(lab, tmp_path, {"tunnel": vantage}, lab.url(Y))["tunnel"]
    assert {one["hop"] for one in result["observations"]} == {0}
    assert result["verdict"]["status"] == "inconclusive"
    assert lab.address(X) not in {destination for _, destination, _ in lab.connections}
