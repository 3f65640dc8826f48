"""Options that several commands share."""

from pathlib import Path

import click


class CountryCode(click.ParamType[str]):
    """Two letters, given back in capitals; with `unknown`, that word as well."""

    name = "CC"

    def __init__(self, *, unknown: bool = False) -> None:
        self._unknown = unknown

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the code."""
        text = str(value)
        if self._unknown and text == "unknown":
            return text
        if len(text) != 2 or not text.isascii() or not text.isalpha():
            self.fail(f"{text!r} is no two letters such as PK", param, ctx)
        return text.upper()


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
