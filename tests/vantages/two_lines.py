"""Run as a process with a network of its own: the laboratory in a namespace, and a monitor that stays outside of it.

Prints what `monitor probe --json` says from a vantage inside, one outside, and one in a namespace that is not there.
"""

import subprocess
import sys
from pathlib import Path

import yaml

from monitor.model.vantage import Role
from tests.scenarios.running import MONITOR

NAMESPACE = "line"


def main(folder: Path) -> int:
    for command in (
        ("mount", "-t", "tmpfs", "none", "/run"),
        ("ip", "netns", "add", NAMESPACE),
        ("ip", "-n", NAMESPACE, "link", "set", "lo", "up"),
        ("ip", "link", "set", "lo", "up"),
    ):
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    inside = ("ip", "netns", "exec", NAMESPACE)
    with subprocess.Popen(
        [*inside, sys.executable, "-u", "-m", "monitor.lab", str(folder)], stdout=subprocess.PIPE, text=True
    ) as lab:
        try:
            assert any(line.startswith("The laboratory is up") for line in lab.stdout or ())
            config = folder / "probes.yaml"
            written = yaml.safe_load(config.read_text())
            here = written["vantages"].pop("here")
            written["vantages"] = {
                "inside": {**here, "netns": NAMESPACE},
                "outside": here,
                "nowhere": {**here, "netns": "nowhere", "role": Role.CIRCUMVENTION.value},
            }
            config.write_text(yaml.safe_dump(written))
            return subprocess.run(
                [*MONITOR, "probe", "clean-https", "-c", str(config), "--json"], check=False, stdin=subprocess.DEVNULL
            ).returncode
        finally:
            lab.terminate()


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
