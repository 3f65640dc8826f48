"""`monitor service`: the daemon as a systemd service, started at boot."""

import shutil
from pathlib import Path
from typing import Final

import click

from monitor.cli._consent import seek_consent
from monitor.cli._host import Host, Refusal, changeable, program_option, root_option, visible
from monitor.cli._options import accept_risks_option
from monitor.config.shipped import shipped_text
from monitor.daemon import unit
from monitor.network.clock import SystemClock

SHIPPED_PATH: Final = "path: data/monitor.db"  # of the database, beside the configuration


@click.group(name="service")
def command() -> None:
    """Run the daemon as a systemd service that starts at boot."""


@command.command()
@root_option
@program_option
@accept_risks_option
def install(root: Path, program: Path | None, *, accept_risks: bool) -> None:
    """Write the unit, enable and start it.

    Its user and a first configuration are written too.

    Done again it renews the unit and restarts the service; an existing configuration is never touched.
    """
    host = changeable(root)
    program = visible(program)
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
@root_option
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
@root_option
def uninstall(root: Path) -> None:
    """Stop and remove the service; its data stay.

    So do the configuration and the user.
    """
    host = changeable(root)
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
