"""Listening sockets."""

import socket


def listening_socket(listen: str) -> socket.socket:
    """Return a listening socket for `HOST:PORT`; raises OSError with a sentence that names the place."""
    host, _, port = listen.rpartition(":")
    host = host.strip("[]")
    try:
        return socket.create_server(
            (host, int(port)), family=socket.AF_INET6 if ":" in host else socket.AF_INET, backlog=128
        )
    except OSError as error:
        raise OSError(error.errno, f"cannot listen on {listen}: {error.strerror}") from error
