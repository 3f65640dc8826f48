"""`monitor agent`: a vantage that measures for a daemon elsewhere."""

import asyncio
import os
import sys
from collections.abc import Sequence
from ipaddress import ip_network
from pathlib import Path

import click

from monitor.cli import _agents
from monitor.cli._volunteer import enroll, install, pause, resume, run_command, status, uninstall
from monitor.config.schema import DirectOptions, SanityConfig
from monitor.daemon.agent_server import AgentSettings, is_loopback, serve
from monitor.daemon.logs import Redaction, configure
from monitor.network.clock import SystemClock

_MINIMUM_TOKEN = 16


class _Range(click.ParamType[str]):
    name = "CIDR"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        try:
            return str(ip_network(value))
        except ValueError:
            self.fail(f"{value!r} is no address range such as 192.0.2.0/24", param, ctx)


@click.group()
def command() -> None:
    """Measure for a daemon elsewhere."""


@command.command("serve")
@click.option("--listen", required=True, metavar="HOST:PORT", help="Where to listen.")
@click.option("--token-file", required=True, type=click.Path(path_type=Path, dir_okay=False, exists=True),
              help=f"A file with the token that callers must know: at least {_MINIMUM_TOKEN} characters.")  # fmt: skip
@click.option("--data", type=click.Path(path_type=Path, file_okay=False), default=Path("agent-data"),
              show_default=True, help="Where the certificate is kept.")  # fmt: skip
@click.option("--plain-http", is_flag=True, help="Serve without TLS: on loopback, or elsewhere with --insecure.")
@click.option("--insecure", is_flag=True, help="Allow plain HTTP where others can read it.")
@click.option("--allow-address", "allowed", multiple=True, type=_Range(),
              help="Measure these addresses too, although they are not public.")  # fmt: skip
@click.option("--source-address", metavar="ADDRESS", help="Measure from this address of the host.")
@click.option("--ca-file", type=click.Path(path_type=Path, dir_okay=False, exists=True),
              help="Trust these authorities instead of the system's.")  # fmt: skip
@click.option("--rate", type=click.FloatRange(0.1, 1000), default=20.0, show_default=True,
              help="Requests a second at most.")  # fmt: skip
@click.option("--concurrency", type=click.IntRange(1, 1000), default=100, show_default=True,
              help="Measurements at a time at most.")  # fmt: skip
@click.option("--no-sanity", is_flag=True, help="Report this vantage as online and ask nobody about its line.")
@click.pass_context
def serve_command(
    ctx: click.Context,
    *,
    listen: str,
    token_file: Path,
    data: Path,
    plain_http: bool,
    insecure: bool,
    allowed: Sequence[str],
    source_address: str | None,
    ca_file: Path | None,
    rate: float,
    concurrency: int,
    no_sanity: bool,
) -> None:
    """Serve measurements over TLS to holders of the token.

    The certificate is made on first use; its fingerprint is printed. Only public addresses are measured.
    """
    host, _, port = listen.rpartition(":")
    if not host or not port.isdigit():
        raise click.UsageError(f"--listen: {listen!r} is not HOST:PORT")
    if plain_http and not insecure and not is_loopback(host.strip("[]")):
        raise click.UsageError(f"plain HTTP on {host} would show the token to the path; use TLS or add --insecure")
    token = token_file.read_text(encoding="utf-8").strip()
    if len(token) < _MINIMUM_TOKEN:
        raise click.UsageError(f"{token_file}: the token is shorter than {_MINIMUM_TOKEN} characters")
    configure(sys.stderr, Redaction([token]))
    settings = AgentSettings(
        listen=listen,
        token=token,
        folder=None if plain_http else data,
        allowed_bogons=tuple(allowed),
        vantage=DirectOptions(kind="direct", source_address=source_address),
        sanity=SanityConfig(enabled=False, whoami=None) if no_sanity else SanityConfig(),
        ca_file=ca_file,
        rate=rate,
        concurrency=concurrency,
    )
    try:
        asyncio.run(serve(settings, os.environ, SystemClock(), click.echo))
    except (OSError, ValueError) as error:
        click.echo(str(error), err=True)
        ctx.exit(2)


for _one in (
    _agents.invite,
    _agents.list_,
    _agents.revoke,
    enroll,
    run_command,
    pause,
    resume,
    status,
    install,
    uninstall,
):
    command.add_command(_one)
