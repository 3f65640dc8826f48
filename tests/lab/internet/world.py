"""The world beyond the censored line: web servers and resolvers, all on one event loop, in one namespace."""

import asyncio
import contextlib
import dataclasses
import socket
import ssl
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import trustme

from monitor.lab.authority import Authority, Certificate
from monitor.lab.http import serve
from monitor.lab.interference import carry_out, ends_here
from monitor.lab.pages import Answerer, Asked, Page, always, with_status
from monitor.lab.resolvers import NXDOMAIN, Answer, Question, Resolver, Transport, https_answerer, replies, serve_stream
from monitor.lab.wire import Wire, name_asked, speaks_tls
from tests.lab.internet import addresses, http3
from tests.lab.internet.hosts import HOSTS, Host
from tests.lab.internet.namespaces import WORLD, inside, listening

# The kernel here may lack netem, so that servers answer later instead: what a box on the path injects comes first.
DISTANCE_SECONDS: Final = 0.02
_CONVERSATION_SECONDS: Final = 60.0
_REMEMBERED: Final = 10_000
_RESOLVERS: Final = {
    addresses.SYSTEM_RESOLVER: Resolver.SYSTEM,
    addresses.ROOT_RESOLVER: Resolver.CONTROL,
    addresses.WHOAMI_RESOLVER: Resolver.CONTROL,
    **dict.fromkeys(addresses.PUBLIC_RESOLVERS, Resolver.PUBLIC),
}
WORLD_ADDRESSES: Final = (*HOSTS, *_RESOLVERS)
# (resolver, or None for all of them; name) → answer
Zones = dict[tuple[Resolver | None, str], Answer]


class World:
    """Servers and resolvers; what is wrong with them is set in `hosts`, `zones` and `control_zone`, and lifted."""

    def __init__(self, folder: Path) -> None:
        self._authority = Authority(folder)
        self._fresh = trustme.CA(organization_name="Fresh Authority")
        self._fresh.cert_pem.write_to_path(str(self._authority.ca_file), append=True)
        self.ca_file = self._authority.ca_file
        self._fresh_contexts: dict[str, ssl.SSLContext] = {}
        self._folder = folder
        self.faults: list[Exception] = []  # of the laboratory itself
        self._tasks: set[asyncio.Task[None]] = set()
        self.requests: deque[Asked] = deque(maxlen=_REMEMBERED)
        self.hosts: dict[str, Host] = {}
        self.zones: Zones = {}
        self.control_zone: dict[str, Answer] = {}  # what every resolver tells the control alone
        self.lift()

    def lift(self) -> None:
        """Heal every server and zone."""
        self.hosts = dict(HOSTS)
        self.zones = {(None, name): Answer((address,)) for address, host in HOSTS.items() for name in host.names}
        for address, name in addresses.PUBLIC_RESOLVERS.items():
            self.zones[None, name] = Answer((address,))
        self.zones[None, addresses.CONTROL_NAME] = Answer((addresses.CONTROL,))
        self.control_zone = {}
        self.requests.clear()

    def change(self, address: str, **fields: Any) -> None:
        """Change a server until the next `lift`."""
        self.hosts[address] = dataclasses.replace(self.hosts[address], **fields)

    async def open(self) -> None:
        """Listen everywhere."""
        loop = asyncio.get_running_loop()
        for address, host in HOSTS.items():
            for port in host.ports:
                self._accept(address, port, self._host_conversation(address, port))
            if host.quic:
                with inside(WORLD):
                    opened = http3.bound(address)
                configured = http3.configuration(*self._quic_files(host.names))
                await loop.create_datagram_endpoint(
                    lambda configured=configured, address=address: http3.protocol(  # type: ignore[misc]
                        configured, self._answerer(address), address
                    ),
                    sock=opened,
                )
        for address, resolver in _RESOLVERS.items():
            self._accept(address, 53, self._dns_conversation(resolver))
            with inside(WORLD):
                datagrams = listening(address, 53, socket.SOCK_DGRAM)
            self.spawn(self._answer_datagrams(datagrams, resolver))
            if resolver is Resolver.PUBLIC:
                self._accept(address, 443, self._dns_over_https(addresses.PUBLIC_RESOLVERS[address]))

    async def close(self) -> None:
        """End every conversation."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _quic_files(self, names: tuple[str, ...]) -> tuple[str, str]:
        leaf = self._fresh.issue_cert(*names)
        chain, key = self._folder / f"{names[0]}-quic.pem", self._folder / f"{names[0]}-quic.key"
        chain.write_bytes(b"".join(blob.bytes() for blob in leaf.cert_chain_pems))
        leaf.private_key_pem.write_to_path(str(key))
        return str(chain), str(key)

    def _accept(self, address: str, port: int, conversation: Callable[[Wire], Awaitable[None]]) -> None:
        with inside(WORLD):
            opened = listening(address, port)
        self.spawn(accept(opened, conversation, self.spawn))

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run something until `close`."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._note_end)

    def _note_end(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and isinstance(fault := task.exception(), Exception):
            self.faults.append(fault)

    # Web servers.

    def _host_conversation(self, address: str, port: int) -> Callable[[Wire], Awaitable[None]]:
        async def conversation(wire: Wire) -> None:
            host = self.hosts[address]
            first = await wire.first_flight()
            await asyncio.sleep(DISTANCE_SECONDS)
            if host.cut is not None and port in host.cut_ports and ends_here(host.cut, first):
                await carry_out(host.cut, wire)
            elif host.relay:
                await self._relay(wire, first)
            elif first:
                await self._serve(wire, address, first)

        return conversation

    async def _relay(self, wire: Wire, first: bytes) -> None:
        """Pass on to the server that serves the name; as it sees the certificate's name, nothing shows."""
        name = name_asked(first)
        true = self.zones.get((None, name or ""))
        if true is not None and true.addresses[0] in HOSTS:
            await self._serve(wire, true.addresses[0], first)
        else:
            wire.reset()

    async def _serve(self, wire: Wire, address: str, first: bytes) -> None:
        host = self.hosts[address]
        alpn = None
        if speaks_tls(first):
            asked = name_asked(first)
            is_served = asked in host.names or host.any_name or not host.names
            name = asked if asked and is_served else next(iter(host.names), address)
            usual = self._authority.context(name, host.certificate(name), host.alpn)
            context = self._fresh_context(name) if host.fresh else usual
            alpn = await wire.start_tls(context)
        await serve(wire, self._answerer(address), alpn)

    async def intercept(self, wire: Wire, address: str, first: bytes) -> None:
        """Serve a server's own pages under a certificate that a box on the line made up."""
        name = name_asked(first) or address
        alpn = await wire.start_tls(self._authority.context(name, Certificate.INTERCEPTED, ("h2", "http/1.1")))
        await serve(wire, self._answerer(address), alpn)

    def _fresh_context(self, name: str) -> ssl.SSLContext:
        if name not in self._fresh_contexts:
            now = datetime.now(UTC)  # noqa: TID251 - what is fresh today needs today
            leaf = self._fresh.issue_cert(name, not_before=now - timedelta(hours=1), not_after=now + timedelta(days=6))
            self._fresh_contexts[name] = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            leaf.configure_cert(self._fresh_contexts[name])
        return self._fresh_contexts[name]

    def _answerer(self, address: str) -> Answerer:
        def answer(asked: Asked) -> Page:
            self.requests.append(asked)
            return self.hosts[address].answerer(asked)

        return answer

    # Resolvers.

    def _dns_conversation(self, resolver: Resolver) -> Callable[[Wire], Awaitable[None]]:
        return lambda wire: serve_stream(wire, resolver, Transport.TCP, self._lookup)

    def _dns_over_https(self, name: str) -> Callable[[Wire], Awaitable[None]]:
        async def conversation(wire: Wire) -> None:
            if not speaks_tls(await wire.first_flight()):
                await serve(wire, always(with_status(400)), None)
                return
            alpn = await wire.start_tls(self._authority.context(name, Certificate.GOOD, ("h2", "http/1.1")))
            await serve(wire, https_answerer(self._lookup), alpn)

        return conversation

    async def _answer_datagrams(self, opened: socket.socket, resolver: Resolver) -> None:
        loop = asyncio.get_running_loop()

        async def send(delay_seconds: float, reply: bytes, client: Any) -> None:
            await asyncio.sleep(DISTANCE_SECONDS + delay_seconds)
            with contextlib.suppress(OSError):  # the client is gone
                await loop.sock_sendto(opened, reply, client)

        while True:
            try:
                query, client = await loop.sock_recvfrom(opened, 65_535)
            except OSError:  # an earlier reply met a closed port
                continue
            for delay_seconds, reply in replies(query, Question(resolver, Transport.UDP, client[0]), self._lookup):
                self.spawn(send(delay_seconds, reply, client))

    def _lookup(self, resolver: Resolver, transport: Transport, name: str, source: str) -> tuple[Answer, Answer]:
        """Return what a resolver says about a name, and the truth."""
        _ = transport
        truth = self.zones.get((None, name)) or _registry(name, source) or NXDOMAIN
        if source in {addresses.CONTROL, addresses.CONTROL_V6} and name in self.control_zone:
            return self.control_zone[name], truth
        return self.zones.get((resolver, name), truth), truth


def _registry(name: str, source: str) -> Answer | None:
    """Answer who asks, and to which network an address belongs."""
    if name == addresses.WHOAMI_NAME:
        return Answer((source,), text=source)
    for zone, reads in ((addresses.ORIGIN_ZONE, _origin_line), (addresses.ASN_ZONE, _network_line)):
        if name.endswith(f".{zone}"):
            text = reads(name.removesuffix(f".{zone}"))
            return None if text is None else Answer(text=text)
    return None


def _origin_line(reversed_address: str) -> str | None:
    octets = reversed_address.split(".")[::-1]
    if len(octets) != 4:
        return None
    prefix, number, country, _ = addresses.network_of(".".join(octets))
    return f"{number} | {prefix} | {country} | lab | 2001-09-17"


def _network_line(label: str) -> str | None:
    for address in (*WORLD_ADDRESSES, addresses.CLIENT, addresses.CONTROL):
        if ":" not in address:
            _, number, country, name = addresses.network_of(address)
            if label == f"as{number}":
                return f"{number} | {country} | lab | 2001-09-17 | {name}"
    return None


async def accept(
    opened: socket.socket,
    conversation: Callable[[Wire], Awaitable[None]],
    spawn: Callable[[Coroutine[Any, Any, None]], None],
) -> None:
    """Have a conversation with whoever connects, until cancelled."""
    loop = asyncio.get_running_loop()
    while True:
        accepted, _ = await loop.sock_accept(opened)
        spawn(_talk(accepted, conversation))


async def _talk(accepted: socket.socket, conversation: Callable[[Wire], Awaitable[None]]) -> None:
    # The client reset, failed in TLS or stayed too long (all OSError), or left.
    with accepted, contextlib.suppress(OSError, EOFError):
        async with asyncio.timeout(_CONVERSATION_SECONDS):
            await conversation(Wire(accepted))
