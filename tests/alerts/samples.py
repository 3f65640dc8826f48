"""Incidents and alerts as they are, for tests that read them."""

from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec

from monitor.model.alert import Alert, AlertKind, Delivery, DeliveryState, Severity
from monitor.model.outcome import AffectedNetwork, Incident, IncidentUpdate, Member, UpdateKind
from monitor.model.verdict import Confidence, Status

NOW: Final = datetime(2026, 11, 22, 18, 0, tzinfo=UTC)
PTCL: Final = AffectedNetwork(asn=17557, name="PTCL", alarmed_at=NOW)
CMPAK: Final = AffectedNetwork(asn=59257, name="CMPak", alarmed_at=NOW)
INCIDENT: Final = Incident(
    id="x-pk-20261122",
    platform="x",
    country="PK",
    status=Status.BLOCKED,
    opened_at=NOW,
    started_after=NOW - timedelta(minutes=3),
    started_before=NOW - timedelta(minutes=2),
    mechanisms=("tls.reset.sni",),
    members=(Member("x-home", "lahore", 17557),),
    all_members=(Member("x-home", "lahore", 17557),),
    networks=(PTCL,),
    measured_networks=3,
    confirmed_at=NOW,
    sequence=1,
)


def alert(kind: AlertKind = AlertKind.START, sequence: int = 1, **fields: Any) -> Alert:
    """Return an alert about an incident, a minute after the other for each number."""
    incident = fields.pop("incident", INCIDENT)
    subject = fields.pop("subject", incident.id if incident else "vantage:lahore")
    at = fields.pop("at", NOW + timedelta(minutes=sequence - 1))
    updates = {one.value for one in UpdateKind}
    defaults: dict[str, Any] = {
        "subject": subject,
        "kind": kind,
        "sequence": sequence,
        "at": at,
        "severity": Severity.CRITICAL,
        "platform": incident.platform if incident else None,
        "platform_name": "X" if incident else None,
        "country": "PK",
        "status": incident.status if incident else None,
        "confidence": Confidence.CONFIRMED if incident else None,
        "vantages": ("lahore",),
        "because": "The connection is cut only when it asks for x.com; another name passes." if incident else "",
        "incident": incident,
        "update": IncidentUpdate(incident=subject, sequence=sequence, kind=UpdateKind(kind.value), at=at)
        if incident and kind.value in updates
        else None,
    }
    return Alert(**{**defaults, **fields})


def delivery(number: int, about: Alert | None = None, **fields: Any) -> Delivery:
    """Return a message that waits, numbered in the order in which it was written."""
    about = about or alert()
    one = Delivery(
        id=number,
        alert_id=number,
        alert=about,
        channel="desk",
        route="all",
        key=f"{about.name}/desk",
        state=DeliveryState.PENDING,
        due_at=about.at,
        claimed_until=datetime(1970, 1, 1, tzinfo=UTC),
        attempts=0,
        parcel=None,
        language="en",
        form="long",
        delay_seconds=0.0,
    )
    return msgspec.structs.replace(one, **fields)
