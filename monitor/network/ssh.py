"""Connections through an SSH server: one `direct-tcpip` channel each (RFC 4254 section 7.2)."""

import asyncio
import logging
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import asyncssh

from monitor.model.seams import Clock, Stream
from monitor.network.failures import NETWORK_ERRORS, SSH_FAILURES, ClassifiedError, failure_of, unknown_failure
from monitor.network.proxy import PROXY_SECONDS, ProxyError, no_datagrams

_CHUNK_BYTES: Final = 65_536
_CONNECT_FAILED: Final = 2  # RFC 4254 section 5.1
_KEEPALIVE_SECONDS: Final = 10
_FIRST_WAIT_SECONDS, _LONGEST_WAIT_SECONDS = 1.0, 60.0


@dataclass(frozen=True, kw_only=True)
class SshServer:
    """Where the server is, by which keys it is known, and who we are there."""

    host: str
    port: int
    user: str
    key_file: Path
    known_hosts_file: Path
    passphrase: str | None = None


class SshNetwork:
    """A network (`monitor.model.seams.Network`) behind an SSH server.

    One connection carries all channels. If it breaks it is made again when next needed, after a failure at the earliest
    1 s later, then 2 s, up to a minute.
    """

    def __init__(self, server: SshServer, *, clock: Clock, seconds: float = PROXY_SECONDS) -> None:
        self._server = server
        self._clock = clock
        self._seconds = seconds
        self._connection: asyncssh.SSHClientConnection | None = None
        self._connecting = asyncio.Lock()
        self._wait_seconds = 0.0
        self._not_before = 0.0
        # It writes addresses, names of users and what servers say.
        logging.getLogger("asyncssh").setLevel(logging.CRITICAL)

    async def ready(self) -> "SshNetwork":
        """See that the server is connected; raises ProxyError."""
        async with self._connecting:
            if self._connection is None or self._connection.is_closed():
                self._connection = await self._connected()
        return self

    async def connect_tcp(self, address: str, port: int) -> Stream:
        """Return a channel to an address; raises ClassifiedError for what befell it there, ProxyError."""
        await self.ready()
        if self._connection is None:
            raise ProxyError("the SSH connection was closed")
        try:
            reader, writer = await self._connection.open_connection(address, port, encoding=None)
        except asyncssh.ChannelOpenError as error:
            raise _refused(error) from error
        except (asyncssh.Error, OSError) as error:
            raise ProxyError("the SSH connection broke off") from error
        return ChannelStream(reader, writer)

    def in_small_segments(self) -> None:
        """Return None: whoever opens the connection for us sizes its packets."""

    async def connect_udp(self, address: str, port: int) -> socket.socket:
        """Raise OSError: no datagram passes."""
        return no_datagrams(address, port)

    async def test(self) -> None:
        """See that the server is connected; raises ProxyError."""
        await self.ready()

    async def close(self) -> None:
        """End the connection."""
        if self._connection is not None:
            self._connection.abort()
            self._connection = None

    async def _connected(self) -> asyncssh.SSHClientConnection:
        if self._clock.monotonic() < self._not_before:
            raise ProxyError("the SSH server could not be used a moment ago")
        try:
            async with asyncio.timeout(self._seconds):
                connection = await self._attempt()
        except (asyncssh.Error, ValueError, *NETWORK_ERRORS) as error:
            self._wait_seconds = min(_LONGEST_WAIT_SECONDS, max(_FIRST_WAIT_SECONDS, 2 * self._wait_seconds))
            self._not_before = self._clock.monotonic() + self._wait_seconds
            raise ProxyError(_why(error)) from error
        self._wait_seconds = 0.0
        return connection

    async def _attempt(self) -> asyncssh.SSHClientConnection:
        server = self._server
        return await asyncssh.connect(
            server.host,
            server.port,
            username=server.user,
            client_keys=[str(server.key_file)],
            passphrase=server.passphrase,
            known_hosts=str(server.known_hosts_file),
            preferred_auth="publickey",
            config=None,  # nothing of the account's own settings, keys and agents
            agent_path=None,
            keepalive_interval=_KEEPALIVE_SECONDS,
            keepalive_count_max=2,
        )


class ChannelStream:
    """One channel. SSH tells an end, never a reset."""

    is_http2: Final = False
    local_address: Final = None

    def __init__(self, reader: asyncssh.SSHReader[bytes], writer: asyncssh.SSHWriter[bytes]) -> None:
        self._reader = reader
        self._writer = writer
        self.bytes_sent = 0
        self.bytes_received = 0

    async def receive(self) -> bytes:
        """Return the next bytes, b"" at the end; raises ProxyError if the SSH connection breaks."""
        try:
            content = await self._reader.read(_CHUNK_BYTES)
        except (asyncssh.Error, OSError) as error:
            raise ProxyError("the SSH connection broke off") from error
        self.bytes_received += len(content)
        return content

    async def send(self, content: bytes) -> None:
        """Send all of `content`; raises EOFError on a channel that the far end closed."""
        try:
            self._writer.write(content)
            await self._writer.drain()
        except asyncssh.Error as error:
            raise ProxyError("the SSH connection broke off") from error
        except OSError as error:
            raise EOFError from error
        self.bytes_sent += len(content)

    def close(self) -> None:
        """Close the channel."""
        self._writer.channel.abort()


def _refused(error: asyncssh.ChannelOpenError) -> Exception:
    if error.code != _CONNECT_FAILED:
        return ProxyError(f"the SSH server does not open connections (code {error.code})")
    said = error.reason.strip().lower()
    known = next((failure for words, failure in SSH_FAILURES.items() if words in said), None)
    return ClassifiedError(known or unknown_failure(f"SSH channel: {error.reason}"))


def _why(error: Exception) -> str:
    if isinstance(error, asyncssh.HostKeyNotVerifiable):
        return "the SSH server's key is not the one in the file of known hosts"
    if isinstance(error, asyncssh.PermissionDenied):
        return "the SSH server refused user and key"
    if isinstance(error, ValueError):
        return "the SSH key or the file of known hosts cannot be read"
    if isinstance(error, TimeoutError):
        return "the SSH server did not answer in time"
    if isinstance(error, OSError):
        failure, _ = failure_of(error)
        return f"the SSH server cannot be reached: {failure}"
    return f"the SSH connection cannot be made: {type(error).__name__}"
