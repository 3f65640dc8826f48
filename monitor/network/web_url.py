"""Web addresses as they come from configuration, or from a hostile Location header."""

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import httpx

from monitor.model.address import is_address

_LENGTH_LIMIT: Final = 8192
_LABEL: Final = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_HOST: Final = re.compile(rf"(?=.{{1,253}}\.?$)(?:{_LABEL}\.)*{_LABEL}\.?")


@dataclass(frozen=True, slots=True)
class WebUrl:
    """An absolute http or https URL without fragment; `text` is safe to show, since userinfo is masked."""

    text: str
    is_tls: bool
    host: str  # lower case, A-labels, no trailing dot; or a literal address without brackets
    port: int
    names_port: bool  # the URL names a port other than its scheme's
    authority: str  # for the Host header, as written
    is_literal: bool
    parsed: httpx.URL

    def join(self, reference: str) -> "WebUrl":
        """Return the URL that `reference` (RFC 3986 section 5) leads to; raises ValueError as `web_url` does."""
        if len(reference) > _LENGTH_LIMIT:
            raise ValueError("too long")
        try:
            return web_url(str(self.parsed.join(reference)))
        except httpx.InvalidURL as error:
            raise ValueError(str(error)) from error


@lru_cache(maxsize=4096)
def web_url(text: str) -> WebUrl:
    """Parse an absolute URL; raises ValueError unless it is http or https, has a usable host and is not too long."""
    if len(text) > _LENGTH_LIMIT:
        raise ValueError("too long")
    try:
        url = httpx.URL(text)
    except httpx.InvalidURL as error:
        raise ValueError(str(error)) from error
    if url.scheme not in {"http", "https"}:
        raise ValueError(f"scheme {url.scheme!r} is neither http nor https")
    host = url.raw_host.decode("ascii").lower()
    is_literal = is_address(host)
    # A last label of digits alone is an address in some other notation; resolvers and kernels disagree about it.
    if not is_literal and (not _HOST.fullmatch(host) or host.rstrip(".").rpartition(".")[2].isdigit()):
        raise ValueError("no usable host")
    if url.port is not None and not 0 < url.port < 65_536:
        raise ValueError(f"port {url.port}")
    authority = url.netloc.decode("ascii")
    is_tls = url.scheme == "https"
    bare = httpx.URL(f"{url.scheme}://{authority}{url.raw_path.decode('ascii')}")
    return WebUrl(
        text=f"{url.scheme}://***@{authority}{url.raw_path.decode('ascii')}" if url.userinfo else str(bare),
        is_tls=is_tls,
        host=host.removesuffix("."),
        port=url.port or (443 if is_tls else 80),
        names_port=url.port is not None,
        authority=authority,
        is_literal=is_literal,
        parsed=bare,
    )
