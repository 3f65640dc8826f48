from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.classify.fingerprints import shown, unvetoed
from monitor.config.fingerprints import shipped
from monitor.model.fingerprint import Fingerprint, merged

SHIPPED = shipped()[1]


def row(
    pattern: str, kind: str = "contains", location: str = "body", scope: str = "isp", name: str = ""
) -> Fingerprint:
    return Fingerprint(id=name or pattern, location=location, type=kind, pattern=pattern, scope=scope)


def ids(rows: Sequence[Fingerprint]) -> list[str]:
    return [one.id for one in rows]


@pytest.mark.parametrize(
    ("kind", "pattern", "text", "is_shown"),
    [
        ("full", "notice", b"notice", True),
        ("full", "notice", b"notice ", False),
        ("prefix", "http://b.example/", b"http://b.example/?u=1", True),
        ("prefix", "http://b.example/", b" http://b.example/", False),
        ("contains", "a.c(", b"xx a.c( xx", True),
        ("contains", "a.c(", b"xx abc( xx", False),
        ("contains", "заблокирован", "сайт заблокирован".encode(), True),
        ("regexp", "you.*prohibited", b"you\nare\nprohibited", True),
        ("regexp", "(?i)BLOCKED by", b"blocked BY", True),
        ("regexp", "^blocked$", b"is blocked", False),
        ("regexp", "(", b"(", False),
    ],
)
def test_each_type_is_looked_for_in_its_way(kind: str, pattern: str, text: bytes, *, is_shown: bool) -> None:
    assert bool(shown((row(pattern, kind), row("elsewhere")), {"body": text})) is is_shown


def test_a_row_is_looked_for_in_its_place_only() -> None:
    rows = (row("WebFilter", location="header.server"), row("WebFilter", location="body", name="page"))
    assert ids(shown(rows, {"header.server": b"WebFilter/1", "body": b""})) == ["WebFilter"]
    assert ids(shown(rows, {"header.via": b"WebFilter/1", "body": b"WebFilter"})) == ["page"]


def test_a_veto_anywhere_in_the_response_outweighs_every_hit() -> None:
    rows = (row("prohibited"), row("cloudflare", "full", "header.server", "fp"))
    assert ids(unvetoed(shown(rows, {"body": b"prohibited", "header.server": b"nginx"}))) == ["prohibited"]
    assert unvetoed(shown(rows, {"body": b"prohibited", "header.server": b"cloudflare"})) == ()


@pytest.mark.parametrize(
    ("scope", "countries", "country", "confirms"),
    [
        ("nat", (), "PK", True),
        ("isp", (), None, True),
        ("isp", ("ID",), "PK", True),
        ("prod", (), "PK", False),
        ("prod", ("PK",), "PK", True),
        ("inst", ("ES", "PK"), "IN", False),
        ("", (), "PK", False),
        ("", ("PK",), "PK", True),
        ("vbw", ("PK",), "PK", False),
        ("fp", ("PK",), "PK", False),
    ],
)
def test_what_a_hit_settles(scope: str, countries: tuple[str, ...], country: str | None, *, confirms: bool) -> None:
    fingerprint = Fingerprint(id="a", location="body", type="full", pattern="a", scope=scope, countries=countries)
    assert fingerprint.confirms(country) is confirms


@pytest.mark.parametrize(
    ("location", "text", "name"),
    [
        ("body", b"<p>is prohibited for viewership from within Pakistan.", "cp.b_nat_pak_isp_common_blockpage"),
        ("body", b'<a href="http://redirect.wi-tribe.net.pk/alert/x">', "cp.c_isp_pk_witribe"),
        ("body", b"src=http://restrictk.wateen.net/", "cp.c_isp_pk_wateen_2"),
        ("header.location", b"http://restrict.wateen.net/?x", "cp.c_isp_pk_wateen_location"),
        ("dns", b"203.82.48.83", "ooni.pk_3"),
    ],
)
def test_pakistani_rows_confirm_there_whether_they_name_the_country_or_not(
    location: str, text: bytes, name: str
) -> None:
    (found,) = shown(SHIPPED, {location: text})
    assert found.id == name
    assert found.confirms("PK")


def test_the_shipped_rows_say_where_they_come_from() -> None:
    assert [one.id for one in SHIPPED if not one.source] == []
    assert shipped()[0].version


def test_thousands_of_rows_are_looked_for_together_and_each_is_found() -> None:
    rows = tuple(row(f"notice number {number};") for number in range(2500))
    assert ids(shown(rows, {"body": b"notice number 7; and notice number 2499; or notice number 9999;"})) == [
        "notice number 7;",
        "notice number 2499;",
    ]


def test_rows_too_large_to_be_looked_for_together_are_still_found() -> None:
    rows = tuple(row(f"x{number}[a-z]{{900}}(?:é|ü){{40}}z", "regexp") for number in range(300))
    assert ids(shown((*rows, row("plain")), {"body": b"plain"})) == ["plain"]


@given(st.lists(st.sampled_from(["nat", "fp", "vbw", ""]), max_size=6))
def test_order_of_rows_decides_neither_hits_nor_vetoes(scopes: list[str]) -> None:
    rows = tuple(row("page", name=str(number), scope=scope) for number, scope in enumerate(scopes))
    shuffled = tuple(reversed(rows))
    assert set(unvetoed(shown(rows, {"body": b"page"}))) == set(unvetoed(shown(shuffled, {"body": b"page"})))
    assert bool(unvetoed(shown(rows, {"body": b"page"}))) == (bool(scopes) and "fp" not in scopes)


def test_a_later_row_takes_the_place_of_an_earlier_one_with_its_id() -> None:
    source = shipped()[0]
    both = merged([(source, (row("one", name="a"), row("two"))), (source, (row("three", scope="vbw", name="a"),))])
    assert [(one.id, one.pattern) for one in both.rows] == [("a", "three"), ("two", "two")]
    assert both.digest() != merged([(source, (row("one", name="a"), row("two")))]).digest()
