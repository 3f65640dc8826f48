"""Every text of a failed test, line by line, and results that say more or less than usual."""

import pytest

from monitor.model.failure import Failure
from monitor.model.observation import DnsObservation, HttpObservation, Step, TcpObservation, TlsObservation
from monitor.network.web_url import web_url
from monitor.vantages._globalping_results import (
    CERTIFICATE_ERRORS,
    TEXTS,
    TIMED_OUT,
    HttpResult,
    Party,
    Result,
    Tls,
    Told,
    failed_visit,
    finished_visit,
    read_text,
)
from monitor.vantages._service import Visit

X, ADDRESS = "x.com", "104.244.42.1"
# Node's, c-ares', undici's, OpenSSL's, dig's and the service's own words.
SAID: dict[str, Told] = {
    "Private IP ranges are not allowed.": Told(Step.DNS, Failure.DNS_BOGON_ERROR),
    "queryA ENOTFOUND x.com": Told(Step.DNS, Failure.DNS_NXDOMAIN_ERROR),
    "queryA ENODATA x.com": Told(Step.DNS, Failure.DNS_NO_ANSWER),
    "queryA ESERVFAIL x.com": Told(Step.DNS, Failure.DNS_SERVFAIL_ERROR),
    "queryA EREFUSED x.com": Told(Step.DNS, Failure.DNS_REFUSED_ERROR),
    "queryA ETIMEOUT x.com": Told(Step.DNS, Failure.GENERIC_TIMEOUT_ERROR),
    ";; connection timed out; no servers could be reached": Told(Step.DNS, Failure.GENERIC_TIMEOUT_ERROR),
    ";; communications error to x.x.x.x#53: timed out": Told(Step.DNS, Failure.GENERIC_TIMEOUT_ERROR),
    f"connect ECONNREFUSED {ADDRESS}:443": Told(Step.TCP, Failure.CONNECTION_REFUSED),
    f"connect ECONNRESET {ADDRESS}:443": Told(Step.TCP, Failure.CONNECTION_RESET),
    f"connect EHOSTUNREACH {ADDRESS}:443": Told(Step.TCP, Failure.HOST_UNREACHABLE),
    f"connect ENETUNREACH {ADDRESS}:443": Told(Step.TCP, Failure.NETWORK_UNREACHABLE),
    f"connect ETIMEDOUT {ADDRESS}:443": Told(Step.TCP, Failure.TIMED_OUT),
    "Client network socket disconnected before secure TLS connection was established": Told(
        Step.TLS, Failure.EOF_ERROR
    ),
    "read ECONNRESET": Told(Step.TLS, Failure.CONNECTION_RESET),
    "read ETIMEDOUT": Told(Step.TLS, Failure.TIMED_OUT),
    "80:error:0A000458:SSL routines:ssl3_read_bytes:tlsv1 unrecognized name:s3.c:1:SSL alert number 112": Told(
        Step.TLS, Failure.SSL_INVALID_HOSTNAME, "unrecognized_name"
    ),
    "80:error:0A000410:SSL routines:ssl3_read_bytes:handshake failure:s3.c:1:SSL alert number 40": Told(
        Step.TLS, Failure.SSL_FAILED_HANDSHAKE, "handshake_failure"
    ),
    "80:error:0A000419:SSL routines:ssl3_read_bytes:access denied:s3.c:1:SSL alert number 49": Told(
        Step.TLS, Failure.SSL_FAILED_HANDSHAKE, "access_denied"
    ),
    "80:error:0A00042E:SSL routines:ssl3_read_bytes:protocol version:s3.c:1:SSL alert number 70": Told(
        Step.TLS, Failure.SSL_FAILED_HANDSHAKE, "protocol_version"
    ),
    "80:error:0A000438:SSL routines:ssl3_read_bytes:internal error:s3.c:1:SSL alert number 80": Told(
        Step.TLS, Failure.SSL_FAILED_HANDSHAKE, "internal_error"
    ),
    "80:error:0A00010B:SSL routines:ssl3_get_record:wrong version number:s3.c:1:": Told(
        Step.TLS, Failure.SSL_FAILED_HANDSHAKE
    ),
    "other side closed": Told(Step.HTTP, Failure.EOF_ERROR),
    "Response does not match the HTTP/1.1 protocol (Expected HTTP/)": Told(Step.HTTP, Failure.HTTP_REQUEST_FAILED),
}


def visit(until: str = "tls", scheme: str = "https", *, address: str = ADDRESS) -> Visit:
    return Visit(
        url=web_url(f"{scheme}://{X}/"),
        until=until,
        address=address,
        port=443 if scheme == "https" else 80,
        server_name=X,
        host=X,
    )


def test_every_row_has_a_text_here_and_no_text_reaches_an_earlier_row() -> None:
    reached = [next(row for row, (pattern, _) in enumerate(TEXTS) if pattern.search(text)) for text in SAID]
    assert reached == sorted(reached)
    assert set(reached) == set(range(len(TEXTS)))


@pytest.mark.parametrize("text", SAID)
def test_text_tells_step_and_failure(text: str) -> None:
    assert read_text(Result(status="failed", raw_output=text), is_tls=True) == SAID[text]


@pytest.mark.parametrize("text", ["", "Something new", "ENOTFOUNDATION", "Failed to resolve hostname"])
def test_text_that_is_in_no_row_is_not_understood(text: str) -> None:
    assert read_text(Result(status="failed", raw_output=text), is_tls=True) is None


def test_a_timeout_names_no_step_unless_the_resolver_was_waited_for() -> None:
    late = Result(status="failed", raw_output="Request timeout.", failure_source="target")
    assert read_text(late, is_tls=True) is TIMED_OUT
    resolving = Result(status="failed", raw_output="Request timeout.", failure_source="resolver")
    assert read_text(resolving, is_tls=True) == Told(Step.DNS, Failure.GENERIC_TIMEOUT_ERROR)


def test_a_reset_over_cleartext_is_one_of_the_request() -> None:
    reset = Result(status="failed", raw_output="read ECONNRESET")
    told = read_text(reset, is_tls=False)
    assert told == Told(Step.HTTP, Failure.CONNECTION_RESET)
    opened, request = failed_visit(told, visit("http", "http"))
    assert isinstance(opened, TcpObservation)
    assert opened.failure is None
    assert isinstance(request, HttpObservation)
    assert request.failure == Failure.CONNECTION_RESET


def test_a_failure_after_the_handshake_leaves_the_handshake_absent() -> None:
    steps = failed_visit(Told(Step.HTTP, Failure.EOF_ERROR), visit("http"))
    assert [type(one) for one in steps] == [TcpObservation, HttpObservation]


def test_a_private_address_behind_a_name_is_a_failed_lookup() -> None:
    told = SAID["Private IP ranges are not allowed."]
    (lookup,) = failed_visit(told, visit(address=""))
    assert isinstance(lookup, DnsObservation)
    assert (lookup.host, lookup.failure) == (X, Failure.DNS_BOGON_ERROR)
    assert failed_visit(told, visit()) == ()


@pytest.mark.parametrize("code", [*CERTIFICATE_ERRORS, "SOMETHING_NEW"])
def test_a_certificate_that_does_not_convince_is_never_verified(code: str) -> None:
    tls = Tls(
        authorized=False, error=code, fingerprint256="AB:" * 31 + "AB", subject=Party(alt="DNS:*.x.com, DNS:x.com")
    )
    result = HttpResult(status="finished", status_code=200, raw_body="<title>no</title>", tls=tls)
    opened, shaken = finished_visit(result, visit("http")).observations  # and no request
    assert isinstance(opened, TcpObservation)
    assert isinstance(shaken, TlsObservation)
    assert not shaken.verified
    assert shaken.failure == CERTIFICATE_ERRORS.get(code, Failure.SSL_INVALID_CERTIFICATE)
    assert shaken.leaf_covers_name
    assert shaken.chain == ("ab" * 32,)


def test_a_page_keeps_no_cookie_and_no_address_but_hosts_of_links() -> None:
    page = 'your address: 198.51.100.7, <a href="http://203.0.113.9:8080/blocked?from=198.51.100.7">x</a> 2001:db8::7'
    result = HttpResult(
        status="finished",
        status_code=200,
        raw_headers="Server: x\nSet-Cookie: id=198.51.100.7\nX-Client: 198.51.100.7",
        headers={"server": "x", "set-cookie": ["a", "b"], "location": "http://203.0.113.9/?from=198.51.100.7"},
        raw_body=page,
    )
    seen = finished_visit(result, visit("http", "http"))
    content = seen.evidence[0].content.decode()
    assert "198.51.100.7" not in content
    assert "2001:db8::7" not in content
    assert "Set-Cookie" not in content
    assert "http://203.0.113.9:8080/blocked?from=[scrubbed]" in content


def test_what_is_missing_from_a_page_cut_short_is_not_known() -> None:
    result = HttpResult(status="finished", status_code=200, raw_body="begin", truncated=True)
    asked = Visit(url=web_url(f"http://{X}/"), until="http", address=ADDRESS, port=80, host=X, text="the end")
    page = finished_visit(result, asked).observations[-1]
    assert isinstance(page, HttpObservation)
    assert page.text_found is None
    assert page.body_is_truncated
