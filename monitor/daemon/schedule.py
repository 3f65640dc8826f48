"""When targets are measured: a fixed grid with jitter around it, on a clock that nobody can step.

The only importer of APScheduler. APScheduler asks its time zone what time it is (`datetime.now(tz)`), so a zone that
answers from the monotonic clock makes every due time immune to clock steps: no burst, no gap (docs/decisions/0005).
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from hashlib import blake2b

from apscheduler.events import EVENT_JOB_MAX_INSTANCES, EVENT_JOB_SUBMITTED, JobExecutionEvent
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.base import BaseTrigger
from apscheduler.triggers.date import DateTrigger

from monitor.model.seams import Clock

_ZERO = timedelta(0)
_AGAIN = "#again"  # no key has it: names are small letters, digits and hyphens


class SteadyZone(tzinfo):
    """UTC as it was at the start, carried on by the monotonic clock."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._start = clock.now().replace(tzinfo=None)
        self._monotonic_at_start = clock.monotonic()

    def steady_now(self) -> datetime:
        """Return the present on the steady time line."""
        return (self._start + timedelta(seconds=self._clock.monotonic() - self._monotonic_at_start)).replace(
            tzinfo=self
        )

    def fromutc(self, _dt: datetime) -> datetime:
        """Answer `datetime.now(self)` with the steady time, whatever the wall clock says."""
        return self.steady_now()

    def utcoffset(self, _dt: datetime | None) -> timedelta:
        """Return zero: the steady time line starts out as UTC."""
        return _ZERO

    def dst(self, _dt: datetime | None) -> timedelta:
        """Return zero."""
        return _ZERO

    def tzname(self, _dt: datetime | None) -> str:
        """Return the name that logs show."""
        return "steady"


def share_of(*parts: object) -> float:
    """Return a number in [0, 1) that depends on `parts` alone, the same on every machine and after every restart."""
    digest = blake2b(repr(parts).encode(), digest_size=8).digest()
    return int.from_bytes(digest) / 2**64


class GridTrigger(BaseTrigger):  # type: ignore[misc]  # APScheduler ships no types
    """Fires once in each slot of a fixed grid, up to `jitter` of an interval before or after the slot's middle.

    The grid's phase is a hash of `key`, so 1,000 series spread over one interval and keep their place over restarts;
    the jitter is a hash of key and slot, so it never drifts. `jitter` is a share below one half.
    """

    def __init__(self, key: str, interval_seconds: float, jitter: float) -> None:
        self.key = key
        self.interval_seconds = interval_seconds
        self.jitter = jitter
        self._phase = share_of(key, "phase") * interval_seconds

    def get_next_fire_time(self, previous_fire_time: datetime | None, now: datetime) -> datetime:
        """Return the first due time after `previous_fire_time`, or after `now` for the first."""
        zone = now.tzinfo
        at = _seconds(now)
        slot = int((at - self._phase) // self.interval_seconds)
        if previous_fire_time is not None:
            slot = max(slot - 1, self._slot_of(_seconds(previous_fire_time)) + 1)
        else:
            while self._due(slot) < at:
                slot += 1
        return (datetime.fromtimestamp(self._due(slot), UTC)).replace(tzinfo=zone)

    def _due(self, slot: int) -> float:
        offset = (2 * share_of(self.key, slot) - 1) * self.jitter
        return self._phase + (slot + offset) * self.interval_seconds

    def _slot_of(self, due: float) -> int:
        return round((due - self._phase) / self.interval_seconds)


def _seconds(at: datetime) -> float:
    return at.replace(tzinfo=UTC).timestamp()


@dataclass(frozen=True)
class Entry:
    """One thing to be done again and again; entries that compare equal survive a reload untouched."""

    key: str
    interval_seconds: float
    jitter: float
    payload: Hashable


class Schedule:
    """Runs entries when they are due, each at most once at a time; an entry still running when due again is skipped.

    `run(payload)` must not raise; `on_lag(seconds)` hears how late each run started; `on_skip(payload)` each skip.
    """

    def __init__(
        self,
        clock: Clock,
        run: Callable[[Hashable], Awaitable[None]],
        on_lag: Callable[[float], None],
        on_skip: Callable[[Hashable], None],
    ) -> None:
        self._zone = SteadyZone(clock)
        self._run = run
        self._on_lag = on_lag
        self._on_skip = on_skip
        self._entries: dict[str, Entry] = {}
        self._due: dict[str, datetime] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._busy: set[str] = set()  # keys that are running, on schedule or again
        # One line per run comes from the pipeline; APScheduler's own would double it.
        logging.getLogger("apscheduler").setLevel(logging.CRITICAL)
        self._scheduler = AsyncIOScheduler(
            timezone=self._zone,
            job_defaults={"misfire_grace_time": None, "coalesce": True, "max_instances": 1},
        )
        self._scheduler.add_listener(self._submitted, EVENT_JOB_SUBMITTED)
        self._scheduler.add_listener(self._skipped, EVENT_JOB_MAX_INSTANCES)

    def start(self) -> None:
        """Begin; needs a running event loop."""
        self._scheduler.start()

    def apply(self, entries: Iterable[Entry]) -> Mapping[str, int]:
        """Make `entries` the whole plan and return how many were added, kept and removed."""
        wanted = {entry.key: entry for entry in entries}
        kept = {key for key, entry in self._entries.items() if wanted.get(key) == entry}
        for key in self._entries.keys() - kept:
            self._scheduler.remove_job(key)
            if self._scheduler.get_job(key + _AGAIN):
                self._scheduler.remove_job(key + _AGAIN)
        for key in wanted.keys() - kept:
            entry = wanted[key]
            self._scheduler.add_job(
                self._job, GridTrigger(key, entry.interval_seconds, entry.jitter), args=(entry,), id=key
            )
        counts = {
            "added": len(wanted.keys() - self._entries.keys()),
            "changed": len((wanted.keys() & self._entries.keys()) - kept),
            "kept": len(kept),
            "removed": len(self._entries.keys() - wanted.keys()),
        }
        self._entries = wanted
        return counts

    def again(self, key: str, seconds: float, payload: Hashable) -> None:
        """Run `payload` once more in so many seconds, in place of one that waits; an entry that is gone is left alone.

        It shares the entry's place: whichever is due while the other runs is left out.
        """
        if key not in self._entries:
            return
        at = self._zone.steady_now() + timedelta(seconds=seconds)
        self._scheduler.add_job(
            self._run_alone, DateTrigger(at), args=(key, payload), id=key + _AGAIN, replace_existing=True
        )

    async def stop(self, grace_seconds: float) -> None:
        """Start nothing more; give running work `grace_seconds`, then cancel it."""
        if self._scheduler.running:
            self._scheduler.pause()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=grace_seconds)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._scheduler.running:
            self._scheduler.shutdown(wait=False)
            await asyncio.sleep(0)  # APScheduler shuts down in the loop's next turn

    async def _job(self, entry: Entry) -> None:
        due = self._due.pop(entry.key, None)
        if due is not None:
            self._on_lag(max(0.0, (self._zone.steady_now() - due).total_seconds()))
        await self._run_alone(entry.key, entry.payload)

    async def _run_alone(self, key: str, payload: Hashable) -> None:
        if key in self._busy:
            return
        task = asyncio.current_task()
        if task is not None:
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        self._busy.add(key)
        try:
            await self._run(payload)
        finally:
            self._busy.discard(key)

    def _submitted(self, event: JobExecutionEvent) -> None:
        if event.job_id in self._entries:
            self._due[event.job_id] = event.scheduled_run_times[-1]

    def _skipped(self, event: JobExecutionEvent) -> None:
        if entry := self._entries.get(event.job_id):
            self._on_skip(entry.payload)
