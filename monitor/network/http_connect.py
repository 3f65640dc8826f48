"""What is said with an HTTP proxy: CONNECT (RFC 9110 section 9.3.6), and why it failed (RFC 9209, squid)."""

import base64
import re
from typing import Final

import h11

from monitor.model.failure import UNKNOWN_FAILURE
from monitor.model.observation import FailureDetail
from monitor.model.seams import Stream
from monitor.network.failures import ERRNO_FAILURES, PROXY_STATUS_FAILURES, ClassifiedError
from monitor.network.proxy import Conversation, ProxyError, ProxyServer
from monitor.network.received import printable

_HEAD_BYTES: Final = 16_384
_VALUE_LENGTH: Final = 256
# What a failed request is told by; nothing else of the answer is kept.
_KEPT: Final = frozenset({b"proxy-status", b"x-squid-error", b"via", b"server", b"proxy-agent", b"retry-after"})
_STATUS_ERROR: Final = re.compile(r";\s*error\s*=\s*([a-z_]{1,64})")
_SQUID_CONNECT: Final = re.compile(r"ERR_CONNECT_FAIL (\d{1,4})")
# The proxy tried and got nowhere: a fact about the address, though not always one that tells much.
_TRIED: Final = frozenset({500, 502, 503, 504})
# RFC 9209 section 2.3: the name could not be looked up. Only a proxy that is asked for names can say so.
_NOT_LOOKED_UP: Final = frozenset({"dns_error", "dns_timeout"})


async def log_in(conversation: Conversation, server: ProxyServer) -> None:
    """Do nothing: the login travels with the request."""


async def ask(conversation: Conversation, server: ProxyServer, address: str, port: int) -> Stream:
    """Ask for a connection to an address, or a name; raises ClassifiedError for what befell it, ProxyError."""
    authority = f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
    headers = [("Host", authority)]
    if server.username is not None:
        login = f"{server.username}:{server.password or ''}".encode()
        headers.append(("Proxy-Authorization", "Basic " + base64.b64encode(login).decode()))
    framing = h11.Connection(h11.CLIENT, max_incomplete_event_size=_HEAD_BYTES)
    asked = framing.send(h11.Request(method="CONNECT", target=authority, headers=headers)) or b""
    await conversation.say(asked + (framing.send(h11.EndOfMessage()) or b""))
    response = await _answer(conversation, framing)
    if 200 <= response.status_code < 300:
        return conversation.handed_on(framing.trailing_data[0])
    raise _failed(response)


async def _answer(conversation: Conversation, framing: h11.Connection) -> h11.Response:
    received = 0
    try:
        while not isinstance(event := framing.next_event(), h11.Response):
            if event is h11.NEED_DATA:
                content = await conversation.hear_some()
                received += len(content)
                if received > 2 * _HEAD_BYTES:
                    raise ProxyError("the head of the proxy's answer does not end")
                framing.receive_data(content)
    except h11.RemoteProtocolError as error:
        raise ProxyError("the proxy's answer is no HTTP") from error
    return event


def _failed(response: h11.Response) -> Exception:
    """Return what an answer other than 2xx means."""
    headers = {bytes(name): printable(bytes(value), _VALUE_LENGTH) for name, value in response.headers}
    status = response.status_code
    told = _STATUS_ERROR.search(headers.get(b"proxy-status", "").lower())
    squid = headers.get(b"x-squid-error", "")
    kept = "".join(f"{name.decode(errors='replace')}: {value}\r\n" for name, value in headers.items() if name in _KEPT)
    received = f"HTTP/1.1 {status}\r\n{kept}\r\n".encode()
    if told and told[1] in PROXY_STATUS_FAILURES:
        return ClassifiedError(PROXY_STATUS_FAILURES[told[1]], FailureDetail(reason=told[1]), received)
    if (failed := _SQUID_CONNECT.match(squid)) and int(failed[1]) in ERRNO_FAILURES:
        return ClassifiedError(ERRNO_FAILURES[int(failed[1])], FailureDetail(errno=int(failed[1])), received)
    if status == 407:
        return ProxyError("the proxy refused user name and password")
    is_silent = status in _TRIED and not told and not squid.startswith("ERR_ACCESS")
    if is_silent or (told and told[1] in _NOT_LOOKED_UP):
        reason = FailureDetail(reason=told[1] if told else f"connect_status_{status}")
        return ClassifiedError(f"{UNKNOWN_FAILURE}the proxy did not connect", reason, received)
    return ProxyError(f"the proxy does not allow this connection (HTTP status {status})")
