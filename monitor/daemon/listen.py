"""Listening sockets, and a server that leaves the signals to its owner."""

import contextlib
import os
import socket
from collections.abc import Iterator

import uvicorn


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
