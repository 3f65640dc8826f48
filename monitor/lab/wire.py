"""One accepted connection: bytes in, bytes out, TLS on top if wanted, and every way of ending it."""

import asyncio
import contextlib
import socket
import ssl
import struct
from typing import Final

_CHUNK_BYTES: Final = 65_536
_FIRST_FLIGHT_BYTES: Final = 65_536
_DRAIN_SECONDS: Final = 2.0
_LINGER_ZERO: Final = struct.pack("ii", 1, 0)


class Wire:
    """A connected non-blocking socket, used by one coroutine at a time."""

    def __init__(self, accepted: socket.socket) -> None:
        self._socket = accepted
        self._loop = asyncio.get_running_loop()
        self._unread = b""
        self._tls: tuple[ssl.SSLObject, ssl.MemoryBIO, ssl.MemoryBIO] | None = None
        self.source: str = accepted.getpeername()[0]
        self.destination: str = accepted.getsockname()[0]
        accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    @property
    def is_tls(self) -> bool:
        """Whether a handshake was completed."""
        return self._tls is not None

    async def first_flight(self) -> bytes:
        """Return what the client says first, up to a whole TLS record or request head, and leave it unread.

        Returns less if the client stops speaking or says more than 64 KiB.
        """
        seen = self._unread
        while not _is_whole(seen) and len(seen) < _FIRST_FLIGHT_BYTES:
            if not (more := await self._loop.sock_recv(self._socket, _CHUNK_BYTES)):
                break
            seen += more
        self._unread = seen
        return seen

    async def start_tls(self, context: ssl.SSLContext) -> str | None:
        """Shake hands as the server; returns the protocol agreed by ALPN. Raises ssl.SSLError, EOFError, OSError."""
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        session = context.wrap_bio(incoming, outgoing, server_side=True)
        while True:
            try:
                session.do_handshake()
            except ssl.SSLWantReadError:
                await self._flush(outgoing)
                await self._fill(incoming)
            except ssl.SSLError:
                await self._flush(outgoing)  # the alert that says why
                raise
            else:
                break
        await self._flush(outgoing)
        self._tls = session, incoming, outgoing
        return session.selected_alpn_protocol()

    async def receive(self) -> bytes:
        """Return some bytes, b"" at the end of the stream."""
        if self._tls is None:
            if self._unread:
                seen, self._unread = self._unread, b""
                return seen
            return await self._loop.sock_recv(self._socket, _CHUNK_BYTES)
        session, incoming, _ = self._tls
        while True:
            try:
                return session.read(_CHUNK_BYTES)
            except ssl.SSLWantReadError:
                try:
                    await self._fill(incoming)
                except EOFError:
                    return b""
            except ssl.SSLZeroReturnError:
                return b""

    async def send(self, data: bytes) -> None:
        """Send all of it, encrypted after `start_tls`. Raises OSError."""
        if self._tls is None:
            await self._loop.sock_sendall(self._socket, data)
            return
        session, _, outgoing = self._tls
        if data:
            session.write(data)
        await self._flush(outgoing)

    async def finish(self, *, politely: bool = True) -> None:
        """Send FIN, after close_notify if `politely`, and read on until the client leaves.

        Closing over unread bytes would send RST, and a RST takes back what the client has not read yet.
        """
        if self._tls is not None and politely:
            session, _, outgoing = self._tls
            with contextlib.suppress(ssl.SSLError):
                session.unwrap()
            await self._flush(outgoing)
        self._socket.shutdown(socket.SHUT_WR)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_DRAIN_SECONDS):
                await self.ignore()

    async def ignore(self) -> None:
        """Read and forget until the client leaves."""
        while await self._loop.sock_recv(self._socket, _CHUNK_BYTES):
            pass

    def reset(self) -> None:
        """Send RST in place of FIN when the socket is closed, which happens now."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_ZERO)
        self._socket.close()

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    async def _fill(self, incoming: ssl.MemoryBIO) -> None:
        more, self._unread = self._unread, b""
        if not more and not (more := await self._loop.sock_recv(self._socket, _CHUNK_BYTES)):
            raise EOFError
        incoming.write(more)

    async def _flush(self, outgoing: ssl.MemoryBIO) -> None:
        if data := outgoing.read():
            await self._loop.sock_sendall(self._socket, data)


def speaks_tls(seen: bytes) -> bool:
    """Tell a TLS handshake record (RFC 8446 section 5.1) from anything else."""
    return seen[:1] == b"\x16"


def _is_whole(seen: bytes) -> bool:
    if speaks_tls(seen):
        return len(seen) >= 5 and len(seen) >= 5 + int.from_bytes(seen[3:5])
    return b"\r\n\r\n" in seen


def name_asked(seen: bytes) -> str | None:
    """Return the server name or Host that the first flight asks for in clear, lower case and without port."""
    with contextlib.suppress(IndexError, UnicodeDecodeError):
        return _server_name(seen) if speaks_tls(seen) else _host(seen)
    return None


def _server_name(hello: bytes) -> str | None:
    # RFC 8446 section 4.1.2: record header 5, handshake header 4, version 2, random 32, then three vectors.
    at = 43
    at += 1 + hello[at]  # session id
    at += 2 + int.from_bytes(hello[at : at + 2])  # cipher suites
    at += 1 + hello[at]  # compression methods
    end = at + 2 + int.from_bytes(hello[at : at + 2])
    at += 2
    while at + 4 <= min(end, len(hello)):
        kind, size = int.from_bytes(hello[at : at + 2]), int.from_bytes(hello[at + 2 : at + 4])
        if kind == 0:  # RFC 6066 section 3: list length 2, type 1, name length 2
            return hello[at + 9 : at + 4 + size].decode("ascii").lower()
        at += 4 + size
    return None


def _host(head: bytes) -> str | None:
    for line in head.split(b"\r\n")[1:]:
        key, _, value = line.partition(b":")
        if key.strip().lower() == b"host":
            return value.strip().decode("ascii").rsplit(":", 1)[0].lower()
    return None
