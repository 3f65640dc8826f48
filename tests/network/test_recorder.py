import asyncio
import hashlib
import socket

from monitor.model.observation import DnsAnswer, DnsObservation
from monitor.network.recorder import Recorder
from tests.network.loopback import SettableClock


def recorder(own: frozenset[str] = frozenset(), clock: SettableClock | None = None) -> Recorder:
    async def make() -> Recorder:
        return Recorder(clock or SettableClock(), own)

    return asyncio.run(make())


def test_evidence_is_kept_once_under_its_digest() -> None:
    kept = recorder()
    digest = kept.keep("http_response", b"hello")
    assert kept.keep("http_response", b"hello") == digest == hashlib.sha256(b"hello").hexdigest()
    assert [each.content for each in kept.evidence.values()] == [b"hello"]


def test_evidence_is_scrubbed_before_it_is_hashed() -> None:
    kept = recorder(frozenset({"203.0.113.77"}))
    digest = kept.keep("http_response", b"you are 203.0.113.77")
    assert digest == hashlib.sha256(b"you are [scrubbed]").hexdigest()
    assert kept.evidence[digest].content == b"you are [scrubbed]"
    kept.keep("dns_reply", b"\xcb\x00\x71\x4d")
    assert list(kept.evidence.values())[1].content == bytes(4)


def test_certificate_is_kept_byte_for_byte() -> None:
    kept = recorder(frozenset({"203.0.113.77"}))
    digest = kept.keep("certificate", b"203.0.113.77")
    assert kept.evidence[digest].content == b"203.0.113.77"


def test_pieces_are_bounded() -> None:
    kept = recorder()
    for number in range(1000):
        kept.keep("http_response", b"%d" % number)
    assert len(kept.evidence) == 256


def test_answer_that_is_ourselves_is_blotted_out() -> None:
    kept = recorder(frozenset({"203.0.113.77"}))
    answers = (DnsAnswer("A", "203.0.113.77"), DnsAnswer("A", "198.51.100.1"))
    kept.add(DnsObservation(host="x.test", query_type="A", resolver="system", transport="udp", answers=answers))
    observation = kept.observations[0]
    assert isinstance(observation, DnsObservation)
    assert observation.addresses == ("[scrubbed]", "198.51.100.1")


def test_loopback_is_no_address_of_ours() -> None:
    kept = recorder()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.connect(("127.0.0.1", 9))
        kept.saw_local(udp.getsockname()[0])
    assert kept.own_addresses == frozenset()


def test_time_asleep_is_told() -> None:
    async def sleep() -> float:
        clock = SettableClock()
        kept = Recorder(clock)
        clock.asleep_seconds = 60.0
        return kept.suspended_seconds()

    assert round(asyncio.run(sleep())) == 60
