"""HTTPS to the centre and nobody else: no redirect, no proxy of the environment, every answer bounded."""

import asyncio
import hmac
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Final
from urllib.parse import urlsplit

import httpx
from pydantic import TypeAdapter, ValidationError

from monitor.config.fields import Url
from monitor.daemon.agent_server import is_loopback

MAX_ANSWER_BYTES: Final = 8 * 1024 * 1024
CONNECT_SECONDS: Final = 10.0
_AROUND_BYTES: Final = 1500  # headers both ways, and a share of the handshake
_URL: Final = TypeAdapter(Url)


class UnreachableError(Exception):
    """No answer that can be trusted came; says nothing about what was sent."""


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Transport:
    """Posts to addresses of the centre. Without a `certificate` (DER) public authorities vouch for it.

    `proxy` is the owner's, for reporting alone; measurements never go through it.
    """

    def __init__(self, certificate: bytes | None, proxy: str | None = None) -> None:
        self._client = _client(_public() if certificate is None else pinned(certificate), proxy)
        self.moved_bytes = 0  # about, both directions

    async def post(self, url: str, body: bytes, headers: Mapping[str, str], seconds: float) -> Answer:
        """Return the answer to a POST; raises UnreachableError for none in time, and for one that is too large."""
        self.moved_bytes += len(body) + _AROUND_BYTES
        sent = {"Accept-Encoding": "identity", "Content-Type": "application/json", **headers}
        try:
            async with asyncio.timeout(seconds):
                async with self._client.stream("POST", url, content=body, headers=sent) as response:
                    answer = Answer(response.status_code, response.headers, await _bounded(response))
        except (httpx.HTTPError, httpx.InvalidURL, OSError, TimeoutError) as error:
            raise UnreachableError(type(error).__name__) from error
        self.moved_bytes += len(answer.body)
        return answer

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()


async def certificate_at(url: str, fingerprint: str, proxy: str | None = None) -> bytes:
    """Return the certificate (DER) that a centre shows, if it has the fingerprint (SHA-256, hex).

    Nothing but a request for `/` is sent before that is known. Raises UnreachableError.
    """
    look = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    look.check_hostname = False
    look.verify_mode = ssl.CERT_NONE
    try:
        async with asyncio.timeout(2 * CONNECT_SECONDS):
            async with _client(look, proxy) as client, client.stream("GET", url) as response:
                shown = response.extensions["network_stream"].get_extra_info("ssl_object").getpeercert(binary_form=True)
    except (httpx.HTTPError, httpx.InvalidURL, OSError, TimeoutError) as error:
        raise UnreachableError(type(error).__name__) from error
    if not shown or not hmac.compare_digest(sha256(shown).hexdigest(), fingerprint):
        raise UnreachableError("the certificate is another one than the invitation names: somebody is in between")
    return bytes(shown)


def pinned(certificate: bytes) -> ssl.SSLContext:
    """Return a context that accepts this certificate (DER) and no other."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False  # the certificate itself is the identity; its names mean nothing here
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.load_verify_locations(cadata=certificate)
    return context


def usable_url(url: str, *, insecure: bool) -> str | None:
    """Return the origin of an address of the centre, None if it may not be used.

    Plain HTTP only on this host, to an onion service, which encrypts by itself, and where the owner asked for it.
    """
    try:
        parts = urlsplit(_URL.validate_python(url))
    except ValidationError:
        return None
    host = parts.hostname or ""
    if parts.path not in {"", "/"} or parts.query or parts.fragment:
        return None
    if parts.scheme == "http" and not (insecure or is_loopback(host) or host.endswith(".onion")):
        return None
    return f"{parts.scheme}://{parts.netloc}"


def _public() -> ssl.SSLContext:
    return ssl.create_default_context()


def _client(context: ssl.SSLContext, proxy: str | None) -> httpx.AsyncClient:
    return httpx.AsyncClient(
        verify=context,
        proxy=proxy,
        timeout=httpx.Timeout(None, connect=CONNECT_SECONDS),
        trust_env=False,
        follow_redirects=False,
    )


async def _bounded(response: httpx.Response) -> bytes:
    """Return the body as it came: nothing is unpacked, so nothing can swell."""
    body = bytearray()
    async for chunk in response.aiter_raw():
        body += chunk
        if len(body) > MAX_ANSWER_BYTES:
            raise UnreachableError(f"the answer is larger than {MAX_ANSWER_BYTES} bytes")
    return bytes(body)
