"""The outbox against receivers that fail, hang, ask for patience and recover: nothing is lost, nothing out of order."""

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Self

import msgspec
import pytest

from monitor.alerts import channels
from monitor.alerts.sender import Desk, Line, Sender
from monitor.alerts.story import Background
from monitor.alerts.writer import Writer
from monitor.config.alerting import WebhookChannel
from monitor.detect.dispatch import Rules
from monitor.model.alert import Alert, AlertKind, Attempt, Notice, Planned
from monitor.network.clock import SystemClock
from monitor.store import outbox_reader
from monitor.store.outbox_reader import AlertRecord
from monitor.store.reader import Reader
from monitor.store.store import Store
from tests.alerts.receivers import HANG, Receiver, receiver
from tests.alerts.samples import INCIDENT, alert

FOR_YEARS = 1e9  # what the samples tell of lies in the past
ALONE = Rules(give_up_seconds=FOR_YEARS, group_seconds=0, digest=0, flap_changes=0, rate_messages=10_000)
CLOCK = SystemClock()


class Post:
    """A store with its outbox, and a sender at work on it; retries come after a second."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "monitor.db"
        self.store = Store.open(self.path, CLOCK, spool_rows=100)
        self.reader = Reader(self.path)
        self.attempts: list[tuple[str, Attempt]] = []
        self.attempted = asyncio.Event()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.reader.close()
        self.store.close()

    def write(self, *alerts: Alert, to: Sequence[str] = ("desk",)) -> None:
        now = CLOCK.now()
        notices = [
            Notice(alert=one, planned=tuple(Planned(channel=name, route="all", due_at=now) for name in to))
            for one in alerts
        ]
        for one in alerts:
            if one.incident is not None:
                self.store.record_incident(one.incident, ())
        assert self.store.post(notices).result(30)

    def count(self, name: str, attempt: Attempt) -> None:
        self.attempts.append((name, attempt))
        self.attempted.set()

    def records(self) -> list[AlertRecord]:
        return outbox_reader.records(self.reader.ask, limit=1000)

    def states(self) -> list[str]:
        """Return the state of every message, oldest first."""
        return [sent.state.value for one in reversed(self.records()) for sent in one.deliveries]

    @contextlib.asynccontextmanager
    async def sending(self, rules: Rules, urls: Mapping[str, str]) -> AsyncIterator[Sender]:
        writer = Writer()
        sender = Sender(
            Desk(
                store=self.store,
                reader=self.reader,
                clock=CLOCK,
                write=lambda parcel, unstable, now: writer.message(parcel, Background(now=now, unstable=unstable)),
                headline=lambda one: one.name,
                counted=self.count,
                maintenance=lambda: (),
                share=lambda: 0.0,
            )
        )
        await sender.use(
            [
                Line(
                    name=name,
                    channel=channels.build(WebhookChannel(kind="webhook", url=url)),
                    timeout_seconds=1.0,
                    rules=rules,
                )
                for name, url in urls.items()
            ]
        )
        try:
            yield sender
        finally:
            await sender.close()

    def send_until(self, question: Callable[[], bool], rules: Rules = ALONE, **urls: str) -> None:
        async def work() -> None:
            self.attempted = asyncio.Event()
            async with self.sending(rules, urls), asyncio.timeout(30):
                while not question():
                    await self.attempted.wait()
                    self.attempted.clear()

        asyncio.run(work())


@pytest.fixture
def post(tmp_path: Path) -> Iterator[Post]:
    with Post(tmp_path) as found:
        yield found


@pytest.fixture
def hook() -> Iterator[Receiver]:
    with receiver() as found:
        yield found


def incident(name: str) -> Alert:
    return alert(incident=msgspec.structs.replace(INCIDENT, id=name, platform=name))


@pytest.mark.parametrize("trouble", [(500, 503), (HANG,), (429,), (404, 401)])
def test_failure_and_recovery_both_arrive_afterwards_in_order_once_each_with_their_own_times(
    post: Post, hook: Receiver, trouble: tuple[int, ...]
) -> None:
    start, end = alert(), alert(AlertKind.END, 2)
    post.write(start, end)
    hook.says(*trouble)
    post.send_until(lambda: post.states() == ["delivered"] * 2, desk=hook.url)
    assert hook.kinds == ["start", "end"]
    assert [one.json["alerts"][0]["at"] for one in hook.taken] == ["2026-11-22T18:00:00Z", "2026-11-22T18:01:00Z"]
    keys = [one.headers["Idempotency-Key"] for one in hook.requests]
    assert keys == [f"{start.name}/desk"] * (len(trouble) + 1) + [f"{end.name}/desk"]
    attempts = post.records()[-1].deliveries[0].attempts
    assert [one.number for one in attempts] == list(range(1, len(trouble) + 2))
    assert [one.result.value for one in attempts] == ["failed"] * len(trouble) + ["delivered"]


def test_who_asks_for_patience_is_given_it(post: Post, hook: Receiver) -> None:
    post.write(alert())
    hook.says(429, Retry_After="3600")
    post.send_until(lambda: bool(post.attempts), desk=hook.url)
    (attempt,) = (one for _, one in post.attempts)
    assert attempt.due_at - attempt.started_at >= timedelta(hours=1)
    assert post.states() == ["pending"]


def test_what_is_refused_for_good_is_given_up_shown_and_holds_up_nothing(post: Post, hook: Receiver) -> None:
    post.write(alert(), alert(AlertKind.SPREAD, 2))
    hook.says(400)
    post.send_until(lambda: post.states() == ["dead", "delivered"], desk=hook.url)
    assert outbox_reader.backlogs(post.reader.ask)[0].dead == 1


def test_a_channel_that_hangs_delays_no_other(post: Post, hook: Receiver) -> None:
    many = [incident(f"i{number}") for number in range(20)]
    post.write(*many, to=("stuck", "desk"))
    with receiver() as stuck:
        stuck.answer = lambda _: (HANG, {})
        post.send_until(lambda: len(hook.alerts) == 20, desk=hook.url, stuck=stuck.url)
        assert stuck.taken == []


def test_a_crash_between_sending_and_writing_it_down_repeats_under_the_same_key(post: Post, hook: Receiver) -> None:
    post.write(alert())
    post.send_until(lambda: len(hook.requests) == 1 and post.states() == ["delivered"], desk=hook.url)
    # As if the second half had never happened, and the claim had lapsed since.
    (row,) = post.reader.ask("SELECT id, alert_id FROM delivery")
    with contextlib.closing(sqlite3.connect(post.path)) as db:
        db.execute("UPDATE delivery SET state = 'pending', claimed_until = 0, sent_at = NULL WHERE id = ?", (row[0],))
        db.execute("DELETE FROM delivery_attempt")
        db.commit()
    post.send_until(lambda: post.states() == ["delivered"], desk=hook.url)
    first, again = hook.requests
    assert first.headers["Idempotency-Key"] == again.headers["Idempotency-Key"]


def test_while_a_claim_holds_nobody_else_sends_it(post: Post) -> None:
    post.write(alert())
    (row,) = post.reader.ask("SELECT id FROM delivery")
    assert post.store.claim([row[0]], CLOCK.now() + timedelta(minutes=1)).result(30)
    assert not post.store.claim([row[0]], CLOCK.now() + timedelta(minutes=2)).result(30)


def test_five_hundred_at_once_are_one_message_and_a_repeat_of_it_is_the_same(post: Post, hook: Receiver) -> None:
    post.write(*(incident(f"i{number}") for number in range(500)))
    hook.says(500)
    together = Rules(give_up_seconds=FOR_YEARS, group_seconds=1, digest=5, flap_changes=0)
    post.send_until(lambda: post.states() == ["delivered"] * 500, together, desk=hook.url)
    failed, taken = hook.requests
    assert failed.headers["Idempotency-Key"] == taken.headers["Idempotency-Key"] == "i0/start/1/desk+499"
    assert failed.json["keys"] == taken.json["keys"]
    assert taken.json["headline"].startswith("[500 messages]")


def test_what_stands_is_what_was_told_to_have_begun_and_has_not_ended(post: Post, hook: Receiver) -> None:
    def standing() -> list[str]:
        return [one.name for one in outbox_reader.standing(post.reader.ask, "desk")]

    other = incident("other")
    post.write(alert(), other)
    assert standing() == []
    post.send_until(lambda: post.states() == ["delivered"] * 2, desk=hook.url)
    post.write(alert(AlertKind.SPREAD, 2))
    assert standing() == [other.name, "x-pk-20261122/spread/2"]
    post.write(alert(AlertKind.END, 3))
    assert standing() == [other.name]
    post.write(msgspec.structs.replace(other, kind=AlertKind.RETRACTION))
    assert standing() == []


def test_an_alert_that_is_written_again_is_not_told_again(post: Post, hook: Receiver) -> None:
    post.write(alert())
    post.send_until(lambda: post.states() == ["delivered"], desk=hook.url)
    post.write(alert())
    assert post.states() == ["delivered"]
