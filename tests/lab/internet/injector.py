"""A box beside the line: it sees what the client sends and forges answers, while the original goes on its way.

Packet sockets in the router (packet(7), raw(7)); an injection is a function from one IPv4 packet of the client to the
packets that it is sent for it.
"""

import asyncio
import contextlib
import socket
import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

import dns.exception
import dns.message
import dns.rdatatype
import dns.rrset

from monitor.lab.resolvers import Answer
from tests.lab.internet.namespaces import ROUTER, inside

Injection = Callable[[bytes], Iterable[bytes]]

_ETH_P_IP: Final = 0x0800
_PACKET_OUTGOING: Final = 4
_TTL: Final = 60
_WINDOW: Final = 65_535
FIN, SYN, RST, ACK = 0x01, 0x02, 0x04, 0x10
_FORGED_TTL_SECONDS: Final = 300


class Injector:
    """Carries out `injections` on the client's link; reads nothing while there are none."""

    def __init__(self) -> None:
        self._injections: tuple[Injection, ...] = ()
        with inside(ROUTER):
            self._tap = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM)
            self._out = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
        self._tap.setblocking(False)

    def arrange(self, injections: Iterable[Injection]) -> None:
        """Replace the injections; runs on the event loop."""
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._tap)
        self._injections = tuple(injections)
        if self._injections:
            with inside(ROUTER):
                self._tap.bind(("cl", _ETH_P_IP))
            self._forget_backlog()
            loop.add_reader(self._tap, self._read)

    def _forget_backlog(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while True:
                self._tap.recv(65_535)

    def _read(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while True:
                packet, origin = self._tap.recvfrom(65_535)
                if origin[2] != _PACKET_OUTGOING:
                    self._answer(packet)

    def _answer(self, packet: bytes) -> None:
        for injection in self._injections:
            for forged in injection(packet):
                self._out.sendto(forged, (socket.inet_ntoa(forged[16:20]), 0))


@dataclass(frozen=True)
class Segment:
    """One TCP segment of the client."""

    source: bytes
    destination: bytes
    source_port: int
    port: int
    seq: int
    ack: int
    flags: int
    payload: bytes


def segment_of(packet: bytes) -> Segment | None:
    """Take a TCP packet apart; None for any other."""
    header = (packet[0] & 15) * 4
    if packet[9] != socket.IPPROTO_TCP or len(packet) < header + 20:
        return None
    source_port, port, seq, ack, offset, flags = struct.unpack_from("!HHIIBB", packet, header)
    total = int.from_bytes(packet[2:4])
    return Segment(
        packet[12:16], packet[16:20], source_port, port, seq, ack, flags, packet[header + (offset >> 4) * 4 : total]
    )


def reply(to: Segment, flags: int, payload: bytes = b"", *, seq: int | None = None) -> bytes:
    """Forge what the other end might have answered: ends swapped, seq from its ack, everything sent acknowledged."""
    length = len(to.payload) + bool(to.flags & (SYN | FIN))
    tcp = struct.pack(
        "!HHIIBBHHH", to.port, to.source_port, to.ack if seq is None else seq,
        (to.seq + length) % (1 << 32) if flags & ACK else 0, 5 << 4, flags, _WINDOW, 0, 0,
    ) + payload  # fmt: skip
    return _packet(to.destination, to.source, socket.IPPROTO_TCP, tcp, 16)


def _packet(source: bytes, destination: bytes, protocol: int, body: bytes, checksum_at: int) -> bytes:
    pseudo = source + destination + struct.pack("!BBH", 0, protocol, len(body))
    body = body[:checksum_at] + struct.pack("!H", _checksum(pseudo + body)) + body[checksum_at + 2 :]
    # The kernel fills in the checksum of the header (raw(7)).
    head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(body), 0, 0x4000, _TTL, protocol, 0, source, destination)
    return head + body


def _checksum(data: bytes) -> int:
    """RFC 1071."""
    data += b"\0" * (len(data) % 2)
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total & 0xFFFF) + (total >> 16)
    return ~(total + (total >> 16)) & 0xFFFF


def on_text(
    text: str, port: int, answer: Callable[[Segment], Iterable[bytes]], address: str | None = None
) -> Injection:
    """Answer a segment to `port` that holds `text`, at any address unless one is given."""
    wanted = text.encode()
    place = socket.inet_aton(address) if address else None

    def inject(packet: bytes) -> Iterable[bytes]:
        seen = segment_of(packet)
        if seen is None or seen.port != port or wanted not in seen.payload or place not in {None, seen.destination}:
            return ()
        return answer(seen)

    return inject


def reset_while_connecting(address: str, port: int) -> Injection:
    """Meet a SYN with a SYN and what the client answers to that with RST: its `connect` ends with ECONNRESET.

    A RST to the SYN itself would read as a refusal; a simultaneous open (RFC 9293 section 3.5) does not.
    """
    place = socket.inet_aton(address)

    def inject(packet: bytes) -> Iterable[bytes]:
        seen = segment_of(packet)
        if seen is None or (seen.destination, seen.port) != (place, port):
            return ()
        if seen.flags & (SYN | ACK) == SYN:
            return (reply(seen, SYN, seq=1000),)
        return (reply(seen, RST, seq=seen.ack),) if seen.flags & SYN else ()

    return inject


def forged_dns(name: str, said: Answer) -> Injection:
    """Answer an A query for `name` over UDP to any server; an AAAA query is told that there is none."""

    def inject(packet: bytes) -> Iterable[bytes]:
        header = (packet[0] & 15) * 4
        if packet[9] != socket.IPPROTO_UDP or packet[header + 2 : header + 4] != b"\0\x35":
            return
        try:
            query = dns.message.from_wire(packet[header + 8 : int.from_bytes(packet[2:4])])
            asked = query.question[0]
        except (dns.exception.DNSException, IndexError):
            return
        if asked.name.to_text(omit_final_dot=True).lower() != name:
            return
        message = dns.message.make_response(query)
        message.set_rcode(said.rcode)
        if said.addresses and asked.rdtype == dns.rdatatype.A:
            message.answer.append(
                dns.rrset.from_text_list(asked.name, _FORGED_TTL_SECONDS, "IN", "A", list(said.addresses))
            )
        body = message.to_wire()
        ports = packet[header + 2 : header + 4] + packet[header : header + 2]
        udp = ports + struct.pack("!HH", 8 + len(body), 0) + body
        yield _packet(packet[16:20], packet[12:16], socket.IPPROTO_UDP, udp, 6)

    return inject
