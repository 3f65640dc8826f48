"""What web servers answer: good pages, refusals, challenges, redirects, and every kind of bad behaviour."""

import asyncio
import gzip
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from functools import cache
from http import HTTPStatus
from typing import Final

from monitor.lab.places import passes_censor

# Text of a published block page of Pakistan, so that fingerprints shipped with the program are met.
BLOCK_PAGE_SENTENCE: Final = (
    "Surf Safely! This website is not accessible. The site you are trying to access contains content that is "
    "prohibited for viewership from within Pakistan."
)
_STREAM_SECONDS: Final = 60  # no stream of ours outlives this


class Ending(Enum):
    """What follows the last byte of the body."""

    COMPLETE = auto()
    FIN = auto()  # the connection ends there, whatever was announced
    RESET = auto()
    SILENCE = auto()


@dataclass(frozen=True)
class Asked:
    """One request as the server received it."""

    method: str
    path: str
    host: str
    source: str
    destination: str
    headers: Mapping[str, str]  # names in lower case
    is_tls: bool = False
    body: bytes = b""


@dataclass(frozen=True)
class Page:
    """One response; `stream` takes the place of `body` and is sent in chunks. Status None sends no response at all."""

    status: int | None = 200
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    stream: Callable[[], AsyncIterator[bytes]] | None = None
    content_length: int | None = None  # announced in place of the true one
    wait_seconds: float = 0.0  # before the first byte
    ending: Ending = Ending.COMPLETE


Answerer = Callable[[Asked], Page]


def html(title: str, text: str, status: int = 200, headers: Mapping[str, str] | None = None) -> Page:
    """Return a small document with a title."""
    body = f"<!doctype html><html><head><title>{title}</title></head><body><p>{text}</p></body></html>"
    return Page(status, (("Content-Type", "text/html; charset=utf-8"), *(headers or {}).items()), body.encode())


def plain(text: str, status: int = 200) -> Page:
    """Return bare text."""
    return Page(status, (("Content-Type", "text/plain"),), text.encode())


def welcome(title: str = "Welcome to the laboratory platform") -> Page:
    """About 1.5 kB with a title of words long enough to be compared, and a header of its own."""
    return html(title, "Nothing stands between you and this page. " * 33, headers={"X-Laboratory": "origin"})


def with_status(status: int) -> Page:
    """Return a page that says its status."""
    return html(f"Status {status}", f"The server answers {status}.", status)


def challenge(status: int = 503) -> Page:
    """Return what an anti-bot service shows in place of the site."""
    return html(
        "Just a moment...",
        '<script src="/cdn-cgi/challenge-platform/orchestrate.js"></script>Checking your browser.',
        status,
        {"Server": "cloudflare", "Cf-Mitigated": "challenge"},
    )


def legal_refusal() -> Page:
    """Return the refusal of RFC 7725: unavailable for legal reasons."""
    return html("Unavailable For Legal Reasons", "This page is withheld in your country by law.", 451)


def country_refusal() -> Page:
    """Return the refusal of a server that withdrew from a country without naming a law."""
    return html("Access denied", "This service is not available in your country or region.", 403)


def known_block_page() -> Page:
    """Return a page whose text is in the published fingerprints."""
    return html("Surf Safely", BLOCK_PAGE_SENTENCE)


def unknown_block_page() -> Page:
    """Return a page that no fingerprint knows: short, another title, no header in common with the origin."""
    return Page(200, (), b"<html><title>Order Seventeen</title>Kindly look elsewhere.</html>")


def redirect(location: str, status: int = 302) -> Page:
    """Return a redirect to `location`, well-formed or not."""
    return Page(status, (("Location", location),))


@cache
def gzip_bomb() -> Page:
    """Return some 64 KiB that unpack to 64 MiB."""
    return Page(200, (("Content-Type", "text/html"), ("Content-Encoding", "gzip")), gzip.compress(bytes(64 << 20)))


def endless() -> Page:
    """64 KiB chunks for as long as somebody reads, at most 256 MiB."""

    async def flood() -> AsyncIterator[bytes]:
        for _ in range(4096):
            yield b"<p>more</p>" * 5957

    return Page(200, (("Content-Type", "text/html"),), stream=flood)


def drip(gap_seconds: float = 1.0) -> Page:
    """One byte each `gap_seconds`, for a minute."""

    async def drops() -> AsyncIterator[bytes]:
        for _ in range(int(_STREAM_SECONDS / gap_seconds)):
            yield b"."
            await asyncio.sleep(gap_seconds)

    return Page(200, (("Content-Type", "text/html"),), stream=drops)


def large(size_bytes: int = 32 << 20) -> Page:
    """Return a download of zeros."""
    return Page(200, (("Content-Type", "application/octet-stream"),), bytes(size_bytes))


def policed(bytes_per_second: int = 16_000) -> Page:
    """Return a large body that comes at a steady rate, as a policer lets it through, for a minute."""

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(_STREAM_SECONDS * 10):
            yield bytes(bytes_per_second // 10)
            await asyncio.sleep(0.1)

    return Page(200, (("Content-Type", "application/octet-stream"),), stream=pieces)


def many_headers(count: int = 2000) -> Page:
    """Return some 200 KiB of header fields."""
    return Page(200, tuple((f"X-Filler-{n}", "x" * 80) for n in range(count)), b"behind the headers")


# Any site answers these paths, so that a target's URL alone chooses the behaviour of its server.
PATHS: Final[Mapping[str, Callable[[], Page]]] = {
    "/": welcome,
    "/challenge": challenge,
    "/gzip-bomb": gzip_bomb,
    "/endless": endless,
    "/drip": drip,
    "/large": large,
    "/many-headers": many_headers,
    "/slow": lambda: Page(body=b"at last", wait_seconds=1.0),
    "/loop": lambda: redirect("/loop"),
    "/location-without-host": lambda: redirect("http://"),
    "/location-of-another-scheme": lambda: redirect("ftp://files.lab.test/"),
    "/short-body": lambda: Page(body=b"half of it", content_length=20, ending=Ending.FIN),
    "/long-body": lambda: Page(body=b"more than was announced", content_length=4),
    "/reset": lambda: Page(status=None, ending=Ending.RESET),
    "/fin": lambda: Page(status=None, ending=Ending.FIN),
    "/silence": lambda: Page(status=None, ending=Ending.SILENCE),
    "/reset-in-body": lambda: Page(body=b"half of it", content_length=20, ending=Ending.RESET),
    "/silence-in-body": lambda: Page(body=b"half of it", content_length=20, ending=Ending.SILENCE),
}


def origin(asked: Asked) -> Page:
    """Answer PATHS, `/status/404` with that status, and `/redirect/3` with three hops to `/`."""
    path = asked.path.partition("?")[0]
    if page := PATHS.get(path):
        return page()
    kind, _, number = path[1:].partition("/")
    if number.isascii() and number.isdigit():
        if kind == "redirect":
            return redirect(f"/redirect/{int(number) - 1}" if int(number) > 1 else "/")
        if kind == "status" and 200 <= int(number) <= 599:
            return with_status(int(number))
    return with_status(404)


def always(page: Page) -> Answerer:
    """Answer `page` whatever is asked."""
    return lambda _: page


def by_place(here: Page, elsewhere: Answerer = origin) -> Answerer:
    """Show `here` to the test vantage and the usual site to the control: a server that looks at who asks."""
    return lambda asked: here if passes_censor(asked.source, asked.destination) else elsewhere(asked)


def reason_of(status: int) -> str:
    """Return the reason phrase of an HTTP status."""
    return HTTPStatus(status).phrase if status in set(HTTPStatus) else "Unknown"
