"""Sockets inside a named network namespace (ip-netns(8)), from a process that stays outside of it.

A socket belongs for ever to the namespace where it was made. One thread enters the namespace, makes the socket and
hands it over; only that thread is moved. Entering needs CAP_SYS_ADMIN.
"""

import asyncio
import ctypes
import os
import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from monitor.model.seams import VantageError
from monitor.network.nameservers import Endpoint, nameservers

_NAMED: Final = Path("/run/netns")
_CONFIGURED: Final = Path("/etc/netns")
_CLONE_NEWNET: Final = 0x4000_0000  # linux/sched.h; Python has os.setns only from 3.12 on
_LIBC: Final = ctypes.CDLL(None, use_errno=True)


class NetworkNamespace:
    """The namespace `name`, found anew for every socket: it may be removed and made again meanwhile."""

    def __init__(self, name: str, configured: Path = _CONFIGURED) -> None:
        self.name = name
        self._resolv_conf = configured / name / "resolv.conf"
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix=f"netns-{name}")

    async def open_socket(self, family: socket.AddressFamily, kind: int) -> socket.socket:
        """Return a new non-blocking socket of the namespace; raises VantageError if it cannot be entered."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._made, family, kind)

    def nameservers(self) -> tuple[Endpoint, ...]:
        """Return what /etc/netns/NAME/resolv.conf names; without that file, as `ip netns exec` does, the host's."""
        return nameservers(self._resolv_conf) if self._resolv_conf.is_file() else nameservers()

    def close(self) -> None:
        """End the thread."""
        self._thread.shutdown(wait=False)

    def _made(self, family: socket.AddressFamily, kind: int) -> socket.socket:
        try:
            descriptor = os.open(_NAMED / self.name, os.O_RDONLY | os.O_CLOEXEC)
            try:
                if _LIBC.setns(descriptor, _CLONE_NEWNET) != 0:
                    number = ctypes.get_errno()
                    raise OSError(number, os.strerror(number))
            finally:
                os.close(descriptor)
        except OSError as error:
            message = f"the network namespace {self.name} cannot be entered: {error.strerror}"
            raise VantageError(message) from error
        return socket.socket(family, kind | socket.SOCK_NONBLOCK)
