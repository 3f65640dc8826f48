import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from monitor.daemon.systemd import READY, WATCHDOG, notify, watchdog_seconds


@pytest.fixture
def manager() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.settimeout(5)
        yield listener


def test_state_reaches_a_socket_in_the_file_system(manager: socket.socket, tmp_path: Path) -> None:
    path = str(tmp_path / "notify")
    manager.bind(path)
    assert notify(f"STATUS=measuring\n{READY}", {"NOTIFY_SOCKET": path})
    assert manager.recv(100) == b"STATUS=measuring\nREADY=1"


def test_state_reaches_an_abstract_socket(manager: socket.socket) -> None:
    manager.bind("")  # the kernel picks a free abstract name (unix(7), "Autobind feature")
    name = manager.getsockname()
    assert notify(WATCHDOG, {"NOTIFY_SOCKET": "@" + name[1:].decode()})
    assert manager.recv(100) == b"WATCHDOG=1"


@pytest.mark.parametrize("environ", [{}, {"NOTIFY_SOCKET": ""}, {"NOTIFY_SOCKET": "vsock:2:1234"}])
def test_nobody_is_told_where_no_manager_listens(environ: dict[str, str]) -> None:
    assert not notify(READY, environ)


def test_manager_that_is_gone_is_no_error(tmp_path: Path) -> None:
    assert not notify(READY, {"NOTIFY_SOCKET": str(tmp_path / "gone")})


def test_manager_that_does_not_read_never_blocks(manager: socket.socket, tmp_path: Path) -> None:
    path = str(tmp_path / "notify")
    manager.bind(path)
    environ = {"NOTIFY_SOCKET": path}
    assert not all(notify(WATCHDOG, environ) for _ in range(10_000))  # the queue holds some hundreds (net.unix)


def test_watchdog_time_is_in_seconds() -> None:
    assert watchdog_seconds({"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": str(os.getpid())}) == 60.0


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"WATCHDOG_USEC": "0"},
        {"WATCHDOG_USEC": "soon"},
        {"WATCHDOG_USEC": "-5"},
        {"WATCHDOG_USEC": "\N{SUPERSCRIPT TWO}"},
        {"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": "0"},
    ],
)
def test_no_watchdog_without_a_valid_time_for_this_process(environ: dict[str, str]) -> None:
    assert watchdog_seconds(environ) is None
