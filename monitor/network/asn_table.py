"""Address → AS number, from the MaxMind-format file that `geo.database` names."""

from pathlib import Path

import maxminddb


class AsnTable:
    """Looks numbers up in the file, which stays open. Raises OSError or ValueError if it is no such file."""

    def __init__(self, path: Path) -> None:
        try:
            self._reader = maxminddb.open_database(path)
        except maxminddb.InvalidDatabaseError as error:
            raise ValueError(f"{path} is no MaxMind-format database") from error

    def number(self, address: str) -> int | None:
        """Return the AS number of an address, None if the file does not know it.

        Nor does it know text that is no address (an answer blotted out), a family it lacks, or what is damaged in it.
        """
        try:
            row = self._reader.get(address)
        except (ValueError, maxminddb.InvalidDatabaseError):
            return None
        asn = row.get("autonomous_system_number") if isinstance(row, dict) else None
        return asn if isinstance(asn, int) else None
