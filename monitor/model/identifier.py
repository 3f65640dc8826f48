"""Identifiers of measurements."""

import secrets
import threading
from datetime import UTC, datetime
from typing import Final

_EPOCH: Final = datetime(2020, 1, 1, tzinfo=UTC)
_SEQUENCE_BITS: Final = 12


class MeasurementIds:
    """Hands out ids: milliseconds since 2020 and a 12-bit sequence that starts at random.

    They sort by time, are unique for 4,096 measurements a millisecond from one process, and stay below 2**53, so that
    JSON and JavaScript keep them exact. A clock set back never repeats one while the process lives.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last = 0

    def new(self, at: datetime) -> int:
        """Return a fresh id for a measurement that starts `at` (UTC)."""
        milliseconds = int((at - _EPOCH).total_seconds() * 1000)
        with self._lock:
            fresh = (milliseconds << _SEQUENCE_BITS) | secrets.randbelow(1 << (_SEQUENCE_BITS - 1))
            self._last = max(self._last + 1, fresh)
            return self._last


def imported_id(at: datetime, key: bytes) -> int:
    """Return the id of a measurement that somebody else made `at` (UTC): the same for the same `key` (a SHA-256).

    Other instruments tell time to the second, so what lies below it comes from the key. Times before 2020 share the
    numbers of the first three days of 2020, in order.
    """
    salt = int.from_bytes(key[:4], "big")
    whole = int((at - _EPOCH).total_seconds())
    if whole > 3 * 86_400:
        return ((whole * 1000 + salt % 1000) << _SEQUENCE_BITS) | (salt // 1000) % (1 << _SEQUENCE_BITS)
    return ((whole + _OLD_SECONDS) << 11) | salt % (1 << 11)


_OLD_SECONDS: Final = 8 * 366 * 86_400  # from 2012 on
