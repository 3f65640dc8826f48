"""`webhook`: JSON of our own (docs/alerts.md), signed with HMAC-SHA256 over time and body."""

import hashlib
import hmac
from collections.abc import Sequence
from datetime import datetime

import msgspec

from monitor.alerts.channel import Answer, Message
from monitor.alerts.http_post import client, post
from monitor.config.alerting import WebhookChannel
from monitor.model.alert import Alert

SCHEMA = 1


class Posted(msgspec.Struct, frozen=True, kw_only=True):
    """The body of a webhook."""

    version: int = SCHEMA
    key: str  # the same however often it is sent
    sent_at: datetime
    is_late: bool  # sent much later than it happened; each alert has its own time
    headline: str
    text: str
    language: str
    link: str | None
    keys: tuple[str, ...]  # of each alert on this channel, in the order of `alerts`
    alerts: tuple[Alert, ...]


class Webhook:
    """Posts to one address."""

    def __init__(self, config: WebhookChannel) -> None:
        self._config = config
        self._client = client(config.ca_file)

    async def send(self, message: Message) -> Answer:
        """Send one message."""
        posted = Posted(
            key=message.key,
            sent_at=message.sent_at,
            is_late=message.is_late,
            headline=message.headline,
            text=message.text,
            language=message.language,
            link=message.link,
            keys=message.keys,
            alerts=message.alerts,
        )
        body = msgspec.json.encode(posted)
        headers = {"Content-Type": "application/json", "Idempotency-Key": message.key}
        if self._config.token is not None:
            headers["Authorization"] = f"Bearer {self._config.token.get_secret_value()}"
        if self._config.secret is not None:
            secret = self._config.secret.get_secret_value()
            headers["Monitor-Signature"] = signature(secret, int(message.sent_at.timestamp()), body)
        return await post(self._client, self._config.url, body, headers)

    async def stand(self, alerts: Sequence[tuple[Alert, str]], now: datetime) -> None:
        """Do nothing: whoever was told remembers."""

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()


def signature(secret: str, seconds: int, body: bytes) -> str:
    """Return the header that proves who sent a body and when: HMAC-SHA256 over `SECONDS.BODY`, in hexadecimal."""
    proof = hmac.new(secret.encode(), f"{seconds}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={seconds},v1={proof}"


def build(config: WebhookChannel) -> Webhook:
    """Build the channel."""
    return Webhook(config)
