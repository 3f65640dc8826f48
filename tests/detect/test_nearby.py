from datetime import UTC, datetime, timedelta

from monitor.detect.nearby import DatedEvent, sentences

LOW, HIGH = datetime(2024, 2, 17, 16, 58, tzinfo=UTC), datetime(2024, 2, 17, 17, 10, tzinfo=UTC)


def event(earliest: datetime, hours: float, name: str = "order", phase: str = "ordered") -> DatedEvent:
    return DatedEvent(
        event=name,
        title="X blocked in Pakistan",
        phase=phase,
        earliest=earliest,
        latest=earliest + timedelta(hours=hours),
        publisher="Ministry of Interior",
    )


def test_an_event_of_a_day_coincides_with_what_happened_in_it_and_the_lag_is_an_interval() -> None:
    (said,) = sentences(LOW, HIGH, [event(datetime(2024, 2, 16, 19, tzinfo=UTC), 24)])
    assert said == (
        'coincides with "X blocked in Pakistan" (ordered, Ministry of Interior, 2024-02-17, to the day); '
        "lag -2 h 2 min to +22 h 10 min. Coincidence is not cause."
    )


def test_before_and_after_are_told_apart_and_the_nearest_comes_first() -> None:
    before, after = event(HIGH - timedelta(hours=10), 1, "a"), event(HIGH + timedelta(hours=1), 1, "b", "announced")
    first, second = sentences(LOW, HIGH, [before, after])
    assert first.startswith('precedes "X blocked in Pakistan" (announced')
    assert second.startswith('follows "X blocked in Pakistan" (ordered')
    assert "by 8 h 48 min to 10 h" in second


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
