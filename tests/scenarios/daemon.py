"""The daemon as a process: started, asked over HTTP, told with signals, killed, and its database read from outside."""

import contextlib
import os
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import httpx
import yaml
from prometheus_client.parser import text_string_to_metric_families

from monitor.lab.configuration import Agent, probes_yaml
from monitor.lab.laboratory import Lab
from tests.scenarios.running import MONITOR, ROOT

PATIENCE_SECONDS = 180.0
T = TypeVar("T")


class Daemon:
    """A daemon on one configuration and database; it can be started and ended again and again."""

    def __init__(self, config: Path, token: str = "") -> None:
        self.config = config
        self.log = config.with_suffix(".log")
        self.output = config.with_suffix(".out")
        self.database = Path(yaml.safe_load(config.read_text())["storage"]["path"])
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._process: subprocess.Popen[bytes] | None = None
        self._client: httpx.Client | None = None

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Run it; at the end of the block it is told to stop, unless it has ended already, and must say 0."""
        with self.log.open("ab") as log, self.output.open("ab") as output:
            said = self.output.stat().st_size
            self._process = subprocess.Popen(
                [*MONITOR, "run", "-c", str(self.config)], stdin=subprocess.DEVNULL, stdout=output, stderr=log, cwd=ROOT
            )
        try:
            url = self.wait_for(lambda: self._said(said, "Listening on "))
            with httpx.Client(base_url=url, headers=self._headers, trust_env=False, timeout=30) as self._client:
                yield
                if self._process.poll() is None:
                    assert self.stop() == 0, self.log.read_text()[-4000:]
        finally:
            self.kill()

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def signal(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    def stop(self) -> int:
        """Send SIGTERM and return the exit status."""
        assert self._process is not None
        self._process.terminate()
        return self._process.wait(PATIENCE_SECONDS)

    def kill(self) -> None:
        """End it as a power cut would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def get(self, path: str, **parameters: Any) -> httpx.Response:
        assert self._client is not None
        return self._client.get(path, **parameters)

    def reload(self) -> httpx.Response:
        assert self._client is not None
        return self._client.post("/-/reload")

    def metrics(self, name: str) -> Sequence[tuple[Mapping[str, str], float]]:
        """Return the labels and value of every sample of a metric."""
        return [
            (sample.labels, sample.value)
            for family in text_string_to_metric_families(self.get("/metrics").text)
            for sample in family.samples
            if sample.name == name
        ]

    def metric(self, name: str, **labels: str) -> float | None:
        """Return the sum of the samples that have these labels, None if there is none."""
        found = [value for has, value in self.metrics(name) if labels.items() <= has.items()]
        return sum(found) if found else None

    def status(self, target: str) -> str | None:
        """Return what /metrics says about a target, None before its first measurement."""
        found = [
            has["status"] for has, value in self.metrics("access_target_status") if has["target"] == target and value
        ]
        return found[0] if found else None

    def rows(self, query: str, *values: object) -> list[Any]:
        """Ask the database; one value for each row if it has one column."""
        with contextlib.closing(sqlite3.connect(f"file:{self.database}?mode=ro", uri=True)) as connection:
            found = connection.execute(query, values).fetchall()
        return [row[0] if len(row) == 1 else row for row in found]

    def count(self, table: str) -> int:
        return int(self.rows(f"SELECT count(*) FROM {table}")[0])  # noqa: S608 - tables named by tests

    def verdicts(self, target: str) -> list[tuple[str, str | None]]:
        """Return status and reason of each round of a target, oldest first."""
        return self.rows(
            "SELECT status, reason FROM measurement_detail WHERE target = ? AND status NOT NULL ORDER BY id", target
        )

    def wait_for(self, question: Callable[[], T | None]) -> T:
        """Ask until the answer is neither None nor False; fails with the end of the log after three minutes."""
        end = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < end and self._process is not None and self._process.poll() is None:
            if answer := question():
                return answer
            time.sleep(0.1)
        raise AssertionError(f"it never came:\n{self.log.read_text()[-4000:]}")

    def wait_for_rounds(self, target: str, number: int) -> None:
        """Wait for that many further rounds of a target."""
        before = len(self.verdicts(target))
        self.wait_for(lambda: len(self.verdicts(target)) >= before + number)

    def command(self, *arguments: str) -> str:
        """Run another command of the program on the same configuration; returns what it prints."""
        done = subprocess.run(
            [*MONITOR, *arguments, "-c", str(self.config)],
            capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False, cwd=ROOT,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    def _said(self, after: int, beginning: str) -> str | None:
        for line in self.output.read_bytes()[after:].decode().splitlines():
            if line.startswith(beginning):
                return line.removeprefix(beginning).split()[0]
        return None


def configuration(
    lab: Lab,
    folder: Path,
    targets: Mapping[str, object],
    *,
    control: Agent | None = None,
    interval_seconds: float,
    **sections: Any,
) -> Path:
    """Write a configuration for a laboratory, with deadlines as short as the interval; merge `sections` into it."""
    written = yaml.safe_load(
        probes_yaml(lab, targets, database=folder / "monitor.db", control=control, listen="127.0.0.1:0")
    )
    # Half, so that a step that hangs is seen to hang before the time of the whole measurement is up.
    timeouts = dict.fromkeys(("dns", "tcp", "tls", "http"), interval_seconds / 2) | {"total": interval_seconds}
    defaults = {"interval": interval_seconds, "timeouts": timeouts}
    path = folder / "probes.yaml"
    path.write_text(yaml.safe_dump(merged(merged(written, {"defaults": defaults}), sections), sort_keys=False))
    return path


def merged(written: Any, changes: Any) -> Any:
    """Return a document with mappings merged key by key and anything else replaced."""
    if not isinstance(written, Mapping) or not isinstance(changes, Mapping):
        return changes
    return {**written, **{key: merged(written.get(key), value) for key, value in changes.items()}}


def change(path: Path, **sections: Any) -> None:
    """Merge sections into a configuration file."""
    path.write_text(yaml.safe_dump(merged(yaml.safe_load(path.read_text()), sections), sort_keys=False))
