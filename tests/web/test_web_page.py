from datetime import timedelta

import msgspec
import pytest

from monitor.detect.incidents import Returning
from monitor.detect.rollup import PlatformVerdict, Standing, roll_up
from monitor.model.outcome import AffectedNetwork, Member, Silence
from monitor.model.rollup import RollupRule
from monitor.model.vantage import NetworkIdentity, VantageState
from monitor.model.verdict import Confidence, Reason, Status
from monitor.store.incident_detail import IncidentDetail, Interval
from monitor.web.page import duration_text, render
from monitor.web.services import TargetState
from tests.fakes.outcomes import ISP, NOW
from tests.fakes.services import STATUS, STORE

BLOCKED = TargetState(
    platform="x",
    platform_name="X",
    target="x-home",
    url="https://x.com/",
    vantage="lahore",
    interval_seconds=300,
    network=ISP,
    status=Status.BLOCKED,
    confidence=Confidence.CONFIRMED,
    mechanisms=("dns.bogon", "tls.reset.sni"),
    because="The connection is cut only when it asks for x.com; another name passes.",
    since=NOW - timedelta(hours=3, minutes=12),
    measured_at=NOW - timedelta(minutes=3),
)

MEMBER = Member("x-home", "lahore", 17557)


def test_a_row_says_status_since_because_how_and_where() -> None:
    text = render(STATUS, [BLOCKED])
    for part in (
        '<span class="status blocked"><span aria-hidden="true">✕</span> blocked</span>',
        "confirmed",
        "2026-11-22 07:18 UTC",
        "3 h 12 min",
        BLOCKED.because,
        "<code>dns.bogon</code>",
        "<code>tls.reset.sni</code>",
        "PKTELECOM · AS17557",
        "2026-11-22 10:27 UTC",
        "3 min ago",
    ):
        assert part is not None
        assert part in text
    assert "overdue" not in text


@pytest.mark.parametrize("status", Status)
def test_every_status_has_a_word_and_a_sign_of_its_own(status: Status) -> None:
    text = render(STATUS, [msgspec.structs.replace(BLOCKED, status=status)])
    sign = text.partition(f'<span class="status {status}"><span aria-hidden="true">')[2][:1]
    assert sign in "✕≈⊘▼?✓"
    assert f"</span> {status}</span>" in text


def test_grey_says_why_it_is_grey() -> None:
    grey = msgspec.structs.replace(
        BLOCKED,
        status=Status.INCONCLUSIVE,
        confidence=None,
        reason=Reason.VANTAGE_OFFLINE,
        because="A dead line.",
    )
    text = render(STATUS, [grey])
    assert "vantage offline" in text
    assert "A dead line." in text


def test_a_target_that_nobody_measured_yet_says_when_it_will_be() -> None:
    waiting = TargetState(
        platform="x", platform_name="X", target="x-home", url="https://x.com/", vantage="lahore", interval_seconds=300
    )
    text = render(STATUS, [waiting])
    assert "not measured yet" in text
    assert "first within 5 min" in text


def test_a_measurement_that_is_overdue_is_marked() -> None:
    old = msgspec.structs.replace(BLOCKED, measured_at=NOW - timedelta(minutes=16))
    assert "16 min ago: overdue" in render(STATUS, [old])


def test_platforms_with_trouble_come_first() -> None:
    fine = msgspec.structs.replace(BLOCKED, platform="a", platform_name="Airbnb", status=Status.ACCESSIBLE)
    text = render(STATUS, [fine, BLOCKED])
    assert text.index('scope="rowgroup">X<') < text.index('scope="rowgroup">Airbnb<')


def test_without_a_control_vantage_the_page_says_what_cannot_be_told() -> None:
    sentence = "An address that is blocked here cannot be told from a platform that is down everywhere"
    assert sentence in render(msgspec.structs.replace(STATUS, has_control_vantage=False), [])
    assert sentence not in render(STATUS, [])


def test_a_sick_vantage_is_named_with_what_its_state_means() -> None:
    [vantage] = STATUS.vantages
    sick = msgspec.structs.replace(vantage, state=VantageState.CAPTIVE, notes=("2 of 3 answers were replaced",))
    text = render(msgspec.structs.replace(STATUS, vantages=(sick,)), [])
    assert "Vantage lahore is captive." in text
    assert "2 of 3 answers were replaced" in text
    assert "says nothing about platforms" not in render(STATUS, [])


def test_a_vantage_whose_exit_is_elsewhere_than_claimed_says_where() -> None:
    [vantage] = STATUS.vantages
    elsewhere = msgspec.structs.replace(
        vantage, country="DE", network=NetworkIdentity(asn=17557, country="PK"), as_claimed={"country": False}
    )
    assert "DE claimed, PK seen" in render(msgspec.structs.replace(STATUS, vantages=(elsewhere,)), [])
    assert "claimed," not in render(STATUS, [])


def test_a_vantage_whose_proxy_failed_says_so() -> None:
    [vantage] = STATUS.vantages
    sick = msgspec.structs.replace(vantage, state=VantageState.OFFLINE, reason="proxy_failed")
    text = render(msgspec.structs.replace(STATUS, vantages=(sick,)), [])
    assert "Vantage lahore is offline: its proxy or tunnel failed." in text


def test_trouble_with_the_database_is_told() -> None:
    store = msgspec.structs.replace(STORE, last_error="disk_full", spooled=213, lost_total=4)
    text = render(msgspec.structs.replace(STATUS, store=store), [])
    assert "The database cannot be written (disk full)." in text
    assert "213 runs wait in memory, 4 are lost" in text
    assert "database cannot" not in render(STATUS, [])


def test_a_refused_configuration_is_told_with_its_mistakes() -> None:
    text = render(msgspec.structs.replace(STATUS, config_error="probes.yaml:7: x: <b>unknown</b>"), [])
    assert "probes.yaml:7: x: &lt;b&gt;unknown&lt;/b&gt;" in text


def test_an_open_incident_tells_what_is_known_about_its_beginning() -> None:
    incident = IncidentDetail(
        id="x-pk-20261122",
        platform="x",
        country="PK",
        status=Status.BLOCKED,
        opened_at=NOW,
        started_after=None,
        started_before=NOW - timedelta(hours=1),
        members=(MEMBER,),
        networks=(AffectedNetwork(asn=17557, name="<PTCL>", alarmed_at=NOW),),
        extent="on 1 of 3 networks measured",
    )
    text = render(STATUS, [], incidents=[incident])
    assert "x-pk-20261122" in text
    assert "it began before the first measurement" in text
    assert "x-home from lahore" in text
    assert "&lt;PTCL&gt; (AS17557)" in text
    assert "on 1 of 3 networks measured" in text
    dated = msgspec.structs.replace(
        incident,
        start=Interval(earliest=NOW - timedelta(minutes=70), latest=NOW - timedelta(minutes=58)),
        returning=(Returning(member=MEMBER, since=NOW - timedelta(minutes=2), score=1.73),),
    )
    text = render(STATUS, [], incidents=[dated])
    assert "between <time" in text
    assert "x-home reachable again since" in text
    assert "not confirmed" in text
    began = NOW - timedelta(hours=1)
    undated = msgspec.structs.replace(incident, started_after=began, started_before=began + timedelta(seconds=4))
    text = render(STATUS, [], incidents=[undated])
    assert 'class="when"><span><time' in text
    assert "between <time" not in text


def test_a_silent_country_is_told_as_possibly_a_shutdown_and_not_as_a_block() -> None:
    silence = Silence(country="PK", started_at=NOW, vantages=("cmpak", "ptcl"), networks=(17557, 59257))
    text = render(msgspec.structs.replace(STATUS, silences=(silence,)), [])
    assert "No vantage in PK has a line" in text
    assert "possibly a shutdown" in text


def test_markup_from_the_network_is_shown_and_not_obeyed() -> None:
    hostile = msgspec.structs.replace(
        BLOCKED,
        because='<script>alert("because")</script>',
        network=NetworkIdentity(asn=1, name="<img src=x>"),
        mechanisms=("<i>",),
    )
    text = render(STATUS, [hostile])
    assert "<script" not in text
    assert "<img" not in text
    assert "<i>" not in text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (-5, "0 s"),
        (59, "59 s"),
        (60, "1 min"),
        (192 * 60, "3 h 12 min"),
        (86_400, "1 d"),
        (86_400 + 60, "1 d"),
        (3 * 86_400 + 4 * 3600 + 7, "3 d 4 h"),
    ],
)
def test_a_length_of_time_has_its_two_largest_units(seconds: int, text: str) -> None:
    assert duration_text(timedelta(seconds=seconds)) == text


def platform(name: str, *standings: Standing) -> PlatformVerdict:
    (verdict,) = roll_up(name.lower(), name, RollupRule(), standings, NOW)
    return verdict


def at(vantage: str, status: Status, asn: int, target: str = "x-home") -> Standing:
    return Standing(
        target=target,
        vantage=vantage,
        country="PK",
        network=NetworkIdentity(asn=asn, name=f"<b>{vantage}"),
        status=status,
        measured_at=NOW,
    )


def test_platforms_stand_above_targets_in_words_and_the_clear_ones_in_one_line() -> None:
    blocked = platform("X", at("lahore", Status.BLOCKED, 1), at("karachi", Status.BLOCKED, 2))
    partly = platform("Telegram", at("lahore", Status.BLOCKED, 1), *(at(f"v{n}", Status.ACCESSIBLE, n) for n in (2, 3)))
    clear = platform("Signal", at("lahore", Status.ACCESSIBLE, 1))
    grey = platform("Grab", at("lahore", Status.INCONCLUSIVE, 1))
    text = render(STATUS, [BLOCKED], [clear, grey, partly, blocked])
    order = [text.index(f'data-label="Platform">{name}</th>') for name in ("X", "Telegram", "Grab")]
    assert order == sorted(order)
    assert order[-1] < text.index("<h2>Targets</h2>")
    assert "X is blocked on both networks measured in PK: &lt;b&gt;lahore (AS1) and &lt;b&gt;karachi (AS2)." in text
    assert "It is blocked on 1: &lt;b&gt;lahore (AS1)." in text
    assert "Signal (PK)</span>" in text
    assert 'data-label="Platform">Signal' not in text


def test_a_page_without_platforms_has_no_heading_for_them() -> None:
    assert "<h2>Platforms</h2>" not in render(STATUS, [])
