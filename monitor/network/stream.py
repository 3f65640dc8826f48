"""Byte streams that are already open, plain or inside TLS."""

import asyncio
import socket
import ssl
from typing import Final

from monitor.model.seams import Stream

_CHUNK_BYTES: Final = 65_536


class SocketStream:
    """A connected non-blocking stream socket, which it owns."""

    is_http2: Final = False
    __slots__ = ("_loop", "_socket", "bytes_received", "bytes_sent")

    def __init__(self, connected: socket.socket) -> None:
        self._loop = asyncio.get_running_loop()
        self._socket = connected
        self.bytes_sent = 0
        self.bytes_received = 0

    @property
    def local_address(self) -> str | None:
        """The address of ours that the stream leaves from."""
        return str(self._socket.getsockname()[0])

    async def receive(self) -> bytes:
        """Return the next bytes, b"" at the end; raises OSError."""
        content = await self._loop.sock_recv(self._socket, _CHUNK_BYTES)
        self.bytes_received += len(content)
        return content

    async def send(self, content: bytes) -> None:
        """Send all of `content`; raises OSError."""
        await self._loop.sock_sendall(self._socket, content)
        self.bytes_sent += len(content)

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()


class TlsStream:
    """TLS driven through memory over another stream, so that FIN and RST are told apart and nothing is guessed."""

    __slots__ = ("_incoming", "_outgoing", "_stream", "tls")

    def __init__(self, stream: Stream, context: ssl.SSLContext, server_name: str | None) -> None:
        self._stream = stream
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self.tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=server_name)

    @property
    def bytes_sent(self) -> int:
        """Bytes on the wire."""
        return self._stream.bytes_sent

    @property
    def bytes_received(self) -> int:
        """Bytes on the wire."""
        return self._stream.bytes_received

    @property
    def is_http2(self) -> bool:
        """Whether the handshake settled on HTTP/2."""
        return self.tls.selected_alpn_protocol() == "h2"

    @property
    def local_address(self) -> str | None:
        """The address of ours that the stream leaves from."""
        return self._stream.local_address

    async def handshake(self, *, finish: bool = True) -> None:
        """Shake hands; raises ssl.SSLError, EOFError on FIN, OSError.

        Without `finish` the last message waits for what is sent next and travels with it, as a browser's does.
        """
        while True:
            try:
                self.tls.do_handshake()
            except ssl.SSLWantReadError:
                await self._flush()
                if not await self._fill():
                    raise EOFError from None
            else:
                return await self._flush() if finish else None

    async def receive(self) -> bytes:
        """Return the next bytes, b"" at the end, whether announced or not; raises ssl.SSLError, OSError."""
        while True:
            try:
                return self.tls.read(_CHUNK_BYTES)
            except ssl.SSLWantReadError:
                await self._flush()
                if not await self._fill():
                    return b""
            except ssl.SSLZeroReturnError:
                return b""

    async def send(self, content: bytes) -> None:
        """Send all of `content`; raises ssl.SSLError, OSError."""
        self.tls.write(content)
        await self._flush()

    def close(self) -> None:
        """Close the socket."""
        self._stream.close()

    async def _flush(self) -> None:
        if self._outgoing.pending:
            await self._stream.send(self._outgoing.read())

    async def _fill(self) -> bool:
        content = await self._stream.receive()
        self._incoming.write(content)
        return bool(content)
