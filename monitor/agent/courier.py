"""Brings what the spool holds to the centre: what is news first, what came too late beside it.

Live results go newest first. Where some wait, at most one batch in five is of the late ones, oldest first; where none
does, late ones go on by themselves. A result leaves the spool when the centre has it, and not before.
"""

import asyncio
import contextlib
import logging
import random
import secrets
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import msgspec
import zstandard

from monitor.agent.enrolment import SOFTWARE
from monitor.agent.link import Link, RefusedError, SlowDownError, TooLargeError, nonce
from monitor.agent.spool import Row, Spool
from monitor.agent.transport import UnreachableError
from monitor.model.fleet import Acknowledgement, BatchHead
from monitor.model.seams import Clock

log = logging.getLogger("monitor.agent")

MAX_RESULTS: Final = 500
MAX_PACKED_BYTES: Final = 1024 * 1024
MAX_UNPACKED_BYTES: Final = 32 * 1024 * 1024
LATE_EVERY: Final = 5  # one batch in so many is of the late lane while the live one has something
SEND_SECONDS: Final = 120.0
FIRST_BACKOFF_SECONDS: Final = 1.0
MAX_BACKOFF_SECONDS: Final = 300.0
DISK_SECONDS: Final = 30.0  # before the next attempt where the disk fails
# Refusals that say nothing about the results sent.
_NOT_THE_ROWS: Final = frozenset(
    {"unsigned", "unknown_agent", "signature", "clock", "token", "revoked", "replayed", "length", "rate", "busy"}
)


@dataclass
class Pace:
    """How long to wait after failures: anything between nothing and a bound that doubles (full jitter)."""

    chance: random.Random
    failures: int = 0

    def next_seconds(self) -> float:
        """Return the wait after one more failure."""
        bound = min(MAX_BACKOFF_SECONDS, FIRST_BACKOFF_SECONDS * 2.0**self.failures)
        self.failures = min(self.failures + 1, 20)
        return self.chance.uniform(0, bound)


class Courier:
    """Sends until it is cancelled. `on_refused(word)` hears what the centre says of the agent itself."""

    def __init__(
        self,
        agent_id: str,
        link: Link,
        spool: Spool,
        clock: Clock,
        *,
        boot: str,
        on_refused: Callable[[str], None],
    ) -> None:
        self._agent_id = agent_id
        self._link = link
        self._spool = spool
        self._clock = clock
        self._boot = boot
        self._on_refused = on_refused
        self._pace = Pace(random.SystemRandom())
        self._live_in_turn = 0
        self._max_results = MAX_RESULTS
        self.gather_seconds = 0.0  # how long a first result waits for company
        self.wake = asyncio.Event()  # set when there is something new
        self._is_reached = asyncio.Event()
        self._is_unreachable = False

    async def run(self) -> None:
        """Send what there is, then wait for more."""
        while True:
            try:
                wait = await self.step()
            except sqlite3.Error as error:
                log.warning("the spool cannot be used", extra={"why": getattr(error, "sqlite_errorname", "")})
                wait = DISK_SECONDS
            if wait is None:
                self.wake.clear()
                await self.wake.wait()
                await asyncio.sleep(self.gather_seconds)
            elif self._is_unreachable:
                self._is_reached.clear()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._is_reached.wait(), wait)
            else:
                await asyncio.sleep(wait)

    def hurry(self) -> None:
        """Hear that the centre answers: a wait for it to come back is over."""
        self._is_reached.set()

    async def step(self) -> float | None:
        """Send one batch; return the seconds to wait before the next, None if there is nothing to send."""
        self._is_unreachable = False
        boot, rows, is_late = self._chosen()
        if not rows:
            return None
        try:
            answer = await self._sent(boot, rows, is_late=is_late)
        except (RefusedError, SlowDownError, TooLargeError, UnreachableError) as error:
            return self._after(error, rows)
        if not self._take(rows, answer):
            return self._pace.next_seconds()
        self._pace.failures = 0
        self._live_in_turn = 0 if is_late else self._live_in_turn + 1
        self._max_results = min(MAX_RESULTS, self._max_results * 2)
        return max(0.0, min(answer.backoff_seconds, MAX_BACKOFF_SECONDS))

    def _after(self, error: RefusedError | SlowDownError | TooLargeError | UnreachableError, rows: list[Row]) -> float:
        """Return how long to wait after a batch that was not taken, and have a part of it tried if it is to blame."""
        match error:
            case SlowDownError():
                return error.seconds
            case TooLargeError():
                self._split(rows, "too_large")
                return 0.0
            case RefusedError() if error.word not in _NOT_THE_ROWS:
                self._split(rows, error.word)
                return 0.0
            case RefusedError():
                self._on_refused(error.word)
            case UnreachableError():
                self._is_unreachable = True
        log.info("results wait", extra={"why": str(error), "rows": len(rows)})
        return self._pace.next_seconds()

    def _chosen(self) -> tuple[str, list[Row], bool]:
        bounds = (self._max_results, MAX_PACKED_BYTES, MAX_UNPACKED_BYTES)
        now = self._clock.now()
        is_turn = self._live_in_turn >= LATE_EVERY - 1
        if is_turn and (found := self._spool.late(now, *bounds))[1]:
            return (*found, True)
        if (found := self._spool.live(now, *bounds))[1]:
            return (*found, False)
        return (*self._spool.late(now, *bounds), True)

    async def _sent(self, boot: str, rows: list[Row], *, is_late: bool) -> Acknowledgement:
        depth = self._spool.depth()
        head = BatchHead(
            agent_id=self._agent_id,
            boot_id=boot,
            batch_sequence=self._spool.next_number("batch"),
            nonce=nonce(),
            sent_at=self._clock.now(),
            software=SOFTWARE,
            results=len(rows),
            is_backfill=is_late,
            spool_rows=depth.rows,
            dropped_count=depth.dropped,
            clock=self._link.reading(),
            monotonic_seconds=self._clock.boottime() if boot == self._boot else None,
        )
        body = await asyncio.to_thread(_packed, head, rows)
        return await self._link.ask(
            "/v1/batch", body, head.nonce, Acknowledgement, seconds=SEND_SECONDS, encoding="zstd"
        )

    def _take(self, rows: list[Row], answer: Acknowledgement) -> bool:
        """Forget what the centre has; an answer that does not account for every row acknowledges none."""
        refused = {one.sequence: one.reason for one in answer.rejected}
        if not refused.keys() <= {row.sequence for row in rows} or min(answer.accepted, answer.duplicate) < 0:
            return self._unaccounted()
        if answer.accepted + answer.duplicate + len(refused) != len(rows):
            return self._unaccounted()
        self._spool.acknowledged([row.id for row in rows if row.sequence not in refused])
        for row in rows:
            if row.sequence in refused:
                self._spool.set_aside([row.id], refused[row.sequence][:40])
        if refused:
            log.warning("the centre does not take some results", extra={"why": " ".join(sorted(set(refused.values())))})
        return True

    @staticmethod
    def _unaccounted() -> bool:
        log.warning("an acknowledgement does not account for what was sent")
        return False

    def _split(self, rows: list[Row], why: str) -> None:
        """Try half as many next time; one alone is what the centre does not take, and is set aside."""
        if len(rows) > 1:
            self._max_results = max(1, len(rows) // 2)
            return
        self._spool.set_aside([rows[0].id], why)
        log.warning("a result is set aside: the centre does not take it", extra={"why": why})


def _packed(head: BatchHead, rows: list[Row]) -> bytes:
    lines = [msgspec.json.encode(head), *(row.line() for row in rows)]
    return zstandard.ZstdCompressor(level=3).compress(b"\n".join(lines) + b"\n")


def fresh_boot() -> str:
    """Return the name of this start of the process."""
    return secrets.token_hex(8)
