"""The tls step: one handshake over a stream already open, the chain kept whether it verifies or not."""

import asyncio
import hashlib
import ssl
import sys
from functools import cache
from typing import Final

from monitor.model.address import is_address
from monitor.model.observation import FailureDetail, Purpose, TlsObservation
from monitor.model.seams import Clock, Stream
from monitor.network.certificates import CertificateReport, TrustStore
from monitor.network.failures import NETWORK_ERRORS, failure_of
from monitor.network.recorder import Recorder
from monitor.network.stream import TlsStream

if sys.version_info < (3, 13):
    from _ssl import ENCODING_DER  # the presented chain is public only from 3.13 on

WEB_ALPN: Final = ("h2", "http/1.1")
# Part of the run context, since filters look at the hello: a change of it is a change of method.
HELLO_PROFILE: Final = f"openssl-{ssl.OPENSSL_VERSION_INFO[0]}.{ssl.OPENSSL_VERSION_INFO[1]}-h2"
_CHAIN_LIMIT: Final = 10  # certificates


@cache
def client_context(alpn: tuple[str, ...]) -> ssl.SSLContext:
    """Return the context that every handshake with this ALPN offer uses: verifies nothing, resumes nothing."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if alpn:
        context.set_alpn_protocols(list(alpn))
    return context


def sha256_of(certificate: bytes) -> str:
    """Return the fingerprint by which certificates are named everywhere."""
    return hashlib.sha256(certificate).hexdigest()


async def handshake(
    clock: Clock, trust: TrustStore, recorder: Recorder, stream: Stream, *, server_name: str | None,
    address: str, port: int, seconds: float, alpn: tuple[str, ...] = WEB_ALPN, purpose: Purpose = Purpose.PATH,
    hop: int = 0, finish: bool = True, verify_name: str | None = None,
) -> tuple[TlsObservation, TlsStream | None]:  # fmt: skip
    """Shake hands within `seconds`; return the observation and the stream, if the handshake came to its end.

    `server_name` is a host name in A-labels; None, or a literal address, sends no name and tests the certificate for
    the address. `verify_name` tests it for another name than the one sent. Whether the peer is whom we asked for says
    `observation.verified` alone. Who sends a request at once may save a packet by `finish=False`.
    """
    if server_name is not None and is_address(server_name):
        server_name = None  # RFC 6066 section 3 allows no literal address
    started = recorder.elapsed()
    failure: str | None = None
    detail: FailureDetail | None = None
    secure = TlsStream(stream, client_context(alpn), server_name)
    try:
        async with asyncio.timeout(seconds):
            await secure.handshake(finish=finish)
    except NETWORK_ERRORS as error:
        failure, detail = failure_of(error)
    done = failure is None
    chain = presented_chain(secure.tls)
    digests = tuple(map(sha256_of, chain))
    tested = verify_name or server_name or address
    report = trust.report(chain, digests, tested, clock.now().timestamp()) if chain else _NO_CHAIN
    if done and report.failures:
        failure, detail = report.failures[0], FailureDetail(verify_code=report.verify_code)
    cipher = secure.tls.cipher() if done else None
    observation = TlsObservation(
        purpose=purpose,
        hop=hop,
        started_seconds=started,
        elapsed_seconds=round(recorder.elapsed() - started, 6),
        failure=failure,
        detail=detail,
        evidence=tuple(recorder.keep("certificate", certificate) for certificate in chain),
        address=address,
        port=port,
        server_name=server_name,
        offered_alpn=alpn,
        version=secure.tls.version() if done else None,
        cipher=cipher[0] if cipher else None,
        alpn=secure.tls.selected_alpn_protocol() if done else None,
        chain=digests,
        leaf_issuer=report.leaf_issuer,
        leaf_not_before=report.leaf_not_before,
        leaf_not_after=report.leaf_not_after,
        leaf_covers_name=report.leaf_covers_name,
        earliest_expiry=report.earliest_expiry,
        certificate_failures=tuple(str(failure) for failure in report.failures),
        bytes_sent=stream.bytes_sent,
        bytes_received=stream.bytes_received,
    )
    return observation, secure if done else None


_NO_CHAIN: Final = CertificateReport(failures=(), verify_code=None)


def presented_chain(tls: ssl.SSLObject) -> tuple[bytes, ...]:
    """Return the DER certificates the peer presented, leaf first, at most 10; empty if none arrived."""
    if sys.version_info >= (3, 13):
        return tuple(tls.get_unverified_chain()[:_CHAIN_LIMIT])
    private = tls._sslobj  # type: ignore[attr-defined]  # noqa: SLF001  public only from 3.13 on
    presented = private.get_unverified_chain() or ()
    return tuple(certificate.public_bytes(ENCODING_DER) for certificate in presented[:_CHAIN_LIMIT])
