"""Serve the laboratory in the foreground: `python -m monitor.lab FOLDER`.

Writes FOLDER/probes.yaml and prints what to run. With `--scenario NAME` that situation is arranged. With
`--platforms 200,403,404,429` every host of the shipped probes.yaml is served with these statuses in turn, on ports 80
and 443 of loopback addresses, which needs root (or CAP_NET_BIND_SERVICE).
"""

import argparse
import contextlib
import signal
import sys
from pathlib import Path

import click

from monitor.config.shipped import shipped_text
from monitor.lab.configuration import moved_into, probes_yaml
from monitor.lab.laboratory import Lab
from monitor.lab.scenarios import SCENARIOS
from monitor.lab.stand_ins import stand_in


def main() -> int:
    """Serve until SIGINT or SIGTERM; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m monitor.lab", description=__doc__)
    parser.add_argument("folder", type=Path)
    scenarios = {scenario.name: scenario for scenario in SCENARIOS}
    parser.add_argument(
        "--scenario", choices=scenarios, default="clean-https", metavar="NAME", help=", ".join(scenarios)
    )
    parser.add_argument("--platforms", metavar="STATUS,…", help="stand in for the shipped platforms")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    file, database = options.folder.absolute() / "probes.yaml", options.folder.absolute() / "monitor.db"

    with contextlib.ExitStack() as running:
        if options.platforms:
            try:
                lab = running.enter_context(Lab(http_port=80, https_port=443))
            except PermissionError:
                click.echo("ports 80 and 443 need root", err=True)
                return 2
            shipped = shipped_text()
            for host, status in stand_in(lab, shipped, [int(each) for each in options.platforms.split(",")]).items():
                click.echo(f"{status} {host}")
            file.write_text(moved_into(lab, shipped, database=database))
        else:
            lab = running.enter_context(Lab())
            scenario = scenarios[options.scenario]
            file.write_text(probes_yaml(lab, {scenario.name: scenario.prepare(lab)}, database=database))
            click.echo(f"{scenario.name}: {scenario.expected}")
        click.echo(f"The laboratory is up. Try, elsewhere:\n  monitor run -c {file}\nand end it here with Ctrl-C.")
        signal.sigwait({signal.SIGINT, signal.SIGTERM})
    return 0


if __name__ == "__main__":
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    sys.exit(main())
