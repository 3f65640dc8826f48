"""The daemon: one process that measures on a schedule, stores, exports and answers HTTP until it is told to stop."""

import asyncio
import gc
import logging
import resource
import signal
from collections.abc import Callable, Hashable, Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from pydantic import BaseModel, SecretStr

import monitor
from monitor.classify.fingerprints import make_ready
from monitor.classify.rules import RULES_VERSION
from monitor.config.assignment import Assignment
from monitor.config.fingerprints import fingerprints_of
from monitor.config.load import load
from monitor.config.plan import rollup_rule_of
from monitor.config.problem import ConfigError
from monitor.config.schema import Configuration
from monitor.daemon import systemd
from monitor.daemon.dating import Dater
from monitor.daemon.hearing import Hearing
from monitor.daemon.ledger import StoredLedger
from monitor.daemon.listen import Server, listening_socket, server_config
from monitor.daemon.logs import Redaction
from monitor.daemon.memory import Memory, country_of
from monitor.daemon.pipeline import ROUND_SECONDS, Look
from monitor.daemon.run_contexts import RunContexts
from monitor.daemon.schedule import Entry, Schedule
from monitor.daemon.services import DaemonServices
from monitor.daemon.silence_watch import SilenceWatch
from monitor.daemon.station import Listeners, Station, build_station
from monitor.daemon.store_events import tell
from monitor.daemon.telling import Telling
from monitor.detect.cusum import is_failing
from monitor.detect.incidents import without
from monitor.events.annotation import Calendar
from monitor.events.load import load_events
from monitor.exporter.exporter import Exporter
from monitor.model.agent import Agent
from monitor.model.fingerprint import FingerprintSet
from monitor.model.identifier import MeasurementIds
from monitor.model.outcome import Incident, Outcome, Silence
from monitor.model.seams import Clock, Vantage, VantageError
from monitor.model.vantage import Role, VantageCheck
from monitor.model.verdict import SeriesState, Status
from monitor.network.certificates import TrustStore
from monitor.store.reader import Reader
from monitor.store.store import Store
from monitor.vantages._service import ServiceVantage
from monitor.web.app import create_app

log = logging.getLogger("monitor.daemon")

STOP_SECONDS = 10.0
HOUSEKEEPING_SECONDS = 5.0
CLOCK_STEP_SECONDS = 1.0
CALENDAR_SECONDS = 60.0  # how often it is seen which events are in force
FIRST_MAINTENANCE_SECONDS = 60.0  # also for a daemon that never lives an hour
MAINTENANCE_SECONDS = 3600.0
PROBE_COUNT_SECONDS = 3600.0


@dataclass(frozen=True)
class FurtherLook:
    """A round that comes sooner than the schedule says."""

    assignment: Assignment
    look: Look


class Daemon:
    """Composition root and life cycle: `run` returns after `stop`."""

    def __init__(
        self,
        config_path: Path,
        environ: Mapping[str, str],
        clock: Clock,
        redaction: Redaction,
        say: Callable[[str], None],
    ) -> None:
        self._config_path = config_path
        self._environ = environ
        self._clock = clock
        self._redaction = redaction
        self._say = say
        self._stopping = asyncio.Event()
        self.ids = MeasurementIds()
        self._contexts = RunContexts(clock)
        self.memory = Memory()
        self._in_flight = 0
        self._closings: set[asyncio.Task[None]] = set()
        self.exporter = Exporter(monitor.__version__, RULES_VERSION)
        self.started_at = clock.now()
        self.config_loaded_at = clock.now()
        self.config_error: str | None = None
        self.is_ready = False
        self._hearing: Hearing | None = None
        self.station: Station
        self.store: Store
        self.reader: Reader
        self.calendar: Calendar

    def stop(self) -> None:
        """Begin to stop; running measurements get `STOP_SECONDS`, what is then unfinished is dropped unrecorded."""
        self._stopping.set()

    async def run(self) -> None:
        """Start, serve until stopped, shut down in order. Raises ConfigError, StoreError or OSError at the start."""
        config, fingerprints, self.calendar = self._load()
        path = config.storage.path
        self.store = Store.open(path, self._clock, spool_rows=config.storage.spool_rows, on_event=tell)
        try:
            # Readers of their own: a long question of somebody who looks at the page delays no message.
            with Reader(path) as self.reader, Reader(path) as outbox:
                self.station = self._build(config, fingerprints, None)
                infos = {name: vantage.info for name, vantage in self.station.vantages.items()}
                self.memory.recall(self.reader, self.station.assignments, self._clock.now(), infos)
                self._silence = SilenceWatch(self._on_silence, self.reader.silences(since=self._clock.now()))
                self._telling = Telling(
                    self.store,
                    outbox,
                    self._clock,
                    exporter=self.exporter,
                    memory=self.memory,
                    silences=lambda: self.silences,
                    events=lambda: self.calendar.events,
                )
                self._dater = Dater(self.reader, self.store, self._clock)
                await self._run_parts()
        finally:
            await asyncio.to_thread(self.store.close)
        log.info("stopped")

    async def _run_parts(self) -> None:
        config = self.station.config
        await self._telling.use(self.station)
        listener = listening_socket(config.server.listen)
        self._hearing = Hearing.of(self, self._clock)
        if self._hearing is not None:
            await self._hearing.fleet.use(self.station)
        self._schedule = schedule = Schedule(self._clock, self._round, self.exporter.started, self._skipped)
        self._put_in_use(None)
        services = DaemonServices(self, self._clock)
        server = Server(server_config(create_app(services), graceful_seconds=2))
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop)
        loop.add_signal_handler(signal.SIGHUP, lambda: loop.create_task(self.reload()))
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        kept_up = [
            self._keep_house(),
            self._maintain(),
            self._dater.run(),
            self._telling.run(),
            self._count_probes(),
        ]
        if self._hearing is not None:
            kept_up.append(self._hearing.fleet.watch())
        keeping = [asyncio.create_task(one) for one in kept_up]
        hearing = asyncio.create_task(self._hearing.serve()) if self._hearing else None
        calm_garbage_collection()
        schedule.start()
        self.is_ready = True
        host, port = listener.getsockname()[:2]
        self._say(f"Listening on http://{f'[{host}]' if ':' in host else host}:{port}/ · metrics at /metrics")
        if self._hearing is not None:
            self._say(f"Hearing agents on {self._hearing.place}")
        self._say(f"Storing in {config.storage.path}")
        systemd.notify(systemd.READY)
        await self._stopping.wait()
        log.info("stopping", extra={"in_flight": self._in_flight, "grace_seconds": STOP_SECONDS})
        self.is_ready = False
        systemd.notify(systemd.STOPPING)
        if self._hearing is not None and hearing is not None:
            self._hearing.stop()
            await hearing
        await self.station.pipeline.close()
        await schedule.stop(STOP_SECONDS)
        server.should_exit = True
        await serving
        ending = (*keeping, *self._closings)
        for task in ending:
            task.cancel()
        await asyncio.gather(*ending, return_exceptions=True)
        if self._hearing is not None:
            self._hearing.close()
        await self._telling.close()
        for vantage in self.station.vantages.values():
            await vantage.close()

    @property
    def open_incidents(self) -> tuple[Incident, ...]:
        """The incidents that have not ended."""
        return tuple(self.memory.incidents.values())

    @property
    def silences(self) -> tuple[Silence, ...]:
        """The countries of which no vantage has a line."""
        return self._silence.silences

    @property
    def agents(self) -> tuple[Agent, ...]:
        """The agents that push and are not revoked."""
        known = self._hearing.fleet.agents if self._hearing else ()
        return tuple(one for one in known if one.revoked_at is None)

    async def reload(self) -> tuple[bool, str]:
        """Read the configuration again; an invalid one changes nothing. Returns (in use, what is wrong otherwise)."""
        try:
            config, fingerprints, calendar = await asyncio.to_thread(self._load)
            if fixed := needs_restart(self.station.config, config):
                return self._refuse(f"{', '.join(fixed)} can only change with a restart")
            station = self._build(config, fingerprints, self.station)
            await self._telling.use(station)
            if self._hearing is not None:
                await self._hearing.fleet.use(station)
        except (ConfigError, ValueError, OSError) as error:
            return self._refuse(str(error))
        before, self.station, self.calendar = self.station, station, calendar
        unchanged = {key for key, one in station.assignments.items() if before.assignments.get(key) == one}
        await before.pipeline.close(unchanged)
        self._put_in_use(before)
        gone = [vantage for name, vantage in before.vantages.items() if station.vantages.get(name) is not vantage]
        for vantage in gone:
            self._closings.add(closing := asyncio.create_task(self._close_later(vantage)))
            closing.add_done_callback(self._closings.discard)
        return True, "the configuration is in use"

    async def _close_later(self, vantage: Vantage) -> None:
        """Close a vantage that is no longer used once the rounds under way on it have ended."""
        try:
            await asyncio.sleep(2 * ROUND_SECONDS)
        finally:
            await vantage.close()

    def _refuse(self, why: str) -> tuple[bool, str]:
        self.config_error = why
        self.exporter.set_reload(ok=False, at=self._clock.now())
        log.error("the configuration was not taken", extra={"why": why})
        return False, why

    def _load(self) -> tuple[Configuration, FingerprintSet, Calendar]:
        config = load(self._config_path, self._environ)
        self._redaction.hide(secrets_of(config))
        fingerprints = fingerprints_of(config.fingerprints)
        make_ready(fingerprints.rows)
        return config, fingerprints, load_events(config.events, config.platforms, self._clock.now())

    def _build(self, config: Configuration, fingerprints: FingerprintSet, previous: Station | None) -> Station:
        return build_station(
            config,
            clock=self._clock,
            ids=self.ids,
            trust=TrustStore.load(config.tls.ca_file, self._environ),
            fingerprints=fingerprints,
            contexts=self._contexts,
            memory=self.memory,
            listeners=Listeners(on_outcome=self._on_outcome, on_check=self._on_check),
            ledger=StoredLedger(self.store, self.reader, self._clock),
            previous=previous,
        )

    def _put_in_use(self, before: Station | None) -> None:
        station, now = self.station, self._clock.now()
        self.store.sync_configuration(
            {name: written.name for name, written in station.config.platforms.items()},
            station.targets.values(),
            station.plan.vantages,
            station.config_digest,
            now,
            intervals_seconds={one.target.name: one.interval_seconds for one in station.plan.assignments},
        )
        self.store.sync_fingerprints(station.fingerprints, now)
        self.store.sync_events(self.calendar, now)
        self.exporter.calendar(self.calendar, now)
        jitter = station.config.defaults.jitter
        counts = self._schedule.apply(
            Entry(key_of(one), one.interval_seconds, jitter, one)
            for one in station.plan.assignments
            if one.vantage_name not in station.pushing
        )
        for target, vantage in before.series() - station.series() if before else ():
            self.exporter.forget(target, vantage)
        self._close_unwatched(now)
        for name in before.vantages.keys() - station.vantages.keys() if before else ():
            self.exporter.forget_vantage(name)
            self._silence.forget(name, now)
        self.exporter.platforms(
            {name: rollup_rule_of(station.config, name) for name in station.config.platforms},
            {name: target.platform for name, target in station.targets.items()},
        )
        self.exporter.incidents(self.open_incidents)
        self.exporter.set_reload(ok=True, at=now)
        self.config_loaded_at, self.config_error = now, None
        log.info("configuration in use", extra={"digest": station.config_digest[:12], **counts})

    def _close_unwatched(self, now: datetime) -> None:
        """Take out of open incidents what is no longer measured: no transition would ever end it."""
        for incident in self.open_incidents:
            gone = [one for one in incident.members if (one.target, one.vantage) not in self.station.assignments]
            if left := without(incident, gone, now):
                notices = self._telling.of_incident(left.incident, left.updates, None)
                self._telling.told(self.store.record_incident(left.incident, left.updates, notices))
                self.memory.take_incident(left.incident)
                log.warning("an incident lost what is no longer measured", extra={"incident": incident.id})

    async def _round(self, payload: Hashable) -> None:
        """Run one round; the one place where a mistake of ours is caught, told and outlived."""
        match payload:
            case FurtherLook(assignment, look):
                pass
            case Assignment() as assignment:
                look = Look.SCHEDULED
            case _:
                raise TypeError(payload)
        station = self.station
        vantage = station.vantages[assignment.vantage_name]
        self._in_flight += 1
        try:
            outcome = await station.pipeline.round(assignment.target, vantage, assignment.interval_seconds, look=look)
        except Exception:
            log.exception(
                "a round failed", extra={"target": assignment.target.name, "vantage": assignment.vantage_name}
            )
            station.pipeline.give_up(assignment.target, vantage)
        else:
            self._look_again(assignment, outcome)
        finally:
            self._in_flight -= 1

    def _look_again(self, assignment: Assignment, outcome: Outcome) -> None:
        """Have the schedule run a further look if the outcome asks for one."""
        if outcome.look_again_seconds is None or outcome.detector is None:
            return
        is_return = outcome.detector.state is SeriesState.NOT_ACCESSIBLE
        look = Look.CLEARING if is_return else Look.SUSPICION
        self.exporter.looked_again(assignment.vantage_name, look)
        self._schedule.again(key_of(assignment), outcome.look_again_seconds, FurtherLook(assignment, look))

    def _skipped(self, payload: Hashable) -> None:
        if isinstance(payload, Assignment):
            self.exporter.skipped(payload.vantage_name)

    def _on_outcome(self, outcome: Outcome) -> None:
        self.record(outcome)

    def record(self, outcome: Outcome) -> Future[bool]:
        """Have a run stored and tell of it whoever hears of runs; the future is the store's."""
        measurement, verdict = outcome.recording.measurement, outcome.verdict
        station = self.station
        target, vantage = station.targets.get(measurement.target), station.vantages.get(measurement.vantage)
        place = (target.platform, country_of(vantage.info, measurement.network)) if target and vantage else None
        notices = self._telling.of_outcome(outcome, place)
        stored = self.store.record(outcome, notices)
        if notices:
            self._telling.told(stored)
        if outcome.transition is not None:
            loop = asyncio.get_running_loop()
            stored.add_done_callback(lambda _: loop.call_soon_threadsafe(self._dater.wake))
            self.exporter.changed(outcome.transition)
        is_asked = vantage is not None and (
            vantage.info.role is Role.CONTROL or (measurement.target, measurement.vantage) in station.assignments
        )
        # What came too late says nothing of the present: no gauge moves, and nobody is told.
        if target is not None and vantage is not None and is_asked and not outcome.is_late:
            self.exporter.observe(outcome, target, vantage.info, station.interval_of(target.name, measurement.vantage))
        if verdict is None:
            return stored
        if target is not None and vantage is not None and not outcome.is_late:
            self._telling.watch.hear(outcome, target.platform, vantage.info.role)
        if outcome.detector is not None and is_failing(verdict, measurement) is None:
            self.exporter.dropped(measurement.vantage, verdict.reason or verdict.status)
        if outcome.incident is not None:
            self.exporter.incidents(self.open_incidents)
        log.log(
            logging.INFO if verdict.status is Status.ACCESSIBLE else logging.WARNING,
            "measured",
            extra={
                "target": measurement.target,
                "vantage": measurement.vantage,
                "status": verdict.status.value,
                "confidence": verdict.confidence,
                "mechanisms": " ".join(verdict.mechanisms),
                "reason": verdict.reason,
                "rule": verdict.rule,
                "deep": measurement.is_deep,
                "elapsed_seconds": measurement.elapsed_seconds,
                "id": measurement.id,
            },
        )
        return stored

    def forget_agent(self, vantage: str) -> None:
        """Leave a vantage out of account whose agent is heard no more."""
        self.station.sanity.forget(vantage)
        self.exporter.forget_vantage(vantage)
        self._silence.forget(vantage, self._clock.now())

    def _on_check(self, check: VantageCheck) -> None:
        self.store.record_check(check)
        self._telling.watch.check(check)
        if vantage := self.station.vantages.get(check.vantage):  # a reload may have taken it away
            self.exporter.observe_check(check, vantage.info)
            self._silence.hear(check, vantage.info)

    def _on_silence(self, silence: Silence) -> None:
        self._telling.told(self.store.record_silence(silence, self._telling.of_silence(silence)))
        self.exporter.silences(self._silence.silences)
        log.warning(
            "a country is heard again" if silence.ended_at else "no vantage of a country has a line",
            extra={"country": silence.country, "vantages": list(silence.vantages)},
        )

    async def _keep_house(self) -> None:
        """Publish what the daemon knows of itself and tell systemd that the loop is alive."""
        pause = min(HOUSEKEEPING_SECONDS, (systemd.watchdog_seconds() or HOUSEKEEPING_SECONDS * 3) / 3)
        offset = self._wall_offset()
        calendar_at = self._clock.boottime()
        while True:
            if abs((step := self._wall_offset()) - offset) > CLOCK_STEP_SECONDS:
                log.warning("the wall clock was set", extra={"seconds": round(step - offset, 1)})
            offset = step
            self.exporter.set_store(self.store.health())
            self.exporter.in_flight(self._in_flight)
            for vantage in self._services():
                self.exporter.quota(vantage.info.name, vantage.quota())
            await asyncio.to_thread(self.exporter.roll_up, self._clock.now())
            if self._clock.boottime() - calendar_at >= CALENDAR_SECONDS:
                calendar_at = self._clock.boottime()
                await asyncio.to_thread(self.exporter.calendar, self.calendar, self._clock.now())
            systemd.notify(f"{systemd.WATCHDOG}\nSTATUS={self._in_flight} of {len(self.station.assignments)} running")
            await asyncio.sleep(pause)

    def _wall_offset(self) -> float:
        """Return what the wall clock is ahead of the one that nobody sets; a suspended night is no step."""
        return self._clock.now().timestamp() - self._clock.boottime()

    def _services(self) -> list[ServiceVantage]:
        return [vantage for vantage in self.station.vantages.values() if isinstance(vantage, ServiceVantage)]

    async def _count_probes(self) -> None:
        """Write down every hour how many probes each service has: in a shutdown they vanish, and nothing fails."""
        while True:
            for vantage in self._services():
                try:
                    counts = await vantage.count_probes()
                except VantageError as error:
                    why = str(error)
                    log.warning("probes could not be counted", extra={"vantage": vantage.info.name, "why": why})
                    continue
                self.store.record_probe_counts(vantage.info.name, self._clock.now(), counts)
                self.exporter.probes(vantage.info.name, counts)
            await asyncio.sleep(PROBE_COUNT_SECONDS)

    async def _maintain(self) -> None:
        """Roll up and clean up now and then, in the writer's own time."""
        pause = FIRST_MAINTENANCE_SECONDS
        while True:
            await asyncio.sleep(pause)
            pause = MAINTENANCE_SECONDS
            self.store.maintain(self._clock.now(), self.station.config.storage.retention)


def key_of(assignment: Assignment) -> str:
    """Return what the schedule knows an assignment by."""
    return f"{assignment.target.name}@{assignment.vantage_name}"


def needs_restart(before: Configuration, now: Configuration) -> list[str]:
    """Return the keys that differ and that a running daemon cannot change."""
    fixed = {
        "storage.path": before.storage.path == now.storage.path,
        "storage.spool_rows": before.storage.spool_rows == now.storage.spool_rows,
        "server.listen": before.server.listen == now.server.listen,
    }
    if before.ingest is None or now.ingest is None:
        fixed["ingest"] = before.ingest is now.ingest
    else:
        for key in ("listen", "certificate_file", "key_file", "folder", "tls"):
            fixed[f"ingest.{key}"] = getattr(before.ingest, key) == getattr(now.ingest, key)
    return [key for key, same in fixed.items() if not same]


def secrets_of(part: object) -> Iterator[str]:
    """Yield every secret value of a configuration, so that no line of the log holds one."""
    if isinstance(part, SecretStr):
        secret = part.get_secret_value()
        yield secret
        yield from (one for one in secret.split() if "://" in one)  # several addresses may stand in one secret
    elif isinstance(part, BaseModel):
        for name in type(part).model_fields:
            yield from secrets_of(getattr(part, name))
    elif isinstance(part, Mapping):
        for one in part.values():
            yield from secrets_of(one)


def calm_garbage_collection() -> None:
    """Let the collector leave alone what lives as long as the process, and look at the rest less often.

    Measurements make few cycles and many short-lived values: with the defaults every 700 of these cost a pass, and
    each tenth of a tenth of those walks over everything that 1,000 targets keep.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


def raise_file_limit() -> None:
    """Use all the file descriptors that the system allows: 1,000 targets may be open at once."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
