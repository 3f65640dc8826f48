"""httpx over a stream that is already open and measured: one request, one response, HTTP/1.1 or HTTP/2.

httpx gives the semantics (requests, headers), h11 and h2 the framing; httpx itself never opens a connection.
"""

from collections import deque
from collections.abc import AsyncIterator
from functools import lru_cache
from typing import Final

import h2.config
import h2.connection
import h2.errors
import h2.events
import h11
import httpx

from monitor.model.failure import Failure
from monitor.model.observation import FailureDetail
from monitor.model.seams import Clock, Stream
from monitor.network.failures import ClassifiedError

_HEADER_BYTES: Final = 32_768
# What we send is our own and in order; what comes is checked.
_H2_CONFIG: Final = h2.config.H2Configuration(
    client_side=True, header_encoding=None, validate_outbound_headers=False, normalize_outbound_headers=False
)
# RFC 9113 section 8.2.2; `host` travels as :authority.
_NOT_IN_HTTP2: Final = frozenset({b"host", b"connection", b"transfer-encoding", b"content-length"})


class MeasuredTransport(httpx.AsyncBaseTransport):
    """Sends one request over `stream` and notes when bytes came. `byte_limit` bounds what is read from the wire."""

    def __init__(self, clock: Clock, stream: Stream, *, byte_limit: int) -> None:
        self._clock = clock
        self._stream = stream
        self._bytes_end = stream.bytes_received + byte_limit
        self.first_byte_at: float | None = None  # monotonic
        self.last_byte_at: float | None = None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Return the response, its body still to be read from `response.stream`; raises NETWORK_ERRORS."""
        framing = _Http2(self) if self._stream.is_http2 else _Http1(self)
        await self._stream.send(framing.request(request))
        return await framing.response()

    async def receive(self) -> bytes:
        """Return the next bytes, b"" at the end; raises OSError, or ClassifiedError past the limit."""
        content = await self._stream.receive()
        if content:
            self.last_byte_at = self._clock.monotonic()
            if self.first_byte_at is None:
                self.first_byte_at = self.last_byte_at
        if self._stream.bytes_received > self._bytes_end:
            raise _refused("too_many_bytes")
        return content

    async def send(self, content: bytes) -> None:
        """Send what the framing asks for between the peer's bytes."""
        await self._stream.send(content)


class _Http1(httpx.AsyncByteStream):
    """RFC 9112; iterating yields the body."""

    def __init__(self, transport: MeasuredTransport) -> None:
        self._transport = transport
        self._connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=_HEADER_BYTES)

    def request(self, request: httpx.Request) -> bytes:
        connection, content = self._connection, request.read()
        sent = connection.send(_http1_head(request.method, request.url.raw_path, tuple(request.headers.raw)))
        body = connection.send(h11.Data(data=content)) if content else None
        return (sent or b"") + (body or b"") + (connection.send(h11.EndOfMessage()) or b"")

    async def response(self) -> httpx.Response:
        while not isinstance(event := await self._event(), h11.Response):
            pass  # 1xx
        return httpx.Response(
            event.status_code,
            headers=event.headers.raw_items(),
            stream=self,
            extensions={"http_version": event.http_version.decode(), "reason_phrase": event.reason},
        )

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if isinstance(event := await self._event(), h11.Data):
            return bytes(event.data)
        raise StopAsyncIteration

    async def _event(self) -> object:
        is_at_end = False
        while True:
            try:
                event = self._connection.next_event()
            except h11.RemoteProtocolError as error:
                if is_at_end:
                    raise EOFError from error
                raise
            if event is not h11.NEED_DATA:
                return event
            content = await self._transport.receive()
            is_at_end = not content
            self._connection.receive_data(content)


@lru_cache(maxsize=4096)
def _http1_head(method: str, target: bytes, headers: tuple[tuple[bytes, bytes], ...]) -> h11.Request:
    """Return the head of a request; a target is asked the same every time, and h11 looks closely."""
    return h11.Request(method=method, target=target, headers=list(headers))


class _Http2(httpx.AsyncByteStream):
    """RFC 9113, one stream; iterating yields the body."""

    def __init__(self, transport: MeasuredTransport) -> None:
        self._transport = transport
        self._connection = h2.connection.H2Connection(_H2_CONFIG)
        self._events: deque[h2.events.Event] = deque()

    def request(self, request: httpx.Request) -> bytes:
        headers = [
            (b":method", request.method.encode()),
            (b":scheme", request.url.raw_scheme),
            (b":authority", request.headers["host"].encode()),
            (b":path", request.url.raw_path),
            *((name.lower(), value) for name, value in request.headers.raw if name.lower() not in _NOT_IN_HTTP2),
        ]
        content = request.read()
        self._connection.initiate_connection()
        self._connection.send_headers(1, headers, end_stream=not content)
        if content:
            self._connection.send_data(1, content, end_stream=True)
        return self._connection.data_to_send()

    async def response(self) -> httpx.Response:
        while not isinstance(event := await self._event(), h2.events.ResponseReceived):
            if event is None:
                raise EOFError
        # Settings and pings come first and are not yet the response.
        self._transport.first_byte_at = self._transport.last_byte_at
        pairs = [(bytes(name), bytes(value)) for name, value in event.headers or ()]
        return httpx.Response(
            _status(dict(pairs).get(b":status", b"")),
            headers=[(name, value) for name, value in pairs if not name.startswith(b":")],
            stream=self,
            extensions={"http_version": "2", "reason_phrase": b""},
        )

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        while not isinstance(event := await self._event(), h2.events.DataReceived):
            if event is None:
                raise StopAsyncIteration
        self._connection.acknowledge_received_data(event.flow_controlled_length or 0, 1)
        return event.data or b""

    async def _event(self) -> h2.events.Event | None:
        """Return the next event, None when the stream has ended; a reset of it or of the connection raises."""
        while not self._events:
            if answer := self._connection.data_to_send():
                await self._transport.send(answer)
            content = await self._transport.receive()
            if not content:
                raise EOFError
            self._events.extend(self._connection.receive_data(content))
        match event := self._events.popleft():
            case h2.events.StreamEnded():
                return None
            case h2.events.ConnectionTerminated(error_code=h2.errors.ErrorCodes.NO_ERROR):
                return event  # a peer that goes away without error still finishes our stream (RFC 9113 section 6.8)
            case h2.events.StreamReset(error_code=code) | h2.events.ConnectionTerminated(error_code=code):
                raise _refused(_code_name(code))
            case _:
                return event


def _status(received: bytes) -> int:
    if len(received) != 3 or not received.isdigit():
        raise _refused("malformed_http")
    return int(received)


def _code_name(code: h2.errors.ErrorCodes | int | None) -> str:
    return f"h2_{code.name.lower()}" if isinstance(code, h2.errors.ErrorCodes) else "h2_unknown"


def _refused(reason: str) -> ClassifiedError:
    return ClassifiedError(Failure.HTTP_REQUEST_FAILED, FailureDetail(reason=reason))
