"""What is spent of quotas, and how many probes there are, as the database keeps it."""

import sqlite3
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from monitor.config.schema import Retention
from monitor.model.vantage import ProbeCount
from monitor.store.reader import Reader
from monitor.store.store import Store
from tests.store.samples import NOW, open_store

MINUTE = timedelta(minutes=1)
START = NOW.replace(second=0, microsecond=0)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "monitor.db"


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    opened = open_store(path)
    yield opened
    opened.close()


def rows(path: Path, sql: str) -> list[tuple[Any, ...]]:
    db = sqlite3.connect(path)
    found = db.execute(sql).fetchall()
    db.close()
    return found


def test_expenses_add_up_by_minute_and_are_told_of_one_vantage(store: Store, path: Path) -> None:
    for seconds, vantage, units in ((0, "lent", 1), (59, "lent", 2), (60, "lent", 4), (0, "other", 8)):
        assert store.record_spending(vantage, START + timedelta(seconds=seconds), units).result(30)
    with Reader(path) as reader:
        spent = reader.spent("lent", START - MINUTE)
        assert [units for _, units in spent] == [3, 4]
        # At the latest moment that it can have been, so that no window is thought emptier than it is.
        assert [at for at, _ in spent] == [
            START + MINUTE - timedelta(milliseconds=1),
            START + 2 * MINUTE - timedelta(milliseconds=1),
        ]
        assert [units for _, units in reader.spent("lent", START + timedelta(seconds=59))] == [3, 4]
        assert [units for _, units in reader.spent("lent", START + MINUTE)] == [4]
        assert reader.spent("nobody", START) == []


def test_probes_are_kept_by_network_and_expenses_for_two_days(store: Store, path: Path) -> None:
    store.record_spending("lent", START, 1)
    counts = (ProbeCount(country="PK", asn=17557, probes=3), ProbeCount(country="PK", asn=0, probes=1))
    store.record_probe_counts("lent", START, counts)
    store.record_probe_counts("lent", START + timedelta(hours=1), (ProbeCount(country="PK", asn=0, probes=0),))
    assert store.maintain(START + timedelta(days=1), Retention()).result(30)
    assert rows(path, "SELECT units FROM service_spending") == [(1,)]
    assert rows(path, "SELECT asn, probes FROM probe_count ORDER BY at, asn") == [(0, 1), (17557, 3), (0, 0)]
    assert store.maintain(START + timedelta(days=3), Retention(rollups=86_400.0)).result(30)
    assert rows(path, "SELECT units FROM service_spending") == []
    assert rows(path, "SELECT asn, probes FROM probe_count") == []
