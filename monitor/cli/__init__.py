"""The `monitor` command: one module per subcommand, imported when it is asked for. The module's name is the word.

A word that Python keeps for itself has an underscore behind it there: `import_`.
"""

from importlib import import_module
from keyword import iskeyword
from pkgutil import iter_modules
from typing import Any, Final

import click

import monitor
from monitor.config.problem import ConfigError

# The order in which somebody new needs them. A command that stands nowhere here is shown at the end.
_CHAPTERS: Final = (
    ("First steps", ("demo", "init", "check", "probe", "run")),
    ("What is stored", ("status", "history", "incidents", "report", "export", "import", "reclassify")),
    ("What lies beside it", ("events", "fingerprints", "alerts", "silence")),
    ("Lasting set-ups", ("service", "agent")),
)
_HELP_CHARACTERS: Final = 200


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

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands by chapter, each with its whole first sentence."""
        names = self.list_commands(ctx)
        placed = {name for _, chapter in _CHAPTERS for name in chapter}
        for title, chapter in (*_CHAPTERS, ("More", tuple(name for name in names if name not in placed))):
            found = [(name, self.get_command(ctx, name)) for name in chapter if name in names]
            rows = [(name, one.get_short_help_str(_HELP_CHARACTERS)) for name, one in found if one is not None]
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except ConfigError as error:
            for problem in error.problems:
                click.echo(str(problem), err=True)
            ctx.exit(2)


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit status: 0 if all went well, 2 for a mistake in command, configuration or data. "
    "`probe`, `demo` and `reclassify --verify` use 1 for what they found, `probe` 3 for inconclusive. "
    "TIME is a date or a date and time, UTC unless it names a zone: 2024-02-17, 2024-02-17T17:00Z.",
)
@click.version_option(monitor.__version__, prog_name="monitor")
def main() -> None:
    """Watch whether platforms are reachable, how they are blocked and by whom, and keep the record."""
