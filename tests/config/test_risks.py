import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from monitor.config.risks import RISK_TEXT, RISKS_VERSION, accept, accepted

AT = datetime(2026, 11, 22, 10, 30, tzinfo=UTC)


def test_acceptance_is_recorded_with_version_time_and_way(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    assert not accepted(folder)
    accept(folder, AT, "terminal")
    assert accepted(folder)
    assert [path.name for path in folder.iterdir()] == ["risks-accepted.json"]
    recorded = json.loads((folder / "risks-accepted.json").read_text())
    assert recorded == {"version": RISKS_VERSION, "at": "2026-11-22T10:30:00+00:00", "how": "terminal"}


@pytest.mark.parametrize("content", ["", "{", "[]", "1", '{"version": 0}', "\x00"])
def test_acceptance_of_another_text_or_a_broken_record_does_not_count(tmp_path: Path, content: str) -> None:
    (tmp_path / "risks-accepted.json").write_text(content)
    assert not accepted(tmp_path)


def test_text_speaks_english_and_urdu() -> None:
    assert "Your internet provider" in RISK_TEXT
    assert "انٹرنیٹ فراہم کنندہ" in RISK_TEXT
