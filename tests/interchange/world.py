"""A configuration with a database of its own, and the program run in it."""

import json
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from monitor.cli import main

CONFIGURATION = """
version: 1
storage: {path: monitor.db}
vantages:
  here: {kind: direct, country: PK}
platforms:
  x:
    targets:
      x-home: {url: "https://x.com/", expect: {title: "X / today"}}
"""


class World:
    """One folder with probes.yaml; commands run in this process."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.config = folder / "probes.yaml"
        self.config.write_text(CONFIGURATION)
        self.database = folder / "monitor.db"

    def run(self, *arguments: str) -> Result:
        return CliRunner().invoke(main, [*arguments, "-c", str(self.config)], catch_exceptions=False)

    def json(self, *arguments: str) -> Any:
        done = self.run(*arguments, "--json")
        assert done.exit_code == 0, done.output
        return json.loads(done.stdout)

    def file(self, name: str, *found: object) -> str:
        path = self.folder / name
        path.write_text("".join(f"{json.dumps(one)}\n" for one in found))
        return str(path)
