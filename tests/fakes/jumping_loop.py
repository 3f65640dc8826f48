"""An event loop whose time jumps: when nothing happens it goes on to what is due next, so a minute takes no minute."""

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any

from monitor.model.seams import Clock


class _Jumping(selectors.SelectSelector):
    """Looks whether anything happened and, if not, lets the time pass that would have been waited."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        happened = super().select(0)
        if not happened and timeout:
            self.now += timeout
        return happened


class _Loop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._jumping = _Jumping()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now


class LoopClock:
    """The clock of the running loop."""

    def now(self) -> datetime:
        return datetime(2026, 11, 22, 12, tzinfo=UTC) + timedelta(seconds=self.monotonic())

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()

    def boottime(self) -> float:
        return self.monotonic()


def on_jumping_time(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    with asyncio.Runner(loop_factory=_Loop) as runner:
        runner.run(work())


_: type[Clock] = LoopClock
