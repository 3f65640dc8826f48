"""Literal addresses."""

import ipaddress


def is_address(host: str) -> bool:
    """Tell whether `host` is a literal IPv4 or IPv6 address, without brackets."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
