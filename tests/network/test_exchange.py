import asyncio
import gzip
from collections.abc import Sequence

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.settings
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.model.failure import TOO_MANY_REDIRECTS, Failure
from monitor.model.observation import FailureDetail, HttpObservation
from monitor.model.seams import Stream
from monitor.network.connect import connect
from monitor.network.exchange import CookieJar, Exchange, exchange
from monitor.network.handshake import handshake
from monitor.network.local import LocalNetwork
from monitor.network.recorder import Recorder
from monitor.network.toolbox import Toolbox
from monitor.network.web_url import web_url
from tests.network.loopback import (
    Handler,
    Received,
    after_hello,
    close,
    page,
    reset,
    say,
    server_context,
    silence,
    tcp_server,
    toolbox,
)


async def _secured(tools: Toolbox, recorder: Recorder, opened: Stream, port: int) -> Stream:
    _, secure = await handshake(
        tools.clock, tools.trust, recorder, opened, server_name="x.test", address="127.0.0.1", port=port, seconds=5.0
    )
    assert secure is not None
    return secure


async def fetch(
    handler: Handler,
    *,
    url: str = "http://x.test/",
    alpn: str = "",
    seconds: float = 5.0,
    text: str | None = None,
    body_bytes: int = 65_536,
    may_redirect: bool = True,
    host: str | None = None,
    user_agent: str = "tester",
    own: frozenset[str] = frozenset(),
) -> tuple[HttpObservation, Recorder]:
    tools = toolbox()
    recorder = Recorder(tools.clock, own)
    async with tcp_server(handler, server_context("x.test", alpn=(alpn,)) if alpn else None) as port:
        _, opened = await connect(LocalNetwork(), recorder, "127.0.0.1", port, seconds=5.0)
        assert opened is not None
        stream = await _secured(tools, recorder, opened, port) if alpn else opened
        asked = Exchange(
            url=web_url(url), address="127.0.0.1", port=port, user_agent=user_agent, host=host, text=text,
            body_bytes=body_bytes, may_redirect=may_redirect,
        )  # fmt: skip
        observation = await exchange(tools.clock, recorder, stream, asked, seconds=seconds)
        stream.close()
    return observation, recorder


def fetched(handler: Handler, **options: object) -> HttpObservation:
    return asyncio.run(fetch(handler, **options))[0]  # type: ignore[arg-type]  # each test names what it varies


def test_page_gives_every_fact() -> None:
    body = b"<html><TITLE lang=en>\n Hello &amp;\tworld </TITLE>welcome"
    headers = ["Server: nginx", "Content-Type: text/html", "Set-Cookie: id=secret; Path=/", "X-Other: 1", "Via: a"]
    observation, recorder = asyncio.run(fetch(say(page(body, headers=headers)), text="wel+come"))
    assert observation.failure is None
    assert (observation.status_code, observation.http_version, observation.title) == (200, "1.1", "Hello & world")
    assert observation.header_names == (
        "connection", "content-length", "content-type", "server", "set-cookie", "via", "x-other",
    )  # fmt: skip
    assert observation.headers == (
        ("content-length", str(len(body))), ("content-type", "text/html"), ("server", "nginx"), ("via", "a"),
    )  # fmt: skip
    assert (observation.body_bytes, observation.body_is_truncated, observation.text_found) == (len(body), False, True)
    assert observation.body_digest is not None
    assert len(observation.body_digest) == 32
    assert observation.first_byte_seconds is not None
    assert observation.bytes_sent > 0
    assert observation.bytes_received > len(body)
    raw = recorder.evidence[observation.evidence[0]].content
    assert raw.startswith(b"HTTP/1.1 200\r\n")
    assert raw.endswith(b"\r\n\r\n" + body)
    assert b"secret" not in raw


def test_request_is_honest_and_plain() -> None:
    received = Received()
    fetched(say(page(), received=received), url="http://x.test:8080/a?b=c#d", user_agent="me")
    lines = received.requests[0].decode().split("\r\n")
    assert lines[0] == "GET /a?b=c HTTP/1.1"
    assert lines[1:7] == [
        "Host: x.test:8080", "User-Agent: me", "Accept: text/html,application/xhtml+xml,*/*;q=0.8",
        "Accept-Language: en", "Accept-Encoding: gzip, deflate", "Connection: close",
    ]  # fmt: skip


def test_request_without_user_agent_names_none_and_host_may_differ() -> None:
    received = Received()
    fetched(say(page(), received=received), user_agent="", host="harmless.test")
    assert b"user-agent" not in received.requests[0].lower()
    assert b"Host: harmless.test\r\n" in received.requests[0]


def test_expected_text_is_looked_for_only_if_there_is_one() -> None:
    assert fetched(say(page(b"welcome"))).text_found is None
    assert fetched(say(page(b"other")), text="welcome").text_found is False


@pytest.mark.parametrize(
    ("handler", "failure"),
    [
        (after_hello(reset), Failure.CONNECTION_RESET),
        (after_hello(close), Failure.EOF_ERROR),
        (after_hello(silence), Failure.GENERIC_TIMEOUT_ERROR),
        (say(b"SSH-2.0-OpenSSH\r\n\r\n"), Failure.HTTP_REQUEST_FAILED),
        (say(b"HTTP/1.1 200 OK\r\nX: " + b"a" * 100_000), Failure.HTTP_REQUEST_FAILED),
        (say(b"HTTP/1.1 200 OK\r\n"), Failure.EOF_ERROR),
        (say(b"HTTP/1.1 100 Continue\r\n\r\n" * 20_000), Failure.HTTP_REQUEST_FAILED),
    ],
    ids=["reset", "fin", "silence", "no http", "huge headers", "half headers", "endless 1xx"],
)
def test_interference_before_the_answer_is_named_after_what_it_did(handler: Handler, failure: Failure) -> None:
    observation = fetched(handler, seconds=0.5)
    assert (observation.failure, observation.status_code, observation.evidence) == (failure, None, ())


def test_body_shorter_than_announced_is_end_of_file_and_keeps_what_came() -> None:
    observation = fetched(say(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nshort"))
    assert (observation.failure, observation.status_code) == (Failure.EOF_ERROR, 200)
    assert (observation.body_bytes, observation.body_is_truncated) == (5, True)


def test_body_up_to_the_end_of_the_stream_is_whole() -> None:
    observation = fetched(say(b"HTTP/1.0 200 OK\r\n\r\n", b"<title>old</title>"))
    assert (observation.failure, observation.title, observation.http_version) == (None, "old", "1.0")


def drip(head: bytes, *, pause_seconds: float) -> Handler:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(head)
        while True:
            writer.write(b"a")
            await writer.drain()
            await asyncio.sleep(pause_seconds)

    return handler


def test_drip_ends_at_the_deadline_and_is_slow_rather_than_silent() -> None:
    slow = fetched(drip(b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n", pause_seconds=0.01), seconds=0.3)
    assert (slow.failure, slow.status_code) == (Failure.GENERIC_TIMEOUT_ERROR, 200)
    assert slow.detail == FailureDetail(reason="still_receiving")
    assert 0 < slow.body_bytes < 9999


def test_body_above_the_cap_is_cut_and_no_failure() -> None:
    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            writer.write(b"1000\r\n" + b"a" * 4096 + b"\r\n")
            await writer.drain()

    observation = fetched(endless, body_bytes=10_000)
    assert (observation.failure, observation.body_bytes, observation.body_is_truncated) == (None, 10_000, True)


def test_compression_bomb_is_cut_at_the_cap() -> None:
    bomb = gzip.compress(bytes(50_000_000))
    observation = fetched(say(page(bomb, headers=["Content-Encoding: gzip"])), body_bytes=10_000)
    assert (observation.failure, observation.body_bytes, observation.body_is_truncated) == (None, 10_000, True)


def test_chunk_framing_without_content_is_bounded() -> None:
    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            writer.write(b"1;" + b"x" * 1000 + b"\r\na\r\n")
            await writer.drain()

    observation = fetched(endless, body_bytes=1000)
    assert observation.detail == FailureDetail(reason="too_many_bytes")


def test_coded_body_is_decoded_and_a_broken_one_named() -> None:
    good = page(gzip.compress(b"<title>squeezed</title>"), headers=["Content-Encoding: gzip"])
    assert fetched(say(good)).title == "squeezed"
    broken = fetched(say(page(b"not gzip at all", headers=["Content-Encoding: gzip"])))
    assert (broken.failure, broken.status_code) == (Failure.HTTP_REQUEST_FAILED, 200)
    assert broken.detail == FailureDetail(reason="undecodable_body")


@pytest.mark.parametrize(
    ("location", "leads_to", "failure"),
    [
        ("/next", "http://x.test/next", None),
        ("https://y.test", "https://y.test/", None),
        ("intent://open#Intent", None, Failure.HTTP_INVALID_REDIRECT_LOCATION_HOST),
        ("https://", None, Failure.HTTP_INVALID_REDIRECT_LOCATION_HOST),
        ("https://bad host/", None, Failure.HTTP_INVALID_REDIRECT_LOCATION_HOST),
        ("https://user:secret@y.test/", "https://***@y.test/", None),
    ],
)
@pytest.mark.parametrize("status", ["301 A", "302 A", "303 A", "307 A", "308 A"])
def test_redirect_says_where_it_leads(
    status: str, location: str, leads_to: str | None, failure: Failure | None
) -> None:
    observation = fetched(say(page(b"", status, [f"Location: {location}"])))
    assert (observation.location, observation.failure) == (leads_to, failure)


def test_redirect_too_many_is_a_failure_that_keeps_its_goal() -> None:
    observation = fetched(say(page(b"", "302 Found", ["Location: /again"])), may_redirect=False)
    assert (observation.failure, observation.location) == (TOO_MANY_REDIRECTS, "http://x.test/again")


def test_location_of_another_status_leads_nowhere() -> None:
    assert fetched(say(page(b"", "201 Created", ["Location: /new"]))).location is None
    assert fetched(say(page(b"", "302 Found"))).location is None


def test_many_headers_are_bounded_and_hostile_values_made_printable() -> None:
    headers = [f"X-{number}: 1" for number in range(500)] + ["Server: \x7f\x1b[31m" + "a" * 900]
    observation = fetched(say(page(headers=headers)))
    assert len(observation.header_names) == 64
    values = dict(observation.headers)
    assert values["server"].isprintable()
    assert len(values["server"]) == 256


def test_page_that_prints_our_address_is_scrubbed_everywhere() -> None:
    body = b"<title>You are 203.0.113.77</title>203.0.113.77"
    own = frozenset({"203.0.113.77"})
    observation, recorder = asyncio.run(fetch(say(page(body, headers=["Via: 203.0.113.77"])), own=own))
    assert observation.title == "You are [scrubbed]"
    assert dict(observation.headers)["via"] == "[scrubbed]"
    assert b"203.0.113.77" not in recorder.evidence[observation.evidence[0]].content


def over_http2(*frames: tuple[str, object]) -> Handler:
    """Serve HTTP/2: once a request is complete, do each of `frames` in turn."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
        connection.initiate_connection()
        writer.write(connection.data_to_send())
        while content := await reader.read(65_536):
            for event in connection.receive_data(content):
                if isinstance(event, h2.events.StreamEnded):
                    for name, argument in frames:
                        _send_frame(connection, name, argument)
            writer.write(connection.data_to_send())
            await writer.drain()

    return handler


def _send_frame(connection: h2.connection.H2Connection, name: str, argument: object) -> None:
    match name, argument:
        case "headers", list():
            connection.send_headers(1, argument)
        case "data", bytes():
            connection.send_data(1, argument)
        case "end", _:
            connection.end_stream(1)
        case "reset", int():
            connection.reset_stream(1, argument)
        case "goaway", int():
            connection.close_connection(argument)
        case _:
            raise AssertionError(name)


OK = ("headers", [(":status", "200"), ("server", "h2 test"), ("content-type", "text/html")])


def test_http2_answer_gives_the_same_facts() -> None:
    handler = over_http2(OK, ("data", b"<title>Two</title>"), ("data", b"welcome"), ("end", None))
    observation = fetched(handler, url="https://x.test/", alpn="h2", text="welcome")
    assert (observation.failure, observation.http_version, observation.status_code) == (None, "2", 200)
    assert (observation.title, observation.text_found, observation.is_tls) == ("Two", True, True)
    assert observation.header_names == ("content-type", "server")


@pytest.mark.parametrize(
    ("frames", "status_code", "failure", "reason"),
    [
        ([("reset", h2.errors.ErrorCodes.REFUSED_STREAM)], None, Failure.HTTP_REQUEST_FAILED, "h2_refused_stream"),
        ([OK, ("data", b"a"), ("reset", 8)], 200, Failure.HTTP_REQUEST_FAILED, "h2_cancel"),
        ([("goaway", 11)], None, Failure.HTTP_REQUEST_FAILED, "h2_enhance_your_calm"),
    ],
)
def test_http2_refusals_say_their_code(
    frames: Sequence[tuple[str, object]], status_code: int | None, failure: Failure, reason: str
) -> None:
    observation = fetched(over_http2(*frames), url="https://x.test/", alpn="h2")
    assert (observation.status_code, observation.failure) == (status_code, failure)
    assert observation.detail == FailureDetail(reason=reason)


def test_http2_body_larger_than_the_window_is_read_up_to_the_cap() -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
        connection.initiate_connection()
        is_asked = False
        while True:
            while is_asked and connection.local_flow_control_window(1) > 0:
                connection.send_data(1, b"a" * min(connection.local_flow_control_window(1), 16_384))
            writer.write(connection.data_to_send())
            await writer.drain()
            if not (content := await reader.read(65_536)):
                return
            for event in connection.receive_data(content):
                if isinstance(event, h2.events.StreamEnded):
                    connection.send_headers(1, [(":status", "200")])
                    is_asked = True

    observation = fetched(handler, url="https://x.test/", alpn="h2", body_bytes=200_000)
    assert (observation.failure, observation.body_bytes, observation.body_is_truncated) == (None, 200_000, True)


def test_cookies_go_back_to_their_host_alone_and_never_into_cleartext() -> None:
    jar = CookieJar()
    jar.take(web_url("https://x.test/"), ["a=1; Path=/; Secure", "b=2", "nonsense"])
    jar.take(web_url("http://y.test/"), ["c=3"])
    assert jar.header(web_url("https://x.test/other")) == "a=1; b=2"
    assert jar.header(web_url("http://x.test/")) is None
    assert jar.header(web_url("https://www.x.test/")) is None
    assert jar.header(web_url("https://y.test/")) == "c=3"


@pytest.mark.parametrize("value", ["a=\u00e9", "a=\x01", "a=b\tc", "=b", "a", ""])
def test_cookie_that_cannot_be_sent_back_is_dropped(value: str) -> None:
    jar = CookieJar()
    jar.take(web_url("https://x.test/"), [value])
    assert jar.header(web_url("https://x.test/")) is None


class Canned:
    """A stream that says what it was given and then ends."""

    bytes_sent = 0
    local_address = None

    def __init__(self, *pieces: bytes, is_http2: bool) -> None:
        self.is_http2 = is_http2
        self.bytes_received = 0
        self._pieces = list(pieces)

    async def receive(self) -> bytes:
        piece = self._pieces.pop(0) if self._pieces else b""
        self.bytes_received += len(piece)
        return piece

    async def send(self, content: bytes) -> None: ...

    def close(self) -> None: ...


def exchanged(stream: Canned) -> HttpObservation:
    async def run() -> HttpObservation:
        clock = toolbox().clock
        asked = Exchange(url=web_url("https://x.test/"), address="192.0.2.1", port=443, text="a")
        return await exchange(clock, Recorder(clock), stream, asked, seconds=5.0, cookies=CookieJar())

    return asyncio.run(run())


HEADS = st.sampled_from(
    [b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 301 A\r\nLocation: ", b"HTTP/1.1 200 OK\r\nSet-Cookie: a="]
)


@settings(max_examples=50)
@given(head=HEADS, pieces=st.lists(st.binary(max_size=60), max_size=4), tail=st.sampled_from([b"", b"\r\n\r\n"]))
def test_no_bytes_over_http1_make_it_raise(head: bytes, pieces: list[bytes], tail: bytes) -> None:
    observation = exchanged(Canned(head, *filter(None, pieces), tail or b"\r\n", is_http2=False))
    assert observation.failure is not None or observation.status_code is not None


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    """RFC 9113 section 4.1."""
    return len(payload).to_bytes(3) + bytes([kind, flags]) + stream.to_bytes(4) + payload


FRAMES = st.builds(
    frame, st.integers(0, 10), st.integers(0, 255), st.sampled_from([0, 1, 2, 3]), st.binary(max_size=40)
)
ANSWER = frame(1, 4, 1, b"\x88")  # HEADERS with END_HEADERS: `:status: 200`


@settings(max_examples=50)
@given(frames=st.lists(FRAMES, max_size=6), answers=st.booleans())
def test_no_frames_over_http2_make_it_raise(frames: list[bytes], answers: bool) -> None:  # noqa: FBT001  drawn
    begin = frame(4, 0, 0, b"") + (ANSWER if answers else b"")
    observation = exchanged(Canned(begin, *frames, is_http2=True))
    assert observation.failure is not None or observation.status_code is not None


def test_cookies_are_bounded() -> None:
    jar = CookieJar()
    jar.take(web_url("https://x.test/"), ["big=" + "a" * 9999, *(f"n{number}=1" for number in range(500))])
    header = jar.header(web_url("https://x.test/")) or ""
    assert header.count("=") == 50
    assert "big" not in header
