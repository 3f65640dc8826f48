"""Watches whether platforms are reachable, says how they are blocked and by whom, and keeps the record."""

from importlib.metadata import version

__version__ = version("access-monitor")
