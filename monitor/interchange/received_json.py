"""Reading JSON that strangers wrote: any key may be missing, null or of another type, and nothing of that raises."""

import base64
import binascii
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

Fields = Mapping[str, Any]
_NOTHING: Final[Fields] = {}
_LONGEST_SECONDS: Final = 86_400.0


def fields(value: object) -> Fields:
    """Return an object's fields, none for anything else."""
    return value if isinstance(value, dict) else _NOTHING


def objects(value: object, limit: int) -> Iterator[Fields]:
    """Yield the objects of a list, at most `limit`."""
    if isinstance(value, list):
        yield from (one for one in value[:limit] if isinstance(one, dict))


def text(value: object) -> str:
    """Return a string, empty for anything else."""
    return value if isinstance(value, str) else ""


def whole(value: object) -> int | None:
    """Return a whole number that any database holds, None for anything else."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**53 else None


def seconds(value: object) -> float:
    """Return a length of time from nothing to a day; what is none counts as nothing."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return 0.0
    return min(max(float(value), 0.0), _LONGEST_SECONDS)


def binary(value: object) -> bytes | None:
    """Return what a string or `{"format": "base64", "data": …}` holds, None for anything else."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace")
    data = fields(value).get("data")
    if not isinstance(data, str):
        return None
    try:
        return base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError):
        return None


def headers(message: Fields) -> list[tuple[str, bytes]]:
    """Return the headers of a request or response: `headers_list` if it is there, else `headers`."""
    listed = message.get("headers_list")
    pairs: Sequence[object] = (
        listed if isinstance(listed, list) and listed else [*fields(message.get("headers")).items()]
    )
    found = []
    for pair in pairs[:200]:
        if not isinstance(pair, list | tuple) or len(pair) != 2:
            continue
        name, value = (binary(one) for one in pair)
        if name is not None and value is not None:
            found.append((name.decode("ascii", "replace"), value))
    return found
