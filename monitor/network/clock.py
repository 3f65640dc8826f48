"""The real clock."""

import time
from datetime import UTC, datetime


class SystemClock:
    """The time of this host (`monitor.model.seams.Clock`)."""

    def now(self) -> datetime:
        """Return the current instant in UTC."""
        return datetime.now(UTC)  # noqa: TID251  the one Clock that reads it

    def monotonic(self) -> float:
        """Return CLOCK_MONOTONIC: stands still while the host is suspended."""
        return time.monotonic()

    def boottime(self) -> float:
        """Return CLOCK_BOOTTIME: runs on while the host is suspended."""
        return time.clock_gettime(time.CLOCK_BOOTTIME)
