"""The throughput step: one transfer over a connection of its own, and how its bytes came.

Samples are taken at random moments, an exponential distribution with a mean of 250 ms cut off at 25 and 650 ms, so that
they fall into step with no shaper's clock. Bytes are those on the wire. The body is not kept: it says nothing.
"""

import asyncio
import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import SystemRandom
from typing import Final

from monitor.model.failure import Failure
from monitor.model.observation import FailureDetail, Purpose, ThroughputObservation
from monitor.model.seams import Network, Stream
from monitor.network.connect import connect
from monitor.network.exchange import request_for
from monitor.network.failures import NETWORK_ERRORS, failure_of
from monitor.network.handshake import handshake
from monitor.network.recorder import Recorder
from monitor.network.toolbox import Toolbox
from monitor.network.web_url import WebUrl
from monitor.network.wire import MeasuredTransport

SAMPLE_MEAN_SECONDS, SAMPLE_MIN_SECONDS, SAMPLE_MAX_SECONDS = 0.25, 0.025, 0.65
# A rate is known well enough after so many seconds and bytes; going on would only move data.
ENOUGH_SECONDS: Final = 5.0
ENOUGH_BYTES: Final = 65_536
_SAMPLES_KEPT: Final = 64
_STRETCH_MICROSECONDS: Final = 500_000
_STRETCHES: Final = 4
_OVERHEAD_BYTES: Final = 65_536
_CHANCE: Final = SystemRandom()


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer:
    """What to fetch from where. `host` replaces the Host header, `verify_name` the name the certificate must cover."""

    url: WebUrl
    address: str
    port: int
    server_name: str | None = None
    verify_name: str | None = None
    user_agent: str = ""
    host: str | None = None
    max_bytes: int = 524_288
    connect_seconds: float = 10.0  # for the connection, and again for the handshake
    transfer_seconds: float = 10.0
    total_seconds: float = 30.0
    purpose: Purpose = Purpose.TRANSFER
    hop: int = 0


@dataclass(slots=True)
class _Course:
    """How far a transfer came."""

    connect_seconds: float | None = None
    handshake_seconds: float | None = None
    first_byte_seconds: float | None = None
    transfer_seconds: float = 0.0
    status_code: int | None = None
    bytes_received: int = 0
    is_cut: bool = False
    samples: list[tuple[int, int]] = field(default_factory=list)
    failure: str | None = None
    detail: FailureDetail | None = None


async def throughput(
    toolbox: Toolbox, network: Network, recorder: Recorder, asked: Transfer, draw: Callable[[], float] = _CHANCE.random
) -> ThroughputObservation:
    """Fetch `asked` until its end, its limit, its deadline, or until the rate is known; the connection is closed.

    `draw` gives numbers between 0 and 1 for the moments of the samples.
    """
    started = recorder.elapsed()
    course = _Course()
    stream: Stream | None = None
    try:
        async with asyncio.timeout(asked.total_seconds):
            stream, secure = await _opened(toolbox, network, recorder, asked, course)
            if secure is not None:
                await _transfer(toolbox, secure, asked, course, draw)
    except TimeoutError:
        course.is_cut = course.bytes_received > 0
        if not course.is_cut:
            course.failure, course.detail = Failure.GENERIC_TIMEOUT_ERROR, FailureDetail(reason="total_seconds")
    finally:
        if stream is not None:
            stream.close()
    return ThroughputObservation(
        purpose=asked.purpose,
        hop=asked.hop,
        started_seconds=started,
        elapsed_seconds=round(recorder.elapsed() - started, 6),
        failure=course.failure,
        detail=course.detail,
        url=asked.url.text,
        address=asked.address,
        port=asked.port,
        is_tls=asked.url.is_tls,
        server_name=asked.server_name if asked.url.is_tls else None,
        status_code=course.status_code,
        connect_seconds=course.connect_seconds,
        handshake_seconds=course.handshake_seconds,
        first_byte_seconds=course.first_byte_seconds,
        transfer_seconds=course.transfer_seconds,
        bytes_received=course.bytes_received,
        is_cut=course.is_cut,
        samples=tuple(course.samples),
        variation=variation(course.samples),
    )


async def _opened(
    toolbox: Toolbox, network: Network, recorder: Recorder, asked: Transfer, course: _Course
) -> tuple[Stream | None, Stream | None]:
    """Return the socket to be closed and, unless something failed, the stream to ask over."""
    connected, plain = await connect(network, recorder, asked.address, asked.port, seconds=asked.connect_seconds)
    course.failure, course.detail = connected.failure, connected.detail
    if plain is None:
        return None, None
    course.connect_seconds = connected.elapsed_seconds
    if not asked.url.is_tls:
        return plain, plain
    shaken, secure = await handshake(
        toolbox.clock, toolbox.trust, recorder, plain, server_name=asked.server_name, address=asked.address,
        port=asked.port, seconds=asked.connect_seconds, verify_name=asked.verify_name,
    )  # fmt: skip
    course.failure, course.detail = shaken.failure, shaken.detail
    if not shaken.verified:
        return plain, None
    course.handshake_seconds = shaken.elapsed_seconds
    return plain, secure


async def _transfer(
    toolbox: Toolbox, stream: Stream, asked: Transfer, course: _Course, draw: Callable[[], float]
) -> None:
    clock = toolbox.clock
    transport = MeasuredTransport(clock, stream, byte_limit=asked.max_bytes + _OVERHEAD_BYTES)
    began, before = clock.monotonic(), stream.bytes_received
    sampling = asyncio.ensure_future(_sample(lambda: clock.monotonic() - began, stream, course, draw))
    deadline = asyncio.timeout(asked.transfer_seconds)
    try:
        async with deadline:
            request = request_for(asked.url, asked.host or asked.url.authority, asked.user_agent, None)
            response = await transport.handle_async_request(request)
            course.status_code = response.status_code
            async for _ in response.stream:  # type: ignore[union-attr]  # an async transport gives an async stream
                received = stream.bytes_received - before
                is_known = received >= ENOUGH_BYTES and clock.monotonic() - began >= ENOUGH_SECONDS
                if received >= asked.max_bytes or is_known:
                    course.is_cut = True
                    break
    except NETWORK_ERRORS as error:
        # Slow is not broken: what our own deadline cut while bytes came is a rate, and no failure.
        course.is_cut = deadline.expired() and stream.bytes_received > before
        if not course.is_cut:
            course.failure, course.detail = failure_of(error)
    finally:
        sampling.cancel()
        course.bytes_received = stream.bytes_received - before
        if transport.first_byte_at is not None:
            course.first_byte_seconds = round(transport.first_byte_at - began, 6)
        # A policer's last drops are waited for as well: what counts is when the transfer ended, not its last byte.
        end = clock.monotonic() if course.is_cut else (transport.last_byte_at or clock.monotonic())
        course.transfer_seconds = round(end - began, 6)
        course.samples.append((round(course.transfer_seconds * 1e6), course.bytes_received))


async def _sample(elapsed: Callable[[], float], stream: Stream, course: _Course, draw: Callable[[], float]) -> None:
    before = stream.bytes_received
    while len(course.samples) < _SAMPLES_KEPT - 1:
        await asyncio.sleep(sampling_seconds(draw()))
        course.samples.append((round(elapsed() * 1e6), stream.bytes_received - before))


def sampling_seconds(drawn: float) -> float:
    """Return how long to wait for the next sample: `drawn`, between 0 and 1, as a point of the distribution."""
    wait = -SAMPLE_MEAN_SECONDS * math.log1p(-min(drawn, 0.999_999))
    return min(max(wait, SAMPLE_MIN_SECONDS), SAMPLE_MAX_SECONDS)


def variation(samples: Sequence[tuple[int, int]]) -> float | None:
    """Return the coefficient of variation of the rate over stretches of half a second and more; None if too few.

    Shorter stretches would show how packets come in bunches. Before the first byte nothing can be said of a rate, so
    silence at the start does not count.
    """
    rates: list[float] = []
    last: tuple[int, int] | None = None
    for at, received in samples:
        if last is None:
            last = (at, received) if received > 0 else None
        elif at - last[0] >= _STRETCH_MICROSECONDS:
            rates.append((received - last[1]) / (at - last[0]))
            last = at, received
    if len(rates) < _STRETCHES or not (mean := statistics.fmean(rates)):
        return None
    return round(statistics.pstdev(rates) / mean, 4)
