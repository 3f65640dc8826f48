"""A vantage whose steps run in this process, on whatever network its kind opens connections with."""

import asyncio
from collections.abc import Callable
from dataclasses import replace

from monitor.config.schema import VantageConfig
from monitor.model.measurement import Recording, Request
from monitor.model.seams import Network
from monitor.model.vantage import NetworkIdentity, VantageCheck, VantageInfo, VantageState
from monitor.network.identity import IdentityFinder, WhoAmI
from monitor.network.nameservers import Endpoint, nameservers, resolver_of
from monitor.network.toolbox import Toolbox
from monitor.probes import load as load_probe
from monitor.vantages._endpoint import endpoint
from monitor.vantages._parts import Parts
from monitor.vantages._sanity import SanityPlan, check


class HereVantage:
    """Satisfies `Vantage`: measures here, at most `concurrency` targets at a time."""

    def __init__(
        self,
        name: str,
        options: VantageConfig,
        parts: Parts,
        network: Network,
        *,
        servers: Callable[[], tuple[Endpoint, ...]] = nameservers,
        is_tunnel: bool = False,
        by_name: bool = False,
    ) -> None:
        self.info = VantageInfo(
            name=name,
            kind=options.kind,
            role=options.role,
            country=options.country,
            claimed_asn=options.asn,
            is_tunnel=is_tunnel,
        )
        self._network = network
        self._clock = parts.clock
        self._slots = asyncio.Semaphore(options.concurrency)
        self._context = parts.context
        self._toolbox = Toolbox(
            clock=parts.clock,
            trust=parts.trust,
            ids=parts.ids,
            context=parts.context(),
            vantage=name,
            nameservers=servers,
            by_name=by_name,
            private_words=parts.private_words,
        )
        sanity = parts.sanity
        # Asked by name, a proxy is checked by name: what it does with questions and addresses is not what is measured.
        self._sanity = SanityPlan(
            dns_names=() if by_name else sanity.dns_names,
            nxdomain_zone=None if by_name else sanity.nxdomain_zone,
            anchors=() if by_name else tuple(endpoint(text) for text in sanity.anchors),
            portals=dict(sanity.portals),
            tls_hosts=sanity.tls_hosts,
            resolvers=options.resolvers,
            allowed_bogons=parts.allowed_bogons,
            limits=parts.limits,
            cleartext_user_agent=parts.cleartext_user_agent,
            names_required=sanity.names_required,
            anchors_required=sanity.anchors_required,
        )
        self._finder = IdentityFinder(
            network,
            whoami=WhoAmI.parse(sanity.whoami) if sanity.whoami else None,
            resolver=lambda: _plain_resolver(options.resolvers[0], servers),
            origin_zone=sanity.origin_zone,
            asn_zone=sanity.asn_zone,
            database=parts.geo_database,
            over_tcp=is_tunnel,
        )
        self._sanity_enabled = sanity.enabled
        self._identity = NetworkIdentity()

    async def measure(self, request: Request) -> Recording:
        """Measure one target here."""
        async with self._slots:
            return await self._measure(request)

    async def check(self) -> VantageCheck:
        """Run the sanity checks and see which network this is."""
        started_at = self._clock.now()
        self._identity = await self._finder.find()
        self._toolbox = replace(self._toolbox, own_addresses=frozenset(self._finder.addresses))
        if not self._sanity_enabled:
            return VantageCheck(
                vantage=self.info.name, started_at=started_at, state=VantageState.ONLINE, network=self._identity
            )
        # Past the slots: a check never queues behind hung targets.
        return await check(self._sanity, self._look, self.info.name, self._identity, started_at)

    async def close(self) -> None:
        """Nothing is held between measurements."""

    async def _look(self, request: Request) -> Recording:
        """Measure for a sanity check."""
        return await self._measure(request)

    async def _measure(self, request: Request) -> Recording:
        if (context := self._context()) is not self._toolbox.context:
            self._toolbox = replace(self._toolbox, context=context)
        probe = load_probe(request.target.probe)
        return await probe.measure(request, self._network, self._toolbox, self._identity)


def _plain_resolver(text: str, servers: Callable[[], tuple[Endpoint, ...]]) -> Endpoint | None:
    """Return where origin lookups go: the first resolver if it speaks plain DNS, else the system's."""
    resolver = resolver_of(text)
    if resolver.address is not None and resolver.transport in {"udp", "tcp"}:
        return resolver.address, resolver.port
    return next(iter(servers()), None)
