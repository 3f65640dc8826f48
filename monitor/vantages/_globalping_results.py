"""What Globalping's results mean, as observations; pure (the service's published schema, version 1).

A failed test of type http keeps nothing but the text that Node, c-ares or dig gave, so the step is read from that text,
by one table. A text that is in no row is not understood and gives no observation.
"""

import hashlib
import re
from datetime import datetime
from typing import Final, NamedTuple

import msgspec

from monitor.model.failure import Failure
from monitor.model.measurement import Evidence
from monitor.model.observation import (
    DnsAnswer,
    DnsObservation,
    FailureDetail,
    HttpObservation,
    Observation,
    Step,
    TcpObservation,
    TlsObservation,
)
from monitor.model.pattern import is_found
from monitor.network.certificates import is_name_for
from monitor.network.exchange import (
    HEADERS_KEPT,
    KEPT_HEADERS,
    NAME_LENGTH,
    REDIRECTS,
    TITLE_LENGTH,
    VALUE_LENGTH,
    page_title,
)
from monitor.network.failures import RCODE_FAILURES
from monitor.network.received import printable, without_addresses
from monitor.vantages._service import Question, Seen, Visit, one_after_the_other

_ANSWERS_KEPT: Final = 64
_TEXT_READ: Final = 4096
_BODY_KEPT: Final = 65_536
_FINGERPRINT: Final = re.compile("[0-9a-f]{64}")


class Location(msgspec.Struct, frozen=True):
    """Where a probe stands; its address is not told."""

    country: str | None = None
    asn: int | None = None
    network: str | None = None


class Timings(msgspec.Struct, frozen=True):
    """Whole milliseconds; None for a step that there was none of."""

    total: float | None = None
    dns: float | None = None
    tcp: float | None = None
    tls: float | None = None
    first_byte: float | None = msgspec.field(name="firstByte", default=None)
    download: float | None = None


class Party(msgspec.Struct, frozen=True):
    """Subject or issuer of a certificate; `alt` are names as Node prints them: `DNS:x.com, DNS:*.x.com`."""

    common_name: str | None = msgspec.field(name="CN", default=None)
    organisation: str | None = msgspec.field(name="O", default=None)
    country: str | None = msgspec.field(name="C", default=None)
    alt: str | None = None


class Tls(msgspec.Struct, frozen=True):
    """A handshake that came to its end, whatever the certificate was worth to the probe."""

    authorized: bool
    fingerprint256: str
    error: str | None = None
    protocol: str | None = None
    cipher_name: str | None = msgspec.field(name="cipherName", default=None)
    created_at: str | None = msgspec.field(name="createdAt", default=None)
    expires_at: str | None = msgspec.field(name="expiresAt", default=None)
    subject: Party = Party()
    issuer: Party = Party()


class Result(msgspec.Struct, frozen=True):
    """What every test has: how it went, and what the probe's program printed."""

    status: str  # finished, failed, offline, in-progress
    raw_output: str | None = msgspec.field(name="rawOutput", default=None)
    failure_source: str | None = msgspec.field(name="failureSource", default=None)  # target, resolver, internal


class HttpResult(Result, frozen=True):
    """Result of a test of type http."""

    headers: dict[str, str | list[str]] = {}
    raw_headers: str | None = msgspec.field(name="rawHeaders", default=None)
    raw_body: str | None = msgspec.field(name="rawBody", default=None)
    truncated: bool | None = None
    status_code: int | None = msgspec.field(name="statusCode", default=None)
    resolved_address: str | None = msgspec.field(name="resolvedAddress", default=None)
    timings: Timings = Timings()
    tls: Tls | None = None


class Record(msgspec.Struct, frozen=True):
    """One record of an answer."""

    type: str
    value: str
    ttl: int = 0


class DnsResult(Result, frozen=True):
    """Result of a test of type dns."""

    status_code: int | None = msgspec.field(name="statusCode", default=None)
    answers: list[Record] = []
    timings: Timings = Timings()


class Stats(msgspec.Struct, frozen=True):
    """Of a ping: packets answered, and the shortest round trip in milliseconds."""

    rcv: int = 0
    min: float | None = None


class PingResult(Result, frozen=True):
    """Result of a test of type ping."""

    stats: Stats = Stats()


class Told(NamedTuple):
    """What a text tells: the step that failed (None: it ran out of time, at a step not named), and how."""

    step: Step | None
    failure: str
    alert: str | None = None


TIMED_OUT: Final = Told(None, Failure.GENERIC_TIMEOUT_ERROR)

# First match wins. Node's and c-ares' codes, undici's and dig's sentences, and Globalping's own.
TEXTS: Final = tuple(
    (re.compile(pattern), told)
    for pattern, told in (
        (r"Private IP ranges are not allowed", Told(Step.DNS, Failure.DNS_BOGON_ERROR)),
        (r"\bENOTFOUND\b", Told(Step.DNS, Failure.DNS_NXDOMAIN_ERROR)),
        (r"\bENODATA\b", Told(Step.DNS, Failure.DNS_NO_ANSWER)),
        (r"\bESERVFAIL\b", Told(Step.DNS, Failure.DNS_SERVFAIL_ERROR)),
        (r"\bEREFUSED\b", Told(Step.DNS, Failure.DNS_REFUSED_ERROR)),
        (r"\bETIMEOUT\b", Told(Step.DNS, Failure.GENERIC_TIMEOUT_ERROR)),
        (r"no servers could be reached", Told(Step.DNS, Failure.GENERIC_TIMEOUT_ERROR)),
        (r"communications error to \S+: timed out", Told(Step.DNS, Failure.GENERIC_TIMEOUT_ERROR)),
        (r"\bconnect ECONNREFUSED\b", Told(Step.TCP, Failure.CONNECTION_REFUSED)),
        (r"\bconnect ECONNRESET\b", Told(Step.TCP, Failure.CONNECTION_RESET)),
        (r"\bconnect EHOSTUNREACH\b", Told(Step.TCP, Failure.HOST_UNREACHABLE)),
        (r"\bconnect ENETUNREACH\b", Told(Step.TCP, Failure.NETWORK_UNREACHABLE)),
        (r"\bconnect ETIMEDOUT\b", Told(Step.TCP, Failure.TIMED_OUT)),
        (r"disconnected before secure TLS connection", Told(Step.TLS, Failure.EOF_ERROR)),
        (r"\bread ECONNRESET\b", Told(Step.TLS, Failure.CONNECTION_RESET)),
        (r"\bread ETIMEDOUT\b", Told(Step.TLS, Failure.TIMED_OUT)),
        (r"SSL alert number 112\b", Told(Step.TLS, Failure.SSL_INVALID_HOSTNAME, "unrecognized_name")),
        (r"SSL alert number 40\b", Told(Step.TLS, Failure.SSL_FAILED_HANDSHAKE, "handshake_failure")),
        (r"SSL alert number 49\b", Told(Step.TLS, Failure.SSL_FAILED_HANDSHAKE, "access_denied")),
        (r"SSL alert number 70\b", Told(Step.TLS, Failure.SSL_FAILED_HANDSHAKE, "protocol_version")),
        (r"SSL alert number 80\b", Told(Step.TLS, Failure.SSL_FAILED_HANDSHAKE, "internal_error")),
        (r"SSL routines", Told(Step.TLS, Failure.SSL_FAILED_HANDSHAKE)),
        (r"other side closed|socket hang up", Told(Step.HTTP, Failure.EOF_ERROR)),
        (r"Response does not match the HTTP/1\.1 protocol|Parse Error", Told(Step.HTTP, Failure.HTTP_REQUEST_FAILED)),
    )
)
_REQUEST_TIMEOUT: Final = "Request timeout."

# Node's codes for a certificate that does not convince it; any other is a certificate unfit for use.
CERTIFICATE_ERRORS: Final = {
    "DEPTH_ZERO_SELF_SIGNED_CERT": Failure.SSL_UNKNOWN_AUTHORITY,
    "SELF_SIGNED_CERT_IN_CHAIN": Failure.SSL_UNKNOWN_AUTHORITY,
    "UNABLE_TO_GET_ISSUER_CERT": Failure.SSL_UNKNOWN_AUTHORITY,
    "UNABLE_TO_GET_ISSUER_CERT_LOCALLY": Failure.SSL_UNKNOWN_AUTHORITY,
    "UNABLE_TO_VERIFY_LEAF_SIGNATURE": Failure.SSL_UNKNOWN_AUTHORITY,
    "CERT_UNTRUSTED": Failure.SSL_UNKNOWN_AUTHORITY,
    "ERR_TLS_CERT_ALTNAME_INVALID": Failure.SSL_INVALID_HOSTNAME,
    "HOSTNAME_MISMATCH": Failure.SSL_INVALID_HOSTNAME,
    "CERT_HAS_EXPIRED": Failure.SSL_INVALID_CERTIFICATE,
    "CERT_NOT_YET_VALID": Failure.SSL_INVALID_CERTIFICATE,
}


def read_text(result: Result, *, is_tls: bool) -> Told | None:
    """Return what the text of a failed test tells; None: it is not understood, or the service's own failure."""
    text = (result.raw_output or "")[:_TEXT_READ]
    if _REQUEST_TIMEOUT in text:
        is_dns = result.failure_source == "resolver"
        return Told(Step.DNS, Failure.GENERIC_TIMEOUT_ERROR) if is_dns else TIMED_OUT
    told = next((told for pattern, told in TEXTS if pattern.search(text)), None)
    if told is not None and told.step is Step.TLS and not is_tls:
        return told._replace(step=Step.HTTP)  # over cleartext the same words speak of the request
    return told


def dns_observation(result: DnsResult, asked: Question) -> DnsObservation:
    """Return a lookup that was answered."""
    records = [one for one in result.answers[:_ANSWERS_KEPT] if one.type in {"A", "AAAA", "CNAME"}]
    failure: str | None = None
    if result.status_code != 0:
        failure = RCODE_FAILURES.get(result.status_code or 0, Failure.DNS_SERVER_MISBEHAVING)
    elif not any(one.type == asked.query_type for one in records):
        failure = Failure.DNS_NO_ANSWER
    return DnsObservation(
        elapsed_seconds=_seconds(result.timings.total),
        failure=failure,
        host=asked.host,
        query_type=asked.query_type,
        resolver=asked.label,
        transport=asked.transport,
        rcode=result.status_code,
        answers=tuple(DnsAnswer(one.type, printable(one.value, 255)) for one in records),
        ttls_seconds=tuple(max(0, one.ttl) for one in records),
    )


def dns_failed(told: Told, asked: Question) -> DnsObservation | None:
    """Return a lookup that failed, if the text speaks of it; out of time, it is the resolver that was waited for."""
    if told.step not in {Step.DNS, None}:
        return None
    return DnsObservation(
        failure=told.failure,
        host=asked.host,
        query_type=asked.query_type,
        resolver=asked.label,
        transport=asked.transport,
    )


def failed_visit(told: Told, visit: Visit) -> tuple[Observation, ...]:
    """Return the steps of a visit that failed where `told` says, the connection beneath it included."""
    if told.step is Step.DNS:
        lookup = dns_failed(told, Question(visit.url.host))
        return (lookup,) if lookup is not None and not visit.address else ()
    if not visit.address:
        return ()  # whose failure it was is not told
    detail = FailureDetail(alert=told.alert) if told.alert else None
    if told.step is Step.TCP:
        return (TcpObservation(address=visit.address, port=visit.port, failure=told.failure),)
    connected = TcpObservation(address=visit.address, port=visit.port)
    if told.step is Step.TLS and visit.until != "tcp":
        return (
            connected,
            TlsObservation(
                address=visit.address,
                port=visit.port,
                server_name=visit.server_name,
                offered_alpn=("http/1.1",),
                failure=told.failure,
                detail=detail,
            ),
        )
    # Over TLS a handshake must have passed before, but nothing of it is told: it stays absent.
    if told.step is Step.HTTP and visit.until == "http":
        return (connected, _http_failed(told.failure, visit))
    return (connected,)


def _http_failed(failure: str, visit: Visit) -> HttpObservation:
    return HttpObservation(
        url=visit.url.text, address=visit.address, port=visit.port, is_tls=visit.is_tls, failure=failure
    )


def finished_visit(result: HttpResult, visit: Visit) -> Seen:
    """Return the steps of a visit that came to an answer, as deep as it was asked for.

    A response whose certificate did not convince the probe is left out: nobody would have asked that server.
    """
    address = visit.address or printable(result.resolved_address or "", 64)
    timings = result.timings
    steps: list[Observation] = []
    if not visit.address:
        steps.append(
            DnsObservation(
                elapsed_seconds=_seconds(timings.dns),
                host=visit.url.host,
                query_type="A",
                resolver="system",
                transport="udp",
                rcode=0,
                answers=(DnsAnswer("AAAA" if ":" in address else "A", address),),
                ttls_seconds=(0,),
            )
        )
    steps.append(TcpObservation(address=address, port=visit.port, elapsed_seconds=_seconds(timings.tcp)))
    is_proven = not visit.is_tls
    if visit.is_tls and visit.until != "tcp" and result.tls is not None:
        handshake = _handshake(result.tls, visit, address, _seconds(timings.tls))
        is_proven = handshake.verified
        steps.append(handshake)
    evidence: tuple[Evidence, ...] = ()
    if visit.until == "http" and is_proven and result.status_code is not None:
        raw = _raw(result)
        digest = hashlib.sha256(raw).hexdigest()
        evidence = (Evidence(sha256=digest, kind="http_response", content=raw),)
        steps.append(msgspec.structs.replace(_response(result, visit, address), evidence=(digest,)))
    return Seen(one_after_the_other(steps), evidence)


def connected(visit: Visit, round_trip_ms: float | None) -> TcpObservation:
    """Return a connection that a ping over TCP opened."""
    return TcpObservation(address=visit.address, port=visit.port, elapsed_seconds=_seconds(round_trip_ms))


def _handshake(tls: Tls, visit: Visit, address: str, elapsed_seconds: float) -> TlsObservation:
    digest = tls.fingerprint256.replace(":", "").lower()
    if not _FINGERPRINT.fullmatch(digest):
        raise ValueError("no SHA-256 of a certificate")
    failure = None if tls.authorized else CERTIFICATE_ERRORS.get(tls.error or "", Failure.SSL_INVALID_CERTIFICATE)
    names = [one.strip().removeprefix("DNS:") for one in (tls.subject.alt or "")[:_BODY_KEPT].split(",")]
    covers = any(is_name_for(name, visit.server_name) for name in names) if visit.server_name else None
    not_after = _epoch(tls.expires_at)
    return TlsObservation(
        elapsed_seconds=elapsed_seconds,
        failure=failure,
        address=address,
        port=visit.port,
        server_name=visit.server_name,
        offered_alpn=("http/1.1",),
        version=printable(tls.protocol or "", 16) or None,
        cipher=printable(tls.cipher_name or "", 64) or None,
        chain=(digest,),
        leaf_issuer=_name(tls.issuer),
        leaf_not_before=_epoch(tls.created_at),
        leaf_not_after=not_after,
        leaf_covers_name=covers,
        earliest_expiry=not_after,
        certificate_failures=() if failure is None else (str(failure),),
    )


def _response(result: HttpResult, visit: Visit, address: str) -> HttpObservation:
    status = result.status_code or 0
    headers = {name.lower(): value for name, value in list(result.headers.items())[:HEADERS_KEPT]}
    body = _page(result).encode()
    is_truncated = bool(result.truncated)
    found = is_found(visit.text, body) if visit.text is not None else None
    location, failure = None, None
    if status in REDIRECTS and "location" in headers:
        try:
            location = without_addresses(visit.url.join(_joined(headers["location"])).text)
        except ValueError:
            failure = Failure.HTTP_INVALID_REDIRECT_LOCATION_HOST
    kept = [(name, without_addresses(printable(_joined(value), VALUE_LENGTH))) for name, value in headers.items()]
    title = page_title(body)
    return HttpObservation(
        elapsed_seconds=_seconds((result.timings.first_byte or 0) + (result.timings.download or 0)),
        failure=failure,
        url=visit.url.text,
        address=address,
        port=visit.port,
        is_tls=visit.is_tls,
        status_code=status,
        header_names=tuple(sorted(name[:NAME_LENGTH] for name in headers)),
        headers=tuple(sorted(pair for pair in kept if pair[0] in KEPT_HEADERS)),
        location=location,
        title=None if title is None else printable(title, TITLE_LENGTH),
        body_bytes=len(body),
        body_is_truncated=is_truncated,
        body_digest=hashlib.sha256(body).hexdigest()[:32],
        text_found=None if found is False and is_truncated else found,  # the rest of the page was not seen
        first_byte_seconds=_seconds(result.timings.first_byte),
    )


def _raw(result: HttpResult) -> bytes:
    """Return status line, headers without cookies and the body, addresses blotted out: a page may show the probe's."""
    lines = [line for line in (result.raw_headers or "").splitlines() if not line.lower().startswith("set-cookie:")]
    head = without_addresses("\r\n".join(lines)[:_BODY_KEPT])
    return "\r\n".join((f"HTTP/1.1 {result.status_code}", head, "", _page(result))).encode()


def _page(result: HttpResult) -> str:
    return without_addresses((result.raw_body or "")[:_BODY_KEPT])


def _seconds(milliseconds: float | None) -> float:
    return round(max(0.0, milliseconds or 0.0) / 1000, 6)


def _joined(value: str | list[str]) -> str:
    return value if isinstance(value, str) else ", ".join(value)


def _name(party: Party) -> str | None:
    parts = {"CN": party.common_name, "O": party.organisation, "C": party.country}
    return printable(",".join(f"{key}={value}" for key, value in parts.items() if value), 256) or None


def _epoch(text: str | None) -> int | None:
    try:
        return int(datetime.fromisoformat(text).timestamp()) if text else None
    except (ValueError, OverflowError, OSError):
        return None
