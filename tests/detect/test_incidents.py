from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec

from monitor.detect.incidents import Applied, Setting, apply, extent, failed_again, returning, without
from monitor.model.outcome import AffectedNetwork, Incident, Member, UpdateKind
from monitor.model.verdict import Confidence, DetectorState, SeriesState, Status, Transition, Verdict

AT: Final = datetime(2024, 2, 17, 17, 10, tzinfo=UTC)
LAST_ACCESSIBLE: Final = AT - timedelta(minutes=13)
FIRST_FAILING: Final = AT - timedelta(minutes=4)


ASNS: Final = {"ptcl": 17557, "cmpak": 59257, "laptop": 17557}
HOUR: Final = timedelta(hours=1)


def place(vantage: str = "ptcl", measured: int = 1, *, is_test: bool = True) -> Setting:
    return Setting(
        "x", "PK", network=vantage.upper(), measured_networks=measured, measurement_id=7, is_test=is_test, quorum=2
    )


def blocked(
    target: str = "x-home",
    vantage: str = "ptcl",
    *,
    status: Status = Status.BLOCKED,
    before: SeriesState = SeriesState.ACCESSIBLE,
    at: datetime = AT,
    asn: int | None = None,
) -> Transition:
    return Transition(
        target=target, vantage=vantage, at=at, before=before, after=SeriesState.NOT_ACCESSIBLE, status=status,
        score=9.9, last_before_at=LAST_ACCESSIBLE, first_after_at=FIRST_FAILING, asn=asn or ASNS[vantage],
    )  # fmt: skip


def returned(
    target: str = "x-home", vantage: str = "ptcl", at: datetime = AT + 3 * HOUR, asn: int | None = None
) -> Transition:
    return Transition(
        target=target, vantage=vantage, at=at, before=SeriesState.NOT_ACCESSIBLE, after=SeriesState.ACCESSIBLE,
        status=Status.ACCESSIBLE, score=9.5, asn=asn or ASNS[vantage],
    )  # fmt: skip


def verdict(*mechanisms: str, confidence: Confidence | None = None) -> Verdict:
    return Verdict(
        status=Status.BLOCKED, confidence=confidence, rule="r", because="b", rules_version=1, mechanisms=mechanisms
    )


def after(
    incident: Incident | None, transition: Transition, *mechanisms: str, measured: int = 1, is_test: bool = True
) -> Incident:
    """Return the incident after a transition, which must change it."""
    at = place(transition.vantage, measured, is_test=is_test)
    applied = apply(incident, transition, verdict(*(mechanisms or ("tls.reset.sni",))), at)
    assert applied is not None
    return applied.incident


def again(
    incident: Incident, found: Verdict, target: str = "x-home", *, is_other_layer: bool = False
) -> Applied | None:
    """Return the incident after a further round of a member."""
    member = Member(target, "ptcl", 17557)
    return failed_again(incident, member, found, place(), AT + HOUR, is_other_layer=is_other_layer)


def kinds(incident: Incident | None, transition: Transition) -> list[UpdateKind]:
    applied = apply(incident, transition, verdict("tls.reset"), place(transition.vantage, 2))
    return [one.kind for one in applied.updates] if applied else []


def test_first_transition_opens_an_incident() -> None:
    member = Member("x-home", "ptcl", 17557)
    assert after(None, blocked()) == Incident(
        id="x-pk-20240217",
        platform="x",
        country="PK",
        status=Status.BLOCKED,
        opened_at=AT,
        started_after=LAST_ACCESSIBLE,
        started_before=FIRST_FAILING,
        mechanisms=("tls.reset.sni",),
        members=(member,),
        all_members=(member,),
        networks=(AffectedNetwork(asn=17557, name="PTCL", alarmed_at=AT),),
        measured_networks=1,
        sequence=1,
    )


def test_an_update_says_what_happened_where_and_what_confirmed_it() -> None:
    applied = apply(None, blocked(), verdict("tls.reset"), place())
    assert applied is not None
    (update,) = applied.updates
    assert (update.incident, update.sequence, update.kind, update.at) == ("x-pk-20240217", 1, UpdateKind.START, AT)
    assert (update.member, update.network) == (Member("x-home", "ptcl", 17557), "PTCL")
    assert (update.status, update.mechanisms, update.measurement_id) == (Status.BLOCKED, ("tls.reset",), 7)


def test_id_that_was_given_out_gets_a_suffix() -> None:
    taken = {"x-pk-20240217", "x-pk-20240217-2"}
    applied = apply(None, blocked(), verdict(), place(), taken=taken)
    assert applied is not None
    assert applied.incident.id == "x-pk-20240217-3"


def test_crossing_from_unknown_is_found_and_began_before_the_first_measurement() -> None:
    found = blocked(before=SeriesState.UNKNOWN)
    assert after(None, found).started_after is None
    assert kinds(None, found) == [UpdateKind.FOUND]


def test_a_further_target_joins_and_a_further_network_is_a_spread() -> None:
    first = after(None, blocked())
    assert kinds(first, blocked("x-api")) == [UpdateKind.JOIN]
    assert kinds(first, blocked("x-home", "cmpak", at=AT + 2 * HOUR)) == [UpdateKind.SPREAD]
    wider = after(after(first, blocked("x-api")), blocked("x-api", "cmpak"), "tcp.timeout")
    assert wider.members == (
        Member("x-home", "ptcl", 17557), Member("x-api", "ptcl", 17557), Member("x-api", "cmpak", 59257)
    )  # fmt: skip
    assert wider.mechanisms == ("tls.reset.sni", "tcp.timeout")
    assert (wider.opened_at, wider.sequence) == (AT, 4)  # with the quorum


def test_same_member_joins_once_and_makes_no_update() -> None:
    first = after(None, blocked())
    again = blocked(before=SeriesState.UNKNOWN)
    assert after(first, again) == first
    assert kinds(first, again) == []


def test_gravest_status_stands() -> None:
    throttled = after(None, blocked(status=Status.THROTTLED))
    assert throttled.status is Status.THROTTLED
    graver = after(throttled, blocked("x-api"))
    assert graver.status is Status.BLOCKED
    assert after(graver, blocked("x-media", status=Status.WITHHELD)).status is Status.BLOCKED


def test_incident_stays_open_while_a_member_is_left_and_ends_with_the_last() -> None:
    both = after(after(None, blocked()), blocked("x-api", "cmpak"))
    assert kinds(both, returned("x-home")) == [UpdateKind.PARTIAL_END]
    one = after(both, returned("x-home"))
    assert (one.members, one.closed_at) == ((Member("x-api", "cmpak", 59257),), None)
    assert [network.ended_at for network in one.networks] == [AT + 3 * HOUR, None]
    assert kinds(one, returned("x-api", "cmpak")) == [UpdateKind.END]
    none = after(one, returned("x-api", "cmpak"))
    assert (none.members, none.closed_at) == ((), AT + 3 * HOUR)
    assert len(none.all_members) == 2


def test_a_laptop_on_another_network_does_not_end_what_the_first_network_does() -> None:
    at_home = after(None, blocked(vantage="laptop"))
    assert apply(at_home, returned(vantage="laptop", asn=45773), verdict(), place("laptop")) is None
    assert after(at_home, returned(vantage="laptop")).closed_at == AT + 3 * HOUR


def test_return_of_what_was_no_member_changes_nothing() -> None:
    assert apply(after(None, blocked()), returned("x-api"), verdict(), place()) is None
    assert apply(None, returned(), verdict(), place()) is None


def test_closed_incident_is_not_opened_again() -> None:
    closed = after(after(None, blocked()), returned())
    later = apply(closed, blocked(at=AT + timedelta(days=1)), verdict(), place(), taken={closed.id})
    assert later is not None
    assert later.incident.id == "x-pk-20240218"


def test_mechanism_at_another_layer_is_an_entry_of_the_same_incident() -> None:
    incident = after(None, blocked())
    applied = again(incident, verdict("dns.nxdomain"), is_other_layer=True)
    assert applied is not None
    assert applied.incident.mechanisms == ("tls.reset.sni", "dns.nxdomain")
    assert [(one.kind, one.sequence) for one in applied.updates] == [(UpdateKind.MECHANISM, 2)]
    assert again(incident, verdict("dns.nxdomain"), "x-api", is_other_layer=True) is None
    assert again(incident, verdict("tls.reset")) is None


def test_what_began_as_likely_is_confirmed_once_by_a_further_round_or_another_member() -> None:
    sure, likely = (verdict("tls.reset.sni", confidence=one) for one in (Confidence.CONFIRMED, Confidence.LIKELY))
    began = apply(None, blocked(), likely, place())
    assert began is not None
    assert began.incident.confirmed_at is None
    assert again(began.incident, likely) is None
    assert again(began.incident, msgspec.structs.replace(sure, status=Status.DOWN)) is None
    settled = again(began.incident, sure)
    assert settled is not None
    assert [(one.kind, one.sequence, one.measurement_id) for one in settled.updates] == [(UpdateKind.CONFIRMED, 2, 7)]
    assert settled.incident.confirmed_at == AT + HOUR
    assert again(settled.incident, sure) is None
    both = again(began.incident, sure, is_other_layer=True)
    assert both is not None
    assert [one.kind for one in both.updates] == [UpdateKind.MECHANISM, UpdateKind.CONFIRMED]
    elsewhere = apply(began.incident, blocked(vantage="cmpak", at=AT + 2 * HOUR), sure, place("cmpak", 2))
    assert elsewhere is not None
    assert [one.kind for one in elsewhere.updates] == [UpdateKind.SPREAD, UpdateKind.CONFIRMED]
    at_once = apply(None, blocked(), sure, place())
    assert at_once is not None
    assert ([one.kind for one in at_once.updates], at_once.incident.confirmed_at) == ([UpdateKind.START], AT)


def test_member_that_is_measured_no_more_leaves_with_an_entry_and_the_last_closes() -> None:
    both = after(after(None, blocked()), blocked("x-api"))
    one = without(both, [Member("x-home", "ptcl", 17557)], AT + HOUR)
    assert one is not None
    assert ([each.kind for each in one.updates], one.incident.closed_at) == ([UpdateKind.UNWATCHED], None)
    none = without(one.incident, one.incident.members, AT + HOUR)
    assert none is not None
    assert (none.incident.closed_at, none.incident.sequence) == (AT + HOUR, 4)
    assert without(both, [], AT) is None


def test_two_networks_within_an_hour_are_a_quorum_and_later_or_unknown_ones_are_not() -> None:
    first = after(None, blocked())
    assert first.quorum_at is None
    soon = AT + timedelta(minutes=60)
    assert kinds(first, blocked(vantage="cmpak", at=soon)) == [UpdateKind.SPREAD, UpdateKind.QUORUM]
    assert after(first, blocked(vantage="cmpak", at=soon)).quorum_at == soon
    assert after(first, blocked(vantage="cmpak", at=soon + timedelta(seconds=1))).quorum_at is None
    assert after(first, blocked("x-api", "laptop")).quorum_at is None  # the same network
    assert after(first, blocked(vantage="cmpak"), is_test=False).quorum_at is None


def test_the_wording_about_a_country_needs_a_quorum_and_every_measured_network() -> None:
    assert extent(after(None, blocked())) == "on the one network measured"
    assert extent(after(None, blocked(), measured=4)) == "on 1 of 4 networks measured"
    both = after(after(None, blocked(), measured=2), blocked(vantage="cmpak"), measured=2)
    assert extent(both) == "country-wide as far as is measured: on all 2 networks"
    late = after(after(None, blocked(), measured=2), blocked(vantage="cmpak", at=AT + 2 * HOUR), measured=2)
    assert extent(late) == "on 2 of 2 networks measured"
    assert extent(after(None, blocked(), is_test=False)) == "on circumvention routes only"
    assert extent(after(both, returned(), measured=2)) == "on 1 of 2 networks measured"


def test_reachable_again_but_not_confirmed_is_seen() -> None:
    incident = after(None, blocked())
    (member,) = incident.members
    blocked_still = DetectorState(state=SeriesState.NOT_ACCESSIBLE)
    assert returning(incident, {member: blocked_still}) == ()
    since = AT + HOUR
    (one,) = returning(
        incident, {member: DetectorState(state=SeriesState.NOT_ACCESSIBLE, score=0.865, run_started_at=since)}
    )
    assert (one.member, one.since) == (member, since)
