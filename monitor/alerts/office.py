"""Everything about alerts that a daemon holds together: the policy in use, the channels at work, what texts need."""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

from monitor.alerts import channels
from monitor.alerts.channel import Message
from monitor.alerts.sender import Desk, Line, Sender
from monitor.alerts.story import Background, interval_of, story
from monitor.alerts.writer import Writer, country_names, country_zones
from monitor.config.alerting import AlertmanagerChannel, AlertsConfig, ChannelConfig, RouteConfig
from monitor.config.schema import Configuration
from monitor.detect.coincidence import WINDOW
from monitor.detect.dispatch import Rules
from monitor.detect.nearby import sentences
from monitor.detect.policy import USUAL, Policy, Quiet, Route
from monitor.model.alert import Alert, AlertKind, Attempt, Delivery, DeliveryState, Mute, Notice, Planned
from monitor.model.onset import Edge
from monitor.model.seams import Clock
from monitor.store import outbox_reader
from monitor.store.incident_detail import IncidentDetail, details
from monitor.store.reader import Reader
from monitor.store.store import Store

MAINTENANCE = -1  # id of a mute that the configuration asks for


class Office:
    """Plans with one configuration, sends with it, and changes over to another."""

    def __init__(
        self,
        store: Store,
        reader: Reader,
        clock: Clock,
        counted: Callable[[str, Attempt], None],
    ) -> None:
        self._reader = reader
        self._clock = clock
        self._config = AlertsConfig()
        self._writer = Writer()
        self.policy = Policy()
        self._urgent: set[asyncio.Task[None]] = set()
        self._sender = Sender(
            Desk(
                store=store,
                reader=reader,
                clock=clock,
                write=self._message,
                headline=self._headline,
                counted=counted,
                maintenance=lambda: self.policy.maintenance,
            )
        )

    async def use(self, config: Configuration) -> None:
        """Work with a configuration from now on; channels are left alone where nothing about alerts changed.

        Raises OSError or ValueError if a channel cannot be built; then all stays as it was.
        """
        if config.alerts == self._config:
            return
        # Built before anything changes: what cannot be built, as with a file of certificates that holds none, raises.
        rules = rules_of(config.alerts)
        lines = [line_of(name, one, rules) for name, one in config.alerts.channels.items()]
        self._config, self.policy = config.alerts, policy_of(config.alerts)
        self._writer = Writer(config.alerts.templates)
        await self._sender.use(lines)

    def wake(self) -> None:
        """Look at the outbox now."""
        self._sender.wake()

    def tell_now(self, notice: Notice) -> None:
        """Send an alert past the outbox, because that cannot be written; tried again for an hour."""
        for planned in notice.planned:
            message = self._writer.message([_past_the_outbox(notice.alert, planned)], self._plain())
            self._urgent.add(task := asyncio.create_task(self._sender.send_now(planned.channel, message)))
            task.add_done_callback(self._urgent.discard)

    async def close(self) -> None:
        """End sending; what waits is sent after the next start."""
        for task in self._urgent:
            task.cancel()
        await self._sender.close()

    def _message(self, parcel: Sequence[Delivery], unstable: frozenset[str], now: datetime) -> Message:
        alerts = [one.alert for one in parcel]
        return self._writer.message(parcel, background(self._reader, alerts, now, self._config.link, unstable))

    def _headline(self, alert: Alert) -> str:
        """Return a headline from the alert alone, for what is told again and again."""
        return self._writer.headline(story(alert, self._plain()), "en")

    def _plain(self) -> Background:
        return Background(now=self._clock.now(), zones=country_zones(), countries=country_names())


def message_of(alert: Alert, planned: Planned, config: AlertsConfig, now: datetime) -> Message:
    """Return one message from the alert alone."""
    plain = Background(now=now, zones=country_zones(), countries=country_names(), link=config.link)
    return Writer(config.templates).message([_past_the_outbox(alert, planned)], plain)


def _past_the_outbox(alert: Alert, planned: Planned) -> Delivery:
    """Return a message that no table holds."""
    return Delivery(
        id=0,
        alert_id=0,
        alert=alert,
        channel=planned.channel,
        route=planned.route,
        key=planned.key(alert),
        state=DeliveryState.PENDING,
        due_at=planned.due_at,
        claimed_until=planned.due_at,
        attempts=0,
        parcel=None,
        language=planned.language,
        form=planned.form,
        delay_seconds=planned.delay_seconds,
    )


def background(
    reader: Reader, alerts: Iterable[Alert], now: datetime, link: str | None, unstable: frozenset[str] = frozenset()
) -> Background:
    """Read what texts say beside the alerts themselves; blocking."""
    incidents = {one.incident.id: one.incident for one in alerts if one.incident}
    alerts = tuple(alerts)
    found = {one.id: one for one in details(reader, list(incidents.values()))}
    measured = {one.measurement_id for detail in found.values() for one in detail.updates if one.measurement_id}
    return Background(
        now=now,
        details=found,
        verdicts=reader.conclusions(sorted(measured)),
        event_sentences=event_sentences(reader, alerts, found, now),
        zones=country_zones(),
        countries=country_names(),
        link=link,
        unstable=unstable,
    )


def event_sentences(
    reader: Reader, alerts: Iterable[Alert], known: Mapping[str, IncidentDetail], now: datetime
) -> dict[str, tuple[str, ...]]:
    """Return which regulatory events lie next to what alerts tell of, in words."""
    said = {}
    for alert in alerts:
        if alert.incident is None:
            continue
        edge = Edge.END if alert.kind is AlertKind.END else Edge.START
        earliest, latest = interval_of(known.get(alert.subject), edge, alert)
        if earliest is None or latest is None:
            continue
        platform, country = alert.incident.platform, alert.incident.country
        near = outbox_reader.events_near(reader.ask, platform, country, earliest=earliest, latest=latest, window=WINDOW)
        often = outbox_reader.changes_a_year(reader.ask, platform, country, now)
        said[alert.subject] = sentences(earliest, latest, near, changes_a_year=often)
    return said


def line_of(name: str, config: ChannelConfig, rules: Rules) -> Line:
    """Return a channel at work."""
    rate = Rules(**{**vars(rules), "rate_messages": config.rate.messages, "rate_seconds": config.rate.per})
    return Line(
        name=name,
        channel=channels.build(config),
        timeout_seconds=config.timeout,
        rules=rate,
        refresh_seconds=config.refresh if isinstance(config, AlertmanagerChannel) else None,
    )


def rules_of(config: AlertsConfig) -> Rules:
    """Return how channels are to be used."""
    return Rules(
        group_seconds=config.group,
        digest=config.digest,
        flap_changes=config.flapping.changes,
        flap_seconds=config.flapping.within,
        steady_seconds=config.flapping.steady,
        give_up_seconds=config.give_up,
        quiet={name: quiet for name, one in config.routes.items() if (quiet := _quiet(one))},
    )


def policy_of(config: AlertsConfig) -> Policy:
    """Return who is told what."""
    return Policy(
        routes=tuple(_route(name, one) for name, one in config.routes.items()),
        group_seconds=config.group,
        maintenance=tuple(
            Mute(
                id=MAINTENANCE,
                author=one.author,
                why=one.why,
                from_at=one.start,
                until=one.end,
                platforms=one.platforms,
                countries=one.countries,
                vantages=one.vantages,
                channels=one.channels,
            )
            for one in config.maintenance
        ),
    )


def _route(name: str, config: RouteConfig) -> Route:
    return Route(
        name=name,
        channels=config.channels,
        platforms=frozenset(config.platforms),
        countries=frozenset(config.countries),
        vantages=frozenset(config.vantages),
        statuses=frozenset(config.status),
        confidence=config.confidence,
        severity=config.severity,
        kinds=frozenset(config.kinds) or USUAL,
        quorum=config.quorum,
        delay_seconds=config.delay,
        remind_seconds=config.remind,
        quiet=_quiet(config),
        language=config.language,
        form=config.form,
    )


def _quiet(config: RouteConfig) -> Quiet | None:
    written = config.quiet
    if written is None:
        return None
    return Quiet(written.start, written.end, ZoneInfo(written.zone), written.passes)
