"""Which fingerprints a response or an answer shows.

Thousands of rows are looked for at once: RE2 reads the text a single time. Whole values and beginnings are compared as
they are.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from monitor.model.fingerprint import Fingerprint
from monitor.model.pattern import PatternSet, literal

Rows = tuple[Fingerprint, ...]

_ROWS_AT_A_TIME: Final = 1000
_MATCHERS_AT_MOST: Final = 8


class _Place:
    """The rows of one location."""

    def __init__(self, rows: Sequence[tuple[int, Fingerprint]]) -> None:
        self._full: dict[bytes, list[int]] = {}
        self._prefixes: list[tuple[bytes, int]] = []
        within: list[tuple[str, int]] = []
        for number, row in rows:
            match row.type:
                case "full":
                    self._full.setdefault(row.pattern.encode(), []).append(number)
                case "prefix":
                    self._prefixes.append((row.pattern.encode(), number))
                case "contains":
                    within.append((literal(row.pattern), number))
                case _:
                    within.append((row.pattern, number))
        self._sets = [
            one for start in range(0, len(within), _ROWS_AT_A_TIME) for one in _sets(within[start:][:_ROWS_AT_A_TIME])
        ]

    def shown_by(self, text: bytes) -> Iterator[int]:
        """Yield the numbers of the rows that `text` shows."""
        yield from self._full.get(text, ())
        yield from (number for prefix, number in self._prefixes if text.startswith(prefix))
        for patterns, numbers in self._sets:
            yield from (numbers[position] for position in patterns.found_in(text))


def _sets(rows: Sequence[tuple[str, int]]) -> Iterator[tuple[PatternSet, list[int]]]:
    """Yield sets for the patterns; those that are too large together are taken apart, and what is none is left out."""
    try:
        yield PatternSet([pattern for pattern, _ in rows]), [number for _, number in rows]
    except ValueError:
        if len(rows) > 1:
            half = len(rows) // 2
            yield from _sets(rows[:half])
            yield from _sets(rows[half:])


class _Matcher:
    """Rows made ready to be looked for."""

    def __init__(self, rows: Rows) -> None:
        self.rows = rows
        places: dict[str, list[tuple[int, Fingerprint]]] = {}
        for number, row in enumerate(rows):
            places.setdefault(row.location, []).append((number, row))
        self._places = {location: _Place(its) for location, its in places.items()}

    def shown_by(self, texts: Mapping[str, bytes]) -> Rows:
        found = {
            number
            for location, text in texts.items()
            if location in self._places
            for number in self._places[location].shown_by(text)
        }
        return tuple(self.rows[number] for number in sorted(found))


# By identity: to hash thousands of rows would cost more than to look for them. The rows are held, so an identity is
# never given out twice.
_matchers: dict[int, _Matcher] = {}


def _matcher(rows: Rows) -> _Matcher:
    known = _matchers.get(id(rows))
    if known is None:
        while len(_matchers) >= _MATCHERS_AT_MOST:
            _matchers.pop(next(iter(_matchers)), None)
        known = _matchers[id(rows)] = _Matcher(rows)
    return known


def make_ready(rows: Rows) -> None:
    """Prepare for `shown`, which else costs the first page some 100 ms for thousands of rows."""
    _matcher(rows)


def shown(rows: Rows, texts: Mapping[str, bytes]) -> Rows:
    """Return the fingerprints that `texts` (by location) show, vetoes too, in the order of `rows`.

    A row whose pattern is no regular expression is never shown.
    """
    return _matcher(rows).shown_by(texts)


def unvetoed(found: Rows) -> Rows:
    """Return what was shown, or nothing at all if a veto is among it."""
    return () if any(row.scope == "fp" for row in found) else found
