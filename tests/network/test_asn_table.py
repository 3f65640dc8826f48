from pathlib import Path
from typing import Any

import pytest

from monitor.model.place import Place
from monitor.network.asn_table import AsnTable
from tests.fakes.mmdb import write_mmdb


@pytest.mark.parametrize(
    ("row", "number", "place"),
    [
        ({"autonomous_system_number": 13414, "country": {"iso_code": "US"}}, 13414, Place("US", 13414)),
        ({"autonomous_system_number": 17557}, 17557, Place("", 17557)),
        ({"country": {"iso_code": "PK"}}, None, Place("PK", 0)),
        ({"country": "pk"}, None, Place("PK", 0)),
        # A file can say anything.
        ({"country": {"iso_code": "<b>"}, "autonomous_system_number": "13414"}, None, None),
        ({"country": 7}, None, None),
        ({}, None, None),
    ],
)
def test_a_row_is_read_as_far_as_it_makes_sense(
    tmp_path: Path, row: dict[str, Any], number: int | None, place: Place | None
) -> None:
    write_mmdb(tmp_path / "geo.mmdb", {"203.0.113.0/24": row, "198.51.100.0/25": {"country": "DE"}})
    table = AsnTable(tmp_path / "geo.mmdb")
    assert (table.number("203.0.113.9"), table.place("203.0.113.9")) == (number, place)
    assert table.place("198.51.100.1") == Place("DE", 0)
    assert table.place("198.51.100.200") is None
    assert table.place("2001:db8::1") is None  # the file holds IPv4 alone


def test_another_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "geo.mmdb").write_text("no database")
    with pytest.raises(ValueError, match="is no MaxMind-format database"):
        AsnTable(tmp_path / "geo.mmdb")
