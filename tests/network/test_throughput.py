import asyncio
import ssl
from collections.abc import Sequence

import pytest

from monitor.model.failure import Failure
from monitor.model.observation import FailureDetail, Purpose, ThroughputObservation
from monitor.network.local import LocalNetwork
from monitor.network.recorder import Recorder
from monitor.network.throughput import Transfer, sampling_seconds, throughput, variation
from monitor.network.web_url import web_url
from tests.network.loopback import (
    Handler,
    closed_port,
    page,
    reset,
    say,
    server_context,
    silence,
    tcp_server,
    toolbox,
)


async def fetch(
    handler: Handler,
    context: ssl.SSLContext | None = None,
    *,
    port: int | None = None,
    server_name: str | None = "x.test",
    verify_name: str | None = None,
    transfer_seconds: float = 5.0,
    total_seconds: float = 20.0,
    max_bytes: int = 524_288,
) -> ThroughputObservation:
    tools = toolbox()
    recorder = Recorder(tools.clock)
    async with tcp_server(handler, context) as served:
        asked = Transfer(
            url=web_url(f"{'https' if context else 'http'}://x.test:{served}/"),
            address="127.0.0.1",
            port=port or served,
            server_name=server_name,
            verify_name=verify_name,
            max_bytes=max_bytes,
            transfer_seconds=transfer_seconds,
            total_seconds=total_seconds,
        )
        return await throughput(tools, LocalNetwork(), recorder, asked)


def trickle(piece: bytes, every_seconds: float, announced: int = 1 << 20) -> Handler:
    """Answer, then give `piece` again and again."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % announced)
        while True:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(every_seconds)

    return handler


def test_a_whole_body_gives_times_and_bytes() -> None:
    body = b"x" * 20_000
    found = asyncio.run(fetch(say(page(body)), server_context("x.test")))
    assert (found.failure, found.status_code, found.is_cut) == (None, 200, False)
    assert found.purpose is Purpose.TRANSFER
    assert found.bytes_received > len(body)
    assert found.samples[-1] == (round(found.transfer_seconds * 1e6), found.bytes_received)
    assert found.connect_seconds is not None
    assert found.handshake_seconds is not None
    assert found.first_byte_seconds is not None
    assert found.first_byte_seconds <= found.transfer_seconds
    assert found.bytes_per_second > 0


def test_a_long_body_ends_at_the_limit() -> None:
    found = asyncio.run(fetch(say(page(b"x" * 400_000)), max_bytes=100_000))
    assert (found.failure, found.is_cut) == (None, True)
    assert 100_000 <= found.bytes_received < 300_000


def test_what_the_deadline_cuts_while_bytes_come_is_slow_and_no_timeout() -> None:
    found = asyncio.run(fetch(trickle(b"x" * 100, 0.02), transfer_seconds=1.0))
    assert (found.failure, found.is_cut, found.status_code) == (None, True, 200)
    assert found.bytes_received > 100
    assert len(found.samples) >= 2
    assert list(found.samples) == sorted(found.samples)


@pytest.mark.parametrize(
    ("handler", "failure"), [(silence, Failure.GENERIC_TIMEOUT_ERROR), (reset, Failure.CONNECTION_RESET)]
)
def test_a_transfer_without_a_byte_fails(handler: Handler, failure: Failure) -> None:
    found = asyncio.run(fetch(handler, transfer_seconds=0.3))
    assert (found.failure, found.bytes_received, found.is_cut) == (failure, 0, False)


def test_nobody_there() -> None:
    found = asyncio.run(fetch(silence, port=closed_port()))
    assert (found.failure, found.connect_seconds, found.samples) == (Failure.CONNECTION_REFUSED, None, ())


def test_the_whole_has_a_bound_of_its_own() -> None:
    found = asyncio.run(fetch(silence, transfer_seconds=5.0, total_seconds=0.2))
    assert (found.failure, found.detail) == (
        Failure.GENERIC_TIMEOUT_ERROR,
        FailureDetail(reason="total_seconds"),
    )


def test_no_request_is_sent_to_whom_the_certificate_does_not_name() -> None:
    found = asyncio.run(fetch(say(page()), server_context("y.test")))
    assert (found.failure, found.status_code) == (Failure.SSL_INVALID_HOSTNAME, None)


def test_a_harmless_name_may_be_sent_while_the_true_one_is_verified() -> None:
    found = asyncio.run(fetch(say(page()), server_context("x.test"), server_name="harmless.test", verify_name="x.test"))
    assert (found.failure, found.server_name, found.status_code) == (None, "harmless.test", 200)


@pytest.mark.parametrize(("drawn", "wait"), [(0.0, 0.025), (1.0, 0.65), (0.5, 0.173287)])
def test_moments_follow_the_cut_off_distribution(drawn: float, wait: float) -> None:
    assert sampling_seconds(drawn) == pytest.approx(wait, abs=1e-6)


@pytest.mark.parametrize(
    ("samples", "expected"),
    [
        ([(k * 500_000, k * 10) for k in range(7)], 0.0),
        ([(500_000, 10), (1_000_000, 40), (1_500_000, 40), (2_000_000, 70), (2_500_000, 70)], 1.0),
        # Packets in bunches at a steady rate are steady.
        ([(k * 50_000, 100 * (k // 2)) for k in range(2, 120)], 0.0),
        ([(500_000, 10), (1_000_000, 20)], None),
        ([(0, 0)] * 9, None),
        ([], None),
    ],
)
def test_a_steady_rate_does_not_vary(samples: Sequence[tuple[int, int]], expected: float | None) -> None:
    assert variation(samples) == expected
