"""The commands of `monitor agent` for whoever lends a line: become an agent, run, hold, look, leave."""

import asyncio
import os
import signal
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import NoReturn

import click

from monitor.agent.agent import Agent
from monitor.agent.enrolment import EnrolmentError, enrol
from monitor.agent.folder import DEFAULT, OWNER_FILE, Folder, InUseError
from monitor.agent.identity import Identity, IdentityError
from monitor.agent.spool import depth_at
from monitor.agent.status import status_at
from monitor.cli._consent import seek_consent
from monitor.cli._host import Host, Refusal, changeable, program_option, root_option, visible
from monitor.cli._options import accept_risks_option
from monitor.config.risks import AGENT_TEXT, acceptance
from monitor.daemon import unit
from monitor.daemon.logs import Redaction, configure
from monitor.model.invitation import Invitation, invitation_from
from monitor.network.clock import SystemClock

_WORDS = {
    "paused": "you paused it: monitor agent resume",
    "owner_file": f"{OWNER_FILE} is not understood",
    "revoked": "the centre revoked this agent",
    "unknown_agent": "the centre does not know this agent",
    "software": "the centre asks for a newer version of this program",
    "no_instructions": "the centre has not said yet what to measure",
    "consent": "there is a newer text to accept: monitor agent resume",
    "lease": "the centre was not heard for too long",
    "quiet_hours": f"these are your quiet hours ({OWNER_FILE})",
    "budget": f"the day's bytes are used up ({OWNER_FILE})",
}

data_option = click.option(
    "--data",
    type=click.Path(path_type=Path, file_okay=False),
    default=DEFAULT,
    show_default=True,
    help="Where the agent keeps everything that it has.",
)
proxy_option = click.option(
    "--report-proxy",
    "proxy",
    metavar="URL",
    help="Reach the centre through this proxy, such as socks5://127.0.0.1:9050. Nothing is ever measured through it.",
)


class _InvitationText(click.ParamType[Invitation]):
    name = "INVITATION"

    def convert(self, value: str | Invitation, param: click.Parameter | None, ctx: click.Context | None) -> Invitation:
        if isinstance(value, Invitation):
            return value
        try:
            return invitation_from(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


@click.command()
@click.argument("invitation", type=_InvitationText())
@data_option
@proxy_option
@click.option("--insecure", is_flag=True, help="Allow a centre over plain HTTP where others can read it.")
@accept_risks_option
@click.pass_context
def enroll(
    ctx: click.Context, invitation: Invitation, data: Path, proxy: str | None, *, insecure: bool, accept_risks: bool
) -> None:
    """Become the agent that INVITATION asks for.

    Shows what that means and asks. The key is made here and never leaves this machine.
    """
    folder, clock = Folder(data), SystemClock()
    if folder.identity.exists():
        _refuse(ctx, f"{data} holds an agent already: monitor agent uninstall, or another folder with --data")
    if not seek_consent(data, clock.now(), accept_risks=accept_risks, text=AGENT_TEXT, must_answer=True):
        _refuse(ctx, "Nothing was done.")
    given = acceptance(data)
    try:
        folder.make()
        identity = asyncio.run(
            enrol(
                invitation,
                clock,
                consent_version=given.version if given else 0,
                consent_at=given.at if given else None,
                proxy=proxy,
                insecure=insecure,
            )
        )
        identity.save(folder.identity)
    except (EnrolmentError, OSError, ValueError) as error:
        _refuse(ctx, str(error))
    click.echo(f"This machine is now {identity.vantage}. Next: monitor agent run --data {data}")


@click.command("run")
@data_option
@proxy_option
@click.pass_context
def run_command(ctx: click.Context, data: Path, proxy: str | None) -> None:
    """Measure and report until stopped."""
    folder = Folder(data)
    try:
        identity = Identity.load(folder.identity)
        with folder.held():
            configure(sys.stderr, Redaction([proxy] if proxy else []))
            asyncio.run(_run(folder, identity, proxy))
    except (IdentityError, InUseError, OSError, ValueError) as error:
        _refuse(ctx, str(error))


async def _run(folder: Folder, identity: Identity, proxy: str | None) -> None:
    agent = Agent(folder, identity, os.environ, SystemClock(), click.echo, proxy=proxy)
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, agent.stop)
    await agent.run()


@click.command()
@data_option
@click.pass_context
def pause(ctx: click.Context, data: Path) -> None:
    """Measure nothing until `resume`, also after a restart.

    What was measured before still goes to the centre, which is told of the pause.
    """
    _identity(ctx, data)
    Folder(data).pause()
    click.echo("Paused. Nothing is measured until: monitor agent resume")


@click.command()
@data_option
@accept_risks_option
@click.pass_context
def resume(ctx: click.Context, data: Path, *, accept_risks: bool) -> None:
    """Measure again.

    Where the text to accept has changed, it is shown and asked for first.
    """
    _identity(ctx, data)
    clock = SystemClock()
    if not seek_consent(data, clock.now(), accept_risks=accept_risks, text=AGENT_TEXT, must_answer=True):
        _refuse(ctx, "Nothing was changed.")
    Folder(data).resume()
    click.echo("Resumed.")


@click.command()
@data_option
@click.pass_context
def status(ctx: click.Context, data: Path) -> None:
    """Say what is measured and what not and why, what waits to be sent, and when the centre was last heard.

    Ends with 2 where no agent runs.
    """
    folder, identity = Folder(data), _identity(ctx, data)
    told, depth = status_at(folder.status), depth_at(folder.spool)
    runs = _is_running(folder)
    rows = [("agent", f"{identity.vantage}, enrolled {_time(identity.enrolled_at)}")]
    rows += [("centre", " ".join(identity.urls))]
    why = "paused" if folder.is_paused else told.quiet if told else None
    if not runs:
        rows += [("state", "does not run: monitor agent run")]
    elif why:
        rows += [("state", f"nothing is measured: {_WORDS.get(why, why)}")]
    else:
        rows += [("state", "measuring")]
    if told is not None:
        rows += [("heard", f"{_time(told.contact_at)}" if told.contact_at else "not since it was started")]
        rows += [("line", told.state.value)] if told.state else []
        rows += [("moved", f"{told.moved_bytes / 1e6:.1f} MB today")]
    rows += [("waiting", f"{depth.rows} results, {depth.bytes / 1e6:.1f} MB")]
    rows += [("refused", f"{depth.set_aside} results that the centre does not take")] if depth.set_aside else []
    rows += [("dropped", f"{depth.dropped} results since enrolment")] if depth.dropped else []
    for name, text in rows:
        click.echo(f"{name:<9} {text}")
    if told is not None:
        for one in told.measured:
            click.echo(f"measured  {one.name} every {one.interval_seconds:g} s: {one.url}")
        for target, reason in told.vetoed.items():
            click.echo(f"not       {target}: {reason}")
        if told.owner_error:
            click.echo(told.owner_error, err=True)
    if not runs:
        ctx.exit(2)


@click.command()
@root_option
@program_option
def install(root: Path, program: Path | None) -> None:
    """Run the agent as a systemd service that starts at boot.

    It runs under a user of its own, on /var/lib/access-monitor-agent: enrol into that folder before.
    """
    host = changeable(root)
    program = visible(program)
    if not host.path(Folder(unit.AGENT_DATA_FOLDER).identity).exists():
        raise Refusal(f"Enrol first: monitor agent enroll INVITATION --data {unit.AGENT_DATA_FOLDER}")
    host.write(unit.AGENT_UNIT_PATH, unit.agent_unit(program))
    host.write(unit.AGENT_USER_PATH, unit.AGENT_USER)
    if host.is_live:
        host.run("systemd-sysusers", str(unit.AGENT_USER_PATH))
        host.run("systemctl", "daemon-reload")
    host.run("systemctl", "enable", "--quiet", unit.AGENT_UNIT)
    if host.is_live:
        host.run("systemctl", "restart", "--no-block", unit.AGENT_UNIT)
    click.echo(f"{unit.AGENT_UNIT} is installed and starts at boot.")


@click.command()
@data_option
@root_option
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.pass_context
def uninstall(ctx: click.Context, data: Path, root: Path, *, yes: bool) -> None:
    """Stop being an agent: remove the service if there is one, the key, the spool and all else that the agent wrote.

    What the centre has it keeps; its operator can revoke the agent and delete its results.
    """
    host = Host(root.resolve())
    if data == DEFAULT and host.path(unit.AGENT_UNIT_PATH).exists():
        data = host.path(unit.AGENT_DATA_FOLDER)
    folder = Folder(data)
    if not folder.path.is_dir():
        _refuse(ctx, f"{data} does not exist")
    waiting = depth_at(folder.spool).rows
    if not yes:
        click.confirm(f"Remove the agent in {data}, and {waiting} results that were not sent?", abort=True)
    if data == host.path(unit.AGENT_DATA_FOLDER) and host.path(unit.AGENT_UNIT_PATH).exists():
        changeable(root)
        host.run("systemctl", "disable", "--quiet", *(("--now",) if host.is_live else ()), unit.AGENT_UNIT)
        host.path(unit.AGENT_UNIT_PATH).unlink()
        click.echo(f"{unit.AGENT_UNIT} is removed.")
    try:
        with folder.held():
            folder.remove()
    except InUseError:
        _refuse(ctx, f"An agent runs on {data}: stop it first (Ctrl-C, or systemctl stop)")
    except OSError as error:
        _refuse(ctx, str(error))
    click.echo("The agent is removed: key, spool and acceptance. What it sent before stays at the centre;")
    click.echo("ask its operator to revoke the agent and to delete what it sent, if you want that.")
    if folder.owner.exists():
        click.echo(f"{folder.owner} is yours and was left.")


def _identity(ctx: click.Context, data: Path) -> Identity:
    try:
        return Identity.load(Folder(data).identity)
    except IdentityError as error:
        return _refuse(ctx, str(error))


def _is_running(folder: Folder) -> bool:
    try:
        with folder.held():
            return False
    except (InUseError, OSError):
        return True


def _time(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def _refuse(ctx: click.Context, why: str) -> NoReturn:
    click.echo(why, err=True)
    ctx.exit(2)
