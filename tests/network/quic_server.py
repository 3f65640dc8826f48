"""QUIC on loopback: a real server of aioquic's, and hosts that answer a first packet as told."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Final, cast

import trustme
from aioquic.asyncio.server import serve
from aioquic.quic.configuration import QuicConfiguration
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509 import load_pem_x509_certificate

from tests.network.loopback import AUTHORITY

HTTP3: Final = ("h3",)
Datagrams = Callable[[bytes], Sequence[bytes]]


@contextlib.asynccontextmanager
async def quic_server(
    *names: str, authority: trustme.CA = AUTHORITY, alpn: Sequence[str] = HTTP3
) -> AsyncIterator[int]:
    """Serve QUIC with a certificate for `names`; yield the port."""
    issued = authority.issue_cert(*names, key_type=trustme.KeyType.ECDSA)
    configuration = QuicConfiguration(is_client=False, alpn_protocols=list(alpn))
    configuration.certificate = load_pem_x509_certificate(issued.cert_chain_pems[0].bytes())
    configuration.private_key = load_pem_private_key(issued.private_key_pem.bytes(), password=None)
    server = await serve("127.0.0.1", 0, configuration=configuration)
    try:
        yield cast("asyncio.DatagramTransport", server._transport).get_extra_info("sockname")[1]  # noqa: SLF001  aioquic shows its socket nowhere else
    finally:
        server.close()


@contextlib.asynccontextmanager
async def udp_host(answer: Datagrams) -> AsyncIterator[int]:
    """Send back what `answer` makes of each datagram; yield the port."""

    class Protocol(asyncio.DatagramProtocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            self.transport = cast("asyncio.DatagramTransport", transport)

        def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
            for datagram in answer(data):
                self.transport.sendto(datagram, addr)

    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(Protocol, ("127.0.0.1", 0))
    try:
        yield transport.get_extra_info("sockname")[1]
    finally:
        transport.close()


def ids_of(initial: bytes) -> tuple[bytes, bytes]:
    """Return the destination and source connection ids of a long header (RFC 8999)."""
    length = initial[5]
    destination, rest = initial[6 : 6 + length], initial[6 + length :]
    return destination, rest[1 : 1 + rest[0]]


def version_negotiation(initial: bytes, *versions: int) -> bytes:
    """Return the answer of a server that speaks `versions`."""
    destination, source = ids_of(initial)
    head = bytes((0x80,)) + bytes(4) + bytes((len(source),)) + source + bytes((len(destination),)) + destination
    return head + b"".join(version.to_bytes(4, "big") for version in versions)
