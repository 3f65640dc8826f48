"""The agent as a process: measures what instructions and owner allow, spools it, and brings it to the centre."""

import asyncio
import logging
import random
import sqlite3
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import msgspec

from monitor.agent.controls import CentreControls
from monitor.agent.courier import Courier, Pace, fresh_boot
from monitor.agent.enrolment import FEATURES, SOFTWARE
from monitor.agent.folder import Folder, write_whole
from monitor.agent.gate import Budget, Manners
from monitor.agent.identity import Identity
from monitor.agent.link import Link, RefusedError, SlowDownError, TooLargeError, nonce
from monitor.agent.orders import Orders, OrdersError, is_too_old
from monitor.agent.owner import load_owner
from monitor.agent.spool import Spool, Weight
from monitor.agent.station import Equipment, Station, build_station
from monitor.agent.status import Measured, Status
from monitor.agent.transport import Transport, UnreachableError
from monitor.classify.fingerprints import make_ready
from monitor.config.fingerprints import fingerprints_of
from monitor.config.problem import ConfigError
from monitor.config.risks import acceptance
from monitor.config.schema import FingerprintConfig
from monitor.daemon import systemd
from monitor.daemon.memory import Memory
from monitor.daemon.pipeline import Look
from monitor.daemon.run_contexts import RunContexts
from monitor.daemon.schedule import Schedule
from monitor.model.fleet import AgentTarget, CheckIn, CheckInAnswer, Result
from monitor.model.identifier import MeasurementIds
from monitor.model.outcome import Outcome
from monitor.model.seams import Clock
from monitor.model.vantage import VantageState
from monitor.model.verdict import SeriesState
from monitor.model.verdict import Status as VerdictStatus
from monitor.network.certificates import TrustStore

log = logging.getLogger("monitor.agent")

CHECK_IN_SECONDS: Final = 45.0
CHECK_IN_TIMEOUT_SECONDS: Final = 30.0
CHECK_IN_SPREAD: Final = 0.2
REFUSED_SECONDS: Final = 300.0  # between check-ins of an agent that was revoked
HOUSEKEEPING_SECONDS: Final = 1.0
EXPIRY_SECONDS: Final = 600.0
STOP_SECONDS: Final = 10.0
MAX_GATHER_SECONDS: Final = 10.0
LIVE_INTERVALS: Final = 2
_ABOUT_THE_AGENT: Final = frozenset({"revoked", "unknown_agent"})


@dataclass(frozen=True)
class FurtherLook:
    """A round that comes sooner than the schedule says."""

    wanted: AgentTarget
    look: Look


class _Circumstances(msgspec.Struct):
    fault: str | None = None


class Agent:
    """Composition root and life cycle: `run` returns after `stop`."""

    def __init__(
        self,
        folder: Folder,
        identity: Identity,
        environ: Mapping[str, str],
        clock: Clock,
        say: Callable[[str], None],
        *,
        proxy: str | None = None,
    ) -> None:
        self._folder = folder
        self._identity = identity
        self._clock = clock
        self._say = say
        self._boot = fresh_boot()
        self._sequence = 0
        self._stopping = asyncio.Event()
        self._chance = random.SystemRandom()
        self._pace = Pace(self._chance)
        self._transport = Transport(identity.certificate, proxy)
        self._link = Link(identity, self._transport, clock)
        self._trust = TrustStore.load(None, environ)
        self._contexts = RunContexts(clock)
        self._owner, self._owner_seen = load_owner(folder.owner), _stamp(folder)
        self._owner_error: str | None = None
        self._orders = Orders.load(folder.instructions)
        self._lease_ends = self._lease_from(clock.now())
        fingerprints = fingerprints_of(FingerprintConfig())
        make_ready(fingerprints.rows)
        self._spool = Spool(folder.spool)
        self._budget = Budget(self._spool, clock)
        self._manners = Manners(clock)
        self._courier = Courier(
            identity.agent_id, self._link, self._spool, clock, on_refused=self._refused, boot=self._boot
        )
        self._schedule = Schedule(clock, self._round, lambda _: None, lambda _: None)
        self._equipment = Equipment(
            name=identity.vantage,
            clock=clock,
            trust=self._trust,
            ids=MeasurementIds(),
            context=self._contexts.current,
            fingerprints=fingerprints,
            memory=Memory(),
            controls=CentreControls(self._link, clock),
            record=self._record,
            quiet=self.quiet,
            spend=self._budget.spend,
        )
        self._station: Station | None = None
        self._told: str | None = ""
        self._reported_bytes = 0
        self._unkept = 0  # results that the disk did not take
        self._closings: set[asyncio.Task[None]] = set()

    def stop(self) -> None:
        """Begin to stop; running measurements get `STOP_SECONDS`."""
        self._stopping.set()

    async def run(self) -> None:
        """Measure and report until stopped."""
        self._schedule.start()
        await self._use()
        keeping = [asyncio.create_task(one) for one in (self._check_ins(), self._courier.run(), self._keep_house())]
        self._courier.wake.set()
        self._say(f"Measuring as {self._identity.vantage} for {self._identity.urls[0]}")
        systemd.notify(systemd.READY)
        stopping = asyncio.create_task(self._stopping.wait())
        done, _ = await asyncio.wait([stopping, *keeping], return_when=asyncio.FIRST_COMPLETED)
        systemd.notify(systemd.STOPPING)
        if self._station is not None:
            await self._station.pipeline.close()
        await self._schedule.stop(STOP_SECONDS)
        for task in (stopping, *keeping, *self._closings):
            task.cancel()
        await asyncio.gather(*keeping, *self._closings, return_exceptions=True)
        if self._station is not None:
            await self._station.vantage.close()
        await self._transport.close()
        self._write_status()
        self._spool.close()
        for task in done - {stopping}:
            await task  # a mistake of ours ended it

    def quiet(self) -> str | None:
        """Return why nothing is measured now, None if something is."""
        instructions = self._orders.instructions
        consent, wanted_consent = acceptance(self._folder.path), instructions.consent_version if instructions else 0
        reasons = (
            ("paused", self._folder.is_paused),
            ("owner_file", self._owner_error is not None),
            (self._orders.refused or "", self._orders.refused is not None),
            ("software", is_too_old(self._orders.min_software)),
            ("no_instructions", instructions is None),
            ("consent", consent is None or wanted_consent > consent.version),
            ("lease", self._clock.boottime() >= self._lease_ends),
            ("quiet_hours", self._owner.is_quiet(self._clock.now())),
            ("budget", self._owner.daily_limit is not None and self._budget.spent_bytes >= self._owner.daily_limit),
        )  # fmt: skip
        return next((word for word, holds in reasons if holds), None)

    async def _use(self) -> None:
        """Put instructions and the owner's wishes to work, if either changed."""
        instructions = self._orders.instructions
        before = self._station
        if instructions is None or (
            before is not None and before.instructions == instructions and before.owner == self._owner
        ):
            return
        self._contexts.use(instructions.config_digest, self._trust)
        try:
            station = build_station(instructions, self._owner, self._equipment)
        except (ValueError, OSError) as error:
            log.warning("the instructions cannot be followed", extra={"why": str(error).partition("\n")[0]})
            return
        self._station = station
        self._manners.rounds_per_minute = self._owner.rounds_per_minute
        shortest = min((one.interval_seconds for one in station.targets.values()), default=CHECK_IN_SECONDS)
        self._courier.gather_seconds = min(MAX_GATHER_SECONDS, shortest / 10)
        counts = self._schedule.apply(station.entries())
        log.info(
            "instructions in use",
            extra={"version": instructions.version, "vetoed": len(station.vetoed), **counts},
        )
        if before is not None:
            await before.pipeline.close(())
            closing = asyncio.create_task(self._close_later(before))
            self._closings.add(closing)
            closing.add_done_callback(self._closings.discard)

    async def _close_later(self, station: Station) -> None:
        """Close what is no longer used once the rounds under way on it have ended."""
        try:
            await asyncio.sleep(120.0)
        finally:
            await station.vantage.close()

    async def _round(self, payload: Hashable) -> None:
        """Run one round; the one place where a mistake of ours is caught, told and outlived."""
        match payload:
            case FurtherLook(wanted, look):
                pass
            case AgentTarget() as wanted:
                look = Look.SCHEDULED
            case _:
                raise TypeError(payload)
        station, target = self._station, wanted.target
        if station is None or self.quiet() is not None or not self._manners.may_begin(target.url):
            return
        try:
            outcome = await station.pipeline.round(target, station.vantage, wanted.interval_seconds, look=look)
        except Exception:
            log.exception("a round failed", extra={"target": target.name})
            station.pipeline.give_up(target, station.vantage)
            return
        if outcome.look_again_seconds is not None and outcome.detector is not None:
            is_return = outcome.detector.state is SeriesState.NOT_ACCESSIBLE
            again = FurtherLook(wanted, Look.CLEARING if is_return else Look.SUSPICION)
            self._schedule.again(f"{target.name}@{self._identity.vantage}", outcome.look_again_seconds, again)

    def _record(self, outcome: Outcome) -> None:
        """Keep a round until the centre has it."""
        station, measurement = self._station, outcome.recording.measurement
        self._sequence += 1
        wanted = station.targets.get(measurement.target) if station else None
        interval = wanted.interval_seconds if wanted else CHECK_IN_SECONDS
        result = Result(
            sequence=self._sequence,
            recording=outcome.recording,
            monotonic_seconds=station.vantage.began(measurement.id) if station else self._clock.boottime(),
            state_before=outcome.state_before,
            state_after=outcome.state_after,
            fault=msgspec.json.decode(outcome.circumstances or "{}", type=_Circumstances).fault,
            control_ids=outcome.control_ids,
            instructions_version=self._orders.version,
        )
        try:
            self._spool.put(
                self._boot,
                self._sequence,
                msgspec.json.encode(result),
                started_at=measurement.started_at,
                live_until=measurement.started_at + timedelta(seconds=LIVE_INTERVALS * interval),
                weight=weight_of(outcome),
            )
        except sqlite3.Error as error:
            self._unkept += 1
            log.warning("a result could not be kept", extra={"why": getattr(error, "sqlite_errorname", "")})
            return
        self._courier.wake.set()
        log.info(
            "measured",
            extra={
                "target": measurement.target,
                "status": outcome.verdict.status.value if outcome.verdict else None,
                "rule": outcome.verdict.rule if outcome.verdict else None,
                "sequence": self._sequence,
            },
        )

    async def _check_ins(self) -> None:
        while True:
            wait = await self._check_in()
            await asyncio.sleep(wait)

    async def _check_in(self) -> float:
        """Tell the centre how it stands here and hear what it wants; return the seconds until the next time."""
        question = self._question()
        try:
            answer = await self._link.ask(
                "/v1/check-in",
                msgspec.json.encode(question),
                question.nonce,
                CheckInAnswer,
                seconds=CHECK_IN_TIMEOUT_SECONDS,
            )
        except SlowDownError as error:
            return error.seconds
        except RefusedError as error:
            self._refused(error.word)
            return REFUSED_SECONDS if error.word in _ABOUT_THE_AGENT else self._pace.next_seconds() + 1.0
        except (UnreachableError, TooLargeError) as error:
            log.info("the centre does not answer", extra={"why": str(error)})
            return min(self._period_seconds(), self._pace.next_seconds() + 1.0)
        self._pace.failures = 0
        self._courier.hurry()
        await self._hear(answer)
        return max(self._period_seconds(), min(answer.backoff_seconds, REFUSED_SECONDS))

    def _period_seconds(self) -> float:
        """Return the time between two check-ins, another one each time so that agents do not come in step."""
        wanted = self._orders.instructions.check_in_seconds if self._orders.instructions else CHECK_IN_SECONDS
        return wanted * self._chance.uniform(1 - CHECK_IN_SPREAD, 1 + CHECK_IN_SPREAD)

    def _question(self) -> CheckIn:
        depth, station = self._spool.depth(), self._station
        latest = station.sanity.latest(self._identity.vantage) if station else None
        return CheckIn(
            nonce=nonce(),
            sent_at=self._clock.now(),
            software=SOFTWARE,
            features=FEATURES,
            config_version=self._orders.version,
            state=latest.state if latest else None,
            is_paused=self._folder.is_paused,
            quiet=self.quiet(),
            spool_rows=depth.rows,
            spool_bytes=depth.bytes,
            dropped_count=depth.dropped,
            vetoed=tuple(station.vetoed) if station else (),
            clock=self._link.reading(),
        )

    async def _hear(self, answer: CheckInAnswer) -> None:
        before = self._orders
        self._orders = before.renewed(answer)
        try:
            self._orders = self._orders.following(answer)
        except OrdersError as error:
            log.warning("instructions are not followed", extra={"why": str(error)})
        self._lease_ends = self._lease_from(answer.server_time)
        try:
            self._orders.save(self._folder.instructions)
        except OSError as error:
            log.warning("the instructions could not be kept", extra={"why": error.strerror})
        await self._use()
        self._tell_if_changed()

    def _lease_from(self, now: datetime) -> float:
        """Return when the lease ends (`Clock.boottime`), which no wall clock can move once it is known."""
        return self._clock.boottime() + self._orders.lease_seconds(now)

    def _refused(self, word: str) -> None:
        if word in _ABOUT_THE_AGENT and self._orders.refused != word:
            self._orders = msgspec.structs.replace(self._orders, refused=word)
            self._orders.save(self._folder.instructions)
        log.warning("the centre refuses this agent", extra={"why": word})

    async def _keep_house(self) -> None:
        """Notice what the owner changed, drop what is too old, and say how it stands."""
        expired_at = float("-inf")
        while True:
            if (seen := _stamp(self._folder)) != self._owner_seen:
                self._owner_seen = seen
                await self._read_owner()
            is_due = self._clock.monotonic() - expired_at >= EXPIRY_SECONDS
            if is_due:
                expired_at = self._clock.monotonic()
            self._settle_accounts(expire=is_due)
            self._tell_if_changed()
            self._write_status()
            systemd.notify(systemd.WATCHDOG)
            await asyncio.sleep(HOUSEKEEPING_SECONDS)

    def _settle_accounts(self, *, expire: bool) -> None:
        """Write down what was moved by reporting and what the disk did not take, and drop what is too old."""
        try:
            if expire and (dropped := self._spool.expire(self._clock.now())):
                log.warning("results became too old", extra={"dropped": dropped})
            if moved := self._transport.moved_bytes - self._reported_bytes:
                self._budget.spend(moved)
                self._reported_bytes += moved
            if self._unkept:
                self._spool.count_dropped(self._unkept)
                self._unkept = 0
        except sqlite3.Error as error:
            log.warning("the spool cannot be written", extra={"why": getattr(error, "sqlite_errorname", "")})

    async def _read_owner(self) -> None:
        """Take the owner's file as it is now; while it cannot be understood nothing is measured."""
        try:
            self._owner, self._owner_error = load_owner(self._folder.owner), None
        except ConfigError as error:
            self._owner_error = str(error)
            log.warning("the owner's file is not understood; nothing is measured", extra={"why": str(error)})
            return
        await self._use()

    def _tell_if_changed(self) -> None:
        if (why := self.quiet()) != self._told:
            self._told = why
            log.info("nothing is measured" if why else "measuring", extra={"why": why} if why else {})

    def _write_status(self) -> None:
        station = self._station
        status = Status(
            at=self._clock.now(),
            contact_at=self._link.contact_at,
            quiet=self.quiet(),
            owner_error=self._owner_error,
            version=self._orders.version,
            lease_until=self._orders.lease_until,
            offset_seconds=self._link.offset_seconds,
            moved_bytes=self._budget.spent_bytes,
            state=self._state(),
            measured=tuple(
                Measured(name=name, url=one.target.url, interval_seconds=one.interval_seconds)
                for name, one in (station.targets.items() if station else ())
            ),
            vetoed=dict(station.vetoed) if station else {},
        )
        try:
            write_whole(self._folder.status, msgspec.json.encode(status))
        except OSError as error:
            log.warning("the status could not be written", extra={"why": error.strerror})

    def _state(self) -> VantageState | None:
        latest = self._station.sanity.latest(self._identity.vantage) if self._station else None
        return latest.state if latest else None


def weight_of(outcome: Outcome) -> Weight:
    """Return how much a round tells."""
    if outcome.transition is not None or outcome.recording.measurement.is_deep:
        return Weight.TURN
    was_online = outcome.state_before is VantageState.ONLINE
    is_usual = outcome.verdict is None or outcome.verdict.status is VerdictStatus.ACCESSIBLE or not was_online
    return Weight.USUAL if is_usual else Weight.FAILURE


def _stamp(folder: Folder) -> tuple[int, int] | None:
    """Return what changes with the owner's file."""
    try:
        found = folder.owner.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size
