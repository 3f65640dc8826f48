"""Measurements, verdicts and outcomes as a run makes them, for tests that read them."""

from datetime import UTC, datetime
from typing import Final

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
from monitor.model.target import Target
from monitor.model.vantage import NetworkIdentity, VantageInfo
from monitor.model.verdict import Confidence, Reason, Status, Verdict

NOW: Final = datetime(2026, 11, 22, 10, 30, tzinfo=UTC)
X_HOME: Final = Target(name="x-home", platform="x", url="https://x.com/")
LAHORE: Final = VantageInfo(name="lahore", kind="direct", country="PK")
ISP: Final = NetworkIdentity(asn=17557, name="PKTELECOM")
CONTEXT: Final = RunContext(software="test", config_digest="0" * 64, ca_digest="1" * 64, hello_profile="openssl")

DNS: Final = DnsObservation(
    host="x.com",
    query_type="A",
    resolver="system",
    transport="udp",
    rcode=0,
    answers=(DnsAnswer(type="A", value="162.159.140.229"),),
    ttls_seconds=(300,),
    elapsed_seconds=0.02,
)
TCP: Final = TcpObservation(address="162.159.140.229", port=443, started_seconds=0.02, elapsed_seconds=0.05)
TLS: Final = TlsObservation(
    address="162.159.140.229",
    port=443,
    server_name="x.com",
    started_seconds=0.07,
    elapsed_seconds=0.1,
    version="TLSv1.3",
    cipher="TLS_AES_128_GCM_SHA256",
    alpn="http/1.1",
    chain=("ab" * 32, "cd" * 32),
    leaf_not_after=1_800_000_000,
    earliest_expiry=1_790_000_000,
)
HTTP: Final = HttpObservation(
    url="https://x.com/",
    address="162.159.140.229",
    port=443,
    is_tls=True,
    http_version="1.1",
    status_code=200,
    headers=(("content-length", "4096"), ("last-modified", "Sun, 22 Nov 2026 10:00:00 GMT")),
    body_bytes=4000,
    first_byte_seconds=0.2,
    started_seconds=0.17,
    elapsed_seconds=0.25,
)

ACCESSIBLE: Final = Verdict(
    status=Status.ACCESSIBLE, rule="page_as_expected", because="The page of X came as expected.", rules_version=1
)
BLOCKED: Final = Verdict(
    status=Status.BLOCKED,
    confidence=Confidence.CONFIRMED,
    mechanisms=("tls.reset.sni",),
    rule="isolated_trigger",
    because="The connection is cut only when it asks for x.com; another name passes.",
    rules_version=1,
)
OFFLINE: Final = Verdict(
    status=Status.INCONCLUSIVE,
    reason=Reason.VANTAGE_OFFLINE,
    rule="vantage_offline",
    because="The vantage's own line was dead.",
    rules_version=1,
)


def recording(
    *observations: Observation,
    target: Target = X_HOME,
    network: NetworkIdentity = ISP,
    vantage: str = LAHORE.name,
    evidence: tuple[Evidence, ...] = (),
    is_deep: bool = False,
) -> Recording:
    """Return a recording of the observations; by default of an ordinary page."""
    return Recording(
        measurement=Measurement(
            id=1,
            target=target.name,
            url=target.url,
            vantage=vantage,
            started_at=NOW,
            elapsed_seconds=0.42,
            context=CONTEXT,
            network=network,
            is_deep=is_deep,
            observations=observations or (DNS, TCP, TLS, HTTP),
        ),
        evidence=evidence,
    )


def outcome(verdict: Verdict | None, recorded: Recording | None = None) -> Outcome:
    """Return one run with its verdict."""
    return Outcome(recording=recorded or recording(), verdict=verdict)
