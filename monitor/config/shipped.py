"""The configuration that comes with the program."""

from importlib.resources import files
from pathlib import Path


def shipped_text() -> str:
    """Return the shipped probes.yaml.

    It comes from the installed package, or from the checkout that the package stands in.
    """
    packaged = files("monitor.config") / "probes.yaml"
    checkout = Path(__file__).parents[2] / "probes.yaml"
    return packaged.read_text("utf-8") if packaged.is_file() else checkout.read_text("utf-8")
