"""Connections to the database file, and what their errors mean."""

import os
import sqlite3
from pathlib import Path
from typing import Final

BUSY_MILLISECONDS: Final = 1000
_JOURNAL_BYTES: Final = 64 * 1024 * 1024
_CACHE_KIBIBYTES: Final = 8192

# Result codes that tell of the file and its disk, by their stem, and the word that metrics and logs use for each.
# Every other error is a mistake of ours or a value that SQLite cannot hold.
_TROUBLES: Final = (
    ("SQLITE_BUSY", "locked"),
    ("SQLITE_LOCKED", "locked"),
    ("SQLITE_PROTOCOL", "locked"),
    ("SQLITE_FULL", "full"),
    ("SQLITE_READONLY", "read_only"),
    ("SQLITE_PERM", "read_only"),
    ("SQLITE_AUTH", "read_only"),
    ("SQLITE_CANTOPEN", "cannot_open"),
    ("SQLITE_IOERR", "io_error"),
    ("SQLITE_NOMEM", "no_memory"),
    ("SQLITE_CORRUPT", "corrupt"),
    ("SQLITE_NOTADB", "corrupt"),
)


class StoreError(Exception):
    """The database cannot be used; the message is one sentence for the person who named the file."""


def trouble(error: sqlite3.Error) -> str | None:
    """Return the word for an error of the file or its disk, or None if the error is of another sort.

    Source: https://www.sqlite.org/rescode.html.
    """
    name = str(getattr(error, "sqlite_errorname", ""))
    return next((word for stem, word in _TROUBLES if name.startswith(stem)), None)


def create_file(path: Path) -> None:
    """Make an empty file that its owner alone may read, and its folder, where none is; raises OSError.

    SQLite gives the write-ahead log the permissions of the file, so those that a person widened stay as they are.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))


def connect_writer(path: Path) -> sqlite3.Connection:
    """Open an existing file for writing, every transaction begun and ended by the caller; raises sqlite3.Error.

    synchronous=FULL: a row is acknowledged once it would survive a power cut. NORMAL could lose the last commits
    (https://www.sqlite.org/pragma.html#pragma_synchronous); group commit makes the difference small.
    """
    db = sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True, isolation_level=None)
    try:
        db.execute(f"PRAGMA busy_timeout = {BUSY_MILLISECONDS}")
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
        db.execute("PRAGMA foreign_keys = ON")
        db.execute(f"PRAGMA journal_size_limit = {_JOURNAL_BYTES}")
        db.execute(f"PRAGMA cache_size = -{_CACHE_KIBIBYTES}")
    except sqlite3.Error:
        db.close()
        raise
    return db


def connect_reader(path: Path) -> sqlite3.Connection:
    """Open an existing file that this connection cannot change; the caller guards it with a lock.

    Raises sqlite3.Error.
    """
    db = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None, check_same_thread=False)
    try:
        db.execute(f"PRAGMA busy_timeout = {BUSY_MILLISECONDS}")
        db.execute("PRAGMA query_only = ON")
    except sqlite3.Error:
        db.close()
        raise
    db.row_factory = sqlite3.Row
    return db
