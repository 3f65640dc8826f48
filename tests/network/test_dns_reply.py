import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.model.failure import Failure
from monitor.model.observation import DnsAnswer
from monitor.network.dns_reply import labels_of, read_reply
from monitor.network.failures import ClassifiedError

LABELS = labels_of("www.x.test")
ID = b"\x12\x34"


def reply_to(query_type: str = "A", *records: tuple[str, str, str], rcode: int = 0) -> dns.message.Message:
    query = dns.message.make_query("www.x.test", query_type, use_edns=0, id=0x1234)
    reply = dns.message.make_response(query)
    for owner, rdtype, value in records:
        reply.answer.append(dns.rrset.from_text(owner, 300, "IN", rdtype, value))
    reply.set_rcode(dns.rcode.Rcode(rcode))
    return reply


def read(wire: bytes, query_type: str = "A") -> object:
    return read_reply(wire, ID, LABELS, query_type)


def test_chain_of_aliases_is_kept_in_order_and_strangers_are_left_out() -> None:
    wire = reply_to(
        "A",
        ("www.x.test.", "CNAME", "edge.cdn.test."),
        ("stranger.test.", "A", "192.0.2.66"),
        ("edge.cdn.test.", "A", "192.0.2.1"),
        ("edge.cdn.test.", "A", "192.0.2.2"),
    ).to_wire()
    found = read_reply(wire, ID, LABELS, "A")
    assert found is not None
    assert found.answers == (
        DnsAnswer("CNAME", "edge.cdn.test"),
        DnsAnswer("A", "192.0.2.1"),
        DnsAnswer("A", "192.0.2.2"),
    )
    assert found.ttls_seconds == (300, 300, 300)


def test_name_in_any_letter_case_is_the_same_question() -> None:
    found = read_reply(reply_to("A", ("WWW.X.test.", "A", "192.0.2.1")).to_wire(), ID, labels_of("wwW.x.TEST"), "A")
    assert found is not None
    assert len(found.answers) == 1


def test_texts_are_joined_and_printable() -> None:
    wire = reply_to("TXT", ("www.x.test.", "TXT", '"192.0.2.1 " "\\027[31mred"')).to_wire()
    found = read_reply(wire, ID, LABELS, "TXT")
    assert found is not None
    assert found.answers == (DnsAnswer("TXT", "192.0.2.1 \ufffd[31mred"),)


def test_extended_rcode_is_put_together() -> None:
    found = read_reply(reply_to(rcode=23).to_wire(), ID, LABELS, "A")
    assert found is not None
    assert found.rcode == 23


@pytest.mark.parametrize(
    "wire",
    [
        b"",
        b"\x12\x34\x80",
        b"\x99\x99" + reply_to().to_wire()[2:],
        dns.message.make_query("www.x.test", "A", id=0x1234).to_wire(),
        dns.message.make_response(dns.message.make_query("y.test", "A", id=0x1234)).to_wire(),
        dns.message.make_response(dns.message.make_query("www.x.test", "AAAA", id=0x1234)).to_wire(),
    ],
    ids=["empty", "short", "other id", "a query", "other name", "other type"],
)
def test_what_answers_another_question_is_foreign(wire: bytes) -> None:
    assert read(wire) is None


def test_cut_message_is_truncated_wherever_it_is_cut() -> None:
    reply = reply_to("A", ("www.x.test.", "A", "192.0.2.1"))
    reply.flags |= dns.flags.TC
    found = read_reply(reply.to_wire()[:-20], ID, LABELS, "A")
    assert found is not None
    assert found.is_truncated


GOOD = reply_to("A", ("www.x.test.", "CNAME", "y.test."), ("y.test.", "A", "192.0.2.1")).to_wire()


@pytest.mark.parametrize("length", range(28, len(GOOD)))
def test_message_cut_without_saying_so_is_misbehaviour(length: int) -> None:
    with pytest.raises(ClassifiedError) as caught:
        read(GOOD[:length])
    assert caught.value.failure == Failure.DNS_SERVER_MISBEHAVING


def test_name_that_points_to_itself_ends() -> None:
    header = ID + b"\x81\x80\x00\x00\x00\x01\x00\x00\x00\x00"
    with pytest.raises(ClassifiedError):
        read(header + b"\xc0\x0c" + b"\x00\x01\x00\x01\x00\x00\x00\x01\x00\x04\x01\x02\x03\x04")


def test_answers_are_bounded() -> None:
    wire = reply_to("A", *(("www.x.test.", "A", f"192.0.{high}.{low}") for high in range(4) for low in range(250)))
    found = read_reply(wire.to_wire(max_size=65_535), ID, LABELS, "A")
    assert found is not None
    assert len(found.answers) == len(found.ttls_seconds) == 64


@given(st.binary(max_size=200))
def test_no_bytes_make_it_fail_otherwise(rest: bytes) -> None:
    try:
        found = read_reply(ID + b"\x81" + rest, ID, LABELS, "A")
    except ClassifiedError:
        return
    assert found is None or len(found.answers) == len(found.ttls_seconds)


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("A"), st.ip_addresses(v=4).map(str)),
            st.tuples(st.just("AAAA"), st.ip_addresses(v=6).map(str)),
            st.tuples(st.just("NS"), st.just("ns.test.")),
        ),
        max_size=8,
    ),
    st.sampled_from(["A", "AAAA"]),
    st.integers(0, 4095),
)
def test_whatever_dnspython_writes_reads_alike(records: list[tuple[str, str]], query_type: str, rcode: int) -> None:
    reply = reply_to(query_type, *(("www.x.test.", rdtype, value) for rdtype, value in records), rcode=rcode)
    wire = reply.to_wire()
    expected = [
        DnsAnswer(dns.rdatatype.to_text(rrset.rdtype), record.address)
        for rrset in dns.message.from_wire(wire, one_rr_per_rrset=True).answer
        for record in rrset
        if rrset.rdtype in {dns.rdatatype.A, dns.rdatatype.AAAA}
    ]
    found = read_reply(wire, ID, LABELS, query_type)
    assert found is not None
    assert (found.rcode, list(found.answers)) == (rcode, expected)


@pytest.mark.parametrize("host", ["", "a..test", "a" * 64 + ".test"])
def test_what_is_no_host_name_is_our_mistake(host: str) -> None:
    if host:
        with pytest.raises(ValueError, match="no host name"):
            labels_of(host)
    else:
        assert labels_of(host) == ()
