"""OONI Web Connectivity measurements → ours: facts only, `blocking` and `accessible` are never read as such.

Reads what ooniprobe 0.4 and 0.5 write and the older forms. What it saw becomes observations of the same steps; what it
did not see stays absent:

- 0.4 and older see name lookup, connection and handshake of the first hop alone. A response over TLS further down the
  chain proves that its client verified the certificate (it never accepts another), which is kept as `verified_unseen`.
- The test helper becomes a measurement of a control vantage. It follows redirects by itself and tells the end only, so
  it knows names and endpoints of the first hop and no other.
- 0.5 also tries addresses of other resolvers and of the test helper: `other_address`, as a follow-up of ours would be.
"""

import hashlib
import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec
from cryptography import x509

from monitor.interchange.ooni_failure import failure_from
from monitor.interchange.received_json import Fields, binary, fields, headers, objects, seconds, text, whole
from monitor.model.failure import CERTIFICATE_FAILURES, UNKNOWN_FAILURE, Failure
from monitor.model.identifier import imported_id
from monitor.model.measurement import Evidence, Measurement, Recording, RunContext
from monitor.model.observation import (
    VERIFIED_UNSEEN,
    DnsAnswer,
    DnsObservation,
    FailureDetail,
    HttpObservation,
    Observation,
    Purpose,
    TcpObservation,
    TlsObservation,
)
from monitor.model.outcome import Imported
from monitor.model.target import Expectation, Target
from monitor.model.vantage import NetworkIdentity, Role, VantageInfo
from monitor.network.certificates import covers_name
from monitor.network.exchange import (
    HEADERS_KEPT,
    KEPT_HEADERS,
    NAME_LENGTH,
    REDIRECTS,
    TITLE_LENGTH,
    VALUE_LENGTH,
    page_title,
)
from monitor.network.received import printable
from monitor.network.web_url import WebUrl, web_url

SOURCE: Final = "ooni"
CONTROL: Final = VantageInfo(name="ooni-control", kind=SOURCE, role=Role.CONTROL)
IMPORTED_PLATFORM: Final = "imported"
_MOST: Final = 150  # of each kind of entry: four kinds stay below what one measurement can hold
_MOST_ANSWERS: Final = 64
_MOST_HOPS: Final = 11
_CERTIFICATES: Final = 10
_BODY_BYTES: Final = 1 << 20
_NUMBERS: Final = range(1, 2**32)
_SYSTEM_ENGINES: Final = frozenset({"", "system", "getaddrinfo", "golang_net_resolver", "unknown"})
_ENCRYPTED_ENGINES: Final = {"doh": "https", "dot": "tls", "tcp": "tcp"}
_RCODES: Final = {"dns_nxdomain_error": 3, "dns_servfail_error": 2, "dns_refused_error": 5}
_UNSEEN: Final = FailureDetail(reason=VERIFIED_UNSEEN)
_LABEL_KEYS: Final = (
    "blocking", "accessible", "dns_consistency", "control_failure", "x_status", "x_dns_flags", "x_blocking_flags",
    "x_null_null_flags",
)  # fmt: skip


class NotOursError(ValueError):
    """A line that cannot be taken in; the message says why in a few words that hold nothing of it."""


class Taken(msgspec.Struct, frozen=True, kw_only=True):
    """An OONI measurement in our form; `control` is what its test helper saw."""

    recording: Recording
    imported: Imported
    vantage: VantageInfo
    control: Recording | None
    control_imported: Imported
    expectation: Expectation
    target: Target


@dataclass
class _Trace:
    """The measurement under construction."""

    chain: list[WebUrl]  # one for each hop
    observations: list[Observation] = field(default_factory=list)
    evidence: dict[str, Evidence] = field(default_factory=dict)
    given: dict[int, set[str]] = field(default_factory=dict)  # by hop: addresses of the system resolver

    def keep(self, kind: str, content: bytes) -> str:
        sha256 = hashlib.sha256(content).hexdigest()
        self.evidence.setdefault(sha256, Evidence(sha256=sha256, kind=kind, content=content))
        return sha256

    def url(self, hop: int) -> WebUrl | None:
        return self.chain[hop] if hop < len(self.chain) else None

    def purpose(self, hop: int, address: str, port: int) -> Purpose:
        """Return why an address was tried: the way of a client, whose it is, or one that only others know."""
        url = self.url(hop)
        if url is not None and not url.is_tls and not url.names_port and port == 443:
            return Purpose.ADDRESS_CHECK
        known = self.given.get(hop, set())
        return Purpose.PATH if not known or address in known else Purpose.OTHER_ADDRESS


def taken(found: object, targets: "Targets") -> Taken:
    """Translate one decoded line; raises NotOursError. `targets` tells which target a URL belongs to."""
    entry = fields(found)
    keys = fields(entry.get("test_keys"))
    if not entry or not keys:
        raise NotOursError("no measurement with test_keys")
    if text(entry.get("test_name")) != "web_connectivity":
        raise NotOursError("not of the test web_connectivity")
    url = _url(entry.get("input"))
    if url is None:
        raise NotOursError("its input is no http or https URL")
    at = _instant(entry)
    if at is None:
        raise NotOursError("no readable measurement_start_time")
    country = text(entry.get("probe_cc")).upper()
    if len(country) != 2 or not country.isascii() or not country.isalpha():
        raise NotOursError("no probe_cc")
    asn = _number(entry.get("probe_asn"))
    imported = _identity(entry, url.text, at)
    target, is_exact = targets.of(url)
    trace = _Trace(chain=[url])
    _read(trace, keys)
    software = " ".join(
        part
        for name in ("software_name", "software_version", "test_version")
        if (part := printable(text(entry.get(name)), 40))
    )
    context = RunContext(
        software=f"{SOURCE}: {software or 'unknown'}", config_digest="", ca_digest="", hello_profile=f"{SOURCE}-unknown"
    )
    network = NetworkIdentity(
        asn=asn,
        name=printable(text(entry.get("probe_network_name")), 100) or None,
        country=None if country == "ZZ" else country,
        resolver_asn=_number(entry.get("resolver_asn")),
    )
    measurement = Measurement(
        id=imported_id(at, imported.keys[0]),
        target=target.name,
        url=url.text,
        vantage=vantage_name(country, asn),
        started_at=at,
        elapsed_seconds=seconds(entry.get("test_runtime")),
        context=context,
        network=network,
        observations=tuple(trace.observations),
    )
    return Taken(
        recording=Recording(measurement=measurement, evidence=tuple(trace.evidence.values())),
        control=_control(keys, measurement, url, imported),
        imported=imported,
        vantage=VantageInfo(name=measurement.vantage, kind=SOURCE, country=network.country, claimed_asn=asn),
        control_imported=Imported(source=SOURCE, keys=(_control_key(imported),)),
        expectation=_expectation(target.expectation) if is_exact else Expectation(),
        target=target,
    )


def vantage_name(country: str, asn: int | None) -> str:
    """Return the name of the vantage that stands for every probe of one network: ooni-pk-as17557."""
    return f"{SOURCE}-{country.lower()}-as{asn or 0}"


class Targets:
    """Finds the target of a URL: the configured one of that URL, of that host, or one named after the host."""

    def __init__(self, configured: "Iterator[Target] | tuple[Target, ...]") -> None:
        self._by_url: dict[str, Target] = {}
        self._by_host: dict[str, Target] = {}
        for target in configured:
            url = _url(target.url)
            if url is not None:
                self._by_url.setdefault(url.text.rstrip("/"), target)
                self._by_host.setdefault(_bare(url.host), target)

    def of(self, url: WebUrl) -> tuple[Target, bool]:
        """Return the target, and whether it is a configured one."""
        known = self._by_url.get(url.text.rstrip("/")) or self._by_host.get(_bare(url.host))
        if known is not None:
            return known, True
        # A stable name is never an address.
        name = f"literal-{hashlib.sha256(url.host.encode()).hexdigest()[:12]}" if url.is_literal else _bare(url.host)
        return Target(name=name, platform=IMPORTED_PLATFORM, url=url.text), False


def _bare(host: str) -> str:
    return host.rstrip(".").removeprefix("www.")


def _expectation(declared: Expectation) -> Expectation:
    """Leave of what a target declares how far the way goes and which statuses are well.

    Title, text and final host describe today's page: history would fail by them when a platform renames itself.
    """
    return Expectation(tls_only=declared.tls_only, tcp_only=declared.tcp_only, statuses=declared.statuses)


def _url(value: object) -> WebUrl | None:
    try:
        return web_url(text(value))
    except ValueError:
        return None


def _instant(entry: Fields) -> datetime | None:
    for name in ("measurement_start_time", "test_start_time"):
        try:
            at = datetime.fromisoformat(text(entry.get(name)))
        except ValueError:
            continue
        at = at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
        # OONI began in 2012.
        if 2012 <= at.year <= 2200:
            return at
    return None


def _number(value: object) -> int | None:
    """Read an AS number as OONI writes it, `AS17557`; AS0 is unknown."""
    digits = value.upper().removeprefix("AS") if isinstance(value, str) else str(whole(value) or "")
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 10):
        return None
    return int(digits) if int(digits) in _NUMBERS else None


def _identity(entry: Fields, url: str, at: datetime) -> Imported:
    """Return every name that the measurement may come under again."""
    uid = printable(text(entry.get("measurement_uid")), 100)
    report = printable(text(entry.get("report_id")), 200)
    names = [f"report {report} {url} {at.isoformat()}"] if report else []
    names += [f"uid {uid}"] if uid else []
    if not names:
        # Not from OONI's archive: known by what it says.
        names = [f"content {msgspec.json.encode(entry, order='sorted').decode(errors='replace')}"]
    keys = fields(entry.get("test_keys"))
    label = {name: keys[name] for name in _LABEL_KEYS if name in keys and isinstance(keys[name], str | bool | int)}
    said = {name: printable(value, 60) if isinstance(value, str) else value for name, value in label.items()}
    return Imported(
        source=SOURCE,
        keys=tuple(hashlib.sha256(f"{SOURCE} {name}".encode()).digest() for name in names),
        uid=uid or None,
        report=report or None,
        label=msgspec.json.encode(said).decode(),
    )


# --- What the probe saw


def _read(trace: _Trace, keys: Fields) -> None:
    requests = list(objects(keys.get("requests"), _MOST))[::-1]  # newest first
    exchanges = list(_by_hop(trace, requests))
    handshakes = [*objects(keys.get("tls_handshakes"), _MOST)]
    connections = [*objects(keys.get("tcp_connect"), _MOST)]
    for query in objects(keys.get("queries"), _MOST):
        _lookup(trace, query)
    for connection in connections:
        _connection(trace, connection)
    for handshake in handshakes:
        _handshake(trace, handshake, connections)
    for hop, one in exchanges:
        _exchange(trace, hop, one)


def _by_hop(trace: _Trace, requests: list[Fields]) -> Iterator[tuple[int, Fields]]:
    """Tell each request its hop, by its tag or by its place in the chain, and note where the hops lead."""
    for place, one in enumerate(requests):
        depth = _depth(one)
        hop = place if depth is None else depth
        url = _url(fields(one.get("request")).get("url"))
        if url is None or hop >= _MOST_HOPS or hop > len(trace.chain):
            continue
        if hop == len(trace.chain):
            trace.chain.append(url)
        elif hop:
            trace.chain[hop] = url
        yield hop, one


def _depth(entry: Fields) -> int | None:
    tags = entry.get("tags")
    for tag in tags[:20] if isinstance(tags, list) else ():
        if isinstance(tag, str) and tag.startswith("depth=") and tag[6:].isascii() and tag[6:].isdigit():
            return min(int(tag[6:9]), _MOST_HOPS)
    return None


def _timing(entry: Fields) -> dict[str, Any]:
    end = seconds(entry.get("t"))
    start = seconds(entry.get("t0")) if "t0" in entry else end
    return {"started_seconds": round(start, 6), "elapsed_seconds": round(max(0.0, end - start), 6)}


def _hop_of_host(trace: _Trace, entry: Fields, host: str) -> int | None:
    depth = _depth(entry)
    if depth is not None:
        return depth
    return next((hop for hop, url in enumerate(trace.chain) if url.host.rstrip(".") == host), None)


def _lookup(trace: _Trace, query: Fields) -> None:
    host = text(query.get("hostname")).rstrip(".").lower()
    hop = _hop_of_host(trace, query, host)
    url = None if hop is None else trace.url(hop)
    if hop is None or url is None or url.host.rstrip(".") != host or url.is_literal:
        return  # of the probe's own business: whoami, other names
    engine = text(query.get("engine")).lower()
    is_system = engine in _SYSTEM_ENGINES
    answers = list(_answers(query))
    failure = failure_from(query.get("failure"))
    asked = text(query.get("query_type")).upper()
    kinds = (asked,) if asked in {"A", "AAAA"} else ("A", "AAAA") if asked == "ANY" else ()
    raw = binary({"data": query.get("raw_response")}) if isinstance(query.get("raw_response"), str) else None
    for kind in kinds:
        own = tuple(answer for answer in answers if answer.type in {kind, "CNAME"})
        found = any(answer.type == kind for answer in own)
        # One question for both families: what one lacks says nothing while the other has it.
        if asked == "ANY" and not found and (answers or kind == "AAAA"):
            continue
        if is_system:
            trace.given.setdefault(hop, set()).update(answer.value for answer in own if answer.type == kind)
        rcode = whole(query.get("rcode"))
        trace.observations.append(
            DnsObservation(
                purpose=Purpose.PATH if is_system else Purpose.OTHER_RESOLVER,
                hop=hop,
                **_timing(query),
                failure=failure or (None if found else Failure.DNS_NO_ANSWER),
                evidence=(trace.keep("dns_reply", raw),) if raw else (),
                host=host,
                query_type=kind,
                resolver="system" if is_system else _resolver(engine, query),
                transport=_ENCRYPTED_ENGINES.get(engine, "udp"),
                rcode=rcode if rcode is not None and 0 <= rcode <= 4095 else _RCODES.get(failure or "", None),
                answers=own,
            )
        )


def _answers(query: Fields) -> Iterator[DnsAnswer]:
    for one in objects(query.get("answers"), _MOST_ANSWERS):
        kind = text(one.get("answer_type"))
        value = text(one.get({"A": "ipv4", "AAAA": "ipv6"}.get(kind, "hostname")))
        if kind in {"A", "AAAA"} and (address := _address(value)):
            yield DnsAnswer(kind, address)
        elif kind == "CNAME" and value:
            yield DnsAnswer(kind, printable(value, 253))


def _address(value: str) -> str | None:
    try:
        return str(ipaddress.ip_address(value.strip("[]")))
    except ValueError:
        return None


def _resolver(engine: str, query: Fields) -> str:
    """Return the resolver as our observations name it; a private address never appears."""
    address = printable(text(query.get("resolver_address")), 200)
    if engine == "doh":
        host = urlsplit(address).hostname if "//" in address else None
        return f"https://{host or 'unknown'}/dns-query"
    host = _address(address.rpartition(":")[0]) or _address(address)
    public = host if host and ipaddress.ip_address(host).is_global else "private"
    return f"{_ENCRYPTED_ENGINES.get(engine, 'udp')}://{public}"


def _connection(trace: _Trace, entry: Fields) -> None:
    address, port = _address(text(entry.get("ip"))), whole(entry.get("port"))
    if address is None or port is None or not 0 < port < 65_536:
        return
    status = fields(entry.get("status"))
    failure = failure_from(status.get("failure"))
    if failure is None and status.get("success") is False:
        failure = failure_from("no reason given")
    hop = _depth(entry) or 0
    trace.observations.append(
        TcpObservation(
            purpose=trace.purpose(hop, address, port),
            hop=hop,
            **_timing(entry),
            failure=failure,
            address=address,
            port=port,
        )
    )


def _endpoint(value: object) -> tuple[str, int] | None:
    host, _, port = text(value).rpartition(":")
    address = _address(host)
    if address is None or not (port.isascii() and port.isdigit() and len(port) <= 5 and 0 < int(port) < 65_536):
        return None
    return address, int(port)


def _handshake(trace: _Trace, entry: Fields, connections: list[Fields]) -> None:
    if text(entry.get("network")) in {"udp", "quic"}:
        return  # QUIC is not a step that rules read yet
    hop = _depth(entry) or 0
    endpoint = _endpoint(entry.get("address")) or _only_endpoint(connections)
    if endpoint is None:
        return
    url = trace.url(hop)
    server_name = printable(text(entry.get("server_name")), 253) or (url.host if url and not url.is_literal else None)
    failure = failure_from(entry.get("failure"))
    chain = _certificates(entry)
    # A handshake that did not look at the certificate proves nothing by having succeeded.
    is_blind = entry.get("no_tls_verify") is True and failure is None
    leaf = _leaf(chain[0], server_name) if chain else {}
    trace.observations.append(
        TlsObservation(
            purpose=trace.purpose(hop, *endpoint),
            hop=hop,
            **_timing(entry),
            failure=failure,
            detail=_UNSEEN if failure is None and not chain and not is_blind else None,
            evidence=tuple(trace.keep("certificate", one) for one in chain),
            address=endpoint[0],
            port=endpoint[1],
            server_name=server_name,
            version=printable(text(entry.get("tls_version")), 20) or None,
            cipher=printable(text(entry.get("cipher_suite")), 60) or None,
            alpn=printable(text(entry.get("negotiated_protocol")), 20) or None,
            chain=() if is_blind else tuple(hashlib.sha256(one).hexdigest() for one in chain),
            certificate_failures=(failure,) if failure in CERTIFICATE_FAILURES else (),
            **leaf,
        )
    )


def _only_endpoint(connections: list[Fields]) -> tuple[str, int] | None:
    """Return the one endpoint that a connection succeeded to, for old handshakes that name none."""
    found = {
        (address, port)
        for one in connections
        if (address := _address(text(one.get("ip")))) and (port := whole(one.get("port")))
        and failure_from(fields(one.get("status")).get("failure")) is None
    }  # fmt: skip
    return found.pop() if len(found) == 1 else None


def _certificates(entry: Fields) -> list[bytes]:
    listed = entry.get("peer_certificates")
    decoded = [binary(one) for one in listed[:_CERTIFICATES]] if isinstance(listed, list) else []
    return [one for one in decoded if one]


def _leaf(der: bytes, server_name: str | None) -> dict[str, Any]:
    try:
        leaf = x509.load_der_x509_certificate(der)
        return {
            "leaf_issuer": printable(leaf.issuer.rfc4514_string(), 256),
            "leaf_not_before": int(leaf.not_valid_before_utc.timestamp()),
            "leaf_not_after": int(leaf.not_valid_after_utc.timestamp()),
            "leaf_covers_name": covers_name(leaf, server_name) if server_name else None,
        }
    except ValueError:
        return {}


def _exchange(trace: _Trace, hop: int, entry: Fields) -> None:
    url = trace.chain[hop]
    response = fields(entry.get("response"))
    failure = failure_from(entry.get("failure"))
    if failure is not None and (seen := _seen_below(trace, hop, url)) is not True:
        if seen is False:
            return  # the client never came to ask: the failure is that of a step below, which has its own
        failure = f"{UNKNOWN_FAILURE}{failure.removeprefix(UNKNOWN_FAILURE)}, at a layer that was not told"
    status = whole(response.get("code"))
    status = status if status is not None and 100 <= status <= 599 else None
    address, port = _endpoint(entry.get("address")) or _likely_endpoint(trace, hop, url)
    is_seen = any(isinstance(one, TlsObservation) and one.hop == hop for one in trace.observations)
    vouched = url.is_tls and failure is None and status is not None and not is_seen
    pairs = headers(response)
    full = binary(response.get("body")) or b""
    body = full[:_BODY_BYTES]
    location = _location(url, status, pairs)
    title = page_title(body)
    raw = b"\r\n".join(
        (
            f"HTTP/1.1 {status}".encode(),
            *(_header_line(name, value) for name, value in pairs),
            b"",
            body,
        )
    )
    has_response = status is not None
    trace.observations.append(
        HttpObservation(
            purpose=trace.purpose(hop, address, port) if address else Purpose.PATH,
            hop=hop,
            **_timing(entry),
            failure=failure,
            detail=_UNSEEN if vouched else None,
            evidence=(trace.keep("http_response", raw),) if has_response else (),
            url=url.text,
            address=address,
            port=port,
            is_tls=url.is_tls,
            method=printable(text(fields(entry.get("request")).get("method")), 10) or "GET",
            status_code=status,
            header_names=_names(pairs),
            headers=_kept(pairs),
            location=location,
            title=None if title is None else printable(title, TITLE_LENGTH),
            body_bytes=len(body),
            body_is_truncated=response.get("body_is_truncated") is True or len(full) > len(body),
            body_digest=hashlib.sha256(body).hexdigest()[:32] if has_response else None,
        )
    )


def _seen_below(trace: _Trace, hop: int, url: WebUrl) -> bool | None:
    """Tell whether the steps below a request succeeded; None if that cannot be known, as in old data."""
    below = [one for one in trace.observations if one.hop == hop and one.purpose is not Purpose.OTHER_RESOLVER]
    top = [one for one in below if isinstance(one, TlsObservation if url.is_tls else TcpObservation)]
    if any(one.failure is None for one in top):
        return True
    names = [one for one in below if isinstance(one, DnsObservation)]
    connections = [one for one in below if isinstance(one, TcpObservation)]
    no_name = bool(names) and all(one.failure is not None for one in names)
    no_connection = bool(connections) and all(one.failure is not None for one in connections)
    return False if top or no_name or no_connection else None


def _likely_endpoint(trace: _Trace, hop: int, url: WebUrl) -> tuple[str, int]:
    """Return the first endpoint that let itself be connected to, which the client of old versions takes; or none."""
    return next(
        (
            (one.address, one.port)
            for one in trace.observations
            if isinstance(one, TcpObservation) and one.hop == hop and one.failure is None and one.port == url.port
        ),
        ("", url.port),
    )


def _header_line(name: str, value: bytes) -> bytes:
    line = name.encode("ascii", "replace") + b": " + (b"" if name.lower() == "set-cookie" else value)
    return line.replace(b"\r", b" ").replace(b"\n", b" ")


def _names(pairs: list[tuple[str, bytes]]) -> tuple[str, ...]:
    return tuple(sorted({printable(name.lower(), NAME_LENGTH) for name, _ in pairs})[:HEADERS_KEPT])


def _kept(pairs: list[tuple[str, bytes]]) -> tuple[tuple[str, str], ...]:
    kept = [(name.lower(), printable(value, VALUE_LENGTH)) for name, value in pairs if name.lower() in KEPT_HEADERS]
    return tuple(sorted(kept)[:HEADERS_KEPT])


def _location(url: WebUrl, status: int | None, pairs: list[tuple[str, bytes]]) -> str | None:
    reference = next((value for name, value in pairs if name.lower() == "location"), None)
    if status not in REDIRECTS or reference is None:
        return None
    try:
        return url.join(reference.decode("utf-8", "replace")).text
    except ValueError:
        return None


# --- What its test helper saw


def _control(keys: Fields, measurement: Measurement, url: WebUrl, imported: Imported) -> Recording | None:
    control = fields(keys.get("control"))
    if not control or failure_from(keys.get("control_failure")) is not None:
        return None
    answer = fields(control.get("http_request"))
    addresses = _helper_addresses(control)
    observations = [*_helper_lookups(control, url, addresses), *_helper_endpoints(control, url, addresses, answer)]
    if answer:
        observations.append(_helper_exchange(answer, url, observations))
    if not observations:
        return None
    return Recording(
        measurement=msgspec.structs.replace(
            measurement,
            id=imported_id(measurement.started_at, _control_key(imported)),
            vantage=CONTROL.name,
            elapsed_seconds=0.0,
            network=NetworkIdentity(),
            observations=tuple(observations),
        )
    )


def _control_key(imported: Imported) -> bytes:
    return hashlib.sha256(b"control " + imported.keys[0]).digest()


def _helper_addresses(control: Fields) -> list[str]:
    listed = fields(control.get("dns")).get("addrs")
    found = map(_address, map(text, listed[:_MOST_ANSWERS])) if isinstance(listed, list) else ()
    return [one for one in found if one]


def _helper_lookups(control: Fields, url: WebUrl, addresses: list[str]) -> Iterator[Observation]:
    dns = control.get("dns")
    if url.is_literal or not isinstance(dns, dict):
        return
    failure = failure_from(dns.get("failure"))
    for kind in ("A", "AAAA"):
        own = tuple(DnsAnswer(kind, one) for one in addresses if (":" in one) == (kind == "AAAA"))
        if own or (kind == "A" and not addresses):
            yield DnsObservation(
                host=url.host.rstrip("."),
                query_type=kind,
                resolver="system",
                transport="udp",
                # The helper tells a name without addresses by an empty list and no failure.
                failure=None if own else failure or Failure.DNS_NO_ANSWER,
                rcode=None if own else _RCODES.get(failure or "", None),
                answers=own,
            )


def _helper_endpoints(control: Fields, url: WebUrl, addresses: list[str], answer: Fields) -> Iterator[Observation]:
    known = set(addresses)
    connected = []
    for name, status in [*fields(control.get("tcp_connect")).items()][:_MOST]:
        endpoint = _endpoint(name)
        if endpoint is None or not isinstance(status, dict):
            continue
        failure = _helper_failure(status)
        connected += [endpoint] if failure is None else []
        yield TcpObservation(
            purpose=_helper_purpose(endpoint, known, url), failure=failure, address=endpoint[0], port=endpoint[1]
        )
    shaken = [*fields(control.get("tls_handshake")).items()][:_MOST]
    for name, status in shaken:
        endpoint = _endpoint(name)
        if endpoint is None or not isinstance(status, dict):
            continue
        failure = _helper_failure(status)
        yield _helper_handshake(endpoint, _helper_purpose(endpoint, known, url), url, failure)
    is_served = failure_from(answer.get("failure")) is None and (whole(answer.get("status_code")) or 0) > 0
    if url.is_tls and not shaken and is_served and connected:
        # Older helpers tell no handshakes; that they were answered over https proves one.
        own = next((one for one in connected if one[0] in known and one[1] == url.port), None)
        if own is not None:
            yield _helper_handshake(own, Purpose.PATH, url, None)


def _helper_purpose(endpoint: tuple[str, int], known: set[str], url: WebUrl) -> Purpose:
    if not url.is_tls and not url.names_port and endpoint[1] == 443:
        return Purpose.ADDRESS_CHECK
    return Purpose.PATH if endpoint[0] in known or url.is_literal else Purpose.CONTROL_CHECK


def _helper_failure(status: Fields) -> str | None:
    failure = failure_from(status.get("failure"))
    return failure_from("no reason given") if failure is None and status.get("status") is False else failure


def _helper_handshake(endpoint: tuple[str, int], purpose: Purpose, url: WebUrl, failure: str | None) -> TlsObservation:
    return TlsObservation(
        purpose=purpose,
        failure=failure,
        detail=_UNSEEN if failure is None else None,
        address=endpoint[0],
        port=endpoint[1],
        server_name=None if url.is_literal else url.host.rstrip("."),
        certificate_failures=(failure,) if failure in CERTIFICATE_FAILURES else (),
    )


def _helper_exchange(answer: Fields, url: WebUrl, observations: list[Observation]) -> HttpObservation:
    status = whole(answer.get("status_code"))
    length = whole(answer.get("body_length"))
    failure = failure_from(answer.get("failure"))
    pairs = headers(answer)
    title = text(answer.get("title"))
    address = next((one.address for one in observations if isinstance(one, TcpObservation) and one.failure is None), "")
    return HttpObservation(
        failure=failure,
        url=url.text,
        address=address,
        port=url.port,
        is_tls=url.is_tls,
        status_code=status if status is not None and 100 <= status <= 599 else None,
        header_names=_names(pairs),
        headers=_kept(pairs),
        title=printable(title, TITLE_LENGTH) or None,
        body_bytes=max(0, length or 0),
    )
