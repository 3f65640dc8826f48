from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner, Result

from monitor.cli import main

HEADER = (
    "name,scope,other_names,location_found,pattern_type,pattern,"
    "confidence_no_fp,expected_countries,source,exp_url,notes\n"
)
SOUND = HEADER + "ooni.pk_9,isp,,body,contains,closed by order,5,PK,ooni,,\n"
CONFIGURATION = """\
vantages:
  here: {kind: direct}
platforms:
  x:
    targets:
      x-home: https://x.com/
fingerprints:
  files: [lists.jsonl]
"""


@pytest.fixture(name="folder", autouse=True)
def folder_with_lists(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "http.csv").write_text(SOUND)
    (tmp_path / "probes.yaml").write_text(CONFIGURATION)
    return tmp_path


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["fingerprints", *arguments])


def imported(*arguments: str) -> Result:
    return run("import", *arguments, "--layout", "ooni-csv", "--out", "lists.jsonl")


def test_an_imported_list_is_used_listed_and_sound(folder: Path) -> None:
    (folder / "fp.csv").write_text(HEADER + "cp.fp_1,,,body,contains,Welcome to nginx,5,,,,\n")
    done = imported("http.csv", "--false-positives", "fp.csv", "--version", "2026-11")
    assert (done.exit_code, done.stderr) == (0, "")
    assert "lists.jsonl: 2 rows, 1 of them vetoes; 0 left out." in done.stdout
    assert "files: [lists.jsonl]" in done.stdout
    listed = run("list", "--json")
    rows = {row["id"]: row for row in map(msgspec.json.decode, listed.stdout.splitlines())}
    assert rows["ooni.pk_9"]["countries"] == ["PK"]
    assert rows["cp.fp_1"]["scope"] == "fp"
    assert "cp.c_isp_pk_witribe" in rows
    checked = run("check")
    assert checked.exit_code == 0
    assert "22 fingerprints, 11 of them vetoes" in checked.stdout
    assert "lists.jsonl 2026-11 (2)" in checked.stdout
    assert "closed by order" in run("list").stdout


def test_the_same_lists_give_the_same_file(folder: Path) -> None:
    assert imported("http.csv").exit_code == 0
    first = (folder / "lists.jsonl").read_bytes()
    assert imported("http.csv").exit_code == 0
    assert (folder / "lists.jsonl").read_bytes() == first


def test_a_bad_row_is_named_and_nothing_is_written(folder: Path) -> None:
    (folder / "http.csv").write_text(SOUND + "ooni.pk_8,isp,,body,regexp,a(?=b),5,PK,ooni,,\n")
    done = imported("http.csv")
    assert done.exit_code == 2
    assert done.stderr == "http.csv:3: pattern: is no regular expression as RE2 knows them\n"
    assert not (folder / "lists.jsonl").exists()


def test_bad_rows_can_be_left_out_by_name(folder: Path) -> None:
    (folder / "http.csv").write_text(SOUND + "ooni.pk_8,isp,,body,regexp,a(?=b),5,PK,ooni,,\n")
    done = imported("http.csv", "--skip-bad")
    assert done.exit_code == 0
    assert done.stderr.startswith("left out: http.csv:3: pattern")
    assert "1 rows, 0 of them vetoes; 1 left out." in done.stdout


def test_a_file_that_holds_something_else_is_not_replaced(folder: Path) -> None:
    (folder / "lists.jsonl").write_text("my notes\n")
    done = imported("http.csv")
    assert done.exit_code == 2
    assert "left as it is" in done.stderr
    assert (folder / "lists.jsonl").read_text() == "my notes\n"


def test_an_absent_or_binary_list_is_told_with_its_name(folder: Path) -> None:
    (folder / "binary").write_bytes(bytes(range(256)) * 50)
    for name in ("absent.csv", "binary"):
        done = imported(name)
        assert done.exit_code == 2
        assert done.stderr.startswith(f"{name}:1: ")
        assert done.stderr.strip().isprintable()


def test_a_list_without_rows_makes_no_file(folder: Path) -> None:
    (folder / "http.csv").write_text(HEADER)
    assert imported("http.csv").exit_code == 2
    assert not (folder / "lists.jsonl").exists()


def test_nothing_to_import_is_a_mistake_of_usage() -> None:
    assert imported().exit_code == 2


def test_check_names_every_bad_row_of_every_file(folder: Path) -> None:
    row = '{"id": "a", "location": "body", "type": "contains", "pattern": "no entry", "scope": "everywhere"}\n'
    for name in ("one.jsonl", "two.jsonl"):
        (folder / name).write_text('{"format": 1, "version": "1"}\n' + row)
    done = run("check", "one.jsonl", "two.jsonl")
    assert done.exit_code == 2
    assert [line.split(" ")[0] for line in done.stderr.splitlines()] == ["one.jsonl:2:", "two.jsonl:2:"]


def test_a_bad_file_in_the_configuration_is_a_mistake_of_the_configuration(folder: Path) -> None:
    (folder / "lists.jsonl").write_text("nonsense\n")
    done = CliRunner().invoke(main, ["check"])
    assert done.exit_code == 2
    assert done.stderr.startswith(f"{folder}/lists.jsonl:1: the first line must be")


def test_control_characters_of_a_list_reach_no_terminal(folder: Path) -> None:
    (folder / "http.csv").write_text(SOUND.replace("closed by order", "closed \x1b[2J by order"))
    assert imported("http.csv").exit_code == 0
    assert "\x1b" not in run("list").stdout
