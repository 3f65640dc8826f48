"""Connections through a proxy: reached, logged in and asked over streams of our own, so that each phase is told apart.

What happens before the request is the proxy's affair: it raises `ProxyError`, which says nothing about any target.
Only the answer to the request may be a fact about the address asked for. There is no way around the proxy.
"""

import asyncio
import hmac
import socket
import ssl
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeVar

from monitor.model.address import is_address
from monitor.model.measurement import Limits
from monitor.model.seams import Clock, Network, Stream, VantageError
from monitor.network.certificates import TrustStore
from monitor.network.failures import NETWORK_ERRORS, ClassifiedError, failure_of
from monitor.network.handshake import client_context, presented_chain, sha256_of
from monitor.network.stream import TlsStream

PROXY_SECONDS: Final = 10.0  # at most, to reach it, TLS and login included; the request has the time of its step
# A group, to which no TCP connection can be (RFC 1122 section 4.2.3.10): hosts refuse without sending a packet.
_NOWHERE: Final = ("224.0.0.1", 9)
_CLAIM_SECONDS: Final = 2.0
_T = TypeVar("_T")


def seconds_to_reach(limits: Limits) -> float:
    """Return how long a proxy may take before it is asked for anything: as long as a connection and a handshake."""
    return min(PROXY_SECONDS, limits.tcp_seconds + limits.tls_seconds)


class ProxyError(VantageError):
    """The proxy or tunnel does not do its part; nothing is known about any target."""

    def __init__(self, message: str) -> None:
        super().__init__(message, reason="proxy_failed")


@dataclass(frozen=True, kw_only=True)
class ProxyServer:
    """Where the proxy is and who we are there. With `tls` it must prove itself before it is told anything."""

    host: str
    port: int
    username: str | None = None
    password: str | None = None
    tls: bool = False
    fingerprint: str | None = None  # SHA-256 of its certificate, hex; without it the trust store decides


class Conversation:
    """What is said with a proxy before the connection is handed on; `received` is bounded by what is asked for."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._ahead = b""

    async def say(self, content: bytes) -> None:
        """Send; raises ProxyError."""
        await self._bounded(self._stream.send(content))

    async def hear(self, count: int) -> bytes:
        """Return exactly `count` bytes; raises ProxyError."""
        while len(self._ahead) < count:
            self._ahead += await self.hear_some()
        heard, self._ahead = self._ahead[:count], self._ahead[count:]
        return heard

    async def hear_some(self) -> bytes:
        """Return what comes next, at least a byte; raises ProxyError."""
        content = await self._bounded(self._stream.receive())
        if not content:
            raise ProxyError("the proxy closed the connection in the middle of its answer")
        return content

    def handed_on(self, ahead: bytes = b"") -> "ProxiedStream":
        """Return the connection to the target; `ahead` came with the answer and is the target's already."""
        return ProxiedStream(self._stream, self._ahead + ahead)

    async def _bounded(self, action: Coroutine[Any, Any, _T]) -> _T:
        try:
            return await action
        except NETWORK_ERRORS as error:
            failure, _ = failure_of(error)
            raise ProxyError(f"the conversation with the proxy broke off: {failure}") from error


class Dialogue(Protocol):
    """A language that proxies speak."""

    async def log_in(self, conversation: Conversation, server: ProxyServer) -> None:
        """Do all that comes before a request; raises ProxyError."""
        ...

    async def ask(self, conversation: Conversation, server: ProxyServer, address: str, port: int) -> Stream:
        """Ask for a connection to an address, or to a name that the proxy looks up.

        Raises ClassifiedError for what befell it, ProxyError if the proxy will not try.
        """
        ...


class ProxiedStream:
    """The connection that a proxy made; counts are of what passes through, without what was said with the proxy."""

    is_http2: Final = False

    def __init__(self, stream: Stream, ahead: bytes) -> None:
        self._stream = stream
        self._ahead = ahead
        self.bytes_sent = 0
        self.bytes_received = 0

    @property
    def local_address(self) -> str | None:
        """The address of ours that leads to the proxy."""
        return self._stream.local_address

    async def receive(self) -> bytes:
        """Return the next bytes, b"" at the end; raises OSError, or ProxyError if TLS with the proxy breaks."""
        content, self._ahead = self._ahead, b""
        try:
            content = content or await self._stream.receive()
        except ssl.SSLError as error:
            raise ProxyError("TLS with the proxy broke off") from error
        self.bytes_received += len(content)
        return content

    async def send(self, content: bytes) -> None:
        """Send all of `content`; raises OSError, or ProxyError if TLS with the proxy breaks."""
        try:
            await self._stream.send(content)
        except ssl.SSLError as error:
            raise ProxyError("TLS with the proxy broke off") from error
        self.bytes_sent += len(content)

    def close(self) -> None:
        """Close the connection to the proxy."""
        self._stream.close()


class ProxyNetwork:
    """A network (`monitor.model.seams.Network`) that lies behind a proxy, reached over `local`."""

    def __init__(
        self,
        server: ProxyServer,
        dialogue: Dialogue,
        *,
        local: Network,
        trust: TrustStore,
        clock: Clock,
        seconds: float = PROXY_SECONDS,
    ) -> None:
        self._server = server
        self._dialogue = dialogue
        self._local = local
        self._trust = trust
        self._clock = clock
        self._seconds = seconds

    async def ready(self) -> "LoggedIn":
        """Reach the proxy and log in; raises ProxyError."""
        stream: Stream | None = None
        try:
            async with asyncio.timeout(self._seconds):
                stream = await self._reached()
                if self._server.tls:
                    stream = await self._secured(stream)
                conversation = Conversation(stream)
                await self._dialogue.log_in(conversation, self._server)
                return LoggedIn(self._server, self._dialogue, stream, conversation)
        except BaseException as error:
            if stream is not None:
                stream.close()
            if isinstance(error, TimeoutError):
                raise ProxyError("the proxy did not answer in time") from error
            raise

    async def connect_tcp(self, address: str, port: int) -> Stream:
        """Return a connection that the proxy made; raises ClassifiedError, ProxyError."""
        return await (await self.ready()).connect_tcp(address, port)

    def in_small_segments(self) -> None:
        """Return None: whoever opens the connection for us sizes its packets."""

    async def connect_udp(self, address: str, port: int) -> socket.socket:
        """Raise OSError: no datagram passes."""
        return no_datagrams(address, port)

    async def test(self) -> None:
        """Reach the proxy, log in, and see that it does not claim to be connected where nobody can be.

        Some say so before they try: what then happens to a connection cannot be seen.
        Raises ProxyError.
        """
        ready = await self.ready()
        try:
            async with asyncio.timeout(_CLAIM_SECONDS):
                claimed = await ready.connect_tcp(*_NOWHERE)
        except (ClassifiedError, ProxyError, TimeoutError):
            return  # whether it lets anything through is seen by what is measured
        claimed.close()
        raise ProxyError("the proxy says that it is connected before it is, so it hides what happens to connections")

    async def close(self) -> None:
        """Nothing is held between attempts."""

    async def _reached(self) -> Stream:
        try:
            ready = await self._local.ready()
            return await ready.connect_tcp(await _address_of(self._server.host, self._server.port), self._server.port)
        except NETWORK_ERRORS as error:
            failure, _ = failure_of(error)
            raise ProxyError(f"the proxy cannot be reached: {failure}") from error

    async def _secured(self, stream: Stream) -> TlsStream:
        """Shake hands with the proxy; nothing secret is said to one that is not whom it should be."""
        host = self._server.host
        secure = TlsStream(stream, client_context(("http/1.1",)), None if is_address(host) else host)
        try:
            await secure.handshake()
            self._believe(secure)
        except NETWORK_ERRORS as error:
            stream.close()
            failure, _ = failure_of(error)
            raise ProxyError(f"TLS with the proxy failed: {failure}") from error
        except BaseException:
            stream.close()
            raise
        return secure

    def _believe(self, secure: TlsStream) -> None:
        chain = presented_chain(secure.tls)
        digests = tuple(map(sha256_of, chain))
        if self._server.fingerprint is not None:
            if not digests or not hmac.compare_digest(digests[0], self._server.fingerprint):
                raise ProxyError("the proxy's certificate has another fingerprint than the configured one")
            return
        report = self._trust.report(chain, digests, self._server.host, self._clock.now().timestamp())
        if not chain or report.failures:
            raise ProxyError("the proxy's certificate is not trusted for its name")


class LoggedIn:
    """A proxy that is ready for one request."""

    def __init__(self, server: ProxyServer, dialogue: Dialogue, stream: Stream, conversation: Conversation) -> None:
        self._server = server
        self._dialogue = dialogue
        self._stream = stream
        self._conversation = conversation

    async def ready(self) -> "LoggedIn":
        """Return this network."""
        return self

    async def connect_tcp(self, address: str, port: int) -> Stream:
        """Return the connection that the proxy made; raises ClassifiedError, ProxyError."""
        try:
            return await self._dialogue.ask(self._conversation, self._server, address, port)
        except BaseException:
            self.close()
            raise

    def in_small_segments(self) -> None:
        """Return None: whoever opens the connection for us sizes its packets."""

    async def connect_udp(self, address: str, port: int) -> socket.socket:
        """Raise OSError: no datagram passes."""
        return no_datagrams(address, port)

    def close(self) -> None:
        """Leave the proxy without asking it for anything."""
        self._stream.close()


def no_datagrams(address: str, port: int) -> socket.socket:
    """Raise OSError: through a proxy no datagram passes."""
    raise OSError(f"no datagram passes to {address} port {port} through a proxy")


async def _address_of(host: str, port: int) -> str:
    """Return an address of the proxy itself, from the system's resolver."""
    if is_address(host):
        return host
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return str(found[0][4][0])
