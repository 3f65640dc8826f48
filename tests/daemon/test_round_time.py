"""A round ends within a minute whatever the network swallows, at the deadlines that the program ships with."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import dns.message
import dns.rrset
import pytest

from monitor.classify.follow_ups import FollowUpSettings
from monitor.config.schema import FollowUpConfig
from monitor.daemon.control_book import ControlBook
from monitor.daemon.memory import Memory
from monitor.daemon.pipeline import ROUND_SECONDS, Pipeline, Settings
from monitor.daemon.sanity_book import SanityBook
from monitor.model.identifier import MeasurementIds
from monitor.model.measurement import Limits, Measurement, Recording, Request, RunContext
from monitor.model.outcome import Outcome
from monitor.model.seams import Vantage
from monitor.model.target import Target
from monitor.model.vantage import Role, VantageCheck, VantageInfo, VantageState
from monitor.model.verdict import Status
from monitor.network.certificates import TrustStore
from monitor.network.local import LocalNetwork
from monitor.network.stream import SocketStream
from monitor.network.toolbox import Toolbox
from monitor.probes import web
from tests.fakes.jumping_loop import LoopClock, on_jumping_time
from tests.fakes.outcomes import recording
from tests.network.loopback import AUTHORITY, udp_resolver

TARGET: Final = Target(name="x-home", platform="x", url="https://x.test/")
ADDRESSES: Final = tuple(f"127.8.0.{number}" for number in range(1, 9))
SILENT: Final = "127.7.0.1"


@dataclass
class _Swallowing(LocalNetwork):
    """This host's network, but for connections to some addresses, which are never answered."""

    swallowed: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        super().__init__()

    async def connect_tcp(self, address: str, port: int) -> SocketStream:
        if address in self.swallowed:
            await asyncio.Event().wait()
        return await super().connect_tcp(address, port)


class _Here:
    """The shipped probe on a network that swallows; always in order."""

    def __init__(self, network: _Swallowing, clock: LoopClock) -> None:
        self.info = VantageInfo(name="here", kind="direct")
        self._network = network
        self._toolbox = Toolbox(
            clock=clock,
            trust=TrustStore(AUTHORITY.cert_pem.bytes()),
            ids=MeasurementIds(),
            context=RunContext(software="test", config_digest="", ca_digest="", hello_profile=""),
            vantage="here",
        )

    async def measure(self, request: Request) -> Recording:
        return await web.measure(request, self._network, self._toolbox)

    async def check(self) -> VantageCheck:
        return VantageCheck(vantage="here", started_at=self._toolbox.clock.now(), state=VantageState.ONLINE)

    async def close(self) -> None:
        pass


class _Hanging:
    """A control that never answers."""

    info = VantageInfo(name="control", kind="agent", role=Role.CONTROL)

    async def measure(self, request: Request) -> Recording:
        await asyncio.Event().wait()
        raise AssertionError(request)

    async def check(self) -> VantageCheck:
        at = datetime(2026, 11, 22, 12, tzinfo=UTC)
        return VantageCheck(vantage="control", started_at=at, state=VantageState.ONLINE)

    async def close(self) -> None:
        pass


_: tuple[type[Vantage], type[Vantage]] = _Here, _Hanging


def pipeline(clock: LoopClock, resolver: str, slots: asyncio.Semaphore, taken: list[Outcome]) -> Pipeline:
    shipped = FollowUpConfig()
    sanity = SanityBook(clock, 60.0, lambda _: None)
    return Pipeline(
        settings=Settings(
            request=Request(target=TARGET, allowed_bogons=("127.0.0.0/8",)),
            resolvers={"here": (resolver,)},
            follow_ups=FollowUpSettings(
                harmless_name=shipped.harmless_name,
                resolvers=(resolver, resolver.replace("udp:", "tcp:"), f"udp://{SILENT}"),
                retries=shipped.retries,
                retry_wait_seconds=shipped.retry_wait,
            ),
            unrelated_host="unrelated.test",
            quic_reference=("quic.test", 443),
            transfer_reference="http://file.test/",
            daily_transfer_bytes=10**7,
            deep_limits=Limits(dns_listen_seconds=0.5, addresses_per_family=4),
            isolation_seconds=3600.0,
            host_concurrency=1,
        ),
        clock=clock,
        sanity=sanity,
        controls=ControlBook(clock, [_Hanging()], sanity, lambda _: None),
        memory=Memory(),
        record=taken.append,
        deep_slots=slots,
        nothing_seen=lambda *_: recording().measurement,
    )


@contextlib.asynccontextmanager
async def resolver_with(*addresses: str) -> AsyncIterator[str]:
    def answer(query: dns.message.Message) -> Sequence[bytes]:
        reply = dns.message.make_response(query)
        question = query.question[0]
        if dns.rdatatype.to_text(question.rdtype) == "A" and addresses:
            reply.answer.append(dns.rrset.from_text(question.name, 60, "IN", "A", *addresses))
        return [reply.to_wire()]

    async with udp_resolver(answer) as port:
        yield f"udp://127.0.0.1:{port}"


@contextlib.asynccontextmanager
async def silent_udp() -> AsyncIterator[str]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as bound:
        bound.bind(("127.0.0.1", 0))
        yield f"udp://127.0.0.1:{bound.getsockname()[1]}"


@pytest.mark.parametrize("slot_wait_seconds", [0.0, 30.0, 600.0], ids=["no wait", "a wait", "no slot at all"])
@pytest.mark.parametrize("is_dns_swallowed", [False, True], ids=["connections swallowed", "lookups swallowed"])
def test_routine_and_deep_run_end_within_a_minute(*, is_dns_swallowed: bool, slot_wait_seconds: float) -> None:
    async def run() -> None:
        clock = LoopClock()
        slots = asyncio.Semaphore(1)
        taken: list[Outcome] = []
        here = _Here(_Swallowing(swallowed=frozenset({*ADDRESSES, SILENT, "127.0.0.1"})), clock)
        async with silent_udp() if is_dns_swallowed else resolver_with(*ADDRESSES) as resolver:
            await slots.acquire()
            asyncio.get_running_loop().call_later(slot_wait_seconds, slots.release)
            outcome = await pipeline(clock, resolver, slots, taken).round(TARGET, here, 300.0)
        assert clock.monotonic() <= ROUND_SECONDS
        assert taken == [outcome]
        assert outcome.verdict is not None
        assert outcome.verdict.status is Status.INCONCLUSIVE  # the control never answered
        assert outcome.recording.measurement.is_deep == (slot_wait_seconds < ROUND_SECONDS)
        assert_spans(outcome.recording.measurement)

    on_jumping_time(run)


def assert_spans(measurement: Measurement) -> None:
    assert all(one.started_seconds + one.elapsed_seconds <= ROUND_SECONDS + 0.1 for one in measurement.observations)
