"""Reading the outbox; every function takes the reader's way to ask (`Reader.ask`), and blocks."""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec

from monitor.detect.nearby import DatedEvent
from monitor.events.record import Phase
from monitor.model.alert import BEGINNING, CLOSING, OPENING, Alert, AlertKind, Delivery, DeliveryState, Mute, Result
from monitor.store.rows import instant, milliseconds, optional_instant, prepare_to_decode

prepare_to_decode(Alert, Mute)

_YEAR: Final = timedelta(days=365)
_LEAST_RECORD: Final = timedelta(days=90)
Ask = Callable[..., Sequence[Any]]
_DELIVERY: Final = "SELECT d.*, a.payload FROM delivery d JOIN alert a ON a.id = d.alert_id "


class StoredAttempt(msgspec.Struct, frozen=True, kw_only=True):
    """One try to send a message, possibly together with others."""

    number: int
    started_at: datetime
    elapsed_seconds: float
    result: Result
    code: int | None
    detail: str


class DeliveryRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A message and every try to send it."""

    channel: str
    route: str
    key: str
    state: DeliveryState
    due_at: datetime
    sent_at: datetime | None
    attempts: tuple[StoredAttempt, ...]
    last_outcome: str | None
    sent_with: str | None  # key of the message that it was sent with, if not its own


class AlertRecord(msgspec.Struct, frozen=True, kw_only=True):
    """An alert with its messages."""

    id: int
    alert: Alert
    deliveries: tuple[DeliveryRecord, ...]


class Backlog(msgspec.Struct, frozen=True, kw_only=True):
    """What waits on a channel, and what was given up."""

    channel: str
    pending: int
    oldest_at: datetime | None  # when the oldest message that waits was written
    dead: int


def waiting(ask: Ask, channel: str, limit: int) -> list[Delivery]:
    """Return the messages that wait on a channel, in the order of their alerts."""
    rows = ask(f"{_DELIVERY} WHERE d.channel = ? AND d.state = 'pending' ORDER BY d.alert_id LIMIT ?", (channel, limit))
    return [_delivery(row) for row in rows]


def sent_since(ask: Ask, channel: str, since: datetime) -> list[Delivery]:
    """Return what was delivered through a channel, oldest first."""
    rows = ask(f"{_DELIVERY} WHERE d.channel = ? AND d.sent_at >= ? ORDER BY d.sent_at", (channel, milliseconds(since)))
    return [_delivery(row) for row in rows]


def told(ask: Ask, channel: str, subjects: Sequence[str]) -> set[str]:
    """Return the subjects of which a channel was told anything."""
    rows = ask(
        "SELECT DISTINCT a.subject FROM delivery d JOIN alert a ON a.id = d.alert_id WHERE d.channel = ? "
        "AND d.state = 'delivered' AND a.subject IN (SELECT value FROM json_each(?))",
        (channel, msgspec.json.encode(list(subjects)).decode()),
    )
    return {row[0] for row in rows}


def standing(ask: Ask, channel: str) -> list[Alert]:
    """Return the latest alert of each subject that a channel was told has begun and that has not ended since."""
    rows = ask(
        "SELECT n.payload FROM alert n WHERE n.id IN (SELECT max(b.id) FROM alert b WHERE b.subject IN ("
        "SELECT a.subject FROM alert a JOIN delivery d ON d.alert_id = a.id WHERE d.channel = ?1 "
        "AND d.state = 'delivered' AND a.kind IN (SELECT value FROM json_each(?2)) AND NOT EXISTS (SELECT 1 "
        "FROM alert c WHERE c.subject = a.subject AND c.id > a.id AND c.kind IN (SELECT value FROM json_each(?3)))) "
        "GROUP BY b.subject)",
        (channel, _names(OPENING | BEGINNING), _names(CLOSING | {AlertKind.RETRACTION})),
    )
    return [msgspec.json.decode(row[0], type=Alert) for row in rows]


def latest_of(ask: Ask, kinds: Iterable[AlertKind]) -> dict[str, Alert]:
    """Return the latest alert of these kinds for each subject."""
    rows = ask(
        "SELECT payload FROM alert WHERE id IN (SELECT max(id) FROM alert WHERE kind IN (SELECT value FROM "
        "json_each(?)) GROUP BY subject)",
        (_names(kinds),),
    )
    found = (msgspec.json.decode(row[0], type=Alert) for row in rows)
    return {alert.subject: alert for alert in found}


def channels_told(ask: Ask, subject: str) -> list[Delivery]:
    """Return the latest message about a subject for each channel that was or will be told of it."""
    rows = ask(
        f"{_DELIVERY} WHERE d.id IN (SELECT max(e.id) FROM delivery e JOIN alert b ON b.id = e.alert_id "  # noqa: S608 -- our own columns
        "WHERE b.subject = ? AND e.state IN ('pending', 'delivered') GROUP BY e.channel)",
        (subject,),
    )
    return [_delivery(row) for row in rows]


def events_near(
    ask: Ask, platform: str, country: str, *, earliest: datetime, latest: datetime, window: timedelta
) -> list[DatedEvent]:
    """Return the dates of events about a platform in a country, oldest first, of phases that lie near an interval.

    Of such a phase every date is returned: one that is far off puts the phase in dispute.
    """
    rows = ask(
        "SELECT DISTINCT d.event_id, d.phase, d.edge, d.earliest, d.latest, a.title, (SELECT json_group_array(DISTINCT "
        "s.publisher) FROM event_source s WHERE s.event_id = d.event_id AND s.publisher NOT NULL "
        "AND s.source_id IN (SELECT value FROM json_each(d.sources))) AS publishers "
        "FROM event_annotation a JOIN event_date d ON d.event_id = a.id WHERE (a.country IS NULL OR a.country = ?1) "
        "AND (a.platform IS NULL OR a.platform = ?2) AND EXISTS (SELECT 1 FROM event_date e WHERE e.event_id = "
        "d.event_id AND e.phase = d.phase AND e.edge IS d.edge AND e.latest >= ?3 AND e.earliest <= ?4) "
        "ORDER BY d.earliest",
        (country, platform, milliseconds(earliest - window), milliseconds(latest + window)),
    )
    return [
        DatedEvent(
            event=row["event_id"],
            title=row["title"],
            phase=_phase(row["phase"], row["edge"]),
            earliest=instant(row["earliest"]),
            latest=instant(row["latest"]),
            publishers=tuple(msgspec.json.decode(row["publishers"])),
        )
        for row in rows
    ]


def changes_a_year(ask: Ask, platform: str, country: str, now: datetime) -> float | None:
    """Return how often a series of a platform in a country changes, by the one that does most; None if unknown.

    Counted over the last year, or as long as the series is measured; under 90 days say nothing.
    """
    rows = ask(
        "SELECT x.changes, (SELECT min(started_at) FROM status_run WHERE target_id = x.target_id "
        "AND vantage_id = x.vantage_id) AS since FROM (SELECT t.target_id, t.vantage_id, count(*) AS changes "
        "FROM transition t JOIN incident i ON i.id = t.incident_id WHERE i.platform = ?1 AND i.country = ?2 "
        "AND t.at >= ?3 GROUP BY t.target_id, t.vantage_id, t.network_id) x",
        (platform, country, milliseconds(now - _YEAR)),
    )
    covered = ((row["changes"], now - max(instant(row["since"]), now - _YEAR)) for row in rows if row["since"])
    return max((changes / (length / _YEAR) for changes, length in covered if length >= _LEAST_RECORD), default=None)


def _phase(phase: str, edge: str | None) -> str:
    return f"{phase} {edge}" if phase == Phase.OBSERVED and edge else phase.replace("_", " ")


def mutes(ask: Ask, *, since: datetime) -> list[Mute]:
    """Return what people asked to be silent about that ends after an instant."""
    found = []
    for row in ask("SELECT * FROM mute WHERE until > ? ORDER BY id", (milliseconds(since),)):
        fields = dict(row) | {"from_at": instant(row["from_at"]), "until": instant(row["until"])}
        for name in ("platforms", "countries", "vantages", "channels", "subjects"):
            fields[name] = msgspec.json.decode(row[name])
        found.append(msgspec.convert(fields, Mute))
    return found


def backlogs(ask: Ask) -> list[Backlog]:
    """Return what waits and what was given up, for each channel where anything does or was."""
    rows = ask(
        "SELECT d.channel, sum(d.state = 'pending') AS pending, sum(d.state = 'dead') AS dead, "
        "min(CASE WHEN d.state = 'pending' THEN a.created_at END) AS oldest_at "
        "FROM delivery d JOIN alert a ON a.id = d.alert_id WHERE d.state = 'pending' OR d.state = 'dead' "
        "GROUP BY d.channel ORDER BY d.channel"
    )
    return [
        Backlog(
            channel=row["channel"],
            pending=row["pending"],
            dead=row["dead"],
            oldest_at=optional_instant(row["oldest_at"]),
        )
        for row in rows
    ]


def records(
    ask: Ask, *, limit: int, incident: str | None = None, channel: str | None = None, state: str | None = None
) -> list[AlertRecord]:
    """Return alerts with their messages and attempts, newest first."""
    alerts = ask(
        "SELECT id, payload FROM alert a WHERE (?1 IS NULL OR incident_id = ?1) AND ((?2 IS NULL AND ?3 IS NULL) OR "
        "EXISTS (SELECT 1 FROM delivery d WHERE d.alert_id = a.id AND (?2 IS NULL OR d.channel = ?2) "
        "AND (?3 IS NULL OR d.state = ?3))) ORDER BY id DESC LIMIT ?4",
        (incident, channel, state, limit),
    )
    return [
        AlertRecord(
            id=row["id"],
            alert=msgspec.json.decode(row["payload"], type=Alert),
            deliveries=tuple(_record(ask, found) for found in _of_alert(ask, row["id"])),
        )
        for row in alerts
    ]


def _of_alert(ask: Ask, alert_id: int) -> Sequence[Any]:
    return ask(
        "SELECT d.*, (SELECT idempotency_key FROM delivery WHERE id = d.parcel AND id <> d.id) AS sent_with "
        "FROM delivery d WHERE alert_id = ? ORDER BY d.id",
        (alert_id,),
    )


def _record(ask: Ask, row: Any) -> DeliveryRecord:
    return DeliveryRecord(
        channel=row["channel"],
        route=row["route"],
        key=row["idempotency_key"],
        state=DeliveryState(row["state"]),
        due_at=instant(row["due_at"]),
        sent_at=optional_instant(row["sent_at"]),
        last_outcome=row["last_outcome"],
        sent_with=row["sent_with"],
        attempts=tuple(
            StoredAttempt(
                number=one["number"],
                started_at=instant(one["started_at"]),
                elapsed_seconds=one["elapsed_microseconds"] / 1e6,
                result=Result(one["result"]),
                code=one["code"],
                detail=one["detail"],
            )
            for one in ask("SELECT * FROM delivery_attempt WHERE parcel = ? ORDER BY number", (row["parcel"],))
        ),
    )


def _names(kinds: Iterable[AlertKind]) -> str:
    return msgspec.json.encode(sorted(kinds)).decode()


def _delivery(row: Any) -> Delivery:
    return Delivery(
        id=row["id"],
        alert_id=row["alert_id"],
        alert=msgspec.json.decode(row["payload"], type=Alert),
        channel=row["channel"],
        route=row["route"],
        key=row["idempotency_key"],
        state=DeliveryState(row["state"]),
        due_at=instant(row["due_at"]),
        claimed_until=instant(row["claimed_until"]),
        attempts=row["attempts"],
        parcel=row["parcel"],
        language=row["language"],
        form=row["form"],
        delay_seconds=row["delay_seconds"],
        sent_at=optional_instant(row["sent_at"]),
        last_outcome=row["last_outcome"],
    )
