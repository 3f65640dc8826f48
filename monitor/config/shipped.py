"""The configuration that comes with the program."""

import re
from importlib.resources import files
from pathlib import Path


def shipped_text() -> str:
    """Return the shipped probes.yaml.

    It comes from the installed package, or from the checkout that the package stands in.
    """
    packaged = files("monitor.config") / "probes.yaml"
    checkout = Path(__file__).parents[2] / "probes.yaml"
    return packaged.read_text("utf-8") if packaged.is_file() else checkout.read_text("utf-8")


def with_block(text: str, name: str) -> str:
    """Return the shipped text with the commented block of the vantage `name` in force."""
    return re.sub(
        rf"^  # {re.escape(name)}:\n(?:  #   .*\n)+",
        lambda block: re.sub("^  # ", "  ", block[0], flags=re.MULTILINE),
        text,
        count=1,
        flags=re.MULTILINE,
    )
