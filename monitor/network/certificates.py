"""Which certificates are trusted, and everything that is wrong with a presented chain.

OpenSSL names one defect only, so the handshake verifies nothing and chain, name and dates are tested here one by one
(RFC 5280 by OpenSSL itself, RFC 9525 for names). Reports are remembered by chain and name until the next date at which
one of the certificates begins or ends; a target that is measured again costs a dictionary lookup.
"""

import hashlib
import ipaddress
import re
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID
from OpenSSL import crypto

from monitor.model.failure import Failure
from monitor.network.failures import VERIFY_FAILURES
from monitor.network.received import printable

# Bundles of distributions, for a Python whose OpenSSL was built to look elsewhere.
_BUNDLES: Final = (
    "/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
)  # fmt: skip
_PEM: Final = re.compile(b"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)
_REMEMBERED: Final = 8192
_WRONG_NAME, _WRONG_ADDRESS = 62, 64  # X509_V_ERR_HOSTNAME_MISMATCH, X509_V_ERR_IP_ADDRESS_MISMATCH
_EXPIRED, _NOT_YET_VALID = 10, 9
_UNFIT, _WEAK_KEY, _WEAK_DIGEST, _UNREADABLE = 26, 66, 68, 7
_ORDER: Final = (Failure.SSL_UNKNOWN_AUTHORITY, Failure.SSL_INVALID_HOSTNAME, Failure.SSL_INVALID_CERTIFICATE)


@dataclass(frozen=True, slots=True)
class CertificateReport:
    """What a presented chain is worth for one name. Times are epoch seconds."""

    failures: tuple[Failure, ...]  # every defect, gravest first
    verify_code: int | None  # OpenSSL's number of the first
    leaf_issuer: str | None = None
    leaf_not_before: int | None = None
    leaf_not_after: int | None = None
    leaf_covers_name: bool | None = None
    earliest_expiry: int | None = None
    holds_from: float = float("-inf")  # the report holds from here
    holds_until: float = float("inf")  # and before here


class TrustStore:
    """The certificate authorities trusted, and what was found out with them."""

    def __init__(self, pem: bytes) -> None:
        """Take the authorities of `pem`, concatenated certificates; raises ValueError if it holds none."""
        self.digest: Final = hashlib.sha256(pem).hexdigest()
        self._store = crypto.X509Store()
        # Read by OpenSSL: `cryptography` warns of the serial numbers of some old authorities, and means to refuse them.
        authorities = _PEM.findall(pem)
        try:
            for authority in authorities:
                self._store.add_cert(crypto.load_certificate(crypto.FILETYPE_PEM, authority))
        except crypto.Error as error:
            raise ValueError("a certificate authority cannot be read") from error
        if not authorities:
            raise ValueError("no certificate in PEM form is in it")
        self._reports: dict[tuple[tuple[str, ...], str], CertificateReport] = {}

    @classmethod
    def load(cls, ca_file: Path | None, environ: Mapping[str, str]) -> "TrustStore":
        """Read `ca_file`, else what SSL_CERT_FILE names, else OpenSSL's own bundle or the distribution's.

        Raises OSError or ValueError if there is none to be read.
        """
        if ca_file or environ.get("SSL_CERT_FILE"):
            return cls(Path(ca_file or environ["SSL_CERT_FILE"]).read_bytes())
        for path in (Path(ssl.get_default_verify_paths().openssl_cafile), *map(Path, _BUNDLES)):
            if path.is_file():
                return cls(path.read_bytes())
        raise FileNotFoundError("no bundle of certificate authorities; install ca-certificates or set tls.ca_file")

    def report(self, chain: Sequence[bytes], digests: tuple[str, ...], name: str, now: float) -> CertificateReport:
        """Test a chain of DER certificates, leaf first, for `name` (a host name or literal address) at `now`.

        `digests` are the SHA-256 of the certificates, `now` is epoch seconds.
        """
        known = self._reports.get((digests, name))
        if known is not None and known.holds_from <= now < known.holds_until:
            return known
        if len(self._reports) >= _REMEMBERED:
            self._reports.clear()
        fresh = self._reports[digests, name] = self._examine(chain, name, now)
        return fresh

    def _examine(self, chain: Sequence[bytes], name: str, now: float) -> CertificateReport:
        try:
            certificates = [x509.load_der_x509_certificate(der) for der in chain]
            foreign = [crypto.X509.from_cryptography(each) for each in certificates]
            codes, path = self._verify(foreign, now)
            leaf = certificates[0]
            covers = covers_name(leaf, name)
            codes += [] if covers else [_WRONG_NAME if _address(name) is None else _WRONG_ADDRESS]
            codes += _unfitness(leaf) + _date_codes(leaf, now)
            dates = [_dates(each) for each in (*certificates, *(each.to_cryptography() for each in path))]
            issuer = printable(leaf.issuer.rfc4514_string(), 256)
        except (ValueError, crypto.Error):  # not even DER, or values no certificate may hold
            return CertificateReport(failures=(Failure.SSL_INVALID_CERTIFICATE,), verify_code=_UNREADABLE)
        boundaries = [date for both in dates for date in both]
        defects = {VERIFY_FAILURES.get(code, Failure.SSL_INVALID_CERTIFICATE): code for code in reversed(codes)}
        failures = tuple(failure for failure in _ORDER if failure in defects)
        return CertificateReport(
            failures=failures,
            verify_code=defects[failures[0]] if failures else None,
            leaf_issuer=issuer,
            leaf_not_before=dates[0][0],
            leaf_not_after=dates[0][1],
            leaf_covers_name=covers,
            earliest_expiry=min(end for _, end in dates[: len(certificates)]),
            holds_from=max((date for date in boundaries if date <= now), default=float("-inf")),
            holds_until=min((date for date in boundaries if date > now), default=float("inf")),
        )

    def _verify(self, chain: list[crypto.X509], now: float) -> tuple[list[int], list[crypto.X509]]:
        """Return OpenSSL's verify code (none if all is well) and the path it built.

        It looks for an authority before it looks at dates, so that an expired certificate hides no unknown issuer, and
        prefers a path of valid certificates where the peer also presents an expired one.
        """
        self._store.set_time(datetime.fromtimestamp(now, UTC))
        context = crypto.X509StoreContext(self._store, chain[0], chain[1:])
        try:
            return [], context.get_verified_chain()
        except crypto.X509StoreContextError as error:
            return [int(error.errors[0])], []


def covers_name(leaf: x509.Certificate, name: str) -> bool:
    """Tell whether the certificate is for `name`: subject alternative names alone count (RFC 9525 section 2)."""
    try:
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        if (address := _address(name)) is not None:
            return address in names.get_values_for_type(x509.IPAddress)
        return any(is_name_for(pattern, name) for pattern in names.get_values_for_type(x509.DNSName))
    except (x509.ExtensionNotFound, x509.DuplicateExtension, x509.UnsupportedGeneralNameType, ValueError):
        return False


def is_name_for(pattern: str, name: str) -> bool:
    """Tell whether a DNS name of a certificate stands for `name`.

    RFC 9525 section 6.3: a wildcard is the whole leftmost label, stands for one label, and not over one label.
    """
    pattern, name = pattern.lower().removesuffix("."), name.lower().removesuffix(".")
    if not pattern.startswith("*."):
        return pattern == name
    first, _, rest = name.partition(".")
    return bool(first) and rest == pattern[2:] and "." in rest


def _unfitness(leaf: x509.Certificate) -> list[int]:
    codes = []
    try:
        usages = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        if not {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE} & set(usages):
            codes.append(_UNFIT)
    except x509.ExtensionNotFound:
        pass  # fit for everything (RFC 5280 section 4.2.1.12)
    except x509.UnsupportedGeneralNameType:  # a kind of name beside it that cannot be read hides every extension
        codes.append(_UNREADABLE)
    try:
        key = leaf.public_key()
        if isinstance(key, rsa.RSAPublicKey) and key.key_size < 2048:
            codes.append(_WEAK_KEY)
        if leaf.signature_hash_algorithm is not None and leaf.signature_hash_algorithm.name in {"md5", "sha1"}:
            codes.append(_WEAK_DIGEST)
    except UnsupportedAlgorithm:  # of a country's own, such as GOST
        codes.append(_UNREADABLE)
    return codes


def _date_codes(leaf: x509.Certificate, now: float) -> list[int]:
    begin, end = _dates(leaf)
    return [_NOT_YET_VALID] * (now < begin) + [_EXPIRED] * (now >= end)


def _dates(certificate: x509.Certificate) -> tuple[int, int]:
    return int(certificate.not_valid_before_utc.timestamp()), int(certificate.not_valid_after_utc.timestamp())


def _address(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(name)
    except ValueError:
        return None
