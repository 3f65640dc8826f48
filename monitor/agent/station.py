"""Everything that an agent builds from its instructions and its owner's wishes."""

import asyncio
import ipaddress
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import msgspec

from monitor.agent.gate import GatedVantage
from monitor.agent.orders import follow_ups_of, ports_of, sanity_of
from monitor.agent.owner import Owner
from monitor.classify.follow_ups import FollowUpSettings
from monitor.config.schema import DirectOptions, FollowUpConfig
from monitor.daemon.memory import Memory
from monitor.daemon.pipeline import Controls, Pipeline, Settings
from monitor.daemon.sanity_book import SanityBook
from monitor.daemon.schedule import Entry
from monitor.model.fingerprint import FingerprintSet
from monitor.model.fleet import AgentTarget, Instructions
from monitor.model.identifier import MeasurementIds
from monitor.model.measurement import Measurement, Request, RunContext
from monitor.model.outcome import Outcome
from monitor.model.seams import Clock, Vantage
from monitor.model.target import QuicUse, Target
from monitor.network.asn_table import AsnTable
from monitor.network.certificates import TrustStore
from monitor.network.nameservers import nameservers
from monitor.vantages import build
from monitor.vantages._endpoint import endpoint
from monitor.vantages._parts import Parts

CONCURRENCY: Final = 20  # measurements at a time on a volunteer's line
DEEP_RUNS: Final = 4
_HOST_CONCURRENCY: Final = 1  # one connection to a host at a time, further looks and deep runs included
# Names that many machines have; to blot them out of pages would hide nobody and spoil evidence.
_COMMON_NAMES: Final = frozenset({"localhost", "debian", "ubuntu", "raspberrypi", "fedora", "openwrt", "server"})
_SHORTEST_NAME: Final = 5


@dataclass(frozen=True, kw_only=True)
class Equipment:
    """What an agent is built of once."""

    name: str  # of the vantage
    clock: Clock
    trust: TrustStore
    ids: MeasurementIds
    context: Callable[[], RunContext]
    fingerprints: FingerprintSet
    memory: Memory
    controls: Controls
    record: Callable[[Outcome], None]
    quiet: Callable[[], str | None]
    spend: Callable[[int], None]


@dataclass(frozen=True, kw_only=True)
class Station:
    """Instructions at work."""

    instructions: Instructions
    owner: Owner
    vantage: GatedVantage
    sanity: SanityBook
    pipeline: Pipeline
    targets: Mapping[str, AgentTarget]  # that are measured, as the owner wants them
    vetoed: Mapping[str, str]  # why others are not

    def entries(self) -> list[Entry]:
        """Return the plan."""
        return [
            Entry(f"{name}@{self.vantage.info.name}", one.interval_seconds, self.instructions.jitter, one)
            for name, one in self.targets.items()
        ]


def build_station(instructions: Instructions, owner: Owner, equipment: Equipment) -> Station:
    """Build the parts; nothing is connected yet. Raises ValueError for instructions that no vantage can follow."""
    clock, sanity = equipment.clock, sanity_of(instructions)
    options = DirectOptions(
        kind="direct",
        country=instructions.country,
        resolvers=instructions.resolvers,
        source_address=owner.source_address,
        concurrency=CONCURRENCY,
    )
    parts = Parts(
        clock=clock,
        trust=equipment.trust,
        ids=equipment.ids,
        context=equipment.context,
        sanity=sanity,
        limits=instructions.limits,
        allowed_bogons=owner.allow_addresses,
        cleartext_user_agent=instructions.cleartext_user_agent,
        geo_database=owner.geo_database,
        is_guarded=True,
        ports=ports_of(instructions),
        private_words=private_words(),
    )
    vantage = GatedVantage(build(equipment.name, options, parts), clock, equipment.quiet, equipment.spend)
    book = SanityBook(clock, sanity.max_age, lambda _: None)
    pipeline = Pipeline(
        settings=_settings(instructions, owner, equipment),
        clock=clock,
        sanity=book,
        controls=equipment.controls,
        memory=equipment.memory,
        record=equipment.record,
        deep_slots=asyncio.Semaphore(DEEP_RUNS),
        nothing_seen=lambda target, where: _nothing_seen(target, where, equipment),
    )
    reasons = {one.target.name: owner.veto(one.target) for one in instructions.targets}
    return Station(
        instructions=instructions,
        owner=owner,
        vantage=vantage,
        sanity=book,
        pipeline=pipeline,
        targets={
            one.target.name: _as_wished(one, owner) for one in instructions.targets if reasons[one.target.name] is None
        },
        vetoed={name: why for name, why in reasons.items() if why is not None},
    )


def private_words() -> frozenset[str]:
    """Return what gives this host away besides its addresses: its name, and resolvers of its local network."""
    name = socket.gethostname().partition(".")[0].lower()
    names = {name} if len(name) >= _SHORTEST_NAME and name not in _COMMON_NAMES else set()
    servers = {address for address, _ in nameservers()}
    return frozenset(names | {one for one in servers if not _is_known_to_all(one)})


def _is_known_to_all(address: str) -> bool:
    ip = ipaddress.ip_address(address.partition("%")[0])
    return ip.is_global or ip.is_loopback


def _as_wished(one: AgentTarget, owner: Owner) -> AgentTarget:
    quic = QuicUse.OFF if "quic" in owner.off else one.target.quic
    return msgspec.structs.replace(
        one,
        target=msgspec.structs.replace(one.target, quic=quic),
        interval_seconds=max(one.interval_seconds, owner.interval_floor),
    )


def _settings(instructions: Instructions, owner: Owner, equipment: Equipment) -> Settings:
    wanted = None if "deep" in owner.off else follow_ups_of(instructions)
    compared = wanted or FollowUpConfig()
    host, port = endpoint(compared.unrelated)
    follow_ups = FollowUpSettings(
        harmless_name=compared.harmless_name,
        resolvers=compared.resolvers,
        unrelated_port=port,
        retries=compared.retries,
        retry_wait_seconds=compared.retry_wait,
    )
    return Settings(
        request=Request(
            target=Target(name="", platform="", url=""),
            limits=instructions.limits,
            user_agent=instructions.user_agent,
            cleartext_user_agent=instructions.cleartext_user_agent,
            allowed_bogons=owner.allow_addresses,
        ),
        resolvers={equipment.name: instructions.resolvers},
        follow_ups=follow_ups if wanted is not None and wanted.enabled else None,
        unrelated_host=host,
        quic_reference=endpoint(compared.quic_reference) if compared.quic_reference else None,
        transfer_reference=None,
        daily_transfer_bytes=0,
        deep_limits=instructions.deep_limits,
        isolation_seconds=compared.refresh,
        host_concurrency=_HOST_CONCURRENCY,
        asn_table=AsnTable(owner.geo_database) if owner.geo_database else None,
        fingerprints=equipment.fingerprints.rows,
        asks_controls_routinely=False,
    )


def _nothing_seen(target: Target, vantage: Vantage, equipment: Equipment) -> Measurement:
    at = equipment.clock.now()
    return Measurement(
        id=equipment.ids.new(at),
        target=target.name,
        url=target.url,
        vantage=vantage.info.name,
        started_at=at,
        elapsed_seconds=0.0,
        context=equipment.context(),
    )
