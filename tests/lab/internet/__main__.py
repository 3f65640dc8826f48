"""The laboratory of network namespaces from the command line (docs/laboratory.md).

`run` carries scenarios out and prints a table; `shell` arranges one and opens a shell at the client;
`false-alarms` lets the daemon watch healthy targets while innocent faults come and go.
"""

import argparse
import subprocess
import sys
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

import click

from tests.lab.internet import table
from tests.lab.internet.laboratory import ROOT, UNSHARE, Laboratory, LaboratoryError
from tests.lab.internet.scenarios import SCENARIOS, WAITING, Scenario

if TYPE_CHECKING:
    from collections.abc import Mapping

_BY_NAME = {scenario.name: scenario for scenario in (*SCENARIOS, *WAITING)}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.lab.internet", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run")
    run.add_argument("names", nargs="*", metavar="SCENARIO", help="all if none is named")
    run.add_argument("--how", choices=("round", "protocol"), default="protocol")
    run.add_argument("--laboratories", type=int, default=10, metavar="N", help="how many side by side")
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


def _run(scenarios: list[Scenario], how: str, number: int, folder: Path) -> int:
    waiting: SimpleQueue[Scenario] = SimpleQueue()
    for scenario in scenarios:
        waiting.put(scenario)
    results: list[tuple[Scenario, Mapping[str, Any]]] = []
    told = threading.Lock()

    def work(own: Path) -> None:
        with Laboratory(own) as laboratory:
            while True:
                try:
                    scenario = waiting.get_nowait()
                except Empty:
                    return
                found = laboratory.ask(scenario.name, how)
                with told:
                    results.append((scenario, found))
                    click.echo(table.row(scenario, found))

    click.echo(table.heading())
    with ThreadPoolExecutor(number) as pool:
        works = [pool.submit(work, folder / f"laboratory-{one}") for one in range(min(number, len(scenarios)))]
    for one in works:
        try:
            one.result()
        except LaboratoryError as error:
            click.echo(f"the laboratory itself failed: {error}", err=True)
    failed = [scenario.name for scenario, found in results if found["wrong"]]
    missing = len(scenarios) - len(results)
    click.echo(f"\n{table.confusion(results)}\n")
    click.echo(f"{len(results)} scenarios, {len(failed)} wrong, {missing} not carried out")
    return 1 if failed or missing else 0


if __name__ == "__main__":
    sys.exit(main())
