"""A small file in MaxMind's format (MaxMind DB File Format Specification 2.0), written here and read by the library."""

import ipaddress
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_MARKER = b"\xab\xcd\xefMaxMind.com"


def write_mmdb(path: Path, rows: Mapping[str, Mapping[str, Any]]) -> None:
    """Write IPv4 networks and what is known of each; none may lie inside another."""
    data, places = b"", {}
    for network, row in rows.items():
        places[network] = len(data)
        data += _encoded(row)
    tree: list[list[Any]] = [[None, None]]
    for network, place in places.items():
        net = ipaddress.IPv4Network(network)
        bits = f"{int(net.network_address):032b}"[: net.prefixlen]
        node = 0
        for bit in map(int, bits[:-1]):
            if tree[node][bit] is None:
                tree.append([None, None])
                tree[node][bit] = len(tree) - 1
            node = tree[node][bit]
        tree[node][int(bits[-1])] = ("data", place)
    count = len(tree)

    def record(value: Any) -> bytes:
        number = count if value is None else value if isinstance(value, int) else count + 16 + value[1]
        return int(number).to_bytes(4, "big")

    search = b"".join(record(left) + record(right) for left, right in tree)
    # The library insists on the types that the specification gives to each.
    metadata = {
        "node_count": _number(6, count, 4),
        "record_size": _number(5, 32, 2),
        "ip_version": _number(5, 4, 2),
        "database_type": _encoded("test"),
        "languages": bytes([0, 11 - 7]),  # an empty array, which has an extended type
        "binary_format_major_version": _number(5, 2, 2),
        "binary_format_minor_version": _number(5, 0, 2),
        "build_epoch": bytes([8, 9 - 7]) + (1).to_bytes(8, "big"),
        "description": _encoded({}),
    }
    path.write_bytes(search + b"\x00" * 16 + data + _MARKER + _mapping(metadata))


def _encoded(value: Any) -> bytes:
    if isinstance(value, str):
        return _head(2, len(value.encode())) + value.encode()
    if isinstance(value, int):
        return _number(6, value, 4)
    return _mapping({key: _encoded(one) for key, one in value.items()})


def _mapping(pairs: Mapping[str, bytes]) -> bytes:
    return _head(7, len(pairs)) + b"".join(_encoded(key) + value for key, value in pairs.items())


def _number(kind: int, value: int, octets: int) -> bytes:
    return _head(kind, octets) + value.to_bytes(octets, "big")


def _head(kind: int, size: int) -> bytes:
    return bytes([kind << 5 | size]) if size < 29 else bytes([kind << 5 | 29, size - 29])
