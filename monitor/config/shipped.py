"""The configuration that comes with the program."""

from importlib.resources import files
from pathlib import Path
from typing import Final

_DATABASE: Final = "\n  path: data/monitor.db\n"


def shipped_text(database: Path | None = None) -> str:
    """Return the shipped probes.yaml, with another path of the database if one is given.

    It comes from the installed package, or from the checkout that the package stands in.
    """
    packaged = files("monitor.config") / "probes.yaml"
    checkout = Path(__file__).parents[2] / "probes.yaml"
    text = packaged.read_text("utf-8") if packaged.is_file() else checkout.read_text("utf-8")
    return text if database is None else text.replace(_DATABASE, f"\n  path: {database}\n")
