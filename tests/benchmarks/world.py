"""What is measured: names, an nginx with TLS in front of a page, and a server that never answers. All on loopback."""

import asyncio
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import trustme

from tests.benchmarks.process import running
from tests.ports import free_port

ADDRESS = "127.0.0.1"
# Go asks a name server on port 53 only, so blackbox_exporter's has an address of its own.
NAME_SERVER = "127.99.53.1"
ZONE = "bench.test"
TEXT = "The quick brown fox"
PAGE = f"<html><title>Benchmark</title><body>{'<p>Some words of a page.</p>' * 700}{TEXT}</body></html>"  # 20 kB


@dataclass(frozen=True)
class World:
    """Where the servers listen."""

    folder: Path
    ca_file: Path
    http1_port: int
    http2_port: int
    silent_port: int
    dns_port: int


@contextmanager
def world(folder: Path) -> Iterator[World]:
    """Start the servers, each a process of its own so that none is counted as the program under test."""
    authority = trustme.CA(key_type=trustme.KeyType.ECDSA)
    authority.cert_pem.write_to_path(folder / "ca.pem")
    certificate = authority.issue_cert(f"*.{ZONE}", key_type=trustme.KeyType.ECDSA)
    certificate.private_key_and_cert_chain_pem.write_to_path(folder / "server.pem")
    (folder / "www").mkdir()
    (folder / "www" / "index.html").write_text(PAGE)
    dns_port = 53 if can_bind_53() else free_port()
    here = World(folder, folder / "ca.pem", free_port(), free_port(), free_port(), dns_port)
    (folder / "nginx.conf").write_text(nginx_configuration(here))
    nginx = ("nginx", "-e", str(folder / "nginx.error"), "-p", str(folder), "-c", str(folder / "nginx.conf"))
    others = (sys.executable, "-m", "tests.benchmarks.world", str(dns_port), str(here.silent_port))
    with running(nginx, folder / "nginx.log") as pages, running(others, folder / "others.log") as names:
        pages.wait_until_open(ADDRESS, here.http2_port)
        names.wait_until_open(ADDRESS, here.silent_port)
        yield here


def can_bind_53() -> bool:
    """Tell whether this user may be a name server on the usual port."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        try:
            one.bind((NAME_SERVER, 53))
        except PermissionError:
            return False
        return True


def nginx_configuration(here: World) -> str:
    """Return a configuration for one process, HTTP/1.1 on one port and HTTP/2 on the other, nothing resumed."""
    return f"""
daemon off; master_process off; pid {here.folder}/nginx.pid; error_log {here.folder}/nginx.error;
worker_rlimit_nofile 20000;
events {{ worker_connections 10000; }}
http {{
  types {{ text/html html; }}
  access_log off; ssl_certificate {here.folder}/server.pem; ssl_certificate_key {here.folder}/server.pem;
  ssl_protocols TLSv1.3; ssl_session_cache off; ssl_session_tickets off;
  client_body_temp_path {here.folder}/b; proxy_temp_path {here.folder}/p; fastcgi_temp_path {here.folder}/f;
  uwsgi_temp_path {here.folder}/u; scgi_temp_path {here.folder}/s;
  server {{ listen {ADDRESS}:{here.http1_port} ssl backlog=4096; root {here.folder}/www; }}
  server {{ listen {ADDRESS}:{here.http2_port} ssl http2 backlog=4096; root {here.folder}/www; }}
}}
"""


class Names(asyncio.DatagramProtocol):
    """A name server that has one address for every name and none of IPv6 (RFC 1035 section 4.1)."""

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]  # what it is here
        self._transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        end = data.index(b"\0", 12) + 5  # the name's root label, type and class
        asks_ipv4 = data[end - 4 : end - 2] == b"\0\1"
        header = data[:2] + b"\x85\x80\0\1" + (b"\0\1" if asks_ipv4 else b"\0\0") + b"\0\0\0\0"
        answer = b"\xc0\x0c\0\1\0\1\0\0\1\x2c\0\4" + socket.inet_aton(ADDRESS) if asks_ipv4 else b""
        self._transport.sendto(header + data[12:end] + answer, addr)


async def hold(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Read for ever and answer nothing."""
    try:
        while await reader.read(4096):
            pass
    except ConnectionError:
        pass
    finally:
        writer.close()


async def serve(dns_port: int, silent_port: int) -> None:
    """Be the name server and the silent server until the process is ended."""
    loop = asyncio.get_running_loop()
    await loop.create_datagram_endpoint(Names, local_addr=(NAME_SERVER, dns_port))
    server = await asyncio.start_server(hold, ADDRESS, silent_port, backlog=4096)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), int(sys.argv[2])))
