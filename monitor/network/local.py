"""Sockets of this host, through one source address or interface if wanted."""

import asyncio
import errno
import os
import socket
from typing import Final

from monitor.model.seams import Network
from monitor.network.namespace import NetworkNamespace
from monitor.network.stream import SocketStream

# Shorter than any link in use carries (IPv6 asks for packets of 1280 bytes), yet a ClientHello takes no more segments
# than usual, so that a filter of names reads it as ever.
SMALL_SEGMENT_BYTES: Final = 900


class LocalNetwork:
    """Opens sockets on this host (`monitor.model.seams.Network`); proxy variables of the environment are not read.

    `interface` needs Linux and, before 5.7, CAP_NET_RAW. A family other than that of `source_address` has no route.
    In a `namespace` the source address and the interface are those of the namespace.
    """

    def __init__(
        self,
        source_address: str | None = None,
        interface: str | None = None,
        namespace: NetworkNamespace | None = None,
        segment_bytes: int | None = None,
    ) -> None:
        self._source_address = source_address
        self._interface = interface
        self._namespace = namespace
        self._segment_bytes = segment_bytes  # None: as the path allows

    def in_small_segments(self) -> "LocalNetwork":
        """Return the same network, over connections that send short segments and ask the peer to."""
        return LocalNetwork(self._source_address, self._interface, self._namespace, SMALL_SEGMENT_BYTES)

    async def ready(self) -> Network:
        """Return this network: nothing comes before an attempt."""
        return self

    async def connect_tcp(self, address: str, port: int) -> SocketStream:
        """Return a connection; raises OSError with the errno of the attempt."""
        return SocketStream(await self._connect(address, port, socket.SOCK_STREAM))

    async def connect_udp(self, address: str, port: int) -> socket.socket:
        """Return a connected non-blocking datagram socket; raises OSError."""
        return await self._connect(address, port, socket.SOCK_DGRAM)

    async def _connect(self, address: str, port: int, kind: socket.SocketKind) -> socket.socket:
        family = _family(address)
        if self._source_address and _family(self._source_address) != family:
            raise OSError(errno.ENETUNREACH, os.strerror(errno.ENETUNREACH))
        if self._namespace is None:
            connecting = socket.socket(family, kind | socket.SOCK_NONBLOCK)
        else:
            connecting = await self._namespace.open_socket(family, kind)
        try:
            if self._interface:
                connecting.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, self._interface.encode())
            if self._source_address:
                connecting.bind((self._source_address, 0))
            if kind == socket.SOCK_DGRAM:
                connecting.connect((address, port))
            else:
                connecting.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                if self._segment_bytes is not None:
                    connecting.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, self._segment_bytes)
                await asyncio.get_running_loop().sock_connect(connecting, (address, port))
        except BaseException:
            connecting.close()
            raise
        return connecting


def _family(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET
