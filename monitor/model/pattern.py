"""Regular expressions over what strangers send: RE2, whose time is linear in the text whatever the pattern."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Final

import re2  # type: ignore[import-untyped]  # ships no types

_SET_BYTES: Final = 64 << 20  # of automaton at most, made as texts need it


def _options() -> re2.Options:
    options = re2.Options()
    options.encoding = re2.Options.Encoding.LATIN1  # byte by byte, so that no text is malformed
    options.log_errors = False
    return options


_OPTIONS: Final = _options()


@lru_cache(maxsize=4096)
def _compiled(pattern: str) -> re2._Regexp:
    return re2.compile(pattern.encode(), _OPTIONS)


def is_found(pattern: str, text: bytes) -> bool:
    """Tell whether `pattern` (RE2 syntax, read as UTF-8 bytes) matches anywhere in `text`; ValueError if it is none."""
    try:
        return _compiled(pattern).search(text) is not None
    except re2.error as error:
        raise ValueError(f"{pattern!r} is no RE2 expression: {error}") from error


def literal(text: str) -> str:
    """Return the pattern that matches `text` and nothing else."""
    return str(re2.escape(text))


class PatternSet:
    """Patterns looked for together: the text is read once, however many they are.

    In all of them a dot matches a line's end too. Raises ValueError if one is none, or if together they are too large.
    """

    def __init__(self, patterns: Sequence[str]) -> None:
        options = _options()
        options.dot_nl = True
        options.max_mem = _SET_BYTES
        self._set = re2.Set.SearchSet(options)
        try:
            for pattern in patterns:
                self._set.Add(pattern.encode())
            self._set.Compile()
        except re2.error as error:
            raise ValueError(f"not RE2 expressions, or too many: {error}") from error

    def found_in(self, text: bytes) -> list[int]:
        """Return the positions of the patterns that match anywhere in `text`, in order."""
        return sorted(self._set.Match(text) or ())
