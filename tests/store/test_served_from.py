from datetime import date, timedelta
from pathlib import Path

import msgspec
import pytest

from monitor.model.place import Place
from monitor.network.clock import SystemClock
from monitor.store.reader import Reader
from monitor.store.store import Store
from tests.fakes.outcomes import ACCESSIBLE, NOW, outcome, recording

ABROAD, HERE = Place("US", 13414), Place("PK", 17557)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file with three days of a target that moved into the country on the third."""
    path = tmp_path / "monitor.db"
    store = Store.open(path, SystemClock(), spool_rows=100)
    places = [(ABROAD,), (ABROAD,), (ABROAD, HERE)]
    for number, served in enumerate(places * 2):
        made = outcome(ACCESSIBLE, recording())
        at = NOW + timedelta(days=number % 3, minutes=number)
        measurement = msgspec.structs.replace(made.recording.measurement, id=number + 1, started_at=at)
        made = msgspec.structs.replace(
            made, recording=msgspec.structs.replace(made.recording, measurement=measurement), served_from=served
        )
        assert store.record(made).result(timeout=10)
    store.close()
    return path


def test_a_move_of_servers_is_a_row_of_its_day(path: Path) -> None:
    with Reader(path) as reader:
        rows = reader.served_from(target="x-home")
        assert [(one.day, one.place) for one in rows] == [
            (date(2026, 11, 24), ABROAD),
            (date(2026, 11, 24), HERE),
            (date(2026, 11, 23), ABROAD),
            (date(2026, 11, 22), ABROAD),
        ]
        assert {one.vantage for one in rows} == {"lahore"}
        assert reader.served_from(target="x-api") == []
        assert len(reader.served_from(limit=2)) == 2
        assert [one.day for one in reader.served_from(since=NOW + timedelta(days=1, hours=12))] == [
            date(2026, 11, 24)
        ] * 2
