"""Vantages lent by Globalping, through the command line, against a service on loopback."""

import asyncio
import contextlib
import json
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from monitor.cli.probe import as_contract
from monitor.config.load import load
from monitor.daemon.one_off import measure_once, target_named
from monitor.model.seams import VantageError
from monitor.network.clock import SystemClock
from monitor.vantages._service_api import ServiceApi
from tests.scenarios.running import probe
from tests.vantages.globalping_server import TIMEOUT, Censor, Line, Site, World, globalping

X, XS, HARMLESS, DEBIAN = "x.com", "104.244.42.1", "www.example.com", "www.debian.org"
EXAMPLES, DEBIANS, LIAR = "23.192.228.80", "151.101.2.132", "203.82.48.83"
PAGE = "http.example.org"
PAGES = "23.215.0.136"
TOKEN = "a token of a test"  # noqa: S105 - of a test


def world(*lines: Line) -> World:
    names = {X: XS, HARMLESS: EXAMPLES, DEBIAN: DEBIANS, PAGE: PAGES}
    sites = {
        XS: Site((X, "*.x.com")),
        EXAMPLES: Site((HARMLESS,)),
        DEBIANS: Site((DEBIAN,)),
        PAGES: Site((PAGE,), page="<html><title>Example Domain</title>for use in examples</html>"),
    }
    return World(names, sites, [*lines, Line("DE", 3320)])


def configuration(folder: Path, url: str, lines: Mapping[str, Line], **more: Any) -> Path:
    """Write a file with one vantage for each line, and a control in Germany."""
    vantages: dict[str, Any] = {
        name: {
            "kind": "globalping",
            "country": line.country,
            "asn": line.asn,
            "base_url": url,
            "targets": ["x-home", "x-page"],
            "token_file": "token",
            "tests_per_hour": 50,
        }
        for name, line in lines.items()
    }
    (folder / "token").write_text(TOKEN)
    control = {"kind": "globalping", "role": "control", "country": "DE", "base_url": url, "tests_per_hour": 250}
    written = {
        "vantages": vantages | {"control": control},
        "sanity": {"tls_hosts": [f"{DEBIAN}:443"]},
        "follow_ups": {"harmless_name": HARMLESS, "retry_wait": 0.1},
        "platforms": {
            "x": {
                "targets": {
                    "x-home": {"url": f"https://{X}/", "expect": "tls"},
                    "x-page": {"url": f"http://{PAGE}/", "expect": {"status": 200, "title": "Example Domain"}},
                }
            }
        },
        "storage": {"path": str(folder / "monitor.db")},
    }
    path = folder / "probes.yaml"
    path.write_text(yaml.safe_dump(written | more))
    return path


def on(kind: str, name: str, text: str) -> Censor:
    return lambda its_kind, _address, _port, its_name: text if (its_kind, its_name) == (kind, name) else None


def at(address: str, text: str) -> Censor:
    return lambda _kind, its_address, _port, _name: text if its_address == address else None


def steps(result: Mapping[str, Any], purpose: str = "path") -> list[tuple[str, str | None]]:
    return [
        (one["step"], one.get("failure")) for one in result["observations"] if one.get("purpose", "path") == purpose
    ]


def told(result: Mapping[str, Any]) -> tuple[str, str | None, list[str]]:
    verdict = result["verdict"]
    return verdict["status"], verdict.get("reason"), list(verdict.get("mechanisms", ()))


CASES: dict[str, tuple[Line, tuple[str, str | None, list[str]]]] = {
    "open": (Line("PK", 1), ("accessible", None, [])),
    "reset-by-name": (
        Line("PK", 2, censor=on("https", X, "read ECONNRESET")),
        ("blocked", None, ["tls.reset.sni"]),
    ),
    "silent-by-name": (Line("PK", 3, censor=on("https", X, TIMEOUT)), ("blocked", None, ["tls.timeout.sni"])),
    "refused": (
        Line("PK", 4, censor=at(XS, f"connect ECONNREFUSED {XS}:443")),
        ("blocked", None, ["tcp.refused"]),
    ),
    "silent-address": (Line("PK", 5, censor=at(XS, TIMEOUT)), ("blocked", None, ["tcp.timeout"])),
    "nxdomain": (Line("PK", 6, lies={X: 3}), ("blocked", None, ["dns.nxdomain.name"])),
    "bogon": (Line("PK", 7, lies={X: ("10.10.34.35",)}), ("blocked", None, ["dns.bogon.name"])),
    "blockpage-address": (Line("PK", 9, lies={X: (LIAR,)}), ("blocked", None, ["dns.blockpage_address.name"])),
    "intercepted": (Line("PK", 10, forges=X), ("blocked", None, ["tls.certificate_substituted"])),
    "unknown-words": (
        Line("PK", 8, censor=on("https", X, "something nobody has heard of")),
        ("inconclusive", "insufficient_data", []),
    ),
}


def test_every_kind_of_block_gets_its_verdict(tmp_path: Path) -> None:
    here = world(*(line for line, _ in CASES.values()))
    with globalping(here) as url:
        config = configuration(tmp_path, url, {name: line for name, (line, _) in CASES.items()})
        _, printed, errors = probe(config, "x-home")
    found = {one["vantage"]: one for one in printed}
    assert {name: told(one) for name, one in found.items()} == {name: due for name, (_, due) in CASES.items()}, errors
    assert {one["context"]["hello_profile"] for one in printed} == {"globalping"}
    assert here.authorizations == {f"Bearer {TOKEN}", None}
    assert TOKEN not in str(printed) + errors


def measured(config: Path, name: str) -> dict[str, dict[str, Any]]:
    """Measure once in this process; return what each vantage would print."""
    loaded = load(config, {})
    target = target_named(loaded, name)
    assert target is not None
    outcomes, controls = asyncio.run(measure_once(loaded, target, (), {}, SystemClock(), deep=False))
    printed = [json.loads(msgspec.json.encode(as_contract(one, controls))) for one in outcomes]
    return {one["vantage"]: one for one in printed}


def lent(url: str, *targets: str, **more: Any) -> dict[str, Any]:
    return {"kind": "globalping", "country": "PK", "targets": list(targets), "base_url": url, **more}


def says_nothing(result: Mapping[str, Any], reason: str) -> bool:
    return told(result) == ("inconclusive", reason, []) and result["observations"] == []


def with_answer(answer: bytes) -> World:
    here = world(Line("PK", 1))
    here.raw_answer = answer
    return here


def with_fault() -> World:
    here = world(Line("PK", 1))
    fault = {"status": "failed", "rawOutput": "connect ECONNREFUSED", "failureSource": "internal"}
    here.override = lambda body: fault if body["target"] == XS else None
    return here


def without_quota(*, hides_limits: bool) -> World:
    here = world(Line("PK", 1))
    here.remaining, here.hides_limits = 0, hides_limits
    return here


# Each with the reason of the verdict, and how many requests were made for it.
TROUBLES: dict[str, tuple[World, str, int]] = {
    "no-probe": (world(), "vantage_offline", 1),
    "probe-offline": (world(Line("PK", 1, is_offline=True)), "vantage_offline", 1),
    "probe-cut-off": (world(Line("PK", 1, censor=lambda *_: "read ECONNRESET")), "vantage_offline", 1),
    "own-fault": (with_fault(), "vantage_offline", 3),
    "no-quota": (without_quota(hides_limits=False), "quota_exhausted", 0),
    "refused-for-quota": (without_quota(hides_limits=True), "quota_exhausted", 1),
    "empty-answer": (with_answer(b""), "vantage_offline", 1),
    "a-list": (with_answer(b"[]"), "vantage_offline", 1),
    "wrong-types": (with_answer(b'{"status": 7}'), "vantage_offline", 1),
    "no-result": (with_answer(b'{"status": "finished", "results": []}'), "vantage_offline", 1),
    "deep-answer": (with_answer(b"[" * 100_000), "vantage_offline", 1),
    "huge-answer": (with_answer(b"x" * 9_000_000), "vantage_offline", 1),
}


def test_trouble_of_the_service_says_nothing_about_a_target(tmp_path: Path) -> None:
    with contextlib.ExitStack() as servers:
        urls = {name: servers.enter_context(globalping(here)) for name, (here, _, _) in TROUBLES.items()}
        config = configuration(tmp_path, "", {}, vantages={name: lent(url, "x-home") for name, url in urls.items()})
        found = measured(config, "x-home")
    for name, (here, reason, requests) in TROUBLES.items():
        assert says_nothing(found[name], reason), (name, found[name])
        assert len(here.asked) == requests, (name, here.asked)


def test_an_own_budget_outlives_the_process(tmp_path: Path) -> None:
    here = world(Line("PK", 1))
    with globalping(here) as url:
        config = configuration(tmp_path, "", {}, vantages={"lent": lent(url, "x-home", tests_per_hour=6)})
        assert told(measured(config, "x-home")["lent"])[0] == "accessible"
        spent = len(here.asked)
        assert says_nothing(measured(config, "x-home")["lent"], "quota_exhausted")
    assert 2 <= spent == len(here.asked) <= 6


def test_a_lent_control_is_left_alone_as_long_as_nothing_fails(tmp_path: Path) -> None:
    here = world(Line("PK", 1))
    with globalping(here) as url:
        control = {"kind": "globalping", "role": "control", "country": "DE", "base_url": url}
        config = configuration(tmp_path, "", {}, vantages={"lent": lent(url, "x-home"), "control": control})
        assert told(measured(config, "x-home")["lent"])[0] == "accessible"
    places = [one["locations"] for one in here.asked if not isinstance(one["locations"], str)]
    assert {place["country"] for (place,) in places} == {"PK"}


def test_a_block_page_in_cleartext_is_recognised(tmp_path: Path) -> None:
    here = world(Line("PK", 1))
    here.sites[PAGES] = Site(
        (PAGE,), page="<title>x</title>The site is prohibited for viewership from within Pakistan."
    )
    with globalping(here) as url:
        config = configuration(tmp_path, "", {}, vantages={"lent": lent(url, "x-page")})
        found = measured(config, "x-page")
    assert told(found["lent"]) == ("blocked", None, ["http.blockpage"])


def test_an_address_of_nobody_is_not_asked_of_other_peoples_lines(tmp_path: Path) -> None:
    here = world(Line("PK", 1))
    with globalping(here) as url:
        config = configuration(tmp_path, "", {}, vantages={"lent": lent(url, "x-page")})
        found = measured(config, "https://elsewhere.example/")
    assert says_nothing(found["lent"], "vantage_offline")
    assert all(target == DEBIAN for target, _ in here.targets())


def test_a_service_that_hangs_is_given_up() -> None:
    async def ask() -> None:
        api = ServiceApi("lent", f"http://127.0.0.1:{silent.getsockname()[1]}", None)
        try:
            await api.ask("GET", "/v1/limits", seconds=0.2)
        finally:
            await api.close()

    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(VantageError, match="TimeoutError"):
        asyncio.run(ask())
