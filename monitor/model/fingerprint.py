"""Fingerprints: what is known of block pages and block addresses, as data."""

import re
from collections.abc import Iterable, Iterator, Sequence
from hashlib import sha256
from typing import Final

import msgspec

from monitor.model.address import is_address
from monitor.model.pattern import is_found

CONFIRMING_SCOPES: Final = frozenset({"nat", "isp"})
SCOPES: Final = ("nat", "isp", "prod", "inst", "vbw", "fp", "")
TYPES: Final = ("full", "prefix", "contains", "regexp")
_LONGEST_ID: Final = 200
_LONGEST_PATTERN: Final = 4000
# Fewer bytes than these stand in too many honest pages.
_SHORTEST_FRAGMENT: Final = 4
_LOCATION: Final = re.compile(r"body|dns|header\.[a-z0-9!#$%&'*+.^_`|~-]{1,100}", re.ASCII)
_COUNTRY: Final = re.compile(r"[A-Z]{2}", re.ASCII)


class Fingerprint(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """One signature, in the columns of OONI's list.

    `location` is body, dns (an address, or a name that the answer leads through) or header.NAME in small letters;
    `type` is full, prefix, contains or regexp (RE2, dot matches newline). `scope`: nat (the country's page), isp (a
    provider's), prod (a filtering product's), inst (a school's or office's), vbw (vague wording, never confirms), fp (a
    false positive: it vetoes), or empty if nobody knows.
    """

    id: str
    location: str
    type: str
    pattern: str
    scope: str = ""
    countries: tuple[str, ...] = ()  # expected ones, ISO 3166-1 alpha-2; empty says nothing
    source: str = ""
    note: str = ""

    def confirms(self, country: str | None) -> bool:
        """Tell whether a hit settles it in `country`; otherwise it only spoils "same page as at the control"."""
        return self.scope in CONFIRMING_SCOPES or (self.scope not in {"vbw", "fp"} and country in self.countries)


class FingerprintSource(msgspec.Struct, frozen=True, kw_only=True):
    """A file that rows came from: its name without folder, and the version that it gives itself."""

    name: str
    version: str
    rows: int


class FingerprintSet(msgspec.Struct, frozen=True, kw_only=True):
    """The fingerprints in use, with no id twice, and where they came from."""

    rows: tuple[Fingerprint, ...] = ()
    sources: tuple[FingerprintSource, ...] = ()

    def digest(self) -> str:
        """Return the SHA-256 (hex) of the rows as `content` gives them."""
        return sha256(self.content()).hexdigest()

    def content(self) -> bytes:
        """Return the rows as JSON, always the same bytes for the same rows."""
        return msgspec.json.encode(self.rows, order="deterministic")


def merged(parts: Iterable[tuple[FingerprintSource, Sequence[Fingerprint]]]) -> FingerprintSet:
    """Return one set of several files' rows; a later file's row takes the place of an earlier one with its id."""
    rows: dict[str, Fingerprint] = {}
    sources = []
    for source, its in parts:
        sources.append(source)
        rows.update((row.id, row) for row in its)
    return FingerprintSet(rows=tuple(rows.values()), sources=tuple(sources))


def faults(row: Fingerprint) -> Iterator[tuple[str, str]]:
    """Yield (key, what is wrong) for all that keeps a row from being used; nothing of the row is in the words."""
    if not 0 < len(row.id) <= _LONGEST_ID or not row.id.isprintable():
        yield "id", f"must be 1 to {_LONGEST_ID} printable characters"
    if not _LOCATION.fullmatch(row.location):
        yield "location", "must be body, dns or header.NAME in small letters"
    if row.scope not in SCOPES:
        yield "scope", f"must be {', '.join(filter(None, SCOPES))} or empty"
    if not all(map(_COUNTRY.fullmatch, row.countries)):
        yield "countries", "must be two capital letters each (ISO 3166-1 alpha-2) such as PK"
    if row.type not in TYPES:
        yield "type", f"must be {', '.join(TYPES)}"
    elif reason := _pattern_fault(row):
        yield "pattern", reason


def _pattern_fault(row: Fingerprint) -> str:
    pattern = row.pattern.encode(errors="replace")
    if not 0 < len(row.pattern) <= _LONGEST_PATTERN:
        return f"must be 1 to {_LONGEST_PATTERN} characters"
    if row.location == "dns" and (row.type != "full" or not (is_address(row.pattern) or "." in row.pattern)):
        return "must be a whole address or host name, of type full"
    if row.type in {"prefix", "contains"} and len(pattern) < _SHORTEST_FRAGMENT:
        return f"is shorter than {_SHORTEST_FRAGMENT} bytes, which stand in too many honest pages"
    try:
        if row.type == "regexp" and is_found(row.pattern, b""):
            return "matches the empty page, and so every page"
    except ValueError:
        return "is no regular expression as RE2 knows them"
    return ""
