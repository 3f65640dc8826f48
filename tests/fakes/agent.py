"""An agent that says what a test wants: it enrols, signs and sends, and measures nothing."""

import secrets
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, TypeVar

import httpx
import msgspec
import zstandard
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from monitor.model.fleet import (
    Acknowledgement,
    BatchHead,
    CheckIn,
    CheckInAnswer,
    ControlAnswer,
    ControlQuestion,
    Enrolled,
    Enrolment,
    Refusal,
    Result,
)
from monitor.model.invitation import Invitation, invitation_from
from monitor.model.measurement import Recording
from monitor.model.vantage import VantageState
from monitor.network.clock import SystemClock
from monitor.network.message_signatures import fingerprint, sign_request, verify_answer
from monitor.vantages.agent import pinned_context

Answer = TypeVar("Answer")
SOFTWARE = "access-monitor/0.1.0"


class RefusedError(Exception):
    """The centre refused; status and what it said, whose signature was good."""

    def __init__(self, status: int, refusal: Refusal, retry_after: str | None) -> None:
        super().__init__(f"{status} {refusal.error}")
        self.status = status
        self.refusal = refusal
        self.retry_after = retry_after


class FakeAgent:
    """Enrols when it is made; its own clock is `clock_offset` ahead, and it calls from the address `source`."""

    def __init__(self, invitation: str, *, clock_offset: timedelta = timedelta(0), source: str = "127.0.0.1") -> None:
        self.invitation: Invitation = invitation_from(invitation)
        self.key = Ed25519PrivateKey.generate()
        self._source = source
        self.boot = secrets.token_hex(8)
        self.clock_offset = clock_offset
        self.batches = 0
        self._clock = SystemClock()
        certificate = self.invitation.certificate_fingerprint
        self._verify = pinned_context(self.invitation.url, certificate) if certificate else False
        self.centre: Ed25519PublicKey | None = None
        self.enrolled = self.enrol()

    @property
    def id(self) -> str:
        return self.enrolled.agent_id

    def now(self) -> datetime:
        return self._clock.now() + self.clock_offset

    def monotonic(self) -> float:
        return self._clock.boottime()

    def enrol(self) -> Enrolled:
        asked = Enrolment(
            token=self.invitation.token,
            public_key=self.key.public_key().public_bytes_raw(),
            software=SOFTWARE,
            features=("web",),
            consent_version=1,
            consent_at=self.now(),
        )
        response = self.post("/v1/enrol", msgspec.json.encode(asked))
        if response.status_code != 200:
            raise RefusedError(response.status_code, msgspec.json.decode(response.content, type=Refusal), None)
        enrolled = msgspec.json.decode(response.content, type=Enrolled)
        self.centre = Ed25519PublicKey.from_public_bytes(enrolled.centre_public_key)
        assert fingerprint(self.centre) == self.invitation.key_fingerprint
        verify_answer(self.centre, response.headers, 200, response.content)
        return enrolled

    def check_in(self, **said: Any) -> CheckInAnswer:
        words: dict[str, Any] = {
            "nonce": secrets.token_hex(8),
            "sent_at": self.now(),
            "software": SOFTWARE,
            "state": VantageState.ONLINE,
        } | said
        return self.ask("/v1/check-in", msgspec.json.encode(CheckIn(**words)), CheckInAnswer)

    def control(self, target: str, **said: Any) -> ControlAnswer:
        asked = ControlQuestion(nonce=secrets.token_hex(8), target=target, **said)
        return self.ask("/v1/control", msgspec.json.encode(asked), ControlAnswer)

    def send(self, rows: Iterable[Result | bytes], **said: Any) -> Acknowledgement:
        return self.ask("/v1/batch", self.packed(rows, **said), Acknowledgement)

    def packed(self, rows: Iterable[Result | bytes], **said: Any) -> bytes:
        """Return a batch as it is sent; a result may be given as bytes of any kind."""
        lines = [one if isinstance(one, bytes) else msgspec.json.encode(one) for one in rows]
        self.batches += 1
        words: dict[str, Any] = {
            "agent_id": self.id,
            "boot_id": self.boot,
            "batch_sequence": self.batches,
            "nonce": secrets.token_hex(8),
            "sent_at": self.now(),
            "software": SOFTWARE,
            "results": len(lines),
            "monotonic_seconds": self.monotonic(),
        } | said
        head = msgspec.json.encode(BatchHead(**words))
        return zstandard.compress(b"\n".join([head, *lines, b""]))

    def result(self, sequence: int, recording: Recording, *, age_seconds: float = 0.0, **said: Any) -> Result:
        """Return a result that began so long ago by the agent's clock."""
        began = self.now() - timedelta(seconds=age_seconds)
        measurement = msgspec.structs.replace(recording.measurement, started_at=began)
        words: dict[str, Any] = {
            "monotonic_seconds": self.monotonic() - age_seconds,
            "state_before": VantageState.ONLINE,
            "state_after": VantageState.ONLINE,
        } | said
        return Result(sequence=sequence, recording=msgspec.structs.replace(recording, measurement=measurement), **words)

    def post(self, path: str, body: bytes, headers: Mapping[str, str] | None = None) -> httpx.Response:
        transport = httpx.HTTPTransport(verify=self._verify, local_address=self._source)
        with httpx.Client(base_url=self.invitation.url, transport=transport, trust_env=False, timeout=30) as http:
            return http.post(path, content=body, headers=headers)

    def ask(
        self,
        path: str,
        body: bytes,
        kind: type[Answer],
        *,
        key: Ed25519PrivateKey | None = None,
        signed_at: datetime | None = None,
        signed_body: bytes | None = None,
    ) -> Answer:
        """Ask; another key, time or body than what is sent is for tests that forge."""
        headers = sign_request(
            key or self.key,
            self.id,
            "POST",
            path,
            body if signed_body is None else signed_body,
            at=signed_at or self._clock.now(),
        )
        response = self.post(path, body, headers)
        assert self.centre is not None
        verify_answer(self.centre, response.headers, response.status_code, response.content)
        if response.status_code != 200:
            refusal = msgspec.json.decode(response.content, type=Refusal)
            assert refusal.answers == headers["Signature"]
            raise RefusedError(response.status_code, refusal, response.headers.get("retry-after"))
        return msgspec.json.decode(response.content, type=kind)
