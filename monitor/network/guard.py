"""A network that refuses addresses which are not public: what an agent measures through."""

import errno
import socket
from collections.abc import Collection

from monitor.model.bogon import is_bogon
from monitor.model.seams import Network, Stream


class GuardedNetwork:
    """Refuses a socket to an address that is not public, unless it is allowed: the very address that is connected to.

    `allowed` are address ranges, `nameservers` the host's own, which may be private and are asked on port 53 only.
    With `ports` a socket to any other port is refused as well.
    """

    def __init__(
        self,
        network: Network,
        allowed: tuple[str, ...],
        nameservers: Collection[str],
        ports: Collection[int] | None = None,
    ) -> None:
        self._network = network
        self._allowed = allowed
        self._nameservers = frozenset(nameservers)
        self._ports = ports

    async def ready(self) -> Network:
        """Return a network that is ready for one attempt, guarded like this one."""
        ready = await self._network.ready()
        return self if ready is self._network else self._around(ready)

    async def connect_tcp(self, address: str, port: int) -> Stream:
        """Return a connection; raises PermissionError for an address or port that is refused."""
        self._guard(address, port)
        return await self._network.connect_tcp(address, port)

    async def connect_udp(self, address: str, port: int) -> socket.socket:
        """Return a connected datagram socket; raises PermissionError for an address or port that is refused."""
        self._guard(address, port)
        return await self._network.connect_udp(address, port)

    def in_small_segments(self) -> "GuardedNetwork | None":
        """Return the same network over short segments, as guarded as this one."""
        network = self._network.in_small_segments()
        return self._around(network) if network is not None else None

    def _around(self, network: Network) -> "GuardedNetwork":
        return GuardedNetwork(network, self._allowed, self._nameservers, self._ports)

    def _guard(self, address: str, port: int) -> None:
        if is_bogon(address, self._allowed) and not (port == 53 and address in self._nameservers):
            raise PermissionError(errno.EPERM, "not a public address")
        if self._ports is not None and port not in self._ports:
            raise PermissionError(errno.EPERM, "not a port to be asked")
