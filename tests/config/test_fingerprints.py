import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.config.fingerprints import Heading, fingerprints_of, read_fingerprints, shipped, written
from monitor.config.problem import ConfigError
from monitor.config.schema import FingerprintConfig
from monitor.model.fingerprint import Fingerprint

HEADING = '{"format": 1, "version": "7"}\n'
GOOD = '{"id": "a", "location": "body", "type": "contains", "pattern": "no entry", "scope": "isp"}\n'


def problems(path: Path, content: str | bytes) -> list[str]:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ConfigError) as refused:
        read_fingerprints(path)
    return [str(problem).removeprefix(f"{path}:") for problem in refused.value.problems]


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "all.jsonl"
    path.write_bytes(written(Heading(format=1, version="7"), shipped()[1]))
    source, rows = read_fingerprints(path)
    assert rows == shipped()[1]
    assert (source.name, source.version, source.rows) == ("all.jsonl", "7", len(rows))


def test_files_come_after_the_shipped_rows_and_may_correct_them(tmp_path: Path) -> None:
    path = tmp_path / "mine.jsonl"
    path.write_text(HEADING + GOOD.replace('"a"', '"ooni.pk_1"').replace("isp", "vbw") + GOOD)
    both = fingerprints_of(FingerprintConfig(files=(path,)))
    assert next(row for row in both.rows if row.id == "ooni.pk_1").scope == "vbw"
    assert [one.name for one in both.sources] == ["shipped", "mine.jsonl"]
    alone = fingerprints_of(FingerprintConfig(shipped=False, files=(path,)))
    assert [row.id for row in alone.rows] == ["ooni.pk_1", "a"]
    assert fingerprints_of(FingerprintConfig(shipped=False)).rows == ()
    assert both.digest() != alone.digest()


def test_every_bad_row_is_told_at_once_with_its_line(tmp_path: Path) -> None:
    rows = [
        GOOD,
        "{",
        GOOD.replace('"a"', '"b"').replace("contains", "glob"),
        "",
        GOOD.replace('"a"', '"c"').replace("contains", "regexp").replace("no entry", "(?=x)y"),
        GOOD.replace('"a"', '"d"').replace("contains", "regexp").replace("no entry", "x*"),
        GOOD.replace('"a"', '"e"').replace("isp", "global"),
        GOOD.replace('"a"', '"f"').replace('"body"', '"header.Server"'),
        GOOD.replace('"a"', '"g"').replace("}", ', "countries": ["pk"]}'),
        GOOD,
        GOOD.replace('"a"', '"h"').replace("no entry", "no"),
        GOOD.replace('"a"', '"i"').replace("pattern", "patern"),
        GOOD.replace('"a"', '"j"').replace('"body"', '"dns"'),
    ]
    told = problems(tmp_path / "bad.jsonl", HEADING + "\n".join(row.strip() for row in rows) + "\n")
    assert [line.split(":")[0] for line in told] == ["3", "4", "6", "7", "8", "9", "10", "11", "12", "13", "14"]
    assert told[0] == "3: is no JSON object"
    assert told[2] == "6: pattern: is no regular expression as RE2 knows them"
    assert told[7] == "11: id: stands in line 2 already"
    assert "patern" in told[9]


@pytest.mark.parametrize(
    "content", ["", "{}\n", GOOD, '{"format": 2, "version": "1"}\n', "x" * 100_000, b"\x00\xff" * 99]
)
def test_a_file_that_is_something_else_is_refused_by_its_first_line(tmp_path: Path, content: str | bytes) -> None:
    (told,) = problems(tmp_path / "bad", content)
    assert told.startswith("1: ")
    assert told.isprintable()


def test_broken_text_is_told_where_it_stands(tmp_path: Path) -> None:
    told = problems(tmp_path / "bad", (HEADING + GOOD).encode().replace(b"no entry", b"no\xff entry"))
    assert told == ["2: is no JSON object"]


def test_thousands_of_mistakes_end_in_a_number(tmp_path: Path) -> None:
    told = problems(tmp_path / "bad", HEADING + "[]\n" * 5000)
    assert len(told) == 101
    assert told[-1] == "101: and 4900 more mistakes below"


def test_what_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for name in ("pipe", "absent", "."):
        with pytest.raises(ConfigError):
            read_fingerprints(tmp_path / name)


def test_a_catastrophic_expression_takes_no_longer_than_another(tmp_path: Path) -> None:
    path = tmp_path / "slow.jsonl"
    slow = Fingerprint(id="slow", location="body", type="regexp", pattern="(x+x+)+y", scope="isp")
    path.write_bytes(written(Heading(format=1, version="7"), [slow]))
    assert read_fingerprints(path)[1] == (slow,)


@given(st.binary(max_size=200), st.sampled_from(["", HEADING]))
def test_no_content_raises_anything_but_problems(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, heading: str
) -> None:
    path = tmp_path_factory.getbasetemp() / "any"
    path.write_bytes(heading.encode() + content)
    told: tuple[object, ...] = ()
    try:
        read_fingerprints(path)
    except ConfigError as error:
        told = error.problems
    assert all(str(problem).isprintable() for problem in told)
