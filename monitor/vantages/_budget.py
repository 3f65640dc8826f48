"""How much a vantage may still ask of a service: a budget over a sliding window, and what the service last said."""

from collections import deque

from monitor.model.seams import Clock, Ledger, VantageError
from monitor.model.vantage import QuotaUse
from monitor.model.verdict import Reason


class Budget:
    """Counts before anything is sent, so that neither limit is ever passed; `ledger` lets it outlive the process."""

    def __init__(
        self, vantage: str, clock: Clock, ledger: Ledger | None, *, unit: str, limit: int, window_seconds: int
    ) -> None:
        self._vantage = vantage
        self._clock = clock
        self._ledger = ledger
        self._unit = unit
        self._limit = limit
        self._window_seconds = window_seconds
        self._granted: int | None = None  # what the service said is left
        self._granted_until = 0.0  # `Clock.boottime` at which it counts anew
        self._spent: deque[tuple[float, int]] = deque()
        if ledger is not None:
            now, boottime = clock.now(), clock.boottime()
            for at, units in ledger.spent(vantage, window_seconds):
                self._spent.append((boottime - max(0.0, (now - at).total_seconds()), units))

    def require(self, units: int) -> None:
        """Raise VantageError (`quota_exhausted`) unless so many units may still be spent."""
        if self.use().remaining < units:
            raise VantageError(
                f"{self._vantage}: {units} {self._unit} are needed and {self.use().remaining} are left of the quota",
                Reason.QUOTA_EXHAUSTED,
            )

    def take(self, units: int) -> None:
        """Spend units, before what they pay for is sent; raises VantageError (`quota_exhausted`)."""
        self.require(units)
        self._spent.append((self._clock.boottime(), units))
        if self._granted is not None:
            self._granted -= units
        if self._ledger is not None:
            self._ledger.spend(self._vantage, self._clock.now(), units)

    def told(self, remaining: int, reset_seconds: float) -> None:
        """Take the service's word for what is left, and in how many seconds it counts anew."""
        self._granted = max(0, remaining)
        self._granted_until = self._clock.boottime() + min(max(1.0, reset_seconds), float(self._window_seconds))

    def use(self) -> QuotaUse:
        """Return how things stand."""
        now = self._clock.boottime()
        while self._spent and self._spent[0][0] <= now - self._window_seconds:
            self._spent.popleft()
        if now >= self._granted_until:
            self._granted = None
        used = sum(units for _, units in self._spent)
        own = max(0, self._limit - used)
        return QuotaUse(
            unit=self._unit,
            window_seconds=self._window_seconds,
            limit=self._limit,
            used=used,
            remaining=own if self._granted is None else min(own, self._granted),
        )
