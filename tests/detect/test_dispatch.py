from datetime import datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.detect.dispatch import Outbox, Rules, Step, next_step, retry_seconds
from monitor.detect.policy import Quiet
from monitor.model.alert import AlertKind, Delivery, DeliveryState, Mute, Severity
from tests.alerts.samples import INCIDENT, NOW, alert, delivery

ALONE = Rules(group_seconds=0, digest=0, flap_changes=0)
TOGETHER = Rules(group_seconds=10, digest=5, flap_changes=0)
START = delivery(1, alert(AlertKind.START, 1))
END = delivery(2, alert(AlertKind.END, 2))
LATER = NOW + timedelta(minutes=10)


def incident(name: str) -> Any:
    return msgspec.structs.replace(INCIDENT, id=name, platform=name)


def mute(**fields: Any) -> Mute:
    defaults = {"id": 1, "author": "a", "why": "w", "from_at": NOW, "until": NOW + timedelta(hours=1)}
    return Mute(**{**defaults, **fields})


def decided(step: Step) -> list[tuple[int, DeliveryState, str]]:
    return [(one.delivery_id, one.state, one.why) for one in step.shifts]


def sent(step: Step) -> list[int]:
    return [one.id for one in step.parcel]


def delivered(one: Delivery, at: datetime) -> Delivery:
    return msgspec.structs.replace(one, state=DeliveryState.DELIVERED, sent_at=at, parcel=one.id)


def test_one_after_the_other_in_the_order_of_a_subject() -> None:
    assert sent(next_step(Outbox((START, END)), ALONE, LATER)) == [1]
    assert sent(next_step(Outbox((END,), told=frozenset({INCIDENT.id})), ALONE, LATER)) == [2]


def test_an_end_waits_for_its_beginning_that_failed_and_others_do_not() -> None:
    failed = msgspec.structs.replace(START, parcel=1, attempts=1, due_at=LATER + timedelta(minutes=1))
    other = delivery(3, alert(incident=incident("other")))
    step = next_step(Outbox((failed, END, other)), ALONE, LATER)
    assert sent(step) == [3]
    assert sent(next_step(Outbox((failed, END)), ALONE, LATER)) == []
    assert next_step(Outbox((failed, END)), ALONE, LATER).wait_until == failed.due_at
    assert sent(next_step(Outbox((failed, END)), ALONE, failed.due_at)) == [1]


def test_what_is_being_sent_is_left_alone_until_its_claim_lapses() -> None:
    claimed = msgspec.structs.replace(START, parcel=1, claimed_until=LATER + timedelta(seconds=20))
    assert sent(next_step(Outbox((claimed, END)), ALONE, LATER)) == []
    assert sent(next_step(Outbox((claimed, END)), ALONE, LATER + timedelta(seconds=20))) == [1]


def test_what_was_sent_together_is_sent_together_again_and_nothing_joins_it() -> None:
    first = [
        msgspec.structs.replace(delivery(number, alert(incident=incident(f"i{number}"))), parcel=1, attempts=1)
        for number in (1, 2, 3)
    ]
    fresh = delivery(4, alert(incident=incident("i4")))
    assert sent(next_step(Outbox((*first, fresh)), TOGETHER, LATER)) == [1, 2, 3]


def test_an_end_is_told_to_those_who_were_told_the_beginning_and_of_what_began_unmeasured() -> None:
    assert decided(next_step(Outbox((END,)), ALONE, LATER)) == [
        (2, DeliveryState.SUPERSEDED, "its beginning was not told")
    ]
    unmeasured = msgspec.structs.replace(INCIDENT, started_after=None)
    assert sent(next_step(Outbox((delivery(2, alert(AlertKind.END, 2, incident=unmeasured)),)), ALONE, LATER)) == [2]


def test_what_ends_within_the_delay_is_not_told() -> None:
    patient = [msgspec.structs.replace(one, delay_seconds=300.0) for one in (START, END)]
    step = next_step(Outbox(patient), ALONE, LATER)
    assert (sent(step), decided(step)) == (
        [],
        [
            (1, DeliveryState.SUPERSEDED, "it was over before it had to be told"),
            (2, DeliveryState.SUPERSEDED, "its beginning was not told"),
        ],
    )
    impatient = [msgspec.structs.replace(one, delay_seconds=30.0) for one in (START, END)]
    assert sent(next_step(Outbox(impatient), ALONE, LATER)) == [1]


def test_a_mute_holds_a_beginning_back_drops_what_lies_between_and_tells_it_if_it_lasts() -> None:
    between = delivery(2, alert(AlertKind.MECHANISM, 2))
    asked = mute(platforms=("x",))
    step = next_step(Outbox((START, between), mutes=[asked]), ALONE, LATER)
    assert decided(step) == [(1, DeliveryState.PENDING, "muted"), (2, DeliveryState.MUTED, "muted")]
    assert (sent(step), step.wait_until) == ([], asked.until)
    held = msgspec.structs.replace(START, due_at=asked.until, last_outcome="muted")
    assert sent(next_step(Outbox((held,), mutes=[asked]), ALONE, asked.until)) == [1]
    # What ended meanwhile is not told at all.
    assert [state for _, state, _ in decided(next_step(Outbox((held, END), mutes=[asked]), ALONE, asked.until))] == [
        DeliveryState.SUPERSEDED,
        DeliveryState.SUPERSEDED,
    ]


@pytest.mark.parametrize(
    "narrowed",
    [{"platforms": ("youtube",)}, {"countries": ("IN",)}, {"vantages": ("delhi",)}, {"channels": ("hook",)},
     {"subjects": ("x-in-20261122",)}, {"from_at": LATER + timedelta(seconds=1)}, {"until": LATER}],
)  # fmt: skip
def test_a_mute_that_is_about_something_else_mutes_nothing(narrowed: dict[str, Any]) -> None:
    assert sent(next_step(Outbox((START,), mutes=[mute(**narrowed)]), ALONE, LATER)) == [1]


def test_a_retraction_is_never_held_back() -> None:
    correction = delivery(3, alert(AlertKind.RETRACTION, 1))
    assert sent(next_step(Outbox((correction,), mutes=[mute()]), ALONE, LATER)) == [3]


def test_in_quiet_hours_only_what_is_grave_is_told_and_the_rest_in_the_morning() -> None:
    quiet = Quiet(time(22), time(7), ZoneInfo("Asia/Karachi"))
    rules = Rules(group_seconds=0, digest=0, flap_changes=0, quiet={"all": quiet})
    grave = delivery(1, alert())
    mild = delivery(2, alert(AlertKind.VANTAGE, incident=None, severity=Severity.WARNING))
    step = next_step(Outbox((grave, mild)), rules, LATER)  # 23:10 in Karachi
    assert sent(step) == [1]
    assert [(one.delivery_id, one.due_at) for one in step.shifts] == [(2, NOW.replace(day=23, hour=2))]


def test_five_hundred_platforms_at_once_are_one_message() -> None:
    many = [delivery(number, alert(incident=incident(f"i{number}"))) for number in range(1, 501)]
    step = next_step(Outbox(many), TOGETHER, LATER)
    assert sent(step) == list(range(1, 501))


def test_entries_of_one_incident_that_are_due_go_together() -> None:
    spread = delivery(2, alert(AlertKind.SPREAD, 2))
    other = delivery(3, alert(incident=incident("other")))
    assert sent(next_step(Outbox((START, spread, other)), TOGETHER, LATER)) == [1, 2]


def test_beyond_the_rate_messages_wait_and_become_one() -> None:
    rules = Rules(group_seconds=10, digest=5, flap_changes=0, rate_messages=2, rate_seconds=600)
    before = [
        delivered(delivery(n, alert(incident=incident(f"i{n}"))), LATER - timedelta(minutes=9 - n)) for n in (1, 2)
    ]
    many = [delivery(number, alert(incident=incident(f"i{number}"))) for number in range(3, 9)]
    step = next_step(Outbox(many, sent=before), rules, LATER)
    assert (sent(step), step.wait_until) == ([], LATER + timedelta(minutes=2))
    assert sent(next_step(Outbox(many, sent=before), rules, LATER + timedelta(minutes=2))) == [3, 4, 5, 6, 7, 8]


def test_a_place_that_changes_too_often_is_quiet_until_it_is_steady_and_then_tells_how_it_stands() -> None:
    rules = Rules(group_seconds=0, digest=0, flap_changes=3, flap_seconds=3600, steady_seconds=600)
    told = [delivered(delivery(n, alert(AlertKind.SPREAD, n)), NOW + timedelta(minutes=n)) for n in (1, 2)]
    third = delivery(3, alert(AlertKind.SPREAD, 3))
    known = frozenset({INCIDENT.id})
    step = next_step(Outbox((third,), sent=told, told=known), rules, LATER)
    assert (sent(step), step.unstable) == ([3], known)
    told.append(delivered(third, LATER))
    fourth, fifth = (delivery(n, alert(AlertKind.MECHANISM, n, at=LATER)) for n in (4, 5))
    step = next_step(Outbox((fourth, fifth), sent=told, told=known), rules, LATER)
    assert decided(step) == [(4, DeliveryState.DAMPED, "unstable"), (5, DeliveryState.PENDING, "unstable")]
    steady = LATER + timedelta(seconds=600)
    held = msgspec.structs.replace(fifth, due_at=steady, last_outcome="unstable")
    assert sent(next_step(Outbox((held,), sent=told, told=known), rules, steady)) == [5]


def test_what_waits_already_is_not_written_again() -> None:
    rules = Rules(group_seconds=0, digest=0, flap_changes=1, flap_seconds=3600, steady_seconds=600)
    late = delivery(2, alert(AlertKind.SPREAD, 2, at=LATER + timedelta(microseconds=1234)))
    outbox = Outbox((late,), sent=[delivered(START, NOW)], told=frozenset({INCIDENT.id}))
    (shift,) = next_step(outbox, rules, LATER).shifts
    held = msgspec.structs.replace(late, due_at=shift.due_at, last_outcome=shift.why)
    assert next_step(Outbox((held,), sent=outbox.sent, told=outbox.told), rules, LATER).shifts == ()


def test_an_end_that_somebody_waits_for_is_never_damped_away() -> None:
    rules = Rules(group_seconds=0, digest=0, flap_changes=1, flap_seconds=3600, steady_seconds=600)
    end = delivery(2, alert(AlertKind.END, 2, at=LATER))
    newer = delivery(3, alert(AlertKind.START, 1, incident=msgspec.structs.replace(INCIDENT, id="x-pk-2"), at=LATER))
    known = frozenset({INCIDENT.id})
    step = next_step(Outbox((end, newer), sent=[delivered(START, NOW)], told=known), rules, LATER)
    assert {(one.delivery_id, one.state) for one in step.shifts} == {
        (2, DeliveryState.PENDING),
        (3, DeliveryState.PENDING),
    }


@given(attempts=st.integers(1, 10_000), share=st.floats(0, 1))
def test_retries_are_between_a_second_and_a_quarter_of_an_hour_apart(attempts: int, share: float) -> None:
    assert 1.0 <= retry_seconds(attempts, share) <= 900.0


@given(
    st.lists(st.tuples(st.integers(0, 3), st.sampled_from(["start", "spread", "end"])), max_size=12),
    st.sampled_from([ALONE, TOGETHER]),
)
def test_whatever_waits_each_message_is_sent_or_settled_and_a_subject_keeps_its_order(
    script: list[tuple[int, str]], rules: Rules
) -> None:
    waiting = [
        delivery(number, alert(AlertKind(kind), number, incident=incident(f"i{subject}"), at=NOW))
        for number, (subject, kind) in enumerate(script, 1)
    ]
    order: list[tuple[str, int]] = []
    told: set[str] = set()
    settled: list[int] = []
    while waiting:
        step = next_step(Outbox(waiting, told=frozenset(told)), rules, NOW + timedelta(days=1))
        gone = {one.delivery_id for one in step.shifts if one.state is not DeliveryState.PENDING}
        settled += gone
        order += [(one.alert.subject, one.id) for one in step.parcel]
        told |= {one.alert.subject for one in step.parcel}
        assert gone or step.parcel
        gone |= set(sent(step))
        waiting = [one for one in waiting if one.id not in gone]
    assert sorted([*settled, *(number for _, number in order)]) == list(range(1, len(script) + 1))
    for subject in {name for name, _ in order}:
        numbers = [number for name, number in order if name == subject]
        assert numbers == sorted(numbers)
