"""The built-in events: what the sources support, and nothing more."""

from collections.abc import Mapping
from datetime import UTC, datetime

import pytest

from monitor.config.schema import EventsConfig
from monitor.events.annotation import Calendar
from monitor.events.deadlines import deadlines
from monitor.events.load import known_instruments, known_platforms, load_events
from monitor.events.names import KnownInstrument, aliases, spelled
from monitor.events.record import ConfidenceLevel, Phase, RegulatoryEvent
from monitor.events.timeline import InForce, in_force, phase_date, span

NOW = datetime(2026, 11, 27, tzinfo=UTC)
SEEDS = (
    "000_781234f28464a45f.txt",
    "001_01d2e93e33899425.txt",
    "002_098e807dae5e933d.txt",
    "003_1b05e77db752fde4.txt",
    "004_379a60d083ef2e33.txt",
)


@pytest.fixture(scope="module")
def calendar() -> Calendar:
    return load_events(EventsConfig(), (), NOW)


@pytest.fixture(scope="module")
def events(calendar: Calendar) -> Mapping[str, RegulatoryEvent]:
    return calendar.events


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def test_nothing_in_them_is_odd(calendar: Calendar) -> None:
    assert calendar.warnings == ()
    assert len(calendar.events) == 74


def test_one_set_alone_is_sound_too() -> None:
    counts = [len(load_events(EventsConfig(builtin=(name,)), (), NOW).events) for name in ("pakistan", "world")]
    assert counts == [58, 16]
    assert load_events(EventsConfig(builtin=()), (), NOW).events == {}


@pytest.mark.parametrize("seed", SEEDS)
def test_every_seed_document_is_a_source_by_its_name(events: Mapping[str, RegulatoryEvent], seed: str) -> None:
    assert [one.id for one in events.values() if any(source.document == seed for source in one.sources)]


def test_every_source_of_an_event_is_used(events: Mapping[str, RegulatoryEvent]) -> None:
    for event in events.values():
        used = {key for one in event.dates for key in one.sources} | {
            key for one in event.obligations for key in one.sources
        }
        used |= {one.source for one in event.claims} | {one.source for one in event.causes}
        used |= {one.retracted_by for one in event.claims if one.retracted_by}
        assert {one.id for one in event.sources} == used, event.id


def test_the_block_of_x_reads_right(events: Mapping[str, RegulatoryEvent]) -> None:
    event = events["pk-x-block-2024"]
    found = span(event)
    assert found is not None
    assert found.end is not None
    assert (found.start.interval.earliest, found.start.interval.latest) == (
        utc("2024-02-16T19:00"),
        utc("2024-02-17T19:00"),
    )
    assert (found.end.interval.earliest, found.end.interval.latest) == (
        utc("2025-05-06T19:00"),
        utc("2025-05-07T19:00"),
    )
    assert found.days == (445, 445)
    assert not found.start.is_disputed
    assert not found.end.is_disputed
    assert event.confidence.level is ConfidenceLevel.HIGH
    assert event.platforms[0].domains == ("x.com", "twitter.com")


@pytest.mark.parametrize(
    "day", ["2024-02-19", "2024-03-02", "2024-03-14", "2024-09-13", "2024-11-26", "2025-05-06T18:00"]
)
def test_its_false_endings_end_nothing(events: Mapping[str, RegulatoryEvent], day: str) -> None:
    found = span(events["pk-x-block-2024"])
    assert found is not None
    assert in_force(found, utc(day)) is InForce.YES


def test_its_false_endings_are_marks_of_their_own(calendar: Calendar) -> None:
    marks = [one for one in calendar.marks if one.event == "pk-x-block-2024"]
    assert [one.kind for one in marks] == ["block", "opening", "opening", "claim", "claim", "claim"]
    [counsel] = [one for one in marks if "PTA's counsel" in one.text]
    assert "12 September 2024 to 13 September 2024" in counsel.text
    assert "Withdrawn on 14 September 2024" in counsel.text
    assert "Told by ARY News, JournalismPakistan" in counsel.text


def test_the_rules_of_2020_keep_all_five_dates_and_their_deadlines(events: Mapping[str, RegulatoryEvent]) -> None:
    rules = events["pk-online-harm-rules-2020"]
    adopted, notified = phase_date(rules, Phase.ADOPTED), phase_date(rules, Phase.NOTIFIED)
    assert adopted is not None
    assert notified is not None
    assert adopted.is_disputed
    assert notified.is_disputed
    due = [one.obligation for one in deadlines(events, NOW) if one.event == rules.id]
    assert due == [
        *(
            f"{duty}@2020-{day}"
            for day in ("04-21", "04-28", "04-30", "05-11", "05-12")
            for duty in ("office", "register")
        ),
        *(f"data-server@2021-{day}" for day in ("01-21", "01-28", "01-31", "02-11", "02-12")),
    ]


@pytest.mark.parametrize(
    ("name", "start", "end", "days"),
    [
        ("pk-youtube-2012", "2012-09-16T19:00", "2016-01-18T19:00", 1218),
        ("pk-social-media-2021-04", "2021-04-16T06:00", "2021-04-16T11:00", 0),
        ("pk-pubg-2020", "2020-06-30T19:00", "2020-07-30T19:00", 29),
        ("ng-twitter-2021", "2021-06-04T23:00", "2022-01-12T23:01", 222),
        ("sn-tiktok-2023", "2023-08-02T00:00", "2024-02-18T00:00", 199),
    ],
)
def test_well_known_edges(events: Mapping[str, RegulatoryEvent], name: str, start: str, end: str, days: int) -> None:
    found = span(events[name])
    assert found is not None
    assert found.end is not None
    assert (found.start.interval.earliest, found.end.interval.latest) == (utc(start), utc(end))
    assert found.days is not None
    assert found.days[1] == days


def test_a_court_order_is_another_event_than_the_opening(events: Mapping[str, RegulatoryEvent]) -> None:
    order, block = span(events["pk-pubg-court-order-2020"]), span(events["pk-pubg-2020"])
    assert order is not None
    assert block is not None
    assert block.end is not None
    assert (block.end.interval.earliest - order.start.interval.earliest).days == 6


def test_one_source_alone_is_said_to_be_alone(calendar: Calendar) -> None:
    for mark in calendar.marks:
        event = calendar.events[mark.event]
        if mark.id == mark.event and event.confidence.level is ConfidenceLevel.LOW:
            assert "As told by " in mark.text, mark.id


def test_no_event_is_called_in_force_where_the_sources_tell_no_end(events: Mapping[str, RegulatoryEvent]) -> None:
    for name in ("pk-bluesky-2024", "pk-social-media-2024-01-07", "pk-x-disruption-2024-02-10", "pk-dating-apps-2020"):
        found = span(events[name])
        assert found is not None
        assert in_force(found, NOW) is InForce.NO


def test_known_names_are_unambiguous() -> None:
    table = known_instruments()
    for name in ("PECA", "RBUOC Rules 2020", "Citizen's Protection (Against Online Harm) Rules, 2020"):
        assert spelled(name) in table
    assert len(known_platforms()) > 30
    twice = [KnownInstrument(name="A Act"), KnownInstrument(name="B Act", aliases=("a, act",))]
    with pytest.raises(ValueError, match="means both"):
        aliases(twice)
