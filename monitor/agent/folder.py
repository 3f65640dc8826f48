"""The folder in which an agent keeps everything that it has; its owner alone may read it."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

DEFAULT: Final = Path("agent-data")
OWNER_FILE: Final = "agent.yaml"
_OURS: Final = (
    "identity.json",
    "instructions.json",
    "paused",
    "status.json",
    "risks-accepted.json",
    "spool.db",
    "spool.db-wal",
    "spool.db-shm",
    "lock",
)


class InUseError(Exception):
    """Another agent runs on the same folder."""


class Folder:
    """Names the files of an agent. Every method that writes raises OSError."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.identity = path / "identity.json"
        self.instructions = path / "instructions.json"
        self.spool = path / "spool.db"
        self.status = path / "status.json"
        self.owner = path / OWNER_FILE
        self._paused = path / "paused"
        self._lock = path / "lock"

    def make(self) -> None:
        """Make the folder, readable by its owner only."""
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)

    @property
    def is_paused(self) -> bool:
        """Whether the owner paused the agent."""
        return self._paused.exists()

    def pause(self) -> None:
        """Have the agent measure nothing until `resume`, also after a restart."""
        self.make()
        self._paused.touch(mode=0o600)

    def resume(self) -> None:
        """Take a pause back."""
        self._paused.unlink(missing_ok=True)

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Keep other agents off the folder; raises InUseError where one runs."""
        self.make()
        descriptor = os.open(self._lock, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InUseError(f"an agent runs on {self.path} already") from None
        else:
            yield
        finally:
            os.close(descriptor)

    def remove(self) -> None:
        """Remove what the agent wrote, spools set aside included; the owner's own file stays."""
        for name in _OURS:
            (self.path / name).unlink(missing_ok=True)
        for set_aside in self.path.glob("spool.db.corrupt-*"):
            set_aside.unlink()
        with contextlib.suppress(OSError):  # something of the owner's lies in it
            self.path.rmdir()


def write_whole(path: Path, content: bytes) -> None:
    """Write a file for its owner's eyes, whole or not at all, durably; raises OSError."""
    fresh = path.with_name(f"{path.name}.new")
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        os.fchmod(file.fileno(), 0o600)  # one that a crash left behind may have been widened
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
