"""`monitor agent` as a process inside the laboratory, beside a centre that the test holds in its hand."""

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import yaml
from click.testing import CliRunner

from monitor.agent.status import Status, status_at
from monitor.cli import main
from monitor.config.load import load
from monitor.config.plan import limits_of, plan
from monitor.lab.laboratory import Lab
from monitor.model.fleet import AgentTarget, Instructions
from tests.fakes.centre import FakeCentre
from tests.scenarios.daemon import configuration
from tests.scenarios.running import MONITOR, ROOT

OWNER = {"interval_floor": 0.2, "rounds_per_minute": 1000, "allow_addresses": ["127.0.0.0/8"]}


def instructions(
    lab: Lab, folder: Path, targets: Mapping[str, object], *, version: int = 1, interval_seconds: float = 1.0
) -> Instructions:
    """Return what a centre in the laboratory wants measured."""
    config = load(configuration(lab, folder, targets, interval_seconds=interval_seconds), {})
    limits = limits_of(config)
    return Instructions(
        version=version,
        config_digest=f"digest-{version}",
        targets=tuple(
            AgentTarget(target=one.target, interval_seconds=one.interval_seconds) for one in plan(config).assignments
        ),
        resolvers=(lab.system_resolver,),
        limits=limits,
        deep_limits=msgspec.structs.replace(limits, dns_listen_seconds=0.1, addresses_per_family=4, total_seconds=10.0),
        jitter=0.0,
        user_agent=config.defaults.user_agent,
        cleartext_user_agent=config.defaults.cleartext_user_agent,
        follow_ups=msgspec.Raw(config.follow_ups.model_dump_json().encode()),
        sanity=msgspec.Raw(config.sanity.model_dump_json().encode()),
        check_in_seconds=1.0,
        country="PK",
    )


class Machine:
    """The computer of somebody who lends a line."""

    def __init__(self, lab: Lab, folder: Path) -> None:
        self.data = folder / "agent"
        self.log = folder / "agent.log"
        self.process: subprocess.Popen[bytes] | None = None
        self._environ = {**os.environ, "SSL_CERT_FILE": str(lab.ca_file)}

    def command(self, *arguments: str, expect: int = 0) -> str:
        """Run `monitor agent …` on the folder, where nobody can be asked; return what it says."""
        done = CliRunner().invoke(main, ["agent", *arguments, "--data", str(self.data)])
        assert done.exit_code == expect, (done.exit_code, done.output, done.exception)
        return done.output

    def enroll(self, centre: FakeCentre, **owner: Any) -> None:
        """Become an agent of a centre, with an agent.yaml that lets it measure the laboratory."""
        self.command("enroll", centre.invitation(), "--accept-risks")
        self.owner(**owner)

    def owner(self, **changes: Any) -> None:
        """Write agent.yaml."""
        (self.data / "agent.yaml").write_text(yaml.safe_dump(OWNER | changes))

    @contextlib.contextmanager
    def running(self, *options: str) -> Iterator["Machine"]:
        """Run the agent; at the end of the block it is told to stop, unless it was killed, and must say 0."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*MONITOR, "agent", "run", "--data", str(self.data), *options],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=ROOT, env=self._environ,
            )  # fmt: skip
        try:
            yield self
            if self.process.poll() is None:
                self.process.send_signal(signal.SIGTERM)
                assert self.process.wait(30) == 0, self.log.read_text()[-4000:]
        finally:
            self.kill()

    def kill(self) -> None:
        """End it as a power cut would."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def wait_for_status(self, number: int) -> None:
        """Wait until the agent has written so many further statuses: about a second each."""
        for _ in range(number):
            FakeCentre.wait_for(partial(self._is_after, status_at(self.data / "status.json")))

    def _is_after(self, before: Status | None) -> bool:
        return status_at(self.data / "status.json") != before

    @property
    def said(self) -> str:
        """What the agent logged and printed."""
        return self.log.read_text()
