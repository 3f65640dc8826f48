import asyncio
import itertools
import time
from collections.abc import Hashable
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from monitor.daemon.schedule import Entry, GridTrigger, Schedule


class StepClock:
    """A clock whose wall time can be stepped while the monotonic time goes on."""

    def __init__(self) -> None:
        self.step = timedelta(0)

    def now(self) -> datetime:
        return datetime.fromtimestamp(time.clock_gettime(time.CLOCK_REALTIME), UTC) + self.step

    def monotonic(self) -> float:
        return time.monotonic()

    def boottime(self) -> float:
        return time.monotonic()


def due_times(key: str, interval: float, jitter: float, count: int) -> list[datetime]:
    trigger = GridTrigger(key, interval, jitter)
    now = datetime(2026, 1, 1, tzinfo=UTC)
    times = [trigger.get_next_fire_time(None, now)]
    while len(times) < count:
        times.append(trigger.get_next_fire_time(times[-1], times[-1]))
    return times


@given(st.text(max_size=20), st.floats(1, 86400), st.floats(0, 0.45))
def test_due_times_stay_in_their_slots_and_never_drift(key: str, interval: float, jitter: float) -> None:
    times = due_times(key, interval, jitter, 50)
    gaps = [(later - earlier).total_seconds() for earlier, later in itertools.pairwise(times)]
    assert all(interval * (1 - 2 * jitter) - 0.01 <= gap <= interval * (1 + 2 * jitter) + 0.01 for gap in gaps)
    assert abs((times[-1] - times[0]).total_seconds() - 49 * interval) <= 2 * jitter * interval + 0.01


def test_first_runs_of_a_thousand_series_spread_over_one_interval() -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    firsts = [GridTrigger(f"t{i}@v", 300, 0.1).get_next_fire_time(None, now) for i in range(1000)]
    offsets = sorted((first - now).total_seconds() for first in firsts)
    assert offsets[0] >= 0
    assert offsets[-1] <= 300 * 1.2
    per_thirty_seconds = [sum(1 for offset in offsets if start <= offset < start + 30) for start in range(0, 300, 30)]
    assert max(per_thirty_seconds) < 150


def test_the_phase_survives_a_restart() -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    trigger, again = GridTrigger("x-home@home", 300, 0.1), GridTrigger("x-home@home", 300, 0.1)
    assert trigger.get_next_fire_time(None, now) == again.get_next_fire_time(None, now)


def run_schedule(clock: StepClock, entries: list[Entry], seconds: float, step_after: float | None = None) -> list[str]:
    ran: list[str] = []

    async def run(payload: Hashable) -> None:
        ran.append(str(payload))

    async def main() -> None:
        schedule = Schedule(clock, run, lambda _lag: None, lambda _payload: None)
        schedule.apply(entries)
        schedule.start()
        if step_after is not None:
            await asyncio.sleep(step_after)
            clock.step = timedelta(hours=1)
            await asyncio.sleep((seconds - step_after) / 2)
            clock.step = timedelta(hours=-2)
            await asyncio.sleep((seconds - step_after) / 2)
        else:
            await asyncio.sleep(seconds)
        await schedule.stop(1)

    asyncio.run(main())
    return ran


def test_a_stepped_clock_causes_neither_burst_nor_gap() -> None:
    entries = [Entry("steady", 0.2, 0.0, "steady"), *(Entry(f"slow{i}", 3600, 0.1, f"slow{i}") for i in range(200))]
    ran = run_schedule(StepClock(), entries, seconds=3.0, step_after=1.0)
    assert 12 <= ran.count("steady") <= 16
    assert len(ran) - ran.count("steady") <= 3


def test_a_run_still_going_is_skipped_and_told() -> None:
    skipped: list[Hashable] = []
    lags: list[float] = []

    async def main() -> None:
        async def hang(_payload: Hashable) -> None:
            await asyncio.sleep(30)

        schedule = Schedule(StepClock(), hang, lags.append, skipped.append)
        schedule.apply([Entry("a", 0.1, 0.0, "payload")])
        schedule.start()
        await asyncio.sleep(0.6)
        await schedule.stop(0)

    asyncio.run(main())
    assert len(lags) == 1
    assert set(skipped) == {"payload"}
    assert len(skipped) >= 3


def test_a_new_plan_restarts_only_what_changed() -> None:
    async def main() -> None:
        async def run(_payload: Hashable) -> None: ...

        schedule = Schedule(StepClock(), run, lambda _lag: None, lambda _payload: None)
        schedule.apply([Entry("a", 60, 0.1, 1), Entry("b", 60, 0.1, 1), Entry("c", 60, 0.1, 1)])
        schedule.start()
        counts = schedule.apply([Entry("a", 60, 0.1, 1), Entry("b", 30, 0.1, 1), Entry("d", 60, 0.1, 1)])
        assert counts == {"added": 1, "changed": 1, "kept": 1, "removed": 1}
        await schedule.stop(0)

    asyncio.run(main())


def test_a_further_run_comes_when_it_is_wanted_and_shares_the_place_of_its_entry() -> None:
    ran: list[Hashable] = []

    async def main() -> None:
        began, done, release = asyncio.Event(), asyncio.Event(), asyncio.Event()

        async def run(payload: Hashable) -> None:
            ran.append(payload)
            if payload == "long":
                schedule.again("a", 0.0, "meanwhile")
                began.set()
                await asyncio.wait_for(release.wait(), 30)
                schedule.again("a", 0.2, "after")
            if payload == "after":
                done.set()

        schedule = Schedule(StepClock(), run, lambda _lag: None, lambda _payload: None)
        schedule.apply([Entry("a", 3600, 0.0, "scheduled")])
        schedule.start()
        schedule.again("unknown", 0.0, "never")
        schedule.again("a", 3600.0, "replaced")
        schedule.again("a", 0.0, "long")
        await asyncio.wait_for(began.wait(), 30)
        await asyncio.sleep(0.1)
        release.set()
        await asyncio.wait_for(done.wait(), 30)
        await schedule.stop(0)

    asyncio.run(main())
    assert ran == ["long", "after"]


def test_a_further_run_goes_with_its_entry_and_with_the_schedule() -> None:
    ran: list[Hashable] = []

    async def main() -> None:
        async def run(payload: Hashable) -> None:
            ran.append(payload)

        schedule = Schedule(StepClock(), run, lambda _lag: None, lambda _payload: None)
        schedule.apply([Entry("a", 3600, 0.0, 1), Entry("b", 3600, 0.0, 1)])
        schedule.start()
        schedule.again("a", 0.1, "a again")
        schedule.again("b", 0.3, "b again")
        schedule.apply([Entry("b", 3600, 0.0, 1)])
        await asyncio.sleep(0.2)
        await schedule.stop(0)
        await asyncio.sleep(0.2)

    asyncio.run(main())
    assert ran == []
