"""Options that several commands share."""

from pathlib import Path

import click

config_option = click.option(
    "-c",
    "--config",
    "config_path",
    type=click.Path(path_type=Path),
    default=Path("probes.yaml"),
    show_default=True,
    help="The configuration file.",
)
accept_risks_option = click.option(
    "--accept-risks", is_flag=True, help="Print the risk text and go on without asking; this counts as acceptance."
)
