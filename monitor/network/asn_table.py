"""Address → AS number and country, from the MaxMind-format file that `geo.database` names."""

import re
from pathlib import Path

import maxminddb

from monitor.model.place import Place


class AsnTable:
    """Looks numbers up in the file, which stays open. Raises OSError or ValueError if it is no such file."""

    def __init__(self, path: Path) -> None:
        try:
            self._reader = maxminddb.open_database(path)
        except maxminddb.InvalidDatabaseError as error:
            raise ValueError(f"{path} is no MaxMind-format database") from error

    def number(self, address: str) -> int | None:
        """Return the AS number of an address, None if the file does not know it."""
        place = self.place(address)
        return place.asn or None if place is not None else None

    def place(self, address: str) -> Place | None:
        """Return where an address is, None if the file knows neither country nor AS number.

        Nor does it know text that is no address (an answer blotted out), a family it lacks, or what is damaged in it.
        """
        try:
            row = self._reader.get(address)
        except (ValueError, maxminddb.InvalidDatabaseError):
            return None
        if not isinstance(row, dict):
            return None
        asn, country = row.get("autonomous_system_number"), row.get("country")
        code = country.get("iso_code") if isinstance(country, dict) else country
        letters = code.upper() if isinstance(code, str) and re.fullmatch("[A-Za-z]{2}", code) else ""
        found = Place(letters, asn if isinstance(asn, int) and asn > 0 else 0)
        return None if found == Place() else found
