import string
from datetime import UTC, datetime

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from monitor.model.measurement import Measurement, RunContext
from monitor.model.observation import (
    DnsAnswer,
    DnsObservation,
    FailureDetail,
    HttpObservation,
    LateReply,
    Observation,
    Purpose,
    QuicObservation,
    TcpObservation,
    ThroughputObservation,
    TlsObservation,
)
from monitor.model.vantage import NetworkIdentity
from monitor.store.rows import as_stored, digest, instant, milliseconds, observation_from, observation_row
from tests.store.samples import NOW

TEXT = st.text(st.characters(codec="utf-8"), max_size=20)
COUNT = st.integers(0, 2**40)
LENGTH = st.floats(0, 1e5, allow_nan=False)
HEX = st.text(string.hexdigits.lower(), min_size=32, max_size=32)
SHARED = {
    "purpose": st.sampled_from(Purpose),
    "hop": st.integers(0, 10),
    "started_seconds": LENGTH,
    "elapsed_seconds": LENGTH,
    "failure": st.none() | TEXT,
    "detail": st.none() | st.builds(FailureDetail, errno=st.none() | COUNT, reason=st.none() | TEXT),
    "evidence": st.lists(HEX, max_size=3).map(tuple),
}
ANSWERS = st.lists(st.builds(DnsAnswer, st.sampled_from(("A", "AAAA", "CNAME")), TEXT), max_size=3).map(tuple)
LATE = st.builds(LateReply, elapsed_seconds=LENGTH, rcode=st.integers(0, 15), answers=ANSWERS, evidence=HEX)
NAMES = st.lists(TEXT, max_size=3).map(tuple)
HEADER = st.tuples(st.sampled_from(("server", "content-length", "last-modified", "via")), TEXT)
OBSERVATIONS: st.SearchStrategy[Observation] = st.one_of(
    st.builds(
        DnsObservation,
        **SHARED,
        host=TEXT,
        query_type=TEXT,
        resolver=TEXT,
        transport=TEXT,
        rcode=st.none() | st.integers(0, 15),
        answers=ANSWERS,
        ttls_seconds=st.lists(COUNT, max_size=3).map(tuple),
        late_replies=st.lists(LATE, max_size=2).map(tuple),
    ),
    st.builds(TcpObservation, **SHARED, address=TEXT, port=st.integers(0, 65535)),
    st.builds(
        TlsObservation,
        **SHARED,
        address=TEXT,
        port=st.integers(0, 65535),
        server_name=st.none() | TEXT,
        chain=NAMES,
        certificate_failures=NAMES,
        leaf_covers_name=st.none() | st.booleans(),
        leaf_not_after=st.none() | st.integers(),
        bytes_received=COUNT,
    ),
    st.builds(
        HttpObservation,
        **SHARED,
        url=TEXT,
        address=TEXT,
        port=st.integers(0, 65535),
        is_tls=st.booleans(),
        status_code=st.none() | st.integers(100, 599),
        header_names=NAMES,
        headers=st.lists(HEADER, max_size=4).map(tuple),
        title=st.none() | TEXT,
        body_bytes=COUNT,
        body_digest=st.none() | HEX | TEXT,
        first_byte_seconds=st.none() | LENGTH,
        bytes_sent=COUNT,
        bytes_received=COUNT,
    ),
    st.builds(
        QuicObservation,
        **SHARED,
        address=TEXT,
        port=st.integers(0, 65535),
        server_name=st.none() | TEXT,
        offered_alpn=NAMES,
        version=st.none() | TEXT,
        server_versions=NAMES,
        alpn=st.none() | TEXT,
        chain=NAMES,
        certificate_failures=NAMES,
        leaf_covers_name=st.none() | st.booleans(),
        bytes_sent=COUNT,
        bytes_received=COUNT,
    ),
    st.builds(
        ThroughputObservation,
        **SHARED,
        url=TEXT,
        address=TEXT,
        port=st.integers(0, 65535),
        is_tls=st.booleans(),
        server_name=st.none() | TEXT,
        status_code=st.none() | st.integers(100, 599),
        connect_seconds=st.none() | LENGTH,
        handshake_seconds=st.none() | LENGTH,
        first_byte_seconds=st.none() | LENGTH,
        transfer_seconds=LENGTH,
        bytes_received=COUNT,
        is_cut=st.booleans(),
        samples=st.lists(st.tuples(COUNT, COUNT), max_size=3).map(tuple),
        variation=st.none() | st.floats(0, 100),
    ),
)
MEASUREMENTS = st.builds(
    Measurement,
    id=st.integers(1, 2**53 - 1),
    target=TEXT,
    url=TEXT,
    vantage=TEXT,
    started_at=st.datetimes(datetime(2015, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001 -- hypothesis adds the zone
    elapsed_seconds=LENGTH,
    context=st.builds(
        RunContext,
        software=TEXT,
        config_digest=TEXT,
        ca_digest=TEXT,
        hello_profile=TEXT,
        clock_offset_seconds=st.none() | st.floats(-1e5, 1e5, allow_nan=False),
        clock_source=st.none() | TEXT,
    ),
    network=st.builds(NetworkIdentity, asn=st.none() | COUNT, name=st.none() | TEXT, country=st.none() | TEXT),
    is_deep=st.booleans(),
    interrupted=st.booleans(),
    observations=st.lists(OBSERVATIONS, max_size=5).map(tuple),
)


@given(MEASUREMENTS)
def test_any_observation_survives_being_cut_into_columns(measurement: Measurement) -> None:
    stored = as_stored(measurement)
    rows = [observation_row(observation) for observation in measurement.observations]
    again = [
        observation_from(row, observation.evidence)
        for row, observation in zip(rows, measurement.observations, strict=True)
    ]
    assert tuple(again) == stored.observations


@given(MEASUREMENTS)
def test_what_is_stored_is_stored_unchanged_a_second_time(measurement: Measurement) -> None:
    stored = as_stored(measurement)
    assert as_stored(stored) == stored
    assert digest(as_stored(stored)) == digest(stored)


@given(MEASUREMENTS, LENGTH)
def test_the_digest_tells_measurements_apart(measurement: Measurement, elapsed: float) -> None:
    stored = as_stored(measurement)
    other = as_stored(msgspec.structs.replace(measurement, elapsed_seconds=elapsed))
    assert (digest(other) == digest(stored)) == (other == stored)


def test_times_are_whole_milliseconds_since_1970() -> None:
    assert milliseconds(NOW.replace(microsecond=1999)) == int(NOW.timestamp()) * 1000 + 1
    assert instant(milliseconds(NOW)) == NOW


def test_a_changing_page_leaves_the_stable_part_the_same() -> None:
    def facts(length: str, digest_: str) -> tuple[str, str]:
        row = observation_row(
            HttpObservation(
                url="https://x.com/",
                address="192.0.2.1",
                port=443,
                is_tls=True,
                headers=(("content-length", length), ("server", "s")),
                body_bytes=int(length),
                body_digest=digest_,
                first_byte_seconds=int(length) / 1e6,
            )
        )
        return row.step, row.facts

    assert facts("100", "0" * 32) == facts("200", "1" * 32)
