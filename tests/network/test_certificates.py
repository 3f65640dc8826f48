import hashlib
import ipaddress
import ssl
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from monitor.model.failure import Failure
from monitor.network.certificates import CertificateReport, TrustStore, covers_name

NOW = datetime(2026, 11, 22, tzinfo=UTC)
AUTHORITY = trustme.CA(key_type=trustme.KeyType.ECDSA)
STRANGER = trustme.CA(key_type=trustme.KeyType.ECDSA)
STORE = TrustStore(AUTHORITY.cert_pem.bytes())


def chain_of(issued: trustme.LeafCert) -> list[bytes]:
    return [ssl.PEM_cert_to_DER_cert(pem.bytes().decode()) for pem in issued.cert_chain_pems]


def report(chain: Sequence[bytes], name: str, now: datetime = NOW, store: TrustStore = STORE) -> CertificateReport:
    digests = tuple(hashlib.sha256(der).hexdigest() for der in chain)
    return store.report(chain, digests, name, now.timestamp())


def issue(*names: str, authority: trustme.CA = AUTHORITY, days: tuple[int, int] = (-1, 30)) -> list[bytes]:
    begin, end = (NOW + timedelta(days=each) for each in days)
    return chain_of(authority.issue_cert(*names, not_before=begin, not_after=end, key_type=trustme.KeyType.ECDSA))


def self_made(
    key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey, *extensions: x509.ExtensionType, name: str = "x.test"
) -> x509.Certificate:
    """A leaf signed by AUTHORITY's own key, free in everything trustme fixes."""
    signer = serialization.load_pem_private_key(AUTHORITY.private_key_pem.bytes(), None)
    assert isinstance(signer, ec.EllipticCurvePrivateKey)
    issuer = x509.load_pem_x509_certificate(AUTHORITY.cert_pem.bytes())
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(issuer.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - timedelta(days=1))
        .not_valid_after(NOW + timedelta(days=1))
    )
    for extension in extensions:
        builder = builder.add_extension(extension, critical=False)
    return builder.sign(signer, hashes.SHA256())


def der(certificate: x509.Certificate) -> list[bytes]:
    return [certificate.public_bytes(serialization.Encoding.DER)]


def test_good_chain_has_no_failure_and_its_facts() -> None:
    chain = issue("x.test")
    found = report(chain, "x.test")
    assert found.failures == ()
    assert found.verify_code is None
    assert found.leaf_covers_name is True
    assert found.leaf_not_after == found.earliest_expiry == int((NOW + timedelta(days=30)).timestamp())
    assert found.leaf_not_before == int((NOW - timedelta(days=1)).timestamp())
    assert found.leaf_issuer is not None
    assert "trustme" in found.leaf_issuer


@pytest.mark.parametrize(
    ("chain", "failures", "verify_code"),
    [
        (issue("x.test", authority=STRANGER), (Failure.SSL_UNKNOWN_AUTHORITY,), 20),
        (issue("y.test"), (Failure.SSL_INVALID_HOSTNAME,), 62),
        (issue("x.test", days=(-30, -1)), (Failure.SSL_INVALID_CERTIFICATE,), 10),
        (issue("x.test", days=(1, 30)), (Failure.SSL_INVALID_CERTIFICATE,), 9),
        (
            issue("y.test", authority=STRANGER, days=(-30, -1)),
            (Failure.SSL_UNKNOWN_AUTHORITY, Failure.SSL_INVALID_HOSTNAME, Failure.SSL_INVALID_CERTIFICATE),
            20,
        ),
        (issue("y.test", days=(-30, -1)), (Failure.SSL_INVALID_HOSTNAME, Failure.SSL_INVALID_CERTIFICATE), 62),
    ],
    ids=["authority", "name", "expired", "not yet", "everything", "name and date"],
)
def test_every_defect_is_named_gravest_first(
    chain: list[bytes], failures: tuple[Failure, ...], verify_code: int
) -> None:
    found = report(chain, "x.test")
    assert found.failures == failures
    assert found.verify_code == verify_code
    assert found.leaf_not_after is not None


def test_self_signed_certificate_is_an_unknown_authority() -> None:
    lonely = trustme.CA(key_type=trustme.KeyType.ECDSA)
    found = report([ssl.PEM_cert_to_DER_cert(lonely.cert_pem.bytes().decode())], "x.test")
    assert found.failures[0] == Failure.SSL_UNKNOWN_AUTHORITY
    assert found.verify_code in {18, 19}


def test_missing_intermediate_is_an_unknown_authority_and_a_presented_one_is_used() -> None:
    intermediate = AUTHORITY.create_child_ca(key_type=trustme.KeyType.ECDSA)
    chain = chain_of(intermediate.issue_cert("x.test", key_type=trustme.KeyType.ECDSA))
    assert len(chain) == 2
    assert report(chain, "x.test").failures == ()
    assert report(chain[:1], "x.test").failures == (Failure.SSL_UNKNOWN_AUTHORITY,)


def test_expired_certificate_beside_a_good_path_does_no_harm() -> None:
    expired = issue("other.test", authority=STRANGER, days=(-30, -1))
    found = report([*issue("x.test"), *expired], "x.test")
    assert found.failures == ()
    assert found.earliest_expiry == int((NOW - timedelta(days=1)).timestamp())


def test_remembered_report_is_tested_again_when_a_date_passes() -> None:
    chain = issue("x.test")
    assert report(chain, "x.test").failures == ()
    assert report(chain, "x.test") is report(chain, "x.test", NOW + timedelta(days=29))
    assert report(chain, "x.test", NOW + timedelta(days=31)).failures == (Failure.SSL_INVALID_CERTIFICATE,)
    assert report(chain, "x.test", NOW - timedelta(days=2)).failures == (Failure.SSL_INVALID_CERTIFICATE,)
    assert report(chain, "x.test").failures == ()


def test_report_for_one_name_says_nothing_about_another() -> None:
    chain = issue("x.test")
    assert report(chain, "x.test").failures == ()
    assert report(chain, "z.test").failures == (Failure.SSL_INVALID_HOSTNAME,)


def test_certificate_for_other_uses_is_unfit() -> None:
    names = x509.SubjectAlternativeName([x509.DNSName("x.test")])
    key = ec.generate_private_key(ec.SECP256R1())
    mail = self_made(key, names, x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]))
    assert report(der(mail), "x.test").failures == (Failure.SSL_INVALID_CERTIFICATE,)
    assert report(der(mail), "x.test").verify_code == 26
    web = self_made(key, names, x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]))
    assert report(der(web), "x.test").failures == ()


def test_weak_key_is_refused() -> None:
    names = x509.SubjectAlternativeName([x509.DNSName("x.test")])
    weak = self_made(rsa.generate_private_key(65537, 1024), names)  # noqa: S505  weak on purpose
    found = report(der(weak), "x.test")
    assert (found.failures, found.verify_code) == ((Failure.SSL_INVALID_CERTIFICATE,), 66)


def test_common_name_alone_covers_nothing() -> None:
    nameless = self_made(ec.generate_private_key(ec.SECP256R1()), name="x.test")
    assert report(der(nameless), "x.test").failures == (Failure.SSL_INVALID_HOSTNAME,)


def test_what_is_no_certificate_is_invalid_and_raises_nothing() -> None:
    found = report([b"not DER at all"], "x.test")
    assert found.failures == (Failure.SSL_INVALID_CERTIFICATE,)


@pytest.mark.parametrize(
    ("pattern", "name", "covered"),
    [
        ("x.test", "x.test", True),
        ("X.Test", "x.tEST", True),
        ("x.test", "www.x.test", False),
        ("*.x.test", "www.x.test", True),
        ("*.x.test", "x.test", False),
        ("*.x.test", "a.b.x.test", False),
        ("*.test", "x.test", False),
        ("w*.x.test", "www.x.test", False),
        ("*", "x", False),
        ("xn--mnchen-3ya.test", "xn--mnchen-3ya.test", True),
    ],
)
def test_names_and_wildcards(pattern: str, name: str, covered: bool) -> None:  # noqa: FBT001  a column of the table
    certificate = self_made(
        ec.generate_private_key(ec.SECP256R1()), x509.SubjectAlternativeName([x509.DNSName(pattern)])
    )
    assert covers_name(certificate, name) is covered


def test_addresses_are_matched_as_addresses() -> None:
    listed = x509.SubjectAlternativeName(
        [x509.IPAddress(ipaddress.ip_address("192.0.2.1")), x509.IPAddress(ipaddress.ip_address("2001:db8::1"))]
    )
    certificate = self_made(ec.generate_private_key(ec.SECP256R1()), listed)
    assert covers_name(certificate, "192.0.2.1")
    assert covers_name(certificate, "2001:0db8::1")
    assert not covers_name(certificate, "192.0.2.2")
    written = self_made(
        ec.generate_private_key(ec.SECP256R1()), x509.SubjectAlternativeName([x509.DNSName("192.0.2.1")])
    )
    assert not covers_name(written, "192.0.2.1")
    assert report(der(certificate), "192.0.2.9").verify_code == 64


def test_configured_file_goes_before_the_environment_and_that_before_the_system(tmp_path: Path) -> None:
    ours, environment = tmp_path / "ours.pem", tmp_path / "environment.pem"
    ours.write_bytes(AUTHORITY.cert_pem.bytes())
    environment.write_bytes(STRANGER.cert_pem.bytes())
    variables = {"SSL_CERT_FILE": str(environment)}
    assert TrustStore.load(ours, variables).digest == hashlib.sha256(ours.read_bytes()).hexdigest()
    assert TrustStore.load(None, variables).digest == hashlib.sha256(environment.read_bytes()).hexdigest()


def test_bundle_without_certificates_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty.pem").write_bytes(b"")
    with pytest.raises(ValueError, match="PEM"):
        TrustStore.load(tmp_path / "empty.pem", {})


def test_chain_signed_by_nobody_it_names_is_refused() -> None:
    leaf = x509.load_der_x509_certificate(issue("x.test")[0])
    forged = bytearray(leaf.public_bytes(serialization.Encoding.DER))
    forged[-1] ^= 1  # a bit of the signature
    assert report([bytes(forged)], "x.test").failures == (Failure.SSL_INVALID_CERTIFICATE,)


def test_a_name_of_a_kind_that_nobody_uses_makes_the_certificate_one_for_another_name() -> None:
    # SubjectAltName ::= SEQUENCE of one x400Address, which cryptography refuses to read.
    names = x509.UnrecognizedExtension(x509.ObjectIdentifier("2.5.29.17"), bytes.fromhex("3004a3023000"))
    found = report(der(self_made(ec.generate_private_key(ec.SECP256R1()), names)), "x.test")
    assert Failure.SSL_INVALID_HOSTNAME in found.failures
    assert found.leaf_covers_name is False


def test_a_signature_by_an_algorithm_that_nobody_knows_makes_the_certificate_invalid() -> None:
    (known,) = der(self_made(ec.generate_private_key(ec.SECP256R1())))
    ecdsa_with_sha256, unknown = bytes.fromhex("2a8648ce3d040302"), bytes.fromhex("2a8648ce3d04037f")
    assert Failure.SSL_INVALID_CERTIFICATE in report([known.replace(ecdsa_with_sha256, unknown)], "x.test").failures
