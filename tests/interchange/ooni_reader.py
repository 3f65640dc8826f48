"""A strict reader of OONI's format: required keys and the types of each, as ooni/data's dataclasses have them."""

import base64
import re
from typing import Any

import msgspec


class Binary(msgspec.Struct, forbid_unknown_fields=True):
    format: str
    data: str


MaybeBinary = str | Binary | None


class Answer(msgspec.Struct):
    answer_type: str
    ipv4: str | None = None
    ipv6: str | None = None
    hostname: str | None = None
    asn: int | None = None
    as_org_name: str | None = None
    ttl: int | None = None


class Query(msgspec.Struct):
    hostname: str
    query_type: str
    failure: str | None
    engine: str | None = None
    answers: list[Answer] | None = None
    raw_response: str | None = None
    rcode: int | None = None
    resolver_address: str | None = None
    transaction_id: int | None = None
    t: float | None = None
    t0: float | None = None


class ConnectStatus(msgspec.Struct):
    success: bool
    failure: str | None
    blocked: bool | None = None


class Connect(msgspec.Struct):
    ip: str
    port: int
    status: ConnectStatus
    transaction_id: int | None = None
    t: float | None = None
    t0: float | None = None


class Handshake(msgspec.Struct):
    failure: str | None
    network: str | None = None
    address: str | None = None
    cipher_suite: str | None = None
    so_error: str | None = None
    negotiated_protocol: str | None = None
    no_tls_verify: bool | None = None
    peer_certificates: list[Binary] | None = None
    server_name: str | None = None
    tags: list[str] | None = None
    tls_version: str | None = None
    transaction_id: int | None = None
    t: float | None = None
    t0: float | None = None


class HttpRequest(msgspec.Struct):
    url: str
    method: str | None = None
    headers: dict[str, str] | None = None
    headers_list: list[tuple[MaybeBinary, MaybeBinary]] | None = None
    body: MaybeBinary = None
    x_transport: str | None = None


class HttpResponse(msgspec.Struct):
    code: int | None = None
    headers: dict[str, str] | None = None
    headers_list: list[tuple[MaybeBinary, MaybeBinary]] | None = None
    body: MaybeBinary = None
    body_is_truncated: bool | None = None


class Transaction(msgspec.Struct):
    failure: str | None
    request: HttpRequest
    response: HttpResponse
    network: str | None = None
    address: str | None = None
    alpn: str | None = None
    transaction_id: int | None = None
    t: float | None = None
    t0: float | None = None


class Reached(msgspec.Struct):
    status: bool | None
    failure: str | None
    server_name: str | None = None


class ControlHttp(msgspec.Struct):
    body_length: int | None
    failure: str | None
    title: str | None
    headers: dict[str, str] | None
    status_code: int | None


class ControlDns(msgspec.Struct):
    failure: str | None
    addrs: list[str] | None


class Control(msgspec.Struct):
    tcp_connect: dict[str, Reached] | None
    tls_handshake: dict[str, Reached] | None
    http_request: ControlHttp | None
    dns: ControlDns | None


class Keys(msgspec.Struct):
    queries: list[Query]
    tcp_connect: list[Connect]
    tls_handshakes: list[Handshake]
    requests: list[Transaction]
    network_events: list[dict[str, Any]]
    control: Control | None
    dns_experiment_failure: str | None
    control_failure: str | None
    http_experiment_failure: str | None
    dns_consistency: str | None
    body_length_match: bool | None
    body_proportion: float | None
    status_code_match: bool | None
    headers_match: bool | None
    title_match: bool | None
    accessible: bool | None
    blocking: str | bool | None
    client_resolver: str | None
    retries: int | None
    socksproxy: str | None
    x_verdict: dict[str, Any]


class WebConnectivity(msgspec.Struct):
    input: str
    report_id: str
    measurement_start_time: str
    test_start_time: str
    probe_asn: str
    probe_cc: str
    test_name: str
    test_version: str
    test_runtime: float
    software_name: str
    software_version: str
    test_keys: Keys
    probe_ip: str
    annotations: dict[str, str]
    resolver_asn: str
    resolver_ip: str
    resolver_network_name: str
    probe_network_name: str
    test_helpers: dict[str, Any]
    data_format_version: str
    measurement_uid: str


def read(line: bytes | str) -> WebConnectivity:
    """Return the measurement of one line; raises msgspec.ValidationError or ValueError if OONI could not read it."""
    found = msgspec.json.decode(line, type=WebConnectivity, strict=True)
    for text, form in (
        (found.measurement_start_time, r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d"),
        (found.test_start_time, r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d"),
        (found.probe_asn, r"AS\d+"),
        (found.probe_cc, r"[A-Z]{2}"),
        (found.measurement_uid, r"\d{14}\.\d{6}_[A-Z]{2}_webconnectivity_[0-9a-f]{16}"),
    ):
        if not re.fullmatch(form, text):
            raise ValueError(text)
    if found.test_name != "web_connectivity" or found.test_keys.blocking is True:
        raise ValueError(found.test_name)
    for handshake in found.test_keys.tls_handshakes:
        for one in handshake.peer_certificates or ():
            base64.b64decode(one.data, validate=True)
    for query in found.test_keys.queries:
        base64.b64decode(query.raw_response or "", validate=True)
    return found
