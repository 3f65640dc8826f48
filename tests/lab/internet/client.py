"""A plain client at the end of the censored line, made without a line of the program: it proves the laboratory."""

import asyncio
import contextlib
import socket
import ssl
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import dns.message
import dns.query
import dns.rcode
from aioquic.asyncio.client import connect
from aioquic.h3.connection import H3_ALPN
from aioquic.quic.configuration import QuicConfiguration

if TYPE_CHECKING:
    from collections.abc import Callable

PATIENCE_SECONDS: Final = 2.0
_LISTEN_SECONDS: Final = 0.2


def look(what: str, address: str, port: int, name: str, ca_file: Path) -> str:
    """Return in a few words how a step ends: what came, or the name of the exception."""
    looks: dict[str, Callable[[], str]] = {
        "tcp": lambda: _connect(address, port),
        "tls": lambda: _handshake(address, port, name, ca_file),
        "http": lambda: _fetch(address, port, name),
        "udp": lambda: _datagram(address, port),
        "dns": lambda: _resolve(address, name),
        "quic": lambda: asyncio.run(_quic(address, port, name, ca_file)),
    }
    try:
        return looks[what]()
    except (OSError, EOFError) as error:
        return type(error).__name__


def _connect(address: str, port: int) -> str:
    with socket.create_connection((address, port), PATIENCE_SECONDS):
        return "connected"


def _handshake(address: str, port: int, name: str, ca_file: Path) -> str:
    context = ssl.create_default_context(cafile=str(ca_file))
    with (
        socket.create_connection((address, port), PATIENCE_SECONDS) as connected,
        context.wrap_socket(connected, server_hostname=name),
    ):
        return "verified"


def _fetch(address: str, port: int, name: str) -> str:
    """Return the status and the length of what follows the head."""
    with socket.create_connection((address, port), PATIENCE_SECONDS) as connected:
        connected.sendall(f"GET / HTTP/1.1\r\nHost: {name}\r\n\r\n".encode())
        seen = b""
        while len(seen) < 1 << 17 and (more := connected.recv(65_536)):
            seen += more
    head, _, body = seen.partition(b"\r\n\r\n")
    if not head:
        raise EOFError
    return f"{head.split(b' ')[1].decode()} {len(body)} B"


def _resolve(server: str, name: str) -> str:
    """Return every reply that comes within a moment, in order."""
    query = dns.message.make_query(name, "A")
    said = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.connect((server, 53))
        asking.send(query.to_wire())
        asking.settimeout(PATIENCE_SECONDS)
        end = time.monotonic() + PATIENCE_SECONDS
        with contextlib.suppress(TimeoutError):
            while time.monotonic() < end:
                reply = dns.message.from_wire(asking.recv(4096))
                found = [item.address for answer in reply.answer for item in answer]
                said.append(" ".join(found) or dns.rcode.to_text(reply.rcode()))
                asking.settimeout(_LISTEN_SECONDS)
    return ", then ".join(said) or "nothing"


def _datagram(address: str, port: int) -> str:
    """Send something that nobody answers; only a refusal comes back."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sending:
        sending.settimeout(PATIENCE_SECONDS)
        sending.connect((address, port))
        sending.send(b"?")
        return f"{len(sending.recv(4096))} B"


async def _quic(address: str, port: int, name: str, ca_file: Path) -> str:
    asked = QuicConfiguration(is_client=True, alpn_protocols=H3_ALPN, server_name=name, cafile=str(ca_file))
    async with asyncio.timeout(PATIENCE_SECONDS), connect(address, port, configuration=asked) as connection:
        await connection.ping()
        return "verified"
