"""The quic step: one handshake to one address over our own UDP socket, or a question for the versions spoken there.

aioquic is the protocol; sockets, deadlines and bounds are ours, so that the source address, the interface and ICMP
errors of the vantage are honoured. Certificates are judged by our own trust store, as in the tls step.
"""

import asyncio
import os
import socket
import struct
from dataclasses import dataclass, field
from typing import Final

from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection, QuicConnectionError
from aioquic.quic.events import ConnectionTerminated, HandshakeCompleted, ProtocolNegotiated
from aioquic.quic.packet import QuicErrorCode
from aioquic.tls import AlertDescription
from cryptography.hazmat.primitives.serialization import Encoding

from monitor.model.address import is_address
from monitor.model.failure import UNKNOWN_FAILURE, Failure
from monitor.model.observation import FailureDetail, Purpose, QuicObservation
from monitor.model.seams import Clock, Network
from monitor.network.certificates import CertificateReport, TrustStore
from monitor.network.failures import NETWORK_ERRORS, ClassifiedError, failure_of
from monitor.network.handshake import sha256_of
from monitor.network.recorder import Recorder

HTTP3_ALPN: Final = ("h3",)
_DATAGRAM_BYTES: Final = 65_536
_INITIAL_BYTES: Final = 1200  # RFC 9000 section 14.1: smaller ones must be ignored
_RECEIVED_LIMIT: Final = 262_144  # a handshake with a long chain needs a tenth of it
_DATAGRAM_LIMIT: Final = 1024
_CHAIN_LIMIT: Final = 10
_VERSIONS_KEPT: Final = 16
_RESERVED_VERSION: Final = 0xBABABABA  # RFC 9000 section 15: of the form 0x?a?a?a?a, spoken by nobody
_PING_SECONDS: Final = 1.0  # between two pings
_ALERT_BASE, _ALERT_END = 0x100, 0x1FF  # RFC 9001 section 4.8: CRYPTO_ERROR carries the alert in its low byte
_NO_COMMON_VERSION: Final = "Could not find a common protocol version"  # aioquic says it only in words
_NO_CHAIN: Final = CertificateReport(failures=(), verify_code=None)
# What aioquic lets through of a packet that is none; everything else it answers by closing.
_MALFORMED: Final = (QuicConnectionError, ValueError, IndexError, KeyError, AssertionError)

ALERT_FAILURES: Final = {
    **dict.fromkeys((42, 43, 44, 45, 46), Failure.SSL_INVALID_CERTIFICATE),
    48: Failure.SSL_UNKNOWN_AUTHORITY,
    112: Failure.SSL_INVALID_HOSTNAME,
}


@dataclass(slots=True)
class _Exchange:
    """A UDP socket and what went over it."""

    bytes_sent: int = 0
    bytes_received: int = 0
    datagrams: int = 0

    def send(self, udp: socket.socket, datagram: bytes) -> None:
        """Send at once; a full buffer drops it, as the network may. Raises OSError, an ICMP error among them."""
        try:
            self.bytes_sent += udp.send(datagram)
        except BlockingIOError:
            return

    async def receive(self, udp: socket.socket) -> bytes:
        """Return the next datagram; raises OSError, or ClassifiedError past the limits."""
        datagram = await asyncio.get_running_loop().sock_recv(udp, _DATAGRAM_BYTES)
        self.bytes_received += len(datagram)
        self.datagrams += 1
        if self.bytes_received > _RECEIVED_LIMIT or self.datagrams > _DATAGRAM_LIMIT:
            raise ClassifiedError(Failure.SSL_FAILED_HANDSHAKE, FailureDetail(reason="too_many_bytes"))
        return datagram


@dataclass(slots=True)
class _Handshake:
    """A handshake under way and what it settled."""

    clock: Clock
    connection: QuicConnection
    peer: tuple[str, int]
    wire: _Exchange = field(default_factory=_Exchange)
    version: str | None = None
    alpn: str | None = None

    async def run(self, udp: socket.socket) -> None:
        """Shake hands; raises NETWORK_ERRORS."""
        self.connection.connect(self.peer, now=self.clock.monotonic())
        while not self._is_done():
            self._flush(udp)
            await self._wait(udp)
        # Tell the peer that nothing more comes; whether that arrives is nobody's concern.
        self.connection.close()
        self._flush(udp)

    def _flush(self, udp: socket.socket) -> None:
        for datagram, _ in self.connection.datagrams_to_send(now=self.clock.monotonic()):
            self.wire.send(udp, datagram)

    async def _wait(self, udp: socket.socket) -> None:
        """Take in one datagram, or do what is due when none comes."""
        due = self.connection.get_timer()
        timer = asyncio.timeout(None if due is None else max(0.0, due - self.clock.monotonic()))
        try:
            async with timer:
                datagram = await self.wire.receive(udp)
        except TimeoutError:
            if not timer.expired():
                raise
            self.connection.handle_timer(now=self.clock.monotonic())
            return
        try:
            self.connection.receive_datagram(datagram, self.peer, now=self.clock.monotonic())
        except _MALFORMED as error:
            raise ClassifiedError(Failure.SSL_FAILED_HANDSHAKE, FailureDetail(reason="malformed_quic")) from error

    def _is_done(self) -> bool:
        while (event := self.connection.next_event()) is not None:
            match event:
                case ProtocolNegotiated(alpn_protocol=alpn):
                    self.alpn = alpn if alpn in HTTP3_ALPN else None  # what was not offered is the peer's own text
                case HandshakeCompleted():
                    self.version = _version_of(self.connection)
                    return True
                case ConnectionTerminated(error_code=code, reason_phrase=reason):
                    raise _terminated(code, reason)
                case _:
                    pass
        return False


async def quic_handshake(
    clock: Clock, trust: TrustStore, recorder: Recorder, network: Network, *, address: str, port: int,
    server_name: str | None, seconds: float, purpose: Purpose = Purpose.HTTP3, hop: int = 0,
) -> QuicObservation:  # fmt: skip
    """Shake hands within `seconds`, offering HTTP/3; fresh keys, no resumption, no early data.

    `server_name` is a host name in A-labels; None, or a literal address, sends no name.
    """
    if server_name is not None and is_address(server_name):
        server_name = None
    started = recorder.elapsed()
    failure: str | None = None
    detail: FailureDetail | None = None
    configuration = QuicConfiguration(
        alpn_protocols=list(HTTP3_ALPN), server_name=server_name, verify_mode=0, idle_timeout=seconds + 60.0
    )
    shaking = _Handshake(clock, QuicConnection(configuration=configuration), (address, port))
    try:
        async with asyncio.timeout(seconds):
            udp = await network.connect_udp(address, port)
            with udp:
                recorder.saw_local(udp.getsockname()[0])
                await shaking.run(udp)
    except NETWORK_ERRORS as error:
        failure, detail = failure_of(error)
    chain = _presented(shaking.connection)
    digests = tuple(map(sha256_of, chain))
    report = trust.report(chain, digests, server_name or address, clock.now().timestamp()) if chain else _NO_CHAIN
    if failure is None and report.failures:
        failure, detail = report.failures[0], FailureDetail(verify_code=report.verify_code)
    return QuicObservation(
        purpose=purpose,
        hop=hop,
        started_seconds=started,
        elapsed_seconds=round(recorder.elapsed() - started, 6),
        failure=failure,
        detail=detail,
        evidence=tuple(recorder.keep("certificate", certificate) for certificate in chain),
        address=address,
        port=port,
        server_name=server_name,
        offered_alpn=HTTP3_ALPN,
        version=shaking.version,
        alpn=shaking.alpn,
        chain=digests,
        leaf_issuer=report.leaf_issuer,
        leaf_not_before=report.leaf_not_before,
        leaf_not_after=report.leaf_not_after,
        leaf_covers_name=report.leaf_covers_name,
        earliest_expiry=report.earliest_expiry,
        certificate_failures=tuple(str(failure) for failure in report.failures),
        bytes_sent=shaking.wire.bytes_sent,
        bytes_received=shaking.wire.bytes_received,
    )


async def quic_ping(
    recorder: Recorder, network: Network, address: str, port: int, *, seconds: float, hop: int = 0,
) -> QuicObservation:  # fmt: skip
    """Ask for the versions spoken, once a second, within `seconds`: an answer shows that UDP passes both ways."""
    started = recorder.elapsed()
    failure: str | None = None
    detail: FailureDetail | None = None
    wire = _Exchange()
    versions: tuple[str, ...] = ()
    try:
        async with asyncio.timeout(seconds):
            udp = await network.connect_udp(address, port)
            with udp:
                recorder.saw_local(udp.getsockname()[0])
                versions = await _versions(wire, udp)
    except NETWORK_ERRORS as error:
        failure, detail = failure_of(error)
    return QuicObservation(
        purpose=Purpose.QUIC_PING,
        hop=hop,
        started_seconds=started,
        elapsed_seconds=round(recorder.elapsed() - started, 6),
        failure=failure,
        detail=detail,
        address=address,
        port=port,
        server_name=None,
        server_versions=versions,
        bytes_sent=wire.bytes_sent,
        bytes_received=wire.bytes_received,
    )


async def _versions(wire: _Exchange, udp: socket.socket) -> tuple[str, ...]:
    source, destination = os.urandom(8), os.urandom(8)
    # A well-formed Initial (no token, its length in two bytes): some servers read it before they look at the version.
    head = struct.pack("!BIB8sB8sB", 0xC0, _RESERVED_VERSION, 8, destination, 8, source, 0)
    rest = _INITIAL_BYTES - len(head) - 2
    head += struct.pack("!H", 0x4000 | rest)
    while True:
        wire.send(udp, head + os.urandom(rest))
        timer = asyncio.timeout(_PING_SECONDS)
        try:
            async with timer:
                while True:
                    versions = _read_versions(await wire.receive(udp), to=source, by=destination)
                    if versions is not None:
                        return versions
        except TimeoutError:
            if not timer.expired():
                raise


def _read_versions(datagram: bytes, *, to: bytes, by: bytes) -> tuple[str, ...] | None:
    """Read a Version Negotiation packet (RFC 8999 section 6) that answers our own ids; None: it is none."""
    expected = bytes((len(to),)) + to + bytes((len(by),)) + by
    is_answer = len(datagram) >= 5 and datagram[0] & 0x80 and datagram[1:5] == bytes(4)
    if not is_answer or datagram[5 : 5 + len(expected)] != expected:
        return None
    listed = datagram[5 + len(expected) :][: 4 * _VERSIONS_KEPT]
    return tuple(listed[at : at + 4].hex() for at in range(0, len(listed) - len(listed) % 4, 4))


def _terminated(code: int, reason: str) -> ClassifiedError:
    """Return what the end of a handshake means, by whichever side it was ended."""
    if _ALERT_BASE <= code <= _ALERT_END:
        alert = code - _ALERT_BASE
        failure = ALERT_FAILURES.get(alert, Failure.SSL_FAILED_HANDSHAKE)
        return ClassifiedError(failure, FailureDetail(alert=_alert_name(alert)))
    if code == QuicErrorCode.CONNECTION_REFUSED:
        return ClassifiedError(Failure.CONNECTION_REFUSED, FailureDetail(reason="quic_connection_refused"))
    if code == QuicErrorCode.INTERNAL_ERROR and reason == _NO_COMMON_VERSION:
        return ClassifiedError(Failure.QUIC_INCOMPATIBLE_VERSION)
    return ClassifiedError(f"{UNKNOWN_FAILURE}quic transport error {code}")


def _alert_name(number: int) -> str:
    try:
        return AlertDescription(number).name
    except ValueError:
        return f"alert_{number}"


def _version_of(connection: QuicConnection) -> str | None:
    number = connection._version  # noqa: SLF001  aioquic tells the version nowhere else
    return None if number is None else f"{number:08x}"


def _presented(connection: QuicConnection) -> tuple[bytes, ...]:
    """Return the DER certificates that the peer presented, leaf first, at most 10, also if the handshake failed."""
    tls = getattr(connection, "tls", None)  # made when the first flight is sent
    leaf = getattr(tls, "_peer_certificate", None)  # aioquic hands the chain out nowhere else
    if leaf is None:
        return ()
    others = getattr(tls, "_peer_certificate_chain", ())
    return tuple(each.public_bytes(Encoding.DER) for each in (leaf, *others)[:_CHAIN_LIMIT])
