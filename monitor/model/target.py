"""What is measured: platforms and their targets."""

from enum import StrEnum
from typing import Final

import msgspec

AD_HOC: Final = "ad-hoc"  # name and platform of a target that is not configured: a stable name, never an address


class QuicUse(StrEnum):
    """When HTTP/3 is tried."""

    OFF = "off"
    DEEP = "deep"  # in deep runs: where TCP failed, or where the server offers HTTP/3
    ALWAYS = "always"  # in every routine run too


class Expectation(msgspec.Struct, frozen=True, kw_only=True):
    """What a target shows where nothing interferes.

    With `tls_only` the handshake alone decides and no request is sent: for APIs, media hosts and bot-walled pages.
    `tcp_only` stops one step earlier. `statuses` empty means any 2xx.
    """

    tls_only: bool = False
    tcp_only: bool = False
    statuses: tuple[int, ...] = ()
    title: str | None = None  # substring of the page's title
    text: str | None = None  # regular expression searched in the body
    final_host: str | None = None

    def allows(self, status_code: int) -> bool:
        """Tell whether an HTTP status meets the expectation."""
        return status_code in self.statuses if self.statuses else 200 <= status_code <= 299


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """One URL of a platform under a stable name, which is its identity; the URL may change."""

    name: str
    platform: str
    url: str
    probe: str = "web"
    expectation: Expectation = Expectation()
    quic: QuicUse = QuicUse.DEEP
