"""Regular expressions over what strangers send: RE2, whose time is linear in the text whatever the pattern."""

from functools import lru_cache
from typing import Final

import re2  # type: ignore[import-untyped]  # ships no types

_OPTIONS: Final = re2.Options()
_OPTIONS.encoding = re2.Options.Encoding.LATIN1  # byte by byte, so that no text is malformed
_OPTIONS.log_errors = False


@lru_cache(maxsize=4096)
def _compiled(pattern: str) -> re2._Regexp:
    return re2.compile(pattern.encode(), _OPTIONS)


def is_found(pattern: str, text: bytes) -> bool:
    """Tell whether `pattern` (RE2 syntax, read as UTF-8 bytes) matches anywhere in `text`; ValueError if it is none."""
    try:
        return _compiled(pattern).search(text) is not None
    except re2.error as error:
        raise ValueError(f"{pattern!r} is no RE2 expression: {error}") from error
