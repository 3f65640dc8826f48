"""What was measured and is not acknowledged yet, in a file that survives the process.

A row leaves only when the centre has it, or when there is no room or it is too old: then it is counted. What tells
little goes first: accessible rounds are thinned evenly over their time, so that a coarse picture stays; failures after
that, transitions and deep runs last.
"""

import contextlib
import logging
import sqlite3
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from enum import IntEnum
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
import zstandard

from monitor.store.connection import create_file, trouble

log = logging.getLogger("monitor.agent")

MAX_BYTES: Final = 200 * 1000 * 1000
MAX_AGE: Final = timedelta(days=7)
MAX_LINE_BYTES: Final = 48 * 1024 * 1024  # unpacked; the centre takes 64 MiB in a batch
_ROW_BYTES: Final = 200  # around a line
_FREED_SHARE: Final = 0.9  # of the cap, so that not every row thins anew
_BUSY_SECONDS: Final = 0.2  # nobody else writes; a loop that waited longer would miss its rounds
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS result (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  boot TEXT NOT NULL,
  sequence INTEGER NOT NULL,
  started_at REAL NOT NULL,
  live_until REAL NOT NULL,
  weight INTEGER NOT NULL,
  set_aside TEXT,
  unpacked_bytes INTEGER NOT NULL,
  line BLOB NOT NULL,
  UNIQUE (boot, sequence)
) STRICT;
CREATE INDEX IF NOT EXISTS result_weight ON result (weight, id);
CREATE INDEX IF NOT EXISTS result_started ON result (started_at);
CREATE INDEX IF NOT EXISTS result_live ON result (live_until) WHERE set_aside IS NULL;
CREATE INDEX IF NOT EXISTS result_set_aside ON result (id) WHERE set_aside IS NOT NULL;
CREATE TABLE IF NOT EXISTS kept (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT;
"""


class Weight(IntEnum):
    """How much a row tells; less goes first."""

    USUAL = 0  # accessible, or the line itself was out of order
    FAILURE = 1
    TURN = 2  # a transition, or a deep run


class Row(NamedTuple):
    """One result as it waits."""

    id: int
    sequence: int
    packed: bytes
    unpacked_bytes: int

    def line(self) -> bytes:
        """Return the JSON of the result."""
        return zstandard.ZstdDecompressor().decompress(self.packed, max_output_size=MAX_LINE_BYTES)


class Depth(msgspec.Struct, frozen=True, kw_only=True):
    """How full a spool is."""

    rows: int = 0  # that wait to be sent
    bytes: int = 0
    set_aside: int = 0  # that the centre does not take
    dropped: int = 0  # since enrolment


class Spool:
    """Rows of results. One process writes; `close` ends it. Raises sqlite3.Error where the disk fails."""

    def __init__(self, path: Path, *, max_bytes: int = MAX_BYTES, max_age: timedelta = MAX_AGE) -> None:
        self._max_bytes = max_bytes
        self._max_age = max_age
        self._db = _opened(path)
        self._bytes: int = self._db.execute(
            f"SELECT coalesce(sum(length(line) + {_ROW_BYTES}), 0) FROM result"  # noqa: S608 - a number of ours
        ).fetchone()[0]

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def put(
        self, boot: str, sequence: int, line: bytes, *, started_at: datetime, live_until: datetime, weight: Weight
    ) -> None:
        """Keep a result; makes room first. One that is too large by itself is dropped and counted."""
        packed = zstandard.ZstdCompressor(level=3).compress(line)
        size = len(packed) + _ROW_BYTES
        with self._transaction():
            if len(line) > MAX_LINE_BYTES or size > self._max_bytes:
                self._count_dropped(1)
                return
            if self._bytes + size > self._max_bytes:
                self._thin(int(self._max_bytes * _FREED_SHARE) - size)
            self._db.execute(
                "INSERT INTO result (boot, sequence, started_at, live_until, weight, unpacked_bytes, line)"
                " VALUES (?, ?, ?, ?, ?, ?, ?)",
                (boot, sequence, started_at.timestamp(), live_until.timestamp(), weight, len(line), packed),
            )
            self._bytes += size

    def live(self, now: datetime, rows: int, packed_bytes: int, unpacked_bytes: int) -> tuple[str, list[Row]]:
        """Return the newest results that are still news, newest first, all of one boot."""
        which = "INDEXED BY result_live WHERE set_aside IS NULL AND live_until > ? ORDER BY id DESC"
        return self._some(which, now, rows, packed_bytes, unpacked_bytes)

    def late(self, now: datetime, rows: int, packed_bytes: int, unpacked_bytes: int) -> tuple[str, list[Row]]:
        """Return the oldest results that are no news any more, oldest first, all of one boot."""
        which = "NOT INDEXED WHERE set_aside IS NULL AND live_until <= ? ORDER BY id"
        return self._some(which, now, rows, packed_bytes, unpacked_bytes)

    def acknowledged(self, ids: Sequence[int]) -> None:
        """Forget what the centre has."""
        with self._transaction():
            self._delete(ids)

    def set_aside(self, ids: Sequence[int], why: str) -> None:
        """Keep what the centre will not take from going again; it stays until it is too old."""
        with self._transaction():
            self._db.executemany("UPDATE result SET set_aside = ? WHERE id = ?", [(why, one) for one in ids])

    def expire(self, now: datetime) -> int:
        """Drop and count what is too old; return how many rows that were."""
        oldest = (now - self._max_age).timestamp()
        with self._transaction():
            old = [row[0] for row in self._db.execute("SELECT id FROM result WHERE started_at < ?", (oldest,))]
            self._delete(old)
            self._count_dropped(len(old))
        return len(old)

    def next_number(self, name: str) -> int:
        """Return the next of a row of numbers that goes on after a restart."""
        with self._transaction():
            self._add(name, 1)
        return self.number(name)

    def number(self, name: str) -> int:
        """Return a number that is kept, 0 if it never was."""
        found = self._db.execute("SELECT value FROM kept WHERE name = ?", (name,)).fetchone()
        return int(found[0]) if found else 0

    def add(self, name: str, value: int) -> None:
        """Add to a number that is kept."""
        with self._transaction():
            self._add(name, value)

    def forget_numbers(self, prefix: str, but: str) -> None:
        """Forget the numbers whose names begin so, except one."""
        with self._transaction():
            self._db.execute("DELETE FROM kept WHERE substr(name, 1, ?) = ? AND name <> ?", (len(prefix), prefix, but))

    def count_dropped(self, rows: int) -> None:
        """Count results that could not be kept."""
        with self._transaction():
            self._count_dropped(rows)

    def depth(self) -> Depth:
        """Return how full it is."""
        return _depth(self._db, self._bytes)

    def _some(
        self, which: str, now: datetime, rows: int, packed_bytes: int, unpacked_bytes: int
    ) -> tuple[str, list[Row]]:
        found: list[Row] = []
        boot = ""
        packed = unpacked = 0
        query = f"SELECT boot, id, sequence, line, unpacked_bytes FROM result {which}"  # noqa: S608 - words of ours
        for one_boot, *values in self._db.execute(query, (now.timestamp(),)):
            row = Row(*values)
            packed += len(row.packed)
            unpacked += row.unpacked_bytes
            if found and (one_boot != boot or packed > packed_bytes or unpacked > unpacked_bytes):
                break
            boot = one_boot
            found.append(row)
            if len(found) >= rows:
                break
        return boot, found

    def _thin(self, room: int) -> None:
        """Drop rows until at most `room` bytes are left, what tells least first."""
        dropped = 0
        for weight in Weight:
            if self._bytes <= room:
                break
            rows = self._db.execute(
                f"SELECT id, started_at, length(line) + {_ROW_BYTES} FROM result WHERE weight = ? ORDER BY id",  # noqa: S608 - a number of ours
                (weight,),
            ).fetchall()
            victims = superfluous(rows, self._bytes - room)
            self._delete(victims)
            dropped += len(victims)
        self._count_dropped(dropped)
        log.warning("the spool is full: results were dropped", extra={"dropped": dropped})

    def _delete(self, ids: Sequence[int]) -> None:
        for one in ids:
            found = self._db.execute("DELETE FROM result WHERE id = ? RETURNING length(line)", (one,)).fetchone()
            self._bytes -= found[0] + _ROW_BYTES if found else 0

    def _count_dropped(self, rows: int) -> None:
        if rows:
            self._add("dropped", rows)

    def _add(self, name: str, value: int) -> None:
        self._db.execute(
            "INSERT INTO kept (name, value) VALUES (?, ?)"
            " ON CONFLICT (name) DO UPDATE SET value = value + excluded.value",
            (name, value),
        )

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        before = self._bytes
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._db.execute("COMMIT")
        except BaseException:
            self._bytes = before
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise


def superfluous(rows: Sequence[tuple[int, float, int]], surplus_bytes: int) -> list[int]:
    """Return the ids of rows (id, epoch seconds, bytes) to drop so that the rest is spread evenly over its time.

    Where rows lie close they go first: what was thinned before is spared, and the beginning of an outage stays as
    visible as its end.
    """
    sizes = {one: size for one, _, size in rows}
    share = 1 - surplus_bytes / sum(sizes.values()) if rows else 0.0
    bins = int(len(rows) * share)
    if bins < 1:
        return list(sizes)
    first = min(at for _, at, _ in rows)
    width = max((max(at for _, at, _ in rows) - first) / bins, 1e-6)
    seen: set[int] = set()
    victims: list[int] = []
    freed = 0
    for one, at, size in rows:
        place = int((at - first) / width)
        if place in seen and freed < surplus_bytes:
            victims.append(one)
            freed += size
        seen.add(place)
    gone = set(victims)
    for one, size in sizes.items():
        if freed >= surplus_bytes:
            break
        if one not in gone:
            victims.append(one)
            freed += size
    return victims


def depth_at(path: Path) -> Depth:
    """Return how full the spool of an agent is that may be running; empty where there is none or it is damaged."""
    if not path.exists():
        return Depth()
    try:
        with contextlib.closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as db:
            size = db.execute("SELECT coalesce(sum(length(line)), 0) FROM result").fetchone()[0]
            return _depth(db, size)
    except sqlite3.Error:
        return Depth()


def _depth(db: sqlite3.Connection, size: int) -> Depth:
    """Count by indices alone: a full spool is asked every few seconds."""
    rows, aside, dropped = db.execute(
        "SELECT (SELECT count(*) FROM result), (SELECT count(*) FROM result WHERE set_aside IS NOT NULL),"
        " (SELECT value FROM kept WHERE name = 'dropped')"
    ).fetchone()
    return Depth(rows=rows - aside, bytes=size, set_aside=aside, dropped=dropped or 0)


def _opened(path: Path) -> sqlite3.Connection:
    """Open or make the file; one that is damaged is set aside, and said so."""
    try:
        db = _connected(path)
        if db.execute("PRAGMA quick_check(1)").fetchone()[0] == "ok":
            return db
        db.close()
    except sqlite3.DatabaseError as error:
        if trouble(error) != "corrupt":
            raise
    number = 1
    while (aside := path.with_name(f"{path.name}.corrupt-{number}")).exists():
        number += 1
    path.replace(aside)
    for ending in ("-wal", "-shm"):
        path.with_name(path.name + ending).unlink(missing_ok=True)
    log.error("the spool was damaged and set aside; what was in it did not go out", extra={"file": aside.name})
    return _connected(path)


def _connected(path: Path) -> sqlite3.Connection:
    create_file(path)
    db = sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None)
    try:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = NORMAL")  # kill -9 loses nothing; a power cut the last seconds at most
        db.execute("PRAGMA journal_size_limit = 4194304")
        db.executescript(_SCHEMA)
    except BaseException:
        db.close()
        raise
    return db
