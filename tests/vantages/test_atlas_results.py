"""What RIPE Atlas tells, line by line."""

import base64
from typing import Any

import dns.message
import dns.rcode
import msgspec
import pytest

from monitor.model.failure import Failure
from monitor.model.observation import DnsObservation, Step, TcpObservation, TlsObservation
from monitor.network.certificates import TrustStore
from monitor.network.web_url import web_url
from monitor.vantages._atlas_results import TEXTS, DnsResult, SslcertResult, Told, dns_seen, visit_seen
from monitor.vantages._service import Question, Visit
from tests.network.loopback import AUTHORITY, STRANGER

X, ADDRESS, NOW = "x.com", "104.244.42.1", 1_800_000_000.0
TRUST = TrustStore(AUTHORITY.cert_pem.bytes())
SAID: dict[str, Told] = {
    "connect: timeout": Told(Step.TCP, Failure.GENERIC_TIMEOUT_ERROR),
    "connect: Connection timed out": Told(Step.TCP, Failure.TIMED_OUT),
    "connect: Connection refused": Told(Step.TCP, Failure.CONNECTION_REFUSED),
    "connect: Connection reset by peer": Told(Step.TCP, Failure.CONNECTION_RESET),
    "connect: No route to host": Told(Step.TCP, Failure.HOST_UNREACHABLE),
    "connect: Network is unreachable": Told(Step.TCP, Failure.NETWORK_UNREACHABLE),
    "timeout reading hello": Told(Step.TLS, Failure.GENERIC_TIMEOUT_ERROR),
    "timeout reading certificates": Told(Step.TLS, Failure.GENERIC_TIMEOUT_ERROR),
    "read: Connection reset by peer": Told(Step.TLS, Failure.CONNECTION_RESET),
    "bad type 104": Told(Step.TLS, Failure.SSL_FAILED_HANDSHAKE),
    "bad len 21": Told(Step.TLS, Failure.SSL_FAILED_HANDSHAKE),
}


def visit(until: str = "tls", scheme: str = "https") -> Visit:
    return Visit(url=web_url(f"{scheme}://{X}/"), until=until, address=ADDRESS, server_name=X, host=X)


def seen(asked: Visit | None = None, **fields: Any) -> list[Any]:
    return list(visit_seen(SslcertResult(prb_id=1, **fields), asked or visit(), TRUST, NOW).observations)


def test_every_row_has_a_text_here_and_no_text_reaches_an_earlier_row() -> None:
    reached = [next(row for row, (pattern, _) in enumerate(TEXTS) if pattern.search(text)) for text in SAID]
    assert reached == sorted(reached)
    assert set(reached) == set(range(len(TEXTS)))


@pytest.mark.parametrize("text", SAID)
def test_text_tells_step_and_failure(text: str) -> None:
    told = SAID[text]
    steps = seen(err=text) if told.step is Step.TCP else seen(err=text, ttc=20.0)
    assert isinstance(steps[-1], TcpObservation if told.step is Step.TCP else TlsObservation)
    assert steps[-1].failure == told.failure
    assert [one.failure for one in steps[:-1]] == [None] * (len(steps) - 1)


@pytest.mark.parametrize(
    "fields",
    [{}, {"err": "something new"}, {"dnserr": "timeout"}, {"sockerr": "socket"}, {"err": "timeout reading hello"}],
)
def test_what_tells_nothing_gives_no_step(fields: dict[str, Any]) -> None:
    assert seen(**fields) == []


def test_a_handshake_whose_failure_nobody_can_read_stays_absent() -> None:
    (opened,) = seen(err="something new", ttc=20.0)
    assert isinstance(opened, TcpObservation)
    assert opened.failure is None


@pytest.mark.parametrize(
    ("number", "failure", "name"),
    [
        (40, Failure.SSL_FAILED_HANDSHAKE, "handshake_failure"),
        (112, Failure.SSL_INVALID_HOSTNAME, "unrecognized_name"),
        (99, Failure.SSL_FAILED_HANDSHAKE, "alert_99"),
    ],
)
def test_an_alert_is_named(number: int, failure: str, name: str) -> None:
    result = msgspec.convert({"prb_id": 1, "ttc": 9, "alert": {"level": 2, "description": number}}, SslcertResult)
    shaken = visit_seen(result, visit(), TRUST, NOW).observations[-1]
    assert isinstance(shaken, TlsObservation)
    assert shaken.failure == failure
    assert shaken.detail is not None
    assert shaken.detail.alert == name


def test_a_certificate_is_tested_here() -> None:
    chain = [AUTHORITY.issue_cert(X).cert_chain_pems[0].bytes().decode()]
    result = SslcertResult(prb_id=1, ttc=20.0, rt=60.0, ver="1.2", cert=chain)
    found = visit_seen(result, visit(), TRUST, NOW)
    opened, shaken = found.observations
    assert (opened.elapsed_seconds, shaken.started_seconds, shaken.elapsed_seconds) == (0.02, 0.02, 0.04)
    assert isinstance(shaken, TlsObservation)
    assert shaken.verified
    assert shaken.evidence == shaken.chain == tuple(one.sha256 for one in found.evidence)


def test_a_foreign_certificate_is_not_believed() -> None:
    chain = [STRANGER.issue_cert(X).cert_chain_pems[0].bytes().decode()]
    shaken = seen(ttc=20.0, rt=60.0, cert=chain)[-1]
    assert not shaken.verified
    assert shaken.failure == Failure.SSL_UNKNOWN_AUTHORITY


def test_over_cleartext_nothing_but_the_connection_is_seen() -> None:
    assert [type(one) for one in seen(visit("http", "http"), ttc=20.0, cert=["x"])] == [TcpObservation]


def reply(rcode: int = 0, name: str = X) -> str:
    made = dns.message.make_response(dns.message.make_query(name, "A"))
    made.set_rcode(dns.rcode.Rcode(rcode))
    return base64.b64encode(made.to_wire()).decode()


def looked_up(result: dict[str, Any]) -> DnsObservation | None:
    return dns_seen(msgspec.convert({"prb_id": 1, **result}, DnsResult), Question(X))


@pytest.mark.parametrize(
    ("rcode", "failure"),
    [
        (0, Failure.DNS_NO_ANSWER),
        (2, Failure.DNS_SERVFAIL_ERROR),
        (3, Failure.DNS_NXDOMAIN_ERROR),
        (5, Failure.DNS_REFUSED_ERROR),
        (9, Failure.DNS_SERVER_MISBEHAVING),
    ],
)
def test_a_reply_without_addresses_says_why(rcode: int, failure: str) -> None:
    found = looked_up({"resultset": [{"error": {"timeout": 5000}}, {"result": {"abuf": reply(rcode), "rt": 3.5}}]})
    assert found is not None
    assert (found.failure, found.rcode, found.elapsed_seconds) == (failure, rcode, 0.0035)


def test_silence_of_every_resolver_is_a_timeout() -> None:
    found = looked_up({"resultset": [{"error": {"timeout": 5000}}, {"error": {"timeout": 5000}}]})
    assert found is not None
    assert (found.failure, found.rcode) == (Failure.GENERIC_TIMEOUT_ERROR, None)


@pytest.mark.parametrize(
    "result",
    [
        {},
        {"error": {"getaddrinfo": "no"}},
        {"resultset": [{"error": {"timeout": 5000}}, {"error": {"getaddrinfo": "no"}}]},
        {"result": {"abuf": "not base64!"}},
        {"result": {"abuf": "AAAA"}},
        {"result": {"abuf": reply(name="other.example")}},
    ],
)
def test_what_cannot_be_read_is_no_answer(result: dict[str, Any]) -> None:
    assert looked_up(result) is None


def test_no_form_has_a_place_for_the_address_of_a_probe() -> None:
    fields = {*SslcertResult.__struct_encode_fields__, *DnsResult.__struct_encode_fields__}
    assert {"from", "src_addr"}.isdisjoint(fields)
    assert {"dst_addr", "resultset"} <= fields
