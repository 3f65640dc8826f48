"""`monitor service`: the daemon as a systemd service, started at boot."""

import os
import shutil
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import click

from monitor.cli._consent import seek_consent
from monitor.cli._options import accept_risks_option
from monitor.config.shipped import shipped_text
from monitor.daemon import unit
from monitor.network.clock import SystemClock

SHIPPED_PATH: Final = "path: data/monitor.db"  # of the database, beside the configuration


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


def _changeable(root: Path) -> Host:
    host = Host(root.resolve())
    # Where sd_booted(3) looks.
    reason = obstacle(is_root=os.geteuid() == 0, has_systemd=Path("/run/systemd/system").is_dir())
    if host.is_live and reason:
        raise Refusal(reason)
    return host


_root = click.option(
    "--root",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("/"),
    help="Work on this folder as if it were / and start nothing: for images and packages.",
)


@click.group(name="service")
def command() -> None:
    """Run the daemon as a systemd service that starts at boot."""


@command.command()
@_root
@click.option(
    "--program",
    type=click.Path(path_type=Path),
    help="The monitor command that the service starts; by default the one installed beside this one.",
)
@accept_risks_option
def install(root: Path, program: Path | None, *, accept_risks: bool) -> None:
    """Write the unit, enable and start it.

    Its user and a first configuration are written too.

    Done again it renews the unit and restarts the service; an existing configuration is never touched.
    """
    host = _changeable(root)
    # An interpreter or an editable install may lie elsewhere than the command.
    needed = (program,) if program else (Path(sys.base_prefix), Path(unit.__file__))
    program = program or Path(sysconfig.get_path("scripts")) / "monitor"
    for place in (program, *needed):
        if not place.is_absolute() or unit.is_hidden(place.resolve()):
            raise Refusal(
                f"A service cannot see {place}. Install where it can:"
                " python3 -m venv /opt/access-monitor && /opt/access-monitor/bin/pip install ."
            )
    if host.is_live and not seek_consent(unit.DATA_FOLDER, SystemClock().now(), accept_risks=accept_risks):
        raise Refusal("Nothing was installed.")
    host.write(unit.UNIT_PATH, unit.unit(program))
    host.write(unit.USER_PATH, unit.USER)
    if host.is_live:
        host.run("systemd-sysusers", str(unit.USER_PATH))
    if not host.path(unit.CONFIGURATION_PATH).exists():
        first = shipped_text().replace(SHIPPED_PATH, f"path: {unit.DATABASE_PATH}")
        host.write(unit.CONFIGURATION_PATH, first, mode=0o640)
        if host.is_live:  # it may come to hold secrets: the service reads it, other users do not
            shutil.chown(unit.CONFIGURATION_PATH, group=unit.NAME)
    if host.is_live:
        host.run("systemctl", "daemon-reload")
    host.run("systemctl", "enable", "--quiet", unit.UNIT)
    if host.is_live:
        host.run("systemctl", "restart", "--no-block", unit.UNIT)
    click.echo(f"{unit.UNIT} is installed and starts at boot.")
    _say_where(host)


@command.command()
@_root
def status(root: Path) -> None:
    """Say whether the service runs, and where all lies.

    Ends with 2 unless it is installed and runs.
    """
    host = Host(root.resolve())
    if not host.path(unit.UNIT_PATH).exists():
        raise Refusal(f"{unit.UNIT} is not installed: monitor service install")
    _say_where(host)
    if host.is_live:
        names = ("ActiveState", "SubState", "UnitFileState", "StatusText")
        shown = host.run("systemctl", "show", f"--property={','.join(names)}", unit.UNIT)
        state = dict(line.split("=", 1) for line in shown.splitlines() if "=" in line)
        active, detail, enabled, text = (state.get(name, "") for name in names)
        click.echo(f"state          {active} ({detail}), {enabled} at boot{f': {text}' if text else ''}")
        if active != "active":
            raise Refusal(f"{unit.UNIT} does not run: journalctl -u {unit.NAME}")


@command.command()
@_root
def uninstall(root: Path) -> None:
    """Stop and remove the service; its data stay.

    So do the configuration and the user.
    """
    host = _changeable(root)
    if not host.path(unit.UNIT_PATH).exists():
        raise Refusal(f"{unit.UNIT} is not installed.")
    host.run("systemctl", "disable", "--quiet", *(("--now",) if host.is_live else ()), unit.UNIT)
    host.path(unit.UNIT_PATH).unlink()
    if host.is_live:
        host.run("systemctl", "daemon-reload")
    click.echo(f"{unit.UNIT} is removed. What it measured stays until you remove it yourself:")
    _say_where(host)


def _say_where(host: Host) -> None:
    click.echo(f"configuration  {host.path(unit.CONFIGURATION_PATH)}")
    click.echo(f"database       {host.path(unit.DATABASE_PATH)}")
    click.echo(f"log            journalctl -u {unit.NAME}")
