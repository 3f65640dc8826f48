"""A plain client of the laboratory, made of the standard library alone, so that the laboratory is proven by others."""

import socket
import ssl
import struct
from collections.abc import Iterator
from contextlib import contextmanager

from monitor.lab import Lab

PATIENCE_SECONDS = 10.0
CLIENT = "127.0.0.1"


@contextmanager
def connection(
    address: str, port: int, source: str = CLIENT, timeout_seconds: float = PATIENCE_SECONDS
) -> Iterator[socket.socket]:
    with socket.create_connection((address, port), timeout_seconds, (source, 0)) as connected:
        yield connected


@contextmanager
def tls(
    lab: Lab,
    name: str,
    address: str = "",
    *,
    source: str = CLIENT,
    verify: bool = True,
    alpn: tuple[str, ...] = ("http/1.1",),
) -> Iterator[ssl.SSLSocket]:
    """Yield a handshaken connection to `name`, at its own address unless another is given."""
    context = ssl.create_default_context(cafile=str(lab.ca_file))
    # Early Pythons 3.11 have OpenSSL take a FIN without close_notify for a polite end.
    context.options &= ~getattr(ssl, "OP_IGNORE_UNEXPECTED_EOF", 0)
    context.set_alpn_protocols(list(alpn))
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    with (
        connection(address or lab.address(name), lab.ports.https, source) as connected,
        context.wrap_socket(connected, server_hostname=name, suppress_ragged_eofs=False) as secured,
    ):
        yield secured


def fetch(connected: socket.socket, host: str, path: str = "/", limit_bytes: int = 1 << 20) -> tuple[int, str, bytes]:
    """Return status, head and body as far as they come, at most `limit_bytes`."""
    connected.sendall(f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
    seen = b""
    while len(seen) < limit_bytes and (more := connected.recv(65_536)):
        seen += more
    head, _, body = seen.partition(b"\r\n\r\n")
    return int(head.split(b" ")[1]), head.decode("latin-1"), body


def get(lab: Lab, name: str, path: str = "/", *, source: str = CLIENT) -> tuple[int, str, bytes]:
    """Fetch in cleartext."""
    with connection(lab.address(name), lab.ports.http, source) as connected:
        return fetch(connected, name, path)


def ends_with(connected: socket.socket) -> type[OSError] | bytes:
    """Tell how the peer ends the connection: the bytes before FIN, or the error."""
    seen = b""
    try:
        while more := connected.recv(65_536):
            seen += more
    except OSError as error:
        return type(error)
    return seen


def reset(connected: socket.socket) -> None:
    """Leave rudely."""
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connected.close()


def client_hello(name: str) -> bytes:
    """Return the first flight of OpenSSL for `name`."""
    outgoing = ssl.MemoryBIO()
    session = ssl.create_default_context().wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname=name)
    try:
        session.do_handshake()
    except ssl.SSLWantReadError:
        return outgoing.read()
    raise AssertionError("a handshake without a peer")
