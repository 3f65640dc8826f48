from datetime import UTC, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from monitor.detect.periodic import pattern, share_by_hour
from monitor.model.onset import KeptRound

DAY: Final = timedelta(days=1)
NIGHT: Final = datetime(2024, 2, 18, 17, 0, tzinfo=UTC)  # 22:00 in Pakistan
KARACHI: Final = ZoneInfo("Asia/Karachi")
NIGHTS: Final = [
    (NIGHT + day * DAY + timedelta(minutes=5 * day), NIGHT + day * DAY + timedelta(hours=8)) for day in range(5)
]


def test_nights_are_one_pattern_in_local_time() -> None:
    found = pattern(NIGHTS, KARACHI)
    assert found is not None
    assert (found.days, found.start_from, found.start_to) == (5, "22:00", "22:20")
    assert (found.end_from, found.end_to) == ("06:00", "06:00")
    assert (found.first_at, found.last_at) == (NIGHTS[0][0], NIGHTS[-1][0])


def test_single_or_scattered_or_same_day_starts_are_none() -> None:
    assert pattern([], UTC) is None
    assert pattern(NIGHTS[:1], UTC) is None
    assert pattern([(NIGHT, None), (NIGHT + timedelta(hours=30), None)], UTC) is None
    assert pattern([(NIGHT, None), (NIGHT + timedelta(minutes=20), None)], UTC) is None


def test_an_odd_one_out_does_not_hide_the_others() -> None:
    odd = (NIGHT + 10 * DAY + timedelta(hours=9), None)
    found = pattern([odd, *NIGHTS], UTC)
    assert found is not None
    assert found.days == 5


def test_times_around_midnight_are_close_to_each_other() -> None:
    before, after = datetime(2024, 2, 18, 23, 50, tzinfo=UTC), datetime(2024, 2, 20, 0, 10, tzinfo=UTC)
    found = pattern([(before, None), (after, None)], UTC)
    assert found is not None
    assert (found.start_from, found.start_to, found.end_from) == ("23:50", "00:10", None)


def test_the_share_of_each_local_hour_shows_the_pattern() -> None:
    rounds = [
        KeptRound(NIGHT + timedelta(minutes=30 * number), (NIGHT + timedelta(minutes=30 * number)).hour in {17, 18})
        for number in range(40)
    ]
    shares = share_by_hour(rounds, KARACHI)
    assert (shares[22], shares[23], shares[0]) == (1.0, 1.0, 0.0)
    assert shares[20] is None
