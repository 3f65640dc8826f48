import asyncio
from collections.abc import Collection
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest

from monitor.classify.context import Context
from monitor.daemon.control_book import ControlBook
from monitor.daemon.memory import Memory
from monitor.daemon.pipeline import Look, Pipeline, Settings, joined
from monitor.daemon.sanity_book import SanityBook
from monitor.model.measurement import Limits, Recording, Request
from monitor.model.observation import DnsAnswer
from monitor.model.outcome import Outcome
from monitor.model.place import Place
from monitor.model.seams import VantageError
from monitor.model.vantage import Role, VantageCheck, VantageState
from monitor.model.verdict import Reason, Status
from monitor.network.asn_table import AsnTable
from tests.fakes.mmdb import write_mmdb
from tests.fakes.outcomes import DNS, HTTP, TCP, TLS, X_HOME, recording
from tests.fakes.vantages import HandClock, ScriptedVantage

INTERVAL_SECONDS = 300.0


class Bench:
    """A pipeline between twins; what it hands over is in `recorded`."""

    def __init__(
        self, clock: HandClock, vantage: ScriptedVantage, control: ScriptedVantage, asn_table: AsnTable | None = None
    ) -> None:
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
                asn_table=asn_table,
            ),
            clock=clock,
            sanity=sanity,
            controls=ControlBook(clock, [control], sanity, lambda _: None),
            memory=Memory(),
            record=self.recorded.append,
            deep_slots=asyncio.Semaphore(1),
            nothing_seen=lambda *_: recording().measurement,
        )

    async def round(self, look: Look = Look.SCHEDULED, *, in_series: bool = True) -> Outcome:
        return await self._pipeline.round(X_HOME, self._vantage, INTERVAL_SECONDS, look=look, in_series=in_series)

    async def close(self, kept: Collection[tuple[str, str]] | None = None) -> None:
        await self._pipeline.close(kept)


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


def failing() -> Recording:
    """Return what a reset during the handshake looks like."""
    cut = msgspec.structs.replace(TLS, failure="connection_reset", chain=(), version=None, cipher=None, alpn=None)
    return recording(DNS, TCP, cut)


def test_a_line_that_is_well_again_when_the_deep_run_ends_was_still_ill_when_the_target_failed() -> None:
    clock = HandClock()

    class Interrupted(ScriptedVantage):
        async def check(self) -> VantageCheck:
            is_ill = 10 < clock.seconds < 50
            state = VantageState.OFFLINE if is_ill else VantageState.ONLINE
            return msgspec.structs.replace(await super().check(), state=state)

    here = Interrupted("here", clock, [failing()], elapsed_seconds=20.0)
    # Asked beside the routine run and again in the deep one.
    bench = Bench(clock, here, ScriptedVantage("control", clock, role=Role.CONTROL, elapsed_seconds=20.0))
    outcome = asyncio.run(bench.round())
    assert clock.seconds > 50
    assert outcome.verdict is not None
    assert (outcome.verdict.status, outcome.verdict.reason) == (Status.INCONCLUSIVE, Reason.VANTAGE_OFFLINE)


def test_a_first_failing_round_asks_for_a_further_look_and_that_one_is_hasty_and_asks_the_control_anew() -> None:
    clock = HandClock()
    here = ScriptedVantage("here", clock, [recording(), recording(), recording(), failing()])
    control = ScriptedVantage("control", clock, role=Role.CONTROL)
    bench = Bench(clock, here, control)

    async def rounds() -> list[Outcome]:
        made = []
        for _ in range(4):
            made.append(await bench.round())
            clock.seconds += INTERVAL_SECONDS
        return made

    outcomes = asyncio.run(rounds())
    assert [one.look_again_seconds for one in outcomes] == [None, None, None, 5.0]
    asked_before = len(control.asked)
    clock.seconds -= INTERVAL_SECONDS - 5.5
    further = asyncio.run(bench.round(Look.SUSPICION))
    assert further.look_again_seconds == 10.0
    assert len(control.asked) > asked_before
    usual, hasty = here.asked[0].limits, here.asked[-1].limits
    assert hasty.tls_seconds == usual.tls_seconds / 2
    assert hasty.total_seconds < usual.total_seconds


def test_what_somebody_asked_for_once_is_set_aside_and_the_detector_hears_nothing_of_it() -> None:
    clock = HandClock()
    bench = Bench(clock, ScriptedVantage("here", clock), ScriptedVantage("control", clock, role=Role.CONTROL))
    outcome = asyncio.run(bench.round(in_series=False))
    assert (outcome.is_aside, outcome.detector, outcome.look_again_seconds) == (True, None, None)


def test_what_was_seen_before_a_suspended_night_is_old_in_the_morning() -> None:
    clock = HandClock()
    here, control = ScriptedVantage("here", clock), ScriptedVantage("control", clock, role=Role.CONTROL)
    bench = Bench(clock, here, control)

    async def evening_and_morning() -> None:
        await bench.round()
        clock.suspended_seconds = 8 * 3600.0
        await bench.round()

    asyncio.run(evening_and_morning())
    assert (here.checks, control.checks, len(control.asked)) == (2, 2, 2)


def test_only_a_server_that_proved_to_be_the_targets_own_tells_where_it_is_served_from(tmp_path: Path) -> None:
    write_mmdb(
        tmp_path / "geo.mmdb",
        {
            "162.159.140.0/24": {"autonomous_system_number": 13335, "country": {"iso_code": "US"}},
            "203.0.113.0/24": {"autonomous_system_number": 17557, "country": {"iso_code": "PK"}},
        },
    )
    lie = msgspec.structs.replace(DNS, answers=(DnsAnswer(type="A", value="203.0.113.9"),))
    cut = msgspec.structs.replace(TLS, address="203.0.113.9", failure="connection_reset", chain=())
    elsewhere = msgspec.structs.replace(TLS, address="203.0.113.9", hop=1)
    script = [recording(DNS, TCP, TLS, HTTP), recording(lie, cut), recording(DNS, TCP, TLS, elsewhere)]
    clock = HandClock()
    vantage, control = ScriptedVantage("here", clock, script), ScriptedVantage("control", clock, role=Role.CONTROL)
    bench = Bench(clock, vantage, control, AsnTable(tmp_path / "geo.mmdb"))

    async def rounds() -> list[tuple[Place, ...]]:
        return [(await bench.round()).served_from for _ in script]

    assert asyncio.run(rounds()) == [(Place("US", 13335),), (), (Place("US", 13335),)]


def test_an_outage_that_begins_just_after_the_control_was_asked_is_no_block() -> None:
    clock = HandClock()
    here = ScriptedVantage("here", clock, [recording(), failing()])
    control = ScriptedVantage("control", clock, [recording(), failing()], role=Role.CONTROL)
    bench = Bench(clock, here, control)

    async def before_and_after() -> Outcome:
        await bench.round()
        clock.seconds += 20.0
        return await bench.round()

    verdict = asyncio.run(before_and_after()).verdict
    assert verdict is not None
    assert verdict.status is Status.DOWN


def test_a_control_that_can_no_longer_be_asked_does_not_decide_by_what_it_saw_before() -> None:
    clock = HandClock()
    here = ScriptedVantage("here", clock, [recording(), failing()])
    control = ScriptedVantage("control", clock, [recording(), VantageError("gone")], role=Role.CONTROL)
    bench = Bench(clock, here, control)

    async def before_and_after() -> Outcome:
        await bench.round()
        clock.seconds += 20.0
        return await bench.round()

    outcome = asyncio.run(before_and_after())
    assert outcome.verdict is not None
    assert (outcome.verdict.status, outcome.verdict.reason) == (Status.INCONCLUSIVE, Reason.NO_CONTROL)
    assert outcome.control_ids == ()


def test_the_networks_of_what_the_control_sees_anew_are_known_too(tmp_path: Path) -> None:
    write_mmdb(
        tmp_path / "geo.mmdb",
        {
            "162.159.140.0/24": {"autonomous_system_number": 13335, "country": {"iso_code": "US"}},
            "198.51.100.0/24": {"autonomous_system_number": 13335, "country": {"iso_code": "US"}},
        },
    )
    node = "198.51.100.7"  # of the same operator; who knows only the node of before takes ours for a stranger's
    answer = msgspec.structs.replace(DNS, answers=(DnsAnswer(type="A", value=node),))
    moved = recording(answer, *(msgspec.structs.replace(one, address=node) for one in (TCP, TLS, HTTP)))
    clock = HandClock()
    here = ScriptedVantage("here", clock, [recording(), failing()])
    control = ScriptedVantage("control", clock, [recording(), moved], role=Role.CONTROL)
    bench = Bench(clock, here, control, AsnTable(tmp_path / "geo.mmdb"))

    async def before_and_after() -> Outcome:
        await bench.round()
        clock.seconds += 20.0
        return await bench.round()

    outcome = asyncio.run(before_and_after())
    known = msgspec.json.decode(outcome.circumstances or "", type=Context).asn_of
    assert known == {"162.159.140.229": 13335, node: 13335}


def test_a_clock_that_is_set_back_during_a_round_leaves_its_looks_in_their_order() -> None:
    first = recording()
    early = msgspec.structs.replace(first.measurement, started_at=first.measurement.started_at - timedelta(hours=1))
    whole = joined(first, msgspec.structs.replace(first, measurement=early)).measurement
    assert whole.elapsed_seconds == 2 * first.measurement.elapsed_seconds
    again = whole.observations[len(first.measurement.observations) :]
    assert min(one.started_seconds for one in again) >= first.measurement.elapsed_seconds


@pytest.mark.parametrize(
    ("kept", "is_aside"), [(None, False), ({("x-home", "here")}, False), (set(), True)], ids=["stop", "kept", "changed"]
)
def test_a_round_under_way_when_its_target_changes_is_set_aside(
    kept: Collection[tuple[str, str]] | None, *, is_aside: bool
) -> None:
    clock = HandClock()
    bench = Bench(clock, ScriptedVantage("here", clock), ScriptedVantage("control", clock, role=Role.CONTROL))

    async def reload_in_the_middle() -> Outcome:
        under_way = asyncio.create_task(bench.round())
        await asyncio.sleep(0)
        await bench.close(kept)
        return await under_way

    outcome = asyncio.run(reload_in_the_middle())
    assert (outcome.is_aside, outcome.detector is None) == (is_aside, is_aside)
