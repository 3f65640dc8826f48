"""Real servers on loopback, in the loop of the test, that misbehave as told."""

import asyncio
import contextlib
import socket
import ssl
import struct
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final, cast

import dns.message
import trustme

from monitor.model.identifier import MeasurementIds
from monitor.model.measurement import RunContext
from monitor.network.certificates import TrustStore
from monitor.network.nameservers import Endpoint
from monitor.network.toolbox import Toolbox

LOOPBACK: Final = ("127.0.0.0/8", "::1/128")
AUTHORITY: Final = trustme.CA(key_type=trustme.KeyType.ECDSA)
STRANGER: Final = trustme.CA(key_type=trustme.KeyType.ECDSA)

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class SettableClock:
    """A date that stands still, and sleep when told; durations are real."""

    instant: datetime = datetime(2026, 11, 22, 12, tzinfo=UTC)
    asleep_seconds: float = 0.0

    def now(self) -> datetime:
        return self.instant

    def monotonic(self) -> float:
        return time.monotonic()

    def boottime(self) -> float:
        return self.monotonic() + self.asleep_seconds


@dataclass
class Received:
    """What a server got to see."""

    requests: list[bytes] = field(default_factory=list)


def toolbox(
    clock: SettableClock | None = None,
    nameservers: Sequence[Endpoint] = (),
    own_addresses: frozenset[str] = frozenset(),
) -> Toolbox:
    return Toolbox(
        clock=clock or SettableClock(),
        trust=TrustStore(AUTHORITY.cert_pem.bytes()),
        ids=MeasurementIds(),
        context=RunContext(software="test", config_digest="", ca_digest="", hello_profile=""),
        vantage="here",
        own_addresses=own_addresses,
        nameservers=lambda: tuple(nameservers),
    )


def server_context(
    *names: str,
    authority: trustme.CA = AUTHORITY,
    alpn: Sequence[str] = ("http/1.1",),
    not_before: datetime | None = None,
    not_after: datetime | None = None,
) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    issued = authority.issue_cert(*names, not_before=not_before, not_after=not_after, key_type=trustme.KeyType.ECDSA)
    issued.configure_cert(context)
    if alpn:
        context.set_alpn_protocols(list(alpn))
    return context


@contextlib.asynccontextmanager
async def tcp_server(
    handler: Handler, context: ssl.SSLContext | None = None, address: str = "127.0.0.1", port: int = 0
) -> AsyncIterator[int]:
    """Serve `handler` and yield the port; whatever it leaves open is closed."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append((asyncio.current_task(), writer))
        # asyncio logs a cancelled handler as an error, so it ends quietly here.
        with contextlib.suppress(OSError, EOFError, asyncio.CancelledError):
            await handler(reader, writer)
        writer.close()

    connections: list[tuple[asyncio.Task[None] | None, asyncio.StreamWriter]] = []
    server = await asyncio.start_server(serve, address, port, ssl=context)
    async with server:
        try:
            yield server.sockets[0].getsockname()[1]
        finally:
            for task, writer in connections:
                if task is not None:
                    task.cancel()
                writer.transport.abort()
            await asyncio.gather(*(task for task, _ in connections if task is not None), return_exceptions=True)
            await asyncio.gather(*(writer.wait_closed() for _, writer in connections), return_exceptions=True)


async def reset(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Cut the connection with RST."""
    raw = writer.get_extra_info("socket")
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def silence(_: asyncio.StreamReader, __: asyncio.StreamWriter) -> None:
    """Accept and say nothing."""
    await asyncio.Event().wait()


def after_hello(then: Handler) -> Handler:
    """Read what the client says first, then go on."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(65_536)
        await then(reader, writer)

    return handler


async def close(_: asyncio.StreamReader, __: asyncio.StreamWriter) -> None:
    """Close with FIN."""


def say(*pieces: bytes, received: Received | None = None) -> Handler:
    """Answer each request, read up to its empty line, with the same bytes, and close."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.readuntil(b"\r\n\r\n")
        if received is not None:
            received.requests.append(request)
        for piece in pieces:
            writer.write(piece)
            await writer.drain()

    return handler


def page(body: bytes = b"<title>Hello</title>welcome", status: str = "200 OK", headers: Sequence[str] = ()) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


Answerer = Callable[[dns.message.Message], Sequence[bytes]]


@contextlib.asynccontextmanager
async def udp_resolver(answer: Answerer, port: int = 0, address: str = "127.0.0.1") -> AsyncIterator[int]:
    """Serve DNS over UDP: `answer` gives the datagrams to send back for a query."""

    class Protocol(asyncio.DatagramProtocol):
        transport: asyncio.DatagramTransport

        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            self.transport = cast("asyncio.DatagramTransport", transport)

        def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
            for reply in answer(dns.message.from_wire(data)):
                self.transport.sendto(reply, addr)

    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(Protocol, (address, port))
    try:
        yield transport.get_extra_info("sockname")[1]
    finally:
        transport.close()


def closed_port() -> int:
    """Return a port on which nothing listens."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        return int(bound.getsockname()[1])
