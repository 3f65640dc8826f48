"""What is said with a SOCKS5 proxy (RFC 1928, 1929)."""

import ipaddress
import struct
from typing import Final

from monitor.model.address import is_address
from monitor.model.failure import UNKNOWN_FAILURE
from monitor.model.observation import FailureDetail
from monitor.model.seams import Stream
from monitor.network.failures import SOCKS_FAILURES, ClassifiedError
from monitor.network.proxy import Conversation, ProxyError, ProxyServer

_NO_LOGIN, _PASSWORD, _NONE_FITS = 0, 2, 255
_ADDRESS_BYTES: Final = {1: 4, 4: 16}  # by address type
_NAME: Final = 3  # the address type of a name, which has its length before it
_NOT_ALLOWED: Final = 2
_UNREACHABLE: Final = 4
# Asked for a name, some proxies (Dante, Tor) say "host unreachable" of one that they could not look up.
_UNCLEAR: Final = {1: "general SOCKS failure", _UNREACHABLE: "host unreachable, or its name not found"}


async def log_in(conversation: Conversation, server: ProxyServer) -> None:
    """Greet and, if the proxy wants it, say user name and password; raises ProxyError."""
    methods = (_NO_LOGIN, _PASSWORD) if server.username is not None else (_NO_LOGIN,)
    await conversation.say(bytes((5, len(methods), *methods)))
    version, method = await conversation.hear(2)
    if version != 5 or method not in {*methods, _NONE_FITS}:
        raise ProxyError("the proxy does not speak SOCKS5")
    if method == _NONE_FITS:
        raise ProxyError("the proxy wants another login than is configured")
    if method == _PASSWORD:
        user, password = (server.username or "").encode(), (server.password or "").encode()
        await conversation.say(b"\1" + bytes((len(user),)) + user + bytes((len(password),)) + password)
        _, status = await conversation.hear(2)
        if status != 0:
            raise ProxyError("the proxy refused user name and password")


async def ask(conversation: Conversation, server: ProxyServer, address: str, port: int) -> Stream:  # noqa: ARG001  one signature for all dialogues
    """Ask for a connection to an address, or a name; raises ClassifiedError for what befell it, ProxyError."""
    await conversation.say(b"\5\1\0" + _destination(address) + struct.pack("!H", port))
    version, code, _, kind = await conversation.hear(4)
    if version != 5 or (kind not in _ADDRESS_BYTES and kind != _NAME):
        raise ProxyError("the proxy's answer is no SOCKS5 reply")
    if code in SOCKS_FAILURES and not (code == _UNREACHABLE and not is_address(address)):
        raise ClassifiedError(SOCKS_FAILURES[code], FailureDetail(reason=f"socks_reply_{code}"))
    if code in _UNCLEAR:
        raise ClassifiedError(f"{UNKNOWN_FAILURE}{_UNCLEAR[code]}", FailureDetail(reason=f"socks_reply_{code}"))
    if code != 0:
        what = "does not allow this connection" if code == _NOT_ALLOWED else "does not know this request"
        raise ProxyError(f"the proxy {what} (SOCKS reply {code})")
    count = _ADDRESS_BYTES.get(kind) or (await conversation.hear(1))[0]
    await conversation.hear(count + 2)
    return conversation.handed_on()


def _destination(address: str) -> bytes:
    """Return DST.ADDR with its type before it (RFC 1928 section 5)."""
    if not is_address(address):
        name = address.encode("ascii")
        return bytes((_NAME, len(name))) + name
    ip = ipaddress.ip_address(address)
    return bytes((1 if ip.version == 4 else 4,)) + ip.packed
