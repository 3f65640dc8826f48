"""A program that is benchmarked, and what the kernel has counted for it (proc_pid_stat(5))."""

import os
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
START_SECONDS = 30.0


class Process:
    """A running program; its own time and memory, without its children's."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self._proc = Path(f"/proc/{process.pid}")

    def cpu_seconds(self) -> float:
        """Return the processor time used so far, in user and kernel mode, over all threads."""
        # The second field, the name, may hold spaces; it ends at the last parenthesis.
        fields = (self._proc / "stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS_PER_SECOND

    def resident_bytes(self) -> int:
        """Return the memory in use now."""
        return int((self._proc / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def kill(self) -> None:
        """End it with SIGKILL and wait until it is gone."""
        self._process.kill()
        self._process.wait()


@contextmanager
def running(arguments: Sequence[str], log: Path, environ: Mapping[str, str] | None = None) -> Iterator[Process]:
    """Run a program with its output in `log`, and end it with SIGTERM."""
    with log.open("wb") as output:
        process = subprocess.Popen(  # the programs of the benchmark
            arguments, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env={**os.environ, **(environ or {})}
        )
    try:
        yield Process(process)
        if (status := process.poll()) not in {None, -signal.SIGKILL}:
            raise SystemExit(f"{arguments[0]} ended with {status}: {log.read_text(errors='replace')}")
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def fetch(url: str, timeout_seconds: float = 30.0) -> str:
    """Return the body of a page of a program that runs here."""
    with urllib.request.urlopen(url, timeout=timeout_seconds) as response:  # noqa: S310 - loopback URLs of our own
        return str(response.read().decode())


def wait_until_open(address: str, port: int) -> None:
    """Wait until a program accepts connections; raises TimeoutError if it does not."""
    end = time.monotonic() + START_SECONDS
    while True:
        try:
            socket.create_connection((address, port), 1).close()
        except ConnectionError as error:
            if time.monotonic() > end:
                raise TimeoutError(f"nothing listens on port {port}") from error
            time.sleep(0.1)
        else:
            return
