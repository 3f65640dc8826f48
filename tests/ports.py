"""Ports for servers that cannot be told to choose one themselves."""

import random
import socket

# Below what Linux hands out (ip_local_port_range, ip(7)), so that no test running beside takes it by chance meanwhile.
_CHOICE = range(20_000, 32_000)


def free_port() -> int:
    """Return a TCP port that nobody on this machine listens on."""
    while True:
        port = random.choice(_CHOICE)  # noqa: S311 - not a secret
        with socket.socket() as one:
            try:
                one.bind(("0.0.0.0", port))  # noqa: S104 - asks about every address, serves none
            except OSError:
                continue
        return port
