"""The dns step: one question to one resolver, every reply kept as it came (RFC 1035, 6891, 7766, 7858, 8484).

Queries are dnspython's, the exchange is ours. The first reply that fits the question decides, as it does for an
ordinary client. Replies that do not fit are kept as evidence and waited past, so that a forger who guesses wrong hides
nothing; over UDP, a further reply that comes late shows that somebody on the path spoke first.
"""

import asyncio
import contextlib
import os
import socket
import struct
from functools import lru_cache
from typing import Final

import dns.message
import httpx

from monitor.model.failure import Failure
from monitor.model.observation import DnsObservation, FailureDetail, LateReply, Purpose
from monitor.model.seams import Network, Stream
from monitor.network.dns_reply import Reply, labels_of, read_reply
from monitor.network.failures import NETWORK_ERRORS, RCODE_FAILURES, ClassifiedError, failure_of
from monitor.network.handshake import client_context, presented_chain, sha256_of
from monitor.network.nameservers import Endpoint, Resolver, resolver_of
from monitor.network.recorder import Recorder
from monitor.network.stream import TlsStream
from monitor.network.toolbox import Toolbox
from monitor.network.wire import MeasuredTransport

_PAYLOAD_BYTES: Final = 1232  # passes every path unfragmented (DNS flag day 2020)
_MESSAGE_BYTES: Final = 65_535
_REPLIES_KEPT: Final = 16
_DATAGRAMS: Final = 4  # at most, for one question


async def resolve(
    toolbox: Toolbox, network: Network, recorder: Recorder, host: str, query_type: str, *, resolver: str = "system",
    seconds: float = 4.0, listen_seconds: float = 0.0, purpose: Purpose = Purpose.PATH, hop: int = 0,
) -> DnsObservation:  # fmt: skip
    """Ask `resolver` for the records of `host` (A-labels) of `query_type`: A, AAAA or TXT.

    The answer must come within `seconds`; over UDP further replies are awaited `listen_seconds` more.
    Raises ValueError if `resolver` or `host` is malformed, VantageError if the network itself cannot be used.
    """
    asked = resolver_of(resolver)
    lookup = _Lookup(toolbox, await network.ready(), recorder, host, query_type)
    started = recorder.elapsed()
    failure: str | None = None
    detail: FailureDetail | None = None
    reply: Reply | None = None
    try:
        try:
            async with asyncio.timeout(seconds):
                reply = await lookup.ask(asked, seconds)
            failure = _failure_in(reply, query_type)
        except NETWORK_ERRORS as error:
            failure, detail = failure_of(error)
            if isinstance(error, TimeoutError) and lookup.saw_foreign:
                failure = Failure.DNS_REPLY_WITH_WRONG_QUERY_ID
        elapsed = round(recorder.elapsed() - started, 6)
        if reply is not None and listen_seconds > 0:
            await lookup.listen(listen_seconds, started)
    finally:
        lookup.close()
    return DnsObservation(
        purpose=purpose,
        hop=hop,
        started_seconds=started,
        elapsed_seconds=elapsed,
        failure=failure,
        detail=detail,
        evidence=tuple(lookup.evidence),
        host=host,
        query_type=query_type,
        resolver=asked.label,
        transport=lookup.transport,
        rcode=reply.rcode if reply else None,
        answers=reply.answers if reply else (),
        ttls_seconds=reply.ttls_seconds if reply else (),
        late_replies=tuple(lookup.late_replies),
    )


class _Lookup:
    """One question on its way, and what has come back so far."""

    __slots__ = (
        "_asked_again", "_id", "_labels", "_message", "_network", "_query_type", "_recorder", "_toolbox", "_udp",
        "evidence", "late_replies", "saw_foreign", "transport",
    )  # fmt: skip

    def __init__(self, toolbox: Toolbox, network: Network, recorder: Recorder, host: str, query_type: str) -> None:
        self._toolbox = toolbox
        self._network = network
        self._recorder = recorder
        self._labels = _labels(host)
        self._query_type = query_type
        self._id = os.urandom(2)
        self._message = self._id + _question(host, query_type)
        self._udp: socket.socket | None = None
        self._asked_again = False
        self.transport = ""
        self.evidence: list[str] = []
        self.late_replies: list[LateReply] = []
        self.saw_foreign = False

    async def ask(self, resolver: Resolver, seconds: float) -> Reply:
        """Return the first fitting reply; raises NETWORK_ERRORS."""
        if resolver.transport == "system":
            return await self._system(seconds)
        self.transport = resolver.transport
        endpoint = (resolver.address or await self._address_of(resolver.host, seconds), resolver.port)
        if resolver.transport == "udp":
            return await self._over_udp(endpoint, seconds)
        if resolver.transport == "tcp":
            return await self._over_tcp(endpoint)
        secure = await self._secure(endpoint, resolver)
        try:
            if resolver.transport == "tls":
                return await self._over_stream(secure)
            return await self._over_http(secure, resolver)
        finally:
            secure.close()

    async def listen(self, seconds: float, started: float) -> None:
        """Take further replies to a query over UDP for `seconds`; `started` is when it was asked."""
        if self._udp is None or self._asked_again:
            return  # asked twice, answered twice: a second reply would show nothing
        try:
            async with asyncio.timeout(seconds):
                while len(self.late_replies) < _REPLIES_KEPT:
                    self._take_late(await self._receive_udp(self._udp), started)
        except NETWORK_ERRORS:
            return  # the end of listening; an ICMP error adds nothing to an answer already there

    def close(self) -> None:
        """Close the UDP socket that is kept for late replies."""
        if self._udp is not None:
            self._udp.close()

    async def _system(self, seconds: float) -> Reply:
        """Ask the system's name servers in turn; each has its share of the time."""
        servers = self._toolbox.nameservers()
        for server in servers[:-1]:
            try:
                async with asyncio.timeout(seconds / len(servers)):
                    return await self._over_udp(server, seconds / len(servers))
            except NETWORK_ERRORS as error:
                failure_of(error)  # raises if the fault is ours
        return await self._over_udp(servers[-1], seconds / len(servers))

    async def _address_of(self, host: str, seconds: float) -> str:
        """Return an address of a resolver that is configured by name; the system resolver is asked for it."""
        lookup = _Lookup(self._toolbox, self._network, self._recorder, host, "A")
        try:
            reply = await lookup.ask(resolver_of("system"), seconds)
        finally:
            lookup.close()
        for answer in reply.answers:
            if answer.type == "A":
                return answer.value
        raise ClassifiedError(
            Failure(_failure_in(reply, "A") or Failure.DNS_NO_ANSWER), FailureDetail(reason="resolver_name")
        )

    async def _over_udp(self, endpoint: Endpoint, seconds: float) -> Reply:
        self.transport = "udp"
        self.close()
        self._udp = await self._network.connect_udp(*endpoint)
        self._recorder.saw_local(self._udp.getsockname()[0])
        reply = await self._asked_over_udp(self._udp, seconds)
        return await self._over_tcp(endpoint) if reply.is_truncated else reply

    async def _asked_over_udp(self, udp: socket.socket, seconds: float) -> Reply:
        """Ask, and ask again into silence as stub resolvers do: a lost datagram is not a resolver that keeps silent."""
        loop = asyncio.get_running_loop()
        for _ in range(_DATAGRAMS - 1):
            await loop.sock_sendall(udp, self._message)
            with contextlib.suppress(TimeoutError):  # a datagram socket knows no ETIMEDOUT
                async with asyncio.timeout(seconds / _DATAGRAMS):
                    return await self._first(udp)
            self._asked_again = True
        await loop.sock_sendall(udp, self._message)
        return await self._first(udp)

    async def _first(self, udp: socket.socket) -> Reply:
        while True:
            if (reply := self._read(await self._receive_udp(udp))) is not None:
                return reply

    async def _receive_udp(self, udp: socket.socket) -> bytes:
        return await asyncio.get_running_loop().sock_recv(udp, _MESSAGE_BYTES)

    async def _over_tcp(self, endpoint: Endpoint) -> Reply:
        self.transport = "tcp"
        stream = await self._connect(endpoint)
        try:
            return await self._over_stream(stream)
        finally:
            stream.close()

    async def _over_stream(self, stream: Stream) -> Reply:
        """RFC 1035 section 4.2.2: each message is preceded by its length."""
        await stream.send(struct.pack("!H", len(self._message)) + self._message)
        received = b""
        while True:
            while len(received) < 2 or len(received) < 2 + int.from_bytes(received[:2]):
                chunk = await stream.receive()
                if not chunk:
                    raise EOFError
                received += chunk
            end = 2 + int.from_bytes(received[:2])
            if (reply := self._read(received[2:end])) is not None:
                return reply
            received = received[end:]

    async def _over_http(self, secure: TlsStream, resolver: Resolver) -> Reply:
        """RFC 8484 section 4.1; the id stays ours, since nothing caches a POST."""
        transport = MeasuredTransport(self._toolbox.clock, secure, byte_limit=2 * _MESSAGE_BYTES)
        host = f"[{resolver.host}]" if ":" in resolver.host else resolver.host
        response = await transport.handle_async_request(
            httpx.Request(
                "POST",
                f"https://{host}:{resolver.port}{resolver.path}",
                headers={"Accept": "application/dns-message", "Content-Type": "application/dns-message"},
                content=self._message,
            )
        )
        body = b""
        async for chunk in response.stream:  # type: ignore[union-attr]  # an async transport gives an async stream
            body += chunk
        if response.status_code != 200:
            raise ClassifiedError(
                Failure.HTTP_REQUEST_FAILED, FailureDetail(reason=f"http_status_{response.status_code}")
            )
        if (reply := self._read(body)) is None:
            raise ClassifiedError(Failure.DNS_REPLY_WITH_WRONG_QUERY_ID)
        return reply

    async def _connect(self, endpoint: Endpoint) -> Stream:
        stream = await self._network.connect_tcp(*endpoint)
        self._recorder.saw_local(stream.local_address)
        return stream

    async def _secure(self, endpoint: Endpoint, resolver: Resolver) -> TlsStream:
        """Connect and shake hands; a resolver whose certificate is not its own is not believed."""
        stream = await self._connect(endpoint)
        alpn = ("dot",) if resolver.transport == "tls" else ("h2", "http/1.1")
        secure = TlsStream(stream, client_context(alpn), resolver.server_name)
        try:
            await secure.handshake()
            self._believe(secure, resolver)
        except BaseException:
            stream.close()
            raise
        return secure

    def _believe(self, secure: TlsStream, resolver: Resolver) -> None:
        chain = presented_chain(secure.tls)
        now = self._toolbox.clock.now().timestamp()
        report = self._toolbox.trust.report(chain, tuple(map(sha256_of, chain)), resolver.host, now)
        if report.failures:
            raise ClassifiedError(report.failures[0], FailureDetail(verify_code=report.verify_code))

    def _read(self, message: bytes) -> Reply | None:
        """Return what a message says, None if it is no reply to this question; raises ClassifiedError."""
        if len(self.evidence) < _REPLIES_KEPT:
            self.evidence.append(self._recorder.keep("dns_reply", message))
        reply = read_reply(message, self._id, self._labels, self._query_type)
        if reply is None:
            self.saw_foreign = True
        return reply

    def _take_late(self, message: bytes, started: float) -> None:
        try:
            reply = read_reply(message, self._id, self._labels, self._query_type)
        except ClassifiedError:
            return
        if reply is not None:
            self.late_replies.append(
                LateReply(
                    elapsed_seconds=round(self._recorder.elapsed() - started, 6),
                    rcode=reply.rcode,
                    answers=reply.answers,
                    evidence=self._recorder.keep("dns_reply", message),
                )
            )


@lru_cache(maxsize=8192)
def _question(host: str, query_type: str) -> bytes:
    """Return a query without its id: recursion desired, EDNS with 1,232 bytes."""
    return dns.message.make_query(host, query_type, use_edns=0, payload=_PAYLOAD_BYTES).to_wire()[2:]


_labels: Final = lru_cache(maxsize=8192)(labels_of)


def _failure_in(reply: Reply, query_type: str) -> str | None:
    if reply.rcode:
        return RCODE_FAILURES.get(reply.rcode, Failure.DNS_SERVER_MISBEHAVING)
    return None if any(answer.type == query_type for answer in reply.answers) else Failure.DNS_NO_ANSWER
