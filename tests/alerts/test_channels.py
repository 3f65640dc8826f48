"""Each channel against a real receiver on loopback."""

import asyncio
import contextlib
import email
import smtplib
import ssl
from collections.abc import Awaitable, Callable, Iterator
from email import policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
import trustme
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session
from pydantic import SecretStr

from monitor.alerts import channels
from monitor.alerts.channel import Answer, Channel, Message
from monitor.alerts.channels import alertmanager, apprise, smtp, webhook
from monitor.alerts.channels.smtp import judged
from monitor.config.alerting import (
    CHANNEL_KINDS,
    AlertmanagerChannel,
    AppriseChannel,
    ChannelConfig,
    SmtpChannel,
    WebhookChannel,
)
from monitor.config.checks import kinds_in
from monitor.config.fields import Referenced, Secret
from monitor.model.alert import AlertKind, Result
from tests.alerts.alertmanager import alertmanager as alertmanager_process
from tests.alerts.alertmanager import open_alerts, wait_until
from tests.alerts.receivers import Receiver, receiver
from tests.alerts.samples import INCIDENT, NOW, alert
from tests.ports import free_port

MODULES = (alertmanager, apprise, smtp, webhook)
MESSAGE = Message(
    key="x-pk-20261122/start/1/desk",
    headline="[start] X blocked on 1 of 3 networks measured in Pakistan",
    text="[start] X blocked\nقطع <b>not bold</b>",
    alerts=(alert(),),
    sent_at=NOW,
    keys=("x-pk-20261122/start/1/desk",),
)


def sent(config: ChannelConfig, *messages: Message, wait_seconds: float = 20.0) -> list[Answer]:
    async def send() -> list[Answer]:
        channel = channels.build(config)
        try:
            return [await asyncio.wait_for(channel.send(one), wait_seconds) for one in messages]
        finally:
            await channel.close()

    return asyncio.run(send())


@pytest.fixture
def hook() -> Iterator[Receiver]:
    with receiver() as found:
        yield found


def test_every_kind_of_channel_has_its_keys_and_its_module() -> None:
    assert sorted(CHANNEL_KINDS) == kinds_in("alerts.channels")
    assert sorted(one.__name__.rpartition(".")[2] for one in MODULES) == sorted(CHANNEL_KINDS)


@pytest.mark.parametrize(
    ("status", "headers", "answer"),
    [
        (200, {}, Answer(result=Result.DELIVERED, detail="HTTP 200", code=200)),
        (400, {}, Answer(result=Result.REFUSED, detail="HTTP 400: it will not take this message", code=400)),
        (401, {}, Answer(result=Result.FAILED, detail="HTTP 401", code=401)),
        (503, {}, Answer(result=Result.FAILED, detail="HTTP 503", code=503)),
        (
            429,
            {"Retry-After": "120"},
            Answer(result=Result.FAILED, detail="HTTP 429", code=429, retry_after_seconds=120.0),
        ),
        (
            302,
            {"Location": "http://127.0.0.1:1/"},
            Answer(result=Result.FAILED, detail="HTTP 302: it redirects, which is not followed", code=302),
        ),
    ],
)
def test_a_webhook_tells_what_is_refused_for_good_from_what_is_tried_again(
    hook: Receiver, status: int, headers: dict[str, str], answer: Answer
) -> None:
    hook.answer = lambda _: (status, headers)
    assert sent(WebhookChannel(kind="webhook", url=hook.url), MESSAGE) == [answer]
    (request,) = hook.requests
    assert request.headers["Idempotency-Key"] == MESSAGE.key
    assert "Authorization" not in request.headers


def test_retry_after_may_be_a_date_by_the_clock_of_the_other_side() -> None:
    answer = webhook_answer("Sun, 22 Nov 2026 10:02:00 GMT", "Sun, 22 Nov 2026 10:00:00 GMT")
    assert answer.retry_after_seconds == 120.0
    assert webhook_answer("Sun, 22 Nov 2026 10:02:00 GMT", None).retry_after_seconds is None
    assert webhook_answer("next week", None).retry_after_seconds is None


def webhook_answer(retry_after: str, date: str | None) -> Answer:
    from monitor.alerts.http_post import judged as judged_http  # noqa: PLC0415 - beside its namesake of the mail

    return judged_http(429, retry_after, date)


def test_nobody_there_is_a_failure_and_no_exception() -> None:
    (answer,) = sent(WebhookChannel(kind="webhook", url="http://127.0.0.1:9/"), MESSAGE)
    assert (answer.result, answer.detail) == (Result.FAILED, "no connection (ConnectError)")


class Mailbox:
    """Takes mail, or refuses it with what `reply` says."""

    def __init__(self) -> None:
        self.mails: list[bytes] = []
        self.users: list[str] = []
        self.reply = "250 OK"

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's
        if self.reply.startswith("250"):
            assert isinstance(envelope.content, bytes)
            self.mails.append(envelope.content)
        return self.reply

    def authenticate(self, _server: SMTP, _session: Session, _envelope: Envelope, _kind: str, data: Any) -> AuthResult:
        assert isinstance(data, LoginPassword)
        self.users.append(data.login.decode())
        return AuthResult(success=data.password == b"right", handled=False)


@contextlib.contextmanager
def mail_server(folder: Path) -> Iterator[tuple[Mailbox, SmtpChannel]]:
    """Run a server that wants STARTTLS and a password."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    (folder / "ca.pem").write_bytes(authority.cert_pem.bytes())
    mailbox = Mailbox()
    controller = Controller(
        mailbox,
        hostname="localhost",
        port=(port := free_port()),
        tls_context=context,
        require_starttls=True,
        authenticator=mailbox.authenticate,
        auth_required=True,
    )
    controller.start()
    try:
        yield (
            mailbox,
            SmtpChannel.model_validate(
                {
                    "kind": "smtp",
                    "server": f"localhost:{port}",
                    "user": "desk",
                    "password": Referenced("right"),
                    "sender": "monitor@example.org",
                    "to": ["a@example.org", "b@example.org"],
                    "ca_file": folder / "ca.pem",
                }
            ),
        )
    finally:
        controller.stop()


def with_keys(config: SmtpChannel, **keys: object) -> SmtpChannel:
    return config.model_copy(update=keys)


def content(mail: EmailMessage, kind: str) -> str:
    part = mail.get_body((kind,))
    assert part is not None
    return str(part.get_content())


def test_mail_goes_encrypted_with_an_id_that_repeats_keep(tmp_path: Path) -> None:
    with mail_server(tmp_path) as (mailbox, config):
        urdu = Message(**{**{name: getattr(MESSAGE, name) for name in MESSAGE.__struct_fields__},
                          "language": "ur", "is_right_to_left": True})  # fmt: skip
        answers = sent(config, MESSAGE, MESSAGE, urdu)
    assert [one.detail for one in answers] == ["taken by the server"] * 3
    assert mailbox.users == ["desk"] * 3
    first, again, right = (email.message_from_bytes(one, policy=policy.default) for one in mailbox.mails)
    assert first["Message-ID"] == again["Message-ID"] == "<x-pk-20261122.start.1.desk@example.org>"
    assert first["Subject"] == MESSAGE.headline
    assert content(first, "plain").replace("\r\n", "\n").strip() == MESSAGE.text.strip()
    page = content(right, "html")
    assert 'dir="rtl"' in page
    assert "<b>" not in page


def test_a_mail_server_that_cannot_be_trusted_gets_nothing(tmp_path: Path) -> None:
    with mail_server(tmp_path) as (mailbox, config):
        (answer,) = sent(with_keys(config, ca_file=None), MESSAGE)
    assert answer.detail == "the server's certificate or its TLS cannot be used (SSLCertVerificationError)"
    assert (mailbox.users, mailbox.mails) == ([], [])


@pytest.mark.parametrize(
    ("reply", "password", "result", "code"),
    [
        ("554 no", "right", Result.REFUSED, 554),
        ("451 later", "right", Result.FAILED, 451),
        ("250 OK", "wrong", Result.FAILED, 535),
    ],
)
def test_a_mail_refused_for_good_is_told_from_one_to_be_tried_again(
    tmp_path: Path, reply: str, password: str, result: Result, code: int
) -> None:
    with mail_server(tmp_path) as (mailbox, config):
        mailbox.reply = reply
        (answer,) = sent(with_keys(config, password=Secret(Referenced(password))), MESSAGE)
    assert (answer.result, answer.code) == (result, code)
    assert "no" not in answer.detail.split()


def test_if_one_reader_may_be_reached_later_the_mail_is_tried_again() -> None:
    refused = smtplib.SMTPRecipientsRefused({"a@example.org": (550, b"gone"), "b@example.org": (450, b"busy")})
    assert judged(refused) == Answer(result=Result.FAILED, detail="SMTP 450", code=450)


def test_apprise_delivers_and_tries_every_failure_again(hook: Receiver) -> None:
    address = hook.url.replace("http://", "json://")
    config = AppriseChannel.model_validate({"kind": "apprise", "address": Referenced(address)})
    hook.says(400)
    assert [one.result for one in sent(config, MESSAGE, MESSAGE)] == [Result.FAILED, Result.DELIVERED]
    assert hook.taken[0].json["title"] == MESSAGE.headline
    assert hook.taken[0].json["message"] == MESSAGE.text


def test_a_word_that_apprise_does_not_know_is_refused_without_being_shown() -> None:
    config = AppriseChannel.model_validate({"kind": "apprise", "address": Referenced("nosuch://secret@example.org")})
    (answer,) = sent(config, MESSAGE)
    assert (answer.result, "secret" in answer.detail) == (Result.REFUSED, False)


def test_a_real_alertmanager_is_told_told_again_and_resolved(hook: Receiver, tmp_path: Path) -> None:
    hook.answer = lambda _: (200, {})
    start = alert(at=NOW)
    end = alert(AlertKind.END, 2, at=NOW.replace(hour=19))

    async def tell(url: str, work: Callable[[Channel], Awaitable[Answer | None]]) -> Answer | None:
        channel = channels.build(AlertmanagerChannel(kind="alertmanager", url=url))
        try:
            return await work(channel)
        finally:
            await channel.close()

    def message(about: Any) -> Message:
        return Message(key="k", headline="X blocked", text="", alerts=(about,), sent_at=far)

    far = NOW.replace(year=2100)  # so that it stands whatever the clock says
    with alertmanager_process(tmp_path, hook, free_port()) as url:
        asyncio.run(tell(url, lambda channel: channel.send(message(start))))
        hook.wait_for(1)
        asyncio.run(tell(url, lambda channel: channel.stand([(start, "X blocked")], far)))
        (open_,) = open_alerts(url)
        assert open_["labels"]["incident"] == INCIDENT.id
        asyncio.run(tell(url, lambda channel: channel.send(message(end))))
        wait_until(lambda: any(one.json["status"] == "resolved" for one in hook.taken))
    assert [one.json["status"] for one in hook.taken] == ["firing", "resolved"]
    assert {one.json["alerts"][0]["labels"]["incident"] for one in hook.taken} == {INCIDENT.id}


def test_secrets_print_as_a_placeholder() -> None:
    config = WebhookChannel.model_validate(
        {"kind": "webhook", "url": "https://example.org/", "secret": Referenced("s3cret")}
    )
    assert isinstance(config.secret, SecretStr)
    assert "s3cret" not in f"{config!r} {config}"
