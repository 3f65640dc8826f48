"""Blocking libraries, each channel's in a thread of its own: one that hangs holds up nobody else."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar, cast

Value = TypeVar("Value")


class Busy(Exception):  # noqa: N818 - it says how things are, and no mistake was made
    """The call before this one has not come back yet."""


class OneThread:
    """Runs one blocking call at a time; one that was given up goes on in its thread, which never holds up the exit."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._running: Future[object] | None = None

    async def run(self, call: Callable[[], Value]) -> Value:
        """Return what the call returns; raises Busy, or what the call raises."""
        if self._running is not None and not self._running.done():
            raise Busy
        done: Future[Value] = Future()

        def work() -> None:
            try:
                value = call()
            except BaseException as error:  # noqa: BLE001 - handed to whoever waits
                done.set_exception(error)
            else:
                done.set_result(value)

        # A daemon thread: the interpreter does not wait for a library that never comes back.
        done.set_running_or_notify_cancel()
        self._running = cast("Future[object]", done)
        threading.Thread(target=work, name=self._name, daemon=True).start()
        return await asyncio.wrap_future(done)
