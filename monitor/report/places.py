"""Names and clocks of countries, from the time zone database that Python uses."""

from collections import Counter
from collections.abc import Iterable
from functools import cache
from importlib.resources import files
from pathlib import Path
from zoneinfo import TZPATH

from monitor.events.record import RegulatoryEvent
from monitor.report.record import Place


def place_of(country: str, events: Iterable[RegulatoryEvent] = ()) -> Place:
    """Return a country's name and zone; where it has several zones, the one in which most of its events are told."""
    zones = sorted(_zones().get(country, ()))
    if len(zones) > 1:
        told = Counter(date.tz for event in events if country in event.countries for date in event.dates)
        zones = [zone for zone, _ in told.most_common() if zone in zones][:1]
    return Place(country=country, name=_names().get(country, country), zone=zones[0] if zones else "UTC")


@cache
def _names() -> dict[str, str]:
    return {row[0]: row[1] for row in _rows("iso3166.tab")}


@cache
def _zones() -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for row in _rows("zone.tab"):
        found.setdefault(row[0], []).append(row[2])
    return found


def _rows(name: str) -> list[list[str]]:
    text = next((path.read_text(encoding="utf-8") for one in TZPATH if (path := Path(one) / name).is_file()), None)
    if text is None:
        try:
            text = (files("tzdata") / "zoneinfo" / name).read_text(encoding="utf-8")
        except (ModuleNotFoundError, FileNotFoundError):
            return []
    return [line.split("\t") for line in text.splitlines() if line and not line.startswith("#")]
