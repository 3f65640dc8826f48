"""What vantages spent of services' quotas, in the database."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from monitor.model.seams import Clock
from monitor.store.reader import Reader
from monitor.store.store import Store


class StoredLedger:
    """Satisfies `Ledger`."""

    def __init__(self, store: Store, reader: Reader, clock: Clock) -> None:
        self._store = store
        self._reader = reader
        self._clock = clock

    def spent(self, vantage: str, seconds: float) -> Sequence[tuple[datetime, int]]:
        """Return when (UTC) and how much was spent within the last `seconds`, by minute, oldest first."""
        return self._reader.spent(vantage, self._clock.now() - timedelta(seconds=seconds))

    def spend(self, vantage: str, at: datetime, units: int) -> None:
        """Note an expense; it is written with whatever else is written next."""
        self._store.record_spending(vantage, at, units)
