"""Failure strings of observations: what the network did, in OONI's words (ooni/spec df-007)."""

from enum import StrEnum
from typing import Final


class Failure(StrEnum):
    """The closed part of df-007; the open rest is `unknown_failure: TEXT` with TEXT scrubbed of addresses."""

    GENERIC_TIMEOUT_ERROR = "generic_timeout_error"
    TIMED_OUT = "timed_out"
    CONNECTION_REFUSED = "connection_refused"
    CONNECTION_RESET = "connection_reset"
    EOF_ERROR = "eof_error"
    HOST_UNREACHABLE = "host_unreachable"
    NETWORK_UNREACHABLE = "network_unreachable"
    CONNECTION_ABORTED = "connection_aborted"
    NETWORK_DOWN = "network_down"
    NETWORK_RESET = "network_reset"
    CONNECTION_ALREADY_CLOSED = "connection_already_closed"
    INTERRUPTED = "interrupted"
    PERMISSION_DENIED = "permission_denied"
    ADDRESS_NOT_AVAILABLE = "address_not_available"
    ADDRESS_IN_USE = "address_in_use"
    ADDRESS_FAMILY_NOT_SUPPORTED = "address_family_not_supported"
    INVALID_ARGUMENT = "invalid_argument"
    MESSAGE_SIZE = "message_size"
    NO_BUFFER_SPACE = "no_buffer_space"
    NO_PROTOCOL_OPTION = "no_protocol_option"
    NOT_CONNECTED = "not_connected"
    DNS_NXDOMAIN_ERROR = "dns_nxdomain_error"
    DNS_NO_ANSWER = "dns_no_answer"
    DNS_REFUSED_ERROR = "dns_refused_error"
    DNS_SERVFAIL_ERROR = "dns_servfail_error"
    DNS_SERVER_MISBEHAVING = "dns_server_misbehaving"
    DNS_BOGON_ERROR = "dns_bogon_error"
    DNS_REPLY_WITH_WRONG_QUERY_ID = "dns_reply_with_wrong_query_id"
    SSL_UNKNOWN_AUTHORITY = "ssl_unknown_authority"
    SSL_INVALID_HOSTNAME = "ssl_invalid_hostname"
    SSL_INVALID_CERTIFICATE = "ssl_invalid_certificate"
    SSL_FAILED_HANDSHAKE = "ssl_failed_handshake"
    QUIC_INCOMPATIBLE_VERSION = "quic_incompatible_version"
    HTTP_INVALID_REDIRECT_LOCATION_HOST = "http_invalid_redirect_location_host"
    HTTP_REQUEST_FAILED = "http_request_failed"


UNKNOWN_FAILURE: Final = "unknown_failure: "
TOO_MANY_REDIRECTS: Final = UNKNOWN_FAILURE + "stopped after too many redirects"

TIMEOUTS: Final = frozenset({Failure.GENERIC_TIMEOUT_ERROR, Failure.TIMED_OUT})
CERTIFICATE_FAILURES: Final = frozenset(
    {Failure.SSL_UNKNOWN_AUTHORITY, Failure.SSL_INVALID_HOSTNAME, Failure.SSL_INVALID_CERTIFICATE}
)
# The local stack or its configuration: a fault of the vantage, never evidence about a platform.
LOCAL_FAULTS: Final = frozenset(
    {
        Failure.CONNECTION_ABORTED,
        Failure.NETWORK_DOWN,
        Failure.NETWORK_RESET,
        Failure.CONNECTION_ALREADY_CLOSED,
        Failure.INTERRUPTED,
        Failure.PERMISSION_DENIED,
        Failure.ADDRESS_NOT_AVAILABLE,
        Failure.ADDRESS_IN_USE,
        Failure.ADDRESS_FAMILY_NOT_SUPPORTED,
        Failure.INVALID_ARGUMENT,
        Failure.MESSAGE_SIZE,
        Failure.NO_BUFFER_SPACE,
        Failure.NO_PROTOCOL_OPTION,
        Failure.NOT_CONNECTED,
    }
)
