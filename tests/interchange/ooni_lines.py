"""OONI Web Connectivity measurements as ooniprobe writes them: what its published data look like, by version."""

import copy
import datetime as dt
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

ADDRESS = "104.244.42.1"
OTHER = "104.244.42.65"
WHEN = "2024-02-18 10:00:00"


def certificate(name: str = "x.com") -> bytes:
    """A self-signed certificate for a name; to an import only its names and dates matter."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    begin = dt.datetime(2024, 1, 1, tzinfo=dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject).issuer_name(subject).public_key(key.public_key()).serial_number(7)
        .not_valid_before(begin).not_valid_after(begin + dt.timedelta(days=365))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)
    )  # fmt: skip


def base(url: str = "https://x.com/", **changes: Any) -> dict[str, Any]:
    """The fields around the test keys."""
    return {
        "annotations": {"engine_name": "ooniprobe-engine"},
        "data_format_version": "0.2.0",
        "input": url,
        "measurement_start_time": WHEN,
        "probe_asn": "AS17557",
        "probe_cc": "PK",
        "probe_ip": "127.0.0.1",
        "probe_network_name": "Pakistan Telecommunication Company Limited",
        "report_id": "20240218T095900Z_webconnectivity_PK_17557_n1_abcdefghijklmnop",
        "resolver_asn": "AS17557",
        "resolver_ip": "203.135.0.1",
        "software_name": "ooniprobe-android",
        "software_version": "3.8.5",
        "test_name": "web_connectivity",
        "test_runtime": 2.5,
        "test_start_time": "2024-02-18 09:59:00",
        "test_version": "0.4.3",
        "test_keys": {},
    } | changes


def system_lookup(host: str = "x.com", address: str = ADDRESS, failure: str | None = None) -> dict[str, Any]:
    answers = [{"answer_type": "A", "ipv4": address, "asn": 13414, "as_org_name": "Twitter Inc.", "ttl": None}]
    return {
        "engine": "system", "failure": failure, "hostname": host, "query_type": "A", "resolver_address": "",
        "resolver_hostname": None, "resolver_port": None, "answers": None if failure else answers, "t": 0.05,
    }  # fmt: skip


def connect(address: str = ADDRESS, port: int = 443, failure: str | None = None) -> dict[str, Any]:
    return {"ip": address, "port": port, "status": {"blocked": None, "failure": failure, "success": failure is None}}


def response(code: int = 200, body: object = "<title>X</title>hello", **headers: str) -> dict[str, Any]:
    fields = {"Content-Type": "text/html"} | {name.replace("_", "-"): value for name, value in headers.items()}
    return {
        "code": code,
        "headers": fields,
        "headers_list": [[name, value] for name, value in fields.items()],
        "body": body,
        "body_is_truncated": False,
    }


def request(url: str = "https://x.com/", failure: str | None = None, **fields: Any) -> dict[str, Any]:
    answer = response() if failure is None else {"code": 0, "headers": {}, "headers_list": None, "body": ""}
    return {"failure": failure, "request": {"url": url, "method": "GET"}, "response": answer, "t": 1.0} | fields


def control(address: str = ADDRESS, **changes: Any) -> dict[str, Any]:
    endpoint = f"{address}:443"
    return {
        "dns": {"failure": None, "addrs": [address]},
        "tcp_connect": {endpoint: {"status": True, "failure": None}},
        "tls_handshake": {endpoint: {"server_name": "x.com", "status": True, "failure": None}},
        "http_request": {
            "body_length": 21, "failure": None, "title": "X", "headers": {"Content-Type": "text/html"},
            "status_code": 200,
        },
    } | changes  # fmt: skip


def handshake(failure: str | None = None, address: str = ADDRESS, **fields: Any) -> dict[str, Any]:
    return {
        "network": "tcp", "address": f"{address}:443", "server_name": "x.com", "failure": failure,
        "no_tls_verify": False, "tls_version": "TLSv1.3" if failure is None else "", "cipher_suite": "",
        "negotiated_protocol": "h2" if failure is None else "", "peer_certificates": None, "t": 0.3, "t0": 0.1,
        "tags": ["tcptls_experiment"],
    } | fields  # fmt: skip


def version_4(failure: str | None = None) -> dict[str, Any]:
    """0.4.3: a block by reset after the ClientHello, or none."""
    return base(
        test_keys={
            "agent": "redirect", "client_resolver": "203.135.0.1", "retries": None, "socksproxy": None,
            "queries": [system_lookup()], "tcp_connect": [connect()], "tls_handshakes": [handshake(failure)],
            "requests": [request(failure=failure)], "control": control(), "control_failure": None,
            "blocking": "http-failure" if failure else False, "accessible": failure is None, "x_status": 1024,
            "dns_consistency": "consistent", "network_events": None,
        }
    )  # fmt: skip


def version_5(failure: str | None = None) -> dict[str, Any]:
    """0.5: tags, transactions, other resolvers, the addresses of the helper as well."""
    tags = {"tags": ["classic", "depth=0", "fetch_body=true"], "transaction_id": 20001}
    found = version_4(failure)
    found["test_version"] = "0.5.28"
    found["measurement_uid"] = "20240218100001.123456_PK_webconnectivity_0123456789abcdef"
    keys = found["test_keys"]
    keys["queries"] = [
        system_lookup() | {"engine": "getaddrinfo", "query_type": "ANY"} | tags,
        system_lookup() | {"engine": "udp", "resolver_address": "8.8.8.8:53", "tags": ["depth=0"]},
        system_lookup() | {"engine": "doh", "resolver_address": "https://dns.google/dns-query", "tags": ["depth=0"]},
    ]
    keys["tcp_connect"] = [connect() | tags, connect(OTHER) | {"tags": ["depth=0", "fetch_body=false"]}]
    keys["tls_handshakes"] = [handshake(failure) | tags, handshake(failure, OTHER) | {"tags": ["depth=0"]}]
    keys["requests"] = [] if failure else [request(address=f"{ADDRESS}:443", network="tcp", alpn="h2") | tags]
    keys["control"] = control(tcp_connect={f"{one}:443": {"status": True, "failure": None} for one in (ADDRESS, OTHER)})
    keys |= {"x_dns_flags": 0, "x_blocking_flags": 4 if failure else 32, "x_null_null_flags": 0}
    return found


def older(failure: str | None = None) -> dict[str, Any]:
    """Before 2020: no handshakes, old failure strings, `success`, helpers that tell no handshake, headers as a map."""
    found = version_4(failure)
    found |= {"test_version": "0.0.1", "software_name": "ooniprobe", "measurement_start_time": "2017-11-26 08:00:00"}
    del found["probe_network_name"], found["annotations"]
    keys = found["test_keys"]
    del keys["tls_handshakes"], keys["network_events"], keys["x_status"]
    query = system_lookup()
    del query["engine"], query["t"]
    keys["queries"] = [query]
    keys["requests"] = [request(failure=failure)]
    del keys["requests"][0]["response"]["headers_list"]
    del keys["control"]["tls_handshake"]
    return found


def without(found: dict[str, Any], path: tuple[str | int, ...], *, null: bool) -> dict[str, Any]:
    """Return a copy in which the key at `path` is null or absent."""
    changed = copy.deepcopy(found)
    place: Any = changed
    for step in path[:-1]:
        place = place[step]
    if null or isinstance(place, list):
        place[path[-1]] = None
    else:
        del place[path[-1]]
    return changed


def paths(value: Any, before: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """Return the path of every key and item."""
    steps = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [one for step, below in steps for one in ((*before, step), *paths(below, (*before, step)))]
