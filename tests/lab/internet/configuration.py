"""probes.yaml for the client of the small internet: sanity checks as shipped, deadlines short."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from monitor.lab.configuration import Agent
from tests.lab.internet import addresses

PLATFORM: Final = "lab"
BRISK: Final[Mapping[str, float]] = {"dns": 2, "tcp": 3, "tls": 3, "http": 4, "quic": 3, "total": 15}
PATIENT: Final[Mapping[str, float]] = {"dns": 4, "tcp": 10, "tls": 10, "http": 10, "quic": 5, "total": 15}


def probes_yaml(
    targets: Mapping[str, object],
    *,
    ca_file: Path,
    database: Path,
    control: Agent,
    follow_ups: bool = True,
    interval_seconds: float = 15.0,
    timeouts: Mapping[str, float] = BRISK,
) -> str:
    """Return a configuration with one platform, vantage `here` and vantage `control`."""
    vantages: dict[str, Any] = {
        "here": {"kind": "direct", "country": "IT", "resolvers": ["system"]},
        "control": {
            "kind": "agent",
            "role": "control",
            "url": control.url,
            "token_file": str(control.token_file),
            "fingerprint": control.fingerprint,
            "resolvers": [f"udp://{addresses.ROOT_RESOLVER}"],
        },
    }
    public, name = next(iter(addresses.PUBLIC_RESOLVERS.items()))
    written = {
        "version": 1,
        "defaults": {
            "interval": interval_seconds,
            "jitter": 0.0,
            "allow_fast_interval": True,
            "timeouts": dict(timeouts),
        },
        "tls": {"ca_file": str(ca_file)},
        # Rounds are seconds apart, so checks must not be a minute old.
        "sanity": {"max_age": 2},
        "follow_ups": {
            "enabled": follow_ups,
            "harmless_name": addresses.HARMLESS_NAME,
            "resolvers": [f"udp://{public}", f"tcp://{public}", f"https://{name}/dns-query@{public}"],
            "unrelated": f"{addresses.UNRELATED_NAME}:443",
            "retry_wait": 0.2,
        },
        "throughput": {"enabled": True},
        "storage": {"path": str(database)},
        "server": {"listen": "127.0.0.1:0"},
        "vantages": vantages,
        "platforms": {PLATFORM: {"targets": dict(targets)}},
    }
    return yaml.safe_dump(written, sort_keys=False)
