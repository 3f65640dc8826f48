"""Real processes of the program inside the laboratory: agents, probes and daemons."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from monitor.lab import places
from monitor.lab.configuration import Agent, probes_yaml
from monitor.lab.laboratory import Lab
from monitor.lab.scenarios import Scenario

MONITOR = (sys.executable, "-m", "monitor")
TOKEN = "a token that only the laboratory knows"  # noqa: S105 - of a laboratory
ROOT = Path(__file__).parents[2]


@contextlib.contextmanager
def running(*arguments: str, log: Path) -> Iterator[subprocess.Popen[str]]:
    """Run a command of the program in the background; its standard output can be read, the rest goes to `log`."""
    with (
        log.open("w") as errors,
        subprocess.Popen(
            [*MONITOR, *arguments], stdout=subprocess.PIPE, stderr=errors, stdin=subprocess.DEVNULL, text=True, cwd=ROOT
        ) as process,
    ):
        try:
            yield process
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                process.send_signal(signal.SIGCONT)  # one that is stopped hears of nothing else
            process.communicate(timeout=30)


def line_with(process: subprocess.Popen[str], beginning: str) -> str:
    """Return the rest of the first output line that begins so."""
    for line in process.stdout or ():
        if line.startswith(beginning):
            return line.removeprefix(beginning).strip()
    raise AssertionError(f"no line {beginning!r}; exit status {process.wait()}")


@dataclass(frozen=True)
class Far(Agent):
    """An agent that can be stopped in its tracks."""

    process: subprocess.Popen[str]

    def signal(self, number: signal.Signals) -> None:
        os.kill(self.process.pid, number)


@contextlib.contextmanager
def control_agent(lab: Lab, folder: Path, listen: str = "127.0.0.1:0") -> Iterator[Agent]:
    """Run `monitor agent serve` where the censor does not look, as the control vantage."""
    with far_agent(lab, folder, listen) as agent:
        yield agent


@contextlib.contextmanager
def far_agent(lab: Lab, folder: Path, listen: str = "127.0.0.1:0") -> Iterator[Far]:
    """Run `monitor agent serve` where the censor does not look."""
    token_file = folder / "token"
    token_file.write_text(TOKEN)
    options = ("--listen", listen, "--token-file", str(token_file), "--data", str(folder / "agent"))
    place = ("--source-address", places.CONTROL_SOURCE, "--allow-address", "127.0.0.0/8", "--ca-file", str(lab.ca_file))
    with running("agent", "serve", *options, *place, "--no-sanity", log=folder / "agent.log") as process:
        url = line_with(process, "Listening on ")
        yield Far(url=url, token_file=token_file, fingerprint=line_with(process, "Fingerprint "), process=process)


def probe(config: Path, target: str, *options: str) -> tuple[int, list[dict[str, Any]], str]:
    """Run `monitor probe --json`; return exit status, the objects printed, and standard error."""
    done = subprocess.run(
        [*MONITOR, "probe", target, "-c", str(config), "--json", *options],
        capture_output=True, text=True, timeout=120, check=False, cwd=ROOT, env={**os.environ, "SSL_CERT_FILE": ""},
    )  # fmt: skip
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()], done.stderr


def verdict_in(lab: Lab, scenario: Scenario, agent: Agent, folder: Path, *options: str) -> Mapping[str, Any]:
    """Arrange a scenario, measure it once through the command line, and return what was printed."""
    config = folder / f"{scenario.name}.yaml"
    config.write_text(
        probes_yaml(
            lab,
            {scenario.name: scenario.prepare(lab)},
            database=folder / f"{scenario.name}.db",
            control=agent if scenario.control else None,
        )
    )
    status, printed, errors = probe(config, scenario.name, *options)
    assert len(printed) == 1, (status, errors)
    return {**printed[0], "exit_status": status, "database": folder / f"{scenario.name}.db"}
