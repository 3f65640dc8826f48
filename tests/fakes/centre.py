"""A centre on loopback: it signs what it says, remembers what it got, and misbehaves on demand."""

import json
import secrets
import ssl
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

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
    Instructions,
    Refusal,
    Rejected,
    Result,
)
from monitor.network.message_signatures import SignatureError, fingerprint, sign_answer, verify_request

PATIENCE_SECONDS = 60.0
T = TypeVar("T")


class Reply(NamedTuple):
    """What goes back over the wire."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Batch(NamedTuple):
    """One batch that came, whether it was acknowledged or not."""

    head: BatchHead
    results: list[Result]
    at: float


class FakeCentre:
    """Every attribute may be changed while it runs; `wait_for` waits for what comes of it."""

    def __init__(self, *, tls: tuple[Path, Path, str] | None = None) -> None:
        self.key = Ed25519PrivateKey.generate()
        self.vantage = "lahore-1"
        self.agent_keys: dict[str, Ed25519PublicKey] = {}
        self.tokens: set[str] = set()
        self.enrolments: list[Enrolment] = []
        self.check_ins: list[CheckIn] = []
        self.batches: list[Batch] = []
        self.questions: list[ControlQuestion] = []
        self.askers: set[str] = set()  # addresses
        self.bodies: list[bytes] = []  # everything that ever came, as it came, batches unpacked
        self.instructions: Instructions | None = None
        self.lease = timedelta(minutes=5)
        self.min_software = ""
        self.clock_offset = timedelta(0)
        self.controls = ControlAnswer(nonce="").controls
        self.urls: tuple[str, ...] = ()
        self.refused_sequences: set[int] = set()
        # In turn, for /v1/batch: answers given before the batch is looked at.
        self.trouble: deque[Reply | Callable[[FakeCentre, str, bytes], Reply]] = deque()
        # What becomes of a signed answer on the way; gets path and answer.
        self.meddle: Callable[[str, Reply], Reply] = lambda _, reply: reply
        self.accept_batches = True
        self._tls = tls
        self._port = 0
        self._lock = threading.Lock()
        self._server: ThreadingHTTPServer | None = None

    # Life.

    @contextmanager
    def running(self) -> Iterator["FakeCentre"]:
        """Serve until the end of the block."""
        self.start()
        try:
            yield self
        finally:
            self.stop()

    def start(self) -> None:
        """Listen, on the same port as before."""
        self._server = ThreadingHTTPServer(("127.0.0.1", self._port), _handler(self))
        self._server.daemon_threads = True
        self._port = self._server.server_port
        if self._tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*self._tls[:2])
            self._server.socket = context.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self) -> None:
        """Refuse connections."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    @property
    def is_down(self) -> bool:
        return self._server is None

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self._port}"

    def invitation(self) -> str:
        """Return a new invitation."""
        token = f"{secrets.token_hex(8)}.{secrets.token_urlsafe(24)}"
        self.tokens.add(token)
        pin = f".{self._tls[2]}" if self._tls else ""
        return f"{self.url}/#{token}.{fingerprint(self.key.public_key())}{pin}"

    # What came.

    @property
    def results(self) -> list[Result]:
        """The results of acknowledged batches, in the order of their arrival."""
        return [result for batch in list(self.batches) for result in batch.results]

    @property
    def keys(self) -> Counter[tuple[str, int]]:
        """How often each result came in an acknowledged batch, by boot and sequence."""
        return Counter((batch.head.boot_id, one.sequence) for batch in list(self.batches) for one in batch.results)

    def of(self, target: str) -> list[Result]:
        """Return the results of a target."""
        return [one for one in self.results if one.recording.measurement.target == target]

    @staticmethod
    def wait_for(question: Callable[[], T | None]) -> T:
        """Ask until the answer is true."""
        end = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < end:
            if answer := question():
                return answer
            time.sleep(0.02)
        raise AssertionError("it never came")

    def wait_for_results(self, target: str, number: int) -> list[Result]:
        """Wait for so many further results of a target; return them."""
        before = len(self.of(target))
        self.wait_for(lambda: len(self.of(target)) >= before + number)
        return self.of(target)[before:]

    def wait_for_check_in(self, number: int = 1) -> CheckIn:
        """Wait for that many further check-ins; return the last."""
        before = len(self.check_ins)
        self.wait_for(lambda: len(self.check_ins) >= before + number)
        return self.check_ins[-1]

    # What is said.

    def now(self) -> datetime:
        return datetime.now(UTC) + self.clock_offset  # noqa: TID251 - a centre has a clock of its own

    def signed(self, value: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Reply:
        """Return a signed answer."""
        body = msgspec.json.encode(value)
        return Reply(status, {**sign_answer(self.key, "centre", status, body, at=self.now()), **(headers or {})}, body)

    def refusal(self, status: int, word: str, signature: str, headers: Mapping[str, str] | None = None) -> Reply:
        """Return a signed refusal of the request that has this Signature header."""
        return self.signed(Refusal(error=word, server_time=self.now(), answers=signature), status, headers)

    def answer(self, path: str, headers: Mapping[str, str], body: bytes) -> Reply:
        """Answer one request."""
        with self._lock:
            if path == "/v1/enrol":
                return self._enrol(msgspec.json.decode(body, type=Enrolment))
            signature = headers.get("signature", "")
            agent, key = next(iter(self.agent_keys.items()))
            try:
                signed = verify_request(key, headers, "POST", path, body)
            except SignatureError:
                return self.refusal(401, "signature", signature)
            if signed.key_id != agent:
                return self.refusal(401, "unknown_agent", signature)
            if abs((signed.created - self.now()).total_seconds()) > 300:
                return self.refusal(401, "clock", signature)
            answers = {"/v1/check-in": self._check_in, "/v1/control": self._control}
            return answers[path](body) if path in answers else self._batch(body, signature)

    def _enrol(self, enrolment: Enrolment) -> Reply:
        if enrolment.token not in self.tokens:
            return self.refusal(401, "token", "")
        self.tokens.remove(enrolment.token)
        self.enrolments.append(enrolment)
        agent = f"a-{secrets.token_hex(6)}"
        self.agent_keys = {agent: Ed25519PublicKey.from_public_bytes(enrolment.public_key)}
        return self.signed(
            Enrolled(
                agent_id=agent,
                vantage=self.vantage,
                centre_public_key=self.key.public_key().public_bytes_raw(),
                ingest_urls=self.urls or (self.url,),
                server_time=self.now(),
            )
        )

    def _check_in(self, body: bytes) -> Reply:
        self.bodies.append(body)
        question = msgspec.json.decode(body, type=CheckIn)
        self.check_ins.append(question)
        given = self.instructions
        if given is not None and given.version == question.config_version:
            given = None
        return self.signed(
            CheckInAnswer(
                nonce=question.nonce,
                server_time=self.now(),
                lease_until=self.now() + self.lease,
                min_software=self.min_software,
                instructions=given,
            )
        )

    def _control(self, body: bytes) -> Reply:
        self.questions.append(question := msgspec.json.decode(body, type=ControlQuestion))
        return self.signed(ControlAnswer(nonce=question.nonce, controls=self.controls))

    def _batch(self, body: bytes, signature: str) -> Reply:
        if self.trouble:
            trouble = self.trouble.popleft()
            return trouble if isinstance(trouble, Reply) else trouble(self, signature, body)
        return self.take(body)

    def take(self, body: bytes, *, accepted: int | None = None) -> Reply:
        """Take a batch and acknowledge it; `accepted` in place of the true number, for a centre that cannot count."""
        head, results = self.read(body)
        refused = [one for one in results if one.sequence in self.refused_sequences]
        known = self.keys
        duplicate = sum((head.boot_id, one.sequence) in known for one in results)
        self.batches.append(Batch(head, [one for one in results if one not in refused], time.monotonic()))
        return self.signed(
            Acknowledgement(
                nonce=head.nonce,
                accepted=len(results) - duplicate - len(refused) if accepted is None else accepted,
                duplicate=duplicate,
                rejected=tuple(Rejected(sequence=one.sequence, reason="malformed") for one in refused),
                server_time=self.now(),
            )
        )

    def read(self, body: bytes) -> tuple[BatchHead, list[Result]]:
        """Unpack a batch."""
        unpacked = zstandard.ZstdDecompressor().decompress(body, max_output_size=64 * 1024 * 1024)
        self.bodies.append(unpacked)
        head_line, *lines = unpacked.splitlines()
        head = msgspec.json.decode(head_line, type=BatchHead)
        results = [msgspec.json.decode(line, type=Result) for line in lines]
        assert head.results == len(results)
        return head, results


def plain(status: int, **headers: str) -> Reply:
    """Return an answer that nobody signed, as a proxy in between gives it."""
    return Reply(status, {name.replace("_", "-"): value for name, value in headers.items()}, b"no")


def _handler(centre: FakeCentre) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._send(plain(404))

        def do_POST(self) -> None:
            centre.askers.add(self.client_address[0])
            if centre.is_down:  # on a connection that was kept open
                self.close_connection = True
                return
            body = self.rfile.read(int(self.headers["Content-Length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            self._send(centre.meddle(self.path, centre.answer(self.path, headers, body)))

        def _send(self, reply: Reply) -> None:
            self.send_response(reply.status)
            for name, value in {"Content-Length": str(len(reply.body)), **reply.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(reply.body)

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    return Handler


def as_json(reply: Reply) -> Any:
    """Return the body of an answer."""
    return json.loads(reply.body)
