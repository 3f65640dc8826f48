"""Intervals of time, and units of the local calendar as such: a day in Karachi begins at 19:00 UTC the day before."""

import calendar
import re
from datetime import UTC, date, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

import msgspec

from monitor.events.record import Precision

_CALENDAR: Final = re.compile(r"([0-9]{4})(?:-([0-9]{2})(?:-([0-9]{2}))?)?")
_TIME: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}(:[0-9]{2})?(?:Z|[+-][0-9]{2}:[0-9]{2})?")
_PERIOD: Final = re.compile(r"P(?:([0-9]{1,3})Y)?(?:([0-9]{1,4})M)?(?:([0-9]{1,5})D)?")
_SHORTEST: Final = {
    Precision.SECOND: timedelta(seconds=1),
    Precision.MINUTE: timedelta(minutes=1),
    Precision.HOUR: timedelta(hours=1),
    Precision.DAY: timedelta(hours=23),  # where the clocks go forward
    Precision.MONTH: timedelta(days=28) - timedelta(hours=1),
    Precision.YEAR: timedelta(days=365),
}


class Interval(msgspec.Struct, frozen=True, order=True):
    """UTC, `latest` not included."""

    earliest: datetime
    latest: datetime

    def overlaps(self, other: "Interval") -> bool:
        """Tell whether both have an instant in common."""
        return self.earliest < other.latest and other.earliest < self.latest


def written(text: str, zone: ZoneInfo) -> tuple[Interval, Precision]:
    """Read a year, month, day, or a time to the minute or second; without an offset a time is local to `zone`.

    Raises ValueError.
    """
    reason = "must be a date such as 2024, 2024-02, 2024-02-17 or 2024-02-17T22:00+05:00"
    if match := _CALENDAR.fullmatch(text):
        year, month, day = (None if part is None else int(part) for part in match.groups())
        try:
            first = date(year or 0, month or 1, day or 1)
            if day is not None:
                return _local(first, first + timedelta(days=1), zone), Precision.DAY
            if month is not None:
                return _local(first, add_period(first, "P1M"), zone), Precision.MONTH
            return _local(first, first.replace(year=first.year + 1), zone), Precision.YEAR
        except (ValueError, OverflowError) as error:
            raise ValueError(reason) from error
    match = _TIME.fullmatch(text)
    try:
        at = datetime.fromisoformat(text if match else "")
        start = (at.replace(tzinfo=zone) if at.tzinfo is None else at).astimezone(UTC)
        precision = Precision.SECOND if match and match[1] else Precision.MINUTE
        return Interval(start, start + _SHORTEST[precision]), precision
    except (ValueError, OverflowError) as error:
        raise ValueError(reason) from error


def edge(text: str, zone: ZoneInfo) -> tuple[datetime, datetime]:
    """Return where `text` begins and ends: as `earliest` the first counts, as `latest` the second for whole units.

    A time is itself both. Raises ValueError.
    """
    found, precision = written(text, zone)
    if precision in {Precision.SECOND, Precision.MINUTE}:
        return found.earliest, found.earliest
    return found.earliest, found.latest


def trouble_with(found: Interval, precision: Precision, zone: ZoneInfo) -> str | None:
    """Say what is wrong with an interval that claims a precision, or None."""
    if found.earliest >= found.latest:
        return "must end after it begins"
    if found.latest - found.earliest < _SHORTEST[precision]:
        return f"is shorter than one {precision}, its precision"
    for name, at in (("begin", found.earliest), ("end", found.latest)):
        local = at.astimezone(zone)
        is_midnight = (local.hour, local.minute, local.second, local.microsecond) == (0, 0, 0, 0)
        fits = {
            Precision.DAY: is_midnight,
            Precision.MONTH: is_midnight and local.day == 1,
            Precision.YEAR: is_midnight and (local.month, local.day) == (1, 1),
        }.get(precision, True)
        if not fits:
            return f"must {name} where a {precision} begins in {zone.key}"
    return None


def add_period(to: date, period: str) -> date:
    """Return a day later by an ISO 8601 period of years, months and days, clamped to the month's last day.

    31 January and three months are 30 April. Raises ValueError.
    """
    match = _PERIOD.fullmatch(period)
    if match is None or period == "P":
        raise ValueError("must be a period such as P3M, P1Y or P90D")
    years, months, days = (int(part or 0) for part in match.groups())
    whole = to.year * 12 + to.month - 1 + years * 12 + months
    year, month = divmod(whole, 12)
    try:
        last = calendar.monthrange(year, month + 1)[1]
        return date(year, month + 1, min(to.day, last)) + timedelta(days=days)
    except (ValueError, OverflowError, calendar.IllegalMonthError) as error:
        raise ValueError("leads beyond the calendar") from error


def period_text(period: str) -> str:
    """Return a period in words: `P1Y6M` is `1 year 6 months`; raises ValueError."""
    match = _PERIOD.fullmatch(period)
    if match is None:
        raise ValueError("must be a period such as P3M, P1Y or P90D")
    counts = zip(match.groups(), ("year", "month", "day"), strict=True)
    return " ".join(f"{int(count)} {unit}{'' if int(count) == 1 else 's'}" for count, unit in counts if count)


def later(base: Interval, period: str, zone: ZoneInfo) -> Interval:
    """Return the interval moved by a period, day by day of the local calendar; raises ValueError."""
    first = base.earliest.astimezone(zone).date()
    last = (base.latest - timedelta(microseconds=1)).astimezone(zone).date()
    return _local(add_period(first, period), add_period(last, period) + timedelta(days=1), zone)


def _local(first: date, end: date, zone: ZoneInfo) -> Interval:
    """Return the interval from the beginning of one local day to that of another."""
    start, stop = (datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC) for day in (first, end))
    return Interval(start, stop)
