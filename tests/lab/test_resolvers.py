import base64
import socket
import ssl
import struct

import dns.message
import dns.query
import dns.rcode
import dns.rdatatype
import dns.resolver
import httpx
import pytest
from dns.rdatatype import RdataType

from monitor.lab import Answer, Lab, Manner, Resolver, Transport, places
from monitor.lab.resolvers import EMPTY, MALFORMED, NXDOMAIN, REFUSED, SERVFAIL, SILENCE

NAME = "resolved.lab.test"
LIE = Answer(("10.10.34.35",))


def query(name: str = NAME, kind: RdataType = dns.rdatatype.A) -> dns.message.Message:
    return dns.message.make_query(name, kind)


def ask(
    lab: Lab, name: str = NAME, address: str = places.SYSTEM_RESOLVER, source: str = "127.0.0.1"
) -> dns.message.Message:
    return dns.query.udp(query(name), address, timeout=5, port=lab.ports.dns, source=source)


def said(reply: dns.message.Message) -> list[str]:
    return [item.to_text() for rrset in reply.answer for item in rrset]


def datagrams(lab: Lab, count: int, *, source: str = "127.0.0.1") -> list[bytes]:
    """Return the next `count` replies to one query, in the order of their arrival."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.bind((source, 0))
        client.settimeout(5)
        client.sendto(query().to_wire(), (places.SYSTEM_RESOLVER, lab.ports.dns))
        return [client.recv(65_535) for _ in range(count)]


@pytest.fixture(autouse=True)
def address(lab: Lab) -> str:
    return lab.site(NAME).addresses[0]


@pytest.mark.parametrize("resolver", [places.SYSTEM_RESOLVER, places.PUBLIC_RESOLVER, places.CONTROL_RESOLVER])
def test_every_resolver_tells_the_truth_over_udp_and_tcp(lab: Lab, resolver: str, address: str) -> None:
    assert said(ask(lab, address=resolver)) == [address]
    assert said(dns.query.tcp(query(), resolver, timeout=5, port=lab.ports.dns)) == [address]


def test_an_ipv4_name_has_an_empty_answer_for_ipv6(lab: Lab) -> None:
    reply = dns.query.udp(query(kind=dns.rdatatype.AAAA), places.SYSTEM_RESOLVER, timeout=5, port=lab.ports.dns)
    assert (reply.rcode(), said(reply)) == (dns.rcode.NOERROR, [])


def test_ipv6_addresses_are_answered_to_their_own_question(lab: Lab) -> None:
    lab.publish("both.lab.test", Answer(("127.1.9.9", "2001:db8::9")))
    asked = query("both.lab.test", dns.rdatatype.AAAA)
    assert said(dns.query.udp(asked, places.SYSTEM_RESOLVER, timeout=5, port=lab.ports.dns)) == ["2001:db8::9"]


def test_names_that_nobody_published_do_not_exist(lab: Lab) -> None:
    assert ask(lab, "x7k2.nx.lab.test").rcode() == dns.rcode.NXDOMAIN


def test_a_cname_precedes_its_address(lab: Lab) -> None:
    lab.publish("alias.lab.test", Answer(("127.1.9.9",), cname="cdn.lab.test"))
    assert said(ask(lab, "alias.lab.test")) == ["cdn.lab.test.", "127.1.9.9"]


@pytest.mark.parametrize(
    ("lie", "rcode", "answers"),
    [
        (NXDOMAIN, dns.rcode.NXDOMAIN, []),
        (EMPTY, dns.rcode.NOERROR, []),
        (REFUSED, dns.rcode.REFUSED, []),
        (SERVFAIL, dns.rcode.SERVFAIL, []),
        (LIE, dns.rcode.NOERROR, ["10.10.34.35"]),
    ],
)
def test_the_system_resolver_alone_lies(
    lab: Lab, lie: Answer, rcode: dns.rcode.Rcode, answers: list[str], address: str
) -> None:
    lab.lie(NAME, lie)
    reply = ask(lab)
    assert (reply.rcode(), said(reply)) == (rcode, answers)
    assert said(ask(lab, address=places.PUBLIC_RESOLVER)) == [address]


def test_a_resolver_that_says_nothing_times_the_client_out(lab: Lab) -> None:
    lab.lie(NAME, SILENCE)
    with pytest.raises(dns.exception.Timeout):
        dns.query.udp(query(), places.SYSTEM_RESOLVER, timeout=0.3, port=lab.ports.dns)


def test_a_malformed_reply_is_no_dns_message(lab: Lab) -> None:
    lab.lie(NAME, MALFORMED)
    (reply,) = datagrams(lab, 1)
    with pytest.raises(dns.exception.DNSException):
        dns.message.from_wire(reply)


def test_a_truncated_reply_is_whole_over_tcp(lab: Lab, address: str) -> None:
    lab.lie(NAME, Answer((address,), manner=Manner.TRUNCATED))
    reply, used_tcp = dns.query.udp_with_fallback(query(), places.SYSTEM_RESOLVER, timeout=5, port=lab.ports.dns)
    assert used_tcp
    assert said(reply) == [address]


def test_a_foreign_reply_comes_before_the_right_one(lab: Lab, address: str) -> None:
    lab.lie(NAME, Answer((address,), manner=Manner.WRONG_ID_FIRST))
    foreign, right = (dns.message.from_wire(reply) for reply in datagrams(lab, 2))
    assert foreign.id != right.id
    assert said(right) == [address]


def test_an_injected_reply_comes_before_the_genuine_one(lab: Lab, address: str) -> None:
    lab.inject(NAME, Answer(LIE.addresses, manner=Manner.BEFORE_GENUINE))
    assert [said(dns.message.from_wire(reply)) for reply in datagrams(lab, 2)] == [["10.10.34.35"], [address]]


def test_injection_reaches_udp_only_but_every_resolver(lab: Lab, address: str) -> None:
    lab.inject(NAME, LIE)
    assert said(ask(lab, address=places.PUBLIC_RESOLVER)) == ["10.10.34.35"]
    assert said(dns.query.tcp(query(), places.PUBLIC_RESOLVER, timeout=5, port=lab.ports.dns)) == [address]


def test_the_control_is_told_the_truth_by_its_resolver_and_by_its_source(lab: Lab, address: str) -> None:
    lab.lie(NAME, LIE, tuple(Resolver))
    assert said(ask(lab, address=places.CONTROL_RESOLVER)) == [address]
    assert said(ask(lab, source=places.CONTROL_SOURCE)) == [address]


def test_the_encrypted_twin_answers_over_tls_for_its_address(lab: Lab, address: str) -> None:
    context = ssl.create_default_context(cafile=str(lab.ca_file))
    where = places.PUBLIC_RESOLVER
    reply = dns.query.tls(query(), where, 5, lab.ports.dot, ssl_context=context, server_hostname=where)
    assert said(reply) == [address]


@pytest.mark.parametrize("post", [True, False])
@pytest.mark.parametrize("http2", [True, False])
def test_the_encrypted_twin_answers_over_https(lab: Lab, address: str, *, post: bool, http2: bool) -> None:
    context = ssl.create_default_context(cafile=str(lab.ca_file))
    url = lab.url(places.RESOLVER_NAME, "/dns-query").replace(places.RESOLVER_NAME, places.PUBLIC_RESOLVER)
    name = {"sni_hostname": places.RESOLVER_NAME}
    headers = {"Host": places.RESOLVER_NAME, "Content-Type": "application/dns-message"}
    with httpx.Client(verify=context, http1=not http2, http2=http2, trust_env=False) as client:
        wire = query().to_wire()
        if post:
            response = client.post(url, content=wire, headers=headers, extensions=name)
        else:
            parameters = {"dns": base64.urlsafe_b64encode(wire).rstrip(b"=").decode()}
            response = client.get(url, params=parameters, headers=headers, extensions=name)
    assert response.http_version == ("HTTP/2" if http2 else "HTTP/1.1")
    assert said(dns.message.from_wire(response.content)) == [address]


def test_only_the_transport_lied_over_lies(lab: Lab, address: str) -> None:
    lab.lie(NAME, LIE, [Resolver.PUBLIC], [Transport.TCP])
    assert said(dns.query.tcp(query(), places.PUBLIC_RESOLVER, timeout=5, port=lab.ports.dns)) == ["10.10.34.35"]
    assert said(ask(lab, address=places.PUBLIC_RESOLVER)) == [address]


def test_who_am_i_leads_to_the_network_and_its_name(lab: Lab) -> None:
    def text(name: str) -> str:
        asked = query(name, dns.rdatatype.TXT)
        (line,) = said(dns.query.udp(asked, places.SYSTEM_RESOLVER, timeout=5, port=lab.ports.dns))
        return line.strip('"')

    address = text(places.WHOAMI_NAME)
    reverse = ".".join(reversed(address.split(".")))
    number, prefix, country, *_ = (part.strip() for part in text(f"{reverse}.{places.ORIGIN_ZONE}").split("|"))
    assert (address, number, prefix, country) == ("202.63.192.9", "64500", "202.63.192.0/24", "PK")
    assert text(f"AS{number}.{places.ASN_ZONE}").endswith("| LAB-NET")
    lab.line("moved")
    assert text(places.WHOAMI_NAME) == "182.176.0.9"


@pytest.mark.parametrize("noise", [b"", b"\x00", b"\xff" * 600, struct.pack("!6H", 1, 0, 9, 0, 0, 0)])
def test_noise_is_ignored_and_harms_nobody(lab: Lab, noise: bytes, address: str) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.sendto(noise, (places.SYSTEM_RESOLVER, lab.ports.dns))
    assert said(ask(lab)) == [address]
