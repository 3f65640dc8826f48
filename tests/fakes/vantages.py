"""A vantage that plays a script, and a clock that only it moves."""

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

import msgspec

from monitor.model.measurement import Recording, Request
from monitor.model.seams import Clock, Vantage
from monitor.model.vantage import Role, VantageCheck, VantageInfo, VantageState
from tests.fakes.outcomes import ISP, NOW, recording

_TURNS: Final = 10  # of the event loop, in which whatever else is due gets on before time passes


class HandClock:
    """Stands still until `seconds` is changed; `suspended_seconds` pass while the host sleeps."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.suspended_seconds = 0.0

    def now(self) -> datetime:
        return NOW + timedelta(seconds=self.boottime())

    def monotonic(self) -> float:
        return self.seconds

    def boottime(self) -> float:
        return self.seconds + self.suspended_seconds


class ScriptedVantage:
    """Answers each measurement with the next of a script, then with the last; each takes `elapsed_seconds`."""

    def __init__(
        self,
        name: str,
        clock: HandClock,
        script: Sequence[Recording | Exception] = (),
        *,
        role: Role = Role.TEST,
        elapsed_seconds: float = 0.0,
    ) -> None:
        self.info = VantageInfo(name=name, kind="direct", role=role, country="PK")
        self.asked: list[Request] = []
        self.checks = 0
        self._clock = clock
        self._script = list(script) or [recording()]
        self._elapsed_seconds = elapsed_seconds

    async def measure(self, request: Request) -> Recording:
        started_at = self._clock.now()
        played = self._script[min(len(self.asked), len(self._script) - 1)]
        self.asked.append(request)
        for _ in range(_TURNS):
            await asyncio.sleep(0)
        self._clock.seconds += self._elapsed_seconds
        if isinstance(played, Exception):
            raise played
        measurement = msgspec.structs.replace(
            played.measurement, id=id(self) + len(self.asked), vantage=self.info.name, started_at=started_at
        )
        return msgspec.structs.replace(played, measurement=measurement)

    async def check(self) -> VantageCheck:
        self.checks += 1
        return VantageCheck(
            vantage=self.info.name, started_at=self._clock.now(), state=VantageState.ONLINE, network=ISP
        )

    async def close(self) -> None:
        pass


_: tuple[type[Vantage], type[Clock]] = ScriptedVantage, HandClock
