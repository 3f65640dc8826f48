"""Which resolvers the system names, and how resolvers are written in configuration."""

import ipaddress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from monitor.model.address import is_address

Endpoint = tuple[str, int]  # address, port

_LOCAL: Final[tuple[Endpoint, ...]] = (("127.0.0.1", 53),)
_PORTS: Final = {"udp": 53, "tcp": 53, "tls": 853, "https": 443}


@dataclass(frozen=True, slots=True)
class Resolver:
    """One configured resolver. `label` is what observations say: `private` hides an address of the local network."""

    label: str
    transport: str  # system, udp, tcp, tls, https
    address: str | None = None  # None: the system's, or `host` is to be resolved first
    host: str = ""  # the name its certificate is for
    port: int = 53
    path: str = ""

    @property
    def server_name(self) -> str | None:
        """What the handshake names: no literal address (RFC 6066 section 3)."""
        return None if is_address(self.host) else self.host


@lru_cache(maxsize=1024)  # bounded: an agent's callers name what they want
def resolver_of(text: str) -> Resolver:
    """Parse `system`, `udp://9.9.9.9[:53]`, `tcp://…`, `tls://HOST[@ADDRESS][:853]` or `https://HOST/path[@ADDRESS]`.

    A port stands after the host, the pinned address at the very end. Raises ValueError.
    """
    if text == "system":
        return Resolver(label="system", transport="system")
    unpinned, _, pinned = text.partition("@")
    url = urlsplit(unpinned)
    host = url.hostname or ""
    if url.scheme not in _PORTS or not host:
        raise ValueError(f"{text!r} is no resolver")
    address = pinned.strip("[]") or (host if is_address(host) else None)
    if (address is None and url.scheme in {"udp", "tcp"}) or (address and not is_address(address)):
        raise ValueError(f"{text!r} names no address")
    return Resolver(
        label="private" if address and _is_private(address) else text,
        transport=url.scheme,
        address=address,
        host=host,
        port=url.port or _PORTS[url.scheme],
        path=url.path or "/",
    )


def nameservers(path: Path = Path("/etc/resolv.conf")) -> tuple[Endpoint, ...]:
    """Return what resolv.conf(5) names, at most three, read again when it changes; like libc, else 127.0.0.1."""
    try:
        return _read(path, path.stat().st_mtime_ns) or _LOCAL
    except OSError:
        return _LOCAL


@lru_cache(maxsize=8)
def _read(path: Path, changed: int) -> tuple[Endpoint, ...]:  # noqa: ARG001  part of the key
    words = [line.split() for line in path.read_text(encoding="utf-8", errors="replace").splitlines()]
    found = [word[1] for word in words if len(word) > 1 and word[0] == "nameserver" and is_address(word[1])]
    return tuple((address, 53) for address in found[:3])


def _is_private(address: str) -> bool:
    ip = ipaddress.ip_address(address)
    # Shared address space (RFC 6598) is neither private nor global to `ipaddress`; loopback gives nobody away.
    return not ip.is_global and not ip.is_loopback
