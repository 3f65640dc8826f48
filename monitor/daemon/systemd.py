"""The daemon's side of systemd's notification protocol (sd_notify(3), sd_watchdog_enabled(3))."""

import os
import socket
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

READY: Final = "READY=1"
STOPPING: Final = "STOPPING=1"
WATCHDOG: Final = "WATCHDOG=1"


def notify(state: str, environ: "Mapping[str, str]" = os.environ) -> bool:
    r"""Tell systemd `state`: one `KEY=VALUE` a line, such as READY or "STATUS=measuring\nWATCHDOG=1".

    Returns False where nobody listens. A message that cannot be delivered at once is dropped: the service manager may
    be busy, and the daemon's work never waits for it.
    """
    address = environ.get("NOTIFY_SOCKET", "")
    if not address:
        return False
    if address.startswith("@"):  # an abstract name begins with a zero byte (unix(7))
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK) as sender:
        try:
            sender.sendto(state.encode(), address)
        except OSError:
            return False
    return True


def watchdog_seconds(environ: "Mapping[str, str]" = os.environ) -> float | None:
    """Return within what time systemd wants to hear WATCHDOG again, or None if it does not watch this process.

    Send it at least twice as often.
    """
    microseconds = environ.get("WATCHDOG_USEC", "")
    if environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    if not microseconds.isascii() or not microseconds.isdigit() or int(microseconds) == 0:
        return None
    return int(microseconds) / 1_000_000
