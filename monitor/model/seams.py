"""The seams: everything that touches the world, each a Protocol of a few methods with a twin in tests/fakes/."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import socket
    from collections.abc import Sequence
    from datetime import datetime

    from monitor.model.measurement import Recording, Request
    from monitor.model.vantage import VantageCheck, VantageInfo


class Clock(Protocol):
    """Time, handed in so that nothing below reads it by itself."""

    def now(self) -> datetime:
        """Return the current instant in UTC."""
        ...

    def monotonic(self) -> float:
        """Return seconds that never jump; they stand still while the host is suspended."""
        ...

    def boottime(self) -> float:
        """Return seconds that never jump and run on while the host is suspended."""
        ...


class Stream(Protocol):
    """Bytes both ways; counts are those on the wire."""

    @property
    def bytes_sent(self) -> int:
        """Bytes on the wire."""
        ...

    @property
    def bytes_received(self) -> int:
        """Bytes on the wire."""
        ...

    @property
    def is_http2(self) -> bool:
        """Whether the handshake settled on HTTP/2."""
        ...

    @property
    def local_address(self) -> str | None:
        """The address of ours that the stream leaves from, None if it has none."""
        ...

    async def receive(self) -> bytes:
        """Return the next bytes, b"" at the end; raises OSError."""
        ...

    async def send(self, content: bytes) -> None:
        """Send all of `content`; raises OSError."""
        ...

    def close(self) -> None:
        """Close whatever is under it."""
        ...


class Network(Protocol):
    """Where the steps open their connections: this host's, one interface, a namespace, a proxy."""

    async def ready(self) -> Network:
        """Do what comes before an attempt and is no part of it, such as logging in at a proxy.

        Returns the network to make one attempt on, at once. Has deadlines of its own; raises VantageError.
        """
        ...

    async def connect_tcp(self, address: str, port: int) -> Stream:
        """Return a connection; raises OSError with the errno of the attempt, or VantageError."""
        ...

    async def connect_udp(self, address: str, port: int) -> socket.socket:
        """Return a connected non-blocking datagram socket; raises OSError, or VantageError."""
        ...

    def in_small_segments(self) -> Network | None:
        """Return the same network, over TCP connections with short segments both ways; None: it has no say in that."""
        ...


class Vantage(Protocol):
    """A place that measures: here on a network of ours, or elsewhere on an agent."""

    info: VantageInfo

    async def measure(self, request: Request) -> Recording:
        """Measure one target; failures of the network are observations, never exceptions.

        Raises VantageError if the vantage itself could not be used.
        """
        ...

    async def check(self) -> VantageCheck:
        """Run the vantage's sanity checks and see which network it is on."""
        ...

    async def close(self) -> None:
        """Let go of what the vantage holds."""
        ...


class Ledger(Protocol):
    """What was spent of services' quotas, kept over restarts."""

    def spent(self, vantage: str, seconds: float) -> Sequence[tuple[datetime, int]]:
        """Return when (UTC) and how much was spent within the last `seconds`, oldest first."""
        ...

    def spend(self, vantage: str, at: datetime, units: int) -> None:
        """Note an expense; neither blocks nor raises."""
        ...


class VantageError(Exception):
    """The vantage could not be used: says nothing about any target. `reason` is a Reason value."""

    def __init__(self, message: str, reason: str = "vantage_offline") -> None:
        super().__init__(message)
        self.reason = reason
