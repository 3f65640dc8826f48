from pathlib import Path

import pytest

from monitor.model.place import Place
from monitor.network.asn_table import AsnTable
from tests.fakes.mmdb import Value, mmdb, write_mmdb

ROWS: dict[str, dict[str, Value]] = {
    "93.184.216.0/24": {"autonomous_system_number": 15133, "autonomous_system_organization": "EDGECAST"},
    "130.192.0.0/16": {"autonomous_system_number": 137},
    "2606:2800::/32": {"autonomous_system_number": 4_200_000_000},
    "198.41.0.0/24": {"country": {"iso_code": "US"}},
}


def table(folder: Path, content: bytes) -> AsnTable:
    (folder / "asn.mmdb").write_bytes(content)
    return AsnTable(folder / "asn.mmdb")


@pytest.mark.parametrize(
    ("address", "number"),
    [
        ("93.184.216.34", 15133),
        ("93.184.217.1", None),
        ("130.192.255.255", 137),
        ("2606:2800:21f::1", 4_200_000_000),
        ("2606:2801::1", None),
        ("198.41.0.4", None),  # a row that knows no number
    ],
)
def test_the_number_of_an_address_is_that_of_its_network(tmp_path: Path, address: str, number: int | None) -> None:
    assert table(tmp_path, mmdb(ROWS)).number(address) == number


def test_a_file_of_ipv4_alone_knows_no_ipv6_address(tmp_path: Path) -> None:
    known = table(tmp_path, mmdb({"93.184.216.0/24": ROWS["93.184.216.0/24"]}, ip_version=4))
    assert known.number("93.184.216.34") == 15133
    assert known.number("2606:2800:21f::1") is None


@pytest.mark.parametrize("answer", ["[scrubbed]", "", "no address"])
def test_what_is_no_address_has_no_number(tmp_path: Path, answer: str) -> None:
    assert table(tmp_path, mmdb(ROWS)).number(answer) is None


@pytest.mark.parametrize("content", [b"", b"not a database", mmdb(ROWS)[:40]], ids=["empty", "text", "cut"])
def test_another_file_is_refused_by_name(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(ValueError, match=r"asn\.mmdb is no MaxMind-format database"):
        table(tmp_path, content)


def test_a_damaged_tree_knows_nothing_and_raises_nothing(tmp_path: Path) -> None:
    sound = mmdb(ROWS)
    damaged = b"\xff" * 600 + sound[600:]
    assert table(tmp_path, damaged).number("93.184.216.34") is None


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
    tmp_path: Path, row: dict[str, Value], number: int | None, place: Place | None
) -> None:
    write_mmdb(tmp_path / "geo.mmdb", {"203.0.113.0/24": row, "198.51.100.0/25": {"country": "DE"}})
    known = AsnTable(tmp_path / "geo.mmdb")
    assert (known.number("203.0.113.9"), known.place("203.0.113.9")) == (number, place)
    assert known.place("198.51.100.1") == Place("DE", 0)
    assert known.place("198.51.100.200") is None
    assert known.place("2001:db8::1") is None  # the file holds IPv4 alone
