"""The real program as processes beside the laboratory: an agent to be the control, and single probes."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from tests.lab import places
from tests.lab.configuration import Agent
from tests.lab.laboratory import Lab

REPOSITORY: Final = Path(__file__).parents[2]
MONITOR: Final = (sys.executable, "-m", "monitor")
_PROBE_SECONDS: Final = 120


def environment() -> dict[str, str]:
    """Return this process's environment without proxies, so that loopback is reached as it is."""
    return {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}


@contextmanager
def agent(lab: Lab, folder: Path) -> Iterator[Agent]:
    """Run `monitor agent serve` as the control of the laboratory: its measurements do not pass the censor."""
    token_file = folder / "token"
    token_file.write_text("a-token-of-the-laboratory")
    command = [*MONITOR, "agent", "serve", "--listen", "127.0.0.1:0", "--token-file", str(token_file)]
    command += ["--data", str(folder / "agent"), "--allow-address", "127.0.0.0/8", "--ca-file", str(lab.ca_file)]
    command += ["--source-address", places.CONTROL_SOURCE, "--no-sanity"]
    with subprocess.Popen(
        command, cwd=REPOSITORY, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        try:
            yield _announced(process, token_file)
        finally:
            process.terminate()


def _announced(process: subprocess.Popen[str], token_file: Path) -> Agent:
    assert process.stdout is not None
    url = process.stdout.readline().removeprefix("Listening on ").strip()
    fingerprint = process.stdout.readline().removeprefix("Fingerprint ").strip()
    if not fingerprint:
        raise RuntimeError(f"the agent did not say where it listens: {url!r}")
    return Agent(url, token_file, fingerprint)


def probe(config: Path, target: str, *options: str) -> Mapping[str, Any]:
    """Run `monitor probe --json` and return its only line."""
    done = subprocess.run(
        [*MONITOR, "probe", target, "-c", str(config), "--json", *options],
        cwd=REPOSITORY,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=_PROBE_SECONDS,
        check=False,
    )
    lines = done.stdout.splitlines()
    if len(lines) != 1:
        raise RuntimeError(f"monitor probe ended with {done.returncode}: {done.stderr}")
    answer: Mapping[str, Any] = json.loads(lines[0])
    return answer
