"""Whatever comes in the name of a batch is a batch or no batch, and dates stay within their bounds."""

from datetime import UTC, datetime, timedelta

import msgspec
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from monitor.daemon.batch import MAX_AGE, BatchError, clock_offset, dated, read_batch
from monitor.model.agent import ClockMark
from monitor.model.fleet import BatchHead, ClockReading, Result
from monitor.model.measurement import Recording
from tests.fakes.outcomes import NOW, recording

MEASUREMENT = recording().measurement
FAR = st.datetimes(datetime(1971, 1, 1), datetime(2199, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - the strategy adds the zone


def head(**changes: object) -> BatchHead:
    plain = BatchHead(
        agent_id="a", boot_id="b", batch_sequence=1, nonce="n", sent_at=NOW, software="s", results=1,
        monotonic_seconds=1000.0,
    )  # fmt: skip
    return msgspec.structs.replace(plain, **changes)


def result(began: datetime, monotonic_seconds: float = 990.0) -> Result:
    measurement = msgspec.structs.replace(MEASUREMENT, started_at=began)
    return Result(sequence=1, recording=Recording(measurement=measurement), monotonic_seconds=monotonic_seconds)


@given(st.binary(max_size=200) | st.binary(max_size=200).map(zstandard.compress))
def test_any_bytes_are_refused_in_an_orderly_way(body: bytes) -> None:
    with pytest.raises(BatchError):
        read_batch(body)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda below: st.lists(below) | st.dictionaries(st.text(), below),
    ),
    st.integers(),
)
def test_any_line_is_a_result_or_rejected_or_no_line_of_a_batch(content: object, sequence: int) -> None:
    line = msgspec.json.encode({"sequence": sequence, "recording": content})
    try:
        batch = read_batch(zstandard.compress(b"\n".join([msgspec.json.encode(head()), line])))
    except BatchError:
        assert not 0 < sequence < 2**53
    else:
        assert [(one.sequence, one.reason) for one in batch.rejected] == [(sequence, "malformed")]


@given(FAR, FAR, st.floats(-1e12, 1e12), st.none() | st.floats(-1e12, 1e12), st.none() | st.floats(-1e12, 1e12))
def test_no_clock_of_an_agent_puts_a_result_into_the_future_or_into_another_age(
    began: datetime, sent: datetime, at_start: float, at_end: float | None, offset: float | None
) -> None:
    reading = ClockReading(offset_seconds=offset)
    found = dated(result(began, at_start), head(sent_at=sent, monotonic_seconds=at_end, clock=reading), NOW)
    assert found is None or NOW - MAX_AGE <= found.began <= NOW


def test_a_clock_that_is_right_moves_nothing() -> None:
    began = NOW - timedelta(seconds=10.4)
    found = dated(result(began), head(), NOW + timedelta(seconds=0.8))
    assert found is not None
    assert (found.began, found.mark) == (began, None)


def test_what_the_agent_found_of_its_clock_is_believed_where_it_can_be_true() -> None:
    on_the_way = NOW + timedelta(seconds=40)
    assert clock_offset(head(clock=ClockReading(offset_seconds=2.0)), on_the_way) == 2.0
    assert clock_offset(head(clock=ClockReading(offset_seconds=300.0)), on_the_way) == 40.0
    assert clock_offset(head(), on_the_way) == 40.0


def test_a_calendar_that_was_set_between_round_and_batch_is_seen_through() -> None:
    found = dated(result(NOW - timedelta(days=3), 980.0), head(), NOW)
    assert found is not None
    assert found.began == NOW - timedelta(seconds=20)
    assert found.mark is ClockMark.SKEWED
