"""Which network a vantage is on: its public address from a who-am-I name, the network from an origin lookup.

The address is held in memory for scrubbing and comparison, and never leaves this process except as the reversed name of
one DNS question (Team Cymru's IP-to-ASN service), which the `geo.database` file replaces where it is configured.
"""

import asyncio
import ipaddress
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import dns.exception
import dns.message
import dns.rdatatype
import maxminddb

from monitor.model.seams import Network, VantageError
from monitor.model.vantage import NetworkIdentity
from monitor.network.failures import NETWORK_ERRORS

_ORIGIN = re.compile(r"^(\d+)[^|]*\|[^|]*\|\s*([A-Z]{2})?\s*\|")
_AS_NAME = re.compile(r"^\d+\s*\|[^|]*\|[^|]*\|[^|]*\|\s*([^|]{1,80})")


@dataclass(frozen=True)
class WhoAmI:
    """A DNS name whose TXT or A answer is the asker's public address, and the server that knows it."""

    name: str
    query_type: str
    server: str
    port: int = 53

    @classmethod
    def parse(cls, text: str) -> "WhoAmI":
        """Read `NAME TYPE @ SERVER[:PORT]`; raises ValueError."""
        question, _, server = text.partition("@")
        name, query_type = question.split()
        host, _, port = server.strip().partition(":")
        ipaddress.ip_address(host)
        return cls(name, query_type, host, int(port or 53))


async def ask_txt(
    network: Network, server: tuple[str, int], name: str, query_type: str, seconds: float, *, over_tcp: bool = False
) -> list[str]:
    """Return the TXT strings or addresses that one server answers; [] on any failure.

    One question (RFC 1035); at most 20 answers of 255 characters are read. Raises VantageError if the network is not
    ready at all.
    """
    query = dns.message.make_query(name, query_type)
    ready = await network.ready()
    try:
        async with asyncio.timeout(seconds):
            reply = await (_over_tcp if over_tcp else _over_udp)(ready, server, query)
    except (VantageError, *NETWORK_ERRORS):
        return []  # a proxy that lets nothing but the web through answers as little as a silent server
    if reply is None:
        return []
    texts = [
        str(rdata).strip('"') for rrset in reply.answer if rrset.rdtype == query.question[0].rdtype for rdata in rrset
    ]
    return [text[:255] for text in texts[:20]]


async def _over_udp(network: Network, server: tuple[str, int], query: dns.message.Message) -> dns.message.Message:
    loop = asyncio.get_running_loop()
    with await network.connect_udp(*server) as udp:
        await loop.sock_sendall(udp, query.to_wire())
        while True:
            reply = _read(await loop.sock_recv(udp, 4096))
            if reply is not None and query.is_response(reply):
                return reply


async def _over_tcp(
    network: Network, server: tuple[str, int], query: dns.message.Message
) -> dns.message.Message | None:
    stream = await network.connect_tcp(*server)
    try:
        await stream.send(query.to_wire(prepend_length=True))
        received = b""
        while len(received) < 2 or len(received) < 2 + int.from_bytes(received[:2]):
            content = await stream.receive()
            if not content:
                return None
            received += content
    finally:
        stream.close()
    reply = _read(received[2 : 2 + int.from_bytes(received[:2])])
    return reply if reply is not None and query.is_response(reply) else None


def _read(wire: bytes) -> dns.message.Message | None:
    try:
        return dns.message.from_wire(wire)
    except dns.exception.DNSException:
        return None


class IdentityFinder:
    """Finds the network identity of a vantage, and remembers it while its public address stays the same."""

    def __init__(
        self,
        network: Network,
        *,
        whoami: WhoAmI | None,
        resolver: Callable[[], tuple[str, int] | None],
        origin_zone: str | None,
        asn_zone: str | None,
        database: Path | None,
        over_tcp: bool = False,
        seconds: float = 4.0,
    ) -> None:
        self._network = network
        self._whoami = whoami
        self._resolver = resolver
        self._origin_zone = origin_zone
        self._asn_zone = asn_zone
        self._database = database
        self._over_tcp = over_tcp
        self._seconds = seconds
        self._address: str | None = None
        self._local: str | None = None
        self._identity = NetworkIdentity()

    @property
    def addresses(self) -> Sequence[str]:
        """The public address seen last, for scrubbing."""
        return (self._address,) if self._address else ()

    async def find(self) -> NetworkIdentity:
        """Return the identity; one question if the address has not changed. Unknown parts are None."""
        if self._whoami is None:
            return self._identity
        server = (self._whoami.server, self._whoami.port)
        local = await self._local_address(server)
        answers = await self._ask(server, self._whoami.name, self._whoami.query_type)
        address = next((text for text in answers if _is_address(text)), None)
        if address is None:
            # Nobody tells. On the same local address it is the same network; on another one it is not known.
            if local is None or local != self._local:
                self._identity = NetworkIdentity()
            return self._identity
        self._local = local
        if address == self._address and self._identity.asn is not None:
            return self._identity
        self._address = address
        self._identity = await self._look_up(address)
        return self._identity

    async def _ask(self, server: tuple[str, int], name: str, query_type: str) -> list[str]:
        return await ask_txt(self._network, server, name, query_type, self._seconds, over_tcp=self._over_tcp)

    async def _local_address(self, server: tuple[str, int]) -> str | None:
        """Return the address that packets to a server would leave from; nothing is sent."""
        try:
            with await self._network.connect_udp(*server) as sock:
                return str(sock.getsockname()[0])
        except OSError:
            return None

    async def _look_up(self, address: str) -> NetworkIdentity:
        if self._database is not None:
            return await asyncio.to_thread(_from_database, self._database, address)
        resolver = self._resolver()
        if self._origin_zone is None or resolver is None:
            return NetworkIdentity()
        pointer = ipaddress.ip_address(address).reverse_pointer
        reversed_name = pointer.removesuffix(".in-addr.arpa").removesuffix(".ip6.arpa")
        zone = (
            self._origin_zone
            if pointer.endswith(".in-addr.arpa")
            else self._origin_zone.replace("origin.", "origin6.", 1)
        )
        origins = await self._ask(resolver, f"{reversed_name}.{zone}", "TXT")
        match = next((found for text in origins if (found := _ORIGIN.match(text))), None)
        if match is None:
            return NetworkIdentity()
        asn, country, name = int(match[1]), match[2], None
        if self._asn_zone is not None:
            names = await self._ask(resolver, f"AS{asn}.{self._asn_zone}", "TXT")
            name = next((_plain(found[1]) for text in names if (found := _AS_NAME.match(text))), None)
        return NetworkIdentity(asn=asn, name=name, country=country)


def _plain(text: str) -> str:
    return "".join(character for character in text.strip() if character.isprintable())


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _from_database(path: Path, address: str) -> NetworkIdentity:
    """Return what the file knows of an address: nothing if it lacks its family or is damaged there."""
    with maxminddb.open_database(path) as reader:
        try:
            row = reader.get(address)
        except (ValueError, maxminddb.InvalidDatabaseError):
            return NetworkIdentity()
    if not isinstance(row, dict):
        return NetworkIdentity()
    asn, name = row.get("autonomous_system_number"), row.get("autonomous_system_organization")
    country = row.get("country")
    code = country.get("iso_code") if isinstance(country, dict) else country
    return NetworkIdentity(
        asn=asn if isinstance(asn, int) else None,
        name=_plain(name)[:80] if isinstance(name, str) else None,
        country=code if isinstance(code, str) else None,
    )
