"""Serving one request over HTTP/1.1 (RFC 9112) or HTTP/2 (RFC 9113), well or as badly as the page wants."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import ConnectionTerminated, DataReceived, Event, RequestReceived, StreamEnded, StreamReset
from h2.exceptions import ProtocolError

from monitor.lab.pages import Answerer, Asked, Ending, Page, reason_of
from monitor.lab.wire import Wire

_REQUEST_BYTES: Final = 65_536
_SERVED_DATE: Final = "Sun, 22 Nov 2026 12:00:00 GMT"


class ClientLeftError(Exception):
    """The client went away, or broke the protocol, before it had everything."""


async def serve(wire: Wire, answerer: Answerer, alpn: str | None) -> None:
    """Answer one request and end the connection as its page says. Raises OSError if the client breaks off."""
    with contextlib.suppress(ClientLeftError):
        await (_serve_http2 if alpn == "h2" else _serve_http1)(wire, answerer)


async def end(wire: Wire, ending: Ending) -> None:
    """End a connection whose response was sent. Raises OSError if the client broke off."""
    match ending:
        case Ending.RESET:
            wire.reset()
        case Ending.SILENCE:
            await wire.ignore()
        case Ending.FIN:
            await wire.finish(politely=False)
        case Ending.COMPLETE:
            await wire.finish()


async def _serve_http1(wire: Wire, answerer: Answerer) -> None:
    asked = await _read_request(wire)
    page = answerer(asked)
    await asyncio.sleep(page.wait_seconds)
    if page.status is not None:
        await wire.send(_head(page, page.status))
        if page.stream is None:
            await wire.send(page.body)
        else:
            async for chunk in page.stream():
                await wire.send(b"%x\r\n%b\r\n" % (len(chunk), chunk))
            await wire.send(b"0\r\n\r\n")
    await end(wire, page.ending)


async def _read_request(wire: Wire) -> Asked:
    seen = await _read_until(wire, b"", b"\r\n\r\n")
    head, _, body = seen.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    method, path, *_ = [*first.split(" "), "", ""]
    fields = {key.strip().lower(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    announced = min(int(fields.get("content-length", "0")), _REQUEST_BYTES)
    while len(body) < announced:
        body += await _more(wire)
    host = fields.get("host", "").rsplit(":", 1)[0].lower()
    return Asked(method, path, host, wire.source, wire.destination, fields, wire.is_tls, body)


async def _read_until(wire: Wire, seen: bytes, mark: bytes) -> bytes:
    while mark not in seen:
        if len(seen) > _REQUEST_BYTES:
            raise ClientLeftError
        seen += await _more(wire)
    return seen


async def _more(wire: Wire) -> bytes:
    if not (more := await wire.receive()):
        raise ClientLeftError
    return more


def _head(page: Page, status: int) -> bytes:
    fields = [("Date", _SERVED_DATE), ("Connection", "close"), *page.headers]
    if page.stream is not None:
        fields.append(("Transfer-Encoding", "chunked"))
    else:
        fields.append(("Content-Length", str(_announced(page))))
    lines = [f"HTTP/1.1 {status} {reason_of(status)}", *(f"{name}: {value}" for name, value in fields)]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def _announced(page: Page) -> int:
    return len(page.body) if page.content_length is None else page.content_length


async def _serve_http2(wire: Wire, answerer: Answerer) -> None:
    connection = H2Connection(H2Configuration(client_side=False, header_encoding="utf-8"))
    connection.initiate_connection()
    # A client that breaks the protocol is a client that left.
    try:
        await _Http2(wire, connection).answer(answerer)
    except ProtocolError as error:
        raise ClientLeftError from error


@dataclass
class _Http2:
    """One HTTP/2 connection that serves its first request only."""

    wire: Wire
    connection: H2Connection

    async def answer(self, answerer: Answerer) -> None:
        stream, asked = await self._read_request()
        page = answerer(asked)
        await asyncio.sleep(page.wait_seconds)
        if page.status is not None:
            fields = [(":status", str(page.status)), ("date", _SERVED_DATE)]
            fields += [(name.lower(), value) for name, value in page.headers]
            if page.stream is None:
                fields.append(("content-length", str(_announced(page))))
            self.connection.send_headers(stream, fields)
            await self._send_body(stream, page)
        if page.ending is Ending.COMPLETE:
            self.connection.close_connection(ErrorCodes.NO_ERROR)
            await self._flush()
        await end(self.wire, page.ending)

    async def _read_request(self) -> tuple[int, Asked]:
        fields: dict[str, str] = {}
        body = b""
        while True:
            for event in await self._events():
                match event:
                    case RequestReceived():
                        fields = {str(name): str(value) for name, value in event.headers}
                    case DataReceived():
                        body = (body + event.data)[:_REQUEST_BYTES]
                    case StreamEnded():
                        host = fields.get(":authority", "").rsplit(":", 1)[0].lower()
                        ends = self.wire.source, self.wire.destination
                        asked = Asked(fields[":method"], fields[":path"], host, *ends, fields, is_tls=True, body=body)
                        return event.stream_id, asked
                    case _:
                        pass

    async def _send_body(self, stream: int, page: Page) -> None:
        async for piece in _pieces(page):
            unsent = memoryview(piece)
            while unsent:
                size = min(self.connection.local_flow_control_window(stream), self.connection.max_outbound_frame_size)
                if size <= 0:
                    await self._events()  # waits for WINDOW_UPDATE
                    continue
                self.connection.send_data(stream, bytes(unsent[:size]))
                unsent = unsent[size:]
                await self._flush()
        if page.ending is Ending.COMPLETE and _announced(page) == len(page.body):
            self.connection.end_stream(stream)
        await self._flush()

    async def _events(self) -> list[Event]:
        await self._flush()
        events = self.connection.receive_data(await _more(self.wire))
        if any(isinstance(event, StreamReset | ConnectionTerminated) for event in events):
            raise ClientLeftError
        return events

    async def _flush(self) -> None:
        if data := self.connection.data_to_send():
            await self.wire.send(data)


async def _pieces(page: Page) -> AsyncIterator[bytes]:
    if page.stream is None:
        yield page.body
        return
    async for chunk in page.stream():
        yield chunk
