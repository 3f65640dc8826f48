"""The servers of the small internet: what each answers, which certificate it shows, what is wrong with it for all."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from monitor.lab.authority import Certificate
from monitor.lab.interference import Cut
from monitor.lab.pages import (
    BLOCK_PAGE_SENTENCE,
    Answerer,
    Asked,
    Page,
    always,
    challenge,
    html,
    plain,
    redirect,
    with_status,
)
from tests.lab.internet import addresses

TITLE: Final = "Example laboratory platform"
_RANDOM_BYTES: Final = 128 << 10


@dataclass(frozen=True)
class Host:
    """One server. With `fresh`, its certificate was issued an hour ago.

    Asked for a name that is not its own it shows the certificate of its first; without names it has one for any.
    """

    names: tuple[str, ...]
    answerer: Answerer
    ports: tuple[int, ...] = (80, 443)
    certificate: Callable[[str], Certificate] = lambda _: Certificate.GOOD
    cut: Cut | None = None  # done to everybody, on `cut_ports`
    cut_ports: tuple[int, ...] = (80, 443)
    quic: bool = False
    fresh: bool = False
    any_name: bool = False  # has a certificate for whatever it is asked
    relay: bool = False  # passes TLS through by its server name and forwards by Host
    alpn: tuple[str, ...] = ("h2", "http/1.1")


def origin_page() -> Page:
    return html(
        TITLE,
        "Nothing stands between you and this page. " * 33,
        headers={"X-Laboratory": "origin", "Alt-Svc": 'h3=":443"'},
    )


def origin(asked: Asked) -> Page:
    """Serve the www names, send the bare ones on, and turn others away."""
    if asked.host in {"www.example.com", "www.example.org"}:
        return origin_page()
    if asked.host in {"example.com", "example.org"}:
        return redirect(f"https://www.{asked.host}/", 308)
    return plain("no such host here", 400)


def block_page(sentence: str = BLOCK_PAGE_SENTENCE) -> Page:
    """About 190 bytes with an empty header block; with its usual sentence the program's fingerprints know it."""
    body = f"<html><head><title>Access Denied</title></head><body><p>{sentence}</p></body></html>"
    return Page(200, (), body.encode())


def _shortener(asked: Asked) -> Page:
    places = {"/32447": "http://www.example.com/", "/21645": "https://www.example.com/"}
    return redirect(places[asked.path], 308) if asked.path in places else with_status(404)


def _redirector(asked: Asked) -> Page:
    number = asked.path.rpartition("/")[2]
    if not number.isdigit() or number == "0":
        return with_status(200)
    return redirect(f"/redirect/{int(number) - 1}")


def _anti_bot(asked: Asked) -> Page:
    marks = {"Server": "cloudflare", "Cf-Ray": "8c1f0e5d2a7b-MXP", "Nel": "{}", "Alt-Svc": 'h3=":443"'}
    if asked.source == addresses.CONTROL:
        page = origin_page()
        return Page(200, (*page.headers, *marks.items()), page.body)
    page = challenge(503)
    return Page(503, (*page.headers, *marks.items()), page.body + b"<!-- " + b"." * 8000 + b" -->")


def here(page: Page, elsewhere: Answerer = origin) -> Answerer:
    """Show `page` to everybody but the control: a server that looks at who asks."""
    return lambda asked: elsewhere(asked) if asked.source in {addresses.CONTROL, addresses.CONTROL_V6} else page


def _bad(name: str) -> Certificate:
    return Certificate.EXPIRED if name == "expired.badssl.com" else Certificate.UNKNOWN_AUTHORITY


def _file(size_bytes: int) -> Page:
    # Random as far as anybody reads, so that no two bodies are alike.
    body = os.urandom(_RANDOM_BYTES) + bytes(size_bytes - _RANDOM_BYTES)
    return Page(200, (("Content-Type", "application/octet-stream"), ("Alt-Svc", 'h3=":443"')), body)


HOSTS: Final[Mapping[str, Host]] = {
    addresses.ORIGIN: Host(addresses.ORIGIN_NAMES, origin, quic=True),
    addresses.ORIGIN_V6: Host((), origin),
    addresses.ORIGIN_ELSEWHERE: Host((), origin),
    addresses.BLOCK_PAGE_HOST: Host((addresses.BLOCK_PAGE_NAME,), always(block_page()), ports=(80,)),
    addresses.RELAY: Host((), origin, relay=True),
    addresses.SHORTENER: Host(("bit.ly",), _shortener, ports=(443,)),
    addresses.BAD_CERTIFICATES: Host(
        ("expired.badssl.com",), always(origin_page()), ports=(443,), certificate=_bad, any_name=True
    ),
    addresses.LARGE_FILE: Host(("largefile.com",), lambda _: _file(32 << 20), quic=True),
    addresses.ANTI_BOT: Host(("www.cloudflare-cache.com",), _anti_bot, ports=(443,)),
    addresses.REDIRECTOR: Host(("httpbin.com",), _redirector, ports=(443,)),
    **{address: Host((name,), always(origin_page())) for name, address in addresses.PLATFORMS.items()},
    **{
        address: Host((name,), always(plain(addresses.PORTAL_TEXT)), ports=(80,))
        for name, address in addresses.PORTALS.items()
    },
    addresses.QUIC_REFERENCE[1]: Host((addresses.QUIC_REFERENCE[0],), always(with_status(200)), quic=True),
    addresses.INNOCUOUS_FILE[1]: Host((addresses.INNOCUOUS_FILE[0],), lambda _: _file(1 << 20), ports=(80,)),
    **{address: Host((name,), always(with_status(200))) for name, address in addresses.SANE_HOSTS.items()},
}
