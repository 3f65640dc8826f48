"""The small internet, running: built clean, arranged with primitives, lifted again."""

import asyncio
import contextlib
import os
import tempfile
import threading
from collections.abc import Callable, Coroutine, Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from tests.lab.internet.box import Box
from tests.lab.internet.changes import Changes
from tests.lab.internet.injector import Injector
from tests.lab.internet.namespaces import CLIENT, ROUTER, WORLD, build, enter, inside, run
from tests.lab.internet.primitives import Primitive
from tests.lab.internet.world import WORLD_ADDRESSES, World

_PATIENCE_SECONDS: Final = 30


class Internet:
    """Use it as a context manager, in namespaces of its own; the calling thread then lives at the client."""

    def __init__(self) -> None:
        self._resources = contextlib.ExitStack()
        self._clock_offset: str | None = None

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as resources:
            folder = Path(resources.enter_context(tempfile.TemporaryDirectory(prefix="access-internet-")))
            build(WORLD_ADDRESSES, folder)
            self.world = World(folder)
            self._injector = Injector()
            self._box = Box(self.world)
            self._loop = asyncio.new_event_loop()
            resources.callback(self._loop.close)
            thread = threading.Thread(target=self._loop.run_forever, name="internet", daemon=True)
            thread.start()
            resources.callback(thread.join)
            resources.callback(self._loop.call_soon_threadsafe, self._loop.stop)
            resources.callback(self._call, self.world.close)
            self._call(self._open)
            enter(CLIENT)
            self._resources = resources.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._resources.close()
        if self.world.faults and error is None:
            raise ExceptionGroup("the laboratory itself failed", self.world.faults)

    def arrange(self, primitives: Iterable[Primitive] = ()) -> None:
        """Bring the clean network into the state that these primitives make together."""
        changes = Changes(self.world)

        async def lay() -> None:
            self.world.lift()
            for primitive in primitives:
                primitive.lay(changes)
            self._injector.arrange(changes.injections)
            self._box.arrange(changes.habits)

        self._call(lay)
        self._clock_offset = changes.clock_offset
        with inside(ROUTER):
            restore(
                "iptables-restore", {"filter": ("FORWARD", changes.forward), "mangle": ("PREROUTING", changes.divert)}
            )
            restore("ip6tables-restore", {"filter": ("FORWARD", changes.forward_v6)})
            run("conntrack", "-F")
        with inside(WORLD):
            restore("iptables-restore", {"filter": ("INPUT", changes.servers)})

    def lift(self) -> None:
        """Bring the network into its clean state."""
        self.arrange()

    @contextlib.contextmanager
    def clock(self) -> Iterator[None]:
        """Have the programs started meanwhile believe in the arranged time: Debian's faketime, by its library."""
        if self._clock_offset is None:
            yield
            return
        library = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))
        changed = {"LD_PRELOAD": str(library), "FAKETIME": self._clock_offset, "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
        os.environ.update(changed)
        try:
            yield
        finally:
            for name in changed:
                del os.environ[name]

    async def _open(self) -> None:
        await self.world.open()
        self._box.start()

    def _call(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        asyncio.run_coroutine_threadsafe(work(), self._loop).result(timeout=_PATIENCE_SECONDS)


def restore(program: str, tables: dict[str, tuple[str, list[str]]]) -> None:
    """Replace whole tables, each with the rules of one chain, at once."""
    lines = []
    for table, (chain, rules) in tables.items():
        # Of two boxes that want the same flows diverted one rule is enough.
        lines += [
            f"*{table}",
            *(f"-A {chain} {rule}" for rule in (dict.fromkeys(rules) if table == "mangle" else rules)),
        ]
        lines.append("COMMIT")
    run(program, given="\n".join(lines) + "\n")
