"""Outcomes as the daemon makes them, for the tests of the store."""

import hashlib
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec

from monitor.model.failure import Failure
from monitor.model.measurement import Evidence, Measurement, Recording, RunContext
from monitor.model.observation import (
    DnsAnswer,
    DnsObservation,
    HttpObservation,
    Observation,
    TcpObservation,
    TlsObservation,
)
from monitor.model.outcome import Outcome
from monitor.model.vantage import NetworkIdentity, VantageState
from monitor.model.verdict import Confidence, DetectorState, SeriesState, Status, Verdict
from monitor.store.store import Store

NOW = datetime(2026, 11, 22, 12, 30, tzinfo=UTC)
CONTEXT = RunContext(software="0.1.0", config_digest="c" * 64, ca_digest="a" * 64, hello_profile="openssl-3.0")
NETWORK = NetworkIdentity(asn=17557, name="PKTELECOM", country="PK", resolver_asn=17557)
ACCESSIBLE = Verdict(
    status=Status.ACCESSIBLE, rule="tls_success", because="The page answers as it should.", rules_version=1
)
BLOCKED = Verdict(
    status=Status.BLOCKED,
    confidence=Confidence.CONFIRMED,
    mechanisms=("tls.reset.sni",),
    rule="isolated_trigger",
    because="The connection is cut only when it asks for x.com; another name passes.",
    rules_version=1,
)


class FixedClock:
    """A clock that stands still; monotonic time too."""

    def __init__(self, at: datetime = NOW) -> None:
        self.at = at

    def now(self) -> datetime:
        return self.at

    def monotonic(self) -> float:
        return 0.0

    def boottime(self) -> float:
        return 0.0


def evidence(content: bytes, kind: str = "http_response") -> Evidence:
    return Evidence(sha256=hashlib.sha256(content).hexdigest(), kind=kind, content=content)


def outcome(
    measurement_id: int,
    at: datetime = NOW,
    *,
    verdict: Verdict | None = ACCESSIBLE,
    target: str = "x-home",
    vantage: str = "lahore",
    body: bytes = b"",
    is_deep: bool = False,
    network: NetworkIdentity = NETWORK,
    elapsed_seconds: float = 0.3,
    **fields: Any,
) -> Outcome:
    """A short run: one DNS and one HTTP observation, with `body` as its evidence if there is one."""
    raw = (evidence(body),) if body else ()
    observations: tuple[Observation, ...] = (
        DnsObservation(
            elapsed_seconds=0.01,
            host="x.com",
            query_type="A",
            resolver="system",
            transport="udp",
            rcode=0,
            answers=(DnsAnswer("A", "104.244.42.1"),),
            ttls_seconds=(300,),
        ),
        HttpObservation(
            started_seconds=0.2,
            elapsed_seconds=0.1,
            url="https://x.com/",
            address="104.244.42.1",
            port=443,
            is_tls=True,
            status_code=200,
            headers=(("content-length", str(len(body))), ("server", "cloudflare")),
            body_bytes=len(body),
            evidence=tuple(one.sha256 for one in raw),
        ),
    )
    measurement = Measurement(
        id=measurement_id,
        target=target,
        url="https://x.com/",
        vantage=vantage,
        started_at=at,
        elapsed_seconds=elapsed_seconds,
        context=CONTEXT,
        network=network,
        is_deep=is_deep,
        observations=observations,
    )
    return Outcome(recording=Recording(measurement=measurement, evidence=raw), verdict=verdict, **fields)


class Line:
    """Makes routine runs of many targets as a clean line shows them, for sizes and speeds."""

    def __init__(self, *, has_ipv6: bool = True) -> None:
        self._random = random.Random(7)  # noqa: S311 -- the same line every time
        self._has_ipv6 = has_ipv6

    def control(self, target: int, measurement_id: int, at: datetime) -> Outcome:
        return msgspec.structs.replace(
            self.run(target, measurement_id, at, vantage="frankfurt"), verdict=None, detector=None, state_before=None
        )

    def run(
        self, target: int, measurement_id: int, at: datetime, control_id: int | None = None, vantage: str = "lahore"
    ) -> Outcome:
        choose = self._random
        host = f"www{target}.example.com"
        families = (4, 6) if self._has_ipv6 else (4,)
        raw: list[Evidence] = []
        observations: list[Observation] = []
        moment = 0.0

        def timing(mean: float) -> dict[str, Any]:
            nonlocal moment
            took = round(choose.uniform(0.5, 1.5) * mean, 6)
            started, moment = round(moment, 6), moment + took
            return {"started_seconds": started, "elapsed_seconds": took}

        def keep(content: bytes, kind: str) -> tuple[str, ...]:
            raw.append(evidence(content, kind))
            return (raw[-1].sha256,)

        # A third of the platforms rotate their addresses.
        pool = 8 if target % 3 == 0 else 1
        addresses = {4: f"104.16.{target}.{choose.randrange(pool)}", 6: f"2606:4700::{target}:{choose.randrange(pool)}"}
        for family in (4, 6):
            answers = (DnsAnswer("A" if family == 4 else "AAAA", addresses[family]),) if family in families else ()
            observations.append(
                DnsObservation(
                    **timing(0.02),
                    failure=None if answers else Failure.DNS_NO_ANSWER,
                    host=host,
                    query_type="A" if family == 4 else "AAAA",
                    resolver="system",
                    transport="udp",
                    rcode=0,
                    answers=answers,
                    ttls_seconds=tuple(choose.randrange(300) for _ in answers),
                    evidence=keep(choose.randbytes(80), "dns_reply"),
                )
            )
        for family in families:
            observations.append(TcpObservation(**timing(0.08), address=addresses[family], port=443))
            observations.append(
                TlsObservation(
                    **timing(0.1),
                    address=addresses[family],
                    port=443,
                    server_name=host,
                    offered_alpn=("h2", "http/1.1"),
                    version="TLSv1.3",
                    cipher="TLS_AES_256_GCM_SHA384",
                    alpn="h2",
                    chain=tuple(hashlib.sha256(f"{target} {i}".encode()).hexdigest() for i in range(3)),
                    leaf_issuer="CN=WE1,O=Google Trust Services,C=US",
                    leaf_not_before=1_790_000_000,
                    leaf_not_after=1_797_000_000,
                    leaf_covers_name=True,
                    earliest_expiry=1_797_000_000,
                    bytes_sent=517,
                    bytes_received=4000 + choose.randrange(4),
                    evidence=keep(f"certificate {target}".encode(), "certificate"),
                )
            )
        size = choose.randrange(20_000, 65_000) if target % 2 else 51_234
        observations.append(
            HttpObservation(
                **timing(0.3),
                url=f"https://{host}/",
                address=addresses[families[-1]],
                port=443,
                is_tls=True,
                http_version="2",
                status_code=200,
                header_names=("alt-svc", "cache-control", "content-length", "content-type", "date", "server", "vary"),
                headers=(
                    ("alt-svc", 'h3=":443"; ma=86400'),
                    ("content-length", str(size)),
                    ("content-type", "text/html; charset=utf-8"),
                    ("server", "cloudflare"),
                ),
                title=f"Platform {target}",
                body_bytes=size,
                body_digest=choose.randbytes(16).hex(),
                text_found=True,
                first_byte_seconds=round(choose.uniform(0.05, 0.2), 6),
                bytes_sent=412,
                bytes_received=size // 4,
                evidence=keep(choose.randbytes(2000) + b"<p>words</p>" * 1000, "http_response"),
            )
        )
        measurement = Measurement(
            id=measurement_id,
            target=f"target{target}",
            url=f"https://{host}/",
            vantage=vantage,
            started_at=at,
            elapsed_seconds=round(moment, 6),
            context=msgspec.structs.replace(CONTEXT, clock_offset_seconds=0.0123, clock_source="ntp"),
            network=NETWORK,
            observations=tuple(observations),
        )
        return Outcome(
            recording=Recording(measurement=measurement, evidence=tuple(raw)),
            verdict=ACCESSIBLE,
            control_ids=() if control_id is None else (control_id,),
            state_before=VantageState.ONLINE,
            state_after=VantageState.ONLINE,
            detector=DetectorState(state=SeriesState.ACCESSIBLE, accessible_rounds=0, last_kept_at=at),
        )


def open_store(path: Path, *, spool_rows: int = 1000, on_event: Any = None, clock: FixedClock | None = None) -> Store:
    return Store.open(path, clock or FixedClock(), spool_rows=spool_rows, on_event=on_event)


def seconds(count: float) -> timedelta:
    return timedelta(seconds=count)
