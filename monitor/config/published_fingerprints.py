"""Published lists of fingerprints → rows of ours. Users fetch the lists themselves; their licences differ.

- `ooni-csv`: fingerprints_http.csv and fingerprints_dns.csv of OONI's blocking-fingerprints.
- `censoredplanet-jsonl`: blockpage_signatures.json and false_positive_signatures.json of Censored Planet.
"""

import csv
import io
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Final, NamedTuple

import msgspec

from monitor.config.fingerprints import problems_of
from monitor.config.problem import Problem
from monitor.model.fingerprint import Fingerprint

_NEEDED: Final = ("name", "scope", "location_found", "pattern_type", "pattern")
_METACHARACTERS: Final = frozenset(".^$*+?{}[]|()")
_CLASS: Final = re.compile(r"(?:[a-z]_)?(nat|isp|prod|corp|unk|gen)_", re.ASCII)
# What the names of Censored Planet say, in OONI's words. `unk`: nobody knows whose page it is.
_SCOPE_OF: Final = {"nat": "nat", "isp": "isp", "prod": "prod", "corp": "inst", "unk": "", "gen": "vbw"}
_HEADERS: Final = {"Location: ": "header.location", "Server: ": "header.server"}
_OONI: Final = "OONI, blocking-fingerprints"
_CENSORED_PLANET: Final = "Censored Planet, signatures (BSD-3-Clause)"


class PublishedFile(NamedTuple):
    """A list as it was fetched; all rows of a list of false positives are vetoes."""

    name: str
    content: bytes
    is_false_positives: bool = False


class Imported(NamedTuple):
    """What lists became: rows that can be used, and what is wrong with the others."""

    rows: tuple[Fingerprint, ...]
    problems: tuple[Problem, ...]


class _Signature(msgspec.Struct):
    fingerprint: str
    pattern: str


def imported(layout: str, lists: tuple[PublishedFile, ...]) -> Imported:
    """Return the rows of all lists; what stands twice is taken once, and an id used for two patterns is numbered."""
    rows: dict[str, Fingerprint] = {}
    problems: list[Problem] = []
    for one in lists:
        for line, found in LAYOUTS[layout](one):
            if isinstance(found, str):
                problems.append(Problem(one.name, line, "", found))
            elif wrong := list(problems_of(found, one.name, line, {})):
                problems += wrong
            else:
                row = _named_apart(found, rows)
                rows.setdefault(row.id, row)
    return Imported(tuple(rows.values()), tuple(problems))


def _named_apart(row: Fingerprint, known: Mapping[str, Fingerprint]) -> Fingerprint:
    stem, number = row.id, 2
    while row.id in known and known[row.id] != row:
        row = msgspec.structs.replace(row, id=f"{stem}~{number}")
        number += 1
    return row


def _ooni(one: PublishedFile) -> Iterator[tuple[int, Fingerprint | str]]:
    """Yield (line, row or what is wrong with it); spaces around a word are dropped, those of a pattern belong to it."""
    reader = csv.reader(io.StringIO(one.content.decode("utf-8-sig", "surrogateescape"), newline=""), strict=True)
    line = 1
    try:
        header = [name.strip().lower() for name in next(reader, [])]
        if missing := [name for name in _NEEDED if name not in header]:
            yield 1, f"the first line must name the columns; missing: {', '.join(missing)}"
            return
        while True:
            line = reader.line_num + 1
            cells = next(reader, None)
            if cells is None:
                return
            if not any(cells):
                continue
            if len(cells) != len(header):
                yield line, f"has {len(cells)} columns, the first line {len(header)}"
            elif any(map(_is_broken, cells)):
                yield line, "is not UTF-8"
            else:
                yield line, _ooni_row(dict(zip(header, cells, strict=True)), is_veto=one.is_false_positives)
    except csv.Error as error:
        yield line, f"is not CSV, and nothing below it was read: {error}"


def _ooni_row(cells: dict[str, str], *, is_veto: bool) -> Fingerprint:
    word = {name: cell.strip() for name, cell in cells.items()}
    location = word["location_found"].lower()
    countries = (country.strip().upper() for country in word.get("expected_countries", "").split(","))
    return Fingerprint(
        id=word["name"],
        location=location,
        type=word["pattern_type"].lower(),
        pattern=word["pattern"].removesuffix(".").lower() if location == "dns" else cells["pattern"],
        scope="fp" if is_veto else word["scope"].lower(),
        countries=tuple(dict.fromkeys(filter(None, countries))),
        source=_OONI,
        note=word.get("notes", ""),
    )


def _is_broken(text: str) -> bool:
    return any("\udc80" <= each <= "\udcff" for each in text)


def _censored_planet(one: PublishedFile) -> Iterator[tuple[int, Fingerprint | str]]:
    """Yield (line, row or what is wrong with it); a pattern that is an address may stand in page and Location."""
    for line, text in enumerate(one.content.removeprefix(b"\xef\xbb\xbf").split(b"\n"), 1):
        if not text.strip():
            continue
        try:
            signature = msgspec.json.decode(text, type=_Signature)
        except (msgspec.DecodeError, UnicodeDecodeError):
            yield line, 'must be {"fingerprint": TEXT, "pattern": TEXT}'
            continue
        for row in _signature_rows(signature, is_veto=one.is_false_positives):
            yield line, row


def _signature_rows(signature: _Signature, *, is_veto: bool) -> Iterator[Fingerprint]:
    name, pattern = signature.fingerprint.strip(), signature.pattern
    is_veto = is_veto or name.startswith("x_")
    kind = _CLASS.match(name)
    scope = "fp" if is_veto else _SCOPE_OF[kind[1]] if kind else ""
    stem = f"cp.{'fp_' if is_veto else ''}{name}"

    def row(location: str, wanted: str, suffix: str = "") -> Fingerprint:
        plain = _plain(wanted)
        is_header = location != "body"
        if plain is not None:
            type_, text = ("prefix" if is_header else "contains"), plain
        else:
            type_, text = "regexp", f"^(?:{wanted})" if is_header else wanted
        return Fingerprint(
            id=stem + suffix, location=location, type=type_, pattern=text, scope=scope, source=_CENSORED_PLANET
        )

    for start, location in _HEADERS.items():
        if pattern.startswith(start):
            yield row(location, pattern.removeprefix(start))
            return
    if pattern.startswith(("http://", "https://")):
        yield row("body", pattern, "_body")
        yield row("header.location", pattern, "_location")
    else:
        yield row("body", pattern)


def _plain(pattern: str) -> str | None:
    """Return the one text that a regular expression matches, None if it matches several."""
    text, characters = [], iter(pattern)
    for each in characters:
        if each in _METACHARACTERS:
            return None
        if each == "\\":
            escaped = next(characters, "")
            if not escaped or escaped.isalnum():
                return None
            text.append(escaped)
        else:
            text.append(each)
    return "".join(text)


LAYOUTS: Final[Mapping[str, Callable[[PublishedFile], Iterator[tuple[int, Fingerprint | str]]]]] = {
    "censoredplanet-jsonl": _censored_planet,
    "ooni-csv": _ooni,
}
