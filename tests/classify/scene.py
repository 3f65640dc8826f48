"""Builds measurements in a few words; each step starts after the one before it."""

import hashlib
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, Self

from monitor.model.measurement import Measurement, RunContext
from monitor.model.observation import (
    DnsAnswer,
    DnsObservation,
    FailureDetail,
    HttpObservation,
    LateReply,
    Observation,
    Purpose,
    QuicObservation,
    TcpObservation,
    ThroughputObservation,
    TlsObservation,
)

CONTEXT = RunContext(software="access-monitor 0.1.0", config_digest="c", ca_digest="a", hello_profile="openssl-3.0-h2")
BEGAN = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)
HARMLESS = "www.harmless.example"
TRUE_LEAF = "true-leaf"


def digest_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


class Scene:
    """One run. `hop` and `purpose` stay as last set by `at`; every step returns the scene, so that steps chain."""

    def __init__(self, url: str, vantage: str = "home", *, target: str = "site-home") -> None:
        self._url, self._vantage, self._target = url, vantage, target
        self._hop, self._purpose = 0, Purpose.PATH
        self._clock = 0.0
        self._steps: list[Observation] = []

    def at(self, purpose: Purpose, hop: int | None = None) -> Self:
        self._purpose, self._hop = purpose, self._hop if hop is None else hop
        return self

    def hop(self, hop: int) -> Self:
        return self.at(Purpose.PATH, hop)

    def _common(self, failure: str | None, alert: str | None = None, reason: str | None = None) -> dict[str, Any]:
        self._clock = round(self._clock + 0.1, 6)
        detail = FailureDetail(alert=alert, reason=reason) if alert or reason else None
        return {
            "purpose": self._purpose, "hop": self._hop, "started_seconds": self._clock, "elapsed_seconds": 0.05,
            "failure": failure, "detail": detail,
        }  # fmt: skip

    def dns(
        self,
        host: str,
        *addresses: str,
        failure: str | None = None,
        resolver: str = "system",
        query_type: str = "A",
        late: Iterable[str] = (),
        alias: str = "",
    ) -> Self:
        transport = {"https": "https", "tls": "tls", "tcp": "tcp"}.get(resolver.partition("://")[0], "udp")
        replies = tuple(
            LateReply(elapsed_seconds=0.1, rcode=0, answers=(DnsAnswer("A", one),), evidence="late") for one in late
        )
        self._steps.append(
            DnsObservation(
                host=host,
                query_type=query_type,
                resolver=resolver,
                transport=transport,
                answers=(
                    *((DnsAnswer("CNAME", alias),) if alias else ()),
                    *(DnsAnswer("AAAA" if ":" in one else "A", one) for one in addresses),
                ),
                ttls_seconds=(3600,) * (len(addresses) + bool(alias)),
                late_replies=replies,
                **self._common(failure),
            )
        )
        return self

    def tcp(
        self,
        address: str,
        port: int = 443,
        failure: str | None = None,
        *,
        reason: str | None = None,
        seconds: float = 0.05,
    ) -> Self:
        common = self._common(failure, reason=reason) | {"elapsed_seconds": seconds}
        self._steps.append(TcpObservation(address=address, port=port, **common))
        return self

    def tls(
        self,
        address: str,
        name: str | None,
        failure: str | None = None,
        *,
        port: int = 443,
        leaf: str | None = None,
        covers: bool | None = None,
        alert: str | None = None,
    ) -> Self:
        """Shake hands; `leaf` defaults to the true one on success and to none on failure."""
        self._steps.append(
            TlsObservation(
                address=address,
                port=port,
                server_name=name,
                chain=(leaf,) if leaf else (() if failure else (TRUE_LEAF,)),
                leaf_covers_name=covers if leaf else not failure,
                certificate_failures=(failure,) if failure and leaf else (),
                **self._common(failure, alert),
            )
        )
        return self

    def http(
        self,
        url: str,
        address: str,
        status: int | None = 200,
        *,
        failure: str | None = None,
        reason: str | None = None,
        port: int | None = None,
        headers: Iterable[tuple[str, str]] = (("alt-svc", "h3"), ("server", "nginx")),
        title: str | None = "Example Domain Welcome",
        body: bytes = b"the page" * 190,
        keep_body: bool = False,
        body_bytes: int | None = None,
        **more: Any,
    ) -> Self:
        is_tls = url.startswith("https")
        answered = status is not None
        values = tuple(headers) if answered else ()
        self._steps.append(
            HttpObservation(
                url=url,
                address=address,
                port=port or (443 if is_tls else 80),
                is_tls=is_tls,
                status_code=status,
                header_names=tuple(sorted(name for name, _ in values)),
                headers=values,
                title=title if answered else None,
                body_bytes=(len(body) if body_bytes is None else body_bytes) if answered else 0,
                body_digest=digest_of(body)[:32] if answered else None,
                evidence=(digest_of(response_of(body)),) if answered and keep_body else (),
                **self._common(failure, reason=reason),
                **more,
            )
        )
        return self

    def quic(self, address: str, name: str | None, failure: str | None = None, *, port: int = 443) -> Self:
        """Shake hands over QUIC, or ask for the versions if the purpose is a ping."""
        is_verified = failure is None and name is not None
        self._steps.append(
            QuicObservation(
                address=address, port=port, server_name=name, version="00000001" if is_verified else None,
                chain=(TRUE_LEAF,) if is_verified else (), **self._common(failure),
            )
        )  # fmt: skip
        return self

    def transfer(
        self,
        url: str,
        address: str,
        seconds: float,
        received: int,
        *,
        failure: str | None = None,
        status: int | None = 200,
        is_cut: bool = True,
        round_trip: float = 0.02,
        first_byte: float | None = None,
        handshake: float | None = None,
    ) -> Self:
        """Fetch `received` bytes in so many seconds."""
        is_tls = url.startswith("https")
        self._steps.append(
            ThroughputObservation(
                url=url, address=address, port=443 if is_tls else 80, is_tls=is_tls, status_code=status,
                connect_seconds=round_trip, handshake_seconds=handshake if is_tls else None,
                first_byte_seconds=first_byte, transfer_seconds=seconds, bytes_received=received, is_cut=is_cut,
                **self._common(failure),
            )
        )  # fmt: skip
        return self

    def done(self, **more: Any) -> Measurement:
        return Measurement(
            id=7, target=self._target, url=self._url, vantage=self._vantage, started_at=BEGAN,
            elapsed_seconds=round(self._clock, 6), context=CONTEXT, observations=tuple(self._steps), **more,
        )  # fmt: skip


def response_of(body: bytes) -> bytes:
    """The form in which a response is kept as evidence."""
    return b"HTTP/1.1 200 OK\r\n\r\n" + body


def bodies(*contents: bytes) -> dict[str, bytes]:
    return {digest_of(response_of(one)): response_of(one) for one in contents}
