"""The latest measurement of each target by each control vantage."""

import asyncio
import logging
from collections.abc import Callable, Sequence

import msgspec

from monitor.daemon.sanity_book import SanityBook
from monitor.model.measurement import FollowUp, Measurement, Recording, Request
from monitor.model.seams import Clock, Vantage, VantageError
from monitor.model.target import Target
from monitor.model.vantage import VantageState

log = logging.getLogger("monitor.control")


class ControlBook:
    """Hands out control measurements that are fresh enough; a control that is not sane itself gives none.

    `on_recording` hears every control measurement made, so that it is stored before a verdict rests on it.
    """

    def __init__(
        self,
        clock: Clock,
        controls: Sequence[Vantage],
        sanity: SanityBook,
        on_recording: Callable[[Recording], None],
    ) -> None:
        self._clock = clock
        self._controls = tuple(controls)
        self._sanity = sanity
        self._on_recording = on_recording
        self._locks: dict[tuple[Target, str], asyncio.Lock] = {}
        self._latest: dict[tuple[Target, str], tuple[float, Measurement]] = {}

    def __bool__(self) -> bool:
        """Tell whether any control vantage is configured."""
        return bool(self._controls)

    def known(self, target: Target, since: float) -> tuple[Measurement, ...]:
        """Return the controls at hand that began at `since` (`Clock.boottime`) or later, without measuring."""
        found = (self._latest.get((target, vantage.info.name)) for vantage in self._controls)
        return tuple(one[1] for one in found if one and one[0] >= since)

    async def fresh(self, request: Request, since: float, *, routine: bool = True) -> tuple[Measurement, ...]:
        """Return a control measurement from each usable control, measuring where the known one began before `since`.

        A service's quota would not last for every round, so a routine one leaves it alone.
        """
        asked = [one for one in self._controls if not (routine and one.info.is_service)]
        found = await asyncio.gather(*(self._one(vantage, request, since) for vantage in asked))
        return tuple(one for one in found if one is not None)

    async def extended(self, request: Request, checks: tuple[FollowUp, ...], since: float) -> tuple[Measurement, ...]:
        """Return fresh controls, and beside each a second measurement of the test vantage's own endpoints."""
        if not checks:
            return await self.fresh(request, since, routine=False)
        asked = msgspec.structs.replace(request, follow_ups=checks)
        # At once, since each may have to wait until a dead address is given up.
        controls, found = await asyncio.gather(
            self.fresh(request, since, routine=False),
            asyncio.gather(*(self._measure(vantage, asked) for vantage in self._controls)),
        )
        names = {one.vantage for one in controls}
        return (*controls, *(one for one in found if one is not None and one.vantage in names))

    async def _one(self, vantage: Vantage, request: Request, since: float) -> Measurement | None:
        key = (request.target, vantage.info.name)
        async with self._locks.setdefault(key, asyncio.Lock()):
            if (known := self._latest.get(key)) and known[0] >= since:
                return known[1]
            if (await self._sanity.recent(vantage)).state is not VantageState.ONLINE:
                return None
            began = self._clock.boottime()
            measurement = await self._measure(vantage, request)
            if measurement is not None:
                self._latest[key] = (began, measurement)
            return measurement

    async def _measure(self, vantage: Vantage, request: Request) -> Measurement | None:
        try:
            recording = await vantage.measure(request)
        except VantageError as error:
            log.warning("a control gave nothing", extra={"vantage": vantage.info.name, "why": str(error)})
            return None
        self._on_recording(recording)
        return recording.measurement
