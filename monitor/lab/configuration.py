"""probes.yaml for a laboratory: everything that the program asks lies on loopback."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from monitor.lab import places
from monitor.lab.laboratory import Lab


@dataclass(frozen=True)
class Agent:
    """A running `monitor agent serve`, to be the control vantage."""

    url: str
    token_file: Path
    fingerprint: str


def surroundings(lab: Lab, *, database: Path, listen: str = "127.0.0.1:9817") -> dict[str, Any]:
    """Return every section of a configuration but vantages and platforms, with short deadlines."""
    return {
        "version": 1,
        "network": {"allowed_bogons": ["127.0.0.0/8"]},
        "tls": {"ca_file": str(lab.ca_file)},
        "sanity": {
            "dns_names": list(places.SANE_NAMES),
            "nxdomain_zone": f"nx.{places.DOMAIN}",
            "anchors": [f"{address}:{lab.ports.https}" for address in places.ANCHORS],
            "portals": {lab.url(name, scheme="http"): places.PORTAL_TEXT for name in places.PORTAL_NAMES},
            "tls_hosts": [f"{name}:{lab.ports.https}" for name in places.SANE_NAMES],
            "whoami": f"{places.WHOAMI_NAME} TXT @ {places.SYSTEM_RESOLVER}:{lab.ports.dns}",
            "origin_zone": places.ORIGIN_ZONE,
            "asn_zone": places.ASN_ZONE,
        },
        "follow_ups": {
            "harmless_name": places.HARMLESS_NAME,
            "resolvers": list(lab.public_resolvers[:3]),
            "quic_reference": None,
            "unrelated": f"{places.UNRELATED_NAME}:{lab.ports.https}",
            "retry_wait": 0.2,
        },
        "throughput": {
            "enabled": True,
            "reference": lab.url(places.HARMLESS_NAME, "/large", "http"),
        },
        "storage": {"path": str(database)},
        "server": {"listen": listen},
    }


def probes_yaml(
    lab: Lab,
    targets: Mapping[str, object],
    *,
    database: Path,
    control: Agent | None = None,
    interval_seconds: float = 15.0,
    listen: str = "127.0.0.1:9817",
) -> str:
    """Return a configuration with one platform `lab`, its `targets` as probes.yaml writes them, and vantage `here`."""
    platforms = {"lab": {"targets": dict(targets)}}
    return platforms_yaml(
        lab, platforms, database=database, control=control, interval_seconds=interval_seconds, listen=listen
    )


def platforms_yaml(
    lab: Lab,
    platforms: Mapping[str, object],
    *,
    database: Path,
    control: Agent | None,
    interval_seconds: float,
    listen: str,
) -> str:
    """Return a configuration with `platforms` as probes.yaml writes them, measured from `here`, and by `control`."""
    vantages: dict[str, object] = {
        "here": {"kind": "direct", "country": "PK", "resolvers": [lab.system_resolver]},
    }
    if control is not None:
        vantages["control"] = {
            "kind": "agent",
            "role": "control",
            "url": control.url,
            "token_file": str(control.token_file),
            "fingerprint": control.fingerprint,
            "resolvers": [lab.control_resolver],
        }
    # At most half of the interval, so that a step that hangs is seen to hang before the whole measurement is over.
    steps = {"dns": 2.0, "tcp": 3.0, "tls": 3.0, "http": 4.0}
    timeouts = {step: min(seconds, interval_seconds / 2) for step, seconds in steps.items()}
    defaults = {
        "interval": interval_seconds,
        "jitter": 0.0,
        "allow_fast_interval": True,
        "timeouts": {**timeouts, "total": min(15.0, interval_seconds)},
    }
    around = surroundings(lab, database=database, listen=listen)
    around["sanity"]["max_age"] = 5  # rounds are seconds apart, so checks must not be a minute old
    return _written(
        {
            **around,
            "defaults": defaults,
            "vantages": vantages,
            "platforms": dict(platforms),
        }
    )


def moved_into(lab: Lab, shipped: str, *, database: Path, listen: str = "127.0.0.1:9817") -> str:
    """Return the shipped probes.yaml with its targets as they are, and all else, vantages too, in the laboratory."""
    written = yaml.safe_load(shipped)
    vantages = {"here": {"kind": "direct", "resolvers": [lab.system_resolver]}}
    return _written({**written, **surroundings(lab, database=database, listen=listen), "vantages": vantages})


def _written(sections: Mapping[str, object]) -> str:
    return yaml.safe_dump(sections, sort_keys=False)
