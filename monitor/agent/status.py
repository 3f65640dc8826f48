"""What an agent says of itself, in a file that `monitor agent status` reads."""

from datetime import datetime
from pathlib import Path

import msgspec

from monitor.model.vantage import VantageState


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """One target that is measured."""

    name: str
    url: str
    interval_seconds: float


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """How an agent stood at `at`."""

    at: datetime
    contact_at: datetime | None = None
    quiet: str | None = None
    owner_error: str | None = None
    version: int = 0
    lease_until: datetime | None = None
    offset_seconds: float | None = None
    moved_bytes: int = 0  # on this UTC day
    state: VantageState | None = None
    measured: tuple[Measured, ...] = ()
    vetoed: dict[str, str] = {}


def status_at(path: Path) -> Status | None:
    """Read it; None where no agent wrote one that can be read."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Status)
    except (OSError, msgspec.MsgspecError, ValueError):
        return None
