"""A web page, an API or a media host, measured as an ordinary client reaches it.

Every hop: A and AAAA, connections to the first addresses of each family, TLS on each, and one GET over the first whose
certificate is good, IPv4 first. Redirects are followed hop by hop, each resolved afresh; nothing is reused between
hops but cookies. A network that is asked by name gets the name in place of addresses, and nothing is resolved. A target
that is always measured over HTTP/3 too gets one QUIC handshake at the end. Asked for follow-ups, the probe carries out
exactly these. It holds no opinion.
"""

import asyncio
from dataclasses import dataclass
from typing import Final

from msgspec.structs import replace

from monitor.model.address import is_address
from monitor.model.bogon import is_bogon
from monitor.model.failure import Failure
from monitor.model.measurement import FollowUp, Measurement, Recording, Request
from monitor.model.observation import (
    FailureDetail,
    HttpObservation,
    Observation,
    Purpose,
    TcpObservation,
)
from monitor.model.seams import Network, Stream
from monitor.model.target import QuicUse
from monitor.model.vantage import NetworkIdentity
from monitor.network.connect import connect
from monitor.network.exchange import CookieJar, Exchange, exchange
from monitor.network.handshake import handshake
from monitor.network.quic import quic_handshake, quic_ping
from monitor.network.recorder import Recorder
from monitor.network.resolve import resolve
from monitor.network.stream import TlsStream
from monitor.network.throughput import Transfer, throughput
from monitor.network.toolbox import Toolbox
from monitor.network.web_url import WebUrl, web_url

_UNOBSERVED: Final = NetworkIdentity()
_PARALLEL_ADDRESSES: Final = 4
_SUSPENDED_SECONDS: Final = 1.0
_LATE_SECONDS: Final = 0.25


async def measure(
    request: Request, network: Network, toolbox: Toolbox, identity: NetworkIdentity = _UNOBSERVED
) -> Recording:
    """Measure `request.target`, or carry out `request.follow_ups` if there are any.

    Steps not reached within `limits.total_seconds` are absent. Raises ValueError if the target's URL is none.
    """
    started_at = toolbox.clock.now()
    run = _Run(request, network, toolbox)
    url = web_url(request.target.url)
    try:
        await (run.follow_ups() if request.follow_ups else run.path(url))
    except BaseExceptionGroup as group:
        raise _our_mistake(group) from None
    finally:
        run.close()
    recorder = run.recorder
    return Recording(
        measurement=Measurement(
            id=toolbox.ids.new(started_at),
            target=request.target.name,
            url=url.text,
            vantage=toolbox.vantage,
            started_at=started_at,
            elapsed_seconds=recorder.elapsed(),
            context=toolbox.context,
            network=identity,
            is_deep=bool(request.follow_ups),
            interrupted=recorder.suspended_seconds() > _SUSPENDED_SECONDS,
            observations=tuple(sorted(recorder.observations, key=lambda each: each.started_seconds)),
        ),
        evidence=tuple(recorder.evidence.values()),
    )


@dataclass(frozen=True, slots=True)
class _Place:
    """One endpoint, the name to ask it for, and why it is visited."""

    address: str
    port: int
    name: str | None
    purpose: Purpose = Purpose.PATH
    hop: int = 0


class _Run:
    """One measurement under way."""

    def __init__(self, request: Request, network: Network, toolbox: Toolbox) -> None:
        self._request = request
        self._limits = request.limits
        self._network = network
        self._toolbox = toolbox
        self._streams: list[Stream] = []
        self.recorder = Recorder(toolbox.clock, toolbox.own_addresses, toolbox.private_words)

    def close(self) -> None:
        """Close every connection still open."""
        for stream in self._streams:
            stream.close()
        self._streams.clear()

    async def path(self, url: WebUrl) -> None:
        """Go the way of an ordinary client."""
        cookies = CookieJar()
        for hop in range(self._limits.redirects + 1):
            page = await self._hop(url, hop, cookies)
            self.close()
            if page is None or page.failure or page.location is None or self._is_expected(page):
                break
            url = web_url(page.location)
        else:
            return
        if self._request.target.quic is QuicUse.ALWAYS and url.is_tls:
            await self._http3(url, hop)

    async def follow_ups(self) -> None:
        """Carry out the follow-ups: dns ones at once, others one after the other at each address."""
        in_turn: dict[tuple[str, bool], list[FollowUp]] = {}
        for follow_up in self._request.follow_ups:
            if follow_up.until != "dns":
                # Transfers are compared with each other, so none may share the line with another.
                # What is asked in small packets has a turn of its own: it may hang as long as the others.
                is_small = follow_up.purpose is Purpose.SMALL_SEGMENTS
                place = "" if follow_up.until == "throughput" else follow_up.address
                in_turn.setdefault((place, is_small), []).append(follow_up)
        slots = asyncio.Semaphore(_PARALLEL_ADDRESSES)
        async with asyncio.TaskGroup() as group:
            for follow_up in self._request.follow_ups:
                if follow_up.until == "dns":
                    group.create_task(self._ask_again(follow_up))
            for sequence in in_turn.values():
                group.create_task(self._in_turn(sequence, slots))

    async def _hop(self, url: WebUrl, hop: int, cookies: CookieJar) -> HttpObservation | None:
        expected = self._request.target.expectation
        if self._toolbox.by_name and not url.is_literal:
            if hop and not url.is_tls:
                # It may lead into the proxy's own network, and in cleartext no certificate would stop us there.
                return None
            addresses = [url.host]
        else:
            addresses = self._chosen((url.host,) if url.is_literal else await self._resolve(url.host, hop))
        if len(addresses) == 1 and url.is_tls and not (expected.tcp_only or expected.tls_only):
            stream = await self._open(url, addresses[0], hop, finish=False)
            return None if stream is None else await self._get(url, addresses[0], stream, hop, cookies)
        async with asyncio.TaskGroup() as group:
            openings = [group.create_task(self._open(url, address, hop)) for address in addresses]
            if not (url.is_tls or url.names_port or expected.tcp_only):
                for address in addresses:
                    group.create_task(self._check_address(url, address, hop))
            if expected.tcp_only or expected.tls_only:
                return None
            for address, opening in zip(addresses, openings, strict=True):
                # The other addresses go on by themselves, so that a slow one does not let this connection age.
                if (stream := await opening) is not None:
                    return await self._get(url, address, stream, hop, cookies)
        return None

    async def _resolve(self, host: str, hop: int) -> tuple[str, ...]:
        """Ask the system path for A and AAAA at once; return the addresses, IPv4 first."""
        seconds = self._allowed(self._limits.dns_seconds)
        if seconds is None:
            return ()
        async with asyncio.TaskGroup() as group:
            lookups = [
                group.create_task(
                    resolve(
                        self._toolbox, self._network, self.recorder, host, query_type,
                        resolver=self._request.resolvers[0], seconds=seconds,
                        listen_seconds=self._limits.dns_listen_seconds, hop=hop,
                    )
                )
                for query_type in ("A", "AAAA")
            ]  # fmt: skip
        answers = [lookup.result() for lookup in lookups]
        for answer in answers:
            self._add(answer, self._limits.dns_seconds, seconds)
        return answers[0].addresses + answers[1].addresses

    def _chosen(self, addresses: tuple[str, ...]) -> list[str]:
        """Return the first addresses of each family, IPv4 first, bogons left out."""
        kept = [each for each in dict.fromkeys(addresses) if not is_bogon(each, self._request.allowed_bogons)]
        limit = self._limits.addresses_per_family
        return [each for each in kept if ":" not in each][:limit] + [each for each in kept if ":" in each][:limit]

    async def _open(self, url: WebUrl, address: str, hop: int, *, finish: bool = True) -> Stream | None:
        """Connect and, for https, shake hands; return the stream if a request may be sent over it."""
        place = _Place(address, url.port, url.host, hop=hop)
        stream = await self._connect(place)
        if stream is None or self._request.target.expectation.tcp_only or not url.is_tls:
            return stream
        return await self._handshake(stream, place, finish=finish)

    async def _http3(self, url: WebUrl, hop: int) -> None:
        """Shake hands over QUIC at the address that was asked first."""
        tried = next(
            (one for one in self.recorder.observations if isinstance(one, TcpObservation) and one.hop == hop), None
        )
        if tried is not None:
            await self._quic(_Place(tried.address, url.port, url.host, hop=hop))

    async def _check_address(self, url: WebUrl, address: str, hop: int) -> None:
        """Shake hands on 443 with the name of a cleartext URL, to learn whom the address belongs to."""
        place = _Place(address, 443, url.host, Purpose.ADDRESS_CHECK, hop)
        if (stream := await self._connect(place)) is not None:
            await self._handshake(stream, place)

    async def _get(
        self, url: WebUrl, address: str, stream: Stream, hop: int, cookies: CookieJar
    ) -> HttpObservation | None:
        limit = self._limits.redirects
        asked = Exchange(
            url=url,
            address=address,
            port=url.port,
            user_agent=self._user_agent(url),
            text=self._request.target.expectation.text,
            body_bytes=self._limits.body_bytes,
            may_redirect=hop < limit or limit == 0,  # a limit of 0 asks for the first answer, whatever it is
            hop=hop,
        )
        return await self._exchange(stream, asked, cookies)

    def _user_agent(self, url: WebUrl) -> str:
        # The path reads cleartext, which therefore names neither the tool nor a contact.
        return self._request.user_agent if url.is_tls else self._request.cleartext_user_agent

    def _is_expected(self, page: HttpObservation) -> bool:
        """Tell whether a redirect is itself what the target is to answer, and so not to be followed."""
        return page.status_code in self._request.target.expectation.statuses or self._limits.redirects == 0

    async def _in_turn(self, follow_ups: list[FollowUp], slots: asyncio.Semaphore) -> None:
        async with slots:
            for follow_up in follow_ups:
                if await self._waited(follow_up.wait_seconds):
                    await self._look_again(follow_up)

    async def _waited(self, seconds: float) -> bool:
        """Wait so long; False, at once, if nothing could follow within the time of the whole."""
        if self.recorder.elapsed() + seconds >= self._limits.total_seconds:
            return False
        await asyncio.sleep(seconds)
        return True

    async def _ask_again(self, asked: FollowUp) -> None:
        is_time = await self._waited(asked.wait_seconds)
        seconds = self._allowed(self._limits.dns_seconds) if is_time else None
        if seconds is not None:
            observation = await resolve(
                self._toolbox, self._network, self.recorder, asked.host, asked.query_type,
                resolver=asked.resolver or self._request.resolvers[0], seconds=seconds,
                listen_seconds=self._limits.dns_listen_seconds, purpose=asked.purpose, hop=asked.hop,
            )  # fmt: skip
            self._add(observation, self._limits.dns_seconds, seconds)

    async def _look_again(self, asked: FollowUp) -> None:
        """Look once more at one address, which is no bogon unless its range is allowed, or at a name."""
        is_name = self._toolbox.by_name and not is_address(asked.address)
        if not is_name and is_bogon(asked.address, self._request.allowed_bogons):
            return
        place = _Place(asked.address, asked.port, asked.server_name, asked.purpose, asked.hop)
        if asked.until == "quic":
            await self._quic(place)
        elif asked.until == "throughput":
            await self._transfer(asked)
        elif (stream := await self._connect(place)) is not None:
            await self._go_on(stream, place, asked)
            stream.close()

    async def _go_on(self, opened: Stream, place: _Place, asked: FollowUp) -> None:
        """Go as far as `until`; a request is sent in cleartext or to a verified peer only."""
        if asked.until == "tcp":
            return
        url = web_url(asked.url) if asked.until == "http" else None
        is_cleartext = url is not None and not url.is_tls
        stream = opened if is_cleartext else await self._handshake(opened, place)
        if url is not None and stream is not None:
            exchanged = Exchange(
                url=url,
                address=asked.address,
                port=asked.port,
                user_agent=self._user_agent(url),
                host=asked.host or None,
                text=self._request.target.expectation.text,
                body_bytes=self._limits.body_bytes,
                purpose=asked.purpose,
                hop=asked.hop,
            )
            await self._exchange(stream, exchanged, None)

    async def _quic(self, place: _Place) -> None:
        seconds = self._allowed(self._limits.quic_seconds)
        if seconds is None:
            return
        if place.purpose is Purpose.QUIC_PING:
            observation = await quic_ping(
                self.recorder, self._network, place.address, place.port, seconds=seconds, hop=place.hop
            )
        else:
            observation = await quic_handshake(
                self._toolbox.clock, self._toolbox.trust, self.recorder, self._network, address=place.address,
                port=place.port, server_name=place.name, seconds=seconds, purpose=place.purpose, hop=place.hop,
            )  # fmt: skip
        self._add(observation, self._limits.quic_seconds, seconds)

    async def _transfer(self, asked: FollowUp) -> None:
        seconds = self._allowed(self._limits.total_seconds)
        if seconds is None:
            return
        url = web_url(asked.url)
        transfer = Transfer(
            url=url,
            address=asked.address,
            port=asked.port,
            server_name=asked.server_name,
            verify_name=asked.verify_name,
            user_agent=self._user_agent(url),
            host=asked.host or None,
            max_bytes=self._limits.transfer_bytes,
            connect_seconds=min(self._limits.tcp_seconds, seconds),
            transfer_seconds=min(self._limits.transfer_seconds, seconds),
            total_seconds=seconds,
            purpose=asked.purpose,
            hop=asked.hop,
        )
        self.recorder.add(await throughput(self._toolbox, self._network, self.recorder, transfer))

    async def _connect(self, place: _Place) -> Stream | None:
        seconds = self._allowed(self._limits.tcp_seconds)
        is_small = place.purpose is Purpose.SMALL_SEGMENTS
        network = self._network.in_small_segments() if is_small else self._network
        if seconds is None or network is None:
            return None
        observation, stream = await connect(
            network, self.recorder, place.address, place.port,
            seconds=seconds, purpose=place.purpose, hop=place.hop,
        )  # fmt: skip
        if stream is not None:
            self._streams.append(stream)
        self._add(observation, self._limits.tcp_seconds, seconds)
        return stream

    async def _handshake(self, stream: Stream, place: _Place, *, finish: bool = True) -> TlsStream | None:
        """Return the stream if the peer proved to be whom we asked for."""
        seconds = self._allowed(self._limits.tls_seconds)
        if seconds is None:
            return None
        observation, secure = await handshake(
            self._toolbox.clock, self._toolbox.trust, self.recorder, stream,
            server_name=place.name, address=place.address, port=place.port,
            seconds=seconds, purpose=place.purpose, hop=place.hop, finish=finish,
        )  # fmt: skip
        self._add(observation, self._limits.tls_seconds, seconds)
        return secure if observation.verified else None

    async def _exchange(self, stream: Stream, asked: Exchange, cookies: CookieJar | None) -> HttpObservation | None:
        seconds = self._allowed(self._limits.http_seconds)
        if seconds is None:
            return None
        observation = await exchange(
            self._toolbox.clock, self.recorder, stream, asked, seconds=seconds, cookies=cookies
        )
        self._add(observation, self._limits.http_seconds, seconds)
        return observation

    def _allowed(self, limit: float) -> float | None:
        """Return how long a step may take, None if the time of the whole measurement is up."""
        left = self._limits.total_seconds - self.recorder.elapsed()
        return min(limit, left) if left > 0 else None

    def _add(self, observation: Observation, limit: float, allowed: float) -> None:
        if observation.failure == Failure.GENERIC_TIMEOUT_ERROR and allowed < limit and observation.detail is None:
            # Not as long as this step deserves: silence of a few milliseconds proves nothing.
            observation = replace(observation, detail=FailureDetail(reason="total_seconds"))
        if _is_late(observation, allowed):
            # Too busy to look in time, this machine may have let the answer lie.
            observation = replace(observation, detail=FailureDetail(reason="late"))
        self.recorder.add(observation)


def _is_late(observation: Observation, allowed: float) -> bool:
    """Tell whether a deadline was noticed much later than it passed."""
    is_timeout = observation.failure == Failure.GENERIC_TIMEOUT_ERROR and observation.detail is None
    return is_timeout and observation.elapsed_seconds > allowed + _LATE_SECONDS


def _our_mistake(group: BaseExceptionGroup) -> BaseException:
    first: BaseException = group
    while isinstance(first, BaseExceptionGroup):
        first = first.exceptions[0]
    return first
