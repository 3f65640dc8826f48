"""The courier against a centre over real sockets: who is believed, what is sent again, and what leaves the spool."""

import asyncio
import contextlib
import sqlite3
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from monitor.agent.courier import MAX_BACKOFF_SECONDS, Courier
from monitor.agent.identity import Identity
from monitor.agent.link import Link
from monitor.agent.spool import Spool, Weight
from monitor.agent.transport import MAX_ANSWER_BYTES, Transport
from monitor.model.fleet import Result
from monitor.network.clock import SystemClock
from tests.fakes.centre import FakeCentre, Reply, plain
from tests.fakes.outcomes import recording

NOW = SystemClock().now()
KEY = Ed25519PrivateKey.generate()


class Errand:
    """A courier with its spool, and one event loop for all that it does."""

    def __init__(self, centre: FakeCentre, folder: Path, *urls: str) -> None:
        self._path = folder / "spool.db"
        self.spool = Spool(self._path)
        self.refused: list[str] = []
        centre.agent_keys = {"a-1": KEY.public_key()}
        self._loop = asyncio.new_event_loop()
        identity = Identity(
            agent_id="a-1",
            vantage="lahore-1",
            key=KEY.private_bytes_raw(),
            centre_key=centre.key.public_key().public_bytes_raw(),
            urls=urls or (centre.url,),
            enrolled_at=NOW,
        )
        self._transport = Transport(None)
        self.link = Link(identity, self._transport, SystemClock())
        self._courier = Courier("a-1", self.link, self.spool, SystemClock(), boot="b1", on_refused=self.refused.append)
        self._sequence = 0

    def put(self, number: int, *, live: bool = True, boot: str = "b1") -> None:
        for _ in range(number):
            self._sequence += 1
            result = Result(sequence=self._sequence, recording=recording(), monotonic_seconds=1.0)
            until = NOW + timedelta(hours=1 if live else -1)
            self.spool.put(
                boot, self._sequence, msgspec.json.encode(result), started_at=NOW, live_until=until, weight=Weight.USUAL
            )  # fmt: skip

    def step(self) -> float | None:
        return self._loop.run_until_complete(self._courier.step())

    def all_steps(self, at_most: int = 100) -> None:
        for _ in range(at_most):
            if self.step() is None:
                return
        raise AssertionError("it never ends")

    def lock(self) -> None:
        """Have somebody else hold the file, so that nothing can be written."""
        self._holder = sqlite3.connect(self._path, isolation_level=None)
        self._holder.execute("BEGIN IMMEDIATE")

    def unlock(self) -> None:
        self._holder.execute("ROLLBACK")
        self._holder.close()

    def run_for(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            self._loop.run_until_complete(asyncio.wait_for(self._courier.run(), seconds))

    def close(self) -> None:
        self._loop.run_until_complete(self._transport.close())
        self._loop.close()
        self.spool.close()


@pytest.fixture
def errand(centre: FakeCentre, tmp_path: Path) -> Iterator[Errand]:
    errand = Errand(centre, tmp_path)
    yield errand
    errand.close()


def sequences(centre: FakeCentre) -> list[list[int]]:
    return [[one.sequence for one in batch.results] for batch in centre.batches]


def test_live_results_go_newest_first_and_every_fifth_batch_is_a_late_one(centre: FakeCentre, errand: Errand) -> None:
    errand.put(500, live=False)
    errand.put(10, live=False)
    order = []
    for _ in range(7):
        errand.put(1)
        errand.step()
        order.append(centre.batches[-1].head.is_backfill)
    assert order == [False, False, False, False, True, False, False]
    late = next(batch for batch in centre.batches if batch.head.is_backfill)
    assert [one.sequence for one in late.results] == list(range(1, 501))
    errand.put(3)
    errand.step()
    assert sequences(centre)[-1] == sorted(sequences(centre)[-1], reverse=True)
    errand.all_steps()
    assert set(centre.keys.values()) == {1}
    assert len(centre.keys) == 520
    assert errand.spool.depth().rows == 0


def test_results_of_another_boot_travel_alone_and_without_its_clock(centre: FakeCentre, errand: Errand) -> None:
    errand.put(2, boot="b0")
    errand.put(2)
    errand.all_steps()
    heads = [batch.head for batch in centre.batches]
    assert [(head.boot_id, head.monotonic_seconds is None) for head in heads] == [("b1", False), ("b0", True)]
    assert heads[0].batch_sequence < heads[1].batch_sequence


def test_too_large_halves_until_it_fits(centre: FakeCentre, errand: Errand) -> None:
    errand.put(8)
    centre.trouble.extend([plain(413), plain(413)])
    errand.all_steps()
    assert len(sequences(centre)[0]) == 2
    assert len(centre.keys) == 8


def test_a_result_that_the_centre_refuses_is_set_aside_and_the_rest_goes_on(centre: FakeCentre, errand: Errand) -> None:
    errand.put(4)
    bad = 3

    def refuses(centre: FakeCentre, signature: str, body: bytes) -> Reply:
        if all(one.sequence != bad for one in centre.read(body)[1]):
            return centre.take(body)
        return centre.refusal(400, "malformed", signature)

    centre.trouble.extend([refuses] * 20)
    errand.all_steps()
    assert sorted(sequence for _, sequence in centre.keys) == [1, 2, 4]
    assert errand.spool.depth().set_aside == 1


def test_single_results_named_in_the_acknowledgement_are_set_aside(centre: FakeCentre, errand: Errand) -> None:
    errand.put(5)
    centre.refused_sequences = {2, 4}
    errand.all_steps()
    assert sorted(sequence for _, sequence in centre.keys) == [1, 3, 5]
    assert errand.spool.depth().set_aside == 2
    assert errand.spool.depth().rows == 0


def test_slow_down_is_obeyed(centre: FakeCentre, errand: Errand) -> None:
    errand.put(1)
    centre.trouble.append(plain(429, Retry_After="17"))
    assert errand.step() == 17.0
    assert errand.step() == 0.0
    assert len(centre.keys) == 1


def test_waits_grow_to_five_minutes_and_end_with_success(centre: FakeCentre, errand: Errand) -> None:
    errand.put(1)
    centre.trouble.extend([plain(503)] * 30)
    waits = [wait for _ in range(30) if (wait := errand.step()) is not None]
    assert len(waits) == 30
    assert all(0 <= wait <= MAX_BACKOFF_SECONDS for wait in waits)
    assert max(waits[:3]) <= 4.0
    assert max(waits) > 30.0
    assert errand.step() == 0.0
    assert errand.spool.depth().rows == 0
    errand.put(1)
    centre.trouble.append(plain(500))
    assert (errand.step() or 0) <= 1.0


@pytest.mark.parametrize(
    "meddle",
    [
        lambda reply: reply._replace(body=reply.body.replace(b'"accepted":3', b'"accepted":9')),
        lambda reply: reply._replace(headers={}),
        lambda reply: reply._replace(body=b"x" * (MAX_ANSWER_BYTES + 1)),
        lambda reply: reply._replace(body=reply.body[:-4]),
        lambda _: Reply(302, {"Location": "http://127.0.0.1:9/"}, b""),
        lambda _: Reply(404, {}, b"not here"),
    ],
    ids=["tampered", "unsigned", "huge", "cut", "redirect", "a relay's 404"],
)
def test_an_answer_that_is_not_the_centres_acknowledges_nothing(
    centre: FakeCentre, errand: Errand, meddle: Callable[[Reply], Reply]
) -> None:
    errand.put(3)
    centre.meddle = lambda _, reply: meddle(reply)
    errand.step()
    assert errand.spool.depth().rows == 3
    assert errand.spool.depth().set_aside == 0
    centre.meddle = lambda _, reply: reply
    errand.all_steps()
    assert errand.spool.depth().rows == 0


def test_yesterdays_answer_acknowledges_nothing(centre: FakeCentre, errand: Errand) -> None:
    recorded: list[Reply] = []
    errand.put(1)
    centre.meddle = lambda _, reply: recorded.append(reply) or reply  # type: ignore[func-returns-value]
    errand.step()
    errand.put(1)
    centre.meddle = lambda *_: recorded[0]
    errand.step()
    assert errand.spool.depth().rows == 1


def test_a_refusal_of_another_request_sets_nothing_aside(centre: FakeCentre, errand: Errand) -> None:
    errand.put(1)
    centre.trouble.append(centre.refusal(400, "malformed", "sig=:another:"))
    errand.step()
    assert errand.spool.depth().set_aside == 0


def test_an_acknowledgement_that_does_not_account_for_all_keeps_all(centre: FakeCentre, errand: Errand) -> None:
    errand.put(3)

    def forgets_one(centre: FakeCentre, _: str, body: bytes) -> Reply:
        return centre.take(body, accepted=2)

    centre.trouble.append(forgets_one)
    errand.step()
    assert errand.spool.depth().rows == 3


def test_a_wrong_clock_is_learnt_from_the_refusal(centre: FakeCentre, errand: Errand) -> None:
    centre.clock_offset = timedelta(hours=7)
    errand.put(1)
    errand.step()
    assert len(centre.keys) == 1
    assert errand.link.offset_seconds == pytest.approx(7 * 3600, abs=5)


def test_the_next_address_is_asked_where_one_is_blocked(centre: FakeCentre, tmp_path: Path) -> None:
    errand = Errand(centre, tmp_path, "http://127.0.0.1:9", centre.url)
    errand.put(1)
    assert errand.step() == 0.0
    assert len(centre.keys) == 1
    errand.close()


def test_what_the_centre_says_of_the_agent_is_heard_and_costs_no_result(centre: FakeCentre, errand: Errand) -> None:
    errand.put(1)
    centre.trouble.append(lambda centre, signature, _: centre.refusal(403, "revoked", signature))
    errand.step()
    assert errand.refused == ["revoked"]
    assert errand.spool.depth().rows == 1
    assert errand.spool.depth().set_aside == 0


def test_a_disk_that_fails_ends_neither_courier_nor_results(centre: FakeCentre, errand: Errand) -> None:
    errand.put(1)
    errand.lock()
    errand.run_for(0.2)
    assert centre.batches == []
    errand.unlock()
    errand.all_steps()
    assert len(centre.keys) == 1
