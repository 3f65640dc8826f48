"""DNS replies, read as far as an answer needs (RFC 1035 section 4.1, RFC 6891).

dnspython makes an object of every name and record, at ten times the price; on the path of every measurement that is
a quarter of its CPU. It remains the yardstick: a test reads whatever dnspython writes with both.
"""

import socket
import struct
from typing import Final

import dns.exception
import dns.name
import msgspec

from monitor.model.failure import Failure
from monitor.model.observation import DnsAnswer, FailureDetail
from monitor.network.failures import ClassifiedError
from monitor.network.received import printable

TYPES: Final = {"A": 1, "CNAME": 5, "TXT": 16, "AAAA": 28}
_A, _CNAME, _TXT, _AAAA, _OPT = 1, 5, 16, 28, 41
_IN: Final = 1
_ANSWERS_KEPT: Final = 64
_TEXT_LENGTH: Final = 512
_HEADER: Final = struct.Struct("!2sBBHHHH")
_QUESTION: Final = struct.Struct("!HH")
_RECORD: Final = struct.Struct("!HHIH")

Labels = tuple[bytes, ...]  # lower case, without the root


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """What a reply says; `answers` are those of the chain of aliases that begins at the question, in wire order."""

    rcode: int
    answers: tuple[DnsAnswer, ...] = ()
    ttls_seconds: tuple[int, ...] = ()
    is_truncated: bool = False


def labels_of(host: str) -> Labels:
    """Return the labels of a host name in A-labels; raises ValueError if it is none."""
    try:
        return tuple(label.lower() for label in dns.name.from_text(host).labels[:-1])
    except dns.exception.DNSException as error:
        raise ValueError(f"{host!r} is no host name") from error


def read_reply(wire: bytes, query_id: bytes, name: Labels, query_type: str) -> Reply | None:
    """Return what `wire` answers to the question; None if it is a reply to another question or none at all.

    Raises ClassifiedError (`dns_server_misbehaving`) if it is ours and malformed.
    """
    if len(wire) < _HEADER.size:
        return None
    found_id, high, low, questions, answers, authorities, additionals = _HEADER.unpack_from(wire)
    if found_id != query_id or not high & 0x80:
        return None
    try:
        offset = _HEADER.size
        for _ in range(questions):
            asked, offset = _name(wire, offset)
            if (asked, _QUESTION.unpack_from(wire, offset)) != (name, (TYPES[query_type], _IN)):
                return None
            offset += _QUESTION.size
        if high & 0x02:  # TC: what follows may be cut anywhere
            return Reply(rcode=low & 0x0F, is_truncated=True)
        return _answered(wire, offset, (answers, authorities + additionals), name, low & 0x0F)
    except (IndexError, struct.error, ValueError) as error:
        raise ClassifiedError(Failure.DNS_SERVER_MISBEHAVING, FailureDetail(reason="malformed_message")) from error


def _answered(wire: bytes, offset: int, counts: tuple[int, int], name: Labels, rcode: int) -> Reply:
    found: list[DnsAnswer] = []
    ttls: list[int] = []
    for index in range(sum(counts)):
        owner, offset = _name(wire, offset)
        rdtype, rdclass, ttl, length = _RECORD.unpack_from(wire, offset)
        offset += _RECORD.size
        end = offset + length
        if end > len(wire):
            raise ValueError("record beyond the end")
        if index >= counts[0]:
            if rdtype == _OPT:
                rcode |= ttl >> 24 << 4  # RFC 6891 section 6.1.3
        elif owner == name and rdclass == _IN and rdtype in _READERS:
            # Records of names that the chain does not lead to are nobody's answer.
            value = _READERS[rdtype](wire, offset, end)
            if rdtype == _CNAME:
                name, _ = _name(wire, offset)
            found.append(DnsAnswer(_NAMES[rdtype], value))
            ttls.append(ttl)
        offset = end
    return Reply(rcode=rcode, answers=tuple(found[:_ANSWERS_KEPT]), ttls_seconds=tuple(ttls[:_ANSWERS_KEPT]))


def _name(wire: bytes, offset: int) -> tuple[Labels, int]:
    """Return the name at `offset` and where the next field begins; raises ValueError or IndexError."""
    labels: list[bytes] = []
    after = 0
    length_left = 255
    lowest = offset
    while length := wire[offset]:
        if length >= 0xC0:
            pointer = (length & 0x3F) << 8 | wire[offset + 1]
            after = after or offset + 2
            if pointer >= lowest:  # only backwards, so that no name is endless
                raise ValueError("pointer forwards")
            lowest = offset = pointer
            continue
        label = wire[offset + 1 : offset + 1 + length]
        length_left -= length + 1
        if length > 63 or len(label) < length or length_left < 1:
            raise ValueError("bad label")
        labels.append(label.lower())
        offset += length + 1
    return tuple(labels), after or offset + 1


def _ipv4(wire: bytes, begin: int, end: int) -> str:
    return socket.inet_ntop(socket.AF_INET, wire[begin:end])


def _ipv6(wire: bytes, begin: int, end: int) -> str:
    return socket.inet_ntop(socket.AF_INET6, wire[begin:end])


def _alias(wire: bytes, begin: int, end: int) -> str:
    labels, after = _name(wire, begin)
    if after != end:
        raise ValueError("alias and something else")
    return dns.name.Name((*labels, b"")).to_text(omit_final_dot=True)  # escapes whatever is not plain


def _text(wire: bytes, begin: int, end: int) -> str:
    strings = b""
    while begin < end:
        length = wire[begin]
        if begin + 1 + length > end:
            raise ValueError("string beyond the record")
        strings += wire[begin + 1 : begin + 1 + length]
        begin += 1 + length
    return printable(strings, _TEXT_LENGTH)


_READERS: Final = {_A: _ipv4, _AAAA: _ipv6, _CNAME: _alias, _TXT: _text}
_NAMES: Final = {code: name for name, code in TYPES.items()}
