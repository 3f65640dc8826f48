"""Exceptions of the network as failure strings, in one table (OONI df-007).

Order: already classified > TLS alert or reason > errno > our deadline > end of stream > malformed reply > unknown.
`ssl.SSLError` goes before errno because its `errno` is OpenSSL's own number: 1 is SSL_ERROR_SSL there and EPERM here.
"""

import errno
import re
import ssl
import zlib
from typing import Final

import h2.exceptions
import h11

from monitor.model.address import is_address
from monitor.model.failure import UNKNOWN_FAILURE, Failure
from monitor.model.observation import FailureDetail
from monitor.network.received import SCRUBBED


class ClassifiedError(Exception):
    """A failure of the network whose string is known where it is noticed; `received` is what told it, if bytes did."""

    def __init__(self, failure: str, detail: FailureDetail | None = None, received: bytes = b"") -> None:
        super().__init__(str(failure))
        self.failure = failure
        self.detail = detail
        self.received = received


# What a step catches; anything else is a mistake of ours and raises.
NETWORK_ERRORS: Final = (
    ClassifiedError, OSError, EOFError, zlib.error, h11.RemoteProtocolError, h2.exceptions.ProtocolError,
)  # fmt: skip

# OSError as well, yet never evidence: raised.
OUR_FAULT: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM})

ERRNO_FAILURES: Final = {
    errno.ETIMEDOUT: Failure.TIMED_OUT,
    errno.ECONNREFUSED: Failure.CONNECTION_REFUSED,
    errno.ECONNRESET: Failure.CONNECTION_RESET,
    errno.EPIPE: Failure.CONNECTION_RESET,  # Linux reports a reset so once the peer has also sent FIN
    errno.EHOSTUNREACH: Failure.HOST_UNREACHABLE,
    errno.ENETUNREACH: Failure.NETWORK_UNREACHABLE,
    errno.ECONNABORTED: Failure.CONNECTION_ABORTED,
    errno.ENETDOWN: Failure.NETWORK_DOWN,
    errno.ENODEV: Failure.NETWORK_DOWN,  # the interface to bind to is gone
    errno.ENETRESET: Failure.NETWORK_RESET,
    errno.EBADF: Failure.CONNECTION_ALREADY_CLOSED,
    errno.EINTR: Failure.INTERRUPTED,
    errno.EACCES: Failure.PERMISSION_DENIED,
    errno.EPERM: Failure.PERMISSION_DENIED,  # a local firewall
    errno.EADDRNOTAVAIL: Failure.ADDRESS_NOT_AVAILABLE,
    errno.EADDRINUSE: Failure.ADDRESS_IN_USE,
    errno.EAFNOSUPPORT: Failure.ADDRESS_FAMILY_NOT_SUPPORTED,
    errno.EINVAL: Failure.INVALID_ARGUMENT,
    errno.EMSGSIZE: Failure.MESSAGE_SIZE,
    errno.ENOBUFS: Failure.NO_BUFFER_SPACE,
    errno.ENOPROTOOPT: Failure.NO_PROTOCOL_OPTION,
    errno.ENOTCONN: Failure.NOT_CONNECTED,
}

# X509_V_ERR_* of OpenSSL's x509_vfy.h; a code not listed is a certificate unfit for use.
VERIFY_FAILURES: Final = {
    **dict.fromkeys((2, 18, 19, 20, 21, 24, 27), Failure.SSL_UNKNOWN_AUTHORITY),
    **dict.fromkeys((62, 64), Failure.SSL_INVALID_HOSTNAME),
    **dict.fromkeys((7, 9, 10, 22, 23, 25, 26, 28, 66, 67, 68, 79), Failure.SSL_INVALID_CERTIFICATE),
}

# RFC 1035 section 4.1.1; any other code but 0 is a server that misbehaves.
RCODE_FAILURES: Final = {
    2: Failure.DNS_SERVFAIL_ERROR,
    3: Failure.DNS_NXDOMAIN_ERROR,
    5: Failure.DNS_REFUSED_ERROR,
}

# RFC 1928 section 6: what a SOCKS proxy says about the connection it was asked for. Any other code but 0 and 1 says
# that the proxy will not do it, and 1 says nothing at all.
SOCKS_FAILURES: Final = {
    3: Failure.NETWORK_UNREACHABLE,
    4: Failure.HOST_UNREACHABLE,
    5: Failure.CONNECTION_REFUSED,
    6: Failure.TIMED_OUT,  # "TTL expired", for want of a code of its own
}

# RFC 9209 section 2.3: what a proxy says in Proxy-Status about the connection it tried.
PROXY_STATUS_FAILURES: Final = {
    "connection_refused": Failure.CONNECTION_REFUSED,
    "connection_timeout": Failure.TIMED_OUT,
    "connection_terminated": Failure.CONNECTION_RESET,
    "destination_ip_unroutable": Failure.HOST_UNREACHABLE,
}

# strerror(3) of an SSH server's attempt, the reason with which it refuses a channel (RFC 4254 section 5.1, code 2).
SSH_FAILURES: Final = {
    "connection refused": Failure.CONNECTION_REFUSED,
    "connection timed out": Failure.TIMED_OUT,
    "operation timed out": Failure.TIMED_OUT,
    "connection reset by peer": Failure.CONNECTION_RESET,
    "no route to host": Failure.HOST_UNREACHABLE,
    "host is unreachable": Failure.HOST_UNREACHABLE,
    "network is unreachable": Failure.NETWORK_UNREACHABLE,
}

CLASS_FAILURES: Final[tuple[tuple[type[BaseException], Failure, str | None], ...]] = (
    (TimeoutError, Failure.GENERIC_TIMEOUT_ERROR, None),  # without errno: our own deadline
    (EOFError, Failure.EOF_ERROR, None),
    (zlib.error, Failure.HTTP_REQUEST_FAILED, "undecodable_body"),
    (h11.RemoteProtocolError, Failure.HTTP_REQUEST_FAILED, "malformed_http"),
    (h2.exceptions.InvalidBodyLengthError, Failure.EOF_ERROR, None),
    (h2.exceptions.ProtocolError, Failure.HTTP_REQUEST_FAILED, "malformed_http"),
)

# OpenSSL's reasons for alerts received: SSLV3_ALERT_HANDSHAKE_FAILURE, TLSV1_UNRECOGNIZED_NAME, ...
_ALERT: Final = re.compile(r"(?:SSLV3|TLSV1|TLSV13)_(?:ALERT_)?(\w+)")
_REASON: Final = re.compile(r"^\[\w+\]|\(_ssl\.c:\d+\)$")
_MAYBE_ADDRESS: Final = re.compile(r"[0-9a-f:.]*[0-9a-f:](?:%\w+)?", re.IGNORECASE)
_TEXT_LIMIT: Final = 200


def failure_of(error: Exception) -> tuple[str, FailureDetail | None]:
    """Return the failure string of `error` and what lies behind it.

    Raises `error` itself if this process is at fault (`OUR_FAULT`).
    """
    if isinstance(error, ClassifiedError):
        return error.failure, error.detail
    if isinstance(error, ssl.SSLError):
        return _tls_failure(error)
    if isinstance(error, OSError) and error.errno is not None:
        if error.errno in OUR_FAULT:
            raise error
        if error.errno in ERRNO_FAILURES:
            return ERRNO_FAILURES[error.errno], FailureDetail(errno=error.errno)
        return unknown_failure(error.strerror or str(error)), FailureDetail(errno=error.errno)
    for kind, failure, reason in CLASS_FAILURES:
        if isinstance(error, kind):
            return failure, FailureDetail(reason=reason) if reason else None
    return unknown_failure(f"{type(error).__name__} {error}"), None


def unknown_failure(text: str) -> str:
    """Return `unknown_failure: TEXT`, at most 200 printable characters of it, IP addresses replaced."""
    printable = "".join(character if character.isprintable() else " " for character in text)
    return UNKNOWN_FAILURE + _MAYBE_ADDRESS.sub(_without_address, printable[: 2 * _TEXT_LIMIT])[:_TEXT_LIMIT]


def _without_address(found: re.Match[str]) -> str:
    return SCRUBBED if is_address(found[0]) else found[0]


def _spelled_out(error: ssl.SSLError) -> str:
    text = _REASON.sub("", str(error.args[-1]) if error.args else "")
    return "_".join(text.upper().split())[:_TEXT_LIMIT] or "UNKNOWN"


def _tls_failure(error: ssl.SSLError) -> tuple[str, FailureDetail]:
    if isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError):
        return Failure.EOF_ERROR, FailureDetail(reason="tls_closed")
    # Python knows no name for some reasons of OpenSSL; the text after "[SSL] " always says it.
    reason = getattr(error, "reason", None) or _spelled_out(error)
    if alert := _ALERT.fullmatch(reason):
        name = alert[1].lower()
        # Alert 112 (RFC 6066 section 3): the server has no certificate for the name.
        failure = Failure.SSL_INVALID_HOSTNAME if name == "unrecognized_name" else Failure.SSL_FAILED_HANDSHAKE
        return failure, FailureDetail(alert=name)
    return Failure.SSL_FAILED_HANDSHAKE, FailureDetail(reason=reason.lower())
