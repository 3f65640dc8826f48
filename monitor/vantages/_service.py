"""Vantages that are lent: a service's probe measures, and tells what it saw in the service's own words.

One probe at a time. A check has a probe of the country visit a control site, which chooses it and shows that its line
works; the rounds and follow-ups of the next hour use that same probe, then another one is taken. So all steps of a
measurement are seen from one network, and a volunteer's line is not asked for ever (docs/decisions/0060).

Each step is a request of its own to an address that the step before gave, as with any other vantage; what the service
cannot see is absent. Trouble of the service, of its probe or of the quota is VantageError, and says nothing about a
target.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol

from msgspec.structs import replace

from monitor.config.schema import ServiceOptions
from monitor.model.bogon import is_bogon
from monitor.model.measurement import Evidence, FollowUp, Limits, Measurement, Recording, Request
from monitor.model.observation import DnsObservation, Observation, Purpose, TlsObservation
from monitor.model.seams import VantageError
from monitor.model.target import AD_HOC
from monitor.model.vantage import NetworkIdentity, ProbeCount, QuotaUse, VantageCheck, VantageInfo, VantageState
from monitor.network.nameservers import resolver_of
from monitor.network.recorder import Recorder
from monitor.network.web_url import WebUrl, web_url
from monitor.vantages._budget import Budget
from monitor.vantages._endpoint import endpoint
from monitor.vantages._parts import Parts

PROBE_SECONDS: Final = 3600.0  # how long one probe is used
CHECK_SECONDS: Final = 40.0  # for one visit of a control site
_LEAST_SECONDS: Final = 1.0  # less is not worth a request
_ROUND_SECONDS: Final = 120.0  # within which a round's follow-ups come
_NOBODY: Final = "nobody.invalid"  # stands in a URL of which only the path is asked for
_CONTROL_SITES: Final = 2  # tried by one check; the second may be up where the first is not


class ProbeFaultError(VantageError):
    """The probe itself failed at this one step; another may work."""


class ProbeGoneError(VantageError):
    """The probe cannot be used any more; another has to be chosen."""


@dataclass(frozen=True, kw_only=True)
class Probe:
    """A probe that was chosen: how the service knows it again, and the network it stands in."""

    key: str
    network: NetworkIdentity


@dataclass(frozen=True)
class Question:
    """One question to a resolver; `system` is the probe's own."""

    host: str
    query_type: str = "A"
    resolver: str = "system"

    @property
    def label(self) -> str:
        """What observations call the resolver."""
        return resolver_of(self.resolver).label

    @property
    def transport(self) -> str:
        """What it is asked over: resolvers of networks are asked over UDP."""
        return "tcp" if resolver_of(self.resolver).transport == "tcp" else "udp"


@dataclass(frozen=True, kw_only=True)
class Visit:
    """One look at an endpoint: as far as `until` (tcp, tls, http), under `server_name` (None: nobody is named).

    Without an address the probe looks up the host of `url` itself. `host` goes into the Host header.
    """

    url: WebUrl
    until: str
    address: str = ""
    port: int = 443
    server_name: str | None = None
    host: str = ""
    text: str | None = None  # to be searched in the body

    @property
    def is_tls(self) -> bool:
        """Whether a handshake is part of it, or would be if it went on."""
        return self.until == "tls" or self.url.is_tls


@dataclass(frozen=True)
class Seen:
    """What a visit showed: steps in order, starting at zero, without purpose, and the raw material they refer to."""

    observations: tuple[Observation, ...] = ()
    evidence: tuple[Evidence, ...] = ()


def one_after_the_other(steps: list[Observation]) -> tuple[Observation, ...]:
    """Return steps of one visit, each beginning where the one before ended."""
    at = 0.0
    placed: list[Observation] = []
    for one in steps:
        placed.append(replace(one, started_seconds=round(at, 6)))
        at += max(one.elapsed_seconds, 0.000_001)
    return tuple(placed)


class Instrument(Protocol):
    """What one service can do. Everything is paid for beforehand and raises VantageError if the service fails.

    `probe` None has one chosen. `seconds` is what is left for all of it.
    """

    budget: Budget
    round_units: int  # what a check and a routine measurement cost together at most

    def sees(self, asked: FollowUp) -> bool:
        """Tell whether the service can look that way."""
        ...

    async def visit(self, probe: Probe | None, visit: Visit, limits: Limits, seconds: float) -> tuple[Probe, Seen]:
        """Visit an endpoint; nothing is seen if the probe's words are not understood."""
        ...

    async def look_up(self, probe: Probe, asked: Question, limits: Limits, seconds: float) -> DnsObservation | None:
        """Ask a resolver; None if the probe's words are not understood."""
        ...

    async def count_probes(self) -> tuple[ProbeCount, ...]:
        """Return how many probes the service has in each network of the country."""
        ...

    async def prepare(self) -> None:
        """Learn from the service what may still be asked."""
        ...

    async def close(self) -> None:
        """Let go of the connections."""
        ...


class ServiceVantage:
    """Satisfies `Vantage`: has one probe of a service measure."""

    def __init__(self, name: str, options: ServiceOptions, parts: Parts, instrument: Instrument) -> None:
        self.info = VantageInfo(
            name=name,
            kind=options.kind,
            role=options.role,
            country=options.country,
            claimed_asn=options.asn,
            is_service=True,
        )
        self._options = options
        self._parts = parts
        self._instrument = instrument
        self._slots = asyncio.Semaphore(options.concurrency)
        self._choosing = asyncio.Lock()
        self._probe: Probe | None = None
        self._trouble: VantageError | None = None
        self._chosen_at = 0.0  # boottime
        self._measured_by: dict[str, tuple[float, Probe]] = {}  # by target: when (boottime), and which

    def quota(self) -> QuotaUse:
        """Return what may still be asked of the service."""
        return self._instrument.budget.use()

    async def count_probes(self) -> tuple[ProbeCount, ...]:
        """Return how many probes the service has in each network of the country; raises VantageError."""
        none = ProbeCount(country=self._options.country or "", asn=0, probes=0)
        return await self._instrument.count_probes() or (none,)

    async def check(self) -> VantageCheck:
        """Have the probe visit a control site, choosing one if there is none or it was used long enough.

        Raises VantageError if the service has none, cannot be used, or the quota does not last for a round.
        """
        async with self._choosing:
            try:
                check = await self._check()
            except VantageError as error:
                self._trouble = error
                raise
            is_well = check.state is VantageState.ONLINE
            self._trouble = None if is_well else VantageError(f"{self.info.name}: {check.notes[0]}")
            return check

    async def _check(self) -> VantageCheck:
        clock = self._parts.clock
        started_at, boottime = clock.now(), clock.boottime()
        await self._instrument.prepare()
        self._instrument.budget.require(self._instrument.round_units)
        if boottime - self._chosen_at >= PROBE_SECONDS:
            self._probe = None
        observations: list[Observation] = []
        sites = self._parts.sanity.tls_hosts[:_CONTROL_SITES]
        for site in sites:
            seen = await self._visit_control_site(*endpoint(site))
            observations += seen.observations
            if any(isinstance(one, TlsObservation) and one.verified for one in seen.observations):
                return self._checked(VantageState.ONLINE, started_at=started_at, observations=observations)
        if not sites:
            raise VantageError(f"{self.info.name}: sanity.tls_hosts names no control site to choose a probe by")
        check = self._checked(VantageState.OFFLINE, started_at=started_at, observations=observations)
        self._probe = None  # the next check takes another
        return check

    def _checked(self, state: VantageState, *, started_at: datetime, observations: list[Observation]) -> VantageCheck:
        network = self._probe.network if self._probe else NetworkIdentity()
        if self._options.asn is None:
            network = replace(network, asn=None)  # another probe in another network is no line that moved
        notes = () if state is VantageState.ONLINE else ("the service's probe reaches no control site",)
        return VantageCheck(
            vantage=self.info.name,
            started_at=started_at,
            state=state,
            network=network,
            observations=tuple(observations),
            notes=notes,
        )

    async def _visit_control_site(self, host: str, port: int) -> Seen:
        url = web_url(f"https://{host}:{port}/" if port != 443 else f"https://{host}/")
        visit = Visit(url=url, until="tls", port=port, server_name=host, host=host)
        try:
            probe, seen = await self._instrument.visit(self._probe, visit, self._parts.limits, CHECK_SECONDS)
        except ProbeFaultError:
            return Seen()
        except VantageError:
            self._probe = None
            raise
        if self._probe is None:
            self._probe, self._chosen_at = probe, self._parts.clock.boottime()
        return seen

    async def measure(self, request: Request) -> Recording:
        """Have the probe measure one target, or carry out those follow-ups that the service can.

        Raises VantageError, also for a target that is not configured: nothing else is asked of other people's lines.
        """
        if request.target.name == AD_HOC:
            raise VantageError(f"{self.info.name}: a service is asked for configured targets only")
        async with self._slots:
            probe = await self._probe_for(request)
            run = _Run(request, probe, self._instrument, Recorder(self._parts.clock))
            started_at = self._parts.clock.now()
            try:
                await (run.follow_ups() if request.follow_ups else run.path())
            except ProbeGoneError:
                self._probe = None
                raise
        recorder = run.recorder
        return Recording(
            measurement=Measurement(
                id=self._parts.ids.new(started_at),
                target=request.target.name,
                url=web_url(request.target.url).text,
                vantage=self.info.name,
                started_at=started_at,
                elapsed_seconds=recorder.elapsed(),
                # Another program shakes hands there.
                context=replace(self._parts.context(), hello_profile=self.info.kind),
                network=probe.network,
                is_deep=bool(request.follow_ups),
                observations=tuple(sorted(recorder.observations, key=lambda one: one.started_seconds)),
            ),
            evidence=tuple(recorder.evidence.values()),
        )

    async def _probe_for(self, request: Request) -> Probe:
        """Return the probe in use; for follow-ups the one that measured the target, though its time be up by now."""
        chosen, now = await self._chosen(), self._parts.clock.boottime()
        if request.follow_ups and (known := self._measured_by.get(request.target.name)):
            used_at, probe = known
            return probe if now - used_at < _ROUND_SECONDS else chosen
        self._measured_by[request.target.name] = now, chosen
        return chosen

    async def _chosen(self) -> Probe:
        """Return the probe in use; whoever measures before any check has one chosen.

        What the last check found wrong holds until the next: a service in trouble is not asked once more.
        """
        if self._probe is None and self._trouble is None:
            await self.check()
        if self._trouble is not None:
            raise VantageError(str(self._trouble), self._trouble.reason)
        if self._probe is None:
            raise VantageError(f"{self.info.name}: the service's probe went offline")
        return self._probe

    async def close(self) -> None:
        """Close the connections to the service."""
        await self._instrument.close()


class _Run:
    """One measurement under way."""

    def __init__(self, request: Request, probe: Probe, instrument: Instrument, recorder: Recorder) -> None:
        self._request = request
        self._limits = request.limits
        self._probe = probe
        self._instrument = instrument
        self.recorder = recorder

    async def path(self) -> None:
        """Look up the name, then visit the first address that it leads to, as deep as the target demands."""
        target = self._request.target
        url, expected = web_url(target.url), target.expectation
        addresses: tuple[str, ...] = (url.host,)
        if not url.is_literal:
            asked = FollowUp(purpose=Purpose.PATH, until="dns", host=url.host)
            answer = await self._look_up(asked)
            addresses = answer.addresses if answer is not None else ()
        usable = [one for one in addresses if not is_bogon(one, self._request.allowed_bogons)]
        if not usable:
            return
        until = "tcp" if expected.tcp_only else "tls" if expected.tls_only else "http"
        look = FollowUp(
            purpose=Purpose.PATH,
            until=until,
            host=url.authority,
            address=usable[0],
            port=url.port,
            server_name=None if url.is_literal else url.host,
            url=url.text,
        )
        await self._visit(look)

    async def follow_ups(self) -> None:
        """Carry out what the service can see, lookups at once and visits in turn.

        Only of the target's own page: where a redirect leads was not configured by anybody. Trouble after something was
        seen ends the looks, and what was seen stands.
        """
        wanted = [one for one in self._request.follow_ups if one.hop == 0 and self._instrument.sees(one)]
        lookups = [self._in_time(one, self._look_up) for one in wanted if one.until == "dns"]
        found = await asyncio.gather(*lookups, return_exceptions=True)
        troubles = [one for one in found if isinstance(one, BaseException)]
        for one in wanted:
            if troubles:
                break
            if one.until != "dns" and not is_bogon(one.address, self._request.allowed_bogons):
                try:
                    await self._in_time(one, self._visit)
                except VantageError as error:
                    troubles.append(error)
        for trouble in troubles:
            if not isinstance(trouble, VantageError) or not self.recorder.observations:
                raise trouble

    async def _in_time(self, asked: FollowUp, look: Callable[[FollowUp], Awaitable[object]]) -> None:
        """Take a look if there is time for it; a fault of the probe at one look leaves the others."""
        if self._left() - asked.wait_seconds < _LEAST_SECONDS:
            return
        await asyncio.sleep(asked.wait_seconds)
        try:
            await look(asked)
        except ProbeFaultError:
            return

    async def _look_up(self, asked: FollowUp) -> DnsObservation | None:
        if self._left() < _LEAST_SECONDS:
            return None
        started = self.recorder.elapsed()
        question = Question(asked.host, asked.query_type, asked.resolver or "system")
        seen = await self._instrument.look_up(self._probe, question, self._limits, self._left())
        if seen is not None:
            seen = replace(seen, purpose=asked.purpose, hop=asked.hop, started_seconds=started)
            self.recorder.add(seen)
        return seen

    async def _visit(self, asked: FollowUp) -> None:
        if self._left() < _LEAST_SECONDS:
            return
        started = self.recorder.elapsed()
        visit = Visit(
            url=web_url(asked.url or f"https://{asked.server_name or _NOBODY}/"),
            until=asked.until,
            address=asked.address,
            port=asked.port,
            server_name=asked.server_name,
            host=asked.host,
            text=self._request.target.expectation.text,
        )
        _, seen = await self._instrument.visit(self._probe, visit, self._limits, self._left())
        for kept in seen.evidence:
            self.recorder.keep(kept.kind, kept.content)
        for one in seen.observations:
            self.recorder.add(
                replace(
                    one,
                    purpose=asked.purpose,
                    hop=asked.hop,
                    started_seconds=round(started + one.started_seconds, 6),
                )
            )

    def _left(self) -> float:
        return self._limits.total_seconds - self.recorder.elapsed()
