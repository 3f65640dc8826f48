import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.config.quantities import bytes_of, seconds_of, share_of, written_seconds


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        ("30s", 30), ("5m", 300), ("1h30m", 5400), ("400d", 400 * 86_400), ("2w", 14 * 86_400), ("500ms", 0.5),
        ("0.5s", 0.5), ("1m500ms", 60.5), (5, 5), (0.25, 0.25), ("7.5", 7.5), ("0s", 0),
    ],
)  # fmt: skip
def test_lengths_of_time_are_read(written: object, seconds: float) -> None:
    assert seconds_of(written) == seconds


@pytest.mark.parametrize(
    "written",
    [
        "",
        "5 m",
        "m",
        "5m1h",
        "5m5m",
        "-5m",
        "5min",
        "1e3s",
        "\N{ARABIC-INDIC DIGIT FIVE}m",
        "1:30",
        True,
        None,
        [5],
        -1,
        float("nan"),
        float("inf"),
        "999999d",
    ],
)
def test_other_lengths_of_time_are_refused(written: object) -> None:
    with pytest.raises(ValueError, match="must be a length of time such as"):
        seconds_of(written)


@given(st.integers(min_value=0, max_value=10 * 366 * 86_400 * 1000).map(lambda milliseconds: milliseconds / 1000))
def test_lengths_of_time_survive_writing_and_reading(seconds: float) -> None:
    assert seconds_of(written_seconds(seconds)) == seconds


def test_lengths_of_time_are_written_short() -> None:
    assert [written_seconds(each) for each in (0, 0.5, 300, 5400, 400 * 86_400)] == [
        "0s",
        "500ms",
        "5m",
        "1h30m",
        "400d",
    ]


@pytest.mark.parametrize(
    ("written", "count"),
    [("64KiB", 65_536), ("1MB", 1_000_000), ("1.5kB", 1500), ("2GiB", 2**31), ("12 B", 12), ("512", 512), (7, 7)],
)
def test_sizes_are_read(written: object, count: int) -> None:
    assert bytes_of(written) == count


@pytest.mark.parametrize("written", ["64kib", "64 KiBs", "1.5B", "KiB", "-1", -1, 1.5, False, None])
def test_other_sizes_are_refused(written: object) -> None:
    with pytest.raises(ValueError, match="must be a size such as"):
        bytes_of(written)


@given(st.integers(min_value=0, max_value=2**40), st.sampled_from(["", "B", "kB", "MB", "GB", "KiB", "MiB", "GiB"]))
def test_sizes_are_their_count_times_their_unit(count: int, unit: str) -> None:
    scale = {"k": 1000, "K": 1024, "M": 1024**2 if "i" in unit else 1000**2, "G": 1024**3 if "i" in unit else 1000**3}
    assert bytes_of(f"{count}{unit}") == count * scale.get(unit[:1], 1)


@given(st.integers(min_value=0, max_value=100))
def test_a_share_reads_alike_as_percent_and_as_fraction(percent: int) -> None:
    assert share_of(f"{percent}%") == share_of(percent / 100) == percent / 100


@pytest.mark.parametrize("written", ["10", 10, "101%", "-1%", "%", True, None])
def test_other_shares_are_refused(written: object) -> None:
    with pytest.raises(ValueError, match="must be a share such as"):
        share_of(written)
