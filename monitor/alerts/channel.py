"""What a channel is given to send, and what it answers; a failure of the other side is a value."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final, Protocol

import msgspec

from monitor.model.alert import Alert, Result

LONGEST_RETRY_AFTER_SECONDS: Final = 6 * 3600.0


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """One message, which may tell of several alerts. `key` stays the same however often it is sent."""

    key: str
    headline: str
    text: str
    alerts: tuple[Alert, ...]
    language: str = "en"
    is_right_to_left: bool = False
    is_late: bool = False
    sent_at: datetime
    link: str | None = None
    keys: tuple[str, ...] = ()  # of the alerts' own messages, in their order


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """How it went. `detail` is ours to show: it holds no secret, and nothing raw from the other side."""

    result: Result
    detail: str
    code: int | None = None
    retry_after_seconds: float | None = None


class Channel(Protocol):
    """A way to tell people."""

    async def send(self, message: Message) -> Answer:
        """Send once; whatever happens is an answer. Called for one message at a time, and cancelled when it is late."""
        ...

    async def stand(self, alerts: Sequence[tuple[Alert, str]], now: datetime) -> Answer | None:
        """Tell again what has not ended, each with its headline; None where the other side forgets nothing."""
        ...

    async def close(self) -> None:
        """Let go of what the channel holds."""
        ...
