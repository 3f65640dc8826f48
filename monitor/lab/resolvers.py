"""Real DNS servers over UDP, TCP, TLS (RFC 7858) and HTTPS (RFC 8484), and the ways in which their answers lie."""

import asyncio
import base64
import contextlib
import socket
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, StrEnum, auto
from typing import Final
from urllib.parse import parse_qs, urlsplit

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset

from monitor.lab.pages import Asked, Page, with_status
from monitor.lab.wire import Wire

_TTL_SECONDS: Final = 300
_GENUINE_DELAY_SECONDS: Final = 0.2
_QUERY_BYTES: Final = 65_535


class Resolver(StrEnum):
    """Whose answers they are."""

    SYSTEM = "system"
    PUBLIC = "public"
    CONTROL = "control"


class Transport(StrEnum):
    """How a query came."""

    UDP = "udp"
    TCP = "tcp"
    TLS = "tls"
    HTTPS = "https"


class Manner(Enum):
    """How an answer is delivered."""

    PLAINLY = auto()
    NEVER = auto()
    MALFORMED = auto()
    TRUNCATED = auto()  # empty with TC over UDP, whole over the others
    WRONG_ID_FIRST = auto()  # a reply to some other query comes first
    BEFORE_GENUINE = auto()  # the genuine answer comes 0.2 s later, as with an injector on the path


@dataclass(frozen=True)
class Answer:
    """What is said about a name: no addresses and NOERROR is the empty answer."""

    addresses: tuple[str, ...] = ()
    cname: str | None = None
    text: str | None = None
    rcode: dns.rcode.Rcode = dns.rcode.NOERROR
    manner: Manner = Manner.PLAINLY


NXDOMAIN: Final = Answer(rcode=dns.rcode.NXDOMAIN)
EMPTY: Final = Answer()
REFUSED: Final = Answer(rcode=dns.rcode.REFUSED)
SERVFAIL: Final = Answer(rcode=dns.rcode.SERVFAIL)
SILENCE: Final = Answer(manner=Manner.NEVER)
MALFORMED: Final = Answer(manner=Manner.MALFORMED)

# (resolver, transport, name, source) → (what is said, what is true)
Lookup = Callable[[Resolver, Transport, str, str], tuple[Answer, Answer]]


@dataclass(frozen=True)
class Question:
    """One query and where it arrived."""

    resolver: Resolver
    transport: Transport
    source: str


def replies(query: bytes, question: Question, lookup: Lookup) -> list[tuple[float, bytes]]:
    """Return what to send, each with its delay in seconds; nothing is silence."""
    try:
        message = dns.message.from_wire(query)
        asked = message.question[0]
    except (dns.exception.DNSException, IndexError):
        return []
    name = asked.name.to_text(omit_final_dot=True).lower()
    said, true = lookup(question.resolver, question.transport, name, question.source)
    wire = _reply(message, said).to_wire()
    sent = [(0.0, wire)]
    match said.manner:
        case Manner.NEVER:
            sent = []
        case Manner.MALFORMED:
            sent = [(0.0, wire[:12] + b"\xff" * 7)]
        case Manner.TRUNCATED if question.transport is Transport.UDP:
            empty = dns.message.make_response(message)
            empty.flags |= dns.flags.TC
            sent = [(0.0, empty.to_wire())]
        case Manner.WRONG_ID_FIRST:
            sent = [(0.0, bytes([wire[0] ^ 0xFF]) + wire[1:]), (0.05, wire)]
        case Manner.BEFORE_GENUINE:
            sent.append((_GENUINE_DELAY_SECONDS, _reply(message, true).to_wire()))
        case _:
            pass
    return sent


def _reply(query: dns.message.Message, answer: Answer) -> dns.message.Message:
    reply = dns.message.make_response(query)
    reply.flags |= dns.flags.RA
    reply.set_rcode(answer.rcode)
    owner, kind = query.question[0].name, query.question[0].rdtype
    if answer.cname is not None:
        reply.answer.append(dns.rrset.from_text(owner, _TTL_SECONDS, "IN", "CNAME", answer.cname + "."))
        owner = dns.name.from_text(answer.cname)
    values = [address for address in answer.addresses if (":" in address) == (kind == dns.rdatatype.AAAA)]
    if values and kind in {dns.rdatatype.A, dns.rdatatype.AAAA}:
        reply.answer.append(dns.rrset.from_text_list(owner, _TTL_SECONDS, "IN", kind, values))
    if answer.text is not None and kind == dns.rdatatype.TXT:
        reply.answer.append(dns.rrset.from_text(owner, _TTL_SECONDS, "IN", "TXT", f'"{answer.text}"'))
    return reply


async def serve_udp(listener: socket.socket, resolver: Resolver, lookup: Lookup) -> None:
    """Answer until cancelled."""
    loop = asyncio.get_running_loop()
    async with asyncio.TaskGroup() as later:

        async def send(delay_seconds: float, wire: bytes, client: tuple[str, int]) -> None:
            await asyncio.sleep(delay_seconds)
            with contextlib.suppress(OSError):  # the client is gone
                await loop.sock_sendto(listener, wire, client)

        while True:
            try:
                query, client = await loop.sock_recvfrom(listener, _QUERY_BYTES)
            except ConnectionRefusedError:  # an earlier reply met a closed port
                continue
            for delay_seconds, wire in replies(query, Question(resolver, Transport.UDP, client[0]), lookup):
                later.create_task(send(delay_seconds, wire, client))


async def serve_stream(wire: Wire, resolver: Resolver, transport: Transport, lookup: Lookup) -> None:
    """Answer queries with a length before each (RFC 7766) until the client leaves."""
    seen = b""
    while more := await wire.receive():
        seen += more
        while len(seen) >= 2 and len(seen) >= 2 + int.from_bytes(seen[:2]):
            size = 2 + int.from_bytes(seen[:2])
            query, seen = seen[2:size], seen[size:]
            for delay_seconds, reply in replies(query, Question(resolver, transport, wire.source), lookup):
                await asyncio.sleep(delay_seconds)
                await wire.send(len(reply).to_bytes(2) + reply)


def https_answerer(lookup: Lookup) -> Callable[[Asked], Page]:
    """Return the page function of a DNS-over-HTTPS server for GET and POST."""

    def answer(asked: Asked) -> Page:
        query = asked.body
        if asked.method == "GET":
            encoded = parse_qs(urlsplit(asked.path).query).get("dns", [""])[0]
            query = base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4))
        question = Question(Resolver.PUBLIC, Transport.HTTPS, asked.source)
        if sent := replies(query, question, lookup):
            return Page(200, (("Content-Type", "application/dns-message"),), sent[0][1])
        return with_status(504)

    return answer
