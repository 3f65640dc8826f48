"""A vantage elsewhere: `monitor agent serve`, asked over TLS with a pinned certificate, or `monitor agent run`.

The first is how a control is had. The second measures on its own and pushes what it saw; here it is but a name.
"""

import asyncio
import hmac
import socket
import ssl
from datetime import UTC, datetime
from hashlib import sha256
from typing import TypeVar
from urllib.parse import urlsplit

import httpx
import msgspec

from monitor.config.schema import AgentOptions, VantageConfig
from monitor.model.measurement import Evidence, Recording, Request
from monitor.model.seams import VantageError
from monitor.model.vantage import VantageCheck, VantageInfo
from monitor.vantages._parts import Parts

_Answer = TypeVar("_Answer")

MAX_ANSWER_BYTES = 8 * 1024 * 1024
# measurement.md gives a control 30 s; a whole measurement elsewhere has the same bound as here, and the way back.
ANSWER_SECONDS = 60.0


def build(name: str, config: VantageConfig, parts: Parts) -> "AgentVantage | PushingVantage":
    """Build the vantage; the network is not touched until the first measurement."""
    if not isinstance(config, AgentOptions):
        raise TypeError(type(config))
    info = VantageInfo(name=name, kind=config.kind, role=config.role, country=config.country, claimed_asn=config.asn)
    if config.url is None or config.token is None:
        return PushingVantage(info)
    return AgentVantage(info, config, config.url, config.token.get_secret_value(), parts)


class PushingVantage:
    """Satisfies `Vantage` in name: whoever asks it is told that it cannot be asked."""

    def __init__(self, info: VantageInfo) -> None:
        self.info = info

    async def measure(self, _: Request) -> Recording:
        """Raise VantageError."""
        raise self._refusal()

    async def check(self) -> VantageCheck:
        """Raise VantageError."""
        raise self._refusal()

    async def close(self) -> None:
        """Hold nothing to let go of."""

    def _refusal(self) -> VantageError:
        return VantageError(f"agent {self.info.name}: measures on its own, and cannot be asked", "vantage_unready")


class AgentVantage:
    """Satisfies `Vantage`. An agent that cannot be used raises VantageError and says nothing about a target."""

    def __init__(self, info: VantageInfo, options: AgentOptions, url: str, token: str, parts: Parts) -> None:
        self.info = info
        self._options = options
        self._url = url
        self._token = token
        self._new_id = parts.ids.new
        self._clock = parts.clock
        self._client: httpx.AsyncClient | None = None
        self._connecting = asyncio.Lock()
        self._slots = asyncio.Semaphore(options.concurrency)

    async def measure(self, request: Request) -> Recording:
        """Have the agent measure; the recording comes back under this vantage's name and an id of ours."""
        request = msgspec.structs.replace(request, resolvers=self._options.resolvers)
        async with self._slots:
            asked_at = self._clock.now()
            recording = await self._ask("/v1/measure", msgspec.json.encode(request), Recording)
        measurement = msgspec.structs.replace(
            recording.measurement,
            id=self._new_id(self._clock.now()),  # by our clock: ids keep their order whatever the agent believes
            vantage=self.info.name,
            started_at=self._between(asked_at, recording.measurement.started_at),
            target=request.target.name,
            url=request.target.url,
        )
        return Recording(measurement=measurement, evidence=genuine(recording.evidence))

    async def check(self) -> VantageCheck:
        """Have the agent run its own sanity checks."""
        asked_at = self._clock.now()
        check = await self._ask("/v1/check", b"{}", VantageCheck)
        # No reason is taken from there: the far side may say anything.
        return msgspec.structs.replace(
            check, vantage=self.info.name, started_at=self._between(asked_at, check.started_at), reason=None
        )

    def _between(self, asked_at: datetime, told: datetime) -> datetime:
        """Return when the agent began, no earlier than asked and no later than now.

        A wrong clock there must not make what it saw the latest for years, or the oldest.
        """
        now = self._clock.now()
        told = told.replace(tzinfo=UTC) if told.tzinfo is None else told
        return max(asked_at, min(told, now))

    async def close(self) -> None:
        """Close the connections to the agent."""
        if self._client is not None:
            await self._client.aclose()
            self._client = None

    async def _ask(self, path: str, body: bytes, kind: type[_Answer]) -> _Answer:
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                client = await self._connected()
                async with client.stream("POST", path, content=body) as response:
                    answer = bytearray()
                    async for chunk in response.aiter_bytes():
                        answer += chunk
                        if len(answer) > MAX_ANSWER_BYTES:
                            raise VantageError(
                                f"agent {self.info.name}: the answer is larger than {MAX_ANSWER_BYTES} B"
                            )
                    if response.status_code != httpx.codes.OK:
                        raise VantageError(f"agent {self.info.name}: answered {response.status_code}")
            return msgspec.json.decode(bytes(answer), type=kind)
        except (httpx.HTTPError, OSError, TimeoutError) as error:
            raise VantageError(f"agent {self.info.name}: {type(error).__name__}") from error
        except msgspec.MsgspecError as error:
            raise VantageError(f"agent {self.info.name}: the answer is not in the agreed form") from error

    async def _connected(self) -> httpx.AsyncClient:
        async with self._connecting:
            if self._client is None:
                context: ssl.SSLContext | bool = False
                if urlsplit(self._url).scheme == "https":
                    context = await asyncio.to_thread(pinned_context, self._url, self._options.fingerprint or "")
                self._client = httpx.AsyncClient(
                    base_url=self._url,
                    headers={"Authorization": f"Bearer {self._token}"},
                    verify=context,
                    timeout=httpx.Timeout(ANSWER_SECONDS, connect=10.0),
                    trust_env=False,
                    follow_redirects=False,
                )
            return self._client


def pinned_context(url: str, fingerprint: str) -> ssl.SSLContext:
    """Fetch the certificate that the agent presents and return a context that accepts it and no other.

    Nothing secret is sent before the certificate has the `fingerprint` (SHA-256 of the DER form, hex, colons allowed).
    Blocks; raises VantageError if the fingerprint differs, OSError if nobody answers.
    """
    parts = urlsplit(url)
    address = (parts.hostname or "", parts.port or 443)
    look = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    look.check_hostname = False
    look.verify_mode = ssl.CERT_NONE
    with socket.create_connection(address, timeout=10) as raw, look.wrap_socket(raw) as tls:
        certificate = tls.getpeercert(binary_form=True) or b""
    expected = fingerprint.replace(":", "").lower()
    if not hmac.compare_digest(sha256(certificate).hexdigest(), expected):
        raise VantageError("the agent's certificate has another fingerprint than the configured one")
    pinned = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    pinned.check_hostname = False  # the certificate itself is the identity; its names mean nothing here
    pinned.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    pinned.load_verify_locations(cadata=certificate)
    return pinned


def genuine(evidence: tuple[Evidence, ...]) -> tuple[Evidence, ...]:
    """Return what really has the digest that it is filed under."""
    return tuple(one for one in evidence if sha256(one.content).hexdigest() == one.sha256)
