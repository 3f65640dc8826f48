import asyncio
import os
from collections.abc import Sequence

import pytest
import uvloop

from monitor.model.failure import Failure
from monitor.model.observation import FailureDetail, Purpose, QuicObservation
from monitor.network.local import LocalNetwork
from monitor.network.quic import quic_handshake, quic_ping
from monitor.network.recorder import Recorder
from tests.network.loopback import STRANGER, closed_port, toolbox
from tests.network.quic_server import Datagrams, quic_server, udp_host, version_negotiation


async def shake(
    port: int, server_name: str | None = "x.test", *, seconds: float = 5.0, network: LocalNetwork | None = None
) -> tuple[QuicObservation, Recorder]:
    tools = toolbox()
    recorder = Recorder(tools.clock)
    observation = await quic_handshake(
        tools.clock, tools.trust, recorder, network or LocalNetwork(), address="127.0.0.1", port=port,
        server_name=server_name, seconds=seconds,
    )  # fmt: skip
    return observation, recorder


async def shake_with(answer: Datagrams, *, seconds: float = 5.0) -> QuicObservation:
    async with udp_host(answer) as port:
        observation, _ = await shake(port, seconds=seconds)
    return observation


@pytest.mark.parametrize("loop_factory", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def test_good_handshake_gives_every_fact(loop_factory: object) -> None:
    async def run() -> tuple[QuicObservation, Recorder]:
        async with quic_server("x.test") as port:
            return await shake(port)

    with asyncio.Runner(loop_factory=loop_factory) as runner:  # type: ignore[arg-type]  # a row holds a function
        observation, recorder = runner.run(run())
    assert observation.failure is None
    assert observation.verified
    assert (observation.version, observation.alpn, observation.server_name) == ("00000001", "h3", "x.test")
    assert observation.leaf_covers_name is True
    assert observation.chain == observation.evidence
    assert set(observation.chain) == set(recorder.evidence)
    assert observation.bytes_sent >= 1200
    assert observation.bytes_received > 400


def test_the_source_address_of_the_vantage_is_honoured() -> None:
    async def run() -> QuicObservation:
        async with quic_server("x.test") as port:
            observation, recorder = await shake(port, network=LocalNetwork(source_address="127.0.0.9"))
        assert recorder.own_addresses == frozenset()  # loopback gives nobody away
        return observation

    assert asyncio.run(run()).verified


@pytest.mark.parametrize(
    ("stranger", "name", "failure", "code"),
    [
        (True, "x.test", Failure.SSL_UNKNOWN_AUTHORITY, 20),
        (False, "y.test", Failure.SSL_INVALID_HOSTNAME, 62),
    ],
)
def test_certificate_is_judged_by_our_own_store(*, stranger: bool, name: str, failure: Failure, code: int) -> None:
    async def run() -> QuicObservation:
        server = quic_server("x.test", authority=STRANGER) if stranger else quic_server("x.test")
        async with server as port:
            observation, _ = await shake(port, name)
        return observation

    observation = asyncio.run(run())
    assert (observation.failure, observation.detail) == (failure, FailureDetail(verify_code=code))
    assert observation.certificate_failures == (failure,)
    assert not observation.verified


def test_alert_of_the_server_is_named() -> None:
    async def run() -> QuicObservation:
        async with quic_server("x.test", alpn=("something-else",)) as port:
            observation, _ = await shake(port)
        return observation

    observation = asyncio.run(run())
    assert observation.failure == Failure.SSL_FAILED_HANDSHAKE
    assert observation.detail is not None
    assert observation.detail.alert in {"handshake_failure", "no_application_protocol"}


def test_icmp_port_unreachable_is_a_refusal() -> None:
    observation, _ = asyncio.run(shake(closed_port()))
    assert observation.failure == Failure.CONNECTION_REFUSED
    assert observation.detail is not None
    assert observation.detail.errno is not None


def test_silence_is_a_timeout_and_bytes_were_sent() -> None:
    observation = asyncio.run(shake_with(lambda _: (), seconds=0.4))
    assert observation.failure == Failure.GENERIC_TIMEOUT_ERROR
    assert (observation.bytes_received, observation.bytes_sent >= 1200) == (0, True)


def test_server_of_other_versions_only() -> None:
    observation = asyncio.run(shake_with(lambda initial: [version_negotiation(initial, 0xFACEB002)]))
    assert observation.failure == Failure.QUIC_INCOMPATIBLE_VERSION


def junk(initial: bytes) -> Sequence[bytes]:
    """Packets that are none, and headers of ours with nonsense behind."""
    return [b"", b"\x00", os.urandom(1200), b"\xc0" + initial[1:60], version_negotiation(initial), initial[:-9]]


def test_junk_is_waited_past() -> None:
    observation = asyncio.run(shake_with(junk, seconds=0.5))
    assert observation.failure in {Failure.GENERIC_TIMEOUT_ERROR, Failure.SSL_FAILED_HANDSHAKE,
                                   Failure.QUIC_INCOMPATIBLE_VERSION}  # fmt: skip


def test_a_flood_is_cut_off() -> None:
    observation = asyncio.run(shake_with(lambda _: [os.urandom(1200)] * 400))
    assert (observation.failure, observation.detail) == (
        Failure.SSL_FAILED_HANDSHAKE,
        FailureDetail(reason="too_many_bytes"),
    )


async def ping(port: int, seconds: float = 5.0) -> QuicObservation:
    return await quic_ping(Recorder(toolbox().clock), LocalNetwork(), "127.0.0.1", port, seconds=seconds)


def test_any_server_answers_a_ping_without_a_handshake() -> None:
    async def run() -> QuicObservation:
        async with quic_server("x.test") as port:
            return await ping(port)

    observation = asyncio.run(run())
    assert observation.failure is None
    assert observation.purpose is Purpose.QUIC_PING
    assert "00000001" in observation.server_versions
    assert observation.server_name is None
    assert observation.bytes_sent == 1200


def test_ping_is_not_fooled_by_answers_to_somebody_else() -> None:
    async def run() -> QuicObservation:
        async with udp_host(lambda initial: [version_negotiation(os.urandom(len(initial)), 1), b"", b"\x80"]) as port:
            return await ping(port, 0.3)

    assert asyncio.run(run()).failure == Failure.GENERIC_TIMEOUT_ERROR


def test_ping_is_repeated_once_a_second() -> None:
    seen: list[bytes] = []

    def second_only(initial: bytes) -> Sequence[bytes]:
        seen.append(initial)
        return [version_negotiation(initial, 1)] if len(seen) == 2 else []

    async def run() -> QuicObservation:
        async with udp_host(second_only) as port:
            return await ping(port)

    observation = asyncio.run(run())
    assert (observation.failure, observation.bytes_sent) == (None, 2400)
    assert {len(each) for each in seen} == {1200}
    assert {each[1:5].hex() for each in seen} == {"babababa"}
