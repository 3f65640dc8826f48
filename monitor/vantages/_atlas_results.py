"""What RIPE Atlas's results mean, as observations; pure, but for the trust store that tests certificates.

Addresses of probes (`from`, `src_addr`) are in no form below, so they are never read.
"""

import base64
import binascii
import re
import ssl
from typing import Final, NamedTuple

import msgspec

from monitor.model.failure import Failure
from monitor.model.measurement import Evidence
from monitor.model.observation import (
    DnsObservation,
    FailureDetail,
    Observation,
    Step,
    TcpObservation,
    TlsObservation,
)
from monitor.network.certificates import TrustStore
from monitor.network.dns_reply import labels_of, read_reply
from monitor.network.failures import RCODE_FAILURES, ClassifiedError
from monitor.network.handshake import sha256_of
from monitor.network.received import printable
from monitor.vantages._service import Question, Seen, Visit, one_after_the_other

_CHAIN_LIMIT: Final = 10
_TEXT_READ: Final = 512


class Alert(msgspec.Struct, frozen=True):
    """A TLS alert that the server sent (RFC 8446 section 6)."""

    description: int
    level: int = 2


class SslcertResult(msgspec.Struct, frozen=True):
    """Result of a measurement of type sslcert: `ttc` and `rt` are milliseconds to connection and certificate."""

    prb_id: int
    dst_addr: str | None = None
    method: str | None = None
    ver: str | None = None
    ttc: float | None = None
    rt: float | None = None
    cert: list[str] = []
    server_cipher: str | None = None
    alert: Alert | None = None
    err: str | None = None
    dnserr: str | None = None
    sockerr: str | None = None


class DnsError(msgspec.Struct, frozen=True):
    """Why a resolver gave nothing: milliseconds waited, or a text."""

    timeout: int | None = None
    getaddrinfo: str | None = None


class DnsReply(msgspec.Struct, frozen=True):
    """A reply as it came (`abuf`, base64), after `rt` milliseconds."""

    abuf: str | None = None
    rt: float | None = None


class ResolverResult(msgspec.Struct, frozen=True):
    """What one resolver gave."""

    result: DnsReply | None = None
    error: DnsError | None = None


class DnsResult(ResolverResult, frozen=True):
    """Result of a measurement of type dns; `resultset` where the probe has several resolvers."""

    prb_id: int = 0
    resultset: list[ResolverResult] = []


class Told(NamedTuple):
    """The step that failed, and how."""

    step: Step
    failure: str


# First match wins. Texts of the probe's program in `err`, and of strerror(3).
TEXTS: Final = tuple(
    (re.compile(pattern, re.IGNORECASE), told)
    for pattern, told in (
        (r"^connect: timeout", Told(Step.TCP, Failure.GENERIC_TIMEOUT_ERROR)),
        (r"^connect: .*timed out", Told(Step.TCP, Failure.TIMED_OUT)),
        (r"^connect: .*refused", Told(Step.TCP, Failure.CONNECTION_REFUSED)),
        (r"^connect: .*reset", Told(Step.TCP, Failure.CONNECTION_RESET)),
        (r"^connect: .*(no route to host|host is unreachable)", Told(Step.TCP, Failure.HOST_UNREACHABLE)),
        (r"^connect: .*network is unreachable", Told(Step.TCP, Failure.NETWORK_UNREACHABLE)),
        (r"^timeout reading (hello|certificates)", Told(Step.TLS, Failure.GENERIC_TIMEOUT_ERROR)),
        (r"connection reset by peer", Told(Step.TLS, Failure.CONNECTION_RESET)),
        (r"^bad (type|len)", Told(Step.TLS, Failure.SSL_FAILED_HANDSHAKE)),
    )
)
# RFC 8446 section 6, those that servers send for a name; others keep their number.
ALERTS: Final = {
    40: "handshake_failure",
    49: "access_denied",
    70: "protocol_version",
    80: "internal_error",
    112: "unrecognized_name",
}


def dns_seen(result: DnsResult, asked: Question) -> DnsObservation | None:
    """Return the first reply that any of the probe's resolvers gave, as an ordinary client would have it.

    A timeout if none gave one; None if the result cannot be read.
    """
    tried = result.resultset or [result]
    for one in tried:
        if one.result is not None and one.result.abuf is not None:
            return _answered(one.result, asked)
    is_silence = all(one.error is not None and one.error.timeout is not None for one in tried)
    return _lookup(asked, failure=Failure.GENERIC_TIMEOUT_ERROR) if is_silence else None


def _answered(reply: DnsReply, asked: Question) -> DnsObservation | None:
    try:
        wire = base64.b64decode(reply.abuf or "", validate=True)
        read = read_reply(wire, wire[:2], labels_of(asked.host), asked.query_type)
    except (binascii.Error, ValueError, ClassifiedError):
        return None
    if read is None or read.is_truncated:
        return None
    failure: str | None = None
    if read.rcode:
        failure = RCODE_FAILURES.get(read.rcode, Failure.DNS_SERVER_MISBEHAVING)
    elif not any(one.type == asked.query_type for one in read.answers):
        failure = Failure.DNS_NO_ANSWER
    return msgspec.structs.replace(
        _lookup(asked, failure),
        elapsed_seconds=_seconds(reply.rt),
        rcode=read.rcode,
        answers=read.answers,
        ttls_seconds=read.ttls_seconds,
    )


def _lookup(asked: Question, failure: str | None) -> DnsObservation:
    return DnsObservation(
        failure=failure,
        host=asked.host,
        query_type=asked.query_type,
        resolver=asked.label,
        transport=asked.transport,
    )


def visit_seen(result: SslcertResult, visit: Visit, trust: TrustStore, now: float) -> Seen:
    """Return connection and handshake, as far as the visit goes and the result tells; `now` is epoch seconds."""
    address = visit.address or printable(result.dst_addr or "", 64)
    if not address or result.dnserr is not None or result.sockerr is not None:
        return Seen()
    told = _told(result)
    if told is not None and told.step is Step.TCP:
        return Seen((TcpObservation(address=address, port=visit.port, failure=told.failure),))
    if result.ttc is None:
        return Seen()
    opened = TcpObservation(address=address, port=visit.port, elapsed_seconds=_seconds(result.ttc))
    if visit.until == "tcp" or not visit.is_tls:
        return Seen((opened,))
    shaken, evidence = _handshake(result, told, visit, address, trust=trust, now=now)
    steps: list[Observation] = [opened, *([shaken] if shaken is not None else [])]
    return Seen(one_after_the_other(steps), evidence)


def _told(result: SslcertResult) -> Told | None:
    text = (result.err or "")[:_TEXT_READ]
    return next((told for pattern, told in TEXTS if pattern.search(text)), None)


def _handshake(
    result: SslcertResult, told: Told | None, visit: Visit, address: str, *, trust: TrustStore, now: float
) -> tuple[TlsObservation | None, tuple[Evidence, ...]]:
    plain = TlsObservation(
        elapsed_seconds=_seconds((result.rt or 0.0) - (result.ttc or 0.0)),
        address=address,
        port=visit.port,
        server_name=visit.server_name,
    )
    if result.alert is not None:
        name = ALERTS.get(result.alert.description, f"alert_{result.alert.description}")
        is_name = name == "unrecognized_name"
        failure = Failure.SSL_INVALID_HOSTNAME if is_name else Failure.SSL_FAILED_HANDSHAKE
        return msgspec.structs.replace(plain, failure=failure, detail=FailureDetail(alert=name)), ()
    if told is not None:
        return msgspec.structs.replace(plain, failure=told.failure), ()
    if result.err is not None or not result.cert:
        return None, ()  # nothing is known of a handshake whose failure nobody can read
    chain = tuple(map(_der, result.cert[:_CHAIN_LIMIT]))
    digests = tuple(map(sha256_of, chain))
    report = trust.report(chain, digests, visit.server_name or address, now)
    seen = msgspec.structs.replace(
        plain,
        failure=report.failures[0] if report.failures else None,
        detail=FailureDetail(verify_code=report.verify_code) if report.failures else None,
        evidence=digests,
        version=f"TLSv{printable(result.ver, 8)}" if result.ver else None,
        cipher=printable(result.server_cipher or "", 64) or None,
        chain=digests,
        leaf_issuer=report.leaf_issuer,
        leaf_not_before=report.leaf_not_before,
        leaf_not_after=report.leaf_not_after,
        leaf_covers_name=report.leaf_covers_name,
        earliest_expiry=report.earliest_expiry,
        certificate_failures=tuple(map(str, report.failures)),
    )
    kept = zip(digests, chain, strict=True)
    return seen, tuple(Evidence(sha256=digest, kind="certificate", content=content) for digest, content in kept)


def _der(pem: str) -> bytes:
    return ssl.PEM_cert_to_DER_cert(pem.strip())


def _seconds(milliseconds: float | None) -> float:
    return round(max(0.0, milliseconds or 0.0) / 1000, 6)
