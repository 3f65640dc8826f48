from dataclasses import replace
from datetime import timedelta

from monitor.detect.conditions import (
    CertificateNow,
    Down,
    Limits,
    PlatformNow,
    Situation,
    VantageNow,
    changed,
    down_after,
)
from monitor.model.alert import Alert, AlertKind
from monitor.model.vantage import VantageState
from monitor.model.verdict import Status, Verdict
from tests.alerts.samples import NOW

LIMITS = Limits()
LAHORE = VantageNow("lahore", "PK", VantageState.OFFLINE, NOW, NOW, 300.0)
SITUATION = Situation(now=NOW + timedelta(minutes=6), started_at=NOW - timedelta(hours=1), vantages=(LAHORE,))


def told(situation: Situation, before: dict[str, Alert] | None = None) -> list[str]:
    return [one.name for one in changed(before or {}, situation, LIMITS)]


def at(minutes: float, vantage: VantageNow = LAHORE) -> Situation:
    return replace(SITUATION, now=NOW + timedelta(minutes=minutes), vantages=(vantage,))


def test_a_vantage_out_of_order_is_told_once_after_a_while_and_so_is_its_return() -> None:
    assert told(at(4)) == []
    begun = changed({}, at(6), LIMITS)
    assert [one.name for one in begun] == ["vantage:lahore/vantage/1"]
    known = {one.subject: one for one in begun}
    assert told(at(60), known) == []
    well = replace(LAHORE, state=VantageState.ONLINE, last_round_at=NOW + timedelta(minutes=60))
    assert told(at(61, well), known) == ["vantage:lahore/vantage_end/2"]
    ended = {one.subject: one for one in changed(known, at(61, well), LIMITS)}
    assert told(at(62, well), ended) == []
    again = replace(LAHORE, since=NOW + timedelta(minutes=70))
    assert told(at(80, again), ended) == ["vantage:lahore/vantage/3"]


def test_after_a_restart_what_was_not_heard_of_yet_neither_begins_nor_ends() -> None:
    known = {one.subject: one for one in changed({}, at(6), LIMITS)}
    unheard = replace(LAHORE, state=None, since=None, last_round_at=None)
    fresh = Situation(now=NOW + timedelta(minutes=7), started_at=NOW + timedelta(minutes=7), vantages=(unheard,))
    assert told(fresh, known) == []


def test_a_silent_country_speaks_for_its_vantages() -> None:
    assert told(replace(SITUATION, silent_countries=frozenset({"PK"}))) == []
    assert told(replace(SITUATION, silent_countries=frozenset({"IN"}))) == ["vantage:lahore/vantage/1"]


def test_no_round_for_three_intervals_is_told_unless_the_vantage_itself_is_out_of_order() -> None:
    well = replace(LAHORE, state=VantageState.ONLINE)
    assert told(at(14, well)) == []
    assert told(at(15, well)) == ["stopped:lahore/stopped/1"]
    slow = replace(well, interval_seconds=3600.0)
    assert told(at(15, slow)) == []
    assert told(at(60 * 3, slow)) == ["stopped:lahore/stopped/1"]
    assert "stopped:lahore/stopped/1" not in told(at(60))


def test_a_platform_that_fails_from_the_control_too_is_one_alert() -> None:
    down = PlatformNow("x", "X", is_judged=True, downs=(Down(NOW, 3, "It fails at the control too."),))
    situation = replace(SITUATION, vantages=(), platforms=(down, PlatformNow("y", None, is_judged=True)))
    begun = changed({}, situation, LIMITS)
    assert [one.name for one in begun] == ["down:x/down/1"]
    up = replace(situation, platforms=(replace(down, downs=()),))
    (ended,) = changed({one.subject: one for one in begun}, up, LIMITS)
    assert (ended.kind, ended.since) == (AlertKind.DOWN_END, NOW)
    # Of two rounds alone nothing is told, and they take nothing back.
    few = replace(situation, platforms=(replace(down, downs=(Down(NOW - timedelta(hours=1), 2, ""),)),))
    assert told(few) == []
    assert told(few, {one.subject: one for one in begun}) == []


def test_a_target_is_down_through_rounds_that_cannot_tell_until_one_that_can() -> None:
    def verdict(status: Status) -> Verdict:
        return Verdict(status=status, rule="r", because="b", rules_version=1)

    once = down_after(None, verdict(Status.DOWN), NOW)
    assert once == Down(NOW, 1, "b")
    assert down_after(once, verdict(Status.INCONCLUSIVE), NOW + timedelta(hours=1)) == once
    assert down_after(once, verdict(Status.DOWN), NOW + timedelta(hours=1)) == Down(NOW, 2, "b")
    assert down_after(once, verdict(Status.ACCESSIBLE), NOW + timedelta(hours=1)) is None


def test_a_certificate_is_told_before_it_ends_and_after_it_was_renewed() -> None:
    soon = CertificateNow("x-home", "x", NOW + timedelta(days=13))
    situation = replace(SITUATION, vantages=(), certificates=(soon,))
    known = {one.subject: one for one in changed({}, situation, LIMITS)}
    assert [one.name for one in known.values()] == ["certificate:x-home/certificate/1"]
    renewed = replace(situation, certificates=(replace(soon, ends_at=NOW + timedelta(days=90)),))
    assert told(renewed, known) == ["certificate:x-home/certificate_end/2"]


def test_what_is_watched_no_more_ends_and_says_why() -> None:
    known = {one.subject: one for one in changed({}, SITUATION, LIMITS)}
    (ended,) = changed(known, replace(SITUATION, vantages=()), LIMITS)
    assert (ended.kind, ended.why) == (AlertKind.VANTAGE_END, "gone")
