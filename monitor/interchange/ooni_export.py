"""Our measurements → OONI Web Connectivity measurements that OONI's own readers accept.

What leaves is scrubbed: bodies before they are encoded, and the whole line once more. A resolver's address that is not
public becomes `private`, the probe's is always 127.0.0.1, and no name of a vantage is in it.
"""

import base64
import ipaddress
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

from monitor.model.measurement import Measurement
from monitor.model.observation import (
    DnsObservation,
    HttpObservation,
    Observation,
    Purpose,
    TcpObservation,
    TlsObservation,
)
from monitor.model.verdict import Status, Verdict
from monitor.network.received import scrub, scrub_packed
from monitor.store.reader import StoredMeasurement

SOFTWARE: Final = "access-monitor"
# Of the target's own name; looks with other names would be read as measurements of the target.
_OWN: Final = frozenset(
    {Purpose.PATH, Purpose.ADDRESS_CHECK, Purpose.RETRY, Purpose.OTHER_RESOLVER, Purpose.OTHER_ADDRESS}
)
_ENGINES: Final = {"udp": "udp", "tcp": "tcp", "tls": "dot", "https": "doh"}
_EXTENSIONS: Final = dict.fromkeys(("dnst", "httpt", "netevents", "tcpconnect", "tlshandshake", "tunnel"), 0)
_BLOCKING: Final = {"dns": "dns", "tcp": "tcp_ip", "tls": "http-failure", "http": "http-failure"}
_DIFFERS: Final = ("http.blockpage", "http.modified", "http.redirect")

Own = frozenset[str]


def exported(
    stored: StoredMeasurement,
    control: Measurement | None,
    evidence: Mapping[str, bytes],
    own_addresses: Own = frozenset(),
    country: str | None = None,
) -> bytes:
    """Return one line of JSON without its end.

    `evidence` holds raw material by digest as far as there is any; `own_addresses` are those that must not leave, and
    `country` is the configured one, for a network whose country is not known.
    """
    measurement = stored.measurement
    verdict = stored.verdicts[0].verdict if stored.verdicts else None
    at = measurement.started_at
    place = measurement.network.country or country or "ZZ"
    keys = _Keys(measurement, evidence, own_addresses)
    line = {
        "annotations": {
            "measurement_id": str(measurement.id),
            "target": measurement.target,
            "platform": stored.platform or "",
        },
        "data_format_version": "0.2.0",
        "extensions": _EXTENSIONS,
        "input": measurement.url,
        "measurement_start_time": f"{at:%Y-%m-%d %H:%M:%S}",
        "measurement_uid": f"{at:%Y%m%d%H%M%S.%f}_{place}_webconnectivity_{stored.digest[:16]}",
        "options": None,
        "probe_asn": f"AS{measurement.network.asn or 0}",
        "probe_cc": place,
        "probe_ip": "127.0.0.1",
        "probe_network_name": measurement.network.name or "",
        "report_id": "",
        "resolver_asn": f"AS{measurement.network.resolver_asn or 0}",
        "resolver_ip": "127.0.0.2",  # where OONI puts what it does not say
        "resolver_network_name": "",
        "software_name": SOFTWARE,
        "software_version": measurement.context.software,
        "test_helpers": {},
        "test_keys": {
            **keys.events(),
            "control": _control(control),
            "client_resolver": None,
            "retries": None,
            "socksproxy": None,
            "agent": "redirect",
            "network_events": [],
            **_summary(measurement, control, verdict),
            "x_verdict": verdict,
            "x_follow_ups": [one for one in measurement.observations if one.purpose not in _OWN],
        },
        "test_name": "web_connectivity",
        "test_runtime": measurement.elapsed_seconds,
        "test_start_time": f"{at:%Y-%m-%d %H:%M:%S}",
        "test_version": measurement.context.software,
    }
    return scrub(msgspec.json.encode(line), own_addresses)


class _Keys:
    """The lists of events of one measurement."""

    def __init__(self, measurement: Measurement, evidence: Mapping[str, bytes], own_addresses: Own) -> None:
        self._measurement = measurement
        self._evidence = evidence
        self._own = own_addresses
        self._transactions: dict[object, int] = {}

    def events(self) -> dict[str, Any]:
        """Return queries, connections, handshakes and requests."""
        own = [one for one in self._measurement.observations if one.purpose in _OWN]
        return {
            "queries": [self._query(one, place) for place, one in enumerate(own) if isinstance(one, DnsObservation)],
            "tcp_connect": [
                self._connect(one) for one in own if isinstance(one, TcpObservation) and not one.is_by_name
            ],
            "tls_handshakes": [self._handshake(one) for one in own if isinstance(one, TlsObservation)],
            "requests": [self._request(one) for one in reversed(own) if isinstance(one, HttpObservation)],
        }

    def _common(self, one: Observation, transaction: object) -> dict[str, Any]:
        tags = ["classic"] if one.purpose is Purpose.PATH else []
        return {
            "failure": one.failure,
            "t0": one.started_seconds,
            "t": round(one.started_seconds + one.elapsed_seconds, 6),
            "transaction_id": self._transactions.setdefault(transaction, len(self._transactions) + 1),
            "tags": [*tags, f"depth={one.hop}", f"purpose={one.purpose}"],
        }

    def _query(self, one: DnsObservation, place: int) -> dict[str, Any]:
        raw = next((self._evidence[digest] for digest in one.evidence if digest in self._evidence), None)
        ttls: Sequence[int | None] = one.ttls_seconds or (None,) * len(one.answers)
        return {
            **self._common(one, ("query", place)),
            # The system's resolver, asked directly: to a reader of OONI's data that is what users get.
            "engine": _ENGINES.get(one.transport, "udp") if one.purpose is Purpose.OTHER_RESOLVER else "system",
            "hostname": one.host,
            "query_type": one.query_type,
            "rcode": one.rcode,
            "raw_response": None if raw is None else _base64(scrub_packed(raw, self._own)),
            "resolver_address": _resolver_address(one.resolver),
            "answers": [
                {
                    "answer_type": answer.type,
                    {"A": "ipv4", "AAAA": "ipv6"}.get(answer.type, "hostname"): answer.value,
                    "ttl": ttl,
                }
                for answer, ttl in zip(one.answers, ttls, strict=False)
            ],
        }

    def _connect(self, one: TcpObservation) -> dict[str, Any]:
        common = self._common(one, _endpoint(one))
        failure = common.pop("failure")
        return {
            **common,
            "ip": one.address,
            "port": one.port,
            "status": {"success": failure is None, "failure": failure, "blocked": None},
        }

    def _handshake(self, one: TlsObservation) -> dict[str, Any]:
        chain = [self._evidence[digest] for digest in one.evidence if digest in self._evidence]
        return {
            **self._common(one, _endpoint(one)),
            "network": "tcp",
            "address": _address(one.address, one.port),
            "server_name": one.server_name or "",
            "outer_server_name": "",
            "echconfig": "",
            "tls_version": one.version or "",
            "cipher_suite": one.cipher or "",
            "negotiated_protocol": one.alpn or "",
            "no_tls_verify": False,
            "peer_certificates": [{"format": "base64", "data": _base64(one)} for one in chain],
            "so_error": None,
        }

    def _request(self, one: HttpObservation) -> dict[str, Any]:
        raw = next((self._evidence[digest] for digest in one.evidence if digest in self._evidence), b"")
        head, _, body = scrub(raw, self._own).partition(b"\r\n\r\n")
        pairs = [*_head(head)] if raw else [*one.headers]
        return {
            **self._common(one, _endpoint(one)),
            "network": "tcp",
            "address": _address(one.address, one.port) if one.address else "",
            "alpn": {"2": "h2", "1.1": "http/1.1"}.get(one.http_version or "", ""),
            "request": {
                "url": one.url,
                "method": one.method,
                "headers": {},
                "headers_list": [],
                "body": "",
                "body_is_truncated": False,
                "tor": {"is_tor": False, "exit_ip": None, "exit_name": None},
                "x_transport": "tcp",
            },
            "response": {
                "code": one.status_code or 0,
                "headers": dict(pairs),
                "headers_list": [[name, value] for name, value in pairs],
                "body": _text_or_base64(body),
                "body_is_truncated": one.body_is_truncated or len(body) < one.body_bytes,
            },
        }


def _endpoint(one: TcpObservation | TlsObservation | HttpObservation) -> tuple[object, ...]:
    """Tell which events belong to one connection; what was tried for another purpose had its own."""
    return one.address, one.port, one.hop, one.purpose


def _address(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()


def _text_or_base64(content: bytes) -> str | dict[str, str]:
    try:
        return content.decode()
    except UnicodeDecodeError:
        return {"format": "base64", "data": _base64(content)}


def _head(head: bytes) -> Iterator[tuple[str, str]]:
    for line in head.split(b"\r\n")[1:]:
        name, colon, value = line.partition(b":")
        if colon:
            yield name.decode("latin-1"), value.strip().decode("utf-8", "replace")


def _resolver_address(resolver: str) -> str:
    """Return a resolver's address as OONI writes it; one that is not public tells of the vantage's own network."""
    if "://" not in resolver:
        return "private"
    parts = urlsplit(resolver.replace("@", "#"))
    pinned = resolver.rpartition("@")[2] if "@" in resolver else ""
    host = (pinned or parts.hostname or "").strip("[]")
    try:
        return resolver.partition("@")[0] if ipaddress.ip_address(host).is_global else "private"
    except ValueError:
        return resolver.partition("@")[0]


def _summary(measurement: Measurement, control: Measurement | None, verdict: Verdict | None) -> dict[str, Any]:
    blocking, accessible = _conclusion(verdict)
    path = [one for one in measurement.observations if one.purpose is Purpose.PATH]
    lookups = [one for one in path if isinstance(one, DnsObservation) and one.hop == 0]
    responses = [one for one in path if isinstance(one, HttpObservation)]
    theirs = [one for one in control.observations if isinstance(one, HttpObservation)] if control else []
    status = responses[-1].status_code if responses else None
    control_status = theirs[-1].status_code if theirs else None
    lied = verdict is not None and any(label.startswith("dns.") for label in verdict.mechanisms)
    resolved = any(one.addresses for one in lookups)
    last = path[-1] if path else None
    return {
        "blocking": blocking,
        "accessible": accessible,
        "control_failure": None if control is not None else "unknown_failure: no control",
        "dns_experiment_failure": None if resolved else next((one.failure for one in lookups if one.failure), None),
        "dns_consistency": "inconsistent" if lied else "consistent" if resolved and control else None,
        "http_experiment_failure": last.failure if last is not None and not isinstance(last, DnsObservation) else None,
        "body_length_match": None,
        "body_proportion": 0.0,
        "status_code_match": None if None in {status, control_status} else status == control_status,
        "headers_match": None,
        "title_match": None,
    }


def _conclusion(verdict: Verdict | None) -> tuple[str | bool | None, bool | None]:
    """Return OONI's `blocking` and `accessible` for a verdict; what they have no word for is null."""
    if verdict is not None and verdict.status is Status.ACCESSIBLE:
        return False, True
    if verdict is not None and verdict.status is Status.DOWN:
        return False, False
    if verdict is None or verdict.status is not Status.BLOCKED:
        return None, None
    first = verdict.mechanisms[0] if verdict.mechanisms else str(verdict.layer or "http")
    return "http-diff" if first.startswith(_DIFFERS) else _BLOCKING.get(first.partition(".")[0], "http-failure"), False


def _control(control: Measurement | None) -> dict[str, Any] | None:
    """Return what a control saw at the first hop, as OONI's test helper tells it."""
    if control is None:
        return None
    first = [one for one in control.observations if one.hop == 0 and one.purpose in _OWN | {Purpose.CONTROL_CHECK}]
    lookups = [one for one in first if isinstance(one, DnsObservation)]
    addresses = list(dict.fromkeys(address for one in lookups for address in one.addresses))
    served = [one for one in control.observations if isinstance(one, HttpObservation)]
    last = served[-1] if served else None
    return {
        "dns": {
            "failure": None if addresses else next((one.failure for one in lookups if one.failure), None),
            "addrs": addresses,
        },
        "tcp_connect": {
            _address(one.address, one.port): {"status": one.failure is None, "failure": one.failure}
            for one in first
            if isinstance(one, TcpObservation) and not one.is_by_name
        },
        "tls_handshake": {
            _address(one.address, one.port): {
                "server_name": one.server_name or "",
                "status": one.failure is None,
                "failure": one.failure,
            }
            for one in first
            if isinstance(one, TlsObservation)
        },
        "quic_handshake": {},
        "http_request": {
            "body_length": last.body_bytes if last else -1,
            "discovered_h3_endpoint": "",
            "failure": last.failure if last else "unknown_failure: no request",
            "title": (last.title if last else None) or "",
            "headers": dict(last.headers) if last else {},
            "status_code": (last.status_code if last else None) or -1,
        },
        "http3_request": None,
        "ip_info": {},
    }
