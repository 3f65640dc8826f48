"""The laboratory of network namespaces from the command line (docs/laboratory.md).

`run` carries scenarios out and prints a table; `shell` arranges one and opens a shell at the client; `false-alarms`
lets the daemon watch healthy targets while innocent faults come and go; `bounds` measures how long rounds take at best
and at worst.
"""

import argparse
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click

from tests.lab.internet import table
from tests.lab.internet.campaign import Campaign
from tests.lab.internet.laboratory import ROOT, UNSHARE
from tests.lab.internet.scenarios import SCENARIOS, Scenario

_BY_NAME = {scenario.name: scenario for scenario in SCENARIOS}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.lab.internet", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run")
    run.add_argument("names", nargs="*", metavar="SCENARIO", help="all if none is named")
    run.add_argument("--how", choices=("round", "protocol"), default="protocol")
    run.add_argument("--laboratories", type=int, default=16, metavar="N", help="how many side by side")
    run.add_argument("--folder", type=Path, help="where configurations, databases and logs stay; else they go")
    shell = commands.add_parser("shell")
    shell.add_argument("name", metavar="SCENARIO", choices=_BY_NAME)
    alarms = commands.add_parser("false-alarms")
    alarms.add_argument("--measurements", type=int, default=5000)
    alarms.add_argument("--seed", type=int, default=1)
    commands.add_parser("bounds")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="access-lab-") as temporary:
        match options.command:
            case "run":
                scenarios = [_BY_NAME[name] for name in options.names] or list(SCENARIOS)
                folder = options.folder or Path(temporary)
                return _run(scenarios, options.how, options.laboratories, folder.absolute())
            case "shell":
                return _inside(temporary, "shell", options.name)
            case "bounds":
                return _inside(temporary, "bounds")
            case _:
                return _inside(temporary, "false-alarms", str(options.measurements), str(options.seed))


def _inside(*arguments: str) -> int:
    command = [*UNSHARE, sys.executable, "-m", "tests.lab.internet.inside", *arguments]
    return subprocess.run(command, check=False, cwd=ROOT).returncode


def _run(scenarios: list[Scenario], how: str, number: int, folder: Path) -> int:
    campaign = Campaign(scenarios, how, number, click.echo)
    began = time.monotonic()
    click.echo(table.heading())
    campaign.carry_out(folder)
    results = campaign.results
    failed = [scenario.name for scenario, found in results if found["wrong"]]
    missing = len(scenarios) - len(results)
    click.echo(f"\n{table.confusion(results)}\n")
    seconds = time.monotonic() - began
    click.echo(
        f"{len(results)} scenarios, {len(failed)} wrong, {missing} not carried out; {seconds:.0f} s\n"
        f"{campaign.number} laboratories at first, {campaign.starved} attempts repeated: the machine was too busy\n"
        f"{platform.system()} {platform.release()}, {os.cpu_count()} processors, load {os.getloadavg()[2]:.1f}"
    )
    return 1 if failed or missing else 0


if __name__ == "__main__":
    sys.exit(main())
