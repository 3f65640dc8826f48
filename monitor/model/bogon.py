"""Bogons: addresses that no public name leads to, hence never connected to unless their range is listed."""

import ipaddress
from functools import lru_cache
from typing import Final

# Sources: IANA special-purpose registries; OONI netxlite/bogon.go. Not `is_global`: that calls 6to4 and NAT64 global.
_BOGONS_4: Final = tuple(
    ipaddress.IPv4Network(text)
    for text in (
        "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24",
        "192.0.2.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4",
        "240.0.0.0/4",
    )
)  # fmt: skip
_BOGONS_6: Final = tuple(
    ipaddress.IPv6Network(text)
    for text in (
        "::/96", "::ffff:0:0/96", "100::/64", "2001:10::/28", "2001:db8::/32", "fc00::/7", "fe80::/10", "fec0::/10",
        "ff00::/8",
    )
)  # fmt: skip
_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")  # RFC 6052: the last 32 bits are an IPv4 address


@lru_cache(maxsize=8192)
def is_bogon(address: str, allowed: tuple[str, ...] = ()) -> bool:
    """Tell whether `address` is a bogon outside the CIDR ranges of `allowed`; text that is no address is one.

    IPv6 forms that carry an IPv4 address (6to4, Teredo, NAT64) are bogons if that address is.
    Raises ValueError if `allowed` holds no CIDR range.
    """
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return True
    if any(ip in ipaddress.ip_network(cidr) for cidr in allowed):
        return False
    if isinstance(ip, ipaddress.IPv4Address):
        return any(ip in network for network in _BOGONS_4)
    return any(ip in network for network in _BOGONS_6) or any(
        inner in network for inner in _carried(ip) for network in _BOGONS_4
    )


def _carried(ip: ipaddress.IPv6Address) -> tuple[ipaddress.IPv4Address, ...]:
    if ip in _NAT64:
        return (ipaddress.IPv4Address(int(ip) & 0xFFFF_FFFF),)
    if ip.sixtofour:
        return (ip.sixtofour,)
    return ip.teredo or ()
