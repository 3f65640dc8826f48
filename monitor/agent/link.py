"""The conversation with the centre: questions signed by the agent, answers believed only if the centre signed them."""

import secrets
from datetime import datetime, timedelta
from typing import Final, Protocol, TypeVar

import msgspec

from monitor.agent.identity import Identity
from monitor.agent.transport import Answer, Transport, UnreachableError
from monitor.daemon.kernel_clock import clock_offset
from monitor.model.fleet import ClockReading, Refusal
from monitor.model.seams import Clock
from monitor.network.message_signatures import SignatureError, sign_request, verify_answer

FIRST_AGAIN_SECONDS: Final = 600.0  # how long an address that answered goes before those named earlier
MAX_RETRY_SECONDS: Final = 3600.0


class _Answered(Protocol):
    """Every answer repeats the question's nonce."""

    @property
    def nonce(self) -> str: ...


_Kind = TypeVar("_Kind", bound=_Answered)


class SlowDownError(Exception):
    """The centre, or what stands before it, wants to be left alone for so long."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"asked to wait {seconds:g} s")
        self.seconds = seconds


class TooLargeError(Exception):
    """What was sent is larger than the centre takes."""


class RefusedError(Exception):
    """The centre itself, proved by its signature, will not take what was sent; `word` says why."""

    def __init__(self, word: str) -> None:
        super().__init__(word)
        self.word = word


class Link:
    """Asks the centre. `offset_seconds` is what the agent's clock is behind the centre's, None until it is known."""

    def __init__(self, identity: Identity, transport: Transport, clock: Clock) -> None:
        self._identity = identity
        self._transport = transport
        self._clock = clock
        self._key = identity.private_key
        self._centre_key = identity.centre_public_key
        self._first = 0
        self._first_since = float("-inf")
        self.offset_seconds: float | None = None
        self.contact_at: datetime | None = None  # the last answer that was the centre's

    def now(self) -> datetime:
        """Return the present by the centre's clock as far as it is known."""
        return self._clock.now() + timedelta(seconds=self.offset_seconds or 0.0)

    def reading(self) -> ClockReading:
        """Return what is known of the agent's own clock."""
        _, source = clock_offset()
        synchronised = {"kernel_ntp": True, "unsynchronised": False}.get(source)
        if self.offset_seconds is None:
            return ClockReading(is_synchronised=synchronised)
        return ClockReading(is_synchronised=synchronised, offset_seconds=self.offset_seconds, source="centre")

    async def ask(
        self, path: str, body: bytes, nonce: str, kind: type[_Kind], *, seconds: float, encoding: str | None = None
    ) -> _Kind:
        """Return the centre's answer from the first address that gives one.

        Raises UnreachableError if none does, SlowDownError, TooLargeError and RefusedError for what the centre says.
        """
        urls = self._identity.urls
        start = self._first if self._clock.monotonic() - self._first_since < FIRST_AGAIN_SECONDS else 0
        for turn in range(len(urls)):
            place = (start + turn) % len(urls)
            try:
                answer = await self._ask_at(urls[place], path, body, nonce, kind, seconds=seconds, encoding=encoding)
            except UnreachableError:
                if turn == len(urls) - 1:
                    raise
                continue
            if place != self._first or start == 0:
                self._first, self._first_since = place, self._clock.monotonic()
            return answer
        raise UnreachableError("the centre has no address")

    async def _ask_at(
        self, url: str, path: str, body: bytes, nonce: str, kind: type[_Kind], *, seconds: float, encoding: str | None
    ) -> _Kind:
        for attempt in (1, 2):
            sent_at, began = self._clock.now(), self._clock.monotonic()
            headers = sign_request(self._key, self._identity.agent_id, "POST", path, body, at=self.now())
            if encoding is not None:
                headers |= {"Content-Encoding": encoding, "Content-Type": "application/x-ndjson"}
            answer = await self._transport.post(f"{url}{path}", body, headers, seconds)
            middle = sent_at + timedelta(seconds=(self._clock.monotonic() - began) / 2)
            if answer.status != 200:
                word = self._refusal(answer, headers["Signature"], middle)
                if word == "clock" and attempt == 1:
                    continue
                raise RefusedError(word)
            return self._believed(answer, nonce, kind, middle)
        raise UnreachableError("the clocks differ")

    def _believed(self, answer: Answer, nonce: str, kind: type[_Kind], middle: datetime) -> _Kind:
        try:
            verify_answer(self._centre_key, answer.headers, answer.status, answer.body)
            found = msgspec.json.decode(answer.body, type=kind)
        except (SignatureError, msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise UnreachableError(f"the answer is not the centre's: {type(error).__name__}") from error
        if not secrets.compare_digest(found.nonce.encode(), nonce.encode()):
            raise UnreachableError("the answer is to another question")
        server_time = getattr(found, "server_time", None)
        self._learn(middle, server_time or middle + timedelta(seconds=self.offset_seconds or 0.0))
        return found

    def _refusal(self, answer: Answer, signature: str, middle: datetime) -> str:
        """Return the word of a refusal that the centre signed, of this very request; raises for every other answer."""
        if answer.status == 429:
            raise SlowDownError(_retry_after(answer.headers.get("retry-after", "")))
        if answer.status == 413:
            raise TooLargeError
        if not 400 <= answer.status < 500:
            raise UnreachableError(f"answered {answer.status}")
        try:
            verify_answer(self._centre_key, answer.headers, answer.status, answer.body)
            refusal = msgspec.json.decode(answer.body, type=Refusal)
        except (SignatureError, msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise UnreachableError(f"answered {answer.status}, and it is not the centre that says so") from error
        if refusal.answers != signature:
            raise UnreachableError("the refusal is of another request")
        self._learn(middle, refusal.server_time)
        return refusal.error[:40]

    def _learn(self, middle: datetime, server_time: datetime) -> None:
        """Take in the centre's time; `middle` is when half of the exchange was over, by the agent's clock."""
        if server_time.tzinfo is None:
            raise UnreachableError("a time without a zone")
        self.offset_seconds = round((server_time - middle).total_seconds(), 3)
        self.contact_at = self._clock.now()


def nonce() -> str:
    """Return a word that no earlier question held."""
    return secrets.token_urlsafe(18)


def _retry_after(text: str) -> float:
    """Read delay-seconds (RFC 9110, section 10.2.3); a date, or nothing, counts as half a minute."""
    return min(float(text), MAX_RETRY_SECONDS) if text.isascii() and text.isdigit() and len(text) < 8 else 30.0
