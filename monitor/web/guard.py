"""What every request passes: the Host it names, the origin it comes from, the token it carries."""

import ipaddress
import secrets
from collections.abc import Callable
from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from monitor.web.services import WebSettings

# Nothing may be loaded, framed or sent from an answer; the page allows its own style sheet besides.
CONTENT_POLICY: Final = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
_RESPONSE_HEADERS: Final = {
    "Content-Security-Policy": CONTENT_POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_OPEN_TO_ORIGINS: Final = "/api/v1/"


def hosts_of(listen: str) -> frozenset[str] | None:
    """Return the Host names to accept for a `host:port` to listen on; None accepts any.

    Who listens on loopback expects nobody else. A page of a stranger whose name is made to point at 127.0.0.1 (DNS
    rebinding) reaches the port nevertheless, through the browser, and only the Host header gives it away.
    """
    host = urlsplit(f"//{listen}").hostname or ""
    try:
        is_loopback = ipaddress.ip_address(host).is_loopback
    except ValueError:
        is_loopback = host == "localhost"
    return frozenset({"localhost", "127.0.0.1", "::1", host}) if is_loopback else None


class Guard:
    """ASGI middleware. A path is closed unless it is among `public`; only a configured token opens the others."""

    def __init__(self, app: ASGIApp, settings: Callable[[], WebSettings], public: frozenset[str]) -> None:
        self._app = app
        self._settings = settings
        self._public = public

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request that must not pass, hand on any other; add the headers that every answer carries."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        origin = _allowed_origin(scope, self._settings())

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in (_RESPONSE_HEADERS | _cross_origin(origin)).items():
                    headers.setdefault(name, value)
            await send(message)

        refusal = self._preflight(scope) if origin and scope["method"] == "OPTIONS" else self._refusal(scope)
        await (refusal or self._app)(scope, receive, send_guarded)

    def _preflight(self, scope: Scope) -> Response:
        """Tell a browser what a page of an allowed origin may ask; the request itself still needs the token."""
        return self._stranger(scope, self._settings()) or Response(
            status_code=204,
            headers={"Access-Control-Allow-Methods": "GET", "Access-Control-Allow-Headers": "Authorization"},
        )

    @staticmethod
    def _stranger(scope: Scope, settings: WebSettings) -> PlainTextResponse | None:
        if settings.hosts is None or _host_name(Headers(scope=scope).get("host", "")) in settings.hosts:
            return None
        return PlainTextResponse("This Host is not served here.\n", 400)

    def _refusal(self, scope: Scope) -> PlainTextResponse | None:
        settings = self._settings()
        headers = Headers(scope=scope)
        if stranger := self._stranger(scope, settings):
            return stranger
        if scope["path"] in self._public:
            return None
        is_allowed = _allowed_origin(scope, settings) is not None
        if not (is_allowed or _is_own_origin(headers) or _is_followed_link(scope, headers)):
            return PlainTextResponse("Requests from pages of other sites are refused.\n", 403)
        if settings.token is not None and not _carries(headers, settings.token):
            return PlainTextResponse(
                "A token is needed: Authorization: Bearer TOKEN\n", 401, {"WWW-Authenticate": "Bearer"}
            )
        return None


def _allowed_origin(scope: Scope, settings: WebSettings) -> str | None:
    """Return the origin of a page that may read the API: one that the configuration names, and reading only."""
    if scope["method"] not in {"GET", "OPTIONS"} or not scope["path"].startswith(_OPEN_TO_ORIGINS):
        return None
    origin = Headers(scope=scope).get("origin")
    return origin if origin in settings.allow_origins else None


def _cross_origin(origin: str | None) -> dict[str, str]:
    if origin is None:
        return {}
    return {
        "Access-Control-Allow-Origin": origin,
        "Vary": "Origin",
        "Cross-Origin-Resource-Policy": "cross-origin",
    }


def _host_name(host: str) -> str | None:
    try:
        return urlsplit(f"//{host}").hostname
    except ValueError:
        return None


def _is_own_origin(headers: Headers) -> bool:
    """Tell whether a browser says that the request comes from elsewhere; other programs say nothing.

    Source: Fetch Metadata Request Headers (W3C), section 2.3; RFC 6454 section 7.
    """
    if headers.get("sec-fetch-site", "none") not in {"none", "same-origin"}:
        return False
    origin = headers.get("origin")
    return origin is None or origin.partition("://")[2] == headers.get("host")


def _is_followed_link(scope: Scope, headers: Headers) -> bool:
    """Tell whether a person followed a link to here: the answer goes to a page of its own, not to the other site."""
    return scope["method"] == "GET" and headers.get("sec-fetch-mode") == "navigate" and "origin" not in headers


def _carries(headers: Headers, token: str) -> bool:
    scheme, _, given = headers.get("authorization", "").partition(" ")
    return scheme.lower() == "bearer" and secrets.compare_digest(given.strip().encode(), token.encode())
