from datetime import UTC, datetime, timedelta
from typing import Final

from monitor.detect.incidents import apply
from monitor.model.outcome import Incident
from monitor.model.verdict import SeriesState, Status, Transition, Verdict

AT: Final = datetime(2024, 2, 17, 17, 10, tzinfo=UTC)
LAST_ACCESSIBLE: Final = AT - timedelta(minutes=13)
FIRST_FAILING: Final = AT - timedelta(minutes=4)


def blocked(
    target: str = "x-home",
    vantage: str = "ptcl",
    *,
    status: Status = Status.BLOCKED,
    before: SeriesState = SeriesState.ACCESSIBLE,
    at: datetime = AT,
) -> Transition:
    return Transition(
        target=target, vantage=vantage, at=at, before=before, after=SeriesState.NOT_ACCESSIBLE, status=status,
        score=9.9, last_before_at=LAST_ACCESSIBLE, first_after_at=FIRST_FAILING,
    )  # fmt: skip


def returned(target: str = "x-home", vantage: str = "ptcl", at: datetime = AT + timedelta(hours=3)) -> Transition:
    return Transition(
        target=target, vantage=vantage, at=at, before=SeriesState.NOT_ACCESSIBLE, after=SeriesState.ACCESSIBLE,
        status=Status.ACCESSIBLE, score=9.5,
    )  # fmt: skip


def verdict(*mechanisms: str) -> Verdict:
    return Verdict(status=Status.BLOCKED, rule="r", because="b", rules_version=1, mechanisms=mechanisms)


def opened(transition: Transition | None = None, *mechanisms: str) -> Incident:
    incident = apply(None, transition or blocked(), verdict(*(mechanisms or ("tls.reset.sni",))), "x", "PK")
    assert incident is not None
    return incident


def test_first_transition_opens_an_incident() -> None:
    assert opened() == Incident(
        id="x-pk-20240217",
        platform="x",
        country="PK",
        status=Status.BLOCKED,
        opened_at=AT,
        started_after=LAST_ACCESSIBLE,
        started_before=FIRST_FAILING,
        mechanisms=("tls.reset.sni",),
        members=(("x-home", "ptcl"),),
        all_members=(("x-home", "ptcl"),),
    )


def test_id_that_was_given_out_gets_a_suffix() -> None:
    taken = {"x-pk-20240217", "x-pk-20240217-2"}
    incident = apply(None, blocked(), verdict(), "x", "PK", taken=taken)
    assert incident is not None
    assert incident.id == "x-pk-20240217-3"


def test_crossing_from_unknown_began_before_the_first_measurement() -> None:
    assert opened(blocked(before=SeriesState.UNKNOWN)).started_after is None


def test_further_targets_and_networks_join() -> None:
    incident = apply(opened(), blocked("x-api", "cmpak"), verdict("tcp.timeout"), "x", "PK")
    assert incident is not None
    assert incident.members == (("x-home", "ptcl"), ("x-api", "cmpak"))
    assert incident.mechanisms == ("tls.reset.sni", "tcp.timeout")
    assert incident.opened_at == AT


def test_same_member_joins_once() -> None:
    incident = apply(opened(), blocked(before=SeriesState.UNKNOWN), verdict("tls.reset.sni"), "x", "PK")
    assert incident == opened()


def test_gravest_status_stands() -> None:
    throttled = opened(blocked(status=Status.THROTTLED))
    assert throttled.status is Status.THROTTLED
    graver = apply(throttled, blocked("x-api"), verdict(), "x", "PK")
    assert graver is not None
    assert graver.status is Status.BLOCKED
    milder = apply(graver, blocked("x-media", status=Status.WITHHELD), verdict(), "x", "PK")
    assert milder is not None
    assert milder.status is Status.BLOCKED


def test_incident_stays_open_while_a_member_is_left_and_ends_with_the_last() -> None:
    both = apply(opened(), blocked("x-api"), verdict(), "x", "PK")
    one = apply(both, returned("x-home"), verdict(), "x", "PK")
    assert one is not None
    assert (one.members, one.closed_at) == ((("x-api", "ptcl"),), None)
    none = apply(one, returned("x-api"), verdict(), "x", "PK")
    assert none is not None
    assert (none.members, none.closed_at) == ((), AT + timedelta(hours=3))
    assert none.all_members == (("x-home", "ptcl"), ("x-api", "ptcl"))


def test_return_of_what_was_no_member_changes_nothing() -> None:
    assert apply(opened(), returned("x-api"), verdict(), "x", "PK") is None
    assert apply(None, returned(), verdict(), "x", "PK") is None


def test_closed_incident_is_not_opened_again() -> None:
    closed = apply(opened(), returned(), verdict(), "x", "PK")
    assert closed is not None
    later = apply(closed, blocked(at=AT + timedelta(days=1)), verdict(), "x", "PK", taken={closed.id})
    assert later is not None
    assert later.id == "x-pk-20240218"
