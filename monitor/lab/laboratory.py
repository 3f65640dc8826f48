"""The loopback censor: a small internet on 127.0.0.0/8 with a line that can be interfered with while it runs.

Everything lives on addresses of its own (places.py), on ports chosen free at start, and is served by one event loop in
a thread. A connection to a site goes through these stages, and each stage may end it:

1. the SYN: dropped or refused, by the kernel, because of the address;
2. the first flight, a ClientHello or a request head in cleartext: the name in it may be on the censor's list;
3. the certificate: the site's own, or one of whoever intercepts the line;
4. the page: the site's own, a block page, or a captive portal's.

The censor sits before the test vantage only. What comes from `places.CONTROL_SOURCE`, or goes to the site's second
address in 127.2.0.0/16, does not pass it. What is wrong with a *site* is wrong for everybody.
"""

import asyncio
import contextlib
import socket
import tempfile
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Coroutine, Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, TypeVar

from monitor.lab import places
from monitor.lab.authority import Authority, Certificate
from monitor.lab.http import serve
from monitor.lab.interference import Cut, carry_out, drop_syns, ends_here, let_syns_through
from monitor.lab.pages import Answerer, Asked, Page, always, known_block_page, origin, plain, redirect
from monitor.lab.resolvers import (
    NXDOMAIN,
    SILENCE,
    Answer,
    Resolver,
    Transport,
    https_answerer,
    serve_stream,
    serve_udp,
)
from monitor.lab.wire import Wire, name_asked, speaks_tls

_CONVERSATION_SECONDS: Final = 120.0
_BACKLOG: Final = 128
_REMEMBERED: Final = 10_000
# A test vantage's public address → the line of an origin zone and of an AS zone about it. The numbers are those of
# RFC 5398: no picture of the laboratory may look as if a real provider had blocked anything.
_NETWORKS: Final = {
    "202.63.192.9": ("64500 | 202.63.192.0/24 | PK | apnic | 2001-09-17", "64500 | PK | apnic | 2016-01-05 | LAB-NET"),
    "182.176.0.9": ("64501 | 182.176.0.0/15 | PK | apnic | 2009-10-16", "64501 | PK | apnic | 2000-12-12 | LAB-AWAY"),
    "39.32.0.9": ("64502 | 39.32.0.0/11 | PK | apnic | 2010-11-03", "64502 | PK | apnic | 2010-11-03 | LAB-SECOND"),
    "119.152.0.9": ("64503 | 119.152.0.0/13 | PK | apnic | 2008-01-02", "64503 | PK | apnic | 2008-01-02 | LAB-THIRD"),
}
_HOME, _AWAY, _SECOND, _THIRD = _NETWORKS
_LINES: Final = {places.SECOND_LINE: _SECOND, places.THIRD_LINE: _THIRD}
T = TypeVar("T")


class Line(StrEnum):
    """In what state the test vantage's own line is."""

    ONLINE = "online"
    OFFLINE = "offline"  # nothing comes back, neither packets nor DNS replies; see `Lab` about privileges
    CAPTIVE = "captive"  # every cleartext request meets a login page, TLS is reset
    INTERCEPTED = "intercepted"  # every certificate is signed by one authority that nobody trusts
    MOVED = "moved"  # it works, but on another network


@dataclass(frozen=True)
class Ports:
    """One port per service, the same on every address."""

    http: int
    https: int
    dns: int
    dot: int


@dataclass(frozen=True)
class Site:
    """A web site and what is wrong with it for everybody."""

    name: str
    addresses: tuple[str, ...]
    answerer: Answerer = origin
    certificate: Certificate = Certificate.GOOD
    cut: Cut | None = None
    alpn: tuple[str, ...] = ("h2", "http/1.1")
    any_name: bool = False  # answers, and has a certificate, for whatever it is asked
    has_tls: bool = True


@dataclass
class _Listener:
    address: str
    port: int
    conversation: Callable[[Wire], Awaitable[None]]
    opened: socket.socket | None = None
    task: asyncio.Task[None] | None = None


@dataclass
class _Censor:
    cuts: dict[str, Cut] = field(default_factory=dict)  # by name
    lines: dict[str, frozenset[str]] = field(default_factory=dict)  # by name: the sources that are cut, if not all are
    dropped: set[str] = field(default_factory=set)  # addresses
    lies: dict[tuple[Resolver, Transport, str], Answer] = field(default_factory=dict)
    line: Line = Line.ONLINE
    block_page: Page = field(default_factory=known_block_page)

    def cut_of(self, name: str, source: str) -> Cut | None:
        """Return what is done to connections from somewhere to a name."""
        return self.cuts.get(name) if source in self.lines.get(name, {source}) else None


class Lab:
    """The running laboratory; use it as a context manager.

    `split` gives every site a second address that does not pass the censor and makes the control's resolver answer
    with it, for controls that cannot bind `places.CONTROL_SOURCE`. Fixed ports below 1024 need privileges.
    Some kernels grant packet filters to the privileged only. There `censor` raises PermissionError for DROP, and on a
    line that is OFFLINE names get no answer and what sanity checks ask refuses, but known addresses still connect.
    `folder` keeps the certificate of its authority, `ca.pem`; by default that goes with the laboratory.
    """

    def __init__(
        self, *, split: bool = False, http_port: int = 0, https_port: int = 0, folder: Path | None = None
    ) -> None:
        self._split = split
        self._folder = folder
        self._wanted = http_port, https_port
        self._sites: dict[str, Site] = {}
        self._published: dict[str, Answer] = {}
        self._censor = _Censor()
        self._listeners: dict[tuple[str, int], _Listener] = {}
        self._datagram_sockets: list[socket.socket] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._faults: list[Exception] = []
        self._resources = contextlib.ExitStack()
        self.requests: deque[Asked] = deque(maxlen=_REMEMBERED)  # what web servers were asked, oldest first
        self.connections: deque[tuple[str, str, str | None]] = deque(maxlen=_REMEMBERED)  # source, destination, name

    def __enter__(self) -> Self:
        """Start serving. Raises OSError if addresses or ports cannot be had."""
        with contextlib.ExitStack() as resources:
            folder = self._folder or Path(resources.enter_context(tempfile.TemporaryDirectory(prefix="access-lab-")))
            self._authority = Authority(folder)
            self.ca_file = self._authority.ca_file
            self.ports, self.closed_port = _choose_ports(resources, *self._wanted)
            self._loop = asyncio.new_event_loop()
            resources.callback(self._loop.close)
            thread = threading.Thread(target=self._loop.run_forever, name="lab", daemon=True)
            thread.start()
            resources.callback(thread.join)
            resources.callback(self._loop.call_soon_threadsafe, self._loop.stop)
            resources.callback(self._call, self._close)
            self._call(self._open)
            self._furnish()
            self._resources = resources.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop. Raises ExceptionGroup if a server of the laboratory failed, unless the block raised already."""
        self._resources.close()
        if self._faults and error is None:
            raise ExceptionGroup("the laboratory itself failed", self._faults)

    # What exists.

    def site(
        self,
        name: str,
        answerer: Answerer = origin,
        *,
        certificate: Certificate = Certificate.GOOD,
        cut: Cut | None = None,
        alpn: Sequence[str] = ("h2", "http/1.1"),
        addresses: Sequence[str] = (),
        any_name: bool = False,
        has_tls: bool = True,
    ) -> Site:
        """Put a site on the net, or change one; it keeps its address unless others are given."""
        number = len(self._sites) + 1
        given = tuple(addresses) or (f"127.1.{number >> 8}.{number & 255}",)
        if not addresses and name in self._sites:
            given = self._sites[name].addresses
        elif not addresses and self._split:
            given = *given, f"{places.UNCENSORED}{number >> 8}.{number & 255}"
        site = Site(name, given, answerer, certificate, cut, tuple(alpn), any_name, has_tls)

        async def change() -> None:
            self._sites[name] = site
            for address in site.addresses:
                self._listen(address, self.ports.http, self._converse)
                if site.has_tls:
                    self._listen(address, self.ports.https, self._converse)
            await self._rearrange()

        self._call(change)
        return site

    def publish(self, name: str, answer: Answer) -> None:
        """Make `answer` the truth about a name: every resolver gives it unless it lies."""
        self._published[name] = answer

    def address(self, name: str) -> str:
        """Return the address under which the test vantage knows a site."""
        return self._sites[name].addresses[0]

    def url(self, name: str, path: str = "/", scheme: str = "https") -> str:
        """Return a URL of a site, with the port unless it is the usual one."""
        port = self.ports.https if scheme == "https" else self.ports.http
        usual = {"https": 443, "http": 80}[scheme]
        return f"{scheme}://{name}{path}" if port == usual else f"{scheme}://{name}:{port}{path}"

    # What stands between the test vantage and it.

    def censor(self, name: str, cut: Cut, block_page: Page | None = None, *, lines: Collection[str] = ()) -> None:
        """Interfere with connections to `name`: by address for DROP, else by name, at any address.

        `lines` are the sources that it is done to (`places.SECOND_LINE`, …), all by default; DROP knows no others.
        """
        if cut is Cut.DROP and lines:
            raise ValueError("the kernel drops for everybody but the control")
        if cut is Cut.REFUSE:
            raise ValueError("a socket cannot refuse some and accept others; let the site refuse everybody")
        self._censor.block_page = block_page or self._censor.block_page
        if cut is Cut.DROP:
            self._censor.dropped.update(self._sites[name].addresses)
        else:
            self._censor.cuts[name] = cut
            self._censor.lines.pop(name, None)
            if lines:
                self._censor.lines[name] = frozenset(lines)
        self._call(self._rearrange)

    def lie(
        self,
        name: str,
        answer: Answer,
        resolvers: Iterable[Resolver] = (Resolver.SYSTEM,),
        transports: Iterable[Transport] = tuple(Transport),
    ) -> None:
        """Make resolvers say something else about a name to everybody but the control."""
        wanted = tuple(transports)
        self._censor.lies.update(
            {(resolver, transport, name): answer for resolver in resolvers for transport in wanted}
        )

    def inject(self, name: str, answer: Answer) -> None:
        """Answer for a name over UDP whichever resolver is asked, as a box on the path does."""
        self.lie(name, answer, (Resolver.SYSTEM, Resolver.PUBLIC), (Transport.UDP,))

    def line(self, state: Line | str) -> None:
        """Change the state of the test vantage's own line."""
        self._censor.line = Line(state)
        self._call(self._rearrange)

    def lift(self) -> None:
        """End all interference; sites keep what is wrong with themselves."""
        self._censor = _Censor()
        self._call(self._rearrange)

    # Resolvers, in the written form of a configuration.

    @property
    def system_resolver(self) -> str:
        """The provider's, over UDP; it lies where it was told to."""
        return f"udp://{places.SYSTEM_RESOLVER}:{self.ports.dns}"

    @property
    def control_resolver(self) -> str:
        """The control's, over UDP; it never lies."""
        return f"udp://{places.CONTROL_RESOLVER}:{self.ports.dns}"

    @property
    def public_resolvers(self) -> tuple[str, ...]:
        """The public resolver over UDP and TCP, and its encrypted twin over HTTPS and TLS."""
        address = places.PUBLIC_RESOLVER
        return (
            f"udp://{address}:{self.ports.dns}",
            f"tcp://{address}:{self.ports.dns}",
            f"{self.url(places.RESOLVER_NAME, '/dns-query')}@{address}",
            f"tls://{address}:{self.ports.dot}",
        )

    # The inside. What is `async` runs on the laboratory's own loop.

    def _call(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        return asyncio.run_coroutine_threadsafe(work(), self._loop).result(timeout=30)

    async def _open(self) -> None:
        for resolver, address in (
            (Resolver.SYSTEM, places.SYSTEM_RESOLVER),
            (Resolver.PUBLIC, places.PUBLIC_RESOLVER),
            (Resolver.CONTROL, places.CONTROL_RESOLVER),
        ):
            udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self._datagram_sockets.append(udp)
            udp.setblocking(False)
            udp.bind((address, self.ports.dns))
            self._spawn(serve_udp(udp, resolver, self._lookup))
            self._listen(address, self.ports.dns, self._dns_over_tcp(resolver))
        self._listen(places.PUBLIC_RESOLVER, self.ports.dot, self._dns_over_tls)
        await self._rearrange()

    def _furnish(self) -> None:
        """Put up what every run needs: hosts for sanity checks and follow-ups, the encrypted resolver, bad hosts."""
        for name, address in zip(places.PORTAL_NAMES, places.PORTALS, strict=True):
            self.site(name, always(plain(places.PORTAL_TEXT)), addresses=[address])
        for name, address in zip(places.SANE_NAMES, places.SANE_HOSTS, strict=True):
            self.site(name, addresses=[address])
        for number, address in enumerate(places.ANCHORS):
            self.site(f"anchor-{number}.{places.DOMAIN}", addresses=[address])
        self.site(places.HARMLESS_NAME, addresses=[places.HARMLESS])
        self.site(places.UNRELATED_NAME, addresses=[places.UNRELATED])
        self.site(places.RESOLVER_NAME, https_answerer(self._lookup), addresses=[places.PUBLIC_RESOLVER])
        self.site(
            f"impostor.{places.DOMAIN}",
            addresses=[places.IMPOSTOR],
            certificate=Certificate.UNKNOWN_AUTHORITY,
            any_name=True,
        )
        self.site(
            f"block-page.{places.DOMAIN}",
            lambda _: self._censor.block_page,
            addresses=[places.BLOCK_PAGE_HOST],
            any_name=True,
            has_tls=False,
        )

    async def _close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for opened in (*self._datagram_sockets, *(listener.opened for listener in self._listeners.values())):
            if opened is not None:
                opened.close()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._note_end)
        return task

    def _note_end(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and isinstance(fault := task.exception(), Exception):
            self._faults.append(fault)

    def _listen(self, address: str, port: int, conversation: Callable[[Wire], Awaitable[None]]) -> None:
        self._listeners.setdefault((address, port), _Listener(address, port, conversation))

    async def _rearrange(self) -> None:
        """Bring every listening socket into the state that sites and censor demand."""
        for listener in self._listeners.values():
            cuts = {site.cut for site in self._sites.values() if listener.address in site.addresses}
            if Cut.REFUSE in cuts:
                await _shut(listener)
                continue
            opened = listener.opened or self._open_listener(listener)
            is_cut_off = self._censor.line is Line.OFFLINE or listener.address in self._censor.dropped
            if Cut.DROP in cuts:
                drop_syns(opened, spare_control=False)
            elif is_cut_off and places.passes_censor("", listener.address):
                try:
                    drop_syns(opened, spare_control=True)
                except PermissionError:
                    # Second best: what only the test vantage asks is gone, and names get no answer.
                    if self._censor.line is not Line.OFFLINE:
                        raise
                    if listener.address in places.LANDMARKS:
                        await _shut(listener)
            else:
                let_syns_through(opened)

    def _open_listener(self, listener: _Listener) -> socket.socket:
        opened = listener.opened = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        opened.setblocking(False)
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        opened.bind((listener.address, listener.port))
        opened.listen(_BACKLOG)
        listener.task = self._spawn(self._accept(opened, listener.conversation))
        return opened

    async def _accept(self, opened: socket.socket, conversation: Callable[[Wire], Awaitable[None]]) -> None:
        while True:
            accepted, _ = await self._loop.sock_accept(opened)
            self._spawn(_talk(accepted, conversation))

    def _dns_over_tcp(self, resolver: Resolver) -> Callable[[Wire], Awaitable[None]]:
        return lambda wire: serve_stream(wire, resolver, Transport.TCP, self._lookup)

    async def _dns_over_tls(self, wire: Wire) -> None:
        name = name_asked(await wire.first_flight()) or wire.destination
        await wire.start_tls(self._authority.context(name, Certificate.GOOD, ("dot",)))
        await serve_stream(wire, Resolver.PUBLIC, Transport.TLS, self._lookup)

    async def _converse(self, wire: Wire) -> None:
        first = await wire.first_flight()
        name = name_asked(first)
        self.connections.append((wire.source, wire.destination, name))
        is_censored = places.passes_censor(wire.source, wire.destination)
        line = self._censor.line if is_censored else Line.ONLINE
        cut = self._censor.cut_of(name or "", wire.source) if is_censored else None
        site = self._site_at(wire.destination, name)
        if line is Line.CAPTIVE and speaks_tls(first):
            cut = Cut.RESET
        for each in (cut, site.cut):
            if each is not None and ends_here(each, first):
                await carry_out(each, wire)
                return

        alpn = None
        if speaks_tls(first):
            certificate = site.certificate
            if cut is Cut.SUBSTITUTE or line is Line.INTERCEPTED:
                certificate = Certificate.INTERCEPTED
            # A box that signs by itself has a certificate for any name; a site only has its own.
            is_signed_here = site.any_name or certificate is Certificate.INTERCEPTED
            subject = name if is_signed_here and name else site.name
            alpn = await wire.start_tls(self._authority.context(subject, certificate, site.alpn))
        answerer = self._answerer(site)
        if line is Line.CAPTIVE:
            answerer = self._captive_portal
        elif cut is Cut.PAGE and not speaks_tls(first):
            answerer = always(self._censor.block_page)
        await serve(wire, answerer, alpn)

    def _site_at(self, address: str, name: str | None) -> Site:
        here = [site for site in self._sites.values() if address in site.addresses]
        return next((site for site in here if site.name == name), here[0])

    def _answerer(self, site: Site) -> Answerer:
        def answer(asked: Asked) -> Page:
            self.requests.append(asked)
            return site.answerer(asked) if site.any_name or asked.host == site.name else plain("no such host here", 400)

        return answer

    def _captive_portal(self, asked: Asked) -> Page:
        login = f"login.{places.DOMAIN}"
        return plain("Sign in to the network") if asked.host == login else redirect(self.url(login, scheme="http"))

    def _lookup(self, resolver: Resolver, transport: Transport, name: str, source: str) -> tuple[Answer, Answer]:
        """Return what a resolver says about a name, and the truth."""
        truth = self._truth(resolver, name, source)
        if resolver is Resolver.CONTROL or source == places.CONTROL_SOURCE:
            return truth, truth
        if self._censor.line is Line.OFFLINE:
            return SILENCE, truth
        return self._censor.lies.get((resolver, transport, name), truth), truth

    def _truth(self, resolver: Resolver, name: str, source: str) -> Answer:
        if name in self._published:
            return self._published[name]
        if site := self._sites.get(name):
            # With two addresses the second one is the control's.
            is_split = self._split and len(site.addresses) > 1
            return Answer(site.addresses[1:] if is_split and resolver is Resolver.CONTROL else site.addresses[:1])
        if name == places.WHOAMI_NAME:
            address = _LINES.get(source, _AWAY if self._censor.line is Line.MOVED else _HOME)
            return Answer((address,), text=address)
        for address, (origin_line, network_line) in _NETWORKS.items():
            reverse = ".".join(reversed(address.split(".")))
            if name == f"{reverse}.{places.ORIGIN_ZONE}":
                return Answer(text=origin_line)
            if name == f"as{network_line.split()[0]}.{places.ASN_ZONE}":
                return Answer(text=network_line)
        return NXDOMAIN


async def _talk(accepted: socket.socket, conversation: Callable[[Wire], Awaitable[None]]) -> None:
    # The client reset, failed in TLS or stayed too long (all OSError), or left.
    with accepted, contextlib.suppress(OSError, EOFError):
        async with asyncio.timeout(_CONVERSATION_SECONDS):
            await conversation(Wire(accepted))


async def _shut(listener: _Listener) -> None:
    if listener.task is not None and listener.opened is not None:
        listener.task.cancel()
        await asyncio.wait([listener.task])
        listener.opened.close()
        listener.task = listener.opened = None


def _choose_ports(resources: contextlib.ExitStack, http_port: int, https_port: int) -> tuple[Ports, int]:
    """Return ports that are free on every address, and one on which nothing will listen while `resources` live."""
    with contextlib.ExitStack() as held:

        def free(keeper: contextlib.ExitStack, kind: socket.SocketKind, port: int = 0) -> int:
            reserved = keeper.enter_context(socket.socket(socket.AF_INET, kind))
            reserved.bind(("0.0.0.0", port))  # noqa: S104 - asks about every address, serves none
            number: int = reserved.getsockname()[1]
            return number

        def free_for_dns() -> int:
            for _ in range(50):
                number = free(held, stream)
                # A port that is free for TCP may just be in use for UDP, by anybody's lookup.
                with contextlib.suppress(OSError):
                    return free(held, socket.SOCK_DGRAM, number)
            raise OSError("no port is free for TCP and UDP alike")

        stream = socket.SOCK_STREAM
        dns_port = free_for_dns()
        ports = Ports(http_port or free(held, stream), https_port or free(held, stream), dns_port, free(held, stream))
        return ports, free(resources, stream)
