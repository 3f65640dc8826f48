"""What the pipeline does around a deep run: waits for residual blocking to pass, bounds number and traffic."""

import asyncio
from collections.abc import Sequence
from typing import Final

import msgspec

from monitor.classify.follow_ups import FollowUpSettings
from monitor.daemon.control_book import ControlBook
from monitor.daemon.memory import DEEP_RUNS_PER_HOUR, Memory
from monitor.daemon.pipeline import RESIDUAL_SECONDS, Pipeline, Settings
from monitor.daemon.sanity_book import SanityBook
from monitor.model.measurement import FollowUp, Limits, Measurement, Recording, Request
from monitor.model.observation import Purpose
from monitor.model.outcome import Outcome
from monitor.model.seams import Clock, Vantage
from monitor.model.target import Target
from monitor.model.vantage import Role, VantageCheck, VantageInfo, VantageState
from monitor.model.verdict import Reason, Status
from tests.classify.scene import HARMLESS, Scene
from tests.classify.stories import DOH, EXAMPLE, HTTPS, ORIGIN, STRANGER
from tests.fakes.jumping_loop import LoopClock, on_jumping_time
from tests.fakes.outcomes import recording

TARGET: Final = Target(name="site-home", platform="site", url=HTTPS)
URL: Final = f"https://{EXAMPLE}/large"
INTERVAL_SECONDS: Final = 300.0


class Censored:
    """A vantage that plays scenes; every run takes a second of the loop's time."""

    def __init__(self, clock: LoopClock) -> None:
        self.info = VantageInfo(name="here", kind="direct")
        self.asked: list[Request] = []
        self._clock = clock

    async def measure(self, request: Request) -> Recording:
        self.asked.append(request)
        started_at = self._clock.now()
        scene = Scene(HTTPS, "here")
        for asked in request.follow_ups:
            self.follow_up(scene.at(asked.purpose, asked.hop), asked)
        if not request.follow_ups:
            self.path(scene)
        await asyncio.sleep(1.0)
        measurement = msgspec.structs.replace(scene.done(), id=len(self.asked), started_at=started_at)
        return Recording(measurement=measurement)

    def path(self, scene: Scene) -> None:
        scene.dns(EXAMPLE, ORIGIN).tcp(ORIGIN).tls(ORIGIN, EXAMPLE, "connection_reset")

    def follow_up(self, scene: Scene, asked: FollowUp) -> None:
        if asked.until == "dns":
            scene.dns(asked.host, ORIGIN if asked.host == EXAMPLE else STRANGER, resolver=asked.resolver or "system")
        elif asked.until == "quic":
            scene.quic(asked.address, asked.server_name)
        elif asked.until == "tls":
            scene.tcp(asked.address)
            is_cut = asked.server_name == EXAMPLE or self.is_punished(asked)
            scene.tls(asked.address, asked.server_name, "connection_reset" if is_cut else None)
        else:
            scene.tcp(asked.address, asked.port)

    def is_punished(self, _: FollowUp) -> bool:
        return False

    async def check(self) -> VantageCheck:
        return VantageCheck(vantage="here", started_at=self._clock.now(), state=VantageState.ONLINE)

    async def close(self) -> None:
        pass


class Resentful(Censored):
    """Cuts everything at the address for two minutes after the forbidden name was heard there."""

    last_hit = float("-inf")

    def path(self, scene: Scene) -> None:
        super().path(scene)
        self.last_hit = self._clock.monotonic()

    def is_punished(self, asked: FollowUp) -> bool:
        return asked.address == ORIGIN and self._clock.monotonic() - self.last_hit < 120.0


class Slow(Censored):
    """Everything works, but the page is still coming when the time is up, and its transfers crawl."""

    def path(self, scene: Scene) -> None:
        scene.dns(EXAMPLE, ORIGIN).tcp(ORIGIN).tls(ORIGIN, EXAMPLE)
        scene.http(URL, ORIGIN, failure="generic_timeout_error", reason="still_receiving", bytes_received=60_000)

    def follow_up(self, scene: Scene, asked: FollowUp) -> None:
        if asked.until == "throughput":
            is_own = asked.purpose is not Purpose.TRANSFER_REFERENCE
            scene.transfer(asked.url, asked.address, 5.0 if is_own else 0.2, 80_000 if is_own else 500_000)
        else:
            super().follow_up(scene, asked)


_: tuple[type[Vantage], type[Clock]] = Censored, LoopClock


def pipeline(
    clock: LoopClock,
    taken: list[Outcome],
    *,
    daily_transfer_bytes: int = 10**9,
    controls: Sequence[Vantage] = (),
    deep_slots: asyncio.Semaphore | None = None,
    retries: int = 2,
) -> Pipeline:
    sanity = SanityBook(clock, 60.0, lambda _: None)
    return Pipeline(
        settings=Settings(
            request=Request(target=TARGET),
            resolvers={},
            follow_ups=FollowUpSettings(harmless_name=HARMLESS, resolvers=(DOH,), retries=retries),
            unrelated_host="",
            quic_reference=None,
            transfer_reference="http://file.example/",
            daily_transfer_bytes=daily_transfer_bytes,
            deep_limits=Limits(),
            isolation_seconds=3600.0,
            host_concurrency=1,
        ),
        clock=clock,
        sanity=sanity,
        controls=ControlBook(clock, controls, sanity, lambda _: None),
        memory=Memory(),
        record=taken.append,
        deep_slots=deep_slots or asyncio.Semaphore(1),
        nothing_seen=lambda *_: recording().measurement,
    )


def purposes(measurement: Measurement) -> set[Purpose]:
    return {one.purpose for one in measurement.observations}


def test_residual_blocking_is_waited_out_and_the_name_then_shown_to_be_the_trigger() -> None:
    async def run() -> None:
        taken: list[Outcome] = []
        vantage, its = Resentful(clock := LoopClock()), pipeline(clock, taken)
        first = await its.round(TARGET, vantage, INTERVAL_SECONDS)
        assert first.verdict is not None
        assert first.verdict.mechanisms == ()  # without a control, and with a harmless name that failed alike
        await asyncio.sleep(RESIDUAL_SECONDS + 60.0)
        residual = taken[-1]
        assert len(taken) == 2
        assert Purpose.RESIDUAL in purposes(residual.recording.measurement)
        assert residual.recording.measurement.observations[0].purpose is Purpose.RESIDUAL
        assert residual.detector is None  # it does not come on the beat
        assert residual.verdict is not None
        assert (residual.verdict.rule, residual.verdict.mechanisms) == ("isolated_trigger", ("tls.reset.sni",))
        # And it stands for the rounds after it.
        later = await its.round(TARGET, vantage, INTERVAL_SECONDS)
        assert later.verdict is not None
        assert (later.verdict.confidence, later.isolation_id) == ("confirmed", residual.recording.measurement.id)
        await its.close()

    on_jumping_time(run)


def test_what_waits_for_residual_blocking_ends_with_the_pipeline() -> None:
    async def run() -> None:
        taken: list[Outcome] = []
        vantage, its = Resentful(clock := LoopClock()), pipeline(clock, taken)
        await its.round(TARGET, vantage, INTERVAL_SECONDS)
        asked = len(vantage.asked)
        await its.close()
        await asyncio.sleep(2 * RESIDUAL_SECONDS)
        assert (len(taken), len(vantage.asked)) == (1, asked)
        await its.round(TARGET, vantage, INTERVAL_SECONDS)  # one that was under way leaves nothing behind
        await asyncio.sleep(2 * RESIDUAL_SECONDS)
        assert len(taken) == 2

    on_jumping_time(run)


class Rotating(Censored):
    """Each round leads to another address, all of them silent."""

    def path(self, scene: Scene) -> None:
        address = f"93.184.216.{len(self.asked) % 250}"
        scene.dns(EXAMPLE, address).tcp(address, failure="generic_timeout_error")


def test_a_name_that_rotates_is_isolated_so_often_an_hour_and_no_more() -> None:
    async def run() -> None:
        taken: list[Outcome] = []
        vantage, its = Rotating(clock := LoopClock()), pipeline(clock, taken)
        for _ in range(20):
            await its.round(TARGET, vantage, INTERVAL_SECONDS)
            await asyncio.sleep(60.0)
        assert sum(one.recording.measurement.is_deep for one in taken) == DEEP_RUNS_PER_HOUR
        # What failed is still tried again: a single look would not tell a block from a lost packet.
        assert all(Purpose.RETRY in purposes(one.recording.measurement) for one in taken)
        await asyncio.sleep(3600.0)
        assert (await its.round(TARGET, vantage, INTERVAL_SECONDS)).recording.measurement.is_deep
        await its.close()

    on_jumping_time(run)


def test_transfers_stop_at_the_megabytes_of_the_day_and_start_again_on_the_next() -> None:
    async def run() -> None:
        taken: list[Outcome] = []
        vantage = Slow(clock := LoopClock())
        its = pipeline(clock, taken, daily_transfer_bytes=600_000)
        first = await its.round(TARGET, vantage, INTERVAL_SECONDS)
        transfers = [one for one in first.recording.measurement.observations if one.purpose is Purpose.TRANSFER]
        assert len(transfers) == 1
        await asyncio.sleep(3600.0)
        second = await its.round(TARGET, vantage, INTERVAL_SECONDS)
        assert Purpose.TRANSFER not in purposes(second.recording.measurement)
        await asyncio.sleep(86_400.0)
        third = await its.round(TARGET, vantage, INTERVAL_SECONDS)
        assert Purpose.TRANSFER in purposes(third.recording.measurement)
        await its.close()

    on_jumping_time(run)


class Clean(Censored):
    def path(self, scene: Scene) -> None:
        scene.dns(EXAMPLE, ORIGIN).tcp(ORIGIN).tls(ORIGIN, EXAMPLE).http(HTTPS, ORIGIN, bytes_received=1500)


def test_a_clean_round_asks_for_nothing_more() -> None:
    async def run() -> None:
        taken: list[Outcome] = []
        vantage, its = Clean(clock := LoopClock()), pipeline(clock, taken)
        for _ in range(8):
            await its.round(TARGET, vantage, INTERVAL_SECONDS)
        assert [request.follow_ups for request in vantage.asked] == [()] * 8
        await its.close()

    on_jumping_time(run)


class Breaking(Censored):
    """Works once, and is cut from then on."""

    def path(self, scene: Scene) -> None:
        (Clean if len(self.asked) == 1 else Censored).path(self, scene)


class Elsewhere(Clean):
    def __init__(self, clock: LoopClock) -> None:
        super().__init__(clock)
        self.info = VantageInfo(name="elsewhere", kind="direct", role=Role.CONTROL)


def test_a_control_of_before_decides_nothing_where_no_turn_came_to_ask_it_again() -> None:
    async def run() -> None:
        taken: list[Outcome] = []
        slots = asyncio.Semaphore(1)
        vantage = Breaking(clock := LoopClock())
        its = pipeline(clock, taken, controls=[Elsewhere(clock)], deep_slots=slots, retries=1)
        first = await its.round(TARGET, vantage, INTERVAL_SECONDS)
        assert first.verdict is not None
        assert first.verdict.status is Status.ACCESSIBLE
        await asyncio.sleep(60.0)
        async with slots:
            second = await its.round(TARGET, vantage, INTERVAL_SECONDS)
        assert second.verdict is not None
        assert (second.verdict.status, second.verdict.reason) == (Status.INCONCLUSIVE, Reason.NO_CONTROL)
        assert second.control_ids == ()
        await its.close()

    on_jumping_time(run)


class Dead(Censored):
    """Its server answers nobody."""

    def path(self, scene: Scene) -> None:
        scene.dns(EXAMPLE, ORIGIN).tcp(ORIGIN, failure="generic_timeout_error")

    def follow_up(self, scene: Scene, asked: FollowUp) -> None:
        if asked.until == "dns":
            super().follow_up(scene, asked)
        else:
            scene.tcp(asked.address, asked.port, failure="generic_timeout_error")


class DyingElsewhere(Dead):
    """Sees the server for the last time in the second in which the other vantage already waits in vain."""

    def __init__(self, clock: LoopClock) -> None:
        super().__init__(clock)
        self.info = VantageInfo(name="elsewhere", kind="direct", role=Role.CONTROL)

    def path(self, scene: Scene) -> None:
        if len(self.asked) == 1:
            scene.dns(EXAMPLE, ORIGIN).tcp(ORIGIN).tls(ORIGIN, EXAMPLE).http(HTTPS, ORIGIN, bytes_received=1500)
        else:
            super().path(scene)


def test_a_control_asked_at_the_same_time_does_not_make_an_outage_a_block() -> None:
    async def run() -> None:
        taken: list[Outcome] = []
        vantage = Dead(clock := LoopClock())
        its = pipeline(clock, taken, controls=[DyingElsewhere(clock)])
        outcome = await its.round(TARGET, vantage, INTERVAL_SECONDS)
        assert outcome.verdict is not None
        assert outcome.verdict.status is Status.DOWN
        await its.close()

    on_jumping_time(run)
