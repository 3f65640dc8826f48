"""Vantages lent by RIPE Atlas, through the command line, against a service on loopback."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from tests.network.loopback import AUTHORITY
from tests.scenarios.running import probe
from tests.vantages.atlas_server import OWN_ADDRESS, Line, World, atlas

X, XS, HARMLESS, DEBIAN = "x.com", "104.244.42.1", "www.example.com", "www.debian.org"
NAMES = {X: XS, HARMLESS: "23.192.228.80", DEBIAN: "151.101.2.132"}
KEY = "0b1c2d3e-key-of-a-test"


def configuration(folder: Path, url: str, lines: Mapping[str, Line], **more: Any) -> Path:
    (folder / "key").write_text(KEY)
    AUTHORITY.cert_pem.write_to_path(str(folder / "ca.pem"))
    common = {"kind": "ripe_atlas", "base_url": url, "token_file": "key"}
    vantages = {
        name: common | {"country": line.country, "asn": line.asn, "targets": ["x-home"]} for name, line in lines.items()
    }
    written = {
        "vantages": vantages | {"control": common | {"role": "control", "country": "DE"}},
        "tls": {"ca_file": "ca.pem"},
        "sanity": {"tls_hosts": [f"{DEBIAN}:443"]},
        "follow_ups": {"harmless_name": HARMLESS, "retry_wait": 0.1},
        "platforms": {"x": {"targets": {"x-home": {"url": f"https://{X}/", "expect": "tls"}}}},
        "storage": {"path": str(folder / "monitor.db")},
    }
    path = folder / "probes.yaml"
    path.write_text(yaml.safe_dump(written | more))
    return path


def told(result: Mapping[str, Any]) -> tuple[str, str | None, list[str]]:
    verdict = result["verdict"]
    return verdict["status"], verdict.get("reason"), list(verdict.get("mechanisms", ()))


CASES: dict[str, tuple[Line, tuple[str, str | None, list[str]]]] = {
    "open": (Line(1, "PK", 1), ("accessible", None, [])),
    "silent-by-name": (
        Line(2, "PK", 2, censor=lambda _, name: {"ttc": 20.0, "err": "timeout reading hello"} if name == X else None),
        ("blocked", None, ["tls.timeout.sni"]),
    ),
    "refused": (
        Line(3, "PK", 3, censor=lambda address, _: {"err": "connect: Connection refused"} if address == XS else None),
        ("blocked", None, ["tcp.refused"]),
    ),
    "nxdomain": (Line(4, "PK", 4, lies={X: 3}), ("blocked", None, ["dns.nxdomain.name"])),
}


def test_every_kind_of_block_gets_its_verdict(tmp_path: Path) -> None:
    lines = {name: line for name, (line, _) in CASES.items()}
    world = World(NAMES, [*lines.values(), Line(9, "DE", 3320)], AUTHORITY)
    with atlas(world) as url:
        config = configuration(tmp_path, url, lines)
        _, printed, errors = probe(config, "x-home")
    found = {one["vantage"]: one for one in printed}
    assert {name: told(one) for name, one in found.items()} == {name: due for name, (_, due) in CASES.items()}, errors
    assert {one["network"]["asn"] for one in printed} == {1, 2, 3, 4}
    assert world.keys == {f"Key {KEY}"}
    everything = b"".join(path.read_bytes() for path in tmp_path.glob("monitor.db*"))
    assert OWN_ADDRESS.encode() not in everything
    assert OWN_ADDRESS not in str(printed) + errors
    assert KEY not in str(printed) + errors
