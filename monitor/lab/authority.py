"""Certificates of the laboratory, good and bad, made afresh for every run."""

import ssl
from datetime import UTC, datetime, timedelta
from enum import Enum, auto
from pathlib import Path
from typing import Final

import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

# Fixed, so that nothing here reads the clock: far enough around any day on which the tests run.
_LONG_AGO: Final = datetime(2015, 1, 1, tzinfo=UTC)
_EXPIRED_SINCE: Final = datetime(2017, 4, 12, tzinfo=UTC)
_NEARER_FUTURE: Final = datetime(2070, 1, 1, tzinfo=UTC)
_FAR_FUTURE: Final = datetime(2090, 1, 1, tzinfo=UTC)


class Certificate(Enum):
    """What a server shows when asked for a name."""

    GOOD = auto()
    ENDING_SOONER = auto()  # than all others: in 2070
    EXPIRED = auto()
    NOT_YET_VALID = auto()
    WRONG_NAME = auto()
    UNKNOWN_AUTHORITY = auto()
    SELF_SIGNED = auto()
    MISSING_INTERMEDIATE = auto()
    INTERCEPTED = auto()  # by the one authority that a box on the line signs everything with


class Authority:
    """Issues and caches server contexts; `ca_file` is what a client of the laboratory trusts."""

    def __init__(self, folder: Path) -> None:
        self._trusted = trustme.CA(organization_name="Laboratory")
        self._intermediate = self._trusted.create_child_ca()
        self._unknown = trustme.CA(organization_name="Unknown Authority")
        self._interceptor = trustme.CA(organization_name="Line Inspection")
        self._folder = folder
        self._contexts: dict[tuple[str, Certificate, tuple[str, ...]], ssl.SSLContext] = {}
        self.ca_file = folder / "ca.pem"
        self._trusted.cert_pem.write_to_path(str(self.ca_file))

    def context(self, name: str, certificate: Certificate, alpn: tuple[str, ...]) -> ssl.SSLContext:
        """Return the server context for `name`, a host name or a literal address."""
        key = (name, certificate, alpn)
        if key not in self._contexts:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            if alpn:
                context.set_alpn_protocols(list(alpn))
            # Python loads a chain from a file only, key first.
            chain = self._folder / f"{len(self._contexts)}.pem"
            chain.write_bytes(self._pem(name, certificate))
            context.load_cert_chain(chain)
            chain.unlink()
            self._contexts[key] = context
        return self._contexts[key]

    def _pem(self, name: str, certificate: Certificate) -> bytes:
        if certificate is Certificate.SELF_SIGNED:
            return _self_signed(name)
        authority, subject, start, end = {
            Certificate.GOOD: (self._trusted, name, _LONG_AGO, _FAR_FUTURE),
            Certificate.ENDING_SOONER: (self._trusted, name, _LONG_AGO, _NEARER_FUTURE),
            Certificate.EXPIRED: (self._trusted, name, _LONG_AGO, _EXPIRED_SINCE),
            Certificate.NOT_YET_VALID: (self._trusted, name, _FAR_FUTURE - timedelta(days=90), _FAR_FUTURE),
            Certificate.WRONG_NAME: (self._trusted, "somebody-else.test", _LONG_AGO, _FAR_FUTURE),
            Certificate.UNKNOWN_AUTHORITY: (self._unknown, name, _LONG_AGO, _FAR_FUTURE),
            Certificate.MISSING_INTERMEDIATE: (self._intermediate, name, _LONG_AGO, _FAR_FUTURE),
            Certificate.INTERCEPTED: (self._interceptor, name, _LONG_AGO, _FAR_FUTURE),
        }[certificate]
        leaf = authority.issue_cert(subject, not_before=start, not_after=end)
        chain = leaf.cert_chain_pems[:1] if certificate is Certificate.MISSING_INTERMEDIATE else leaf.cert_chain_pems
        return b"".join(blob.bytes() for blob in (leaf.private_key_pem, *chain))


def _self_signed(name: str) -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(_LONG_AGO)
        .not_valid_after(_FAR_FUTURE)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ) + certificate.public_bytes(serialization.Encoding.PEM)
