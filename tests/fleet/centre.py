"""A centre as a real process, with the vantages of agents that push and nothing else to do."""

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from click.testing import CliRunner

from monitor.cli import main
from tests.fakes.agent import FakeAgent
from tests.ports import free_port
from tests.scenarios.daemon import Daemon, merged

VANTAGES: Mapping[str, Any] = {
    "lahore-1": {"kind": "agent", "country": "PK", "asn": 17557},
    "karachi-1": {"kind": "agent", "country": "PK", "asn": 9541},
    "bergen-1": {"kind": "agent", "country": "NO", "asn": 29695},
    "oslo-1": {"kind": "agent", "country": "NO", "asn": 2119},
}


class Centre(Daemon):
    """The daemon, and the commands that invite and revoke."""

    def invitation(self, vantage: str = "lahore-1") -> str:
        return self.said("agent", "invite", vantage).strip()

    def agent(self, vantage: str = "lahore-1", **options: Any) -> FakeAgent:
        return FakeAgent(self.invitation(vantage), **options)

    def said(self, *arguments: str, exit_status: int = 0) -> str:
        """Return what a command prints, or what it complains of if it must fail."""
        done = CliRunner().invoke(main, [*arguments, "-c", str(self.config)])
        assert done.exit_code == exit_status, done.output
        return done.stderr if exit_status else done.stdout


def configuration(folder: Path, **sections: Any) -> Path:
    """Write a configuration of two platforms that only agents measure."""
    port = free_port()
    written = {
        "defaults": {"interval": 60, "allow_fast_interval": True},
        "sanity": {"enabled": False},
        "events": {"builtin": []},
        "storage": {"path": str(folder / "monitor.db")},
        "server": {"listen": "127.0.0.1:0"},
        "ingest": {"listen": f"127.0.0.1:{port}", "urls": [f"http://127.0.0.1:{port}"], "tls": False, "rate": 50},
        "vantages": VANTAGES,
        "platforms": {
            "x": {"targets": {"x-home": "https://x.com/"}},
            "other": {"targets": {"other-home": {"url": "https://other.example/", "vantages": ["oslo-1"]}}},
        },
    }
    path = folder / "probes.yaml"
    path.write_text(yaml.safe_dump(merged(written, sections), sort_keys=False))
    return path


@contextlib.contextmanager
def running(folder: Path, **sections: Any) -> Iterator[Centre]:
    """Run a centre."""
    centre = Centre(configuration(folder, **sections))
    with centre.running():
        yield centre
