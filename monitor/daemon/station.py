"""Everything that is built from one configuration; a reload builds another and carries over what did not change."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

import msgspec

from monitor.classify.follow_ups import FollowUpSettings
from monitor.config.assignment import Assignment
from monitor.config.digest import digest
from monitor.config.plan import Plan, limits_of, plan
from monitor.config.schema import Configuration
from monitor.daemon.control_book import ControlBook
from monitor.daemon.memory import Memory
from monitor.daemon.pipeline import Pipeline, Settings
from monitor.daemon.run_contexts import RunContexts
from monitor.daemon.sanity_book import SanityBook
from monitor.detect.reprobe import ReprobeSettings, spread
from monitor.model.fingerprint import FingerprintSet
from monitor.model.identifier import MeasurementIds
from monitor.model.measurement import Limits, Measurement, Request, RunContext
from monitor.model.outcome import Outcome
from monitor.model.seams import Clock, Ledger, Vantage
from monitor.model.target import Target
from monitor.model.vantage import Role, VantageCheck
from monitor.network.asn_table import AsnTable
from monitor.network.certificates import TrustStore
from monitor.vantages import build
from monitor.vantages._endpoint import endpoint
from monitor.vantages._parts import Parts

# A deep run listens on for the second of two contradicting replies, and tries more than one address.
DEEP_LISTEN_SECONDS = 0.5
DEEP_ADDRESSES_PER_FAMILY = 4
ROUND_TRANSFER_BYTES = 131_072


@dataclass(frozen=True)
class Listeners:
    """Who hears what happens; none of them may block or raise."""

    on_outcome: Callable[[Outcome], None]
    on_check: Callable[[VantageCheck], None]


@dataclass(frozen=True)
class Station:
    """One configuration at work."""

    config: Configuration
    config_digest: str
    ca_digest: str
    fingerprints: FingerprintSet
    plan: Plan
    targets: Mapping[str, Target]
    assignments: Mapping[tuple[str, str], Assignment]  # by target and vantage
    vantages: Mapping[str, Vantage]
    sanity: SanityBook
    controls: ControlBook
    pipeline: Pipeline
    # Judges what agents pushed too late to speak of the present, and remembers it apart.
    late: Pipeline

    def series(self) -> set[tuple[str, str]]:
        """Return target and vantage of everything that is measured, by the controls too."""
        controls = [name for name, vantage in self.vantages.items() if vantage.info.role is Role.CONTROL]
        return {*self.assignments, *((target, control) for target in self.targets for control in controls)}

    def interval_of(self, target: str, vantage: str) -> float:
        """Return how often a target is measured from a vantage, in seconds; a control follows the most frequent."""
        if assignment := self.assignments.get((target, vantage)):
            return assignment.interval_seconds
        return self._shortest[target]

    @cached_property
    def _shortest(self) -> dict[str, float]:
        shortest: dict[str, float] = {}
        for (target, _), one in self.assignments.items():
            shortest[target] = min(one.interval_seconds, shortest.get(target, one.interval_seconds))
        return shortest

    @property
    def test_vantages(self) -> tuple[str, ...]:
        """The names of the vantages that measure targets when they are asked, in the order of the file."""
        return tuple(
            name
            for name, vantage in self.vantages.items()
            if vantage.info.role is not Role.CONTROL and name not in self.pushing
        )

    @cached_property
    def pushing(self) -> frozenset[str]:
        """The names of the vantages that measure by themselves and push their results."""
        return self.config.pushing


def build_station(
    config: Configuration,
    *,
    clock: Clock,
    ids: MeasurementIds,
    trust: TrustStore,
    fingerprints: FingerprintSet,
    contexts: RunContexts,
    memory: Memory,
    listeners: Listeners,
    ledger: Ledger | None = None,
    previous: Station | None = None,
) -> Station:
    """Build the parts; vantages whose configuration is unchanged are those of `previous`. Nothing is connected yet."""
    digest_ = digest(config, fingerprints)
    planned = plan(config)
    contexts.use(digest_, trust)
    parts = Parts(
        clock=clock,
        trust=trust,
        ids=ids,
        context=contexts.current,
        sanity=config.sanity,
        limits=limits_of(config),
        allowed_bogons=config.network.allowed_bogons,
        cleartext_user_agent=config.defaults.cleartext_user_agent,
        geo_database=config.geo.database,
        ledger=ledger,
    )
    kept = previous.vantages if previous and _same_surroundings(previous, config, trust) else {}
    vantages = {
        name: kept[name]
        if previous and previous.config.vantages.get(name) == written and name in kept
        else build(name, written, parts)
        for name, written in config.vantages.items()
    }
    sanity = previous.sanity if previous else SanityBook(clock, config.sanity.max_age, listeners.on_check)
    sanity.max_age_seconds = config.sanity.max_age
    for name, vantage in vantages.items():
        if previous and previous.vantages.get(name) is not vantage:
            sanity.forget(name)
    controls = ControlBook(
        clock,
        [one for one in vantages.values() if one.info.role is Role.CONTROL],
        sanity,
        lambda recording: listeners.on_outcome(Outcome(recording=recording)),
    )
    settings, deep_slots = settings_of(config, fingerprints), asyncio.Semaphore(config.follow_ups.concurrency)

    def pipeline(memory: Memory) -> Pipeline:
        return Pipeline(
            settings=settings,
            clock=clock,
            sanity=sanity,
            controls=controls,
            memory=memory,
            record=listeners.on_outcome,
            deep_slots=deep_slots,
            nothing_seen=lambda target, vantage: _nothing_seen(target, vantage, clock.now(), ids, contexts.current()),
        )

    return Station(
        config=config,
        config_digest=digest_,
        ca_digest=trust.digest,
        fingerprints=fingerprints,
        plan=planned,
        targets={one.target.name: one.target for one in planned.assignments},
        assignments={(one.target.name, one.vantage_name): one for one in planned.assignments},
        vantages=vantages,
        sanity=sanity,
        controls=controls,
        pipeline=pipeline(memory),
        late=pipeline(Memory(addresses=memory.addresses)),
    )


def settings_of(config: Configuration, fingerprints: FingerprintSet) -> Settings:
    """Return what rounds need of the configuration."""
    routine = limits_of(config)
    wanted = config.follow_ups
    host, port = endpoint(wanted.unrelated)
    follow_ups = FollowUpSettings(
        harmless_name=wanted.harmless_name,
        resolvers=wanted.resolvers,
        unrelated_port=port,
        retries=wanted.retries,
        retry_wait_seconds=wanted.retry_wait,
    )
    return Settings(
        request=Request(
            target=Target(name="", platform="", url=""),
            # A control is asked in every round while something is slow, so its transfers are short.
            limits=msgspec.structs.replace(routine, transfer_bytes=ROUND_TRANSFER_BYTES),
            user_agent=config.defaults.user_agent,
            cleartext_user_agent=config.defaults.cleartext_user_agent,
            allowed_bogons=config.network.allowed_bogons,
        ),
        resolvers={name: written.resolvers for name, written in config.vantages.items()},
        follow_ups=follow_ups if wanted.enabled else None,
        unrelated_host=host,
        quic_reference=endpoint(wanted.quic_reference) if wanted.quic_reference else None,
        transfer_reference=config.throughput.reference if config.throughput.enabled else None,
        daily_transfer_bytes=round(config.throughput.daily_mb * 1e6),
        deep_limits=deep_limits(routine),
        isolation_seconds=wanted.refresh,
        reprobes=ReprobeSettings(
            suspicion_seconds=spread(config.detection.reprobes, config.detection.reprobe_wait),
            clearing_seconds=config.detection.clearing_interval,
            budget=config.detection.budget,
        ),
        quorum=config.detection.quorum,
        host_concurrency=config.defaults.host_concurrency,
        asn_table=AsnTable(config.geo.database) if config.geo.database else None,
        fingerprints=fingerprints.rows,
    )


def deep_limits(routine: Limits) -> Limits:
    """Return the bounds of a deep run."""
    return Limits(
        **{name: getattr(routine, name) for name in routine.__struct_fields__}
        | {"dns_listen_seconds": DEEP_LISTEN_SECONDS, "addresses_per_family": DEEP_ADDRESSES_PER_FAMILY}
    )


def _same_surroundings(previous: Station, config: Configuration, trust: TrustStore) -> bool:
    """Tell whether what all vantages are built from is unchanged; then those whose own keys are, too, live on."""
    before = previous.config
    return (
        previous.ca_digest == trust.digest
        and before.sanity == config.sanity
        and before.network == config.network
        and before.geo == config.geo
        and before.defaults == config.defaults
    )


def _nothing_seen(
    target: Target, vantage: Vantage, at: datetime, ids: MeasurementIds, context: RunContext
) -> Measurement:
    """Return a measurement without observations: the vantage could not be used at all."""
    return Measurement(
        id=ids.new(at),
        target=target.name,
        url=target.url,
        vantage=vantage.info.name,
        started_at=at,
        elapsed_seconds=0.0,
        context=context,
    )
