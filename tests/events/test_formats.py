import csv
import io
import re
import subprocess
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest

from monitor.config.schema import EventsConfig
from monitor.events.annotation import Calendar
from monitor.events.formats.atom import atom
from monitor.events.formats.icalendar import icalendar
from monitor.events.formats.table import COLUMNS, table
from monitor.events.load import load_events
from monitor.events.record import Kind, Phase, RegulatoryEvent
from monitor.exporter.event_history import event_history
from tests.fakes.events import BLOCK, CALENDAR, ORDER, calendar, dated, event

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)
ATOM = "{http://www.w3.org/2005/Atom}"


@pytest.fixture(scope="module")
def builtin() -> Calendar:
    return load_events(EventsConfig(), (), NOW)


def everything(of: Calendar) -> list[RegulatoryEvent]:
    return list(of.events.values())


def unfolded(of: Calendar) -> list[str]:
    """Return the content lines of a calendar, as RFC 5545 section 3.1 says."""
    text = "".join(icalendar(everything(of), of.events))
    assert text.endswith("\r\n")
    assert "\n" not in text.replace("\r\n", "")
    assert max(len(line.encode()) for line in text.split("\r\n")) <= 75
    return text.replace("\r\n ", "").split("\r\n")


def test_csv_is_a_row_for_each_event(builtin: Calendar) -> None:
    rows = list(csv.DictReader(io.StringIO("".join(table(everything(builtin), builtin.events)), newline="")))
    assert len(rows) == len(builtin.events)
    assert set(rows[0]) == set(COLUMNS)
    [block] = [row for row in rows if row["id"] == "pk-x-block-2024"]
    assert (block["start_earliest"], block["end_latest"], block["end_disputed"]) == (
        "2024-02-16T19:00:00Z",
        "2025-05-07T19:00:00Z",
        "no",
    )
    assert len(block["publishers"].split(";")) > 10


def test_a_spreadsheet_computes_nothing() -> None:
    formula = calendar(event("e", dated(Phase.EFFECTIVE, "2024"), title={"en": '=HYPERLINK("https://a.example")'}))
    [_, row] = csv.reader(io.StringIO("".join(table(everything(formula), formula.events)), newline=""))
    assert row[3] == '\'=HYPERLINK("https://a.example")'


def test_a_calendar_has_whole_days_where_days_are_known() -> None:
    lines = unfolded(CALENDAR)
    assert lines[0] == "BEGIN:VCALENDAR"
    assert lines[-2:] == ["END:VCALENDAR", ""]
    start = lines.index("UID:x-block-2026@events.access-monitor.invalid")
    assert lines[start + 2 : start + 4] == ["DTSTART;VALUE=DATE:20261101", "DTEND;VALUE=DATE:20261102"]
    due = lines.index("UID:x-block-2026-register@events.access-monitor.invalid")
    assert lines[due + 2 : due + 5] == [
        "DTSTART;VALUE=DATE:20261201",
        "DTEND;VALUE=DATE:20261202",
        "SUMMARY:Due: register with the authority",
    ]
    order = lines.index("UID:court-order-2026@events.access-monitor.invalid")
    assert lines[order + 2 : order + 5] == [
        "DTSTART:20261115T043000Z",
        "DTEND:20261115T043100Z",
        "SUMMARY:Court orders <b>X</b> opened\\, and",
    ]


def test_calendar_entries_are_complete_and_unique(builtin: Calendar) -> None:
    lines = unfolded(builtin)
    uids = [line for line in lines if line.startswith("UID:")]
    assert len(uids) == len(set(uids)) >= len(builtin.events)
    for name in ("DTSTAMP:", "DTSTART", "DTEND", "SUMMARY:"):
        assert sum(line.startswith(name) for line in lines) == len(uids)


def test_a_feed_has_what_every_entry_needs(builtin: Calendar) -> None:
    feed = ET.fromstring("".join(atom(everything(builtin), builtin.events)))  # noqa: S314 -- made here
    entries = feed.findall(f"{ATOM}entry")
    assert len(entries) == len(builtin.events)
    for one in (feed, *entries):
        assert all(one.findtext(f"{ATOM}{name}") for name in ("id", "title", "updated"))
    assert feed.find(f"{ATOM}author") is not None
    for one in entries:
        assert one.find(f"{ATOM}link") is not None or one.find(f"{ATOM}content") is not None
    updated = [one.findtext(f"{ATOM}updated") or "" for one in entries]
    assert updated == sorted(updated, reverse=True)


def test_markup_in_a_title_is_text_in_the_feed() -> None:
    feed = ET.fromstring("".join(atom([ORDER], CALENDAR.events)))  # noqa: S314 -- made here
    assert feed.findtext(f"{ATOM}entry/{ATOM}title") == "Court orders <b>X</b> opened, and"


@pytest.mark.parametrize("write", [table, icalendar, atom])
def test_the_same_events_give_the_same_bytes(builtin: Calendar, write: object) -> None:
    assert callable(write)
    again = load_events(EventsConfig(), (), NOW + timedelta(days=1))
    assert list(write(everything(builtin), builtin.events)) == list(write(everything(again), again.events))


SAMPLE = re.compile(
    r'(\w+)\{event="([^"]+)",kind="[^"]+",country="([^"]*)",platform="([^"]*)".*\} ([0-9.]+) ([0-9]+)\n'
)


def samples(of: Calendar, now: datetime) -> Iterator[tuple[str, str, float, int]]:
    lines = list(event_history(everything(of), of.events, now))
    assert lines[-1] == "# EOF\n"
    for line in lines[:-1]:
        if not line.startswith("#"):
            match = SAMPLE.fullmatch(line)
            assert match, line
            yield match[1], match[2], float(match[5]), int(match[6])


def test_the_history_has_a_sample_an_hour_and_a_zero_where_it_ends() -> None:
    ended = calendar(event("e", dated(Phase.EFFECTIVE, "2026-11-01"), dated(Phase.LIFTED, "2026-11-03")))
    active = [(value, at) for name, _, value, at in samples(ended, NOW) if name == "access_event_active"]
    assert [value for value, _ in active] == [1.0] * 72 + [0.0]
    assert {later - at for (_, at), (_, later) in pairwise(active)} == {3600}
    assert active[-1][1] == datetime(2026, 11, 3, 19, tzinfo=UTC).timestamp()


def test_the_history_of_what_is_open_ends_now_and_of_what_lies_ahead_never_begins() -> None:
    now = datetime(2026, 11, 1, 12, 30, tzinfo=UTC)
    found = list(samples(CALENDAR, now))
    assert {name for _, name, _, _ in found} == {BLOCK.id}
    assert max(at for _, _, _, at in found) == now.timestamp()
    assert {value for name, _, value, _ in found if name == "access_event_active"} == {1.0}
    assert "access_event_end_timestamp_seconds" not in {name for name, _, _, _ in found}


def test_promtool_makes_blocks_of_the_history(tmp_path: Path) -> None:
    month = calendar(
        event("e", dated(Phase.EFFECTIVE, "2026-10-01"), dated(Phase.LIFTED, "2026-10-20")),
        event("m", dated(Phase.COURT_ORDERED, "2026-10-05T09:30"), kind=Kind.COURT_ORDER),
    )
    (tmp_path / "events.om").write_text("".join(event_history(everything(month), month.events, NOW)))
    done = subprocess.run(
        ["promtool", "tsdb", "create-blocks-from", "openmetrics", "--max-block-duration=744h", "events.om", "data"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (tmp_path / "data/wal").mkdir()  # promtool dumps a whole data directory only
    asked = subprocess.run(
        ["promtool", "tsdb", "dump", "--match", '{__name__=~"access_event_.*"}', "data"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    dumped = asked.stdout.splitlines()
    assert len(dumped) == len(list(samples(month, NOW)))
    assert sum("access_event_active" in line for line in dumped) == 20 * 24 + 1
