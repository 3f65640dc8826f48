import sqlite3
import stat
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest

from monitor.agent.spool import Spool, Weight, depth_at

NOW = datetime(2026, 11, 27, 12, 0, tzinfo=UTC)
LINE = bytes(range(256)) * 8  # packs to about 280 bytes


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    spool = Spool(tmp_path / "spool.db", max_bytes=20_000)
    yield spool
    spool.close()


def put(spool: Spool, sequence: int, weight: Weight, *, at: datetime = NOW) -> None:
    spool.put("b1", sequence, LINE, started_at=at, live_until=at + timedelta(hours=1), weight=weight)


def waiting(spool: Spool) -> list[int]:
    return sorted(row.sequence for row in spool.live(NOW, 1000, 1 << 30, 1 << 30)[1])


def test_a_full_spool_thins_usual_rows_and_keeps_turns_and_failures(spool: Spool) -> None:
    put(spool, 1, Weight.TURN)
    put(spool, 2, Weight.FAILURE)
    for sequence in range(3, 203):
        put(spool, sequence, Weight.USUAL, at=NOW + timedelta(seconds=sequence))
    kept = waiting(spool)
    assert kept[:2] == [1, 2]
    assert kept[-1] == 202
    assert spool.depth().dropped == 202 - len(kept) > 0
    usual = kept[2:]
    assert len(usual) > 20
    assert max(later - earlier for earlier, later in pairwise([3, *usual])) < 20  # thinned, not cut off


def test_failures_go_before_turns_when_only_these_are_left(spool: Spool) -> None:
    for sequence in range(1, 31):
        put(spool, sequence, Weight.TURN if sequence % 3 == 0 else Weight.FAILURE)
    for sequence in range(31, 60):
        put(spool, sequence, Weight.TURN)
    kept = waiting(spool)
    turns = {one for one in range(1, 60) if one > 30 or one % 3 == 0}
    assert turns <= set(kept)
    assert len(kept) < 59


def test_never_holds_more_than_its_cap(spool: Spool) -> None:
    for sequence in range(1, 300):
        put(spool, sequence, Weight(sequence % 3))
        assert spool.depth().bytes <= 20_000


def test_one_that_is_larger_than_the_spool_is_counted_and_not_kept(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "small.db", max_bytes=300)
    put(spool, 1, Weight.TURN)
    assert spool.depth().rows == 0
    assert spool.depth().dropped == 1
    spool.close()


def test_what_is_a_week_old_is_dropped_and_counted(spool: Spool) -> None:
    put(spool, 1, Weight.TURN, at=NOW - timedelta(days=8))
    put(spool, 2, Weight.USUAL)
    assert spool.expire(NOW) == 1
    assert waiting(spool) == [2]
    assert spool.depth().dropped == 1


def test_rows_and_counts_are_there_after_a_restart(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool.db")
    put(spool, 1, Weight.USUAL)
    spool.count_dropped(3)
    assert spool.next_number("batch") == 1
    spool.close()
    again = Spool(tmp_path / "spool.db")
    assert [row.line() for row in again.live(NOW, 10, 1 << 20, 1 << 20)[1]] == [LINE]
    assert again.depth().dropped == 3
    assert again.next_number("batch") == 2
    again.close()


def test_only_its_owner_may_read_it(spool: Spool, tmp_path: Path) -> None:
    put(spool, 1, Weight.USUAL)
    for path in tmp_path.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path


@pytest.mark.parametrize("damage", [b"this is no database at all" * 400, b"SQLite format 3\x00" + b"\xff" * 9000])
def test_a_damaged_file_is_set_aside_and_said(tmp_path: Path, damage: bytes, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "spool.db"
    path.write_bytes(damage)
    assert depth_at(path).rows == 0
    spool = Spool(path)
    put(spool, 1, Weight.USUAL)
    assert waiting(spool) == [1]
    assert (tmp_path / "spool.db.corrupt-1").read_bytes() == damage
    assert "damaged" in caplog.text
    spool.close()


def test_a_damaged_page_is_noticed_at_the_start(tmp_path: Path) -> None:
    path = tmp_path / "spool.db"
    spool = Spool(path)
    for sequence in range(1, 200):
        put(spool, sequence, Weight.USUAL)
    spool.close()
    content = bytearray(path.read_bytes())
    content[3 * 4096 : 6 * 4096] = b"\x17" * (3 * 4096)
    path.write_bytes(content)
    again = Spool(path)
    assert again.depth().rows == 0
    assert (tmp_path / "spool.db.corrupt-1").exists()
    again.close()


def test_a_row_that_fails_to_be_written_changes_nothing(spool: Spool) -> None:
    put(spool, 1, Weight.USUAL)
    with pytest.raises(sqlite3.IntegrityError):
        put(spool, 1, Weight.USUAL)
    assert spool.depth().rows == 1
    put(spool, 2, Weight.USUAL)
    assert waiting(spool) == [1, 2]
