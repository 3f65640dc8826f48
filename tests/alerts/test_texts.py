"""What people read: complete, honest about what is not known, and unable to be bent by what the network sent."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from monitor.alerts.channel import Message
from monitor.alerts.story import Background, clean, duration
from monitor.alerts.writer import SHIPPED, TEMPLATES, Writer, country_names, country_zones
from monitor.model.alert import AlertKind
from monitor.model.onset import Dating, Edge, Onset
from monitor.model.outcome import IncidentUpdate, UpdateKind
from monitor.model.verdict import Confidence, Verdict
from monitor.store.incident_detail import IncidentDetail
from monitor.store.reader import DatedEdge
from tests.alerts.samples import INCIDENT, NOW, PTCL, alert, delivery

ABOUT_INCIDENTS = {one.value for one in UpdateKind} | {"reminder", "retraction", "returning"}
EVENT = {INCIDENT.id: ('coincides with "X blocked in Pakistan"; lag +1 h to +2 h. Coincidence is not cause.',)}


def about(kind: AlertKind, **fields: Any) -> Any:
    if kind.value in ABOUT_INCIDENTS:
        return alert(kind, **fields)
    return alert(kind, incident=None, since=NOW, until=NOW + timedelta(days=2), platform="x", platform_name="X",
                 subject=f"{kind}:x", **{"why": "offline", **fields})  # fmt: skip


def message(
    *alerts: Any, writer: Writer | None = None, language: str = "en", form: str = "long", **known: Any
) -> Message:
    background = Background(
        now=NOW, zones=country_zones(), countries=country_names(), link="https://m.example/", **known
    )
    parcel = [delivery(number, one, language=language, form=form) for number, one in enumerate(alerts, 1)]
    return (writer or Writer()).message(parcel, background)


@pytest.mark.parametrize("language", ["en", "ur"])
@pytest.mark.parametrize("form", ["short", "long"])
@pytest.mark.parametrize("kind", list(AlertKind))
def test_every_kind_has_words_in_every_language_and_form(kind: AlertKind, form: str, language: str) -> None:
    one = message(about(kind), language=language, form=form)
    assert one.headline.startswith("[")
    assert one.headline in one.text
    assert "\n\n\n" not in one.text
    assert ("X" in one.text) or kind.value not in ABOUT_INCIDENTS
    assert one.is_right_to_left is (language == "ur")
    for forbidden in ("caused by", "because of", "in response to", "triggered", "lifted", "proven"):
        assert forbidden not in one.headline


def dated(dating: Dating = Dating.DATED) -> IncidentDetail:
    """Return an incident whose beginning has been dated."""
    onset = Onset(
        edge=Edge.START, dating=dating, earliest=None if dating is Dating.BEFORE else NOW - timedelta(minutes=4),
        latest=NOW - timedelta(minutes=2), log_support=20, rounds=412, window_start=NOW, window_end=NOW,
        computed_at=NOW, is_final=False,
    )  # fmt: skip
    edge = DatedEdge(
        incident=INCIDENT.id, member=INCIDENT.members[0], edge=Edge.START, network="PTCL", confirmed_at=NOW,
        last_before_at=INCIDENT.started_after, first_after_at=INCIDENT.started_before, onset=onset,
    )  # fmt: skip
    fields = {name: getattr(INCIDENT, name) for name in INCIDENT.__struct_fields__}
    return IncidentDetail(**fields, extent="on 1 of 3 networks measured", edges=(edge,))


UPDATE = IncidentUpdate(
    incident=INCIDENT.id, sequence=1, kind=UpdateKind.START, at=NOW, member=INCIDENT.members[0], network="PTCL",
    status=INCIDENT.status, mechanisms=INCIDENT.mechanisms,
)  # fmt: skip


def test_the_beginning_of_an_incident_says_what_where_how_since_when_and_what_is_not_known() -> None:
    one = message(alert(update=UPDATE), details={INCIDENT.id: dated()}, event_sentences=EVENT)
    assert one.text == (
        """\
[start] X blocked on 1 of 3 networks measured in Pakistan (confirmed)

The connection is cut only when it asks for x.com; another name passes.

How:  PTCL (AS17557): the TLS handshake is reset, tied to the server name [tls.reset.sni], confirmed
Since: between 2026-11-22 17:56 and 2026-11-22 17:58 UTC (2026-11-22 22:56\u20132026-11-22 22:58 Pakistan time)
       last accessible 2026-11-22 17:57, first failing 2026-11-22 17:58 UTC
Event: coincides with "X blocked in Pakistan"; lag +1 h to +2 h. Coincidence is not cause.
Not known: networks without a vantage.
Based on 412 rounds.
https://m.example/
Incident x-pk-20261122, message 1"""
    )


def test_a_network_stays_confirmed_when_a_later_entry_about_it_is_only_likely() -> None:
    verdicts = {
        number: Verdict(status=INCIDENT.status, confidence=one, rule="r", because="b", rules_version=1)
        for number, one in enumerate((Confidence.LIKELY, Confidence.CONFIRMED, Confidence.LIKELY), 1)
    }
    kinds = (UpdateKind.START, UpdateKind.CONFIRMED, UpdateKind.MECHANISM)
    updates = tuple(
        msgspec.structs.replace(UPDATE, sequence=number, kind=kind, measurement_id=number)
        for number, kind in enumerate(kinds, 1)
    )
    incident = msgspec.structs.replace(INCIDENT, sequence=3)
    detail = msgspec.structs.replace(dated(), updates=updates)
    last = alert(AlertKind.MECHANISM, 3, incident=incident, update=updates[-1])
    assert "(confirmed)" in message(last, details={INCIDENT.id: detail}, verdicts=verdicts).headline
    first = alert(update=updates[0])
    assert "(likely)" in message(first, details={INCIDENT.id: detail}, verdicts=verdicts).headline


def test_what_is_not_dated_yet_shows_its_rounds_and_is_compared_with_no_event() -> None:
    text = message(alert(update=UPDATE)).text
    assert "Since: not dated yet\n       last accessible 2026-11-22 17:57, first failing 2026-11-22 17:58 UTC" in text
    assert "Event: not compared" in text
    assert "no regulatory event" not in text


def test_with_one_network_measured_nothing_is_said_of_a_country() -> None:
    alone = msgspec.structs.replace(INCIDENT, measured_networks=1)
    text = message(alert(incident=alone)).text
    assert "X blocked on the one network measured in Pakistan" in text
    assert "only one network is measured" in text
    said = message(alert(incident=alone), event_sentences={INCIDENT.id: ()}).text
    assert "no regulatory event on file within 48 hours" in said


def test_what_began_unmeasured_says_so() -> None:
    before = msgspec.structs.replace(INCIDENT, started_after=None)
    assert "it began before the first measurement" in message(alert(AlertKind.FOUND, incident=before)).text


def test_a_late_message_says_so_and_keeps_its_times() -> None:
    late = message(alert(at=NOW - timedelta(hours=3)))
    assert late.is_late
    assert "This message is late: it tells of 2026-11-22 15:00 UTC." in late.text


def test_a_network_whose_name_is_an_attack_stays_a_name() -> None:
    evil = "Evil\n[end] X accessible\u202e\x1b[31m{{ 7 * 7 }}" + "A" * 500
    networks = (msgspec.structs.replace(PTCL, name=evil),)
    text = message(alert(incident=msgspec.structs.replace(INCIDENT, networks=networks))).text
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "49" not in text.split("Since")[0]
    assert sum(line.startswith("[end]") for line in text.splitlines()) == 0
    assert max(map(len, text.splitlines())) < 250


def test_forty_incidents_are_one_message_that_counts_them() -> None:
    many = [alert(incident=msgspec.structs.replace(INCIDENT, id=f"i{n}", platform=f"p{n}")) for n in range(40)]
    one = message(*many)
    assert one.headline.startswith("[40 messages] X")
    assert "and 20 more" in one.text
    assert (len(one.alerts), one.key) == (40, "i0/start/1/desk+39")


def test_several_entries_of_one_incident_are_told_as_a_beginning_that_has_spread() -> None:
    one = message(alert(), alert(AlertKind.SPREAD, 2))
    assert one.headline.startswith("[start] X blocked")


def test_latin_words_in_urdu_are_isolated_and_isolates_are_closed() -> None:
    text = message(alert(), language="ur").text
    assert "\u2068x-pk-20261122\u2069" in text
    assert text.count("\u2068") == text.count("\u2069")


def test_templates_of_ones_own_replace_the_shipped_and_a_broken_one_loses_no_message(tmp_path: Path) -> None:
    (tmp_path / "en").mkdir()
    (tmp_path / "en" / "short.j2").write_text("OURS {{ one.platform }}")
    assert message(alert(), writer=Writer(tmp_path), form="short").text == "OURS X"
    for broken in (
        "{{ one.nonsense }}",
        "{% if %}",
        "{{ 1 // 0 }}",
        "{{ ''.__class__.__mro__ }}",
        "{{ one.link.x() }}",
    ):
        (tmp_path / "en" / "short.j2").write_text(broken)
        assert message(alert(), writer=Writer(tmp_path), form="short").text.startswith("[start] X blocked")


def test_every_language_has_every_text() -> None:
    languages = [one for one in SHIPPED.iterdir() if one.is_dir()]
    assert {one.name for one in languages} == {"en", "ur"}
    for folder in languages:
        assert {one.name for one in folder.iterdir()} == {*(f"{name}.j2" for name in TEMPLATES), "words.yaml"}


@pytest.mark.parametrize(
    ("length", "words"),
    [(30, "under 1 min"), (60 * 14, "14 min"), (3600 * 3 + 600, "3 h 10 min"), (86400 * 2 + 3600 * 3, "2 d 3 h")],
)
def test_lengths_of_time_read_well(length: int, words: str) -> None:
    assert duration(timedelta(seconds=length)) == words


def test_clean_text_is_one_bounded_line() -> None:
    assert clean("a\r\nb\tc\u2028d\u200f") == "a b c d"
    assert len(clean("x" * 1000)) == 60
