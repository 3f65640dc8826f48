import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.config.published_fingerprints import LAYOUTS, Imported, PublishedFile, imported
from monitor.model.fingerprint import Fingerprint

HEADER = (
    "name,scope,other_names,location_found,pattern_type,pattern,"
    "confidence_no_fp,expected_countries,source,exp_url,notes\n"
)


def ooni(text: str | bytes, *, is_false_positives: bool = False) -> Imported:
    content = text if isinstance(text, bytes) else text.encode()
    return imported("ooni-csv", (PublishedFile("http.csv", content, is_false_positives),))


def censored_planet(*signatures: dict[str, object], is_false_positives: bool = False) -> Imported:
    content = "\n".join(json.dumps(one) for one in signatures).encode()
    return imported("censoredplanet-jsonl", (PublishedFile("bp.json", content, is_false_positives),))


def only(found: Imported) -> Fingerprint:
    assert found.problems == ()
    (row,) = found.rows
    return row


def told(found: Imported) -> list[str]:
    return [str(problem) for problem in found.problems]


def test_a_row_of_ooni_keeps_its_meaning() -> None:
    row = only(ooni(HEADER + 'ooni.es_1,inst,"ooni.it_1",header.server,full,V2R2,5,"ES,IT,PK",ooni,,A product\n'))
    assert row == Fingerprint(
        id="ooni.es_1",
        location="header.server",
        type="full",
        pattern="V2R2",
        scope="inst",
        countries=("ES", "IT", "PK"),
        source="OONI, blocking-fingerprints",
        note="A product",
    )


def test_words_of_ooni_are_trimmed_and_patterns_are_not() -> None:
    row = only(ooni(HEADER + ' ooni.x_1 , ISP,, Header.X-App-URL , Prefix , http://b/,5," pk, in ,,PK",ooni,,\n'))
    assert (row.id, row.scope, row.location, row.type) == ("ooni.x_1", "isp", "header.x-app-url", "prefix")
    assert row.pattern == " http://b/"
    assert row.countries == ("PK", "IN")


def test_empty_scope_and_countries_of_ooni_say_nothing() -> None:
    row = only(ooni(HEADER + "cp.x,,,body,contains,Access Denied,5,,censored planet,,\n"))
    assert (row.scope, row.countries) == ("", ())
    assert not row.confirms("PK")


def test_an_address_and_a_host_name_of_ooni_are_whole_answers() -> None:
    rows = ooni(HEADER + "a,isp,,dns,full,203.82.48.83,5,PK,,,\nb,isp,,dns,full,Block.Example.PK.,5,PK,,,\n").rows
    assert [row.pattern for row in rows] == ["203.82.48.83", "block.example.pk"]


def test_columns_of_ooni_go_by_their_names() -> None:
    text = "\ufeffpattern,name,pattern_type,scope,location_found\nno entry,a,contains,nat,body\n"
    assert only(ooni(text)).pattern == "no entry"


def test_a_pattern_of_ooni_may_span_lines_and_the_next_row_is_still_found() -> None:
    found = ooni(HEADER + 'a,nat,,body,contains,"one\ntwo",5,,,,\nb,nat,,body,regexp,(,5,,,,\n')
    assert found.rows[0].pattern == "one\ntwo"
    assert told(found) == ["http.csv:4: pattern: is no regular expression as RE2 knows them"]


def test_every_bad_row_of_ooni_is_told_and_the_others_are_taken() -> None:
    found = ooni(
        HEADER.encode()
        + b"a,nat,,body,contains,no entry,5,,,,\n"
        + b"b,nat,,body,contains\n"
        + b"c,global,,body,contains,no entry,5,,,,\n"
        + b"d,nat,,body,contains,caf\xe9 closed,5,,,,\n"
        + b"e,nat,,path,glob,no entry,5,Pakistan,,,\n"
        + b"\n"
        + b"f,nat,,body,regexp,(?<=x)closed,5,,,,\n"
        + b"g,nat,,body,contains,closed,5,,,,\n"
    )
    assert [row.id for row in found.rows] == ["a", "g"]
    assert [(problem.line, problem.key) for problem in found.problems] == [
        (3, ""),
        (4, "scope"),
        (5, ""),
        (6, "location"),
        (6, "countries"),
        (6, "type"),
        (8, "pattern"),
    ]


@pytest.mark.parametrize("text", ["", "a,b\n1,2\n", "\x00\x00", "{}\n"])
def test_a_file_that_is_no_list_of_ooni_is_told_so_once(text: str) -> None:
    found = ooni(text)
    assert found.rows == ()
    (problem,) = found.problems
    assert problem.line == 1
    assert "missing" in problem.message


def test_a_field_without_end_stops_the_reading_of_ooni_and_says_so() -> None:
    found = ooni(HEADER + 'a,nat,,body,contains,no entry,5,,,,\nb,nat,,body,contains,"' + "x\n" * 200_000)
    assert [row.id for row in found.rows] == ["a"]
    (problem,) = found.problems
    assert problem.line == 3
    assert "nothing below it was read" in problem.message


@pytest.mark.parametrize(
    ("name", "scope"),
    [
        ("a_prod_cisco", "prod"),
        ("b_nat_pak_isp_common_blockpage", "nat"),
        ("c_isp_pk_witribe", "isp"),
        ("d_corp_cn_ucloud", "inst"),
        ("e_unk_tr_access", ""),
        ("f_gen_loqueada", "vbw"),
        ("prod_barracuda_1", "prod"),
        ("nat_ir_national_1", "nat"),
        ("x_varnish_error", "fp"),
        ("s3_deny_1", ""),
    ],
)
def test_names_of_censored_planet_tell_the_scope(name: str, scope: str) -> None:
    row = only(censored_planet({"fingerprint": name, "pattern": "no entry", "extra": 1}))
    assert row.scope == scope
    assert row.countries == ()


def test_every_row_of_the_false_positive_file_vetoes() -> None:
    rows = censored_planet(
        {"fingerprint": "s3_deny_1", "pattern": "no right to access"},
        {"fingerprint": "x_varnish_error", "pattern": "Guru Meditation:"},
        is_false_positives=True,
    ).rows
    assert [(row.id, row.scope) for row in rows] == [("cp.fp_s3_deny_1", "fp"), ("cp.fp_x_varnish_error", "fp")]


@pytest.mark.parametrize(
    ("pattern", "kind", "text"),
    [
        (r"as per NTA\.s policy \(closed\)", "contains", "as per NTA.s policy (closed)"),
        ("www.example.sk/block", "regexp", "www.example.sk/block"),
        (r"D.*Marie", "regexp", "D.*Marie"),
        (r"number \d", "regexp", r"number \d"),
    ],
)
def test_expressions_of_censored_planet_that_mean_one_text_become_that_text(pattern: str, kind: str, text: str) -> None:
    row = only(censored_planet({"fingerprint": "c_isp_pk", "pattern": pattern}))
    assert (row.type, row.pattern) == (kind, text)


def test_an_address_of_censored_planet_is_looked_for_in_page_and_location() -> None:
    rows = censored_planet({"fingerprint": "c_isp_pk_wateen", "pattern": r"http://restrict\.wateen\.net/"}).rows
    assert [(row.id, row.location, row.type, row.pattern) for row in rows] == [
        ("cp.c_isp_pk_wateen_body", "body", "contains", "http://restrict.wateen.net/"),
        ("cp.c_isp_pk_wateen_location", "header.location", "prefix", "http://restrict.wateen.net/"),
    ]
    loose = censored_planet({"fingerprint": "c_isp_x", "pattern": "https?://b.example"})
    assert [row.location for row in loose.rows] == ["body"]


def test_a_header_of_censored_planet_is_looked_for_in_that_header() -> None:
    rows = censored_planet(
        {"fingerprint": "a_prod_b", "pattern": "Server: Barracuda/NGFirewall"},
        {"fingerprint": "c_isp_y", "pattern": "Location: http://b.*/x"},
    ).rows
    assert [(row.location, row.type, row.pattern) for row in rows] == [
        ("header.server", "prefix", "Barracuda/NGFirewall"),
        ("header.location", "regexp", "^(?:http://b.*/x)"),
    ]


def test_bad_lines_of_censored_planet_are_told_and_empty_ones_are_not() -> None:
    content = (
        b'\xef\xbb\xbf{"fingerprint":"c_isp_a","pattern":"no entry"}\n\n{"fingerprint":1}\n[\n\xff\n'
        b'{"fingerprint":"c_isp_b","pattern":"a(?!b)"}\n{"fingerprint":"c_isp_c","pattern":"(x+x+)+y"}'
    )
    found = imported("censoredplanet-jsonl", (PublishedFile("bp.json", content),))
    assert [row.id for row in found.rows] == ["cp.c_isp_a", "cp.c_isp_c"]
    assert [problem.line for problem in found.problems] == [3, 4, 5, 6]


def test_what_stands_twice_is_taken_once_and_one_id_names_one_pattern() -> None:
    text = HEADER + "".join(f"a,nat,,body,contains,{page},5,,,,\n" for page in ("page one", "page two", "page one"))
    rows = imported("ooni-csv", (PublishedFile("1", text.encode()), PublishedFile("2", text.encode()))).rows
    assert [(row.id, row.pattern) for row in rows] == [("a", "page one"), ("a~2", "page two")]


@given(st.sampled_from(sorted(LAYOUTS)), st.binary(max_size=300), st.sampled_from(["", HEADER]))
def test_no_content_raises_anything(layout: str, content: bytes, header: str) -> None:
    found = imported(layout, (PublishedFile("any", header.encode() + content),))
    assert all(str(problem).isprintable() for problem in found.problems)
