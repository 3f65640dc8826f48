"""The agents that push: what each is to measure, what it said, and what its results mean.

    results ─▶ number known? ─▶ dated by our clock ─▶ live or late ─▶ controls ─▶ judged ─▶ stored with their numbers

What an agent concluded is never asked for: the rules here see its raw observations. Live results go through detector
and alerts like our own. Late ones amend history alone; they are judged beside the present, with a memory of their own.
"""

import asyncio
import logging
import sqlite3
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

import msgspec

from monitor.config.schema import CONTROL_SITES_PLATFORM, IngestConfig
from monitor.daemon.batch import Batch, Dated, clock_offset, dated
from monitor.daemon.instructions import digest, instructions
from monitor.daemon.memory import Memory
from monitor.daemon.pipeline import ROUND_SECONDS
from monitor.daemon.station import Station
from monitor.exporter.exporter import Exporter
from monitor.model.agent import Agent, Receipt
from monitor.model.bogon import is_bogon
from monitor.model.fleet import (
    Acknowledgement,
    BatchHead,
    CheckIn,
    CheckInAnswer,
    ControlAnswer,
    ControlQuestion,
    Instructions,
    Rejected,
    Result,
)
from monitor.model.identifier import MeasurementIds
from monitor.model.measurement import FollowUp, Measurement, Recording
from monitor.model.observation import Purpose
from monitor.model.outcome import Outcome
from monitor.model.seams import Clock
from monitor.model.target import Target
from monitor.model.vantage import NetworkIdentity, Role, VantageCheck, VantageState
from monitor.model.verdict import Reason
from monitor.network.web_url import web_url
from monitor.store import fleet_reader
from monitor.store.reader import Reader
from monitor.store.store import Store

log = logging.getLogger("monitor.fleet")

SILENT_PERIODS: Final = 2
LIVE_INTERVALS: Final = 2
SILENT: Final = "silent"  # why a vantage counts as offline: its agent said nothing
CHECK_SECONDS: Final = 60.0  # how often what an agent says of its line is stored while nothing changes
CONTROL_SECONDS: Final = 15.0
MAX_CHECKS: Final = 10
# What a control saw before a round explains what was seen there; after it, it decides.
CONTROL_BEFORE: Final = timedelta(seconds=60)
CONTROL_AFTER: Final = timedelta(seconds=180)
_LOOK_SECONDS: Final = 5.0
_NONCES: Final = 256
_MAX_NAME: Final = 253
_MAX_HOPS: Final = 10
_MAX_NAMES: Final = 200
_MAX_TEXT: Final = 64
_MAX_VERSION: Final = 1 << 40
# Why an agent measures nothing, in the words of agents; any other is `other`, since a label has few values.
_QUIET: Final = frozenset(
    {
        "paused", "owner_file", "revoked", "unknown_agent", "software", "no_instructions", "consent", "lease",
        "quiet_hours", "budget",
    }
)  # fmt: skip
_CONTROL_STEPS: Final = frozenset({"tcp", "tls", "quic"})


class UnknownTargetError(Exception):
    """An agent asks about a target that is not its own."""


class NotConfiguredError(Exception):
    """The agent's vantage is not in the configuration in use; it may come back, so results are not thrown away."""


class ReplayedError(Exception):
    """The same question was asked before."""


class StoreBusyError(Exception):
    """What was sent cannot be made durable now."""


@dataclass
class _Known:
    """What is remembered of an agent while the daemon lives."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    nonces: deque[str] = field(default_factory=lambda: deque(maxlen=_NONCES))
    # Results that were judged while the database could not be written; whether they are stored is not known yet.
    spooled: set[tuple[str, int]] = field(default_factory=set)


class Fleet:
    """Answers agents that are known; signatures, rates and sizes are the listener's business (`ingest.py`).

    `record` stores an outcome like one of ours and returns the store's future.
    """

    def __init__(
        self,
        *,
        station: Callable[[], Station],
        store: Store,
        reader: Reader,
        clock: Clock,
        ids: MeasurementIds,
        exporter: Exporter,
        memory: Memory,
        record: Callable[[Outcome], Future[bool]],
        forget: Callable[[str], None],
    ) -> None:
        self._station = station
        self._store = store
        self._reader = reader
        self._clock = clock
        self._ids = ids
        self._exporter = exporter
        self._memory = memory
        self._record = record
        self._forget = forget
        self._known: dict[str, _Known] = {}
        self._versions: dict[str, tuple[int, str]] = fleet_reader.versions(reader.ask)
        self._latest: dict[tuple[str, str], datetime] = {}  # by target and vantage: the newest live round
        self._networks: dict[str, NetworkIdentity] = {}  # that each vantage was seen on last
        self._heard: dict[str, float] = {}  # by vantage: when it last checked in, on the clock that nobody sets
        self._checked: dict[str, tuple[float, VantageState]] = {}  # by vantage: what was stored of its line, and when
        self.agents: tuple[Agent, ...] = ()

    async def use(self, station: Station) -> None:
        """Take a configuration into use: number the instructions that it changes, durably, before anybody sees them."""
        ingest = _ingest_of(station)
        written = []
        for vantage in sorted(station.pushing):
            version, before = self._versions.get(vantage, (0, ""))
            wanted = digest(instructions(station, ingest, vantage))
            if wanted != before:
                self._versions[vantage] = version + 1, wanted
                written.append(self._store.instruct(vantage, version + 1, wanted, self._clock.now()))
        await asyncio.gather(*map(asyncio.wrap_future, written))
        unknown = station.pushing - {vantage for _, vantage in self._latest}
        if unknown:
            ask = self._reader.ask
            self._latest |= await asyncio.to_thread(fleet_reader.latest_rounds, ask, unknown)

    # Check-ins.

    async def check_in(self, agent: Agent, said: CheckIn) -> CheckInAnswer:
        """Note what an agent says of itself, and answer what it is to do.

        Raises ReplayedError, and NotConfiguredError.
        """
        now, station = self._clock.now(), self._configured(agent)
        self._refuse_replay(agent, said.nonce)
        ingest = _ingest_of(station)
        self._heard[agent.vantage] = self._clock.boottime()
        self._store.record_agent(_as_said(agent, said, now))
        self._hear(agent.vantage, said.state or VantageState.ONLINE)
        wanted = await self._instructions(station, ingest, agent.vantage, said.config_version)
        return CheckInAnswer(
            nonce=said.nonce,
            server_time=self._clock.now(),
            lease_until=now + timedelta(seconds=ingest.lease),
            min_software=ingest.min_software,
            instructions=None if wanted.version == said.config_version else wanted,
        )

    async def _instructions(self, station: Station, ingest: IngestConfig, vantage: str, in_use: int) -> Instructions:
        """Return the instructions under a version that is never below the one in use: a database may be an old copy."""
        version, named = self._versions[vantage]
        if version < in_use < _MAX_VERSION:
            version = in_use + 1
            self._versions[vantage] = version, named
            await asyncio.wrap_future(self._store.instruct(vantage, version, named, self._clock.now()))
        return instructions(station, ingest, vantage, version)

    def _hear(self, vantage: str, state: VantageState, reason: str | None = None, *notes: str) -> None:
        """Take what is known of a line for a check of it; unchanged, it is told once a minute."""
        at, before = self._checked.get(vantage, (float("-inf"), None))
        now = self._clock.boottime()
        if before is state and now - at < CHECK_SECONDS:
            return
        self._checked[vantage] = now, state
        self._station().sanity.hear(
            VantageCheck(
                vantage=vantage,
                started_at=self._clock.now(),
                state=state,
                network=self._networks.get(vantage, NetworkIdentity()),
                notes=notes,
                reason=reason,
            )
        )

    async def watch(self) -> None:
        """Look again and again who is enrolled, and who said nothing for two periods."""
        started = self._clock.boottime()
        while True:
            station, began = self._station(), self._clock.boottime()
            try:
                self.agents = tuple(await asyncio.to_thread(fleet_reader.agents, self._reader.ask))
            except sqlite3.Error as error:
                log.warning("the agents cannot be read", extra={"why": type(error).__name__})
            self._exporter.agents(self.agents)
            enrolled = {one.vantage for one in self.agents if one.revoked_at is None} & station.pushing
            for vantage in self._checked.keys() - enrolled:
                # Whoever was heard since the agents were read was enrolled since.
                if self._heard.get(vantage, float("-inf")) < began:
                    self._checked.pop(vantage)
                    self._forget(vantage)
            seen = {one.vantage for one in self.agents if one.last_seen_at is not None} & enrolled
            patience = SILENT_PERIODS * _ingest_of(station).check_in
            for vantage in seen:
                silent_seconds = self._clock.boottime() - self._heard.get(vantage, started)
                if silent_seconds > patience and self._checked.get(vantage, (0.0, None))[1] is not VantageState.OFFLINE:
                    log.warning("an agent is silent", extra={"vantage": vantage})
                    self._hear(vantage, VantageState.OFFLINE, SILENT, "its agent has not been heard of")
            await asyncio.sleep(min(_LOOK_SECONDS, _ingest_of(station).check_in))

    # Controls.

    async def control(self, agent: Agent, asked: ControlQuestion) -> ControlAnswer:
        """Have the controls measure one of the agent's targets; what they saw is durable when it is answered.

        Raises NotConfiguredError, UnknownTargetError, ReplayedError, and StoreBusyError.
        """
        station = self._configured(agent)
        assignment = station.assignments.get((asked.target, agent.vantage))
        if assignment is None or assignment.target.platform == CONTROL_SITES_PLATFORM:
            raise UnknownTargetError
        self._refuse_replay(agent, asked.nonce)
        request = station.pipeline.request(assignment.target, station.vantages[agent.vantage])
        request = msgspec.structs.replace(request, resolvers=_control_resolvers(station))
        checks = tuple(_control_checks(asked.follow_ups, assignment.target, request.allowed_bogons))[:MAX_CHECKS]
        since = self._clock.boottime() - min(max(0.0, asked.max_age_seconds), assignment.interval_seconds)
        try:
            async with asyncio.timeout(CONTROL_SECONDS):
                found = await station.controls.extended(request, checks, since)
        except TimeoutError:
            found = station.controls.known(assignment.target, since)
        if not await asyncio.wrap_future(self._store.settled()):
            raise StoreBusyError
        return ControlAnswer(nonce=asked.nonce, controls=found)

    def _configured(self, agent: Agent) -> Station:
        """Return the configuration in use; raises NotConfiguredError if it leaves the agent's vantage out."""
        station = self._station()
        if agent.vantage not in station.pushing:
            raise NotConfiguredError
        return station

    def _refuse_replay(self, agent: Agent, nonce: str) -> None:
        nonces = self._of(agent).nonces
        if nonce in nonces:
            raise ReplayedError
        nonces.append(nonce)

    def _of(self, agent: Agent) -> _Known:
        return self._known.setdefault(agent.id, _Known())

    # Results.

    async def take(self, agent: Agent, batch: Batch, received_at: datetime) -> Acknowledgement:
        """Judge and store what is new of a batch; returns once every accepted result is durable.

        Raises NotConfiguredError, and StoreBusyError if that cannot be had now: the agent sends it again, and what was
        stored meanwhile is then a duplicate. One batch of an agent is taken at a time.
        """
        async with self._of(agent).lock:
            return await self._take(agent, batch, received_at)

    async def _take(self, agent: Agent, batch: Batch, received_at: datetime) -> Acknowledgement:
        head, station = batch.head, self._configured(agent)
        fresh = await self._unknown(agent, head, batch.results)
        rejected = list(batch.rejected)
        counts = Counter(one.reason for one in batch.rejected)
        counts["duplicate"] = batch.duplicate + len(batch.results) - len(fresh)
        ordered: list[tuple[Dated, Result]] = []
        for result in fresh:
            when = dated(result, head, received_at)
            is_ours = (result.recording.measurement.target, agent.vantage) in station.assignments
            if when is None or not is_ours:
                reason = "unknown_target" if not is_ours else "expired"
                rejected.append(Rejected(sequence=result.sequence, reason=reason))
                counts[reason] += 1
            else:
                ordered.append((when, result))
        # The detector hears rounds in the order in which they were made.
        ordered.sort(key=lambda one: (one[0].began, one[1].sequence))
        stored: list[tuple[Result, Outcome, Future[bool]]] = []
        named = await self._controls_of(result for _, result in ordered)
        for when, result in ordered:
            try:
                outcome = self._judged(agent, head, result, when, station=station, named=named, received_at=received_at)
            except Exception:  # the edge of a result: one that our rules stumble over must not hold up the others
                log.exception("a result could not be judged", extra={"vantage": agent.vantage})
                rejected.append(Rejected(sequence=result.sequence, reason="malformed"))
                counts["malformed"] += 1
                continue
            stored.append((result, outcome, self._record(outcome)))
            await asyncio.sleep(0)  # whoever else waits for the loop comes first
        lag: float | None = None
        accepted = 0
        for result, outcome, future in stored:
            if await asyncio.wrap_future(future):
                accepted += 1
                counts["late" if outcome.is_late else "live"] += 1
                if not outcome.is_late:
                    lag = (received_at - outcome.recording.measurement.started_at).total_seconds()
            elif self._store.health().last_error is None:
                rejected.append(Rejected(sequence=result.sequence, reason="malformed"))
                counts["malformed"] += 1
            else:
                self._of(agent).spooled |= {(head.boot_id, one.sequence) for one, _, _ in stored}
                raise StoreBusyError
        self._exporter.received(agent.vantage, "backfill" if head.is_backfill else "live", counts, lag)
        return Acknowledgement(
            nonce=head.nonce,
            accepted=accepted,
            duplicate=counts["duplicate"],
            rejected=tuple(rejected),
            server_time=self._clock.now(),
        )

    async def _unknown(self, agent: Agent, head: BatchHead, results: Iterable[Result]) -> list[Result]:
        """Return the results that are not stored; raises StoreBusyError while nothing can be told or written."""
        results, known = list(results), self._of(agent)
        health = self._store.health()
        spooled = {(head.boot_id, one.sequence) for one in results} & known.spooled
        has_room = health.pending + len(results) <= self._station().config.storage.spool_rows
        if health.last_error is not None or not has_room or (spooled and health.pending):
            raise StoreBusyError
        known.spooled -= spooled
        sequences = [one.sequence for one in results]
        taken = await asyncio.to_thread(fleet_reader.taken, self._reader.ask, agent.id, head.boot_id, sequences)
        return [one for one in results if one.sequence not in taken]

    def _judged(
        self,
        agent: Agent,
        head: BatchHead,
        result: Result,
        when: Dated,
        *,
        station: Station,
        named: Mapping[int, Measurement],
        received_at: datetime,
    ) -> Outcome:
        given = result.recording.measurement
        assignment = station.assignments[given.target, agent.vantage]
        target, vantage = assignment.target, station.vantages[agent.vantage]
        series = (target.name, agent.vantage)
        # A deep run takes up to a minute, and cannot be received before it is over.
        took = min(given.elapsed_seconds, ROUND_SECONDS)
        patience = timedelta(seconds=LIVE_INTERVALS * assignment.interval_seconds + took)
        is_recent = received_at - when.began <= patience
        latest = self._latest.get(series)
        is_late = not is_recent or (latest is not None and when.began <= latest)
        measurement = msgspec.structs.replace(
            given,
            id=self._ids.new(received_at),  # by our clock: ids keep their order whatever the agent believes
            vantage=agent.vantage,
            started_at=when.began,
            context=msgspec.structs.replace(
                given.context, clock_offset_seconds=round(clock_offset(head, received_at), 3), clock_source="centre"
            ),
        )
        recording = Recording(measurement=measurement, evidence=result.recording.evidence)
        controls = self._compared_with(result, measurement, target, named)
        if not controls and not is_late:
            age = (received_at - when.began).total_seconds() + assignment.interval_seconds
            controls = station.controls.known(target, self._clock.boottime() - age)
        pipeline = station.late if is_late else station.pipeline
        outcome = pipeline.judge(
            recording,
            target,
            vantage,
            assignment.interval_seconds,
            controls=controls,
            state_before=result.state_before,
            state_after=result.state_after,
            fault=Reason(result.fault) if result.fault else None,
            in_series=not is_late,
        )
        if is_late:
            self._memory.learn_late(outcome)
        else:
            self._latest[series] = when.began
            if measurement.network.asn is not None:
                self._networks[agent.vantage] = measurement.network
        receipt = Receipt(
            agent=agent.id,
            boot=head.boot_id,
            sequence=result.sequence,
            received_at=received_at,
            told_at=when.told,
            clock=when.mark,
            is_late=is_late,
        )
        # A late round is one of the series all the same.
        return msgspec.structs.replace(outcome, receipt=receipt, is_aside=False)

    async def _controls_of(self, results: Iterable[Result]) -> Mapping[int, Measurement]:
        """Return the stored controls that results name, which an agent may have made up."""
        wanted = {id_ for result in results for id_ in result.control_ids}
        return await asyncio.to_thread(fleet_reader.controls, self._reader, wanted) if wanted else {}

    def _compared_with(
        self, result: Result, measurement: Measurement, target: Target, named: Mapping[int, Measurement]
    ) -> tuple[Measurement, ...]:
        """Return the controls of the target that a round was compared with, as far as they belong to its time."""
        began = measurement.started_at
        latest = began + timedelta(seconds=measurement.elapsed_seconds) + CONTROL_AFTER
        found = (named.get(id_) for id_ in dict.fromkeys(result.control_ids))
        return tuple(
            one
            for one in found
            if one and one.target == target.name and began - CONTROL_BEFORE <= one.started_at <= latest
        )


def _ingest_of(station: Station) -> IngestConfig:
    ingest = station.config.ingest
    if ingest is None:
        raise ValueError("agents are heard without an ingest section")
    return ingest


def _as_said(agent: Agent, said: CheckIn, now: datetime) -> Agent:
    """Return an agent with what it says of itself, every text and number within bounds."""
    offset = said.clock.offset_seconds
    return msgspec.structs.replace(
        agent,
        last_seen_at=now,
        software=plain(said.software),
        features=tuple(map(plain, said.features[:_MAX_NAMES])),
        config_version=_bounded(said.config_version),
        quiet=_quiet(said),
        spool_rows=_bounded(said.spool_rows),
        spool_bytes=_bounded(said.spool_bytes),
        dropped_count=_bounded(said.dropped_count),
        vetoed=tuple(map(plain, said.vetoed[:_MAX_NAMES])),
        clock_offset_seconds=offset if offset is not None and abs(offset) < _MAX_VERSION else None,
    )


def _quiet(said: CheckIn) -> str | None:
    """Return why an agent measures nothing, as one of a few words."""
    if said.quiet is None:
        return "paused" if said.is_paused else None
    return said.quiet if said.quiet in _QUIET else "other"


def _bounded(number: int) -> int:
    return max(0, min(number, _MAX_VERSION))


def plain(text: str) -> str:
    """Return a text of an agent short and printable."""
    return "".join(each for each in text[:_MAX_TEXT] if each.isprintable())


def _control_checks(asked: Iterable[FollowUp], target: Target, allowed_bogons: tuple[str, ...]) -> Iterator[FollowUp]:
    """Yield what a control may look at for an agent: public addresses, the ports of the web and of the target alone.

    Rebuilt from the few parts that such a look has, so that the centre's line serves nobody as a scanner.
    """
    ports = {80, 443, web_url(target.url).port}
    for one in asked:
        name = one.server_name or ""
        is_plain = len(name) <= _MAX_NAME and len(one.host) <= _MAX_NAME and f"{name}{one.host}".isprintable()
        is_fit = one.purpose is Purpose.CONTROL_CHECK and one.until in _CONTROL_STEPS and 0 <= one.hop <= _MAX_HOPS
        if is_plain and is_fit and one.port in ports and not is_bogon(one.address, allowed_bogons):
            yield FollowUp(
                purpose=one.purpose,
                until=one.until,
                hop=one.hop,
                host=one.host,
                address=one.address,
                port=one.port,
                server_name=one.server_name,
            )


def _control_resolvers(station: Station) -> tuple[str, ...]:
    """Return whom a control here asks for names: those of a volunteer's line are of no use to it."""
    written = station.config.vantages.values()
    return next((one.resolvers for one in written if one.role is Role.CONTROL), ("system",))
