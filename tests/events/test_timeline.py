from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.events.interval import Interval, add_period, later, period_text, written
from monitor.events.record import Edge, Kind, Phase, Precision, RegulatoryEvent
from monitor.events.timeline import InForce, in_force, phase_date, span, together
from tests.fakes.events import KARACHI, dated, event

ZONE = ZoneInfo(KARACHI)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "zone", "earliest", "latest", "precision"),
    [
        ("2024-02-17", KARACHI, "2024-02-16T19:00", "2024-02-17T19:00", Precision.DAY),
        ("2024-02", KARACHI, "2024-01-31T19:00", "2024-02-29T19:00", Precision.MONTH),
        ("2024", "UTC", "2024-01-01T00:00", "2025-01-01T00:00", Precision.YEAR),
        ("2024-02-17T22:00", KARACHI, "2024-02-17T17:00", "2024-02-17T17:01", Precision.MINUTE),
        ("2024-02-17T22:00+05:00", "UTC", "2024-02-17T17:00", "2024-02-17T17:01", Precision.MINUTE),
        ("2008-02-24T18:47:45Z", "UTC", "2008-02-24T18:47:45", "2008-02-24T18:47:46", Precision.SECOND),
        # The clocks go forward, and back: days of 23 and of 25 hours.
        ("2024-03-31", "Europe/Berlin", "2024-03-30T23:00", "2024-03-31T22:00", Precision.DAY),
        ("2024-10-27", "Europe/Berlin", "2024-10-26T22:00", "2024-10-27T23:00", Precision.DAY),
    ],
)
def test_a_written_date_is_an_interval_of_the_place(
    text: str, zone: str, earliest: str, latest: str, precision: Precision
) -> None:
    assert written(text, ZoneInfo(zone)) == (Interval(at(earliest), at(latest)), precision)


@pytest.mark.parametrize(
    "text", ["", "24-02-17", "2024-13", "2024-02-30", "0000", "9999-12-31", "2024-02-17 22:00", "x"]
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="must be a date such as"):
        written(text, ZoneInfo("UTC"))


@pytest.mark.parametrize(
    ("base", "period", "due"),
    [
        ("2020-01-31", "P3M", "2020-04-30"),
        ("2020-01-21", "P3M", "2020-04-21"),
        ("2020-01-31", "P12M", "2021-01-31"),
        ("2024-02-29", "P1Y", "2025-02-28"),
        ("2020-11-30", "P3M", "2021-02-28"),
        ("2025-08-28", "P7D", "2025-09-04"),
        ("2020-12-31", "P1Y1M1D", "2022-02-01"),
    ],
)
def test_months_are_clamped_to_the_last_day(base: str, period: str, due: str) -> None:
    assert add_period(date.fromisoformat(base), period) == date.fromisoformat(due)


@pytest.mark.parametrize("period", ["", "P", "3M", "PT3H", "P-3M", "P3M ", "P99999D9"])
def test_a_period_is_years_months_and_days(period: str) -> None:
    with pytest.raises(ValueError, match="must be a period"):
        add_period(date(2020, 1, 1), period)


def test_a_period_has_words() -> None:
    words = {"P3M": "3 months", "P1Y6M": "1 year 6 months", "P7D": "7 days", "P1M": "1 month"}
    assert {period: period_text(period) for period in words} == words


def test_a_period_leads_nowhere_beyond_the_calendar() -> None:
    with pytest.raises(ValueError, match="beyond the calendar"):
        add_period(date(9999, 12, 1), "P999Y")


@given(st.dates(date(1990, 1, 1), date(2100, 1, 1)), st.integers(0, 60))
def test_a_day_moved_by_months_is_a_day_of_the_place(day: date, months: int) -> None:
    base, _ = written(day.isoformat(), ZONE)
    due = later(base, f"P{months}M", ZONE)
    assert due.earliest.astimezone(ZONE).date() == add_period(day, f"P{months}M")
    assert due.latest - due.earliest == timedelta(days=1)


def test_dates_of_a_phase_that_overlap_agree_on_what_they_share() -> None:
    there, here = dated(Phase.LIFTED, "2025-05-07"), dated(Phase.LIFTED, "2025-05-06", "UTC")
    found = phase_date(event("e", there, here), Phase.LIFTED)
    assert found is not None
    assert not found.is_disputed
    assert found.interval == Interval(at("2025-05-06T19:00"), at("2025-05-07T00:00"))


def test_dates_that_do_not_overlap_are_disputed_and_keep_both() -> None:
    found = together([dated(Phase.NOTIFIED, "2020-01-21"), dated(Phase.NOTIFIED, "2020-01-31")])
    assert found is not None
    assert found.is_disputed
    assert found.interval == Interval(at("2020-01-20T19:00"), at("2020-01-31T19:00"))


def test_one_of_three_that_stands_apart_makes_it_a_dispute() -> None:
    dates = [dated(Phase.ADOPTED, "2020-02"), dated(Phase.ADOPTED, "2020-02-11"), dated(Phase.ADOPTED, "2020-02-12")]
    found = together(dates)
    assert found is not None
    assert found.is_disputed


FOREVER = {"end": None}


def spanned(*dates: Any, **fields: Any) -> tuple[str, str | None]:
    found = span(event("e", *dates, **fields))
    assert found is not None
    return found.start.phase, found.end.phase if found.end else None


def test_the_effect_counts_before_the_order_and_the_order_before_what_was_seen() -> None:
    ordered, observed = dated(Phase.ORDERED, "2024-02-16"), dated(Phase.OBSERVED, "2024-02-18")
    assert spanned(observed, ordered, dated(Phase.EFFECTIVE, "2024-02-17")) == ("effective", None)
    assert spanned(observed, ordered) == ("ordered", None)
    assert spanned(observed, dated(Phase.ANNOUNCED, "2024-02-10")) == ("observed", None)


@pytest.mark.parametrize(
    "no_end",
    [
        dated(Phase.CLAIMED_LIFTED, "2024-03-01"),
        dated(Phase.RETRACTED, "2024-03-01"),
        dated(Phase.PLANNED_END, "2024-03-01"),
        dated(Phase.COURT_ORDERED, "2024-03-01"),
        dated(Phase.OBSERVED, "2024-03-01", edge=Edge.OPENING),
        dated(Phase.OBSERVED, "2024-03-01", edge=Edge.END),
    ],
)
def test_what_is_no_end_ends_nothing(no_end: Any) -> None:
    assert spanned(dated(Phase.EFFECTIVE, "2024-02-17"), no_end) == ("effective", None)


def test_a_moment_ends_where_it_begins() -> None:
    assert spanned(dated(Phase.COURT_ORDERED, "2024-02-22"), kind=Kind.COURT_ORDER) == (
        "court_ordered",
        "court_ordered",
    )


def test_an_event_whose_end_nobody_dates_is_never_counted_as_in_force() -> None:
    assert spanned(dated(Phase.OBSERVED, "2024-01-07"), is_end_unknown=True) == ("observed", "observed")
    lifted = dated(Phase.LIFTED, "2024-01-08")
    assert spanned(dated(Phase.OBSERVED, "2024-01-07"), lifted, is_end_unknown=True) == ("observed", "lifted")


def a_block() -> RegulatoryEvent:
    return event("e", dated(Phase.EFFECTIVE, "2024-02-17"), dated(Phase.LIFTED, "2025-05-07"))


@pytest.mark.parametrize(
    ("when", "answer"),
    [
        ("2024-02-16T18:59:59", InForce.NO),
        ("2024-02-16T19:00", InForce.UNCERTAIN),
        ("2024-02-17T18:59", InForce.UNCERTAIN),
        ("2024-02-17T19:00", InForce.YES),
        ("2025-05-06T18:59", InForce.YES),
        ("2025-05-06T19:00", InForce.UNCERTAIN),
        ("2025-05-07T19:00", InForce.NO),
    ],
)
def test_in_force_has_three_answers(when: str, answer: InForce) -> None:
    found = span(a_block())
    assert found is not None
    assert in_force(found, at(when)) is answer


def test_what_is_open_is_in_force_until_now() -> None:
    found = span(event("e", dated(Phase.EFFECTIVE, "2024-02-17")))
    assert found is not None
    assert in_force(found, at("2100-01-01")) is InForce.YES
    assert found.days is None


def test_days_are_counted_by_the_calendar_of_the_place() -> None:
    found = span(a_block())
    assert found is not None
    assert found.days == (445, 445)
    wide = span(event("e", dated(Phase.EFFECTIVE, "2024-02"), dated(Phase.LIFTED, "2024-03-02")))
    assert wide is not None
    assert wide.days == (2, 30)
