"""Vantages behind real proxies and SSH servers, through the command line, in the laboratory."""

import contextlib
import json
import sqlite3
import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from monitor.lab import places
from monitor.lab.configuration import Agent
from monitor.lab.interference import Cut
from monitor.lab.laboratory import Lab, Line
from tests.network.loopback import AUTHORITY, server_context
from tests.ports import free_port
from tests.scenarios.running import probe
from tests.vantages.measuring import VANTAGE, X, configuration, measured, no_verdict, seen, steps
from tests.vantages.servers import (
    Ssh,
    behind_tls,
    dante,
    microsocks,
    scripted,
    ssh_key,
    sshd,
    tinyproxy,
)

PASSWORD = "open sesame"  # noqa: S105 - of a laboratory
PLAIN_PASSWORD = "opensesame"  # noqa: S105 - of a laboratory; tinyproxy's configuration takes no space in one
HELLO = (3, b"\5\0")  # SOCKS5: a greeting with one method, answered: no login
REQUEST = 10  # bytes of a SOCKS5 request for an IPv4 address
Results = Mapping[str, Mapping[str, Any]]


@contextlib.contextmanager
def _ssh(folder: Path) -> Iterator[VANTAGE]:
    with sshd(folder) as ssh:
        yield ssh.vantage()


@contextlib.contextmanager
def _proxy(kind: str, running: AbstractContextManager[str], **login: str) -> Iterator[VANTAGE]:
    with running as server:
        yield {"kind": kind, "server": server, **login}


KINDS: Mapping[str, Callable[[Path], AbstractContextManager[VANTAGE]]] = {
    "microsocks": lambda folder: _proxy("socks5", microsocks(folder)),
    "microsocks-login": lambda folder: _proxy("socks5", microsocks(folder, password=PASSWORD), password=PASSWORD),
    "dante": lambda folder: _proxy("socks5", dante(folder)),
    "dante-login": lambda folder: _proxy("socks5", dante(folder, password=PASSWORD), password=PASSWORD),
    "tinyproxy": lambda folder: _proxy("http_connect", tinyproxy(folder)),
    "tinyproxy-login": lambda folder: _proxy(
        "http_connect", tinyproxy(folder, password=PLAIN_PASSWORD), password=PLAIN_PASSWORD
    ),
    "ssh": _ssh,
}
EVERY_KIND = pytest.mark.parametrize("kind", KINDS)


@pytest.fixture(scope="module")
def vantages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, VANTAGE]]:
    """One vantage of each kind."""
    with ExitStack() as running:
        yield {name: running.enter_context(kind(tmp_path_factory.mktemp(name))) for name, kind in KINDS.items()}


@pytest.fixture(scope="module")
def seen_open(running_lab: Lab, vantages: Mapping[str, VANTAGE], tmp_path_factory: pytest.TempPathFactory) -> Results:
    return measured(running_lab, tmp_path_factory.mktemp("open"), vantages, "x-home", "--deep")


@pytest.fixture(scope="module")
def seen_cut(running_lab: Lab, vantages: Mapping[str, VANTAGE], tmp_path_factory: pytest.TempPathFactory) -> Results:
    running_lab.censor(X, Cut.RESET)
    try:
        return measured(running_lab, tmp_path_factory.mktemp("cut"), vantages)
    finally:
        running_lab.lift()


@EVERY_KIND
def test_an_open_target_is_accessible_and_what_cannot_be_seen_is_absent(kind: str, seen_open: Results) -> None:
    result = seen_open[kind]
    assert result["verdict"]["status"] == "accessible"
    assert steps(result) == {"dns", "tcp", "tls", "http"}
    assert {one["transport"] for one in result["observations"] if one["step"] == "dns"} <= {"tcp", "https"}


@EVERY_KIND
def test_a_name_that_is_cut_beyond_the_tunnel_is_blocked_by_name(kind: str, seen_cut: Results) -> None:
    verdict = seen_cut[kind]["verdict"]
    assert (verdict["status"], verdict["confidence"]) == ("blocked", "confirmed")
    # Whether a reset or an end comes through is the tunnel's choice; the trigger is not.
    assert set(verdict["mechanisms"]) <= {"tls.reset.sni", "tls.eof.sni"}


def _dead(_: Path) -> AbstractContextManager[str]:
    return contextlib.nullcontext(f"127.0.0.1:{free_port()}")


def _silent(_: Path) -> AbstractContextManager[str]:
    return scripted()


def _garbage(_: Path) -> AbstractContextManager[str]:
    return scripted((1, b"SSH-1.0-nonsense HTTP/9 \0\xff\r\n\r\n"), then_close=True)


def _stalled_after_greeting(_: Path) -> AbstractContextManager[str]:
    return scripted(HELLO)


def _not_allowed(_: Path) -> AbstractContextManager[str]:
    return scripted(HELLO, (REQUEST, b"\5\2\0\1" + bytes(6)))


def _closes_after_success(_: Path) -> AbstractContextManager[str]:
    return scripted(HELLO, (REQUEST, b"\5\0\0\1" + bytes(6)), then_close=True)


def _wants_a_login(folder: Path) -> AbstractContextManager[str]:
    return microsocks(folder, password="another")  # noqa: S106 - of a laboratory


def _dante_wants_a_login(folder: Path) -> AbstractContextManager[str]:
    return dante(folder, password="another")  # noqa: S106 - of a laboratory


def _dante_forbids(folder: Path) -> AbstractContextManager[str]:
    return dante(folder, allows=False)


def _stalled_head(_: Path) -> AbstractContextManager[str]:
    return scripted((1, b"HTTP/1.1 200 Connection est"))


def _endless_head(_: Path) -> AbstractContextManager[str]:
    return scripted((1, b"HTTP/1.1 200 fine\r\n" + b"X-More: and more\r\n" * 5_000))


def _other_ports_only(folder: Path) -> AbstractContextManager[str]:
    return tinyproxy(folder, connect_port=9)


def _wants_another_login(folder: Path) -> AbstractContextManager[str]:
    return tinyproxy(folder, password="another")  # noqa: S106 - of a laboratory


_SOCKS_TROUBLE = (
    _dead, _silent, _garbage, _stalled_after_greeting, _not_allowed, _closes_after_success, _wants_a_login,
    _dante_wants_a_login, _dante_forbids,
)  # fmt: skip
_CONNECT_TROUBLE = (_dead, _silent, _garbage, _stalled_head, _endless_head, _other_ports_only, _wants_another_login)
BROKEN = {
    f"{kind}{broken.__name__}{'-with-login' * login}".replace("_", "-"): (kind, broken, login)
    for kind, troubles in {"socks5": _SOCKS_TROUBLE, "http_connect": _CONNECT_TROUBLE}.items()
    for broken in troubles
    for login in ((False, True) if "login" in broken.__name__ else (False,))
}


def _broken_ssh(ssh: Ssh, folder: Path, running: ExitStack) -> dict[str, VANTAGE]:
    """Return vantages at an SSH server that works, and at some that do not, of which none can be used."""
    stranger, elsewhere = ssh_key(folder / "stranger"), folder / "elsewhere"
    elsewhere.write_text(ssh.known_hosts_file.read_text().replace("127.0.0.1", "127.0.0.2"))
    changes = {
        "wrong-key": {"key_file": str(stranger)},
        "unknown-host": {"known_hosts_file": str(elsewhere)},
        "dead": {"server": f"127.0.0.1:{free_port()}"},
        "key-is-no-key": {"key_file": str(elsewhere)},
        "stalled-after-greeting": {"server": running.enter_context(scripted((1, b"SSH-2.0-OpenSSH_9.2\r\n")))},
    }
    forbids = folder / "forbids"
    forbids.mkdir()
    return {
        **{f"ssh-{name}": ssh.vantage(**changed) for name, changed in changes.items()},
        "ssh-forwards-nothing": running.enter_context(sshd(forbids, forwards=False)).vantage(),
    }


SSH_TROUBLE = ("wrong-key", "unknown-host", "dead", "key-is-no-key", "stalled-after-greeting", "forwards-nothing")


@pytest.fixture(scope="module")
def seen_broken(running_lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Results:
    """What is seen through everything that does not do its part, and where connections went meanwhile."""
    running_lab.connections.clear()
    found: dict[str, VANTAGE] = {}
    with ExitStack() as running:
        for name, (kind, broken, login) in BROKEN.items():
            server = running.enter_context(broken(tmp_path_factory.mktemp(name)))
            found[name] = {"kind": kind, "server": server} | ({"password": PASSWORD} if login else {})
        folder = tmp_path_factory.mktemp("ssh")
        found |= _broken_ssh(running.enter_context(sshd(folder)), folder, running)
        results = measured(running_lab, tmp_path_factory.mktemp("broken"), found)
    reached = {destination for _, destination, _ in running_lab.connections}
    return {**results, "direct": {"reached": reached}}


@pytest.mark.parametrize("name", [*BROKEN, *(f"ssh-{trouble}" for trouble in SSH_TROUBLE)])
def test_a_tunnel_that_does_not_do_its_part_says_nothing_about_a_target(name: str, seen_broken: Results) -> None:
    result = seen_broken[name]
    assert no_verdict(result), result["verdict"]
    assert not result["observations"]


def test_there_is_no_direct_connection_in_place_of_a_broken_tunnel(running_lab: Lab, seen_broken: Results) -> None:
    assert running_lab.address(X) not in seen_broken["direct"]["reached"]


def test_what_befell_the_far_connection_is_told_in_words_of_its_own(
    lab: Lab, vantages: Mapping[str, VANTAGE], control: Agent, tmp_path: Path
) -> None:
    target = f"refused.{places.DOMAIN}"
    lab.site(target, cut=Cut.REFUSE)
    chosen = {name: vantages[name] for name in ("microsocks", "dante", "ssh")}
    for name, result in measured(lab, tmp_path, chosen, lab.url(target), control=control).items():
        failures = {one["failure"] for one in result["observations"] if one["step"] == "tcp"}
        assert failures == {"connection_refused"}, name
        assert result["verdict"]["status"] == "down", name


def test_a_silent_address_is_blocked_where_the_control_reaches_it(
    lab: Lab, vantages: Mapping[str, VANTAGE], control: Agent, tmp_path: Path
) -> None:
    lab.censor(X, Cut.DROP)
    verdict = seen(lab, tmp_path, vantages["microsocks"], control=control)["verdict"]
    assert (verdict["status"], verdict["confidence"]) == ("blocked", "likely")
    assert verdict["mechanisms"] == ["tcp.timeout"]


def test_a_proxy_without_words_for_a_failure_proves_no_block(
    lab: Lab, vantages: Mapping[str, VANTAGE], tmp_path: Path
) -> None:
    target = f"refused.{places.DOMAIN}"
    lab.site(target, cut=Cut.REFUSE)
    results = measured(lab, tmp_path, {"tunnel": vantages["tinyproxy"]}, lab.url(target))
    assert results["tunnel"]["verdict"]["status"] == "inconclusive"


def test_a_route_around_the_block_is_accessible_where_the_country_is_not(lab: Lab, tmp_path: Path) -> None:
    lab.censor(X, Cut.RESET)
    with microsocks(tmp_path, source=places.CONTROL_SOURCE) as server:
        vantage = {"kind": "socks5", "server": server, "role": "circumvention"}
        config = configuration(lab, tmp_path, {"tunnel": vantage})
        _, printed, _ = probe(config, "x-home")
    assert {one["vantage"]: one["verdict"]["status"] for one in printed} == {"here": "blocked", "tunnel": "accessible"}


def test_the_exit_is_looked_up_through_the_tunnel_and_its_address_is_kept_nowhere(
    lab: Lab, vantages: Mapping[str, VANTAGE], tmp_path: Path
) -> None:
    lab.line(Line.MOVED)
    seen(lab, tmp_path, {**vantages["microsocks"], "country": "DE", "asn": 64500})
    with contextlib.closing(sqlite3.connect(tmp_path / "monitor.db")) as database:
        ((notes, asn, country),) = database.execute(
            "SELECT notes, asn, country FROM vantage_check JOIN network ON network.id = network_id"
        ).fetchall()
    assert (asn, country) == (64501, "PK")
    assert json.loads(notes) == [
        "the exit is in PK, the configuration claims DE",
        "the exit is in AS64501, the configuration claims AS64500",
    ]
    assert b"182.176.0.9" not in (tmp_path / "monitor.db").read_bytes()


def test_a_proxy_behind_tls_is_used_by_its_fingerprint_and_no_other(lab: Lab, tmp_path: Path) -> None:
    issued = AUTHORITY.issue_cert("proxy.test")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    issued.configure_cert(context)
    der = ssl.PEM_cert_to_DER_cert(issued.cert_chain_pems[0].bytes().decode())
    with (
        microsocks(tmp_path) as server,
        behind_tls(server, context) as secured,
        behind_tls(server, server_context("proxy.test")) as untrusted,
    ):
        tls = {"kind": "socks5", "tls": True}
        vantages = {
            "meant": {**tls, "server": secured, "fingerprint": sha256(der).hexdigest()},
            "untrusted": {**tls, "server": untrusted},
            "another": {**tls, "server": secured, "fingerprint": "0" * 64},
        }
        results = measured(lab, tmp_path, vantages)
    assert results["meant"]["verdict"]["status"] == "accessible"
    assert steps(results["meant"]) == {"dns", "tcp", "tls", "http"}
    assert no_verdict(results["untrusted"])
    assert no_verdict(results["another"])
