"""Writes MaxMind DB files (format 2.0, records of 24 bits) small enough to read, for tests of what reads them."""

import ipaddress
from collections.abc import Mapping
from pathlib import Path
from typing import Final

_METADATA_MARK: Final = b"\xab\xcd\xefMaxMind.com"
_STRING, _UINT16, _UINT32, _MAP, _UINT64, _ARRAY = 2, 5, 6, 7, 9, 11
_GAP: Final = 16  # bytes between tree and data

Value = str | int | Mapping[str, "Value"]


def mmdb(rows: Mapping[str, Mapping[str, Value]], *, ip_version: int = 6) -> bytes:
    """Return a database of `rows`, networks (CIDR) to records; IPv4 lies at ::/96 of a version 6 tree."""
    data = b""
    nodes: list[list[int | None]] = [[None, None]]
    leaves: list[tuple[list[int | None], int, int]] = []
    for network, record in rows.items():
        bits = _bits(network, ip_version)
        at = 0
        for bit in bits[:-1]:
            if nodes[at][bit] is None:
                nodes.append([None, None])
                nodes[at][bit] = len(nodes) - 1
            at = nodes[at][bit] or 0
        leaves.append((nodes[at], bits[-1], len(data)))
        data += _encoded(record)
    count = len(nodes)
    for node, bit, offset in leaves:
        node[bit] = count + _GAP + offset
    tree = b"".join((count if child is None else child).to_bytes(3, "big") for node in nodes for child in node)
    # The reader wants each number of the metadata in its own type.
    metadata = {
        "node_count": _number(_UINT32, count),
        "record_size": _number(_UINT16, 24),
        "ip_version": _number(_UINT16, ip_version),
        "database_type": _encoded("Test-ASN"),
        "languages": _control(_ARRAY, 0),
        "binary_format_major_version": _number(_UINT16, 2),
        "binary_format_minor_version": _number(_UINT16, 0),
        "build_epoch": _number(_UINT64, 1),
        "description": _control(_MAP, 0),
    }
    pairs = b"".join(_encoded(key) + encoded for key, encoded in metadata.items())
    return tree + bytes(_GAP) + data + _METADATA_MARK + _control(_MAP, len(metadata)) + pairs


def write_mmdb(path: Path, rows: Mapping[str, Mapping[str, Value]]) -> None:
    """Write a database of IPv4 networks alone."""
    path.write_bytes(mmdb(rows, ip_version=4))


def _bits(network: str, ip_version: int) -> list[int]:
    parsed = ipaddress.ip_network(network)
    width, length = parsed.max_prefixlen, parsed.prefixlen
    bits = [int(parsed.network_address) >> (width - 1 - place) & 1 for place in range(length)]
    return [0] * 96 + bits if ip_version == 6 and parsed.version == 4 else bits


def _encoded(value: Value) -> bytes:
    if isinstance(value, str):
        content = value.encode()
        return _control(_STRING, len(content)) + content
    if isinstance(value, int):
        return _number(_UINT32, value)
    pairs = b"".join(_encoded(key) + _encoded(each) for key, each in value.items())
    return _control(_MAP, len(value)) + pairs


def _number(kind: int, value: int) -> bytes:
    content = value.to_bytes((value.bit_length() + 7) // 8, "big")
    return _control(kind, len(content)) + content


def _control(kind: int, size: int) -> bytes:
    head, rest = (size, b"") if size < 29 else (29, bytes((size - 29,)))
    if kind > 7:  # extended: the type follows in a byte of its own
        return bytes((head, kind - 7)) + rest
    return bytes((kind << 5 | head,)) + rest
