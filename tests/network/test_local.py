import asyncio
import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvloop

from monitor.model.failure import Failure
from monitor.model.observation import TcpObservation
from monitor.network.connect import connect
from monitor.network.local import SMALL_SEGMENT_BYTES, LocalNetwork
from monitor.network.recorder import Recorder
from tests.network.loopback import SettableClock, closed_port, silence, tcp_server

LOOPS = pytest.mark.parametrize(
    "loop_factory", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"]
)


async def attempt(network: LocalNetwork, address: str, port: int, seconds: float = 5.0) -> TcpObservation:
    recorder = Recorder(SettableClock())
    observation, stream = await connect(network, recorder, address, port, seconds=seconds)
    if stream is not None:
        stream.close()
    assert (stream is None) == (observation.failure is not None)
    return observation


@LOOPS
def test_connection_to_one_address_is_timed(loop_factory: object) -> None:
    async def run() -> TcpObservation:
        async with tcp_server(silence) as port:
            return await attempt(LocalNetwork(), "127.0.0.1", port)

    with asyncio.Runner(loop_factory=loop_factory) as runner:  # type: ignore[arg-type]  # a row holds a function
        observation = runner.run(run())
    assert (observation.failure, observation.address) == (None, "127.0.0.1")
    assert observation.elapsed_seconds > 0


@LOOPS
def test_closed_port_is_refused(loop_factory: object) -> None:
    with asyncio.Runner(loop_factory=loop_factory) as runner:  # type: ignore[arg-type]  # a row holds a function
        observation = runner.run(attempt(LocalNetwork(), "127.0.0.1", closed_port()))
    assert observation.failure == Failure.CONNECTION_REFUSED


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@contextlib.contextmanager
def full_backlog() -> Iterator[int]:
    """Yield a port whose further connections are dropped, as by a black hole."""
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(socket.socket())
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                waiting.connect(server.getsockname())
        yield server.getsockname()[1]


@LOOPS
def test_dropped_connection_times_out_at_our_deadline_and_leaves_no_socket(loop_factory: object) -> None:
    with full_backlog() as port, asyncio.Runner(loop_factory=loop_factory) as runner:  # type: ignore[arg-type]  # a row holds a function
        runner.get_loop()
        before = open_files()
        observation = runner.run(attempt(LocalNetwork(), "127.0.0.1", port, seconds=0.1))
        assert open_files() == before
    assert observation.failure == Failure.GENERIC_TIMEOUT_ERROR


def test_source_address_is_used() -> None:
    peers: list[str] = []

    async def note(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peers.append(writer.get_extra_info("peername")[0])

    async def run() -> None:
        async with tcp_server(note) as port:
            stream = await LocalNetwork("127.9.9.9").connect_tcp("127.0.0.1", port)
            await stream.receive()
            stream.close()

    asyncio.run(run())
    assert peers == ["127.9.9.9"]


def test_peer_is_asked_for_small_segments() -> None:
    bounds: list[int] = []

    async def note(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = writer.get_extra_info("socket")
        bounds.append(peer.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG))

    async def run() -> None:
        async with tcp_server(note) as port:
            for network in (LocalNetwork(), LocalNetwork("127.9.9.9").in_small_segments()):
                stream = await network.connect_tcp("127.0.0.1", port)
                await stream.receive()
                stream.close()

    asyncio.run(run())
    usual, small = bounds
    assert usual > SMALL_SEGMENT_BYTES >= small


def test_family_without_source_address_has_no_route() -> None:
    observation = asyncio.run(attempt(LocalNetwork("127.0.0.1"), "::1", 443))
    assert observation.failure == Failure.NETWORK_UNREACHABLE


def test_interface_that_is_not_there_is_a_local_fault() -> None:
    observation = asyncio.run(attempt(LocalNetwork(interface="nowhere0"), "127.0.0.1", 443))
    assert observation.failure in {Failure.NETWORK_DOWN, Failure.PERMISSION_DENIED}
