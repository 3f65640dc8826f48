"""The laboratory proves itself: what its primitives do, seen by a plain client; and how it ends."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.internet import addresses
from tests.lab.internet.laboratory import ROOT, Laboratory
from tests.lab.internet.scenarios import SCENARIOS

PATIENCE_SECONDS = 60.0
NAME, OTHER = "www.example.com", "www.freebsd.org"
ORIGIN, ELSEWHERE = addresses.ORIGIN, addresses.SANE_HOSTS["www.debian.org"]
OURS = ("tls", ORIGIN, 443, NAME)
HARMLESS = ("tls", ORIGIN, 443, "www.example.org")
UNRELATED = ("tls", ELSEWHERE, 443, NAME)
PAGE = ("http", ORIGIN, 80, NAME)
CONNECT = ("tcp", ORIGIN, 443, "")
QUIC = ("quic", ORIGIN, 443, NAME)


def asks(server: str, name: str = NAME) -> tuple[str, str, int, str]:
    return ("dns", server, 53, name)


SYSTEM, PUBLIC = asks(addresses.SYSTEM_RESOLVER), asks("8.8.8.8")


@pytest.fixture(scope="module")
def laboratory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Laboratory]:
    with Laboratory(tmp_path_factory.mktemp("laboratory")) as laboratory:
        yield laboratory


@pytest.mark.parametrize(
    ("scenario", "seen"),
    [
        ("reachable-https", {
            OURS: "verified", HARMLESS: "verified", PAGE: "200 1489 B", SYSTEM: ORIGIN, QUIC: "verified",
            ("http", ORIGIN, 80, OTHER): "400 17 B",
            ("tls", ORIGIN, 443, OTHER): "SSLCertVerificationError",
            ("tcp", addresses.BLOCK_PAGE_HOST, 443, ""): "ConnectionRefusedError",
            ("tls", addresses.BAD_CERTIFICATES, 443, "expired.badssl.com"): "SSLCertVerificationError",
            ("tcp", addresses.BOGON, 443, ""): "TimeoutError",
            asks("8.8.8.8", "itsat.info"): "NXDOMAIN",
            asks(addresses.WHOAMI_RESOLVER, addresses.WHOAMI_NAME): addresses.CLIENT,
        }),
        ("dns-impostor", {SYSTEM: f"{addresses.BAD_CERTIFICATES}, then {ORIGIN}",
                          PUBLIC: f"{addresses.BAD_CERTIFICATES}, then {ORIGIN}",
                          asks("8.8.8.8", "www.example.org"): ORIGIN}),
        ("dns-bogon", {SYSTEM: addresses.BOGON, PUBLIC: ORIGIN}),
        ("dns-timeout", {SYSTEM: "nothing", PUBLIC: ORIGIN}),
        ("tcp-timeout", {CONNECT: "TimeoutError", ("tcp", ORIGIN, 80, ""): "connected"}),
        ("tcp-refused", {CONNECT: "ConnectionRefusedError"}),
        ("tcp-unreachable", {CONNECT: "OSError"}),
        ("tcp-reset", {CONNECT: "ConnectionResetError"}),
        ("tls-reset", {OURS: "ConnectionResetError", UNRELATED: "ConnectionResetError", HARMLESS: "verified"}),
        ("tls-reset-injected", {OURS: "ConnectionResetError", HARMLESS: "verified"}),
        ("tls-reset-with-residue", {HARMLESS: "verified", OURS: "ConnectionResetError", CONNECT: "TimeoutError"}),
        ("tls-eof", {OURS: "SSLEOFError", HARMLESS: "verified"}),
        ("tls-timeout", {OURS: "TimeoutError", HARMLESS: "verified"}),
        ("tls-alert", {OURS: "SSLError", HARMLESS: "verified"}),
        ("tls-substituted", {OURS: "SSLCertVerificationError", HARMLESS: "verified"}),
        ("http-reset", {PAGE: "ConnectionResetError", ("http", ORIGIN, 80, OTHER): "400 17 B"}),
        ("http-eof", {PAGE: "EOFError"}),
        ("http-injected-page", {PAGE: "200 225 B"}),
        ("captive-portal", {PAGE: "200 31 B", ("http", ELSEWHERE, 80, OTHER): "200 31 B",
                            OURS: "ConnectionRefusedError"}),
        ("vantage-offline", {SYSTEM: "nothing", CONNECT: "TimeoutError"}),
        ("offline-mid-round", {SYSTEM: ORIGIN, CONNECT: "TimeoutError", PUBLIC: "nothing"}),
        ("mtu-black-hole", {CONNECT: "connected", PAGE: "TimeoutError"}),
        ("quic-timeout", {QUIC: "TimeoutError", OURS: "verified"}),
        ("quic-refused", {("udp", ORIGIN, 443, ""): "ConnectionRefusedError", OURS: "verified"}),
        ("platform-outage", {CONNECT: "TimeoutError", SYSTEM: ORIGIN}),
    ],
)  # fmt: skip
def test_a_primitive_does_what_it_says_and_nothing_else(
    laboratory: Laboratory, scenario: str, seen: dict[tuple[str, str, int, str], str]
) -> None:
    assert dict(zip(seen, laboratory.look(scenario, *seen), strict=True)) == seen


def test_what_was_arranged_is_gone_with_the_next_scenario(laboratory: Laboratory) -> None:
    assert laboratory.look("platform-outage", CONNECT) == ["TimeoutError"]
    assert laboratory.look("reachable-https", CONNECT, OURS, PAGE) == ["connected", "verified", "200 1489 B"]


def test_scenarios_have_names_of_their_own() -> None:
    names = [scenario.name for scenario in SCENARIOS]
    assert len(set(names)) == len(names)


def test_laboratories_side_by_side_do_not_see_each_other(laboratory: Laboratory, tmp_path: Path) -> None:
    with Laboratory(tmp_path) as other:
        assert laboratory.look("platform-outage", CONNECT) == ["TimeoutError"]
        assert other.look("reachable-https", CONNECT) == ["connected"]


def first_inside(pid: int) -> int:
    """Return the process that `unshare` started in the namespaces."""
    (child,) = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return int(child)


def user_namespace(pid: int) -> Path:
    return Path(f"/proc/{pid}/ns/user").readlink()


def members(namespace: Path) -> list[str]:
    """Return the processes that live in a user namespace."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "ns/user").readlink() == namespace:
                found.append((process / "cmdline").read_text())
        except OSError:  # ended meanwhile, or somebody else's
            continue
    return found


def assert_nobody_is_left(namespace: Path) -> None:
    end = time.monotonic() + PATIENCE_SECONDS
    while members(namespace) and time.monotonic() < end:
        time.sleep(0.2)
    assert members(namespace) == []


def test_a_laboratory_that_is_killed_leaves_no_process_and_so_no_namespace(tmp_path: Path) -> None:
    with Laboratory(tmp_path) as laboratory:
        inside = first_inside(laboratory.process.pid)
        namespace = user_namespace(inside)
        assert len(members(namespace)) >= 2  # itself and the control's agent
        os.kill(inside, signal.SIGKILL)
        laboratory.process.wait(PATIENCE_SECONDS)
        assert_nobody_is_left(namespace)
    assert not Path("/run/netns/router").exists()


def test_a_laboratory_ends_with_whoever_started_it(tmp_path: Path) -> None:
    script = (
        "import sys\nfrom pathlib import Path\nfrom tests.lab.internet.laboratory import Laboratory\n"
        f"with Laboratory(Path({str(tmp_path)!r})) as laboratory:\n"
        "    print(laboratory.process.pid, flush=True)\n    laboratory.ask('tcp-timeout')\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as starter:
        assert starter.stdout is not None
        namespace = user_namespace(first_inside(int(starter.stdout.readline())))
        assert members(namespace)
        starter.kill()
    assert_nobody_is_left(namespace)
