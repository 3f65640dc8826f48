"""The tcp step: one connection attempt to one address."""

import asyncio

from monitor.model.observation import FailureDetail, Purpose, TcpObservation
from monitor.model.seams import Network, Stream
from monitor.network.failures import NETWORK_ERRORS, ClassifiedError, failure_of
from monitor.network.recorder import Recorder


async def connect(
    network: Network, recorder: Recorder, address: str, port: int, *, seconds: float,
    purpose: Purpose = Purpose.PATH, hop: int = 0,
) -> tuple[TcpObservation, Stream | None]:  # fmt: skip
    """Connect within `seconds`; return the observation and, unless it failed, the stream, which the caller closes.

    Raises VantageError if what the network itself needs, a proxy for instance, does not work.
    """
    ready = await network.ready()
    started = recorder.elapsed()
    failure: str | None = None
    detail: FailureDetail | None = None
    stream: Stream | None = None
    evidence: tuple[str, ...] = ()
    try:
        async with asyncio.timeout(seconds):
            stream = await ready.connect_tcp(address, port)
    except NETWORK_ERRORS as error:
        failure, detail = failure_of(error)
        if isinstance(error, ClassifiedError) and error.received:
            evidence = (recorder.keep("proxy_reply", error.received),)
    else:
        recorder.saw_local(stream.local_address)
    observation = TcpObservation(
        purpose=purpose,
        hop=hop,
        started_seconds=started,
        elapsed_seconds=round(recorder.elapsed() - started, 6),
        failure=failure,
        detail=detail,
        evidence=evidence,
        address=address,
        port=port,
    )
    return observation, stream
