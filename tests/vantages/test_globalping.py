"""Vantages lent by Globalping, through the command line, against a service on loopback."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

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
            "tests_per_hour": 60,
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
