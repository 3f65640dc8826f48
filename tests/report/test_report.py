"""The report of a simulated history, through the command, the database and the page."""

import csv
import io
import json
import re
import sqlite3
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.model.vantage import NetworkIdentity, Role
from monitor.model.verdict import Status
from monitor.report.picture import NOT_MEASURED, STATUS_COLOURS, picture
from monitor.report.record import Band, Bucket, Chart, Place
from tests.cli.test_check import monitor
from tests.simulate_history import ENDS, OPENINGS, START, STARTS

BEGINNING = ("report", "pk-x-block-2024", "--since", "2024-02-08", "--until", "2024-03-16")
END = ("report", "pk-x-block-2024", "--since", "2025-05-01", "--until", "2025-05-26")


def reported(folder: Path, *arguments: str) -> dict[str, Any]:
    ran = monitor(*arguments, "--format", "json", cwd=folder)
    assert (ran.returncode, ran.stderr) == (0, "")
    found: dict[str, Any] = json.loads(ran.stdout)
    return found


@pytest.fixture(scope="module")
def beginning(history: Path) -> dict[str, Any]:
    return reported(history, *BEGINNING)


@pytest.fixture(scope="module")
def page(history: Path) -> str:
    ran = monitor(*BEGINNING, cwd=history)
    assert (ran.returncode, ran.stderr) == (0, "")
    return ran.stdout


def instant(text: str) -> datetime:
    return datetime.fromisoformat(text)


def test_the_sentence_names_extent_interval_and_both_times(beginning: dict[str, Any]) -> None:
    first = beginning["sentences"][0]
    assert first.startswith("X was blocked on all 4 networks measured in Pakistan. It began between ")
    assert "PKT on 17 February 2024" in first
    assert "UTC)" in first
    # Measuring stopped: nothing is said about today.
    assert first.endswith(
        "; no end had been confirmed by 05:00 PKT on 16 March 2024 (00:00 UTC), where this report ends."
    )


def test_the_sentences_give_the_denominator(beginning: dict[str, Any]) -> None:
    last = beginning["sentences"][-1]
    kept = sum(bucket["kept"] for band in beginning["table"]["bands"] for bucket in band.get("buckets", ()))
    assert f"{kept:,} rounds that count" in last
    assert "% of what was scheduled" in last
    assert "PTCL, simulated (AS17557)" in last


def test_each_network_began_within_its_interval(beginning: dict[str, Any]) -> None:
    block = next(one for one in beginning["incidents"] if one["id"] == "x-pk-20240217")
    starts = {one["vantage"]: one for one in block["changes"] if one["kind"] == "start"}
    assert starts.keys() == STARTS.keys()
    for vantage, truth in STARTS.items():
        assert instant(starts[vantage]["earliest"]) <= truth <= instant(starts[vantage]["latest"])


def test_an_opening_of_hours_begins_nothing_anew(beginning: dict[str, Any]) -> None:
    block = next(one for one in beginning["incidents"] if one["id"] == "x-pk-20240217")
    opened = {one["vantage"] for one in block["changes"] if one["kind"] == "opening"}
    again = {one["vantage"] for one in block["changes"] if one["kind"] == "again"}
    assert opened == again == OPENINGS.keys()
    assert instant(block["start"]["latest"]) < instant("2024-02-18T00:00Z")


def test_a_claimed_end_without_change_is_a_claim(beginning: dict[str, Any]) -> None:
    claims = [one for one in beginning["comparisons"] if one["is_claim"]]
    assert [one["date"] for one in claims] == ["1 March 2024", "13 March 2024"]
    for one in claims:
        assert one["line"]["relation"] == "no_change"
        assert one["line"]["sentence"] == "No change was seen around this date on 4 of 4 networks measured."
        assert one["sources"]
    [sentence] = [one for one in beginning["sentences"] if "claimed" in one]
    assert sentence == (
        "Its end was claimed twice; no change was seen around any of these on any network measured (1 March 2024 and "
        "13 March 2024)."
    )


def test_the_order_coincides_and_nothing_is_said_to_cause(beginning: dict[str, Any], page: str) -> None:
    order = next(one for one in beginning["comparisons"] if one["phase"] == "the order")
    assert order["line"]["relation"] == "coincides"
    for word in ("caused by", "because of", "in response to", "triggered"):
        assert word not in page


def test_the_end_is_dated_and_the_days_are_counted(ending: Path) -> None:
    found = reported(ending, *END)
    [block] = found["incidents"]
    ends = {one["vantage"]: one for one in block["changes"] if one["kind"] == "end"}
    assert ends.keys() == ENDS.keys()
    for vantage, truth in ENDS.items():
        assert instant(ends[vantage]["earliest"]) <= truth <= instant(ends[vantage]["latest"])
    # It was under way when measuring began: no start is made up.
    assert block["start"]["earliest"] is None
    assert any("began before the first measurement" in one for one in found["unknowns"])
    assert "It began before " in found["sentences"][0]


def test_an_outage_everywhere_is_down_and_no_incident(ending: Path) -> None:
    found = reported(ending, *END)
    down = [
        bucket["start"]
        for band in found["table"]["bands"]
        for bucket in band["buckets"]
        if bucket.get("counts", {}).get("down")
    ]
    assert {start[:10] for start in down} == {"2025-05-24"}
    assert all(one["status"] == "blocked" for one in found["incidents"])


def test_other_explanations_are_looked_at(beginning: dict[str, Any]) -> None:
    assert beginning["elsewhere"] == [
        "The same platform, other countries: it did not change in the other countries measured (0 of 1 series).",
        "Other platforms, same networks: other platforms did not change (0 of 4 series).",
    ]


def test_imported_counts_stand_apart(beginning: dict[str, Any], page: str) -> None:
    assert {one["what"] for one in beginning["imported"]} == {"OONI, x.com"}
    assert "They are in none of the pictures, sentences and dates above." in page
    assert "OONI" not in " ".join(beginning["sentences"])


def test_a_simulation_says_so(beginning: dict[str, Any], page: str) -> None:
    assert beginning["is_simulated"]
    assert "<strong>Simulated.</strong>" in page


def test_evidence_and_rules_are_named(beginning: dict[str, Any], page: str, history: Path) -> None:
    with sqlite3.connect(history / "simulated.db") as db:
        stored = dict(db.execute("SELECT id, lower(hex(digest)) FROM measurement"))
    assert beginning["proofs"]
    assert beginning["rules_versions"]
    for one in beginning["proofs"]:
        assert stored[one["measurement"]] == one["digest"]
        assert str(one["measurement"]) in page


class _Needs(HTMLParser):
    """Collects what a page would load, and what could run."""

    def __init__(self) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.tags: set[str] = set()
        self.ids: list[str] = []
        self.targets: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        for name, value in attrs:
            if name in {"src", "srcset", "poster"} or (tag == "link" and name == "href") or name.startswith("on"):
                self.loads.append(f"{tag} {name}={value}")
            if name == "id" and value:
                self.ids.append(value)
            if name == "href" and value and value.startswith("#"):
                self.targets.add(value[1:])


def test_the_page_needs_nothing_else(page: str) -> None:
    needs = _Needs()
    needs.feed(page)
    assert needs.loads == []
    assert needs.tags.isdisjoint({"script", "link", "iframe", "img", "object", "form"})
    assert "url(" not in page
    assert "@import" not in page


def test_ids_are_unique_and_every_flag_leads_to_its_event(page: str) -> None:
    needs = _Needs()
    needs.feed(page)
    assert len(needs.ids) == len(set(needs.ids))
    assert needs.targets
    assert needs.targets <= set(needs.ids)


def test_pictures_are_well_formed_and_described(page: str) -> None:
    pictures = re.findall(r"<svg.*?</svg>", page, re.DOTALL)
    assert len(pictures) == 4  # the period and the beginning, each for a screen and for a phone
    for text in pictures:
        root = ET.fromstring(text)  # noqa: S314 -- ours
        described = root.find("{http://www.w3.org/2000/svg}desc")
        assert described is not None
        assert "PTCL, simulated (AS17557): accessible in" in (described.text or "")
        widths = [float(one.get("width", "0")) for one in root.iter("{http://www.w3.org/2000/svg}rect")]
        assert min(widths) >= 0


def test_the_data_are_in_the_page_and_are_the_csv(history: Path, page: str) -> None:
    ran = monitor(*BEGINNING, "--format", "csv", cwd=history)
    rows = list(csv.DictReader(io.StringIO(ran.stdout)))
    assert {row["vantage"] for row in rows} == STARTS.keys()
    with sqlite3.connect(history / "simulated.db") as db:
        [[blocked]] = db.execute(
            "SELECT sum(blocked) FROM rollup_hour h JOIN target t ON t.id = h.target_id JOIN vantage v "
            "ON v.id = h.vantage_id WHERE t.name = 'x-home' AND v.country = 'PK'"
        )
    assert sum(int(row["blocked"]) for row in rows) == blocked
    assert 'href="data:text/csv' in page


def test_the_picture_alone_is_a_png(history: Path, tmp_path: Path) -> None:
    ran = monitor(*BEGINNING, "--out", tmp_path / "r.html", "--png", tmp_path / "r.png", cwd=history)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")
    assert (tmp_path / "r.png").read_bytes().startswith(b"\x89PNG\r\n")
    assert (tmp_path / "r.html").read_text().startswith("<!DOCTYPE html>")


def test_without_the_extra_png_ends_with_2_and_names_it(history: Path, tmp_path: Path) -> None:
    code = "import sys; sys.modules['resvg_py'] = None; from monitor.cli import main; main()"
    arguments = [*BEGINNING, "--png", str(tmp_path / "r.png")]
    ran = subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=history, capture_output=True, text=True, check=False, timeout=60
    )
    assert ran.returncode == 2
    assert 'pip install "access-monitor[report]"' in ran.stderr
    assert not (tmp_path / "r.png").exists()


def test_an_incident_and_a_platform_can_be_reported(history: Path) -> None:
    by_incident = reported(history, "report", "--incident", "x-pk-20240210")
    assert by_incident["incidents"][0]["id"] == "x-pk-20240210"
    assert "X was blocked on all 4 networks measured in Pakistan." in by_incident["sentences"][0]
    by_platform = reported(history, "report", "--platform", "wikipedia", "--since", "2024-02-05", "--until",
                           "2024-03-01", "--country", "pk")  # fmt: skip
    assert by_platform["sentences"][0] == (
        "No change of wikipedia was confirmed on any of the 4 networks measured in Pakistan between 5 February 2024 "
        "and 1 March 2024."
    ).replace("wikipedia", by_platform["name"])
    assert by_platform["incidents"] == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("no-such-event",), "There is no event 'no-such-event'; `monitor events list` names them."),
        (("--incident", "x-pk-1"), "There is no incident 'x-pk-1'; `monitor incidents` lists them."),
        (("--platform", "tiktok"), "tiktok was never measured."),
        (("--platform", "x"), "x is measured in DE, PK; name one with --country."),
        (("pk-pubg-2020",), "None of the platforms of this event is measured; name one with --platform."),
        (("pk-x-block-2024", "--since", "2025-01-01", "--until", "2024-01-01"), "The period ends before it begins."),
        ((), "name an EVENT, --platform or --incident"),
    ],
)
def test_what_is_not_there_is_said_and_ends_with_2(history: Path, arguments: tuple[str, ...], message: str) -> None:
    ran = monitor("report", *arguments, cwd=history)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert message in ran.stderr


def test_a_time_without_measurements_says_nothing_about_the_platform(history: Path) -> None:
    found = reported(history, "report", "pk-x-block-2024", "--since", "2024-06-01", "--until", "2024-07-01")
    assert found["sentences"] == [
        "X was not measured in Pakistan between 1 June 2024 and 1 July 2024; nothing can be said about it."
    ]
    assert all(one["line"]["relation"] == "not_measured" for one in found["comparisons"])


def test_text_is_for_a_message(history: Path) -> None:
    ran = monitor(*BEGINNING, "--format", "text", cwd=history)
    assert ran.stdout.startswith("SIMULATED: nobody measured this.\n\nX was blocked on all 4 networks")
    assert "began on PTCL, simulated (AS17557): between" in ran.stdout
    assert "evidence: measurements " in ran.stdout


def test_hostile_names_and_sources_stay_text(history: Path, tmp_path: Path) -> None:
    """An event file and a network with markup, a formula, a script link and letters that run the other way."""
    (tmp_path / "probes.yaml").write_text((history / "probes.yaml").read_text())
    (tmp_path / "events").mkdir()
    text = (tmp_path / "probes.yaml").read_text().replace("{builtin: pakistan}", "{builtin: [], files: [events]}")
    (tmp_path / "probes.yaml").write_text(text)
    (tmp_path / "events" / "bad.yaml").write_text(
        'id: bad\nkind: block\ntitle: "<script>alert(1)</script> پابندی"\ncountries: [PK]\nplatforms: [x]\n'
        'authorities: [{name: "<b>PTA</b>", role: orders}]\ntz: Asia/Karachi\n'
        'dates: [{phase: ordered, on: 2024-02-17, sources: [s], note: "<i>now</i>"}]\n'
        'sources: [{id: s, publisher: "\\"><img src=x>", kind: press, title: "t", url: "https://example.com/"}]\n'
    )
    with sqlite3.connect(history / "simulated.db") as source, sqlite3.connect(tmp_path / "simulated.db") as copy:
        source.backup(copy)
        copy.execute("UPDATE network SET name = '<script>alert(2)</script>' WHERE asn = 17557")
        copy.execute("UPDATE network SET name = '=HYPERLINK(1)' WHERE asn = 9541")
    ran = monitor("report", "bad", "--until", "2024-03-01", cwd=tmp_path)
    assert (ran.returncode, ran.stderr) == (0, "")
    needs = _Needs()
    needs.feed(ran.stdout)
    assert needs.tags.isdisjoint({"script", "img", "b", "i"})
    assert "پابندی" in ran.stdout
    assert "&lt;script&gt;alert(1)" in ran.stdout
    table = monitor("report", "bad", "--until", "2024-03-01", "--format", "csv", cwd=tmp_path).stdout
    assert ",'=HYPERLINK(1)," in table
    assert ",=HYPERLINK" not in table


def test_a_report_does_not_read_every_measurement(history: Path, tmp_path: Path) -> None:
    """With the measurements gone, as after retention, the counts and dates are the same."""
    (tmp_path / "probes.yaml").write_text((history / "probes.yaml").read_text())
    with sqlite3.connect(history / "simulated.db") as source, sqlite3.connect(tmp_path / "simulated.db") as copy:
        source.backup(copy)
        copy.execute("PRAGMA foreign_keys = ON")
        copy.execute("DELETE FROM measurement WHERE id NOT IN (SELECT measurement_id FROM incident_update)")
    before, after = reported(history, *BEGINNING), reported(tmp_path, *BEGINNING)
    for key in ("sentences", "incidents", "table", "comparisons"):
        assert after[key] == before[key]


def test_a_range_of_years_is_bounded(history: Path) -> None:
    found = reported(history, "report", "--platform", "x", "--country", "PK", "--since", "1990-01-01", "--until",
                     "2024-03-17")  # fmt: skip
    assert instant(found["until"]) - instant(found["since"]) <= timedelta(days=3 * 366 + 1)
    assert max(len(band["buckets"]) for band in found["table"]["bands"]) <= 800
    assert instant(found["written_at"]).tzinfo is not None
    assert instant(found["since"]) < datetime(2022, 1, 1, tzinfo=UTC)


@settings(max_examples=60)
@given(counts=st.dictionaries(st.sampled_from(list(Status)), st.integers(0, 60), min_size=1))
def test_a_column_is_full_wherever_something_was_measured(counts: dict[Status, int]) -> None:
    total = sum(counts.values())
    chart = Chart(
        since=START,
        until=START + timedelta(hours=1),
        width=timedelta(hours=1),
        bands=(
            Band(
                vantage="lahore",
                network=NetworkIdentity(asn=17557),
                name="AS17557",
                role=Role.TEST,
                buckets=(Bucket(start=START, runs=total, kept=total, counts=counts),),
            ),
        ),
    )
    drawn = picture(chart, (), Place(country="PK", name="Pakistan", zone="Asia/Karachi"), title="", name="c")
    ground, *columns = re.findall(r'y="([\d.]+)" width="[\d.]+" height="([\d.]+)" fill="(#\w+)"', drawn)[:8]
    parts = [float(height) for y, height, colour in columns if colour in STATUS_COLOURS.values() and height != "12"]
    assert ground[2] == NOT_MEASURED
    assert sum(parts) == pytest.approx(float(ground[1]) if total else 0.0, abs=0.3)
