"""Names that mean the same: an instrument is spelled in as many ways as there are papers about it."""

from collections.abc import Iterable, Mapping
from typing import Final
from unicodedata import normalize

import msgspec

_LONGEST: Final = 300


class KnownInstrument(msgspec.Struct, frozen=True, kw_only=True):
    """The canonical name of a legal text, other spellings, and how it is cited."""

    name: str
    aliases: tuple[str, ...] = ()
    cite: str | None = None


class KnownPlatform(msgspec.Struct, frozen=True, kw_only=True):
    """A platform that events may name though nobody measures it."""

    id: str
    name: str
    domains: tuple[str, ...] = ()


def spelled(name: str) -> str:
    """Return a name without what spellings differ in: case, punctuation, apostrophes, accents, spaces."""
    plain = normalize("NFKD", name[:_LONGEST]).casefold()
    return " ".join("".join(one if one.isalnum() else " " for one in plain if one not in "'\u2019\u02bc").split())


def aliases(instruments: Iterable[KnownInstrument]) -> Mapping[str, KnownInstrument]:
    """Return the table from every spelling to the instrument; raises ValueError if one spelling means two."""
    table: dict[str, KnownInstrument] = {}
    for one in instruments:
        for name in (one.name, *one.aliases):
            if table.setdefault(spelled(name), one) is not one:
                raise ValueError(f"{name!r} means both {table[spelled(name)].name!r} and {one.name!r}")
    return table
