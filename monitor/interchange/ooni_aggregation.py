"""Answers of OONI's aggregation API → rows of counts a day, country, network and domain.

The shape: `{"v": 0, "dimension_count": 2, "result": [{"measurement_start_day": "2024-02-17", "probe_asn": 17557,
"anomaly_count": …, "confirmed_count": …, "failure_count": …, "ok_count": …, "measurement_count": …}, …]}`; with axes it
is a list, and a row may name `probe_cc` and `domain` itself.
"""

from collections.abc import Iterator
from datetime import UTC, date, datetime
from typing import Final

import msgspec

from monitor.interchange.received_json import Fields, fields, text, whole
from monitor.model.aggregation import OoniCount
from monitor.network.received import printable

MOST_PROBLEMS: Final = 20
_COUNTS: Final = ("measurement_count", "ok_count", "anomaly_count", "confirmed_count", "failure_count")


class AnswerError(ValueError):
    """The answer is not of the documented shape; `problems` name each place, up to a bound."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


def counts_from(content: bytes, *, country: str | None, domain: str | None, test: str) -> list[OoniCount]:
    """Return the rows of an answer; raises AnswerError. `country`, `domain` and `test` hold where a row names none."""
    try:
        answer = msgspec.json.decode(content)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise AnswerError(["not JSON"]) from error
    result = fields(answer).get("result")
    if not isinstance(result, list):
        raise AnswerError(["result: must be a list; ask with axis_x=measurement_start_day&axis_y=probe_asn"])
    found: list[OoniCount] = []
    problems: list[str] = []
    for place, row in enumerate(result):
        wrong = [*_problems(fields(row), country=country, domain=domain)]
        if wrong:
            problems += [f"result[{place}].{one}" for one in wrong]
            if len(problems) >= MOST_PROBLEMS:
                break
            continue
        found.append(_row(row, country=country, domain=domain, test=test))
    if problems:
        raise AnswerError(problems[:MOST_PROBLEMS])
    return found


def _problems(row: Fields, *, country: str | None, domain: str | None) -> Iterator[str]:
    if _day(row) is None:
        yield "measurement_start_day: must be a day such as 2024-02-17"
    if _asn(row) is None:
        yield "probe_asn: must be a number or AS and a number"
    if not _country(row, country):
        yield "probe_cc: names no country; give --country"
    if not _domain(row, domain):
        yield "domain: names none; give --domain"
    for name in _COUNTS:
        count = whole(row.get(name))
        if count is None or count < 0:
            yield f"{name}: must be a count"


def _row(row: Fields, *, country: str | None, domain: str | None, test: str) -> OoniCount:
    measurements, ok, anomaly, confirmed, failure = (whole(row.get(name)) or 0 for name in _COUNTS)
    return OoniCount(
        day=_day(row) or datetime.fromtimestamp(0, UTC),
        country=_country(row, country),
        asn=_asn(row) or 0,
        domain=_domain(row, domain),
        test=printable(text(row.get("test_name")), 60) or test,
        measurements=measurements,
        ok=ok,
        anomaly=anomaly,
        confirmed=confirmed,
        failure=failure,
    )


def _day(row: Fields) -> datetime | None:
    try:
        day = date.fromisoformat(text(row.get("measurement_start_day"))[:10])
    except ValueError:
        return None
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def _asn(row: Fields) -> int | None:
    """Return the AS number; 0 where the answer is for all networks together."""
    value = row.get("probe_asn", 0)
    if isinstance(value, str):
        digits = value.upper().removeprefix("AS")
        value = int(digits) if digits.isascii() and digits.isdigit() and len(digits) <= 10 else None
    number = whole(value)
    return number if number is not None and 0 <= number < 2**32 else None


def _country(row: Fields, otherwise: str | None) -> str:
    country = (text(row.get("probe_cc")) or otherwise or "").upper()
    return country if len(country) == 2 and country.isascii() and country.isalpha() else ""


def _domain(row: Fields, otherwise: str | None) -> str:
    return printable(text(row.get("domain")) or otherwise or "", 253).lower().rstrip(".")
