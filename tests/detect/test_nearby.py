from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from monitor.detect.nearby import DatedEvent
from monitor.detect.nearby import sentences as sentences_of

LOW, HIGH = datetime(2024, 2, 17, 16, 58, tzinfo=UTC), datetime(2024, 2, 17, 17, 10, tzinfo=UTC)


def event(earliest: datetime, hours: float, name: str = "order", phase: str = "ordered") -> DatedEvent:
    return DatedEvent(
        event=name,
        title="X blocked in Pakistan",
        phase=phase,
        earliest=earliest,
        latest=earliest + timedelta(hours=hours),
        publishers=("Ministry of Interior",),
    )


def sentences(
    earliest: datetime | None, latest: datetime, events: Iterable[DatedEvent], changes_a_year: float | None = 24.0
) -> tuple[str, ...]:
    return sentences_of(earliest, latest, events, changes_a_year=changes_a_year)


def test_an_event_of_a_day_coincides_with_what_happened_in_it_and_the_lag_is_an_interval() -> None:
    (said,) = sentences(LOW, HIGH, [event(datetime(2024, 2, 16, 19, tzinfo=UTC), 24)])
    assert said == (
        'coincides with "X blocked in Pakistan" (ordered, Ministry of Interior, 2024-02-17, to the day); '
        "lag -2 h 2 min to +22 h 10 min; a change would fall this close by chance with probability 0.06. "
        "Coincidence is not cause."
    )


def test_before_and_after_are_told_apart_and_the_nearest_comes_first() -> None:
    before, after = event(HIGH - timedelta(hours=10), 1, "a"), event(HIGH + timedelta(hours=1), 1, "b", "announced")
    first, second = sentences(LOW, HIGH, [before, after])
    assert first.startswith('precedes "X blocked in Pakistan" (announced')
    assert second.startswith('follows "X blocked in Pakistan" (ordered')
    assert "by 8 h 48 min to 10 h; a change would" in second


def test_the_chance_level_grows_with_the_distance_and_with_how_often_the_series_changes() -> None:
    def level(shift_hours: float, changes_a_year: float) -> float:
        (said,) = sentences(LOW, HIGH, [event(HIGH + timedelta(hours=shift_hours), 24)], changes_a_year)
        return float(said.partition("with probability ")[2].partition(". Coincidence")[0])

    assert level(-1, 24) < level(24, 24) < level(47, 24) < level(47, 52)
    # A day, the width of the change, and a day on either side: three days and twelve minutes.
    assert level(24, 24) == pytest.approx(0.18, abs=0.005)


def test_a_record_that_is_too_short_gives_no_chance_level_and_says_so() -> None:
    (said,) = sentences(LOW, HIGH, [event(LOW, 1)], None)
    assert "the record is too short. Coincidence is not cause." in said
    (rare,) = sentences(LOW, HIGH, [event(LOW, 1)], 1.0)
    assert "with probability below 0.01." in rare


def test_sources_that_agree_are_one_date_and_all_are_named() -> None:
    day, hour = event(datetime(2024, 2, 16, 19, tzinfo=UTC), 24), event(LOW, 1)
    (said,) = sentences(LOW, HIGH, [day, msgspec.structs.replace(hour, publishers=("Dawn",))])
    assert said.startswith(
        'coincides with "X blocked in Pakistan" (ordered, Ministry of Interior / Dawn, 2024-02-17 16'
    )


def test_what_lies_further_off_or_began_unmeasured_is_not_spoken_of() -> None:
    assert sentences(LOW, HIGH, [event(HIGH + timedelta(hours=49), 1)]) == ()
    assert sentences(None, HIGH, [event(LOW, 1)]) == ()


def test_disputed_dates_are_named_and_not_compared() -> None:
    (said,) = sentences(LOW, HIGH, [event(LOW, 1), event(LOW - timedelta(days=1), 1)])
    assert said.startswith('dates of "X blocked in Pakistan" (ordered) are disputed (2024-02-1')
    assert said.endswith("not compared.")


def test_nothing_ever_speaks_of_causes() -> None:
    said = " ".join(sentences(LOW, HIGH, [event(LOW + timedelta(hours=shift), 1, str(shift)) for shift in (-9, 0, 9)]))
    assert not {"because", "caused", "response", "triggered"} & set(said.split())
