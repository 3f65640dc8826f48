"""The laboratory of network namespaces from the command line (docs/laboratory.md).

`run` carries scenarios out and prints a table; `shell` arranges one and opens a shell at the client;
`false-alarms` lets the daemon watch healthy targets while innocent faults come and go.
"""

import argparse
import os
import platform
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter, deque
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from tests.lab.internet import table
from tests.lab.internet.laboratory import ROOT, UNSHARE, Laboratory, LaboratoryError
from tests.lab.internet.scenarios import SCENARIOS, Scenario

if TYPE_CHECKING:
    from collections.abc import Mapping

# Where the little world itself was late by so much, servers looked slow and resolvers dead that were not.
STARVED_SECONDS: Final = 0.5
MOST_ATTEMPTS: Final = 4
_BY_NAME = {scenario.name: scenario for scenario in SCENARIOS}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.lab.internet", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run")
    run.add_argument("names", nargs="*", metavar="SCENARIO", help="all if none is named")
    run.add_argument("--how", choices=("round", "protocol"), default="protocol")
    run.add_argument("--laboratories", type=int, default=8, metavar="N", help="how many side by side")
    run.add_argument("--folder", type=Path, help="where configurations, databases and logs stay; else they go")
    shell = commands.add_parser("shell")
    shell.add_argument("name", metavar="SCENARIO", choices=_BY_NAME)
    alarms = commands.add_parser("false-alarms")
    alarms.add_argument("--measurements", type=int, default=5000)
    alarms.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="access-lab-") as temporary:
        match options.command:
            case "run":
                scenarios = [_BY_NAME[name] for name in options.names] or list(SCENARIOS)
                folder = options.folder or Path(temporary)
                return _run(scenarios, options.how, options.laboratories, folder.absolute())
            case "shell":
                return _inside(temporary, "shell", options.name)
            case _:
                return _inside(temporary, "false-alarms", str(options.measurements), str(options.seed))


def _inside(*arguments: str) -> int:
    command = [*UNSHARE, sys.executable, "-m", "tests.lab.internet.inside", *arguments]
    return subprocess.run(command, check=False, cwd=ROOT).returncode


class _Run:
    """Scenarios carried out by laboratories side by side: those that ended, and what the laboratories could not do.

    A starved laboratory says nothing about the program unless it drew a wrong accusation, which nothing excuses: the
    scenario goes back to the others, and that laboratory closes, so that fewer share the machine.
    """

    def __init__(self, scenarios: list[Scenario], how: str, number: int) -> None:
        # Those with the deadlines of real lines first: the last to begin should not be the last to end.
        self._waiting = deque(sorted(scenarios, key=lambda scenario: not scenario.patient))
        self._how = how
        self._lock = threading.Lock()
        self._open = number
        self._attempts: Counter[str] = Counter()
        self.results: list[tuple[Scenario, Mapping[str, Any]]] = []
        self.starved = 0  # attempts given back
        self.number = number

    def carry_out(self, folder: Path) -> None:
        """Let every laboratory work until nothing waits."""
        with ThreadPoolExecutor(self.number) as pool:
            works = [pool.submit(self._work, folder / f"laboratory-{one}") for one in range(self.number)]
        for one in works:
            one.result()

    def _work(self, own: Path) -> None:
        try:
            with Laboratory(own) as laboratory:
                while (scenario := self._next()) is not None:
                    if self._told(scenario, laboratory):
                        return
        except LaboratoryError as error:
            click.echo(f"a laboratory could not be opened: {error}", err=True)

    def _next(self) -> Scenario | None:
        with self._lock:
            if self._waiting:
                return self._waiting.popleft()
            self._open -= 1
            return None

    def _told(self, scenario: Scenario, laboratory: Laboratory) -> bool:
        """Carry one out and tell of it; returns whether this laboratory is to close, having starved."""
        try:
            found = laboratory.ask(scenario.name, self._how)
            delay = found["delay_seconds"]
            is_starved = bool(found["wrong"]) and delay > STARVED_SECONDS and not table.accuses_wrongly(scenario, found)
            why = f"the laboratory was late by {delay:.1f} s"
        except LaboratoryError as error:
            found, is_starved, why = {}, True, f"the laboratory failed: {error}"
        with self._lock:
            self._attempts[scenario.name] += 1
            if not is_starved:
                self.results.append((scenario, found))
                click.echo(table.row(scenario, found))
                return False
            self.starved += 1
            is_given_up = self._attempts[scenario.name] >= MOST_ATTEMPTS
            click.echo(f"{'LOST' if is_given_up else 'again':<5} {scenario.name}: {why}")
            for difference in found.get("wrong", ()):
                click.echo(f"      {difference}")
            if not is_given_up:
                self._waiting.append(scenario)
            is_too_many = self._open > 1
            self._open -= is_too_many
            return is_too_many


def _run(scenarios: list[Scenario], how: str, number: int, folder: Path) -> int:
    run = _Run(scenarios, how, min(number, len(scenarios)))
    began = time.monotonic()
    click.echo(table.heading())
    run.carry_out(folder)
    results = run.results
    failed = [scenario.name for scenario, found in results if found["wrong"]]
    missing = len(scenarios) - len(results)
    click.echo(f"\n{table.confusion(results)}\n")
    click.echo(
        f"{len(results)} scenarios, {len(failed)} wrong, {missing} not carried out; {run.starved} attempts repeated"
        f" because the machine was too busy; {time.monotonic() - began:.0f} s with {run.number} laboratories at first"
        f" on {platform.system()} {platform.release()}, {os.cpu_count()} processors"
    )
    return 1 if failed or missing else 0


if __name__ == "__main__":
    sys.exit(main())
