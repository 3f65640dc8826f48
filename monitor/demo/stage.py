"""What the story is played on: the laboratory in this process, a control agent and the daemon in their own."""

import os
import secrets
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

import httpx
import msgspec

from monitor.config.risks import forget
from monitor.demo.story import CAST, furnish
from monitor.lab import Lab, places
from monitor.lab.configuration import Agent, platforms_yaml
from monitor.model.outcome import Incident
from monitor.store.reader import HistoryRow, StoredMeasurement
from monitor.web.api import MOST_ITEMS, History, Incidents, Targets
from monitor.web.services import TargetState

# Without -P a folder called `monitor` where somebody stands would be taken for this program.
_PROGRAM: Final = (sys.executable, "-P", "-m", "monitor")
_START_TURNS: Final = 300
_TURN_SECONDS: Final = 0.1
_STOP_SECONDS: Final = 20.0
_ANSWER_SECONDS: Final = 10.0
_LOG_TAIL: Final = 300

T = TypeVar("T")
Pause = Callable[[float], None]  # waits; raises when the demonstration is told to end


class StageError(Exception):
    """A process of the demonstration did not start, or ended by itself."""


@dataclass(frozen=True)
class Stage:
    """The running parts, as far as the story needs them."""

    lab: Lab
    url: str  # of the daemon's page
    interval_seconds: float
    _client: httpx.Client

    def targets(self) -> Sequence[TargetState]:
        """Return how every target stands."""
        return self._ask("/api/v1/targets", Targets).targets

    def incidents(self) -> Sequence[Incident]:
        """Return every incident, newest first."""
        return self._ask("/api/v1/incidents", Incidents).incidents

    def history(self, target: str, since: str) -> Sequence[HistoryRow]:
        """Return the rounds of a target that started at `since` (ISO 8601) or later, newest first."""
        found = self._ask("/api/v1/history", History, target=target, vantage="here", since=since, limit=MOST_ITEMS)
        return found.measurements

    def measurement(self, measurement_id: int) -> StoredMeasurement:
        """Return one measurement whole."""
        return self._ask(f"/api/v1/measurements/{measurement_id}", StoredMeasurement)

    def _ask(self, path: str, kind: type[T], **parameters: str | int) -> T:
        try:
            answer = self._client.get(path, params=parameters).raise_for_status()
        except httpx.HTTPError as error:
            raise StageError(f"the daemon does not answer {path}: {error}") from error
        return msgspec.json.decode(answer.content, type=kind)


@contextmanager
def opened(folder: Path, *, port: int, interval_seconds: float, pause: Pause) -> Iterator[Stage]:
    """Start everything, with its files in `folder`; ends it all at the end of the block.

    Raises StageError or OSError if something does not start, and what `pause` raises.
    """
    with ExitStack() as running:
        lab = running.enter_context(Lab(folder=folder))
        furnish(lab)
        agent = _agent(running, lab, folder, pause)
        config = folder / "probes.yaml"
        config.write_text(
            platforms_yaml(
                lab,
                _platforms(lab),
                database=folder / "monitor.db",
                control=agent,
                interval_seconds=interval_seconds,
                listen=f"127.0.0.1:{port}",
            ),
            encoding="utf-8",
        )
        daemon = running.enter_context(_process(folder, "daemon", "run", "-c", str(config), "--accept-risks"))
        url = daemon.said("Listening on ", pause).split()[0]
        # What never leaves the host needs no consent; whoever measures from this folder for real is to be asked.
        forget(folder)
        client = running.enter_context(httpx.Client(base_url=url, trust_env=False, timeout=_ANSWER_SECONDS))
        yield Stage(lab, url, interval_seconds, client)


def _platforms(lab: Lab) -> dict[str, Any]:
    platforms: dict[str, Any] = {}
    for one in CAST:
        platform = platforms.setdefault(one.platform, {"name": one.called, "targets": {}})
        platform["targets"][one.target] = lab.url(one.host)
    return platforms


def _agent(running: ExitStack, lab: Lab, folder: Path, pause: Pause) -> Agent:
    """Start the control where the censor does not look.

    It is bound to a loopback address, from which the kernel lets nothing leave the host.
    """
    token_file = folder / "token"
    with os.fdopen(os.open(token_file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(secrets.token_hex(32))
    place = ("--source-address", places.CONTROL_SOURCE, "--allow-address", "127.0.0.0/8", "--ca-file", str(lab.ca_file))
    files = ("--token-file", str(token_file), "--data", str(folder / "agent"))
    process = running.enter_context(
        _process(folder, "agent", "agent", "serve", "--listen", "127.0.0.1:0", *files, *place, "--no-sanity")
    )
    return Agent(process.said("Listening on ", pause), token_file, process.said("Fingerprint ", pause))


@dataclass(frozen=True)
class _Process:
    name: str
    process: subprocess.Popen[bytes]
    output: Path
    log: Path

    def said(self, beginning: str, pause: Pause) -> str:
        """Wait for a whole line of output that begins so; returns the rest of it."""
        for _ in range(_START_TURNS):
            for line in self.output.read_text(encoding="utf-8").splitlines(keepends=True):
                if line.startswith(beginning) and line.endswith("\n"):
                    return line.removeprefix(beginning).strip()
            if self.process.poll() is not None:
                break
            pause(_TURN_SECONDS)
        last = self.log.read_text(encoding="utf-8", errors="replace").strip().rpartition("\n")[2]
        raise StageError(f"the {self.name} did not start: {last[:_LOG_TAIL] or 'it said nothing'}")


@contextmanager
def _process(folder: Path, name: str, *arguments: str) -> Iterator[_Process]:
    """Run a command of the program; told to end after the block, and ended if it does not."""
    output, log = folder / f"{name}.out", folder / f"{name}.log"
    with output.open("wb") as out, log.open("wb") as errors:
        # In a group of its own: Ctrl-C reaches this process alone, which ends the others in order.
        process = subprocess.Popen(  # noqa: S603 - this program itself, no shell
            [*_PROGRAM, *arguments], stdin=subprocess.DEVNULL, stdout=out, stderr=errors, process_group=0
        )
    try:
        yield _Process(name, process, output, log)
    finally:
        process.terminate()
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
