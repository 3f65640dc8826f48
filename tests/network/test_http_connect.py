"""Why a proxy did not connect, in each of the ways in which proxies say so."""

import asyncio

import pytest

from monitor.model.observation import TcpObservation
from monitor.network import http_connect
from monitor.network.connect import connect
from monitor.network.local import LocalNetwork
from monitor.network.proxy import ProxyError, ProxyNetwork, ProxyServer
from monitor.network.recorder import Recorder
from tests.network.loopback import tcp_server, toolbox


def attempt(answer: bytes, own: frozenset[str] = frozenset()) -> tuple[TcpObservation, Recorder]:
    """Ask a proxy that answers so for a connection."""

    async def run() -> tuple[TcpObservation, Recorder]:
        tools = toolbox()
        recorder = Recorder(tools.clock, own)

        async def reply(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer)
            await writer.drain()

        async with tcp_server(reply) as port:
            server = ProxyServer(host="127.0.0.1", port=port)
            network = ProxyNetwork(server, http_connect, local=LocalNetwork(), trust=tools.trust, clock=tools.clock)
            observation, stream = await connect(network, recorder, "192.0.2.7", 443, seconds=5.0)
            if stream is not None:
                stream.close()
        return observation, recorder

    return asyncio.run(run())


def head(status: str, *headers: str) -> bytes:
    return "\r\n".join((f"HTTP/1.1 {status}", *headers, "Content-Length: 0", "", "")).encode()


@pytest.mark.parametrize(
    ("answer", "failure"),
    [
        (head("200 Connection established"), None),
        (head("502 Bad", "Proxy-Status: edge; error=connection_refused"), "connection_refused"),
        (head("504 Late", 'Proxy-Status: a, b; error=connection_timeout; details="x"'), "timed_out"),
        (head("503 Bad", "Proxy-Status: p; error=destination_ip_unroutable"), "host_unreachable"),
        (head("503 Bad", "X-Squid-Error: ERR_CONNECT_FAIL 111"), "connection_refused"),
        (head("503 Bad", "X-Squid-Error: ERR_CONNECT_FAIL 110"), "timed_out"),
        (
            head("502 Bad", "Proxy-Status: edge; error=dns_error; rcode=NXDOMAIN"),
            "unknown_failure: the proxy did not connect",
        ),
        (head("500 Unable to connect"), "unknown_failure: the proxy did not connect"),
    ],
)
def test_what_a_proxy_says_of_its_attempt_is_a_failure_of_the_connection(answer: bytes, failure: str | None) -> None:
    observation, _ = attempt(answer)
    assert observation.failure == failure


@pytest.mark.parametrize(
    "answer",
    [
        head("403 Filtered"),
        head("407 Who are you"),
        head("503 Bad", "X-Squid-Error: ERR_ACCESS_DENIED 0"),
        head("502 Bad", "Proxy-Status: p; error=destination_ip_prohibited"),
        head("302 Elsewhere", "Location: http://192.0.2.1/"),
        b"\x15\x03\x03\x00\x02\x02\x28" + b"\r\n" * 3,
        b"HTTP/1.1 200 fine\r\nX: " + b"a" * 70_000,
        b"",
    ],
)
def test_a_proxy_that_will_not_try_is_no_fact_about_the_address(answer: bytes) -> None:
    with pytest.raises(ProxyError):
        attempt(answer)


def test_the_head_of_a_failure_is_kept_bounded_without_what_is_nobodys_business() -> None:
    answer = head(
        "502 Bad", "Proxy-Status: edge; error=connection_refused", "Via: 1.1 edge; for 198.51.100.9",
        "Set-Cookie: secret", f"Server: {'s' * 5_000}",
    )  # fmt: skip
    observation, recorder = attempt(answer, own=frozenset({"198.51.100.9"}))
    (kept,) = (recorder.evidence[digest] for digest in observation.evidence)
    assert kept.kind == "proxy_reply"
    assert b"error=connection_refused" in kept.content
    assert len(kept.content) < 1_000
    for absent in (b"secret", b"198.51.100.9"):
        assert absent not in kept.content
