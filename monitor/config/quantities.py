"""Written quantities: lengths of time (5m, 1h30m), sizes (64KiB), shares (10%)."""

import math
import re
from decimal import Decimal
from typing import Annotated, Final

from pydantic import BeforeValidator

_NUMBER: Final = r"\d+(?:\.\d+)?"
_SECONDS_IN: Final[dict[str, int | Decimal]] = {
    "w": 604_800,
    "d": 86_400,
    "h": 3600,
    "m": 60,
    "s": 1,
    "ms": Decimal("0.001"),
}
_DURATION: Final = re.compile("".join(rf"(?:({_NUMBER}){unit})?" for unit in _SECONDS_IN), re.ASCII)
_LONGEST_SECONDS: Final = 100 * 366 * 86_400

_BYTES_IN: Final = {
    "": 1, "B": 1, "kB": 1000, "KB": 1000, "MB": 1000**2, "GB": 1000**3, "KiB": 1024, "MiB": 1024**2, "GiB": 1024**3
}  # fmt: skip
_SIZE: Final = re.compile(rf"({_NUMBER}) ?([A-Za-z]*)", re.ASCII)
_PERCENT: Final = re.compile(rf"({_NUMBER}) ?%", re.ASCII)


def seconds_of(written: object) -> float:
    """Read `30s`, `5m`, `1h30m`, `500ms` (largest unit first, each once) or a number of seconds; raises ValueError."""
    number = _number_of(written)
    if number is None and isinstance(written, str) and written and (match := _DURATION.fullmatch(written)):
        parts = zip(match.groups(), _SECONDS_IN.values(), strict=True)
        number = sum((Decimal(count) * unit for count, unit in parts if count is not None), Decimal())
    if number is None or not 0 <= number <= _LONGEST_SECONDS:
        raise ValueError("must be a length of time such as 30s, 5m or 1h30m")
    return float(number)


def written_seconds(seconds: float) -> str:
    """Write a length of time the way `seconds_of` reads it, to the millisecond: 5400.0 is `1h30m`."""
    rest = round(seconds * 1000)
    parts = []
    for unit, length in _SECONDS_IN.items():
        if unit == "w":  # 400d is easier to compare than 57w1d
            continue
        count, rest = divmod(rest, int(length * 1000))
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"


def bytes_of(written: object) -> int:
    """Read `64KiB` (1024), `1MB` (1000 x 1000) or a number of bytes; raises ValueError."""
    number = _number_of(written)
    if number is None and isinstance(written, str) and (match := _SIZE.fullmatch(written)):
        count, unit = match.groups()
        number = Decimal(count) * _BYTES_IN[unit] if unit in _BYTES_IN else None
    if number is None or number < 0 or number != int(number):
        raise ValueError("must be a size such as 65536, 64KiB or 1MB")
    return int(number)


def share_of(written: object) -> float:
    """Read `10%` or a fraction from 0 to 1; raises ValueError."""
    number = _number_of(written)
    if number is None and isinstance(written, str) and (match := _PERCENT.fullmatch(written)):
        number = Decimal(match[1]) / 100
    if number is None or not 0 <= number <= 1:
        raise ValueError("must be a share such as 10% or 0.1")
    return float(number)


def _number_of(written: object) -> Decimal | None:
    if isinstance(written, bool):  # true counts as 1 in Python, never in a configuration
        return None
    if isinstance(written, str):  # a number that came from the environment
        return Decimal(written) if re.fullmatch(_NUMBER, written, re.ASCII) else None
    if isinstance(written, int | float) and math.isfinite(written):
        return Decimal(str(written))
    return None


Seconds = Annotated[float, BeforeValidator(seconds_of)]
Bytes = Annotated[int, BeforeValidator(bytes_of)]
Share = Annotated[float, BeforeValidator(share_of)]
