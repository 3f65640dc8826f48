"""A probe's answer in the names of blackbox_exporter, with our verdict beside them (docs/metrics.md, "/probe").

Names and meanings are those of prometheus/blackbox_exporter at e39d7d4. One difference is on purpose: facts about
certificates are there for every handshake that delivered some, where blackbox_exporter has them only after a verified
one, so that an expired or substituted certificate is visible.
"""

import ipaddress
import math
import re
from collections.abc import Iterator, Sequence
from email.utils import parsedate_to_datetime
from typing import Final, TypeVar

from cryptography import x509

from monitor.exporter import table
from monitor.exporter.exposition import Format, document
from monitor.exporter.table import Metric
from monitor.model.address import is_address
from monitor.model.failure import TOO_MANY_REDIRECTS
from monitor.model.measurement import Evidence, Recording
from monitor.model.observation import (
    DnsObservation,
    HttpObservation,
    Observation,
    Purpose,
    TcpObservation,
    TlsObservation,
)
from monitor.model.target import Target
from monitor.model.verdict import Confidence, Status, Verdict

_DEFAULT_SCRAPE_SECONDS: Final = 120.0
_MOST_LABEL_CHARACTERS: Final = 4096  # a certificate may carry thousands of names
_TLS_VERSIONS: Final = {"TLSv1": "TLS 1.0", "TLSv1.1": "TLS 1.1", "TLSv1.2": "TLS 1.2", "TLSv1.3": "TLS 1.3"}

_Sample = tuple[Metric, tuple[str, ...], float]
_Step = TypeVar("_Step", DnsObservation, TcpObservation, TlsObservation, HttpObservation)


def time_budget_seconds(module_seconds: float, scrape_timeout: str | None, offset_seconds: float) -> float:
    """Return how long a probe may take.

    `scrape_timeout` is the header X-Prometheus-Scrape-Timeout-Seconds; a module of 0 s sets no bound of its own.
    Raises ValueError if the header is no finite number.
    """
    scrape_seconds = float(scrape_timeout) if scrape_timeout else 0.0
    if not math.isfinite(scrape_seconds):
        raise ValueError("the scrape timeout is not finite")
    left_seconds = (scrape_seconds or _DEFAULT_SCRAPE_SECONDS) - offset_seconds
    if left_seconds < 0 or 0 < module_seconds < left_seconds:
        return module_seconds
    return left_seconds


def probe_exposition(
    recording: Recording, verdict: Verdict, target: Target, timeout_seconds: float, form: Format
) -> str:
    """Return what `/probe` answers: `probe_*` as far as the kind of probe has them, then `access_probe_*`."""
    return document(_samples(recording, verdict, target, timeout_seconds), form)


def _samples(recording: Recording, verdict: Verdict, target: Target, timeout_seconds: float) -> Iterator[_Sample]:
    measurement = recording.measurement
    path = [one for one in measurement.observations if one.purpose is Purpose.PATH]
    https = _all(path, HttpObservation)
    yield table.PROBE_SUCCESS, (), int(verdict.status is Status.ACCESSIBLE)
    yield table.PROBE_DURATION, (), measurement.elapsed_seconds
    yield table.PROBE_TIMEOUT, (), timeout_seconds
    used = _address(path, 0)
    # What a proxy was asked for by name led to an address that nobody told.
    address = ipaddress.ip_address(used) if used and is_address(used) else None
    yield table.PROBE_DNS_LOOKUP, (), _resolve_seconds(path, 0)
    yield table.PROBE_IP_PROTOCOL, (), address.version if address else 0
    yield table.PROBE_IP_ADDR_HASH, (), _fnv1a(address.packed) if address else 0
    if not (target.expectation.tls_only or target.expectation.tcp_only):
        yield from _http_samples(path)
    has_no_text = bool(https) and https[-1].text_found is False
    yield table.PROBE_FAILED_DUE_TO_REGEX, (), int(has_no_text)
    handshakes = [one for one in _all(path, TlsObservation) if one.chain]
    if handshakes:
        yield from _tls_samples(handshakes[-1], recording.evidence)
        if https and handshakes[-1].cipher is not None:
            yield table.PROBE_TLS_CIPHER, (_printable(handshakes[-1].cipher),), 1
    yield from _verdict_samples(measurement.vantage, verdict)


def _http_samples(path: Sequence[Observation]) -> Iterator[_Sample]:
    last_hop = max((one.hop for one in path), default=0)
    last = next((one for one in reversed(_all(path, HttpObservation)) if one.hop == last_hop), None)
    if any(isinstance(one, TcpObservation) or (isinstance(one, DnsObservation) and one.addresses) for one in path):
        for phase, seconds in _phases(path, last_hop).items():
            yield table.PROBE_HTTP_DURATION, (phase,), seconds
    has_response = last is not None and last.status_code is not None
    headers = dict(last.headers) if last is not None and has_response else {}
    declared = headers.get("content-length", "")
    length = int(declared) if re.fullmatch("[0-9]{1,18}", declared) else -1
    redirects = last_hop + int(last is not None and last.failure == TOO_MANY_REDIRECTS)
    yield table.PROBE_HTTP_STATUS_CODE, (), (last.status_code or 0) if last else 0
    yield table.PROBE_HTTP_VERSION, (), _http_version(last.http_version) if last else 0
    yield table.PROBE_HTTP_CONTENT_LENGTH, (), length if has_response else 0
    yield table.PROBE_HTTP_BODY_LENGTH, (), last.body_bytes if last else 0
    yield table.PROBE_HTTP_REDIRECTS, (), redirects
    yield table.PROBE_HTTP_SSL, (), int(last is not None and last.is_tls)
    modified = _http_date(headers.get("last-modified", ""))
    if modified is not None:
        yield table.PROBE_HTTP_LAST_MODIFIED, (), modified


def _tls_samples(tls: TlsObservation, evidence: Sequence[Evidence]) -> Iterator[_Sample]:
    if tls.earliest_expiry is not None:
        yield table.PROBE_SSL_EARLIEST_EXPIRY, (), tls.earliest_expiry
    # Of a verified chain the leaf is what ends first in practice; a server may add certificates that no chain needs.
    if tls.verified and tls.leaf_not_after is not None:
        yield table.PROBE_SSL_CHAIN_EXPIRY, (), tls.leaf_not_after
    leaf = next((one.content for one in evidence if one.sha256 == tls.chain[0]), None)
    if leaf is not None:
        yield table.PROBE_SSL_CHAIN_INFO, (tls.chain[0], *(_printable(text) for text in _certificate(leaf))), 1
    if tls.version is not None:
        yield table.PROBE_TLS_VERSION, (_TLS_VERSIONS.get(tls.version, _printable(tls.version)),), 1


def _verdict_samples(vantage: str, verdict: Verdict) -> Iterator[_Sample]:
    for status in Status:
        yield table.PROBE_STATUS, (vantage, status), int(status is verdict.status)
    for mechanism in dict.fromkeys(verdict.mechanisms):
        yield table.PROBE_MECHANISM, (vantage, mechanism), 1
    yield table.PROBE_CONFIRMED, (vantage,), int(verdict.confidence is Confidence.CONFIRMED)
    if verdict.reason is not None:
        yield table.PROBE_INCONCLUSIVE, (vantage, verdict.reason), 1


def _phases(path: Sequence[Observation], last_hop: int) -> dict[str, float]:
    phases = dict.fromkeys(("resolve", "connect", "tls", "processing", "transfer"), 0.0)
    for hop in range(last_hop + 1):
        address = _address(path, hop)
        phases["resolve"] += _resolve_seconds(path, hop)
        for one in path:
            if one.hop != hop or isinstance(one, DnsObservation) or one.address != address:
                continue
            if isinstance(one, TcpObservation):
                phases["connect"] += one.elapsed_seconds
            elif isinstance(one, TlsObservation):
                phases["tls"] += one.elapsed_seconds
            elif isinstance(one, HttpObservation):
                waited = one.elapsed_seconds if one.first_byte_seconds is None else one.first_byte_seconds
                phases["processing"] += waited
                phases["transfer"] += max(0.0, one.elapsed_seconds - waited)
    return phases


def _address(path: Sequence[Observation], hop: int) -> str | None:
    """Return the address that a hop got furthest with: of the request, else of a good handshake or connection."""
    tried = [one for one in path if one.hop == hop and not isinstance(one, DnsObservation)]
    for step in (HttpObservation, TlsObservation, TcpObservation):
        found = [one for one in tried if isinstance(one, step)]
        if found:
            return next((one for one in found if one.failure is None), found[0]).address
    answers = [one for one in _all(path, DnsObservation) if one.hop == hop and one.addresses]
    return answers[0].addresses[0] if answers else None


def _resolve_seconds(path: Sequence[Observation], hop: int) -> float:
    """Return the seconds from the first question to the last answer; the questions of a hop run side by side."""
    questions = [one for one in _all(path, DnsObservation) if one.hop == hop]
    if not questions:
        return 0.0
    end = max(one.started_seconds + one.elapsed_seconds for one in questions)
    return round(end - min(one.started_seconds for one in questions), 6)


def _certificate(der: bytes) -> tuple[str, str, str, str]:
    """Return subject, issuer, DNS names and serial number; what cannot be read is empty."""
    try:
        certificate = x509.load_der_x509_certificate(der)
        serial = abs(certificate.serial_number)
        return (
            certificate.subject.rfc4514_string(),
            certificate.issuer.rfc4514_string(),
            ",".join(_dns_names(certificate)),
            serial.to_bytes((serial.bit_length() + 7) // 8 or 1, "big").hex(),
        )
    except (ValueError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType):
        return ("", "", "", "")


def _dns_names(certificate: x509.Certificate) -> list[str]:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    return names.get_values_for_type(x509.DNSName)


def _printable(text: str) -> str:
    """Return text from the network as a label value: of bounded length, without control characters."""
    return "".join(one if one.isprintable() else "\ufffd" for one in text[:_MOST_LABEL_CHARACTERS])


def _http_version(version: str | None) -> float:
    found = re.search("[0-9](?:[.][0-9])?", version or "")
    return float(found.group()) if found else 0


def _http_date(value: str) -> float | None:
    try:
        return parsedate_to_datetime(value).timestamp()
    except (ValueError, OverflowError):
        return None


def _fnv1a(data: bytes) -> int:
    """Hash as blackbox_exporter does (FNV-1a, 32 bits), so that a change of address shows without the address."""
    value = 0x811C9DC5
    for byte in data:
        value = ((value ^ byte) * 0x01000193) & 0xFFFFFFFF
    return value


def _all(path: Sequence[Observation], step: type[_Step]) -> list[_Step]:
    return [one for one in path if isinstance(one, step)]
