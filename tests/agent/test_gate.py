"""What stands between instructions and the line: the owner's gate, the day's bytes, the minute's rounds, ports."""

import asyncio
import errno
from collections.abc import Iterator
from pathlib import Path

import pytest

from monitor.agent.gate import Budget, GatedVantage, Manners, moved_bytes
from monitor.agent.spool import Spool
from monitor.model.observation import DnsObservation, HttpObservation, TcpObservation
from monitor.model.seams import VantageError
from monitor.network.clock import SystemClock
from monitor.network.guard import GuardedNetwork
from monitor.network.local import LocalNetwork
from monitor.network.recorder import Recorder
from tests.fakes.vantages import HandClock, ScriptedVantage


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    spool = Spool(tmp_path / "spool.db")
    yield spool
    spool.close()


def test_nothing_is_measured_or_checked_while_the_gate_is_shut() -> None:
    clock = HandClock()
    spent: list[int] = []
    inner = ScriptedVantage("lahore-1", clock)
    gated = GatedVantage(inner, clock, lambda: "paused", spent.append)

    async def go() -> None:
        for act in (lambda: gated.measure(None), gated.check):  # type: ignore[arg-type]  # it never looks at the request
            with pytest.raises(VantageError, match="paused"):
                await act()

    asyncio.run(go())
    assert (inner.asked, inner.checks, spent) == ([], 0, [])


def test_a_host_has_so_many_rounds_a_minute_whatever_its_targets_are_called() -> None:
    clock = HandClock()
    manners = Manners(clock)
    manners.rounds_per_minute = 2
    urls = ("https://x.com/a", "http://x.com/b", "https://x.com/c")
    assert [manners.may_begin(url) for url in urls] == [True, True, False]
    assert manners.may_begin("https://other.org/")
    clock.seconds = 60.0
    assert manners.may_begin("https://x.com/")


def test_the_days_bytes_are_kept_over_a_restart_and_forgotten_the_next_day(spool: Spool) -> None:
    clock = HandClock()
    Budget(spool, clock).spend(700)
    Budget(spool, clock).spend(300)
    assert Budget(spool, clock).spent_bytes == 1000
    clock.seconds = 86_400.0
    assert Budget(spool, clock).spent_bytes == 0
    Budget(spool, clock).spend(5)
    clock.seconds = 0.0
    assert Budget(spool, clock).spent_bytes == 0


def test_bytes_on_the_wire_count_and_the_small_steps_by_estimate() -> None:
    steps = (
        DnsObservation(host="x.com", query_type="A", resolver="system", transport="udp"),
        TcpObservation(address="192.0.2.1", port=443),
        HttpObservation(
            url="https://x.com/", address="192.0.2.1", port=443, is_tls=True, bytes_sent=100, bytes_received=5000
        ),
    )
    assert moved_bytes(steps) == 300 + 400 + 5100


def test_ports_that_nobody_named_are_refused_at_the_socket() -> None:
    network = GuardedNetwork(LocalNetwork(), ("127.0.0.0/8",), (), frozenset({443}))

    async def errors() -> list[int | None]:
        found = []
        for connect in (network.connect_tcp, network.connect_udp):
            with pytest.raises(PermissionError) as raised:
                await connect("127.0.0.1", 25)
            found.append(raised.value.errno)
        (await network.connect_udp("127.0.0.1", 443)).close()
        return found

    assert asyncio.run(errors()) == [errno.EPERM, errno.EPERM]


def test_the_hosts_name_and_local_resolvers_leave_no_trace_in_pages_and_texts() -> None:
    recorder = Recorder(SystemClock(), frozenset(), frozenset({"bashir-laptop", "192.168.7.1"}))
    recorder.keep("http_response", b"hello Bashir-Laptop, your router is 192.168.7.1 (c0a80701)")
    (kept,) = recorder.evidence.values()
    assert kept.content == b"hello [scrubbed], your router is [scrubbed] ([scrubbed])"
    assert recorder.text("at BASHIR-LAPTOP", 100) == "at [scrubbed]"
    # What a resolver answers is evidence, and stays as it came.
    reply = b"\x00\x01\xc0\xa8\x07\x01"
    assert recorder.keep("dns_reply", reply) in recorder.evidence
    assert reply in {one.content for one in recorder.evidence.values()}
