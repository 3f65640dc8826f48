from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec
import pytest

from monitor.detect.coincidence import (
    ChangeInterval,
    Coincidence,
    Comparison,
    Direction,
    EventInterval,
    NetworkSeries,
    Relation,
    chance_level,
    chance_level_moved,
    coincidence,
    country_line,
    duration_words,
)

HOUR: Final = timedelta(hours=1)
DAY: Final = timedelta(days=1)
# 17 February 2024 in Pakistan, to the day.
DAWN: Final = datetime(2024, 2, 16, 19, 0, tzinfo=UTC)
ORDER: Final = EventInterval(
    id="pk-x-order", phase="ordered", earliest=DAWN, latest=DAWN + DAY, expected=Direction.CLOSING
)


def change(low: timedelta | None, high: timedelta, direction: Direction = Direction.CLOSING) -> ChangeInterval:
    """Return a change between two times after the beginning of the event's day."""
    return ChangeInterval(earliest=None if low is None else DAWN + low, latest=DAWN + high, direction=direction)


def series(*changes: ChangeInterval, every: timedelta = HOUR, network: str = "PTCL (AS17557)") -> NetworkSeries:
    kept = [DAWN - 5 * DAY + number * every for number in range(int(10 * DAY / every))]
    return NetworkSeries(vantage=network.partition(" ")[0].lower(), network=network, kept=kept, changes=changes)


@pytest.mark.parametrize(
    ("changes", "relation"),
    [
        ([], Relation.NO_CHANGE),
        ([change(-10 * DAY, -9 * DAY)], Relation.NO_CHANGE),
        ([change(22 * HOUR, 22 * HOUR + HOUR / 5)], Relation.COINCIDES),
        ([change(-HOUR, HOUR)], Relation.COINCIDES),
        ([change(-HOUR, timedelta())], Relation.COINCIDES),
        ([change(-3 * HOUR, -2 * HOUR)], Relation.PRECEDES),
        ([change(24 * HOUR, 25 * HOUR)], Relation.FOLLOWS),
        ([change(70 * HOUR, 72 * HOUR)], Relation.FOLLOWS),
        ([change(73 * HOUR, 74 * HOUR)], Relation.NO_CHANGE),
        ([change(-60 * HOUR, -49 * HOUR)], Relation.NO_CHANGE),
        ([change(2 * HOUR, 3 * HOUR, Direction.OPENING)], Relation.UNEXPECTED_DIRECTION),
        ([change(2 * HOUR, 3 * HOUR, Direction.OPENING), change(30 * HOUR, 31 * HOUR)], Relation.FOLLOWS),
        ([change(None, 3 * HOUR)], Relation.COINCIDES),
    ],
)
def test_intervals_decide(changes: list[ChangeInterval], relation: Relation) -> None:
    assert coincidence(ORDER, series(*changes)).relation is relation


def test_the_lag_is_an_interval_and_positive_after_the_event() -> None:
    found = coincidence(ORDER, series(change(22 * HOUR, 22 * HOUR + HOUR / 5)))
    assert (found.lag_low_seconds, found.lag_high_seconds) == (-2 * 3600, 22.2 * 3600)
    assert coincidence(ORDER, series(change(None, 3 * HOUR))).lag_low_seconds is None


def test_the_nearest_change_is_named() -> None:
    near, far = change(25 * HOUR, 26 * HOUR), change(60 * HOUR, 61 * HOUR)
    assert coincidence(ORDER, series(far, near)).change == near


def test_too_few_rounds_on_either_side_are_not_measured() -> None:
    assert coincidence(ORDER, series(every=4 * HOUR)).relation is Relation.NO_CHANGE
    assert coincidence(ORDER, series(every=5 * HOUR)).relation is Relation.NOT_MEASURED
    after_only = msgspec.structs.replace(series(), kept=[at for at in series().kept if at > DAWN])
    assert coincidence(ORDER, after_only).relation is Relation.NOT_MEASURED


def test_disputed_dates_are_compared_each() -> None:
    disputed = msgspec.structs.replace(ORDER, alternatives=((DAWN, DAWN + DAY), (DAWN - 10 * DAY, DAWN - 9 * DAY)))
    found = coincidence(disputed, series(change(2 * HOUR, 3 * HOUR)))
    assert found.relation is Relation.DISPUTED_DATES
    assert [one.relation for one in found.alternatives] == [Relation.COINCIDES, Relation.NOT_MEASURED]


@pytest.mark.parametrize(
    ("a_year", "days", "level"),
    [(12, 1, 0.03), (12, 5, 0.15), (24, 2, 0.12), (24, 5, 0.28), (52, 1, 0.13), (52, 3, 0.35), (52, 5, 0.51)],
)
def test_the_chance_level_is_that_of_the_published_table(a_year: float, days: float, level: float) -> None:
    window = (days * DAY - HOUR) / 2
    assert chance_level(a_year, HOUR, window) == pytest.approx(level, abs=0.006)


def test_chance_stands_beside_every_outcome_that_has_a_change() -> None:
    assert coincidence(ORDER, series(change(2 * HOUR, 3 * HOUR)), changes_a_year=12).chance == pytest.approx(
        0.15, abs=0.01
    )
    assert coincidence(ORDER, series(), changes_a_year=12).chance is None


def test_an_event_moved_through_the_year_meets_clustered_changes_less_often() -> None:
    shares = [number / 1000 for number in range(1000)]
    covered = (DAWN, DAWN + 365 * DAY)
    apart = [change(day * DAY, day * DAY + HOUR) for day in range(10, 360, 30)]
    cluster = [change(100 * DAY + hour * HOUR, 100 * DAY + hour * HOUR + HOUR) for hour in range(12)]
    spread_out = chance_level_moved(ORDER, apart, covered, shares)
    clustered = chance_level_moved(ORDER, cluster, covered, shares)
    assert spread_out == pytest.approx(chance_level(12, DAY), abs=0.03)
    assert clustered is not None
    assert spread_out is not None
    assert clustered < spread_out / 5
    assert chance_level_moved(ORDER, [], covered, shares) == 0
    assert chance_level_moved(ORDER, apart, (DAWN, DAWN + HOUR), shares) is None


def outcomes(*changes: ChangeInterval | None) -> list[Coincidence]:
    """Return one outcome for each network: with a change, with none, or for None not measured."""
    names = ("PTCL (AS17557)", "CMPak (AS59257)", "Cybernet (AS9541)", "Nayatel (AS23674)")
    return [
        coincidence(ORDER, series(one, network=name) if one else series(every=5 * DAY, network=name))
        for one, name in zip(changes, names, strict=False)
    ]


def test_the_country_line_counts_networks_and_never_says_cause() -> None:
    on_the_day, late = change(2 * HOUR, 3 * HOUR), change(26 * HOUR, 27 * HOUR)
    line = country_line("the order of 17 February", outcomes(on_the_day, on_the_day, on_the_day, late))
    assert line.sentence == (
        "A change coincides with the order of 17 February on 3 of 4 networks measured; a change follows the order of "
        "17 February on 1 of 4 networks measured, by 2 h to 1 d 3 h."
    )
    assert (line.relation, line.measured) == (None, 4)
    assert not {"cause", "because", "response", "trigger"} & set(line.sentence.split())


def test_networks_that_agree_have_one_relation() -> None:
    day = change(2 * HOUR, 3 * HOUR)
    assert country_line("it", outcomes(day, day, None)).relation is Relation.COINCIDES


def test_one_measured_network_is_too_few_for_a_country() -> None:
    line = country_line("the order", outcomes(change(2 * HOUR, 3 * HOUR), None))
    assert (line.relation, line.sentence) == (
        Relation.NOT_MEASURED, "Around the order only one network was measured well enough to compare."
    )  # fmt: skip


def test_comparisons_say_what_they_exclude() -> None:
    assert "other countries" in Comparison(what="other_countries", measured=3, changed=0).reading
    assert "platform itself" in Comparison(what="other_countries", measured=3, changed=1).reading
    assert Comparison(what="circumvention", measured=0, changed=0).reading == "not measured"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0 min"), (-7320, "2 h 2 min"), (3600, "1 h"), (86_400 * 3 + 3600, "3 d 1 h"), (86_399, "1 d")],
)
def test_lags_have_words(seconds: float, words: str) -> None:
    assert duration_words(seconds) == words
