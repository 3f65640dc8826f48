import csv
import io
import json
import os
import pty
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from monitor.store.schema import prepare
from tests.cli.test_check import SOUND, monitor
from tests.events.test_event_files import SOUND as EVENT
from tests.events.test_grafana import TOKEN, FakeGrafana

ADD = (
    "events", "add", "--id", "pk-x-2026", "--kind", "block", "--title", "X blocked: again", "--country", "PK",
    "--platform", "x", "--authority", "Ministry of Interior=orders", "--phase", "ordered", "--on", "2026-11-01",
    "--date", "observed=2026-11-01T22:00", "--tz", "Asia/Karachi", "--publisher", "Dawn", "--source-kind", "press",
    "--source-title", "X blocked", "--url", "https://www.dawn.com/news/1",
)  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a configuration that takes the built-in set of Pakistan and a folder of one's own."""
    (tmp_path / "probes.yaml").write_text(SOUND + "events: {builtin: pakistan, files: [events]}\n")
    (tmp_path / "events").mkdir()
    (tmp_path / "events" / "one.yaml").write_text(EVENT)
    return tmp_path


def test_events_are_listed_in_order_with_both_times(folder: Path) -> None:
    ran = monitor("events", "list", "--platform", "x", "--country", "PK", "--kind", "block", "--since", "2024-02-11",
                  cwd=folder)  # fmt: skip
    assert (ran.returncode, ran.stderr) == (0, "")
    [_, own, block] = ran.stdout.splitlines()
    assert block.startswith("2024-02-16 19:00  2024-02-17 00:00  2025-05-07 19:00")
    assert "pk-x-block-2024" in block
    assert "one " in own


def test_filters_and_json(folder: Path) -> None:
    ran = monitor("events", "list", "--json", "--tag", "seed", "--until", "2020-02-15", cwd=folder)
    ids = [json.loads(line)["id"] for line in ran.stdout.splitlines()]
    assert "pk-online-harm-rules-2020" in ids
    assert "pk-aic-letter-2020" in ids
    assert "pk-x-block-2024" not in ids
    assert "No event fits." in monitor("events", "list", "--country", "DE", cwd=folder).stdout


def test_the_built_in_events_need_no_configuration(tmp_path: Path) -> None:
    ran = monitor("events", "check", cwd=tmp_path)
    assert (ran.returncode, ran.stdout) == (0, "74 events are sound.\n")
    missing = monitor("events", "check", "-c", "nowhere.yaml", cwd=tmp_path)
    assert missing.returncode == 2
    assert missing.stderr.startswith("nowhere.yaml:1: cannot be read: No such file or directory; `monitor init`")


def test_everything_about_one_event_is_shown(folder: Path) -> None:
    text = monitor("events", "show", "pk-x-block-2024", cwd=folder).stdout
    for part in (
        "Confidence high: a court paper and a measurement.",
        "Effective: 17 February 2024 (day, Asia/Karachi). Lifted: 7 May 2025 (day, Asia/Karachi) (445 days).",
        "the ministry withdrew its notification, says PTA's counsel in the Sindh High Court (ARY News), withdrawn",
        "observed (opening): 19 February 2024",
        "004_379a60d083ef2e33.txt",
    ):
        assert part in text
    rules = monitor("events", "show", "pk-online-harm-rules-2020", cwd=folder).stdout
    assert "register@2020-04-30: register with the authorities, by 2020-04-30 19:00:00 UTC" in rules
    assert json.loads(monitor("events", "show", "one", "--json", cwd=folder).stdout)["id"] == "one"
    unknown = monitor("events", "show", "two", cwd=folder)
    assert (unknown.returncode, unknown.stdout) == (2, "")


def test_mistakes_are_told_by_both_checks(folder: Path) -> None:
    (folder / "events" / "one.yaml").write_text(EVENT.replace("[PK]", "[pk]"))
    (folder / "two.yaml").write_text(EVENT)
    both = monitor("events", "check", "two.yaml", cwd=folder)
    assert both.returncode == 2
    country = "must be two capital letters (ISO 3166-1 alpha-2) such as PK, not 'pk'"
    assert both.stderr.splitlines() == [
        f"{folder}/events/one.yaml:4: countries.0: {country}",
        "two.yaml:1: id: must be the name of the file, 'two'",
    ]
    plain = monitor("check", cwd=folder)
    assert (plain.returncode, len(plain.stderr.splitlines())) == (2, 1)
    answer = json.loads(monitor("check", "--json", cwd=folder).stdout)
    assert [one["line"] for one in answer["problems"]] == [4]


def test_oddities_are_warnings(folder: Path) -> None:
    (folder / "events" / "one.yaml").write_text(EVENT + "confidence: {level: high}\n")
    ran = monitor("events", "check", cwd=folder)
    assert ran.returncode == 0
    assert (
        "confidence.level: the rule says low (one publisher: Dawn); another level needs a why (warning)" in ran.stderr
    )


def test_the_check_of_the_configuration_counts_events(folder: Path) -> None:
    assert "regulatory events 59." in monitor("check", cwd=folder).stdout


def test_an_added_event_is_a_file_that_is_used(folder: Path) -> None:
    (folder / "data").mkdir()
    prepare(folder / "data" / "monitor.db")
    ran = monitor(*ADD, cwd=folder)
    assert (ran.returncode, ran.stderr) == (0, "")
    written = folder / "events" / "pk-x-2026.yaml"
    assert f"{written} is written." in ran.stdout
    event = yaml.safe_load(written.read_text())
    assert event["authorities"] == [{"name": "Ministry of Interior", "role": "orders"}]
    assert [one["phase"] for one in event["dates"]] == ["ordered", "observed"]
    assert "X blocked: again" in monitor("events", "show", "pk-x-2026", cwd=folder).stdout
    db = sqlite3.connect(folder / "data" / "monitor.db")
    assert db.execute("SELECT title FROM event WHERE id = 'pk-x-2026'").fetchall() == [("X blocked: again",)]
    db.close()


def test_a_file_that_exists_is_left_as_it_is(folder: Path) -> None:
    monitor(*ADD, cwd=folder)
    written = folder / "events" / "pk-x-2026.yaml"
    before = written.read_bytes()
    ran = monitor(*ADD, cwd=folder)
    assert (ran.returncode, ran.stderr) == (2, f"{written}:1: exists already and was left as it is\n")
    assert written.read_bytes() == before


def test_a_bad_event_is_never_written(folder: Path) -> None:
    bad = [{"2026-11-01": "yesterday", "x": "xx"}.get(word, word) for word in ADD]
    ran = monitor(*bad, cwd=folder)
    assert ran.returncode == 2
    assert f"{folder}/events/pk-x-2026.yaml" in ran.stderr
    assert "platforms.0.id: unknown platform 'xx'; did you mean 'x'?" in ran.stderr or "dates.0.on" in ran.stderr
    assert [path.name for path in (folder / "events").iterdir()] == ["one.yaml"]


@pytest.mark.parametrize("name", ["../pk-x-2026", "/tmp/pk-x-2026", "Pk_X"])  # noqa: S108 -- must not be written
def test_an_id_leads_to_no_other_folder(folder: Path, name: str) -> None:
    ran = monitor(*[name if word == "pk-x-2026" else word for word in ADD], cwd=folder)
    assert ran.returncode == 2
    assert "must be small letters and digits, joined by single hyphens" in ran.stderr
    assert not list(folder.rglob("*pk-x-2026*"))


def test_what_is_missing_is_named_where_there_is_nobody_to_ask(folder: Path) -> None:
    ran = monitor("events", "add", "--id", "a", "--kind", "block", cwd=folder)
    assert ran.returncode == 2
    assert "--title is missing, and there is nobody to ask" in ran.stderr


def test_at_a_terminal_what_is_missing_is_asked_for(folder: Path) -> None:
    answers = ("pk-x-asked", "ban", "block", "X blocked", "ordered", "2026-11-01", "Asia/Karachi", "Dawn", "press",
               "X blocked", "https://www.dawn.com/news/1")  # fmt: skip
    ours, theirs = pty.openpty()
    try:
        os.write(ours, "".join(f"{answer}\n" for answer in answers).encode())
        command = [sys.executable, "-m", "monitor", "events", "add", "--country", "PK"]
        ran = subprocess.run(command, cwd=folder, stdin=theirs, capture_output=True, text=True, check=False, timeout=60)
    finally:
        os.close(ours)
        os.close(theirs)
    assert ran.returncode == 0, ran.stderr
    assert "'ban' is not one of 'block'" in ran.stdout
    event = yaml.safe_load((folder / "events" / "pk-x-asked.yaml").read_text())
    assert (event["kind"], event["tz"], event["countries"]) == ("block", "Asia/Karachi", ["PK"])


def test_exports_have_their_form(folder: Path) -> None:
    wanted = ("--platform", "x", "--country", "PK", "--kind", "block", "--since", "2024-02-11")
    found = json.loads(monitor("events", "export", *wanted, cwd=folder).stdout)["events"]
    assert [one["id"] for one in found] == ["one", "pk-x-block-2024"]
    rows = list(csv.DictReader(io.StringIO(monitor("events", "export", "--format", "csv", *wanted, cwd=folder).stdout)))
    assert [row["id"] for row in rows] == ["one", "pk-x-block-2024"]
    assert monitor("events", "export", "--format", "ics", *wanted, cwd=folder).stdout.startswith("BEGIN:VCALENDAR\n")
    assert "<feed" in monitor("events", "export", "--format", "atom", *wanted, cwd=folder).stdout
    history = monitor("events", "export", "--format", "openmetrics", *wanted, cwd=folder).stdout.splitlines()
    assert history[-1] == "# EOF"
    active = [line for line in history if line.startswith('access_event_active{event="pk-x-block-2024"')]
    assert len(active) == 446 * 24 + 1
    assert active[-1].endswith(" 0 1746644400")


def test_grafana_is_brought_in_step(folder: Path) -> None:
    (folder / "token").write_text(f"{TOKEN}\n")
    fake = FakeGrafana()
    with fake.serving() as url:
        push = ("events", "push-grafana", "--url", url, "--token-file", "token", "--platform", "x", "--kind", "block",
                "--country", "PK")  # fmt: skip
        dry = monitor(*push, "--dry-run", cwd=folder)
        assert fake.annotations == {}
        first, second = monitor(*push, cwd=folder), monitor(*push, cwd=folder)
    assert "would be created" in dry.stdout
    assert first.stdout.endswith("0 updated, 0 deleted, 0 unchanged.\n")
    assert second.stdout.startswith("0 created, 0 updated, 0 deleted, ")
    assert any("event:pk-x-block-2024" in one["tags"] for one in fake.annotations.values())
    assert TOKEN not in dry.stdout + first.stdout + second.stdout


def test_a_grafana_that_refuses_is_told_without_the_token(folder: Path) -> None:
    (folder / "token").write_text("another-token\n")
    with FakeGrafana().serving() as url:
        ran = monitor("events", "push-grafana", "--url", url, "--token-file", "token", cwd=folder)
    assert ran.returncode == 2
    assert "the token is not known there" in ran.stderr
    assert "another-token" not in ran.stdout + ran.stderr


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("http://grafana.example.org", "plain http shows the token to others"),
        ("grafana.example.org", "must be a web address"),
        ("https://user:password@grafana.example.org", "without a password"),
    ],
)
def test_a_token_is_not_shown_on_the_way(folder: Path, url: str, message: str) -> None:
    (folder / "token").write_text(TOKEN)
    ran = monitor("events", "push-grafana", "--url", url, "--token-file", "token", cwd=folder)
    assert ran.returncode == 2
    assert message in ran.stderr
