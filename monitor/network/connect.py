"""The tcp step: one connection attempt to one address."""

import asyncio

from monitor.model.observation import FailureDetail, Purpose, TcpObservation
from monitor.model.seams import Network
from monitor.network.failures import NETWORK_ERRORS, failure_of
from monitor.network.recorder import Recorder
from monitor.network.stream import SocketStream


async def connect(
    network: Network, recorder: Recorder, address: str, port: int, *, seconds: float,
    purpose: Purpose = Purpose.PATH, hop: int = 0,
) -> tuple[TcpObservation, SocketStream | None]:  # fmt: skip
    """Connect within `seconds`; return the observation and, unless it failed, the stream, which the caller closes."""
    started = recorder.elapsed()
    failure: str | None = None
    detail: FailureDetail | None = None
    stream: SocketStream | None = None
    try:
        async with asyncio.timeout(seconds):
            connected = await network.connect_tcp(address, port)
    except NETWORK_ERRORS as error:
        failure, detail = failure_of(error)
    else:
        recorder.saw_socket(connected)
        stream = SocketStream(connected)
    observation = TcpObservation(
        purpose=purpose,
        hop=hop,
        started_seconds=started,
        elapsed_seconds=round(recorder.elapsed() - started, 6),
        failure=failure,
        detail=detail,
        address=address,
        port=port,
    )
    return observation, stream
