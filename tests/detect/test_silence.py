from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Final

from monitor.detect.silence import Heard, changed, silences
from monitor.model.vantage import VantageState

AT: Final = datetime(2024, 2, 8, 3, 0, tzinfo=UTC)
PTCL: Final = Heard("ptcl", "PK", 17557, VantageState.OFFLINE, AT)
CMPAK: Final = Heard("cmpak", "PK", 59257, VantageState.OFFLINE, AT + timedelta(minutes=2))
ELSEWHERE: Final = Heard("frankfurt", "DE", 24940, VantageState.ONLINE, AT, is_test=False)


def test_a_country_is_silent_when_all_its_vantages_are_and_others_are_heard() -> None:
    (found,) = silences([PTCL, CMPAK, ELSEWHERE])
    assert (found.country, found.started_at) == ("PK", AT + timedelta(minutes=2))
    assert (found.vantages, found.networks) == (("cmpak", "ptcl"), (17557, 59257))


def test_our_own_dead_line_is_no_silence() -> None:
    assert silences([PTCL, CMPAK, replace(ELSEWHERE, state=VantageState.OFFLINE)]) == ()
    assert silences([PTCL, CMPAK]) == ()


def test_one_network_or_one_vantage_that_is_heard_is_no_silence() -> None:
    assert silences([PTCL, replace(CMPAK, asn=17557), ELSEWHERE]) == ()
    assert silences([PTCL, replace(CMPAK, state=VantageState.ONLINE), ELSEWHERE]) == ()
    assert silences([PTCL, replace(CMPAK, state=VantageState.CAPTIVE), ELSEWHERE]) == ()
    assert silences([PTCL, replace(CMPAK, country=None), ELSEWHERE]) == ()


def test_a_silence_begins_once_and_ends_when_somebody_is_heard_again() -> None:
    (began,) = changed({}, [PTCL, CMPAK, ELSEWHERE], AT)
    known = {"PK": began}
    assert changed(known, [PTCL, CMPAK, ELSEWHERE], AT) == ()
    back = [PTCL, replace(CMPAK, state=VantageState.ONLINE), ELSEWHERE]
    (ended,) = changed(known, back, AT + timedelta(hours=3))
    assert (ended.country, ended.started_at, ended.ended_at) == ("PK", began.started_at, AT + timedelta(hours=3))


def test_that_nobody_was_asked_yet_or_that_we_are_offline_ourselves_ends_none() -> None:
    (began,) = changed({}, [PTCL, CMPAK, ELSEWHERE], AT)
    assert changed({"PK": began}, [], AT) == ()
    assert changed({"PK": began}, [PTCL, CMPAK, replace(ELSEWHERE, state=VantageState.OFFLINE)], AT) == ()
