import sqlite3
from datetime import timedelta
from pathlib import Path

import pytest

from monitor.model.identifier import MeasurementIds
from monitor.store.connection import connect_writer
from monitor.store.recorder import Recorder
from monitor.store.schema import prepare
from tests.store.samples import NOW, Line

TARGETS = 30


@pytest.mark.parametrize(("has_ipv6", "has_control"), [(True, False), (True, True), (False, False), (False, True)])
def test_a_routine_accessible_run_takes_less_than_400_bytes(
    tmp_path: Path, *, has_ipv6: bool, has_control: bool
) -> None:
    path = tmp_path / "monitor.db"
    prepare(path)
    db = connect_writer(path)
    recorder, line, ids = Recorder(db), Line(has_ipv6=has_ipv6), MeasurementIds()
    runs = 0

    def measure(rounds: range) -> int:
        nonlocal runs
        db.execute("BEGIN")
        for round_ in rounds:
            for target in range(TARGETS):
                at = NOW + timedelta(minutes=5 * round_, seconds=3 * target)
                control_id = None
                if has_control:
                    control_id = ids.new(at)
                    recorder.outcome(line.control(target, control_id, at), at)
                recorder.outcome(line.run(target, ids.new(at), at, control_id), at)
                runs += 1 + has_control
        db.execute("COMMIT")
        return _bytes(db)

    # What is stored once for all (certificates, pages, the stable parts of observations) comes with the first rounds.
    before = measure(range(30))
    runs = 0
    after = measure(range(30, 60))
    db.close()
    assert (after - before) / runs < 400


def _bytes(db: sqlite3.Connection) -> int:
    (pages,), (size,) = db.execute("PRAGMA page_count").fetchone(), db.execute("PRAGMA page_size").fetchone()
    return int(pages * size)
