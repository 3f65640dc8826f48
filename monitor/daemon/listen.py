"""Listening sockets, and a server that leaves the signals to its owner and waits for nobody for ever."""

import asyncio
import contextlib
import os
import socket
from collections.abc import Iterator
from typing import Any, ClassVar, Final

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

# How long a connection may take to bring a whole request head; whoever has nothing to ask is shown the door.
REQUEST_SECONDS: Final = 10.0
MAX_CONNECTIONS: Final = 512  # beyond it requests are answered 503


class HurriedProtocol(H11Protocol):
    """HTTP/1.1 that closes a connection on which no request head arrives in time; uvicorn would wait for ever."""

    request_seconds: ClassVar[float] = REQUEST_SECONDS
    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn narrows it
        """Start waiting for the first request."""
        super().connection_made(transport)
        self._expect_request()

    def data_received(self, data: bytes) -> None:
        """Take what came; a head that is still incomplete keeps its deadline."""
        super().data_received(data)
        if self.conn.their_state is h11.IDLE:
            self._expect_request()
        else:
            self._expect_nothing()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the deadline."""
        self._expect_nothing()
        super().connection_lost(exc)

    def _expect_request(self) -> None:
        if self._deadline is None:
            self._deadline = self.loop.call_later(self.request_seconds, self.transport.close)

    def _expect_nothing(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


def server_config(app: Any, *, graceful_seconds: int) -> uvicorn.Config:
    """Return what daemon and agent serve `app` with: no logs of clients, bounds on connections and on patience."""
    return uvicorn.Config(
        app,
        http=HurriedProtocol,
        limit_concurrency=MAX_CONNECTIONS,
        log_config=None,
        access_log=False,
        lifespan="off",
        server_header=False,
        timeout_graceful_shutdown=graceful_seconds,
        loop="none",
    )


class Server(uvicorn.Server):
    """Serves until `should_exit` is set."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals alone: uvicorn would end the process with them, and not with 0."""
        yield


def listening_socket(listen: str) -> socket.socket:
    """Return a listening socket for `HOST:PORT`; raises OSError with a sentence that names the place."""
    host, _, port = listen.rpartition(":")
    host = host.strip("[]")
    try:
        return socket.create_server(
            (host, int(port)), family=socket.AF_INET6 if ":" in host else socket.AF_INET, backlog=128
        )
    except OSError as error:
        # Without errno, which would stand before the sentence; asyncio and uvloop add theirs to strerror.
        raise OSError(f"cannot listen on {listen}: {os.strerror(error.errno or 0)}") from error
