"""A program that is benchmarked, and what the kernel has counted for it (proc_pid_stat(5))."""

import os
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
START_SECONDS = 30.0


class Process:
    """A running program; its own time and memory, without its children's."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self._process = process
        self._log = log
        self._proc = Path(f"/proc/{process.pid}")

    def cpu_seconds(self) -> float:
        """Return the processor time used so far, in user and kernel mode, over all threads."""
        # The second field, the name, may hold spaces; it ends at the last parenthesis.
        fields = (self._proc / "stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS_PER_SECOND

    def resident_bytes(self) -> int:
        """Return the memory in use now."""
        return int((self._proc / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def wait_until_open(self, address: str, port: int) -> None:
        """Wait until it accepts connections; raises SystemExit with its output if it ends or takes too long."""
        end = time.monotonic() + START_SECONDS
        while True:
            try:
                socket.create_connection((address, port), 1).close()
            except ConnectionError:
                if self._process.poll() is not None or time.monotonic() > end:
                    raise SystemExit(f"nothing listens on port {port}: {self._log.read_text()}") from None
                time.sleep(0.1)
            else:
                return

    def kill(self) -> None:
        """End it with SIGKILL and wait until it is gone."""
        self._process.kill()
        self._process.wait()

    def end(self) -> None:
        """End it with SIGTERM, or SIGKILL if that does not help."""
        self._process.terminate()
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self.kill()


@contextmanager
def running(arguments: Sequence[str], log: Path) -> Iterator[Process]:
    """Run a program with its output in `log` as long as the context lasts."""
    with log.open("wb") as output:
        started = subprocess.Popen(arguments, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
    process = Process(started, log)
    try:
        yield process
    finally:
        process.end()


def fetch(url: str) -> str:
    """Return the body of a page of a program that runs here."""
    with urllib.request.urlopen(url, timeout=30) as response:  # noqa: S310 - loopback URLs of our own
        return str(response.read().decode())
