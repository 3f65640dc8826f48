from datetime import UTC, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest

from monitor.detect.incidents import Returning
from monitor.detect.policy import (
    Policy,
    Quiet,
    Route,
    alerts_of,
    deadline_alerts,
    plan,
    reminders,
    returning_alert,
    wants,
)
from monitor.model.alert import Alert, AlertKind, Severity
from monitor.model.outcome import IncidentUpdate, Member, UpdateKind
from monitor.model.verdict import Confidence, Status
from tests.alerts.samples import CMPAK, INCIDENT, NOW, PTCL, alert
from tests.fakes.events import BLOCK

ON_TWO = msgspec.structs.replace(
    INCIDENT,
    members=(*INCIDENT.members, Member("x-home", "karachi", 59257)),
    networks=(PTCL, CMPAK),
    sequence=2,
)
LIKELY = msgspec.structs.replace(INCIDENT, confirmed_at=None)
FOUND = msgspec.structs.replace(INCIDENT, started_after=None)
START_AND_END = frozenset({AlertKind.START, AlertKind.END})


def route(**conditions: Any) -> Route:
    return Route(name="desk", channels=("desk",), **conditions)


@pytest.mark.parametrize(
    ("conditions", "about", "wanted"),
    [
        ({}, alert(), ["desk"]),
        ({"platforms": frozenset({"x"})}, alert(), ["desk"]),
        ({"platforms": frozenset({"youtube"})}, alert(), []),
        ({"countries": frozenset({"IN"})}, alert(), []),
        ({"vantages": frozenset({"lahore"})}, alert(), ["desk"]),
        ({"vantages": frozenset({"delhi"})}, alert(), []),
        ({"statuses": frozenset({Status.WITHHELD})}, alert(), []),
        ({"confidence": Confidence.CONFIRMED}, alert(incident=LIKELY), []),
        ({"confidence": Confidence.CONFIRMED}, alert(), ["desk"]),
        # The network that is news is only likely, and what it joins is confirmed.
        ({"confidence": Confidence.CONFIRMED, "quorum": 2}, alert(AlertKind.SPREAD, 2, incident=ON_TWO), ["desk"]),
        ({}, alert(AlertKind.CONFIRMED, 2), ["desk"]),
        ({"kinds": START_AND_END}, alert(AlertKind.CONFIRMED, 2), []),
        ({"kinds": START_AND_END, "confidence": Confidence.CONFIRMED}, alert(AlertKind.CONFIRMED, 2), ["desk"]),
        ({}, alert(AlertKind.CONFIRMED, 2, incident=FOUND), []),
        ({"kinds": frozenset({AlertKind.CONFIRMED})}, alert(AlertKind.CONFIRMED, 2, incident=FOUND), []),
        (
            {"kinds": frozenset({AlertKind.FOUND}), "confidence": Confidence.CONFIRMED},
            alert(AlertKind.CONFIRMED, 2, incident=FOUND),
            ["desk"],
        ),
        ({"severity": Severity.CRITICAL}, alert(AlertKind.VANTAGE, incident=None, severity=Severity.WARNING), []),
        ({}, alert(AlertKind.FOUND), []),
        ({"kinds": frozenset({AlertKind.FOUND})}, alert(AlertKind.FOUND), ["desk"]),
        ({}, alert(AlertKind.REMINDER), []),
        ({"quorum": 2}, alert(), []),
        ({"quorum": 2}, alert(AlertKind.SPREAD, 2, incident=ON_TWO), ["desk"]),
        ({"quorum": "majority"}, alert(), []),
        ({"quorum": "majority"}, alert(AlertKind.SPREAD, 2, incident=ON_TWO), ["desk"]),
        ({"quorum": "all"}, alert(AlertKind.SPREAD, 2, incident=ON_TWO), []),
        # What follows goes where the beginning went, whatever it is worth by itself.
        ({"quorum": 2, "severity": Severity.CRITICAL}, alert(AlertKind.END, 3, severity=Severity.INFO), ["desk"]),
    ],
)
def test_a_route_wants_what_meets_all_of_its_conditions(
    conditions: dict[str, Any], about: Alert, wanted: list[str]
) -> None:
    assert [one.name for one in (route(**conditions),) if wants(one, about)] == wanted


def test_half_of_the_networks_are_no_majority() -> None:
    half = msgspec.structs.replace(ON_TWO, measured_networks=4)
    assert not wants(route(quorum="majority"), alert(AlertKind.SPREAD, 2, incident=half))


def test_a_channel_that_several_routes_lead_to_is_told_once_by_the_first() -> None:
    policy = Policy((route(form="short"), Route(name="all", channels=("desk", "hook"))), group_seconds=10)
    notice = plan(alert(), policy, NOW)
    assert [(one.channel, one.route, one.form) for one in notice.planned] == [
        ("desk", "desk", "short"),
        ("hook", "all", "long"),
    ]
    assert {one.due_at for one in notice.planned} == {NOW + timedelta(seconds=10)}


def test_every_entry_of_an_incident_is_an_alert_named_by_its_number() -> None:
    updates = [
        IncidentUpdate(incident=INCIDENT.id, sequence=number, kind=kind, at=NOW, member=INCIDENT.members[0])
        for number, kind in ((2, UpdateKind.SPREAD), (3, UpdateKind.QUORUM))
    ]
    names = [one.name for one in alerts_of(ON_TWO, updates, None)]
    assert names == ["x-pk-20261122/spread/2", "x-pk-20261122/quorum/3"]


def test_the_last_reminder_is_due_once_and_those_missed_are_not() -> None:
    policy = Policy((route(remind_seconds=3600),))
    assert not reminders([INCIDENT], policy, NOW + timedelta(minutes=59), {})
    (after_downtime,) = reminders([INCIDENT], policy, NOW + timedelta(hours=5, minutes=20), {})
    (again,) = reminders([INCIDENT], policy, NOW + timedelta(hours=5, minutes=40), {})
    assert after_downtime.alert.name == again.alert.name == "x-pk-20261122/reminder/300"


def test_the_early_word_of_a_return_waits_for_all_members_and_three_rounds() -> None:
    def returned(member: Member, score: float) -> Returning:
        return Returning(member=member, since=NOW, score=score)

    first, second = ON_TWO.members
    assert returning_alert(ON_TWO, [returned(first, 3.0)], NOW, "X") is None
    assert returning_alert(ON_TWO, [returned(first, 3.0), returned(second, 1.7)], NOW, "X") is None
    told = returning_alert(ON_TWO, [returned(first, 3.0), returned(second, 2.6)], NOW, "X")
    assert told is not None
    assert (told.kind, told.sequence) == (AlertKind.RETURNING, 2)


@pytest.mark.parametrize(
    ("local", "ends"),
    [
        ("2026-11-22T21:59", None),
        ("2026-11-22T22:00", "2026-11-23T07:00"),
        ("2026-11-23T06:59", "2026-11-23T07:00"),
        ("2026-11-23T07:00", None),
    ],
)
def test_quiet_hours_reach_over_midnight_in_their_own_zone(local: str, ends: str | None) -> None:
    zone = ZoneInfo("Asia/Karachi")
    quiet = Quiet(time(22), time(7), zone)
    now = datetime.fromisoformat(local).replace(tzinfo=zone).astimezone(UTC)
    expected = datetime.fromisoformat(ends).replace(tzinfo=zone) if ends else None
    assert quiet.ends_at(now) == expected


def test_a_deadline_is_told_once_for_each_time_before_it_and_the_nearest_counts() -> None:
    week, day = 7 * 86_400.0, 86_400.0

    def names(written: str) -> list[str]:
        now = datetime.fromisoformat(written)
        return [one.name for one in deadline_alerts({BLOCK.id: BLOCK}, (week, day), now)]

    # Due by the end of 1 December in Karachi.
    assert names("2026-11-24T18:59Z") == []
    assert (
        names("2026-11-24T19:00Z") == names("2026-11-30T18:59Z") == ["deadline:x-block-2026/register/deadline/604800"]
    )
    assert names("2026-11-30T19:00Z") == ["deadline:x-block-2026/register/deadline/86400"]
    assert names("2026-12-02T00:00Z") == []
