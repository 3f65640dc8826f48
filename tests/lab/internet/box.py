"""A box in the line: connections end at it (TPROXY) and are passed on, cut, answered or read, by the name they ask."""

import asyncio
import contextlib
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from monitor.lab.http import serve
from monitor.lab.interference import Cut, carry_out, ends_here
from monitor.lab.pages import Page, always
from monitor.lab.wire import Wire, name_asked, speaks_tls
from tests.lab.internet.namespaces import ROUTER, inside
from tests.lab.internet.world import World, accept

PORT: Final = 15_000
_CHUNK_BYTES: Final = 65_536
_IP_TRANSPARENT: Final = 19
_SOL_IP: Final = 0


@dataclass(frozen=True)
class Habit:
    """What the box does to connections that ask for `name`; None is every name. A page is shown in cleartext only."""

    name: str | None
    cut: Cut
    page: Page | None = None


class Box:
    """Looks at every connection that the router's rules divert to it."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.habits: tuple[Habit, ...] = ()
        with inside(ROUTER):
            opened = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            opened.setblocking(False)
            opened.setsockopt(_SOL_IP, _IP_TRANSPARENT, 1)
            opened.bind(("0.0.0.0", PORT))  # noqa: S104 - of a namespace of our own
            opened.listen(256)
        self._listener = opened

    def start(self) -> None:
        """Begin on the event loop."""
        self._world.spawn(accept(self._listener, self._look, self._world.spawn))

    def arrange(self, habits: Iterable[Habit]) -> None:
        """Replace the habits."""
        self.habits = tuple(habits)

    async def _look(self, wire: Wire) -> None:
        first = await wire.first_flight()
        name = name_asked(first)
        habit = next((one for one in self.habits if one.name in {None, name}), None)
        is_tls = speaks_tls(first)
        if habit is None or (habit.cut is Cut.PAGE and is_tls) or (habit.cut is Cut.SUBSTITUTE and not is_tls):
            await self._pass_on(wire, first)
        elif habit.cut is Cut.SUBSTITUTE:
            await self._world.intercept(wire, wire.destination, first)
        elif habit.cut is Cut.PAGE and habit.page is not None:
            await serve(wire, always(habit.page), None)
        elif ends_here(habit.cut, first):
            await carry_out(habit.cut, wire)

    async def _pass_on(self, wire: Wire, first: bytes) -> None:
        loop = asyncio.get_running_loop()
        with inside(ROUTER):
            upstream = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        upstream.setblocking(False)
        with upstream:
            await loop.sock_connect(upstream, (wire.destination, 443 if speaks_tls(first) else 80))

            async def down() -> None:
                with contextlib.suppress(OSError):
                    while more := await loop.sock_recv(upstream, _CHUNK_BYTES):
                        await wire.send(more)
                with contextlib.suppress(OSError):
                    await wire.finish()

            returning = loop.create_task(down())
            with contextlib.suppress(OSError):
                while more := await wire.receive():
                    await loop.sock_sendall(upstream, more)
                upstream.shutdown(socket.SHUT_WR)
            await returning
