"""One measurement in the laboratory from many vantages at once, through the command line."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from monitor.lab import places
from monitor.lab.configuration import probes_yaml
from monitor.lab.laboratory import Lab
from tests.scenarios.running import probe
from tests.vantages.servers import USER

X = f"x.{places.DOMAIN}"
VANTAGE = Mapping[str, object]


def configuration(lab: Lab, folder: Path, vantages: Mapping[str, VANTAGE], **control: Any) -> Path:
    """Write probes.yaml with these vantages beside `here`; a `password` goes into a file, with a user name."""
    written = yaml.safe_load(probes_yaml(lab, {"x-home": lab.url(X)}, database=folder / "monitor.db", **control))
    resolver = f"tcp://{places.SYSTEM_RESOLVER}:{lab.ports.dns}"
    for name, vantage in vantages.items():
        keys = {"resolvers": resolver, "country": "PK", **vantage}
        if password := keys.pop("password", None):
            (folder / f"{name}.password").write_text(str(password))
            keys |= {"username": USER, "password_file": f"{name}.password"}
        written["vantages"][name] = keys
    path = folder / "probes.yaml"
    path.write_text(yaml.safe_dump(written))
    return path


def measured(
    lab: Lab, folder: Path, vantages: Mapping[str, VANTAGE], url: str = "x-home", *options: str, **control: Any
) -> dict[str, dict[str, Any]]:
    """Measure once from each vantage and return what was printed, by vantage."""
    config = configuration(lab, folder, vantages, **control)
    _, printed, errors = probe(config, url, *(f"--vantage={name}" for name in vantages), *options)
    assert [one["vantage"] for one in printed] == [*vantages], errors
    return {one["vantage"]: one for one in printed}


def seen(lab: Lab, folder: Path, vantage: VANTAGE, *options: str, **control: Any) -> dict[str, Any]:
    """Measure once from one vantage."""
    return measured(lab, folder, {"tunnel": vantage}, "x-home", *options, **control)["tunnel"]


def no_verdict(result: Mapping[str, Any]) -> bool:
    verdict = result["verdict"]
    return (verdict["status"], verdict["reason"], verdict["rule"]) == ("inconclusive", "proxy_failed", "proxy_failed")


def steps(result: Mapping[str, Any]) -> set[str]:
    return {one["step"] for one in result["observations"]}
