"""The http step: one GET and its response over a connection already measured.

Only what rules read is kept as fields: the names of headers, the values of `KEPT_HEADERS`, the title, whether the
expected text is there. The rest is evidence. `text` is searched with RE2, in time linear in the body, and the body is
at most the cap; the whole answer, headers included, has one deadline and one bound on bytes.
"""

import asyncio
import hashlib
import html
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

import httpx

from monitor.model.failure import TOO_MANY_REDIRECTS, Failure
from monitor.model.observation import FailureDetail, HttpObservation, Purpose
from monitor.model.pattern import is_found
from monitor.model.seams import Clock, Stream
from monitor.network.decoding import ACCEPT_ENCODING, Body
from monitor.network.failures import NETWORK_ERRORS, failure_of
from monitor.network.recorder import Recorder
from monitor.network.web_url import WebUrl
from monitor.network.wire import MeasuredTransport

KEPT_HEADERS: Final = frozenset(
    {
        "alt-svc", "cf-mitigated", "content-language", "content-length", "content-type", "last-modified", "retry-after",
        "server", "via", "x-squid-error",
    }
)  # fmt: skip
REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
HEADERS_KEPT: Final = 64
NAME_LENGTH, VALUE_LENGTH, TITLE_LENGTH = 64, 256, 256
_OVERHEAD_BYTES: Final = 262_144  # headers, framing and TLS records of an answer whose body is at the cap
_COOKIES_KEPT, _COOKIE_LENGTH = 50, 4096
_STILL_RECEIVING_SECONDS: Final = 2.0
_TITLE: Final = re.compile(rb"<title\b[^>]{0,512}>([^<]{0,4096})", re.IGNORECASE)


@dataclass(slots=True)
class CookieJar:
    """Cookies of one redirect chain: they go back to the very host that set them, and never from TLS to cleartext."""

    _cookies: dict[tuple[str, str], tuple[str, bool]] = field(default_factory=dict)

    def take(self, url: WebUrl, set_cookies: Sequence[str]) -> None:
        """Keep what `url` set; attributes are not looked at, since a chain lasts seconds."""
        for line in set_cookies:
            pair = line.partition(";")[0].strip()
            name, equals, value = pair.partition("=")
            is_fit = name and equals and len(pair) <= _COOKIE_LENGTH and pair.isascii() and pair.isprintable()
            if is_fit and len(self._cookies) < _COOKIES_KEPT:
                self._cookies[url.host, name] = (value, url.is_tls)

    def header(self, url: WebUrl) -> str | None:
        """Return the Cookie header for `url`."""
        pairs = [
            f"{name}={value}"
            for (host, name), (value, is_secret) in self._cookies.items()
            if host == url.host and (url.is_tls or not is_secret)
        ]
        return "; ".join(pairs) or None


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """What to ask for, over which connection. `host` replaces the Host header; `text` is looked for in the body."""

    url: WebUrl
    address: str
    port: int
    user_agent: str = ""
    host: str | None = None
    text: str | None = None
    body_bytes: int = 65_536
    may_redirect: bool = True  # otherwise a redirect is one too many
    purpose: Purpose = Purpose.PATH
    hop: int = 0


@dataclass(slots=True)
class _Answer:
    response: httpx.Response | None = None
    body: Body = field(default_factory=lambda: Body("", 0))


async def exchange(
    clock: Clock, recorder: Recorder, stream: Stream, asked: Exchange, *, seconds: float,
    cookies: CookieJar | None = None,
) -> HttpObservation:  # fmt: skip
    """GET within `seconds`, headers and body together; `cookies` are sent and taken."""
    started = recorder.elapsed()
    began = clock.monotonic()
    sent, received = stream.bytes_sent, stream.bytes_received
    transport = MeasuredTransport(clock, stream, byte_limit=2 * asked.body_bytes + _OVERHEAD_BYTES)
    cookie = cookies.header(asked.url) if cookies is not None else None
    request = request_for(asked.url, asked.host or asked.url.authority, asked.user_agent, cookie)
    answer = _Answer()
    failure: str | None = None
    detail: FailureDetail | None = None
    try:
        async with asyncio.timeout(seconds):
            await _fetch(transport, request, asked.body_bytes, answer)
    except NETWORK_ERRORS as error:
        failure, detail = failure_of(error)
        last = transport.last_byte_at
        if isinstance(error, TimeoutError) and last and clock.monotonic() - last < _STILL_RECEIVING_SECONDS:
            detail = FailureDetail(reason="still_receiving")  # slow, which is not silent
    response, body = answer.response, answer.body.content
    location: str | None = None
    if response is not None:
        if cookies is not None:
            cookies.take(asked.url, response.headers.get_list("set-cookie"))
        if failure is None and response.status_code in REDIRECTS and "location" in response.headers:
            location, failure = _redirect(asked, recorder, response.headers["location"])
    first = transport.first_byte_at
    return HttpObservation(
        purpose=asked.purpose,
        hop=asked.hop,
        started_seconds=started,
        elapsed_seconds=round(recorder.elapsed() - started, 6),
        failure=failure,
        detail=detail,
        evidence=(recorder.keep("http_response", _raw(response, body)),) if response is not None else (),
        url=asked.url.text,
        address=asked.address,
        port=asked.port,
        is_tls=asked.url.is_tls,
        http_version=response.extensions["http_version"] if response is not None else None,
        status_code=response.status_code if response is not None else None,
        header_names=_names(response) if response is not None else (),
        headers=_kept(recorder, response) if response is not None else (),
        location=location,
        title=_title(recorder, body),
        body_bytes=len(body),
        body_is_truncated=answer.body.is_truncated or (failure is not None and location is None and bool(body)),
        body_digest=hashlib.sha256(body).hexdigest()[:32] if response is not None else None,
        text_found=is_found(asked.text, body) if asked.text is not None and response is not None else None,
        first_byte_seconds=round(first - began, 6) if first is not None else None,
        bytes_sent=stream.bytes_sent - sent,
        bytes_received=stream.bytes_received - received,
    )


async def _fetch(transport: MeasuredTransport, request: httpx.Request, limit: int, answer: _Answer) -> None:
    """Fill `answer` as far as it comes, so that what arrived before a failure is not lost."""
    answer.response = await transport.handle_async_request(request)
    answer.body = Body(answer.response.headers.get("content-encoding", ""), limit)
    async for chunk in answer.response.stream:  # type: ignore[union-attr]  # an async transport gives an async stream
        if answer.body.add(chunk):
            return


@lru_cache(maxsize=4096)
def request_for(url: WebUrl, host: str, user_agent: str, cookie: str | None) -> httpx.Request:
    """Return the GET of an ordinary client; an empty `user_agent` sends no such header."""
    headers = [
        ("Host", host),
        ("User-Agent", user_agent),
        ("Accept", "text/html,application/xhtml+xml,*/*;q=0.8"),
        ("Accept-Language", "en"),
        ("Accept-Encoding", ACCEPT_ENCODING),
        ("Connection", "close"),
        ("Cookie", cookie or ""),
    ]
    return httpx.Request("GET", url.parsed, headers=[(name, value) for name, value in headers if value])


def _redirect(asked: Exchange, recorder: Recorder, reference: str) -> tuple[str | None, str | None]:
    """Return where a redirect leads and what is wrong with it."""
    try:
        leads_to = asked.url.join(reference).text
    except ValueError:
        return None, Failure.HTTP_INVALID_REDIRECT_LOCATION_HOST
    return recorder.text(leads_to, len(leads_to)), None if asked.may_redirect else TOO_MANY_REDIRECTS


def _names(response: httpx.Response) -> tuple[str, ...]:
    names = {name.decode(errors="replace").lower()[:NAME_LENGTH] for name, _ in response.headers.raw}
    return tuple(sorted(names)[:HEADERS_KEPT])


def _kept(recorder: Recorder, response: httpx.Response) -> tuple[tuple[str, str], ...]:
    pairs = [(name.decode(errors="replace").lower(), value) for name, value in response.headers.raw]
    kept = [(name, recorder.text(value, VALUE_LENGTH)) for name, value in pairs if name in KEPT_HEADERS]
    return tuple(sorted(kept)[:HEADERS_KEPT])


def _title(recorder: Recorder, body: bytes) -> str | None:
    title = page_title(body)
    return None if title is None else recorder.text(title, TITLE_LENGTH)


def page_title(body: bytes) -> str | None:
    """Return what stands in the first title element of a page, as it came."""
    # bytes.find is many times faster than a search that ignores case, and most of a page is not its title.
    begin = body.lower().find(b"<title")
    if begin < 0 or not (found := _TITLE.match(body, begin)):
        return None
    return html.unescape(found[1].decode(errors="replace"))


def _raw(response: httpx.Response, body: bytes) -> bytes:
    """Return status line, headers without what cookies hold, and the decoded body."""
    lines = [f"HTTP/{response.extensions['http_version']} {response.status_code}".encode()]
    lines += [name + b": " + (b"" if name.lower() == b"set-cookie" else value) for name, value in response.headers.raw]
    return b"\r\n".join((*lines, b"", body))
