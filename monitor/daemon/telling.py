"""The daemon's side of alerts: turns what happened into alerts with their messages, and watches what no round tells."""

import asyncio
import logging
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from datetime import datetime, timedelta
from typing import Final

import httpx

from monitor.alerts.http_post import client
from monitor.alerts.office import Office
from monitor.config.alerting import AlertsConfig
from monitor.config.schema import Configuration
from monitor.daemon.memory import Memory
from monitor.daemon.station import Station
from monitor.daemon.watch import Watch
from monitor.detect.conditions import KINDS, Limits
from monitor.detect.incidents import returning
from monitor.detect.policy import (
    alerts_of,
    deadline_alerts,
    plan,
    reminders,
    returning_alert,
    severity_of,
    silence_alert,
)
from monitor.events.record import RegulatoryEvent
from monitor.exporter.exporter import Exporter
from monitor.model.alert import Alert, AlertKind, Notice
from monitor.model.outcome import Incident, IncidentUpdate, Outcome, Silence
from monitor.model.seams import Clock
from monitor.model.verdict import SeriesState, Verdict
from monitor.store import outbox_reader
from monitor.store.reader import Reader
from monitor.store.store import Store

log = logging.getLogger("monitor.alerts")

LOOK_SECONDS: Final = 5.0
HEARTBEAT_SECONDS: Final = 10.0  # the longest that one may take


class Telling:
    """Alerts of one daemon; `silences` tells which countries are silent, `events` which regulatory events are known."""

    def __init__(
        self,
        store: Store,
        reader: Reader,
        clock: Clock,
        *,
        exporter: Exporter,
        memory: Memory,
        silences: Callable[[], Sequence[Silence]],
        events: Callable[[], Mapping[str, RegulatoryEvent]],
    ) -> None:
        self._store = store
        self._reader = reader
        self._clock = clock
        self._exporter = exporter
        self._memory = memory
        self._silences = silences
        self._events = events
        self._posted: set[str] = set()
        self._office = Office(store, reader, clock, exporter.attempted)
        kinds = [*KINDS, *(AlertKind(f"{kind}_end") for kind in KINDS)]
        self.watch = Watch(clock.now(), outbox_reader.latest_of(reader.ask, kinds).values())
        self._storage: Alert | None = None
        self._unwritable_since: datetime | None = None
        self._station: Station

    async def use(self, station: Station) -> None:
        """Tell by a configuration from now on; raises OSError or ValueError, and changes nothing, if that fails."""
        await self._office.use(station.config)
        self._station = station

    async def close(self) -> None:
        """End sending; what waits is sent after the next start."""
        await self._office.close()

    def of_incident(
        self, incident: Incident, updates: Sequence[IncidentUpdate], verdict: Verdict | None
    ) -> tuple[Notice, ...]:
        """Return who is told what of something that happened to an incident."""
        alerts = alerts_of(incident, updates, verdict, platform_name=self._name(incident.platform))
        return self._planned(alerts)

    def of_outcome(self, outcome: Outcome, place: tuple[str, str] | None) -> tuple[Notice, ...]:
        """Return who is told what of a round; `place` is its platform and country."""
        if outcome.incident is not None:
            return self.of_incident(outcome.incident, outcome.updates, outcome.verdict)
        detector = outcome.detector
        incident = self._memory.incidents.get(place) if place else None
        if incident is None or detector is None or detector.state is not SeriesState.NOT_ACCESSIBLE:
            return ()
        if detector.run_started_at is None:
            return ()
        states = {
            one: state
            for one in incident.members
            if (state := self._memory.detectors.get((one.target, one.vantage, one.asn)))
        }
        at = outcome.recording.measurement.started_at
        alert = returning_alert(incident, returning(incident, states), at, self._name(incident.platform))
        return self._planned((alert,)) if alert else ()

    def of_silence(self, silence: Silence) -> tuple[Notice, ...]:
        """Return who is told of a country that fell silent, or that is heard again."""
        return self._planned((silence_alert(silence, self._clock.now()),))

    def told(self, stored: Future[bool]) -> None:
        """Have the outbox looked at once it holds what was queued."""
        loop = asyncio.get_running_loop()
        stored.add_done_callback(lambda _: loop.call_soon_threadsafe(self._office.wake))

    async def run(self) -> None:
        """Watch for ever: conditions, reminders, the outbox's own state, and the heart that has to beat."""
        beating = asyncio.create_task(self._beat())
        try:
            while True:
                try:
                    await self._look()
                except sqlite3.Error as error:
                    log.warning("the outbox could not be read", extra={"why": str(error)})
                await asyncio.sleep(LOOK_SECONDS)
        finally:
            beating.cancel()
            await asyncio.gather(beating, return_exceptions=True)

    async def _look(self) -> None:
        now, config = self._clock.now(), self._station.config
        alerts = self.watch.changes(self._station, self._silences(), limits_of(config.alerts), now)
        names = {name: written.name for name, written in config.platforms.items()}
        near = deadline_alerts(self._events(), config.alerts.conditions.deadlines, now)
        due = (
            *reminders(tuple(self._memory.incidents.values()), self._office.policy, now, names),
            *self._planned(tuple(near)),
        )
        # What is due stays due; the outbox holds it once, and is not asked again and again.
        fresh = [one for one in due if self._key(one) not in self._posted]
        self._posted.update(self._key(one) for one in fresh)
        if notices := (*self._planned(alerts), *fresh):
            self.told(self._store.post(notices))
        self._watch_storage(now, config)
        self._exporter.outbox(await asyncio.to_thread(outbox_reader.backlogs, self._reader.ask), now)

    def _watch_storage(self, now: datetime, config: Configuration) -> None:
        """Tell of a database that cannot be written past the outbox, which lies in it."""
        error = self._store.health().last_error
        if error is None:
            self._unwritable_since = None
            if self._storage is not None:
                ended = alert_of_storage(AlertKind.STORAGE_END, self._storage.why, self._storage.since or now, now)
                self.told(self._store.post([Notice(alert=self._storage), plan(ended, self._office.policy, now)]))
                self._storage = None
            return
        since = self._unwritable_since = self._unwritable_since or now
        if self._storage is None and now - since >= timedelta(seconds=config.alerts.conditions.storage):
            self._storage = alert_of_storage(AlertKind.STORAGE, error, since, now)
            self._office.tell_now(plan(self._storage, self._office.policy, now))

    async def _beat(self) -> None:
        """Ask the address of the dead man's switch now and then; a failure is logged without it."""
        async with client() as http:
            while True:
                heart = self._station.config.alerts.heartbeat
                if heart is not None:
                    try:
                        async with asyncio.timeout(HEARTBEAT_SECONDS):
                            answer = await http.post(heart.address.get_secret_value())
                        if not answer.is_success:
                            log.warning("the heartbeat was not taken", extra={"code": answer.status_code})
                    except (TimeoutError, httpx.HTTPError, httpx.InvalidURL) as error:
                        log.warning("the heartbeat was not taken", extra={"why": type(error).__name__})
                await asyncio.sleep(heart.interval if heart else LOOK_SECONDS)

    def _planned(self, alerts: Sequence[Alert]) -> tuple[Notice, ...]:
        now = self._clock.now()
        return tuple(plan(one, self._office.policy, now) for one in alerts)

    def _key(self, notice: Notice) -> str:
        """Return what names an alert with those who are told: reminders of several routes may share a minute."""
        return "+".join((notice.alert.name, *(one.channel for one in notice.planned)))

    def _name(self, platform: str) -> str | None:
        written = self._station.config.platforms.get(platform)
        return written.name if written else None


def alert_of_storage(kind: AlertKind, error: str, since: datetime, at: datetime) -> Alert:
    """Return what is told of a database that cannot be written, or can again."""
    return Alert(
        subject=f"storage:{since:%Y%m%d%H%M%S}",
        kind=kind,
        sequence=1 if kind is AlertKind.STORAGE else 2,
        at=at,
        severity=severity_of(kind, None),
        since=since,
        why=error,
    )


def limits_of(config: AlertsConfig) -> Limits:
    """Return how long conditions last before they are told."""
    written = config.conditions
    return Limits(
        vantage_seconds=written.vantage,
        down_seconds=written.down,
        stopped_seconds=written.stopped,
        certificate_seconds=written.certificate,
    )
