"""Files of fingerprints: one JSON object a line, the first of which says what the file is."""

from collections.abc import Iterator, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Final

import msgspec

from monitor.config.problem import ConfigError, Problem
from monitor.config.refusal import read_bounded
from monitor.config.schema import FingerprintConfig
from monitor.model.fingerprint import Fingerprint, FingerprintSet, FingerprintSource, faults, merged

FILE_BYTES_AT_MOST: Final = 32 << 20
ROWS_AT_MOST: Final = 50_000
PROBLEMS_AT_MOST: Final = 100  # told of one file; one that has more is another kind of file
SHIPPED: Final = "shipped"


class Heading(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """The first line of a file."""

    format: int
    version: str  # as whoever keeps the file numbers or dates it
    title: str = ""


_heading: Final = msgspec.json.Decoder(Heading)
_row: Final = msgspec.json.Decoder(Fingerprint)


def fingerprints_of(config: FingerprintConfig) -> FingerprintSet:
    """Return the fingerprints to use: the shipped ones and each file's, of equal ids the later row.

    Raises ConfigError with everything that is wrong with the files, each with its line.
    """
    parts: list[tuple[FingerprintSource, Sequence[Fingerprint]]] = [shipped()] if config.shipped else []
    problems: list[Problem] = []
    for path in config.files:
        try:
            parts.append(read_fingerprints(path))
        except ConfigError as error:
            problems += error.problems
    if problems:
        raise ConfigError(tuple(problems))
    return merged(parts)


def shipped() -> tuple[FingerprintSource, tuple[Fingerprint, ...]]:
    """Return the fingerprints that come with the program."""
    return _parsed(files("monitor.config").joinpath("fingerprints.jsonl").read_bytes(), SHIPPED, SHIPPED)


def read_fingerprints(path: Path) -> tuple[FingerprintSource, tuple[Fingerprint, ...]]:
    """Return a file's rows; raises ConfigError with all that is wrong in it."""
    return _parsed(bounded_content(path), str(path), path.name)


def bounded_content(path: Path) -> bytes:
    """Return what a file holds; raises ConfigError if it cannot be read or is too large."""
    if not path.is_file():  # a pipe would wait for ever
        raise ConfigError((Problem(str(path), 1, "", "is no file"),))
    return read_bounded(path, FILE_BYTES_AT_MOST)


def written(heading: Heading, rows: Sequence[Fingerprint]) -> bytes:
    """Return the content of a file, as `read_fingerprints` reads it."""
    return b"".join(msgspec.json.encode(one) + b"\n" for one in (heading, *rows))


def is_ours(path: Path) -> bool:
    """Tell whether a file begins as `written` begins one."""
    with path.open("rb") as file:
        return file.read(12) == b'{"format":1,'


def problems_of(row: Fingerprint, file: str, line: int, lines: dict[str, int]) -> Iterator[Problem]:
    """Yield what is wrong with a row; `lines` holds where each id stands, and takes in this one."""
    found = [Problem(file, line, key, message) for key, message in faults(row)]
    yield from found
    if row.id in lines:
        yield Problem(file, line, "id", f"stands in line {lines[row.id]} already")
    lines.setdefault(row.id, line)


def refuse(problems: Sequence[Problem]) -> None:
    """Raise ConfigError if there are problems, with the first hundred of them."""
    if problems:
        told = tuple(problems[:PROBLEMS_AT_MOST])
        if left := len(problems) - len(told):
            last = told[-1]
            told += (Problem(last.file, last.line, "", f"and {left} more mistakes below"),)
        raise ConfigError(told)


def _parsed(content: bytes, file: str, name: str) -> tuple[FingerprintSource, tuple[Fingerprint, ...]]:
    lines = content.split(b"\n", ROWS_AT_MOST + 2)
    if len(lines) > ROWS_AT_MOST + 2:
        raise ConfigError((Problem(file, ROWS_AT_MOST + 2, "", f"holds more than {ROWS_AT_MOST} rows"),))
    try:
        heading = _heading.decode(lines[0])
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        reason = 'must be {"format": 1, "version": …}, as `monitor fingerprints import` writes it'
        raise ConfigError((Problem(file, 1, "", f"the first line {reason}"),)) from error
    if heading.format != 1:
        raise ConfigError((Problem(file, 1, "format", "must be 1: this program knows no other"),))
    rows: list[Fingerprint] = []
    problems: list[Problem] = []
    seen: dict[str, int] = {}
    for number, line in enumerate(lines[1:], 2):
        if not line.strip():
            continue
        try:
            row = _row.decode(line)
        except msgspec.ValidationError as error:
            problems.append(Problem(file, number, "", _plain(error)))
        except (msgspec.DecodeError, UnicodeDecodeError):
            problems.append(Problem(file, number, "", "is no JSON object"))
        else:
            problems += problems_of(row, file, number, seen)
            rows.append(row)
    refuse(problems)
    return FingerprintSource(name=name, version=heading.version, rows=len(rows)), tuple(rows)


def _plain(error: msgspec.ValidationError) -> str:
    """Return msgspec's own words, which quote at most an unknown key, without what a terminal would act on."""
    return "".join(each if each.isprintable() else "?" for each in str(error)[:200])
