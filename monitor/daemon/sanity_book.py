"""The latest sanity check of each vantage, shared by all its targets."""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from typing import Final

import msgspec

from monitor.detect.line import CHECKS_KEPT, is_degraded, opening_seconds
from monitor.model.seams import Clock, Vantage, VantageError
from monitor.model.vantage import NetworkIdentity, VantageCheck, VantageState

log = logging.getLogger("monitor.vantage")
_IN_ORDER: Final = frozenset({VantageState.ONLINE, VantageState.MOVED})
_SLOW: Final = "connections take much longer to open than usual"


class SanityBook:
    """Hands out checks that are fresh enough, running at most one at a time per vantage.

    A vantage whose network changed since the check before is `moved` once: the round is void, the next one starts the
    new network's series. One that is much slower than in its checks before is `degraded`; when it stays so for half of
    what is remembered, that is how it is. `on_check` hears every check made.
    """

    def __init__(self, clock: Clock, max_age_seconds: float, on_check: Callable[[VantageCheck], None]) -> None:
        self._clock = clock
        self.max_age_seconds = max_age_seconds
        self._on_check = on_check
        self._locks: dict[str, asyncio.Lock] = {}
        self._latest: dict[str, tuple[float, VantageCheck]] = {}
        self._networks: dict[str, NetworkIdentity] = {}  # on which each vantage was in order last
        self._opening: dict[str, deque[float]] = {}  # seconds to open a connection on that network, by check

    async def recent(self, vantage: Vantage) -> VantageCheck:
        """Return a check that is at most `max_age_seconds` old."""
        return await self.since(vantage, self._clock.boottime() - self.max_age_seconds)

    async def since(self, vantage: Vantage, boottime_seconds: float) -> VantageCheck:
        """Return a check that began at or after an instant of `Clock.boottime`, which counts a suspended night."""
        name = vantage.info.name
        async with self._locks.setdefault(name, asyncio.Lock()):
            if (known := self._latest.get(name)) and known[0] >= boottime_seconds:
                return known[1]
            began = self._clock.boottime()
            check = await self._check(vantage)
            # A line that was down in between, or whose network nobody told, may have moved all the same.
            before = self._networks.get(name)
            if before and _moved(before, check.network) and check.state is VantageState.ONLINE:
                check = msgspec.structs.replace(check, state=VantageState.MOVED)
                self._opening.pop(name, None)
            check = self._compared(check)
            if check.network.asn is not None and check.state in _IN_ORDER:
                self._networks[name] = check.network
            self._latest[name] = (began, check)
            self._on_check(check)
            return check

    def latest(self, name: str) -> VantageCheck | None:
        """Return the last check of a vantage, however old."""
        known = self._latest.get(name)
        return known[1] if known else None

    def hear(self, check: VantageCheck) -> None:
        """Take in a check of a vantage that checks its line by itself."""
        self._latest[check.vantage] = (self._clock.boottime(), check)
        self._on_check(check)

    def forget(self, name: str) -> None:
        """Drop what is known of a vantage whose configuration changed."""
        self._latest.pop(name, None)
        self._networks.pop(name, None)
        self._opening.pop(name, None)

    def _compared(self, check: VantageCheck) -> VantageCheck:
        """Compare an otherwise good check with those before, and remember it."""
        seconds = opening_seconds(check.observations)
        if check.state not in _IN_ORDER or seconds is None:
            return check
        earlier = self._opening.setdefault(check.vantage, deque(maxlen=CHECKS_KEPT))
        is_slow = is_degraded(seconds, earlier)
        earlier.append(seconds)
        if not is_slow:
            return check
        return msgspec.structs.replace(check, state=VantageState.DEGRADED, notes=(*check.notes, _SLOW))

    async def _check(self, vantage: Vantage) -> VantageCheck:
        try:
            return await vantage.check()
        except VantageError as error:
            log.warning("a vantage cannot be used", extra={"vantage": vantage.info.name, "why": str(error)})
            return VantageCheck(
                vantage=vantage.info.name,
                started_at=self._clock.now(),
                state=VantageState.OFFLINE,
                notes=(str(error),),
                reason=error.reason,
            )


def _moved(before: NetworkIdentity, after: NetworkIdentity) -> bool:
    """Tell whether the network changed; an unknown network proves nothing."""
    return before.asn is not None and after.asn is not None and before.asn != after.asn
