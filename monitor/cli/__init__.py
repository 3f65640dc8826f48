"""The `monitor` command: one module per subcommand, imported when it is asked for. The module's name is the word.

A word that Python keeps for itself has an underscore behind it there: `import_`.
"""

from importlib import import_module
from keyword import iskeyword
from pkgutil import iter_modules
from typing import Any

import click

import monitor
from monitor.config.problem import ConfigError


class _Commands(click.Group):
    """Finds commands by looking at the package, so that none can be forgotten and `--help` of one loads no other."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return sorted(module.name.rstrip("_") for module in iter_modules(__path__) if not module.name.startswith("_"))

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.list_commands(ctx):
            return None
        name = f"{cmd_name}_" if iskeyword(cmd_name) else cmd_name
        command = getattr(import_module(f"{__name__}.{name}"), "command", None)
        return command if isinstance(command, click.Command) else None

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except ConfigError as error:
            for problem in error.problems:
                click.echo(str(problem), err=True)
            ctx.exit(2)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(monitor.__version__, prog_name="monitor")
def main() -> None:
    """Watch whether platforms are reachable, how they are blocked and by whom, and keep the record."""
