import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import dns.message
import dns.rdatatype
import dns.rrset
import msgspec
import pytest

from monitor.model.failure import TOO_MANY_REDIRECTS, Failure
from monitor.model.measurement import FollowUp, Limits, Recording, Request
from monitor.model.observation import (
    DnsObservation,
    FailureDetail,
    HttpObservation,
    Purpose,
    QuicObservation,
    TcpObservation,
    ThroughputObservation,
    TlsObservation,
    step_of,
)
from monitor.model.target import Expectation, QuicUse, Target
from monitor.network.local import LocalNetwork
from monitor.network.stream import SocketStream
from monitor.network.toolbox import Toolbox
from monitor.probes import web
from tests.network.loopback import (
    LOOPBACK,
    STRANGER,
    Handler,
    Received,
    SettableClock,
    after_hello,
    close,
    page,
    reset,
    say,
    server_context,
    silence,
    tcp_server,
    toolbox,
    udp_resolver,
)
from tests.network.quic_server import quic_server


@contextlib.asynccontextmanager
async def zone(names: Mapping[str, Sequence[str]]) -> AsyncIterator[str]:
    """Serve a zone and yield its resolver; a name it does not hold gets no reply."""

    def answer(query: dns.message.Message) -> Sequence[bytes]:
        owner, rdtype = query.question[0].name.to_text(omit_final_dot=True), query.question[0].rdtype
        if owner not in names:
            return []
        reply = dns.message.make_response(query)
        for address in names[owner]:
            kind = "AAAA" if ":" in address else "A"
            if dns.rdatatype.from_text(kind) == rdtype:
                reply.answer.append(dns.rrset.from_text(owner + ".", 60, "IN", kind, address))
        return [reply.to_wire()]

    async with udp_resolver(answer) as port:
        yield f"udp://127.0.0.1:{port}"


@dataclass
class Counting(LocalNetwork):
    """The real network, with a list of where it was asked to go."""

    connected: list[tuple[str, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()

    async def connect_tcp(self, address: str, port: int) -> SocketStream:
        self.connected.append((address, port))
        return await super().connect_tcp(address, port)


def target(url: str, **expected: object) -> Target:
    return Target(name="x-home", platform="x", url=url, expectation=Expectation(**expected))  # type: ignore[arg-type]  # each test names what it expects


async def measure(
    asked: Target,
    resolver: str = "udp://127.0.0.1:9",
    *,
    limits: Limits = Limits(),  # noqa: B008  frozen
    network: LocalNetwork | None = None,
    tools: Toolbox | None = None,
    follow_ups: tuple[FollowUp, ...] = (),
    allowed: tuple[str, ...] = LOOPBACK,
) -> Recording:
    request = Request(
        target=asked, resolvers=(resolver,), limits=limits, user_agent="tool", cleartext_user_agent="browser",
        allowed_bogons=allowed, follow_ups=follow_ups,
    )  # fmt: skip
    return await web.measure(request, network or LocalNetwork(), tools or toolbox())


def steps(recording: Recording) -> list[tuple[str, str | None]]:
    return [(step_of(each), each.failure) for each in recording.measurement.observations]


Kind = TypeVar(
    "Kind", DnsObservation, TcpObservation, TlsObservation, HttpObservation, QuicObservation, ThroughputObservation
)


def only(recording: Recording, kind: type[Kind]) -> list[Kind]:
    return [each for each in recording.measurement.observations if isinstance(each, kind)]


SECURE = server_context("x.test", "127.0.0.1")


def test_https_target_goes_the_whole_way_of_an_ordinary_client() -> None:
    async def run() -> Recording:
        async with (
            tcp_server(say(page(b"<title>X</title>welcome")), SECURE) as port,
            zone({"x.test": ["127.0.0.1"]}) as dns,
        ):
            return await measure(target(f"https://x.test:{port}/", text="welcome"), dns)

    recording = asyncio.run(run())
    assert sorted(steps(recording)[:2], key=str) == [("dns", "dns_no_answer"), ("dns", None)]
    assert steps(recording)[2:] == [("tcp", None), ("tls", None), ("http", None)]
    (http,) = only(recording, HttpObservation)
    assert (http.status_code, http.title, http.text_found, http.is_tls) == (200, "X", True, True)
    measurement = recording.measurement
    assert (measurement.target, measurement.vantage, measurement.is_deep) == ("x-home", "here", False)
    assert not measurement.interrupted
    kept = {evidence.sha256 for evidence in recording.evidence}
    assert {digest for each in measurement.observations for digest in each.evidence} == kept
    assert {evidence.kind for evidence in recording.evidence} == {"dns_reply", "certificate", "http_response"}


def test_observations_lie_in_time_one_after_the_other() -> None:
    async def run() -> Recording:
        async with tcp_server(say(page()), SECURE) as port, zone({"x.test": ["127.0.0.1"]}) as dns:
            return await measure(target(f"https://x.test:{port}/"), dns)

    measurement = asyncio.run(run()).measurement
    starts = [each.started_seconds for each in measurement.observations]
    assert starts == sorted(starts)
    last = measurement.observations[-1]
    assert last.started_seconds + last.elapsed_seconds <= measurement.elapsed_seconds


@pytest.mark.parametrize(
    ("handler", "context", "step", "failure"),
    [
        (after_hello(reset), None, "tls", Failure.CONNECTION_RESET),
        (after_hello(close), None, "tls", Failure.EOF_ERROR),
        (silence, None, "tls", Failure.GENERIC_TIMEOUT_ERROR),
        (after_hello(silence), SECURE, "http", Failure.GENERIC_TIMEOUT_ERROR),
        (after_hello(close), SECURE, "http", Failure.EOF_ERROR),
    ],
    ids=["tls reset", "tls fin", "tls silence", "http silence", "http fin"],
)
def test_fault_is_named_after_the_step_where_it_showed(
    handler: Handler, context: object, step: str, failure: Failure
) -> None:
    async def run() -> Recording:
        async with tcp_server(handler, context) as port:  # type: ignore[arg-type]  # a row holds a context
            limits = Limits(total_seconds=0.5)
            return await measure(target(f"https://127.0.0.1:{port}/"), limits=limits)

    recording = asyncio.run(run())
    assert steps(recording)[-1] == (step, failure)
    assert recording.measurement.elapsed_seconds < 5


def test_timeout_cut_short_by_the_total_says_so() -> None:
    async def run(limits: Limits) -> Recording:
        async with tcp_server(silence) as port:
            return await measure(target(f"https://127.0.0.1:{port}/"), limits=limits)

    cut = asyncio.run(run(Limits(total_seconds=0.2)))
    assert cut.measurement.observations[-1].detail == FailureDetail(reason="total_seconds")
    whole = asyncio.run(run(Limits(tls_seconds=0.2)))
    assert whole.measurement.observations[-1].detail is None


def test_timeout_noticed_late_by_a_busy_machine_says_so() -> None:
    async def run() -> Recording:
        async with tcp_server(silence) as port:
            asyncio.get_running_loop().call_later(0.1, time.sleep, 0.8)
            return await measure(target(f"https://127.0.0.1:{port}/"), limits=Limits(tls_seconds=0.2))

    last = asyncio.run(run()).measurement.observations[-1]
    assert (last.failure, last.detail) == (Failure.GENERIC_TIMEOUT_ERROR, FailureDetail(reason="late"))


def test_steps_beyond_the_total_are_absent() -> None:
    async def run() -> Recording:
        async with zone({}) as dns:
            return await measure(target("https://x.test/"), dns, limits=Limits(total_seconds=0.1))

    assert steps(asyncio.run(run())) == [("dns", "generic_timeout_error")] * 2


def test_certificate_that_does_not_verify_is_kept_and_nothing_sent_over_it() -> None:
    received = Received()

    async def run() -> Recording:
        context = server_context("x.test", authority=STRANGER)
        async with tcp_server(say(page(), received=received), context) as port, zone({"x.test": ["127.0.0.1"]}) as dns:
            return await measure(target(f"https://x.test:{port}/"), dns)

    recording = asyncio.run(run())
    (tls,) = only(recording, TlsObservation)
    assert tls.failure == Failure.SSL_UNKNOWN_AUTHORITY
    assert tls.chain
    assert not only(recording, HttpObservation)
    assert not received.requests


def test_both_families_are_connected_and_the_request_goes_to_the_first_that_verifies() -> None:
    async def run() -> Recording:
        async with (
            tcp_server(silence, server_context("other.test"), "127.0.0.1") as port,
            tcp_server(say(page()), SECURE, "::1", port),
            zone({"x.test": ["127.0.0.1", "::1"]}) as dns,
        ):
            return await measure(target(f"https://x.test:{port}/"), dns)

    recording = asyncio.run(run())
    assert {(tls.address, tls.failure) for tls in only(recording, TlsObservation)} == {
        ("127.0.0.1", Failure.SSL_INVALID_HOSTNAME),
        ("::1", None),
    }
    assert [http.address for http in only(recording, HttpObservation)] == ["::1"]


def test_ipv4_goes_first_and_the_other_handshake_is_recorded_too() -> None:
    async def run() -> Recording:
        async with (
            tcp_server(say(page()), SECURE, "127.0.0.1") as port,
            tcp_server(say(page()), SECURE, "::1", port),
            zone({"x.test": ["::1", "127.0.0.1"]}) as dns,
        ):
            return await measure(target(f"https://x.test:{port}/"), dns)

    recording = asyncio.run(run())
    assert {tls.address for tls in only(recording, TlsObservation)} == {"127.0.0.1", "::1"}
    assert [http.address for http in only(recording, HttpObservation)] == ["127.0.0.1"]


def test_addresses_tried_of_each_family_are_limited() -> None:
    async def run(limits: Limits) -> int:
        addresses = [f"127.0.0.{last}" for last in range(1, 9)]
        network = Counting()
        async with zone({"x.test": addresses}) as dns:
            await measure(target("https://x.test:9/", tcp_only=True), dns, limits=limits, network=network)
        return len(network.connected)

    assert asyncio.run(run(Limits())) == 1
    assert asyncio.run(run(Limits(addresses_per_family=4))) == 4


def test_bogons_are_never_connected_to_unless_listed() -> None:
    async def run(url: str, allowed: tuple[str, ...]) -> Counting:
        network = Counting()
        async with zone({"x.test": ["127.0.0.1", "10.0.0.1", "169.254.169.254"]}) as dns:
            recording = await measure(target(url), dns, network=network, allowed=allowed)
        for observation in only(recording, DnsObservation):
            assert observation.query_type == "AAAA" or len(observation.addresses) == 3
        return network

    assert asyncio.run(run("https://x.test/", ())).connected == []
    assert asyncio.run(run("https://127.0.0.1/", ())).connected == []
    assert asyncio.run(run("https://x.test:9/", ("127.0.0.0/8",))).connected == [("127.0.0.1", 9)]


def test_redirect_to_a_bogon_is_not_followed_to_it() -> None:
    async def run() -> Counting:
        network = Counting()
        redirect = page(b"", "302 Found", ["Location: http://169.254.169.254/latest/"])
        async with tcp_server(say(redirect)) as port:
            await measure(target(f"http://127.0.0.1:{port}/"), network=network)
        return network

    assert {address for address, _ in asyncio.run(run()).connected} == {"127.0.0.1"}


def test_targets_that_want_less_stop_early() -> None:
    async def run(**expected: bool) -> Recording:
        async with tcp_server(silence, SECURE) as port, zone({"x.test": ["127.0.0.1"]}) as dns:
            return await measure(target(f"https://x.test:{port}/", **expected), dns)

    assert [step for step, _ in steps(asyncio.run(run(tls_only=True)))] == ["dns", "dns", "tcp", "tls"]
    assert [step for step, _ in steps(asyncio.run(run(tcp_only=True)))] == ["dns", "dns", "tcp"]


def test_cleartext_request_names_neither_tool_nor_contact() -> None:
    received = Received()

    async def run() -> None:
        async with tcp_server(say(page(), received=received)) as port:
            await measure(target(f"http://127.0.0.1:{port}/"))
        async with tcp_server(say(page(), received=received), SECURE) as port, zone({"x.test": ["127.0.0.1"]}) as dns:
            await measure(target(f"https://x.test:{port}/"), dns)

    asyncio.run(run())
    assert b"User-Agent: browser\r\n" in received.requests[0]
    assert b"User-Agent: tool\r\n" in received.requests[1]


def test_cleartext_url_without_port_has_its_address_checked_on_443() -> None:
    async def run(url: str) -> Counting:
        network = Counting()
        async with zone({"x.test": ["127.255.255.254"]}) as dns:
            recording = await measure(target(url), dns, network=network)
        for observation in only(recording, TcpObservation):
            assert (observation.purpose == Purpose.ADDRESS_CHECK) == (observation.port == 443)
        return network

    asked = asyncio.run(run("http://x.test/")).connected
    assert sorted(asked) == [("127.255.255.254", 80), ("127.255.255.254", 443)]
    assert asyncio.run(run("http://x.test:8080/")).connected == [("127.255.255.254", 8080)]


def test_redirects_are_resolved_afresh_hop_by_hop() -> None:
    received = Received()

    async def run() -> Recording:
        async with tcp_server(say(page(b"end"), received=received), server_context("y.test")) as last:
            redirect = page(b"", "301 Moved", [f"Location: https://Y.test:{last}/end?q=1", "Set-Cookie: a=secret"])
            async with (
                tcp_server(say(redirect, received=received), SECURE) as first,
                zone({"x.test": ["127.0.0.1"], "y.test": ["127.0.0.2", "127.0.0.1"]}) as dns,
            ):
                return await measure(target(f"https://x.test:{first}/"), dns, limits=Limits(addresses_per_family=2))

    recording = asyncio.run(run())
    assert [(dns.host, dns.hop) for dns in only(recording, DnsObservation)] == [
        ("x.test", 0), ("x.test", 0), ("y.test", 1), ("y.test", 1),
    ]  # fmt: skip
    first, last = only(recording, HttpObservation)
    assert (first.hop, last.hop, last.status_code) == (0, 1, 200)
    assert first.location == last.url
    assert b"secret" not in received.requests[1]
    assert b"cookie" not in received.requests[1].lower()


def test_cookies_stay_with_their_host_inside_the_chain() -> None:
    received = Received()

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        again = page(b"", "302 Found", ["Location: /in", "Set-Cookie: session=7; Path=/"])
        await say(page() if received.requests else again, received=received)(reader, writer)

    async def run() -> Recording:
        async with tcp_server(handler) as port:
            return await measure(target(f"http://127.0.0.1:{port}/"))

    assert only(asyncio.run(run()), HttpObservation)[-1].status_code == 200
    assert b"Cookie: session=7\r\n" in received.requests[1]
    assert b"Cookie" not in received.requests[0]


def circle() -> Handler:
    return say(page(b"", "302 Found", ["Location: /again"]))


def test_redirect_after_the_tenth_ends_the_chain() -> None:
    async def run(limits: Limits) -> Recording:
        async with tcp_server(circle()) as port:
            return await measure(target(f"http://127.0.0.1:{port}/"), limits=limits)

    pages = only(asyncio.run(run(Limits())), HttpObservation)
    assert [page.hop for page in pages] == list(range(11))
    assert [page.failure for page in pages] == [None] * 10 + [TOO_MANY_REDIRECTS]


def test_redirect_that_is_expected_or_not_to_be_followed_is_the_answer() -> None:
    async def run(limits: Limits, **expected: object) -> Recording:
        async with tcp_server(circle()) as port:
            return await measure(target(f"http://127.0.0.1:{port}/", **expected), limits=limits)

    for recording in (asyncio.run(run(Limits(), statuses=(302,))), asyncio.run(run(Limits(redirects=0)))):
        (page,) = only(recording, HttpObservation)
        assert (page.failure, page.status_code) == (None, 302)


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("HTTPS://X.Test:{}/", "x.test"),
        ("https://x.test.:{}/", "x.test"),
        ("https://münchen.test:{}/", "xn--mnchen-3ya.test"),
        ("https://127.0.0.1:{}/", None),
        ("https://user:secret@x.test:{}/", "x.test"),
    ],
)
def test_all_forms_of_hosts_work(url: str, name: str | None) -> None:
    context = server_context("x.test", "xn--mnchen-3ya.test", "127.0.0.1")

    async def run() -> Recording:
        names = {"x.test": ["127.0.0.1"], "xn--mnchen-3ya.test": ["127.0.0.1"]}
        async with tcp_server(say(page()), context) as port, zone(names) as dns:
            return await measure(target(url.format(port)), dns)

    recording = asyncio.run(run())
    (tls,) = only(recording, TlsObservation)
    assert (tls.failure, tls.server_name) == (None, name)
    assert only(recording, HttpObservation)[0].status_code == 200
    assert "secret" not in repr(recording)


def test_ipv6_literal_works() -> None:
    async def run() -> Recording:
        async with tcp_server(say(page()), server_context("::1"), "::1") as port:
            return await measure(target(f"https://[::1]:{port}/"))

    recording = asyncio.run(run())
    assert steps(recording) == [("tcp", None), ("tls", None), ("http", None)]


def test_suspend_inside_a_run_makes_it_interrupted() -> None:
    clock = SettableClock()

    async def doze(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        clock.asleep_seconds += 60
        await say(page())(reader, writer)

    async def run() -> Recording:
        async with tcp_server(doze) as port:
            return await measure(target(f"http://127.0.0.1:{port}/"), tools=toolbox(clock))

    assert asyncio.run(run()).measurement.interrupted


def test_cancelled_run_raises_and_closes_what_it_opened() -> None:
    async def run() -> None:
        gone = asyncio.Event()

        async def wait_for_the_end(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
            connected.set()
            await reader.read()
            gone.set()

        connected = asyncio.Event()
        async with tcp_server(wait_for_the_end) as port:
            task = asyncio.create_task(measure(target(f"https://127.0.0.1:{port}/")))
            await connected.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await gone.wait()

    asyncio.run(run())


def test_mistake_of_ours_raises_as_itself() -> None:
    class Exhausted(LocalNetwork):
        async def connect_tcp(self, address: str, port: int) -> SocketStream:  # noqa: ARG002  the seam's signature
            raise OSError(24, "Too many open files")

    with pytest.raises(OSError, match="Too many open files"):
        asyncio.run(measure(target("https://127.0.0.1:9/"), network=Exhausted()))


def test_follow_ups_are_carried_out_exactly_and_nothing_else() -> None:
    received = Received()
    http = FollowUp(
        purpose=Purpose.OTHER_ADDRESS, until="http", hop=2, address="127.0.0.1", server_name="x.test",
        url="https://x.test/deep", host="harmless.test",
    )  # fmt: skip
    harmless = FollowUp(
        purpose=Purpose.HARMLESS_NAME, until="http", address="127.0.0.1", url="http://x.test/", host="www.example.com"
    )

    unrelated = FollowUp(purpose=Purpose.UNRELATED_ADDRESS, until="tls", address="127.0.0.1", server_name="z.test")

    async def run() -> Recording:
        async with (
            tcp_server(say(page(), received=received), SECURE) as secure,
            tcp_server(say(page(), received=received)) as clear,
            zone({"x.test": ["127.0.0.1"]}) as dns,
        ):
            follow_ups = (
                FollowUp(purpose=Purpose.OTHER_RESOLVER, until="dns", host="x.test", resolver=dns, hop=1),
                FollowUp(purpose=Purpose.RETRY, until="tcp", address="127.0.0.1", port=secure),
                replaced(unrelated, port=secure),
                replaced(http, port=secure),
                replaced(harmless, port=clear),
                FollowUp(purpose=Purpose.OTHER_ADDRESS, until="tls", address="10.0.0.1"),
            )
            return await measure(target("https://x.test/"), follow_ups=follow_ups)

    recording = asyncio.run(run())
    assert recording.measurement.is_deep
    found = {(str(each.purpose), step_of(each), each.failure, each.hop) for each in recording.measurement.observations}
    assert found == {
        ("other_resolver", "dns", None, 1),
        ("retry", "tcp", None, 0),
        ("unrelated_address", "tcp", None, 0),
        ("unrelated_address", "tls", "ssl_invalid_hostname", 0),
        ("other_address", "tcp", None, 2),
        ("other_address", "tls", None, 2),
        ("other_address", "http", None, 2),
        ("harmless_name", "tcp", None, 0),
        ("harmless_name", "http", None, 0),
    }
    deep = next(request for request in received.requests if b"/deep" in request)
    assert b"Host: harmless.test\r\n" in deep
    assert any(b"Host: www.example.com\r\n" in request for request in received.requests)


def test_network_without_a_say_in_segments_takes_no_look_in_small_ones() -> None:
    class FarAway(Counting):
        def in_small_segments(self) -> None:  # type: ignore[override]  # as a proxy, which opens the connection itself
            return None

    async def run(network: LocalNetwork) -> list[str]:
        async with tcp_server(say(page(), received=Received()), SECURE) as port:
            look = FollowUp(
                purpose=Purpose.SMALL_SEGMENTS, until="tls", address="127.0.0.1", port=port, server_name="x.test"
            )
            recording = await measure(target("https://x.test/"), network=network, follow_ups=(look,))
        return [str(step_of(one)) for one in recording.measurement.observations]

    assert asyncio.run(run(LocalNetwork())) == ["tcp", "tls"]
    assert asyncio.run(run(FarAway())) == []


def replaced(follow_up: FollowUp, port: int) -> FollowUp:
    return msgspec.structs.replace(follow_up, port=port)


def test_follow_ups_at_one_address_go_one_after_the_other() -> None:
    running: list[int] = []
    most: list[int] = []

    async def note(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        running.append(1)
        most.append(len(running))
        await say(page())(reader, writer)
        running.pop()

    async def run() -> Recording:
        async with tcp_server(note) as port:
            looks = FollowUp(
                purpose=Purpose.RETRY, until="http", address="127.0.0.1", port=port, url=f"http://x.test:{port}/"
            )
            return await measure(target("https://x.test/"), follow_ups=(looks,) * 5)

    assert len(only(asyncio.run(run()), HttpObservation)) == 5
    assert max(most) == 1


def test_follow_up_waits_first() -> None:
    async def run() -> Recording:
        follow_up = FollowUp(purpose=Purpose.RETRY, until="tcp", address="127.0.0.1", port=9, wait_seconds=0.05)
        return await measure(target("https://x.test/"), follow_ups=(follow_up,))

    assert asyncio.run(run()).measurement.observations[0].started_seconds >= 0.05


def test_own_address_is_kept_nowhere() -> None:
    own = frozenset({"203.0.113.77"})

    async def run() -> Recording:
        body = b"<title>203.0.113.77</title>your address 203.0.113.77, 203-0-113-77.isp.test"
        redirected = page(body, "403 Forbidden", ["Via: 1.1 203.0.113.77"])
        async with tcp_server(say(redirected)) as port:
            return await measure(target(f"http://127.0.0.1:{port}/"), tools=toolbox(own_addresses=own))

    recording = asyncio.run(run())
    assert "203.0.113.77" not in repr(recording)
    assert "203-0-113-77" not in repr(recording)
    assert "[scrubbed]" in repr(recording)


def test_recording_survives_the_wire_to_an_agent_and_back() -> None:
    async def run() -> Recording:
        async with tcp_server(say(page()), SECURE) as port, zone({"x.test": ["127.0.0.1"]}) as dns:
            return await measure(target(f"https://x.test:{port}/"), dns)

    recording = asyncio.run(run())
    assert msgspec.json.decode(msgspec.json.encode(recording), type=Recording) == recording


@pytest.mark.parametrize("use", QuicUse)
def test_http3_is_part_of_a_routine_run_only_if_always_wanted(use: QuicUse) -> None:
    async def run() -> Recording:
        async with quic_server("x.test") as port, zone({"x.test": ["127.0.0.1"]}) as dns:
            asked = msgspec.structs.replace(target(f"https://x.test:{port}/"), quic=use)
            return await measure(asked, dns)

    found = only(asyncio.run(run()), QuicObservation)
    assert [(one.purpose, one.verified) for one in found] == ([(Purpose.PATH, True)] if use == "always" else [])


def test_follow_ups_over_quic_and_transfers_are_carried_out() -> None:
    file = page(b"x" * 50_000)

    async def run() -> Recording:
        async with (
            quic_server("x.test") as quic,
            tcp_server(say(file), server_context("x.test")) as secure,
            tcp_server(say(file)) as clear,
        ):
            follow_ups = (
                FollowUp(purpose=Purpose.HTTP3, until="quic", port=quic, server_name="x.test", address="127.0.0.1"),
                FollowUp(purpose=Purpose.QUIC_PING, until="quic", port=quic, address="127.0.0.1"),
                FollowUp(
                    purpose=Purpose.TRANSFER_HARMLESS, until="throughput", port=secure, server_name="harmless.test",
                    verify_name="x.test", host="x.test", url="https://x.test/", address="127.0.0.1",
                ),
                FollowUp(
                    purpose=Purpose.TRANSFER_REFERENCE, until="throughput", port=clear, host="file.test",
                    url="http://file.test/", address="127.0.0.1",
                ),
                FollowUp(purpose=Purpose.HTTP3, until="quic", address="10.0.0.1"),
            )  # fmt: skip
            return await measure(target("https://x.test/"), follow_ups=follow_ups)

    recording = asyncio.run(run())
    http3, ping = only(recording, QuicObservation)
    assert (http3.purpose, http3.failure, http3.alpn) == (Purpose.HTTP3, None, "h3")
    assert (ping.purpose, ping.failure) == (Purpose.QUIC_PING, None)
    harmless, reference = only(recording, ThroughputObservation)
    assert (harmless.server_name, harmless.status_code, harmless.failure) == ("harmless.test", 200, None)
    assert (reference.server_name, reference.status_code) == (None, 200)
    assert min(harmless.bytes_received, reference.bytes_received) > 50_000
    # One after the other, so that none shares the line with another.
    assert reference.started_seconds >= harmless.started_seconds + harmless.elapsed_seconds
    assert msgspec.json.decode(msgspec.json.encode(recording), type=Recording) == recording


def test_a_wait_that_nothing_could_follow_is_not_waited() -> None:
    retry = FollowUp(purpose=Purpose.RETRY, until="tcp", address="127.0.0.1", port=9, wait_seconds=3600.0)
    recording = asyncio.run(measure(target("https://x.test/"), follow_ups=(retry,), limits=Limits(total_seconds=5.0)))
    assert recording.measurement.observations == ()
