"""Failure strings of OONI's data, old ones included, in the words that our rules know.

A string whose cause cannot be known from it becomes `unknown_failure: …`, which no rule calls a block.
"""

import ipaddress
import re
from typing import Final

from monitor.model.failure import UNKNOWN_FAILURE, Failure
from monitor.network.received import SCRUBBED, printable

# Old names of the same thing. What resolvers of Windows and Android say leaves the cause open.
_RENAMED: Final = {
    "dns_name_error": Failure.DNS_NXDOMAIN_ERROR,
    "dns_server_failure": Failure.DNS_SERVFAIL_ERROR,
    "dns_lookup_error": Failure.DNS_SERVER_MISBEHAVING,
    "dns_temporary_failure": Failure.DNS_SERVER_MISBEHAVING,
    "dns_non_recoverable_failure": Failure.DNS_SERVER_MISBEHAVING,
    "android_dns_cache_no_data": Failure.DNS_SERVER_MISBEHAVING,
    "connection_refused_error": Failure.CONNECTION_REFUSED,
    "tcp_timed_out_error": Failure.TIMED_OUT,
    "deferred_timeout_error": Failure.GENERIC_TIMEOUT_ERROR,
    "ssl_error": Failure.SSL_FAILED_HANDSHAKE,
}
_KNOWN: Final = frozenset(Failure)
_TEXT_LENGTH: Final = 200
_ADDRESS: Final = re.compile(r"[0-9A-Fa-f:.]{2,}")


def failure_from(value: object) -> str | None:
    """Return a failure as our observations have it; null and `false` are none."""
    if value is None or value is False:
        return None
    if not isinstance(value, str) or not value:
        return f"{UNKNOWN_FAILURE}not a string"
    if value in _KNOWN:
        return value
    if value in _RENAMED:
        return _RENAMED[value]
    text = printable(value.removeprefix("unknown_failure").lstrip(": "), _TEXT_LENGTH)
    return UNKNOWN_FAILURE + _ADDRESS.sub(_scrubbed, text)


def _scrubbed(found: re.Match[str]) -> str:
    candidate = found[0].rstrip(".:")
    for one in (candidate, candidate.rpartition(":")[0]):
        try:
            ipaddress.ip_address(one)
        except ValueError:
            continue
        return SCRUBBED + found[0][len(candidate) :]
    return found[0]
