import subprocess
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from prometheus_client.parser import text_string_to_metric_families

from monitor.exporter import table
from monitor.exporter.blackbox import probe_exposition, time_budget_seconds
from monitor.exporter.exposition import Format
from monitor.model.failure import TOO_MANY_REDIRECTS
from monitor.model.measurement import Evidence, Recording
from monitor.model.observation import Purpose, TlsObservation
from monitor.model.target import Expectation
from monitor.model.verdict import Status, Verdict
from tests.fakes.outcomes import ACCESSIBLE, BLOCKED, DNS, HTTP, OFFLINE, TCP, TLS, X_HOME, recording

Samples = dict[tuple[str, tuple[str, ...]], float]


def probed(recorded: Recording, verdict: Verdict = ACCESSIBLE, expectation: Expectation | None = None) -> Samples:
    """Return what `/probe` says, by name and label values in the order of the table."""
    target = msgspec.structs.replace(X_HOME, expectation=expectation or Expectation())
    text = probe_exposition(recorded, verdict, target, 9.5, Format.TEXT)
    return {
        (one.name, tuple(one.labels.values())): one.value
        for family in text_string_to_metric_families(text)
        for one in family.samples
    }


def value(samples: Samples, name: str, *labels: str) -> float | None:
    return samples.get((name, labels))


def a_certificate(common_name: str = "x.com") -> tuple[Evidence, str]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "A Censor")]))
        .public_key(key.public_key())
        .serial_number(0x0A0B)
        .not_valid_before(datetime(2020, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2020, 1, 1, tzinfo=UTC) + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("x.com"), x509.DNSName("*.x.com")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    sha256 = certificate.fingerprint(hashes.SHA256()).hex()
    der = certificate.public_bytes(serialization.Encoding.DER)
    return Evidence(sha256=sha256, kind="certificate", content=der), sha256


@pytest.mark.parametrize(
    ("module_seconds", "header", "offset_seconds", "effective_seconds"),
    [
        (0, "15", 0.5, 14.5),
        (0, "15", 0, 15),
        (20, "15", 0.5, 14.5),
        (20, "15", 0, 15),
        (5, "15", 0, 5),
        (5, "15", 0.5, 5),
        (10, None, 0.5, 10),
        (10, "10", 0.5, 9.5),
        (9.5, None, 0.5, 9.5),
        (9.5, None, 1, 9.5),
        (0, None, 0.5, 119.5),
        (0, None, 0, 120),
        (0, "", 0.5, 119.5),
        (0, "0", 0.5, 119.5),
        (7, "0.2", 0.5, 7),
    ],
)
def test_the_time_budget_is_that_of_blackbox_exporter(
    module_seconds: float, header: str | None, offset_seconds: float, effective_seconds: float
) -> None:
    assert time_budget_seconds(module_seconds, header, offset_seconds) == effective_seconds


@pytest.mark.parametrize("header", ["soon", "nan", "inf", "1s"])
def test_a_time_budget_that_is_no_number_is_refused(header: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        time_budget_seconds(10, header, 0.5)


def test_a_page_gives_the_metrics_of_an_http_probe() -> None:
    samples = probed(recording())
    expected = {
        "probe_success": 1,
        "probe_duration_seconds": 0.42,
        "probe_timeout_seconds": 9.5,
        "probe_dns_lookup_time_seconds": 0.02,
        "probe_ip_protocol": 4,
        "probe_http_status_code": 200,
        "probe_http_version": 1.1,
        "probe_http_content_length": 4096,
        "probe_http_uncompressed_body_length": 4000,
        "probe_http_redirects": 0,
        "probe_http_ssl": 1,
        "probe_http_last_modified_timestamp_seconds": datetime(2026, 11, 22, 10, tzinfo=UTC).timestamp(),
        "probe_failed_due_to_regex": 0,
        "probe_ssl_earliest_cert_expiry": 1_790_000_000,
        "probe_ssl_last_chain_expiry_timestamp_seconds": 1_800_000_000,
    }
    assert {name: value(samples, name) for name in expected} == expected
    assert value(samples, "probe_tls_version_info", "TLS 1.3") == 1
    assert value(samples, "probe_tls_cipher_info", "TLS_AES_128_GCM_SHA256") == 1
    phases = {
        labels[0]: round(found, 6)
        for (name, labels), found in samples.items()
        if name.endswith("http_duration_seconds")
    }
    assert phases == {"resolve": 0.02, "connect": 0.05, "tls": 0.1, "processing": 0.2, "transfer": 0.05}


def test_every_metric_of_the_probe_table_can_appear() -> None:
    leaf, sha256 = a_certificate()
    tls = msgspec.structs.replace(TLS, chain=(sha256,))
    names = {name for name, _ in probed(recording(DNS, TCP, tls, HTTP, evidence=(leaf,)), BLOCKED)}
    names |= {name for name, _ in probed(recording(), OFFLINE)}
    assert names == {metric.name for metric in table.PROBE_METRICS}


def test_the_address_is_hashed_as_blackbox_exporter_does() -> None:
    # What blackbox_exporter 0.23.0 answers for a probe of 127.0.0.1.
    loopback = msgspec.structs.replace(TCP, address="127.0.0.1")
    assert value(probed(recording(loopback)), "probe_ip_addr_hash") == 3_668_918_509


def test_nothing_resolved_leaves_zeros_and_no_phases() -> None:
    samples = probed(recording(msgspec.structs.replace(DNS, answers=(), failure="dns_nxdomain_error")), BLOCKED)
    zeros = ("probe_success", "probe_ip_protocol", "probe_ip_addr_hash", "probe_http_status_code", "probe_http_version")
    assert [value(samples, name) for name in zeros] == [0] * 5
    assert value(samples, "probe_http_content_length") == 0
    assert not [name for name, _ in samples if name == "probe_http_duration_seconds" or "ssl_" in name]


def test_a_reset_handshake_keeps_the_phases_before_it() -> None:
    reset = TlsObservation(address=TCP.address, port=443, server_name="x.com", failure="connection_reset")
    samples = probed(recording(DNS, TCP, reset), BLOCKED)
    assert value(samples, "probe_http_duration_seconds", "connect") == 0.05
    assert value(samples, "probe_http_duration_seconds", "transfer") == 0
    assert value(samples, "probe_http_ssl") == 0


def test_a_certificate_that_does_not_verify_is_described_all_the_same() -> None:
    leaf, sha256 = a_certificate()
    expired = msgspec.structs.replace(
        TLS, chain=(sha256,), failure="ssl_invalid_certificate", cipher=None, earliest_expiry=1_577_923_200
    )
    samples = probed(recording(DNS, TCP, expired, evidence=(leaf,)), BLOCKED)
    assert value(samples, "probe_ssl_earliest_cert_expiry") == 1_577_923_200
    info = (sha256, "CN=x.com", "O=A Censor", "x.com,*.x.com", "0a0b")
    assert value(samples, "probe_ssl_last_chain_info", *info) == 1
    assert value(samples, "probe_ssl_last_chain_expiry_timestamp_seconds") is None


def test_text_of_a_certificate_cannot_break_the_format() -> None:
    leaf, sha256 = a_certificate('evil"\\\n} 1\nprobe_success 1\x1b[31m')
    tls = msgspec.structs.replace(TLS, chain=(sha256,))
    samples = probed(recording(DNS, TCP, tls, evidence=(leaf,)), BLOCKED)
    assert value(samples, "probe_success") == 0
    [(_, labels)] = [key for key in samples if key[0] == "probe_ssl_last_chain_info"]
    assert "\x1b" not in labels[1]
    assert "\n" not in labels[1]


def test_a_certificate_that_cannot_be_read_keeps_its_fingerprint() -> None:
    garbage = Evidence(sha256=TLS.chain[0], kind="certificate", content=b"\x30\x03garbage")
    samples = probed(recording(DNS, TCP, TLS, evidence=(garbage,)))
    assert value(samples, "probe_ssl_last_chain_info", TLS.chain[0], "", "", "", "") == 1


def test_redirects_add_their_phases_and_the_last_hop_gives_the_rest() -> None:
    moved = msgspec.structs.replace(HTTP, status_code=301, is_tls=False)
    second = [msgspec.structs.replace(one, hop=1, address="2606:4700::1") for one in (TCP, TLS)]
    page = msgspec.structs.replace(HTTP, hop=1, address="2606:4700::1", http_version="2")
    samples = probed(recording(DNS, TCP, moved, *second, page))
    assert value(samples, "probe_http_redirects") == 1
    assert value(samples, "probe_http_version") == 2
    assert value(samples, "probe_http_ssl") == 1
    assert value(samples, "probe_http_duration_seconds", "connect") == pytest.approx(0.1)
    assert value(samples, "probe_ip_protocol") == 4


def test_a_redirect_that_leads_nowhere_has_no_status() -> None:
    moved = msgspec.structs.replace(HTTP, status_code=301)
    refused = msgspec.structs.replace(TCP, hop=1, failure="connection_refused")
    samples = probed(recording(DNS, TCP, TLS, moved, refused), BLOCKED)
    assert value(samples, "probe_http_redirects") == 1
    assert value(samples, "probe_http_status_code") == 0


def test_eleven_redirects_are_told_from_ten() -> None:
    tenth = msgspec.structs.replace(HTTP, hop=10, status_code=302, failure=TOO_MANY_REDIRECTS)
    assert value(probed(recording(DNS, TCP, HTTP, tenth)), "probe_http_redirects") == 11


def test_only_the_address_that_was_used_counts() -> None:
    other = msgspec.structs.replace(TCP, address="2606:4700::1", elapsed_seconds=9.0)
    retry = msgspec.structs.replace(TCP, purpose=Purpose.RETRY, elapsed_seconds=9.0)
    samples = probed(recording(DNS, other, TCP, TLS, HTTP, retry))
    assert value(samples, "probe_http_duration_seconds", "connect") == 0.05


def test_text_that_is_missing_failed_due_to_the_pattern() -> None:
    page = msgspec.structs.replace(HTTP, text_found=False)
    assert value(probed(recording(DNS, TCP, TLS, page), BLOCKED), "probe_failed_due_to_regex") == 1


@pytest.mark.parametrize("expectation", [Expectation(tls_only=True), Expectation(tcp_only=True)])
def test_a_target_that_ends_before_http_has_the_names_of_a_tcp_probe(expectation: Expectation) -> None:
    samples = probed(recording(DNS, TCP, TLS), expectation=expectation)
    assert not [name for name, _ in samples if name.startswith("probe_http") or "cipher" in name]
    assert value(samples, "probe_tls_version_info", "TLS 1.3") == 1


def test_the_verdict_stands_beside_the_compatible_names() -> None:
    samples = probed(recording(), BLOCKED)
    assert value(samples, "probe_success") == 0
    assert [value(samples, "access_probe_status", "lahore", one) for one in Status] == [0, 1, 0, 0, 0, 0]
    assert value(samples, "access_probe_mechanism", "lahore", "tls.reset.sni") == 1
    assert value(samples, "access_probe_confirmed", "lahore") == 1
    assert value(probed(recording(), OFFLINE), "access_probe_inconclusive", "lahore", "vantage_offline") == 1


def test_promtool_finds_nothing_to_say_about_a_probe() -> None:
    text = probe_exposition(recording(), BLOCKED, X_HOME, 9.5, Format.TEXT)
    done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_a_proxy_that_was_asked_by_name_leaves_the_address_unknown() -> None:
    steps = (msgspec.structs.replace(one, address="x.com") for one in (TCP, TLS, HTTP))
    samples = probed(recording(*steps))
    assert value(samples, "probe_success") == 1
    assert value(samples, "probe_ip_protocol") == 0
    assert value(samples, "probe_ip_addr_hash") == 0
    assert value(samples, "probe_http_duration_seconds", "connect") == TCP.elapsed_seconds
