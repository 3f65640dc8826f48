"""The system that services are installed on, and what stands in the way."""

import os
import shutil
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

import click

from monitor.daemon import unit


class Refusal(click.ClickException):
    """The service could not be installed, found or removed."""

    exit_code = 2


@dataclass(frozen=True)
class Host:
    """The system that is served: this one, or a tree of files that becomes one (an image, a package)."""

    root: Path

    @property
    def is_live(self) -> bool:
        """Whether it is this system, with a service manager that runs."""
        return self.root == Path("/")

    def path(self, path: Path) -> Path:
        """Return where an absolute path of the host lies."""
        return self.root / path.relative_to("/")

    def write(self, path: Path, text: str, mode: int = 0o644) -> None:
        """Write a file of the host, and the folders above it."""
        there = self.path(path)
        if not there.parent.is_dir():
            there.parent.mkdir(parents=True)
            there.parent.chmod(0o755)  # whatever the umask: the service's own user reads there
        there.write_text(text, encoding="utf-8")
        there.chmod(mode)

    def run(self, program: str, *arguments: str) -> str:
        """Run one of systemd's programs on the host and return what it printed; raises Refusal if it fails."""
        found = shutil.which(program)
        if found is None:
            raise Refusal(f"{program} is missing: this system has no systemd. Start it by hand: monitor run -c FILE")
        root = () if self.is_live else (f"--root={self.root}",)
        done = subprocess.run(  # noqa: S603 - a program of systemd, with arguments of our own
            (found, *root, *arguments), check=False, capture_output=True, text=True, timeout=120
        )
        if done.returncode != 0:
            raise Refusal(f"{program} {' '.join(arguments)}: {done.stderr.strip() or f'exit {done.returncode}'}")
        return done.stdout


def obstacle(*, is_root: bool, has_systemd: bool) -> str | None:
    """Return why this system's services cannot be changed, or None."""
    if not has_systemd:
        return "systemd does not run here. Start it by hand: monitor run -c FILE"
    if not is_root:
        return "Services are changed as root: put sudo before the command."
    return None


def changeable(root: Path) -> Host:
    """Return the host whose services are to change; raises Refusal if they cannot be."""
    host = Host(root.resolve())
    # Where sd_booted(3) looks.
    reason = obstacle(is_root=os.geteuid() == 0, has_systemd=Path("/run/systemd/system").is_dir())
    if host.is_live and reason:
        raise Refusal(reason)
    return host


root_option = click.option(
    "--root",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("/"),
    help="Work on this folder as if it were / and start nothing: for images and packages.",
)
program_option = click.option(
    "--program",
    type=click.Path(path_type=Path),
    help="The monitor command that the service starts; by default the one installed beside this one.",
)


def visible(program: Path | None) -> Path:
    """Return the command that a service starts, by default the one beside this one; raises Refusal if it is hidden."""
    # An interpreter or an editable install may lie elsewhere than the command.
    needed = (program,) if program else (Path(sys.base_prefix), Path(unit.__file__))
    program = program or Path(sysconfig.get_path("scripts")) / "monitor"
    for place in (program, *needed):
        if not place.is_absolute() or unit.is_hidden(place.resolve()):
            raise Refusal(
                f"A service cannot see {place}. Install where it can:"
                " python3 -m venv /opt/access-monitor && /opt/access-monitor/bin/pip install ."
            )
    return program
