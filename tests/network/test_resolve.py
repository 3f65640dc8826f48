import asyncio
import ssl
from collections.abc import Callable, Sequence

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import h2.config
import h2.connection
import h2.events
import pytest

from monitor.model.failure import Failure
from monitor.model.observation import DnsAnswer, DnsObservation
from monitor.network.local import LocalNetwork
from monitor.network.nameservers import Endpoint
from monitor.network.recorder import Recorder
from monitor.network.resolve import resolve
from tests.network.loopback import (
    STRANGER,
    Answerer,
    Handler,
    closed_port,
    server_context,
    silence,
    tcp_server,
    toolbox,
    udp_resolver,
)


def reply(
    query: dns.message.Message, *addresses: str, rcode: int = 0, alias: str = "", **changed: object
) -> dns.message.Message:
    made = dns.message.make_response(query)
    owner = query.question[0].name.to_text()
    if alias:
        made.answer.append(dns.rrset.from_text(owner, 60, "IN", "CNAME", alias))
        owner = alias
    for address in addresses:
        made.answer.append(dns.rrset.from_text(owner, 60, "IN", "AAAA" if ":" in address else "A", address))
    made.set_rcode(dns.rcode.Rcode(rcode))
    for name, value in changed.items():
        setattr(made, name, value)
    return made


def datagrams(*replies: Callable[[dns.message.Message], dns.message.Message | bytes]) -> Answerer:
    def answer(query: dns.message.Message) -> Sequence[bytes]:
        made = [each(query) for each in replies]
        return [each if isinstance(each, bytes) else each.to_wire(max_size=65_535) for each in made]

    return answer


def over_stream(answer: Answerer) -> Handler:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        length = int.from_bytes(await reader.readexactly(2))
        for message in answer(dns.message.from_wire(await reader.readexactly(length))):
            writer.write(len(message).to_bytes(2) + message)
        await writer.drain()

    return handler


async def ask(
    resolver: str,
    query_type: str = "A",
    *,
    seconds: float = 5.0,
    listen_seconds: float = 0.0,
    nameservers: Sequence[Endpoint] = (),
) -> tuple[DnsObservation, Recorder]:
    tools = toolbox(nameservers=nameservers)
    recorder = Recorder(tools.clock)
    observation = await resolve(
        tools, LocalNetwork(), recorder, "www.x.test", query_type, resolver=resolver, seconds=seconds,
        listen_seconds=listen_seconds,
    )  # fmt: skip
    return observation, recorder


def ask_udp(
    answer: Answerer, query_type: str = "A", *, seconds: float = 5.0, listen_seconds: float = 0.0
) -> tuple[DnsObservation, Recorder]:
    async def run() -> tuple[DnsObservation, Recorder]:
        async with udp_resolver(answer) as port:
            resolver = f"udp://127.0.0.1:{port}"
            return await ask(resolver, query_type, seconds=seconds, listen_seconds=listen_seconds)

    return asyncio.run(run())


def test_answer_over_udp_is_kept_with_its_chain_and_raw_reply() -> None:
    observation, recorder = ask_udp(datagrams(lambda query: reply(query, "192.0.2.1", "192.0.2.2", alias="edge.test.")))
    assert observation.failure is None
    assert observation.answers == (
        DnsAnswer("CNAME", "edge.test"),
        DnsAnswer("A", "192.0.2.1"),
        DnsAnswer("A", "192.0.2.2"),
    )
    assert observation.ttls_seconds == (60, 60, 60)
    assert (observation.transport, observation.rcode, observation.late_replies) == ("udp", 0, ())
    (digest,) = observation.evidence
    kept = dns.message.from_wire(recorder.evidence[digest].content)
    assert kept.answer[0].to_text() == "www.x.test. 60 IN CNAME edge.test."


@pytest.mark.parametrize(
    ("rcode", "failure"),
    [
        (3, Failure.DNS_NXDOMAIN_ERROR),
        (5, Failure.DNS_REFUSED_ERROR),
        (2, Failure.DNS_SERVFAIL_ERROR),
        (4, Failure.DNS_SERVER_MISBEHAVING),
        (16, Failure.DNS_SERVER_MISBEHAVING),
    ],
)
def test_rcode_is_the_failure(rcode: int, failure: Failure) -> None:
    observation, _ = ask_udp(datagrams(lambda query: reply(query, rcode=rcode)))
    assert (observation.failure, observation.rcode) == (failure, rcode)


def test_answer_without_the_asked_type_is_no_answer_and_keeps_the_alias() -> None:
    observation, _ = ask_udp(datagrams(lambda query: reply(query, "192.0.2.1", alias="edge.test.")), "AAAA")
    assert observation.failure == Failure.DNS_NO_ANSWER
    assert observation.answers[0] == DnsAnswer("CNAME", "edge.test")


def test_a_lost_datagram_is_asked_for_again_and_shows_nothing() -> None:
    seen: list[dns.message.Message] = []

    def answer(query: dns.message.Message) -> Sequence[bytes]:
        seen.append(query)
        replies = [reply(query, "192.0.2.1"), reply(query, "192.0.2.2")]
        return [] if len(seen) == 1 else [each.to_wire() for each in replies]

    observation, _ = ask_udp(answer, seconds=0.8, listen_seconds=0.2)
    assert (observation.failure, observation.addresses, observation.late_replies) == (None, ("192.0.2.1",), ())
    assert len({query.id for query in seen}) == 1


def test_queries_use_edns_recursion_and_their_own_ids() -> None:
    seen: list[dns.message.Message] = []

    async def run() -> None:
        async with udp_resolver(lambda query: seen.append(query) or [reply(query).to_wire()]) as port:  # type: ignore[func-returns-value]  # appends
            for _ in range(4):
                await ask(f"udp://127.0.0.1:{port}")

    asyncio.run(run())
    assert {query.payload for query in seen} == {1232}
    assert all(query.flags & dns.flags.RD for query in seen)
    assert len({query.id for query in seen}) > 1


def test_foreign_replies_are_kept_and_waited_past() -> None:
    forged = datagrams(
        lambda query: reply(query, "192.0.2.66", id=query.id ^ 1),
        lambda query: reply(dns.message.make_query("other.test", "A", id=query.id), "192.0.2.66"),
        lambda query: reply(query, "192.0.2.1"),
    )
    observation, recorder = ask_udp(forged)
    assert observation.addresses == ("192.0.2.1",)
    assert len(observation.evidence) == len(recorder.evidence) == 3


def test_only_foreign_replies_are_a_wrong_id() -> None:
    observation, _ = ask_udp(datagrams(lambda query: reply(query, "192.0.2.66", id=query.id ^ 1)), seconds=0.2)
    assert observation.failure == Failure.DNS_REPLY_WITH_WRONG_QUERY_ID


def test_silence_is_a_timeout_and_a_closed_port_refused() -> None:
    assert ask_udp(datagrams(), seconds=0.1)[0].failure == Failure.GENERIC_TIMEOUT_ERROR
    observation, _ = asyncio.run(ask(f"udp://127.0.0.1:{closed_port()}"))
    assert observation.failure == Failure.CONNECTION_REFUSED


def test_malformed_reply_with_the_right_id_is_misbehaviour() -> None:
    observation, _ = ask_udp(datagrams(lambda query: reply(query, "192.0.2.1").to_wire()[:-15]))
    assert observation.failure == Failure.DNS_SERVER_MISBEHAVING
    assert len(observation.evidence) == 1


def test_late_reply_that_contradicts_is_kept_beside_the_first() -> None:
    injected = datagrams(lambda query: reply(query, "192.0.2.66"), lambda query: reply(query, "192.0.2.1"))
    observation, recorder = ask_udp(injected, listen_seconds=0.2)
    assert observation.addresses == ("192.0.2.66",)
    (late,) = observation.late_replies
    assert late.answers == (DnsAnswer("A", "192.0.2.1"),)
    assert late.evidence in recorder.evidence
    assert late.elapsed_seconds >= observation.elapsed_seconds


def test_without_listening_no_late_reply_is_awaited() -> None:
    injected = datagrams(lambda query: reply(query, "192.0.2.66"), lambda query: reply(query, "192.0.2.1"))
    assert ask_udp(injected)[0].late_replies == ()


def test_flood_of_late_replies_is_bounded() -> None:
    flood = datagrams(*[lambda query: reply(query, "192.0.2.66")] * 200)
    assert len(ask_udp(flood, listen_seconds=5.0)[0].late_replies) == 16


def test_truncated_reply_is_asked_again_over_tcp() -> None:
    async def run() -> DnsObservation:
        full = datagrams(lambda query: reply(query, *(f"192.0.2.{number}" for number in range(50))))
        cut = datagrams(lambda query: reply(query, flags=dns.flags.QR | dns.flags.TC))
        async with tcp_server(over_stream(full)) as port, udp_resolver(cut, port):
            return (await ask(f"udp://127.0.0.1:{port}"))[0]

    observation = asyncio.run(run())
    assert (observation.failure, observation.transport, len(observation.addresses)) == (None, "tcp", 50)
    assert len(observation.evidence) == 2


def test_system_goes_on_to_the_next_server_when_one_is_silent_or_gone() -> None:
    async def run() -> tuple[DnsObservation, DnsObservation]:
        good = datagrams(lambda query: reply(query, "192.0.2.1"))
        async with udp_resolver(datagrams()) as dead, udp_resolver(good) as alive:
            silent, _ = await ask("system", nameservers=[("127.0.0.1", dead), ("127.0.0.1", alive)], seconds=0.4)
            gone, _ = await ask("system", nameservers=[("127.0.0.1", closed_port()), ("127.0.0.1", alive)])
            return silent, gone

    for observation in asyncio.run(run()):
        assert observation.addresses == ("192.0.2.1",)
        assert (observation.resolver, observation.transport) == ("system", "udp")


def test_tcp_resolver_may_send_in_pieces_and_foreign_messages_first() -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        length = int.from_bytes(await reader.readexactly(2))
        query = dns.message.from_wire(await reader.readexactly(length))
        for made in (reply(query, "192.0.2.66", id=query.id ^ 1), reply(query, "192.0.2.1")):
            wire = made.to_wire()
            for byte in len(wire).to_bytes(2) + wire:
                writer.write(bytes([byte]))
                await writer.drain()

    async def run() -> DnsObservation:
        async with tcp_server(handler) as port:
            return (await ask(f"tcp://127.0.0.1:{port}"))[0]

    observation = asyncio.run(run())
    assert (observation.addresses, observation.transport) == (("192.0.2.1",), "tcp")


def test_tcp_resolver_that_closes_is_end_of_file() -> None:
    async def run() -> DnsObservation:
        async with tcp_server(over_stream(datagrams())) as port:
            return (await ask(f"tcp://127.0.0.1:{port}"))[0]

    assert asyncio.run(run()).failure == Failure.EOF_ERROR


GOOD = datagrams(lambda query: reply(query, "192.0.2.1"))


@pytest.mark.parametrize(
    ("context", "failure"),
    [
        (server_context("127.0.0.1"), None),
        (server_context("127.0.0.1", authority=STRANGER), Failure.SSL_UNKNOWN_AUTHORITY),
        (server_context("192.0.2.1"), Failure.SSL_INVALID_HOSTNAME),
    ],
    ids=["good", "stranger", "other address"],
)
def test_resolver_over_tls_is_believed_only_with_its_certificate(
    context: ssl.SSLContext, failure: Failure | None
) -> None:
    async def run() -> DnsObservation:
        async with tcp_server(over_stream(GOOD), context) as port:
            return (await ask(f"tls://127.0.0.1:{port}"))[0]

    observation = asyncio.run(run())
    assert observation.failure == failure
    assert observation.addresses == (("192.0.2.1",) if failure is None else ())


def doh(answer: Answerer, status: int = 200) -> Handler:
    """Serve RFC 8484 over HTTP/1.1 or HTTP/2, as the handshake settled."""

    async def over_http1(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"POST /dns-query HTTP/1.1")
        length = next(
            int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-le")
        )
        (wire,) = answer(dns.message.from_wire(await reader.readexactly(length)))
        writer.write(b"HTTP/1.1 %d OK\r\nContent-Length: %d\r\n\r\n" % (status, len(wire)) + wire)
        await writer.drain()

    async def over_http2(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
        connection.initiate_connection()
        body = b""
        while True:
            writer.write(connection.data_to_send())
            for event in connection.receive_data(await reader.read(65_536)):
                if isinstance(event, h2.events.DataReceived):
                    body += event.data or b""
                if isinstance(event, h2.events.StreamEnded):
                    (wire,) = answer(dns.message.from_wire(body))
                    connection.send_headers(1, [(":status", str(status))])
                    connection.send_data(1, wire, end_stream=True)
                    writer.write(connection.data_to_send())
                    await writer.drain()
                    return

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        is_http2 = writer.get_extra_info("ssl_object").selected_alpn_protocol() == "h2"
        await (over_http2 if is_http2 else over_http1)(reader, writer)

    return handler


@pytest.mark.parametrize("alpn", [("h2",), ("http/1.1",)])
def test_resolver_over_https_answers_over_either_http(alpn: tuple[str, ...]) -> None:
    async def run() -> DnsObservation:
        async with tcp_server(doh(GOOD), server_context("dns.test", alpn=alpn)) as port:
            return (await ask(f"https://dns.test:{port}/dns-query@127.0.0.1"))[0]

    observation = asyncio.run(run())
    assert (observation.failure, observation.addresses) == (None, ("192.0.2.1",))
    assert observation.transport == "https"


def test_resolver_over_https_that_refuses_says_with_which_status() -> None:
    async def run() -> DnsObservation:
        async with tcp_server(doh(GOOD, 403), server_context("dns.test")) as port:
            return (await ask(f"https://dns.test:{port}/dns-query@127.0.0.1"))[0]

    observation = asyncio.run(run())
    assert observation.failure == Failure.HTTP_REQUEST_FAILED
    assert observation.detail is not None
    assert observation.detail.reason == "http_status_403"


def test_name_of_a_resolver_is_resolved_through_the_system() -> None:
    async def run(addresses: Sequence[str]) -> DnsObservation:
        system = datagrams(lambda query: reply(query, *addresses))
        async with udp_resolver(system) as own, tcp_server(doh(GOOD), server_context("dns.test")) as port:
            return (await ask(f"https://dns.test:{port}/dns-query", nameservers=[("127.0.0.1", own)]))[0]

    assert asyncio.run(run(["127.0.0.1"])).addresses == ("192.0.2.1",)
    assert asyncio.run(run([])).failure == Failure.DNS_NO_ANSWER


def test_silent_resolver_over_tls_times_out() -> None:
    async def run() -> DnsObservation:
        async with tcp_server(silence) as port:
            return (await ask(f"tls://127.0.0.1:{port}", seconds=0.1))[0]

    assert asyncio.run(run()).failure == Failure.GENERIC_TIMEOUT_ERROR
