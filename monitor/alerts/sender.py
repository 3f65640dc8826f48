"""Sends what waits: one task for each channel, so that one that hangs delays no other, and no probe.

A message is claimed before it is sent and written off after it: what happens between the two is the only thing that a
crash can repeat, and then under the same key. What was sent together once is sent together again.
"""

import asyncio
import logging
import random
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from monitor.alerts.channel import Answer, Channel, Message
from monitor.detect.dispatch import Outbox, Rules, Step, next_step, retry_seconds
from monitor.model.alert import Alert, Attempt, Delivery, DeliveryState, Mute, Result
from monitor.model.seams import Clock
from monitor.store import outbox_reader
from monitor.store.reader import Reader
from monitor.store.store import Store

log = logging.getLogger("monitor.alerts")

# Rows that another process wrote (`monitor alerts retract`) are seen at the latest after this long.
PAUSE_SECONDS: Final = 2.0
LEASE_MARGIN_SECONDS: Final = 15.0
LEAST_ATTEMPTS: Final = 20  # before a message is given up
_MOST_WAITING: Final = 2000
_PAST_OUTBOX_ATTEMPTS: Final = 12


@dataclass(frozen=True)
class Line:
    """A channel at work, and how it is to be used."""

    name: str
    channel: Channel
    timeout_seconds: float
    rules: Rules
    refresh_seconds: float | None = None  # to tell again what stands


@dataclass(frozen=True)
class Desk:
    """What sending needs. `write` makes a message of alerts; `counted` hears of every attempt."""

    store: Store
    reader: Reader
    clock: Clock
    write: Callable[[Sequence[Delivery], frozenset[str], datetime], Message]
    headline: Callable[[Alert], str]
    counted: Callable[[str, Attempt], None]
    maintenance: Callable[[], Sequence[Mute]]
    share: Callable[[], float] = field(default=random.random)


class Sender:
    """The tasks of all channels."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._lines: dict[str, Line] = {}
        self._wakes: dict[str, asyncio.Event] = {}

    def wake(self) -> None:
        """Look now: something was written."""
        for wake in self._wakes.values():
            wake.set()

    async def use(self, lines: Sequence[Line]) -> None:
        """Work with these channels from now on; a message under way on one that goes is given up, and claimed still."""
        gone = [*self._tasks.values()]
        for task in gone:
            task.cancel()
        await asyncio.gather(*gone, return_exceptions=True)
        for line in self._lines.values():
            await line.channel.close()
        self._lines = {line.name: line for line in lines}
        self._wakes = {line.name: asyncio.Event() for line in lines}
        self._tasks = {line.name: asyncio.create_task(self._run(line)) for line in lines}

    async def close(self) -> None:
        """End every task."""
        await self.use(())

    async def send_now(self, channel: str, message: Message) -> None:
        """Send past the outbox: nothing is written down, and after an hour of failures it is given up."""
        for number in range(1, _PAST_OUTBOX_ATTEMPTS + 1):
            line = self._lines.get(channel)
            if line is None:
                return
            answer = await self._answer(line, message)
            if answer.result is not Result.FAILED:
                return
            wait = max(retry_seconds(number, self._desk.share()), answer.retry_after_seconds or 0.0)
            log.warning("a message was not delivered", extra={"channel": channel, "why": answer.detail})
            await asyncio.sleep(wait)

    async def _answer(self, line: Line, message: Message) -> Answer:
        try:
            async with asyncio.timeout(line.timeout_seconds):
                return await line.channel.send(message)
        except TimeoutError:
            return Answer(result=Result.FAILED, detail="no answer within the time")

    async def _run(self, line: Line) -> None:
        wake, clock = self._wakes[line.name], self._desk.clock
        refreshed = -float("inf")
        while True:
            wait = PAUSE_SECONDS
            try:
                wait = await self._turn(line)
                if line.refresh_seconds is not None and clock.monotonic() - refreshed >= line.refresh_seconds:
                    refreshed = clock.monotonic()
                    await self._stand(line)
            except sqlite3.Error as error:
                log.warning("the outbox could not be read", extra={"channel": line.name, "why": str(error)})
            except Exception:  # the edge of a turn: a mistake of ours must not silence a channel for good
                log.exception("a message could not be made or sent", extra={"channel": line.name})
            if wait > 0:
                try:
                    await asyncio.wait_for(wake.wait(), wait)
                except TimeoutError:
                    continue
                wake.clear()

    async def _turn(self, line: Line) -> float:
        """Do what is to be done now; return for how many seconds there is nothing more to do."""
        desk, now = self._desk, self._desk.clock.now()
        step = await asyncio.to_thread(self._decide, line, now)
        if step.shifts and not await asyncio.wrap_future(desk.store.shift(step.shifts)):
            return PAUSE_SECONDS
        if not step.parcel:
            until = step.wait_until
            return PAUSE_SECONDS if until is None else min(PAUSE_SECONDS, max(0.05, (until - now).total_seconds()))
        parcel = [one.id for one in step.parcel]
        lease = timedelta(seconds=line.timeout_seconds + LEASE_MARGIN_SECONDS)
        if not await asyncio.wrap_future(desk.store.claim(parcel, now + lease)):
            return PAUSE_SECONDS
        message = await asyncio.to_thread(desk.write, step.parcel, step.unstable, now)
        attempt = await self._attempt(line, step.parcel, message)
        await asyncio.wrap_future(desk.store.attempted(attempt))
        desk.counted(line.name, attempt)
        return 0.0

    def _decide(self, line: Line, now: datetime) -> Step:
        reader, rules = self._desk.reader, line.rules
        waiting = outbox_reader.waiting(reader.ask, line.name, _MOST_WAITING)
        if not waiting:
            return Step()
        window = timedelta(seconds=max(rules.rate_seconds, rules.flap_seconds))
        outbox = Outbox(
            waiting=waiting,
            sent=outbox_reader.sent_since(reader.ask, line.name, now - window),
            told=frozenset(outbox_reader.told(reader.ask, line.name, sorted({one.alert.subject for one in waiting}))),
            mutes=(*outbox_reader.mutes(reader.ask, since=now), *self._desk.maintenance()),
        )
        return next_step(outbox, rules, now)

    async def _attempt(self, line: Line, parcel: Sequence[Delivery], message: Message) -> Attempt:
        clock = self._desk.clock
        started_at, began = clock.now(), clock.monotonic()
        answer = await self._answer(line, message)
        ended_at = clock.now()
        number = parcel[0].attempts + 1
        state, due_at = self._afterwards(line, parcel, answer, number, ended_at)
        if answer.result is not Result.DELIVERED:
            log.warning(
                "a message was not delivered",
                extra={"channel": line.name, "key": message.key, "attempt": number, "why": answer.detail},
            )
        return Attempt(
            parcel=parcel[0].parcel or parcel[0].id,
            number=number,
            started_at=started_at,
            elapsed_seconds=clock.monotonic() - began,
            result=answer.result,
            detail=answer.detail,
            code=answer.code,
            state=state,
            due_at=due_at,
        )

    def _afterwards(
        self, line: Line, parcel: Sequence[Delivery], answer: Answer, number: int, now: datetime
    ) -> tuple[DeliveryState, datetime]:
        if answer.result is Result.DELIVERED:
            return DeliveryState.DELIVERED, now
        written_at = min(one.alert.at for one in parcel)
        is_old = now - written_at > timedelta(seconds=line.rules.give_up_seconds)
        # What waited while nothing ran is old at its first attempt.
        if answer.result is Result.REFUSED or (is_old and number >= LEAST_ATTEMPTS):
            return DeliveryState.DEAD, now
        wait = max(retry_seconds(number, self._desk.share()), answer.retry_after_seconds or 0.0)
        return DeliveryState.PENDING, now + timedelta(seconds=wait)

    async def _stand(self, line: Line) -> None:
        """Tell again what has not ended, where the other side forgets; not written down, it is done again anyway."""
        alerts = await asyncio.to_thread(outbox_reader.standing, self._desk.reader.ask, line.name)
        told = [(alert, self._desk.headline(alert)) for alert in alerts]
        try:
            async with asyncio.timeout(line.timeout_seconds):
                answer = await line.channel.stand(told, self._desk.clock.now())
        except TimeoutError:
            answer = Answer(result=Result.FAILED, detail="no answer within the time")
        if answer is not None and answer.result is not Result.DELIVERED:
            log.warning("open alerts were not told again", extra={"channel": line.name, "why": answer.detail})
