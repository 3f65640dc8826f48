import asyncio

from monitor.daemon.control_book import ControlBook
from monitor.daemon.memory import Memory
from monitor.daemon.pipeline import Pipeline, Settings
from monitor.daemon.sanity_book import SanityBook
from monitor.model.measurement import Limits, Request
from monitor.model.outcome import Outcome
from monitor.model.seams import VantageError
from monitor.model.vantage import Role
from monitor.model.verdict import Reason, Status
from tests.fakes.outcomes import X_HOME, recording
from tests.fakes.vantages import HandClock, ScriptedVantage

INTERVAL_SECONDS = 300.0


class Bench:
    """A pipeline between twins; what it hands over is in `recorded`."""

    def __init__(self, clock: HandClock, vantage: ScriptedVantage, control: ScriptedVantage) -> None:
        self.recorded: list[Outcome] = []
        self._vantage = vantage
        sanity = SanityBook(clock, 60.0, lambda _: None)
        self._pipeline = Pipeline(
            settings=Settings(
                request=Request(target=X_HOME),
                resolvers={},
                follow_ups=None,
                unrelated_host="",
                quic_reference=None,
                transfer_reference=None,
                daily_transfer_bytes=0,
                deep_limits=Limits(),
                isolation_seconds=3600.0,
                host_concurrency=1,
            ),
            clock=clock,
            sanity=sanity,
            controls=ControlBook(clock, [control], sanity, lambda _: None),
            memory=Memory(),
            record=self.recorded.append,
            deep_slots=asyncio.Semaphore(1),
            nothing_seen=lambda *_: recording().measurement,
        )

    async def round(self) -> Outcome:
        return await self._pipeline.round(X_HOME, self._vantage, INTERVAL_SECONDS)

    async def close(self) -> None:
        await self._pipeline.close()


def test_a_control_young_enough_when_a_round_begins_counts_however_long_the_round_takes() -> None:
    clock = HandClock()
    slow = ScriptedVantage("here", clock, elapsed_seconds=5.0)
    control = ScriptedVantage("control", clock, role=Role.CONTROL)
    bench = Bench(clock, slow, control)

    async def two_rounds() -> tuple[Outcome, Outcome]:
        first = await bench.round()
        clock.seconds = INTERVAL_SECONDS - 1.0
        return first, await bench.round()

    first, second = asyncio.run(two_rounds())
    assert len(control.asked) == 1
    assert second.control_ids == first.control_ids != ()


def test_a_control_that_cannot_be_used_leaves_the_round_without_one() -> None:
    clock = HandClock()
    control = ScriptedVantage("control", clock, [VantageError("gone")], role=Role.CONTROL)
    bench = Bench(clock, ScriptedVantage("here", clock), control)
    outcome = asyncio.run(bench.round())
    assert outcome.control_ids == ()
    assert outcome.verdict is not None
    assert outcome.verdict.status is Status.ACCESSIBLE


def test_a_vantage_that_cannot_be_used_says_nothing_about_the_target() -> None:
    clock = HandClock()
    gone = ScriptedVantage("here", clock, [VantageError("gone")])
    bench = Bench(clock, gone, ScriptedVantage("control", clock, role=Role.CONTROL))
    outcome = asyncio.run(bench.round())
    assert outcome.verdict is not None
    assert (outcome.verdict.status, outcome.verdict.reason) == (Status.INCONCLUSIVE, Reason.VANTAGE_OFFLINE)
    assert outcome.transition is None
    assert bench.recorded == [outcome]
