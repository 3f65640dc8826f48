"""Where agents are heard: bounds, signatures and rates, before `fleet.py` looks at what is said.

    known id? ─▶ small enough? ─▶ signed by its key? ─▶ just now? ─▶ not revoked? ─▶ not too often? ─▶ fleet

A body is read only for an id that is enrolled, and ids cannot be guessed. Every answer is signed. Nothing here writes
down who asked from where: no access log, no address in a metric, an error or the database.
"""

import asyncio
import hmac
import logging
import re
import secrets
import sqlite3
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Final

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect
from starlette.requests import Request as HttpRequest
from starlette.responses import Response
from starlette.routing import Route

from monitor.config.schema import IngestConfig
from monitor.daemon.agent_server import Bucket
from monitor.daemon.batch import MAX_BYTES, BatchError, read_batch
from monitor.daemon.fleet import Fleet, NotConfiguredError, ReplayedError, StoreBusyError, UnknownTargetError, plain
from monitor.exporter.exporter import Exporter
from monitor.model.agent import Agent
from monitor.model.fleet import CheckIn, ControlQuestion, Enrolled, Enrolment, Refusal
from monitor.model.seams import Clock
from monitor.network.message_signatures import SignatureError, claimed_key, sign_answer, verify_request
from monitor.store import fleet_reader
from monitor.store.reader import Reader
from monitor.store.store import Store

log = logging.getLogger("monitor.ingest")

KEY_ID: Final = "centre"
CLOCK_SECONDS: Final = 300.0  # a signature is good for so long, before and after it was made
MAX_SMALL_BYTES: Final = 256 * 1024
BATCHES: Final = 8  # unpacked at the same time; the others wait for their turn, but not until their agents give up
TURN_SECONDS: Final = 10.0
LARGE_BODIES: Final = 16
UNPACKED_BODIES: Final = 2
SMALL_SECONDS: Final = 10.0
LARGE_SECONDS: Final = 120.0
BURST: Final = 10  # times the rate of an agent
ENROLMENTS_A_SECOND: Final = 2.0
CONTROLS_A_SECOND: Final = 0.5  # of one agent
MAX_AGENT_BUCKETS: Final = 10_000
STORE_BACKOFF_SECONDS: Final = 15
BUSY_BACKOFF_SECONDS: Final = 10
NOT_CONFIGURED_BACKOFF_SECONDS: Final = 300
_TOKEN: Final = re.compile(r"(?P<id>[a-z0-9]{8,32})\.(?P<secret>[A-Za-z0-9_-]{22,86})")
_MAX_FEATURES: Final = 64
_read_enrolment: Final = msgspec.json.Decoder(Enrolment).decode
_read_check_in: Final = msgspec.json.Decoder(CheckIn).decode
_read_question: Final = msgspec.json.Decoder(ControlQuestion).decode
_MAX_SIGNATURE: Final = 512
_KEY_BYTES: Final = 32


class RefusedError(Exception):
    """A request that is not taken: status, word (`Refusal.error`), and when to come again."""

    def __init__(self, status: int, error: str, retry_seconds: int | None = None) -> None:
        super().__init__(error)
        self.status = status
        self.error = error
        self.retry_seconds = retry_seconds


@dataclass(frozen=True)
class _Heard:
    """A request that its agent signed."""

    agent: Agent
    body: bytes
    at: datetime  # when all of it was here


class Ingest:
    """The app on the ingest listener."""

    def __init__(
        self,
        fleet: Fleet,
        key: Ed25519PrivateKey,
        *,
        settings: Callable[[], IngestConfig],
        vantages: Callable[[], frozenset[str]],
        store: Store,
        reader: Reader,
        clock: Clock,
        exporter: Exporter,
    ) -> None:
        self._fleet = fleet
        self._key = key
        self._settings = settings
        self._vantages = vantages
        self._store = store
        self._reader = reader
        self._clock = clock
        self._exporter = exporter
        self._batches = asyncio.Semaphore(BATCHES)
        self._large = asyncio.Semaphore(LARGE_BODIES)
        self._unpacking = asyncio.Semaphore(UNPACKED_BODIES)
        self._enrolling = asyncio.Lock()
        self._enrolments = Bucket(ENROLMENTS_A_SECOND, int(BURST * ENROLMENTS_A_SECOND), clock)
        self._buckets: dict[tuple[str, str, float], Bucket] = {}

    def app(self) -> Starlette:
        """Return the app."""
        answers = {
            "/v1/enrol": self._enrol,
            "/v1/check-in": self._check_in,
            "/v1/control": self._control,
            "/v1/batch": self._batch,
        }
        return Starlette(
            routes=[Route(path, self._route(answer), methods=["POST"]) for path, answer in answers.items()]
        )

    def _route(
        self, answer: Callable[[HttpRequest], Awaitable[msgspec.Struct]]
    ) -> Callable[[HttpRequest], Awaitable[Response]]:
        async def respond(request: HttpRequest) -> Response:
            try:
                return self._signed(200, await answer(request))
            except RefusedError as error:
                refused = error
            except ReplayedError:
                refused = RefusedError(409, "replayed")
            except UnknownTargetError:
                refused = RefusedError(404, "unknown_target")
            except NotConfiguredError:
                refused = RefusedError(503, "not_configured", NOT_CONFIGURED_BACKOFF_SECONDS)
            except (StoreBusyError, sqlite3.Error):
                refused = RefusedError(503, "store", STORE_BACKOFF_SECONDS)
            except (BatchError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
                refused = RefusedError(400, "malformed")
            except ClientDisconnect:
                refused = RefusedError(400, "disconnected")
            self._exporter.refused(refused.error)
            return self._signed(
                refused.status,
                Refusal(
                    error=refused.error,
                    server_time=self._clock.now(),
                    answers=request.headers.get("signature", "")[:_MAX_SIGNATURE],
                ),
                refused.retry_seconds,
            )

        return respond

    def _signed(self, status: int, value: msgspec.Struct, retry_seconds: int | None = None) -> Response:
        body = msgspec.json.encode(value)
        headers = sign_answer(self._key, KEY_ID, status, body, at=self._clock.now())
        if retry_seconds is not None:
            headers["Retry-After"] = str(retry_seconds)
        return Response(body, status, headers, media_type="application/json")

    async def _check_in(self, request: HttpRequest) -> msgspec.Struct:
        heard = await self._heard(request, MAX_SMALL_BYTES)
        return await self._fleet.check_in(heard.agent, _read_check_in(heard.body))

    async def _control(self, request: HttpRequest) -> msgspec.Struct:
        heard = await self._heard(request, MAX_SMALL_BYTES)
        self._take("control", heard.agent, CONTROLS_A_SECOND)
        return await self._fleet.control(heard.agent, _read_question(heard.body))

    async def _batch(self, request: HttpRequest) -> msgspec.Struct:
        heard = await self._heard(request, MAX_BYTES)
        try:
            await asyncio.wait_for(self._batches.acquire(), TURN_SECONDS)
        except TimeoutError:
            raise RefusedError(503, "busy", BUSY_BACKOFF_SECONDS) from None
        try:
            async with self._unpacking:
                batch = await asyncio.to_thread(read_batch, heard.body)
            if batch.head.agent_id != heard.agent.id:
                raise RefusedError(400, "malformed")
            return await self._fleet.take(heard.agent, batch, heard.at)
        finally:
            self._batches.release()

    async def _enrol(self, request: HttpRequest) -> msgspec.Struct:
        if not self._enrolments.take():
            raise RefusedError(429, "rate", BUSY_BACKOFF_SECONDS)
        asked = _read_enrolment(await self._body(request, MAX_SMALL_BYTES))
        given = _TOKEN.fullmatch(asked.token)
        if given is None:
            raise RefusedError(401, "token")
        if len(asked.public_key) != _KEY_BYTES or len(asked.features) > _MAX_FEATURES:
            raise RefusedError(400, "malformed")
        async with self._enrolling:
            agent = await self._enrolled(asked, given["id"], given["secret"])
        return Enrolled(
            agent_id=agent.id,
            vantage=agent.vantage,
            centre_public_key=self._key.public_key().public_bytes_raw(),
            ingest_urls=self._settings().urls,
            server_time=self._clock.now(),
        )

    async def _enrolled(self, asked: Enrolment, token_id: str, secret: str) -> Agent:
        """Return the agent that a token stands for; whoever lost the answer to its enrolment may ask once more."""
        ask, now = self._reader.ask, self._clock.now()
        token = await asyncio.to_thread(fleet_reader.token, ask, token_id)
        is_genuine = token is not None and hmac.compare_digest(sha256(secret.encode()).digest(), token.digest)
        if token is None or not is_genuine or token.expires_at <= now or token.vantage not in self._vantages():
            raise RefusedError(401, "token")
        if token.used_at is not None:
            known = await asyncio.to_thread(fleet_reader.agents, ask)
            for one in known:
                if one.token_id == token_id and one.public_key == asked.public_key and one.revoked_at is None:
                    return one
            raise RefusedError(401, "token")
        agent = Agent(
            id=secrets.token_hex(16),
            vantage=token.vantage,
            token_id=token_id,
            public_key=asked.public_key,
            enrolled_at=now,
            consent_version=max(0, min(asked.consent_version, 1 << 31)),
            consent_at=asked.consent_at if asked.consent_at and asked.consent_at.tzinfo else None,
            software=plain(asked.software),
            features=tuple(map(plain, asked.features)),
        )
        if not await asyncio.wrap_future(self._store.enrol(agent)):
            raise StoreBusyError
        log.info("an agent was enrolled", extra={"vantage": agent.vantage, "agent": agent.id})
        return agent

    async def _heard(self, request: HttpRequest, most_bytes: int) -> _Heard:
        """Return who asks and the body, once all that can be said against it was looked at; raises RefusedError."""
        try:
            agent = await asyncio.to_thread(fleet_reader.agent, self._reader.ask, claimed_key(request.headers))
        except SignatureError:
            raise RefusedError(401, "unsigned") from None
        if agent is None:
            raise RefusedError(401, "unknown_agent")
        body = await self._body(request, most_bytes)
        key = Ed25519PublicKey.from_public_bytes(agent.public_key)
        arguments = (key, request.headers, request.method, request.url.path, body)
        try:
            is_small = len(body) <= MAX_SMALL_BYTES
            signed = verify_request(*arguments) if is_small else await asyncio.to_thread(verify_request, *arguments)
        except SignatureError:
            raise RefusedError(401, "signature") from None
        at = self._clock.now()
        if abs((at - signed.created).total_seconds()) > CLOCK_SECONDS:
            raise RefusedError(401, "clock")
        if agent.revoked_at is not None:
            raise RefusedError(403, "revoked")
        self._take("any", agent, self._settings().rate)
        return _Heard(agent, body, at)

    def _take(self, what: str, agent: Agent, rate: float) -> None:
        key = (what, agent.id, rate)
        if key not in self._buckets:
            if len(self._buckets) >= MAX_AGENT_BUCKETS:
                self._buckets.clear()
            self._buckets[key] = Bucket(rate, max(1, int(BURST * rate)), self._clock)
        if not self._buckets[key].take():
            raise RefusedError(429, "rate", BUSY_BACKOFF_SECONDS)

    async def _body(self, request: HttpRequest, most_bytes: int) -> bytes:
        told = request.headers.get("content-length", "")
        if not told.isascii() or not told.isdigit():
            raise RefusedError(411, "length")
        length = int(told[:20])
        if length > most_bytes:
            raise RefusedError(413, "too_large")
        if length <= MAX_SMALL_BYTES:
            return await _received(request, most_bytes, SMALL_SECONDS)
        if self._large.locked():
            raise RefusedError(503, "busy", BUSY_BACKOFF_SECONDS)
        async with self._large:
            return await _received(request, most_bytes, LARGE_SECONDS)


async def _received(request: HttpRequest, most_bytes: int, seconds: float) -> bytes:
    body = bytearray()
    try:
        async with asyncio.timeout(seconds):
            async for chunk in request.stream():
                body += chunk
                if len(body) > most_bytes:
                    raise RefusedError(413, "too_large")
    except TimeoutError:
        raise RefusedError(408, "slow") from None
    return bytes(body)
