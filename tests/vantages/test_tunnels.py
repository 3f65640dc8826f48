"""Vantages behind real proxies and SSH servers, through the command line, in the laboratory."""

import contextlib
import json
import sqlite3
import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import yaml

from monitor.lab import places
from monitor.lab.configuration import probes_yaml
from monitor.lab.interference import Cut
from monitor.lab.laboratory import Lab, Line
from tests.network.loopback import AUTHORITY, server_context
from tests.ports import free_port
from tests.scenarios.running import control_agent, probe
from tests.vantages.servers import (
    USER,
    behind_tls,
    microsocks,
    scripted,
    ssh_key,
    sshd,
    tinyproxy,
)

X = f"x.{places.DOMAIN}"
PASSWORD = "open sesame"  # noqa: S105 - of a laboratory
HELLO = (3, b"\5\0")  # SOCKS5: a greeting with one method, answered: no login
REQUEST = 10  # bytes of a SOCKS5 request for an IPv4 address
VANTAGE = Mapping[str, object]


@pytest.fixture(scope="module")
def running_lab() -> Iterator[Lab]:
    with Lab() as lab:
        lab.site(X)
        yield lab


@pytest.fixture
def lab(running_lab: Lab) -> Iterator[Lab]:
    yield running_lab
    running_lab.lift()


def configuration(lab: Lab, folder: Path, vantage: VANTAGE, **control: Any) -> Path:
    written = yaml.safe_load(probes_yaml(lab, {"x-home": lab.url(X)}, database=folder / "monitor.db", **control))
    resolver = f"tcp://{places.SYSTEM_RESOLVER}:{lab.ports.dns}"
    written["vantages"]["tunnel"] = {"resolvers": resolver, "country": "PK", **vantage}
    if password := vantage.get("password"):
        (folder / "password").write_text(str(password))
        del written["vantages"]["tunnel"]["password"]
        written["vantages"]["tunnel"] |= {"username": USER, "password_file": "password"}
    path = folder / "probes.yaml"
    path.write_text(yaml.safe_dump(written))
    return path


def seen(lab: Lab, folder: Path, vantage: VANTAGE, *options: str, **control: Any) -> dict[str, Any]:
    """Measure once from the vantage and return what was printed."""
    config = configuration(lab, folder, vantage, **control)
    _, printed, errors = probe(config, "x-home", "--vantage", "tunnel", *options)
    assert len(printed) == 1, errors
    return printed[0]


def no_verdict(result: Mapping[str, Any]) -> bool:
    verdict = result["verdict"]
    return (verdict["status"], verdict["reason"], verdict["rule"]) == ("inconclusive", "proxy_failed", "proxy_failed")


def steps(result: Mapping[str, Any]) -> set[str]:
    return {one["step"] for one in result["observations"]}


@contextlib.contextmanager
def socks_vantage(folder: Path) -> Iterator[VANTAGE]:
    with microsocks(folder) as server:
        yield {"kind": "socks5", "server": server}


@contextlib.contextmanager
def socks_vantage_with_login(folder: Path) -> Iterator[VANTAGE]:
    with microsocks(folder, password=PASSWORD) as server:
        yield {"kind": "socks5", "server": server, "password": PASSWORD}


@contextlib.contextmanager
def connect_vantage(folder: Path) -> Iterator[VANTAGE]:
    with tinyproxy(folder) as server:
        yield {"kind": "http_connect", "server": server}


@contextlib.contextmanager
def connect_vantage_with_login(folder: Path) -> Iterator[VANTAGE]:
    with tinyproxy(folder, password="opensesame") as server:  # noqa: S106 - of a laboratory
        yield {"kind": "http_connect", "server": server, "password": "opensesame"}


@contextlib.contextmanager
def ssh_vantage(folder: Path) -> Iterator[VANTAGE]:
    with sshd(folder) as ssh:
        yield ssh.vantage()


KINDS = (socks_vantage, socks_vantage_with_login, connect_vantage, connect_vantage_with_login, ssh_vantage)
EVERY_KIND = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
Kind = Callable[[Path], AbstractContextManager[VANTAGE]]


@EVERY_KIND
def test_an_open_target_is_accessible_and_what_cannot_be_seen_is_absent(kind: Kind, lab: Lab, tmp_path: Path) -> None:
    with kind(tmp_path) as vantage:
        result = seen(lab, tmp_path, vantage, "--deep")
    assert result["verdict"]["status"] == "accessible"
    assert steps(result) == {"dns", "tcp", "tls", "http"}
    assert {one["transport"] for one in result["observations"] if one["step"] == "dns"} <= {"tcp", "https"}


@EVERY_KIND
def test_a_name_that_is_cut_beyond_the_tunnel_is_blocked_by_name(kind: Kind, lab: Lab, tmp_path: Path) -> None:
    lab.censor(X, Cut.RESET)
    with kind(tmp_path) as vantage:
        verdict = seen(lab, tmp_path, vantage)["verdict"]
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


def _stalled_head(_: Path) -> AbstractContextManager[str]:
    return scripted((1, b"HTTP/1.1 200 Connection est"))


def _endless_head(_: Path) -> AbstractContextManager[str]:
    return scripted((1, b"HTTP/1.1 200 fine\r\n" + b"X-More: and more\r\n" * 5_000))


def _other_ports_only(folder: Path) -> AbstractContextManager[str]:
    return tinyproxy(folder, connect_port=9)


def _wants_another_login(folder: Path) -> AbstractContextManager[str]:
    return tinyproxy(folder, password="another")  # noqa: S106 - of a laboratory


@pytest.mark.parametrize(
    ("kind", "broken", "login"),
    [
        ("socks5", _dead, False),
        ("socks5", _silent, False),
        ("socks5", _garbage, False),
        ("socks5", _stalled_after_greeting, False),
        ("socks5", _not_allowed, False),
        ("socks5", _closes_after_success, False),
        ("socks5", _wants_a_login, False),
        ("socks5", _wants_a_login, True),
        ("http_connect", _dead, False),
        ("http_connect", _silent, False),
        ("http_connect", _garbage, False),
        ("http_connect", _stalled_head, False),
        ("http_connect", _endless_head, False),
        ("http_connect", _other_ports_only, False),
        ("http_connect", _wants_another_login, False),
        ("http_connect", _wants_another_login, True),
    ],
)
def test_a_proxy_that_does_not_do_its_part_says_nothing_about_a_target(
    kind: str, broken: Callable[[Path], AbstractContextManager[str]], *, login: bool, lab: Lab, tmp_path: Path
) -> None:
    lab.connections.clear()
    with broken(tmp_path) as server:
        vantage = {"kind": kind, "server": server} | ({"password": PASSWORD} if login else {})
        result = seen(lab, tmp_path, vantage)
    assert no_verdict(result), result["verdict"]
    assert not result["observations"]
    # Never a direct connection in its place.
    assert lab.address(X) not in {destination for _, destination, _ in lab.connections}


def test_an_ssh_server_that_does_not_do_its_part_says_nothing_about_a_target(lab: Lab, tmp_path: Path) -> None:
    with sshd(tmp_path) as ssh:
        stranger = ssh_key(tmp_path / "stranger")
        elsewhere = tmp_path / "elsewhere"
        elsewhere.write_text(ssh.known_hosts_file.read_text().replace("127.0.0.1", "127.0.0.2"))
        for changed in (
            {"key_file": str(stranger)},
            {"known_hosts_file": str(elsewhere)},
            {"server": f"127.0.0.1:{free_port()}"},
            {"key_file": str(elsewhere)},
        ):
            result = seen(lab, tmp_path, ssh.vantage(**changed))
            assert no_verdict(result), changed


def test_an_ssh_server_that_forwards_nothing_or_stalls_says_nothing_about_a_target(lab: Lab, tmp_path: Path) -> None:
    with sshd(tmp_path, forwards=False) as ssh:
        assert no_verdict(seen(lab, tmp_path, ssh.vantage()))
    with scripted((1, b"SSH-2.0-OpenSSH_9.2\r\n")) as server:
        assert no_verdict(seen(lab, tmp_path, ssh.vantage(server=server)))


@pytest.mark.parametrize("kind", [socks_vantage, ssh_vantage], ids=lambda kind: kind.__name__)
def test_what_befell_the_far_connection_is_told_in_words_of_its_own(kind: Kind, lab: Lab, tmp_path: Path) -> None:
    target = f"refused.{places.DOMAIN}"
    lab.site(target, cut=Cut.REFUSE)
    with kind(tmp_path) as vantage, control_agent(lab, tmp_path) as agent:
        config = configuration(lab, tmp_path, vantage, control=agent)
        _, (result,), _ = probe(config, lab.url(target), "--vantage", "tunnel")
    failures = {one["failure"] for one in result["observations"] if one["step"] == "tcp"}
    assert failures & {"connection_refused"}, failures
    assert result["verdict"]["status"] == "down"


def test_a_silent_address_is_blocked_where_the_control_reaches_it(lab: Lab, tmp_path: Path) -> None:
    lab.censor(X, Cut.DROP)
    with microsocks(tmp_path) as server, control_agent(lab, tmp_path) as agent:
        result = seen(lab, tmp_path, {"kind": "socks5", "server": server}, control=agent)
    assert (result["verdict"]["status"], result["verdict"]["confidence"]) == ("blocked", "likely")
    assert result["verdict"]["mechanisms"] == ["tcp.timeout"]


def test_a_proxy_without_words_for_a_failure_proves_no_block(lab: Lab, tmp_path: Path) -> None:
    target = f"refused.{places.DOMAIN}"
    lab.site(target, cut=Cut.REFUSE)
    with tinyproxy(tmp_path) as server:
        config = configuration(lab, tmp_path, {"kind": "http_connect", "server": server})
        _, (result,), _ = probe(config, lab.url(target), "--vantage", "tunnel")
    assert result["verdict"]["status"] == "inconclusive"


def test_a_route_around_the_block_is_accessible_where_the_country_is_not(lab: Lab, tmp_path: Path) -> None:
    lab.censor(X, Cut.RESET)
    with microsocks(tmp_path, source=places.CONTROL_SOURCE) as server:
        vantage = {"kind": "socks5", "server": server, "role": "circumvention"}
        config = configuration(lab, tmp_path, vantage)
        _, printed, _ = probe(config, "x-home")
    assert {one["vantage"]: one["verdict"]["status"] for one in printed} == {"here": "blocked", "tunnel": "accessible"}


def test_the_exit_is_looked_up_through_the_tunnel_and_its_address_is_kept_nowhere(lab: Lab, tmp_path: Path) -> None:
    lab.line(Line.MOVED)
    with microsocks(tmp_path) as server:
        seen(lab, tmp_path, {"kind": "socks5", "server": server, "country": "DE", "asn": 64500})
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


def test_a_proxy_behind_tls_is_used_by_its_fingerprint(lab: Lab, tmp_path: Path) -> None:
    issued = AUTHORITY.issue_cert("proxy.test")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    issued.configure_cert(context)
    der = ssl.PEM_cert_to_DER_cert(issued.cert_chain_pems[0].bytes().decode())
    with microsocks(tmp_path) as server, behind_tls(server, context) as secured:
        vantage = {"kind": "socks5", "server": secured, "tls": True, "fingerprint": sha256(der).hexdigest()}
        result = seen(lab, tmp_path, vantage)
    assert result["verdict"]["status"] == "accessible"
    assert steps(result) == {"dns", "tcp", "tls", "http"}


def test_a_proxy_behind_tls_must_be_the_one_that_is_meant(lab: Lab, tmp_path: Path) -> None:
    with microsocks(tmp_path) as server, behind_tls(server, server_context("proxy.test")) as secured:
        vantage = {"kind": "socks5", "server": secured, "tls": True}
        assert no_verdict(seen(lab, tmp_path, vantage))
        assert no_verdict(seen(lab, tmp_path, {**vantage, "fingerprint": "0" * 64}))
