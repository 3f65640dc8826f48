"""`monitor init`: a commented probes.yaml to begin with."""

from pathlib import Path
from typing import NoReturn

import click

from monitor.cli._consent import seek_consent
from monitor.cli._options import accept_risks_option
from monitor.config.shipped import shipped_text, with_block
from monitor.network.clock import SystemClock

_NAME = "probes.yaml"
_LENT_CONTROL = "lent-control"


@click.command()
@click.argument("folder", metavar="[DIR]", default=Path(), type=click.Path(path_type=Path, file_okay=False))
@click.option(
    "--control",
    type=click.Choice(["globalping"]),
    help="Have a control from the start: probes that Globalping lends, for whoever has no machine elsewhere.",
)
@accept_risks_option
@click.pass_context
def command(ctx: click.Context, folder: Path, *, control: str | None, accept_risks: bool) -> None:
    """Write a commented probes.yaml into DIR, by default here.

    One that exists is left as it is.
    """
    path = folder / _NAME
    if path.exists():
        click.echo(f"{path} exists already and was left as it is.", err=True)
        ctx.exit(2)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        _refuse(ctx, path, error)
    if not seek_consent(folder / "data", SystemClock().now(), accept_risks=accept_risks):
        click.echo("Nothing was written.", err=True)
        ctx.exit(2)
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(with_block(shipped_text(), _LENT_CONTROL) if control else shipped_text())
    except OSError as error:
        _refuse(ctx, path, error)
    if control is None:
        click.echo("It has no control vantage. Without a machine elsewhere: monitor init --control globalping")
    click.echo(f"{path} is written. Next: monitor check -c {path}")


def _refuse(ctx: click.Context, path: Path, error: OSError) -> NoReturn:
    click.echo(f"{path} cannot be written: {error.strerror}", err=True)
    ctx.exit(2)
