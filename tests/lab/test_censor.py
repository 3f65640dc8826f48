import contextlib
import ssl

import dns.exception
import dns.message
import dns.query
import pytest

from monitor.lab import Cut, Lab, Line, places
from monitor.lab.pages import BLOCK_PAGE_SENTENCE, unknown_block_page
from tests.lab.client import client_hello, connection, ends_with, fetch, get, reset, tls

NAME = "censored.lab.test"


@pytest.fixture(autouse=True)
def address(lab: Lab) -> str:
    return lab.site(NAME).addresses[0]


def after_hello(lab: Lab, name: str, address: str) -> type[OSError] | bytes:
    with connection(address, lab.ports.https) as connected:
        connected.sendall(client_hello(name))
        return ends_with(connected)


def works(lab: Lab, name: str, address: str = "", source: str = "127.0.0.1") -> bool:
    with tls(lab, name, address, source=source, verify=False) as connected:
        return fetch(connected, name)[0] in {200, 400}


@pytest.mark.parametrize(
    ("cut", "ending"),
    [
        (Cut.RESET, ConnectionResetError),
        (Cut.FIN, b""),
        (Cut.ALERT, b"\x15\x03\x03\x00\x02\x02\x28"),
        (Cut.UNRECOGNIZED_NAME, b"\x15\x03\x03\x00\x02\x02\x70"),
        (Cut.CLEARTEXT, b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"),
    ],
)
def test_a_listed_name_is_cut_at_any_address_and_no_other_name_is(
    lab: Lab, cut: Cut, ending: type[OSError] | bytes, address: str
) -> None:
    lab.censor(NAME, cut)
    assert after_hello(lab, NAME, address) == ending
    assert after_hello(lab, NAME, places.UNRELATED) == ending
    assert works(lab, places.HARMLESS_NAME, address)
    assert works(lab, places.UNRELATED_NAME)
    assert works(lab, NAME, source=places.CONTROL_SOURCE)
    lab.lift()
    assert works(lab, NAME)


def test_one_line_of_several_can_be_cut_alone(lab: Lab, address: str) -> None:
    lab.censor(NAME, Cut.RESET, lines=[places.SECOND_LINE])
    assert works(lab, NAME)
    assert works(lab, NAME, source=places.THIRD_LINE)
    with pytest.raises(ConnectionResetError):
        works(lab, NAME, address, source=places.SECOND_LINE)
    with pytest.raises(ValueError, match="for everybody"):
        lab.censor(NAME, Cut.DROP, lines=[places.SECOND_LINE])


def test_a_silenced_name_gets_no_answer_while_the_connection_stays_open(lab: Lab, address: str) -> None:
    lab.censor(NAME, Cut.SILENCE)
    with connection(address, lab.ports.https, timeout_seconds=0.3) as connected:
        connected.sendall(client_hello(NAME))
        assert ends_with(connected) is TimeoutError


def test_a_client_hello_in_pieces_is_still_read(lab: Lab, address: str) -> None:
    lab.censor(NAME, Cut.FIN)
    hello = client_hello(NAME)
    with connection(address, lab.ports.https) as connected:
        for piece in (hello[:3], hello[3:90], hello[90:]):
            connected.sendall(piece)
            works(lab, places.UNRELATED_NAME)  # by now the piece has been read
        assert ends_with(connected) == b""


@pytest.mark.parametrize(("cut", "ending"), [(Cut.RESET, ConnectionResetError), (Cut.FIN, b"")])
def test_a_listed_host_is_cut_in_cleartext(lab: Lab, cut: Cut, ending: type[OSError] | bytes, address: str) -> None:
    lab.censor(NAME, cut)
    with connection(address, lab.ports.http) as connected:
        connected.sendall(f"GET / HTTP/1.1\r\nHost: {NAME}\r\n\r\n".encode())
        assert ends_with(connected) == ending
    with connection(address, lab.ports.http) as connected:
        assert fetch(connected, places.HARMLESS_NAME)[0] == 400


def test_a_block_page_replaces_the_site_in_cleartext_only(lab: Lab) -> None:
    lab.censor(NAME, Cut.PAGE)
    assert BLOCK_PAGE_SENTENCE.encode() in get(lab, NAME)[2]
    assert BLOCK_PAGE_SENTENCE.encode() not in get(lab, NAME, source=places.CONTROL_SOURCE)[2]
    with tls(lab, NAME) as connected:
        assert BLOCK_PAGE_SENTENCE.encode() not in fetch(connected, NAME)[2]


def test_the_block_page_can_be_one_that_nobody_knows(lab: Lab) -> None:
    lab.censor(NAME, Cut.PAGE, unknown_block_page())
    assert get(lab, NAME)[2] == unknown_block_page().body


def test_the_block_page_host_shows_it_to_anybody_and_speaks_no_tls(lab: Lab) -> None:
    with connection(places.BLOCK_PAGE_HOST, lab.ports.http) as connected:
        assert BLOCK_PAGE_SENTENCE.encode() in fetch(connected, NAME)[2]
    with pytest.raises(ConnectionRefusedError), connection(places.BLOCK_PAGE_HOST, lab.ports.https):
        pass


def test_dropped_packets_time_the_test_vantage_out_and_not_the_control(lab: Lab, address: str) -> None:
    lab.censor(NAME, Cut.DROP)
    with pytest.raises(TimeoutError), connection(address, lab.ports.https, timeout_seconds=0.3):
        pass
    assert works(lab, NAME, source=places.CONTROL_SOURCE)
    lab.lift()
    assert works(lab, NAME)


def test_a_dead_address_times_everybody_out(lab: Lab, address: str) -> None:
    lab.site(NAME, cut=Cut.DROP)
    for source in ("127.0.0.1", places.CONTROL_SOURCE):
        with pytest.raises(TimeoutError), connection(address, lab.ports.https, source, timeout_seconds=0.3):
            pass


def test_a_closed_site_refuses_and_opens_again(lab: Lab, address: str) -> None:
    lab.site(NAME, cut=Cut.REFUSE)
    for port in (lab.ports.https, lab.ports.http):
        with pytest.raises(ConnectionRefusedError), connection(address, port):
            pass
    lab.site(NAME)
    assert works(lab, NAME)


def test_nothing_listens_on_the_closed_port(lab: Lab, address: str) -> None:
    with pytest.raises(ConnectionRefusedError), connection(address, lab.closed_port):
        pass


def test_a_broken_site_is_broken_for_everybody_and_for_every_name(lab: Lab, address: str) -> None:
    lab.site(NAME, cut=Cut.FIN)
    assert after_hello(lab, NAME, address) == b""
    assert after_hello(lab, places.HARMLESS_NAME, address) == b""
    with pytest.raises(ssl.SSLError):
        works(lab, NAME, source=places.CONTROL_SOURCE)


def test_no_single_client_can_be_refused(lab: Lab) -> None:
    with pytest.raises(ValueError, match="refuse"):
        lab.censor(NAME, Cut.REFUSE)


def test_an_offline_line_swallows_everything_but_the_control(lab: Lab) -> None:
    lab.line(Line.OFFLINE)
    for where in (*places.ANCHORS, *places.SANE_HOSTS, *places.PORTALS):
        with pytest.raises(TimeoutError), connection(where, lab.ports.https, timeout_seconds=0.1):
            pass
    with pytest.raises(dns.exception.Timeout):
        dns.query.udp(dns.message.make_query(NAME, "A"), places.SYSTEM_RESOLVER, 0.3, lab.ports.dns)
    assert works(lab, NAME, source=places.CONTROL_SOURCE)


def test_a_captive_line_sends_every_portal_check_to_one_login_page_and_resets_tls(lab: Lab, address: str) -> None:
    lab.line(Line.CAPTIVE)
    answers = [get(lab, name) for name in places.PORTAL_NAMES]
    assert [status for status, _, _ in answers] == [302, 302]
    assert all(f"Location: {lab.url('login.lab.test', scheme='http')}" in head for _, head, _ in answers)
    assert after_hello(lab, NAME, address) is ConnectionResetError


def test_an_online_line_passes_every_sanity_check(lab: Lab) -> None:
    assert [get(lab, name)[2] for name in places.PORTAL_NAMES] == [b"the line is open"] * 2
    for name in places.SANE_NAMES:
        with tls(lab, name):
            pass
    for where in places.ANCHORS:
        with connection(where, lab.ports.https):
            pass


def test_connections_and_requests_are_on_record(lab: Lab, address: str) -> None:
    get(lab, NAME, "/status/404")
    assert lab.connections[-1] == ("127.0.0.1", address, NAME)
    assert (lab.requests[-1].path, lab.requests[-1].is_tls) == ("/status/404", False)


def test_rude_clients_are_survived(lab: Lab, address: str) -> None:
    for noise in (b"", b"\x16\x03\x01", b"\x16\x03\x01\xff\xff" + bytes(70_000), b"GET", b"\r\n\r\n", bytes(100_000)):
        with connection(address, lab.ports.https) as connected, contextlib.suppress(ConnectionError):
            connected.sendall(noise)
            reset(connected)
    assert works(lab, NAME)


def test_a_split_laboratory_leads_the_control_past_the_censor_by_destination() -> None:
    with Lab(split=True) as split:
        here, there = split.site(NAME).addresses
        split.censor(NAME, Cut.RESET)
        assert after_hello(split, NAME, here) is ConnectionResetError
        assert there.startswith(places.UNCENSORED)
        assert works(split, NAME, there)
        for resolver, address in ((places.SYSTEM_RESOLVER, here), (places.CONTROL_RESOLVER, there)):
            reply = dns.query.udp(dns.message.make_query(NAME, "A"), resolver, 5, split.ports.dns)
            assert reply.answer[0][0].to_text() == address


def test_two_laboratories_run_side_by_side(lab: Lab) -> None:
    with Lab() as other:
        other.site(NAME)
        lab.censor(NAME, Cut.RESET)
        assert works(other, NAME)
