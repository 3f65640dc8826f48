import re
import sqlite3
from pathlib import Path

import pytest

from monitor.store.schema import prepare

DOCUMENT = Path(__file__).parents[2] / "docs" / "tables.md"


@pytest.fixture
def tables(tmp_path: Path) -> dict[str, set[str]]:
    path = tmp_path / "monitor.db"
    prepare(path)
    db = sqlite3.connect(path)
    names = [
        name
        for (name,) in db.execute("SELECT name FROM sqlite_schema WHERE type IN ('table', 'view')")
        if not name.startswith(("sqlite_", "_sqlite_"))
    ]
    found = {name: {row[1] for row in db.execute(f"PRAGMA table_xinfo({name})")} for name in names}
    db.close()
    return found


def test_every_table_and_column_is_described(tables: dict[str, set[str]]) -> None:
    described = set(re.findall(r"`(\w+)`", DOCUMENT.read_text()))
    views = {"measurement_detail", "observation_detail", "verdict_detail"}
    missing = {
        f"{table}.{column}" for table, columns in tables.items() if table not in views for column in columns - described
    }
    assert missing == set()
    assert set(tables) <= described
