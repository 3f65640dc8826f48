"""What holds for every measurement, however hostile or broken."""

import random
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.classify.context import Context
from monitor.classify.expected import is_unexpected, symptom
from monitor.classify.follow_ups import (
    MAX_CONTROL_CHECKS,
    MAX_RESIDUAL_LOOKS,
    FollowUpSettings,
    Stranger,
    control_checks,
    follow_ups,
    residual_looks,
)
from monitor.classify.rules import RULES
from monitor.classify.verdict import classify
from monitor.config.fingerprints import shipped
from monitor.model.failure import TOO_MANY_REDIRECTS, Failure
from monitor.model.fingerprint import Fingerprint
from monitor.model.measurement import Measurement
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
from monitor.model.target import Expectation
from monitor.model.vantage import VantageState
from monitor.model.verdict import Reason, Status, Verdict
from tests.classify.scene import CONTEXT
from tests.classify.stories import STORIES

SETTINGS: Final = FollowUpSettings(
    harmless_name="harmless.example",
    resolvers=("udp://9.9.9.9", "https://q@9.9.9.9"),
    unrelated_address="192.88.99.1",
    quic_reference=Stranger(host="quic.example", address="192.88.99.2"),
    transfer_reference=Stranger(host="file.example", address="192.88.99.3", url="http://file.example/"),
)
JUNK: Final = "\x1b[31m<script>alert(1)</script>\u202e"

texts = st.sampled_from(["", "a.example", "b.a.example", "A.example.", JUNK, "x" * 300])
addresses = st.sampled_from(
    ["93.184.216.34", "93.184.216.35", "10.0.0.1", "2606:2800::1", "fe80::1", "", "no address", "a.example"]
)
urls = st.sampled_from(
    ["https://a.example/", "http://a.example/", "http://b.a.example:8080/", "https://[2606:2800::1]/", "http://[bad",
     "https://a.example:99999/", f"https://{JUNK}/", "https://93.184.216.34/", "", "mailto:a@b"]
)  # fmt: skip
failures = st.none() | st.sampled_from([*map(str, Failure), TOO_MANY_REDIRECTS, "unknown_failure: x", JUNK, ""])
ports = st.sampled_from([0, 80, 443, 8080, -1])
names = st.lists(st.sampled_from(["server", "content-length", "cf-mitigated", "alt-svc", JUNK]), max_size=3).map(tuple)
common: dict[str, st.SearchStrategy[Any]] = {
    "purpose": st.sampled_from(Purpose),
    "hop": st.sampled_from([0, 0, 0, 1, 2, -3, 10**9]),
    "started_seconds": st.sampled_from([0.0, 0.1, 0.2, 5.0, -1.0]),
    "failure": failures,
    "detail": st.none()
    | st.builds(FailureDetail, alert=st.none() | texts, reason=st.none() | st.just("still_receiving")),
    "evidence": st.sampled_from([(), ("body",), ("missing",)]),
}
answers = st.lists(st.builds(DnsAnswer, st.sampled_from(["A", "AAAA", "CNAME"]), addresses), max_size=3).map(tuple)
observations: st.SearchStrategy[Observation] = st.one_of(
    st.builds(
        DnsObservation,
        host=texts,
        query_type=st.sampled_from(["A", "AAAA", ""]),
        resolver=st.sampled_from(["system", "private", "udp://9.9.9.9", "https://q@9.9.9.9", "tls://[::1]:853", JUNK]),
        transport=st.sampled_from(["udp", "tcp", "tls", "https", ""]),
        answers=answers,
        late_replies=st.lists(
            st.builds(LateReply, elapsed_seconds=st.just(0.1), rcode=st.just(0), answers=answers, evidence=st.just("")),
            max_size=1,
        ).map(tuple),
        **common,
    ),
    st.builds(TcpObservation, address=addresses, port=ports, **common),
    st.builds(
        TlsObservation,
        address=addresses,
        port=ports,
        server_name=st.none() | texts,
        chain=st.sampled_from([(), ("leaf",), ("forged",)]),
        leaf_covers_name=st.none() | st.booleans(),
        certificate_failures=st.sampled_from([(), ("ssl_unknown_authority",), ("ssl_invalid_hostname",)]),
        **common,
    ),
    st.builds(
        HttpObservation,
        url=urls,
        address=addresses,
        port=ports,
        is_tls=st.booleans(),
        status_code=st.none() | st.sampled_from([-1, 0, 200, 301, 403, 429, 451, 503, 10**9]),
        header_names=names,
        headers=names.map(lambda found: tuple((name, "\u0663") for name in found)),
        location=st.none() | urls,
        title=st.none() | texts,
        body_bytes=st.sampled_from([0, 1, 100, -5]),
        body_is_truncated=st.booleans(),
        body_digest=st.none() | st.just("d"),
        text_found=st.none() | st.booleans(),
        bytes_received=st.sampled_from([0, 9, 100_000]),
        elapsed_seconds=st.sampled_from([0.0, 0.1, 9.0, -1.0]),
        **common,
    ),
    st.builds(
        QuicObservation,
        address=addresses,
        port=ports,
        server_name=st.none() | texts,
        chain=st.sampled_from([(), ("leaf",)]),
        **common,
    ),
    st.builds(
        ThroughputObservation,
        url=urls,
        address=addresses,
        port=ports,
        is_tls=st.booleans(),
        status_code=st.none() | st.sampled_from([-1, 200, 403]),
        connect_seconds=st.none() | st.sampled_from([0.0, 0.02, -1.0]),
        handshake_seconds=st.none() | st.sampled_from([0.0, 0.02, 9.0]),
        first_byte_seconds=st.none() | st.sampled_from([0.0, 0.02, 9.0]),
        transfer_seconds=st.sampled_from([0.0, 0.1, 10.0, -1.0]),
        bytes_received=st.sampled_from([0, 9, 20_000, 100_000, -1]),
        is_cut=st.booleans(),
        **common,
    ),
)
measurements = st.builds(
    Measurement,
    id=st.just(1),
    target=st.just("t"),
    url=urls,
    vantage=st.just("v"),
    started_at=st.just(datetime(2026, 1, 1, tzinfo=UTC)),
    elapsed_seconds=st.just(1.0),
    context=st.just(CONTEXT),
    interrupted=st.sampled_from([False, False, False, True]),
    observations=st.lists(observations, max_size=8).map(tuple),
)
contexts = st.builds(
    Context,
    expectation=st.builds(
        Expectation,
        tls_only=st.booleans(),
        tcp_only=st.booleans(),
        statuses=st.sampled_from([(), (200,), (403,)]),
        title=st.none() | texts,
        text=st.none() | texts,
        final_host=st.none() | texts,
    ),
    state_before=st.just(VantageState.ONLINE) | st.none() | st.sampled_from(VantageState),
    state_after=st.just(VantageState.ONLINE) | st.none() | st.sampled_from(VantageState),
    controls=st.lists(measurements, max_size=2).map(tuple),
    isolation=st.none() | measurements,
    known_addresses=st.frozensets(addresses),
    allowed_bogons=st.sampled_from([(), ("10.0.0.0/8",)]),
    fingerprints=st.just(
        (*shipped()[1], Fingerprint(id="broken", location="body", type="regexp", pattern="(", scope="isp"))
    ),
    bodies=st.sampled_from([{}, {"body": b"\xff\xfe"}, {"body": b"h\r\n\r\nrestrictk.wateen.net"}]),
    asn_of=st.dictionaries(addresses, st.sampled_from([1, 2]), max_size=3),
    country=st.none() | st.just("PK"),
    measures_throughput=st.booleans(),
    has_retries=st.booleans(),
    usual_http_seconds=st.none() | st.sampled_from([0.0, 0.2]),
    fault=st.none() | st.none() | st.sampled_from(Reason),
)


@settings(max_examples=150, deadline=None)
@given(measurements, contexts)
def test_every_measurement_gets_a_verdict_of_a_known_rule(measurement: Measurement, context: Context) -> None:
    verdict = classify(measurement, context)
    rule = next(rule for rule in RULES if rule.id == verdict.rule)
    assert verdict.status is rule.status
    assert (verdict.reason is not None) == (verdict.status is Status.INCONCLUSIVE)
    assert verdict.because.endswith(".")
    assert not set(verdict.because) & set("<>\x1b\u202e{}")
    if verdict.status is Status.BLOCKED:
        assert verdict.mechanisms
        assert verdict.confidence is not None


@settings(max_examples=80, deadline=None)
@given(measurements, contexts)
def test_every_measurement_can_be_looked_into(measurement: Measurement, context: Context) -> None:
    assert is_unexpected(measurement, context) in {True, False}
    assert len(follow_ups(measurement, context, SETTINGS)) <= SETTINGS.max_follow_ups
    checks = control_checks(measurement, http3=True, transfer=True)
    assert all(not one.address.startswith("10.") for one in checks)
    assert len(checks) <= MAX_CONTROL_CHECKS + 2
    assert len(residual_looks(measurement, context, SETTINGS)) <= MAX_RESIDUAL_LOOKS


def pointed_out(measurement: Measurement, context: Context) -> tuple[Verdict, list[str]]:
    """The verdict, with the observations it rests on in place of their positions."""
    verdict = classify(measurement, context)
    rests_on = sorted(repr(measurement.observations[at]) for at in verdict.observations)
    return msgspec.structs.replace(verdict, observations=()), rests_on


@settings(max_examples=80, deadline=None)
@given(measurements, contexts, st.randoms(use_true_random=False))
def test_order_of_observations_changes_nothing(
    measurement: Measurement, context: Context, generator: random.Random
) -> None:
    shuffled = list(measurement.observations)
    generator.shuffle(shuffled)
    other = msgspec.structs.replace(measurement, observations=tuple(shuffled))
    assert pointed_out(other, context) == pointed_out(measurement, context)
    assert symptom(other, context) == symptom(measurement, context)


@settings(max_examples=50, deadline=None)
@given(st.sampled_from(sorted(STORIES)), st.randoms(use_true_random=False))
def test_order_of_observations_changes_no_case(name: str, generator: random.Random) -> None:
    measurement, context, _ = STORIES[name]
    shuffled = list(measurement.observations)
    generator.shuffle(shuffled)
    other = msgspec.structs.replace(measurement, observations=tuple(shuffled))
    assert pointed_out(other, context) == pointed_out(measurement, context)


@settings(max_examples=25, deadline=None)
@given(contexts)
def test_context_survives_json(context: Context) -> None:
    assert msgspec.json.decode(msgspec.json.encode(context), type=Context) == context
