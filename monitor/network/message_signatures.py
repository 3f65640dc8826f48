"""Signed HTTP messages: Ed25519 over method, path and digest of the body (RFC 9421, RFC 9530, RFC 8032).

One signature per message, labelled `sig`, over exactly the components below and in this order; a message with other
components, another algorithm or more than one signature is refused. Times are checked by the caller, who knows a clock.
"""

import base64
import binascii
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

_REQUEST: Final = ("@method", "@path", "content-digest")
_ANSWER: Final = ("@status", "content-digest")
_INPUT: Final = re.compile(
    r'sig=\((?P<components>"[@a-z-]+"(?: "[@a-z-]+")*)\);created=(?P<created>[0-9]{1,12});'
    r'keyid="(?P<key_id>[a-z0-9_-]{1,64})";alg="ed25519"'
)
_SIGNATURE: Final = re.compile(r"sig=:(?P<signature>[A-Za-z0-9+/]{86}==):")
_MAX_HEADER: Final = 512


class SignatureError(ValueError):
    """The message is not what the holder of the key signed; the text says why and quotes nothing of it."""


@dataclass(frozen=True)
class Signed:
    """A message whose signature is good."""

    key_id: str
    created: datetime


def sign_request(
    key: Ed25519PrivateKey, key_id: str, method: str, path: str, body: bytes, *, at: datetime
) -> dict[str, str]:
    """Return the headers that sign a request."""
    return _sign(key, key_id, {"@method": method, "@path": path}, _REQUEST, body=body, at=at)


def sign_answer(key: Ed25519PrivateKey, key_id: str, status: int, body: bytes, *, at: datetime) -> dict[str, str]:
    """Return the headers that sign an answer. That it answers this request, the nonce in its body tells."""
    return _sign(key, key_id, {"@status": str(status)}, _ANSWER, body=body, at=at)


def claimed_key(headers: Mapping[str, str]) -> str:
    """Return the key id that a message claims, unproved; raises SignatureError."""
    return _parsed(headers, _REQUEST)[0]


def verify_request(key: Ed25519PublicKey, headers: Mapping[str, str], method: str, path: str, body: bytes) -> Signed:
    """Return who signed a request and when; raises SignatureError."""
    return _verify(key, headers, {"@method": method, "@path": path}, _REQUEST, body)


def verify_answer(key: Ed25519PublicKey, headers: Mapping[str, str], status: int, body: bytes) -> Signed:
    """Return who signed an answer and when; raises SignatureError."""
    return _verify(key, headers, {"@status": str(status)}, _ANSWER, body)


def fingerprint(key: Ed25519PublicKey) -> str:
    """Return the SHA-256 of the raw public key in hex, by which an invitation names the centre."""
    return hashlib.sha256(key.public_bytes_raw()).hexdigest()


def _sign(
    key: Ed25519PrivateKey,
    key_id: str,
    derived: Mapping[str, str],
    components: tuple[str, ...],
    *,
    body: bytes,
    at: datetime,
) -> dict[str, str]:
    digest = _content_digest(body)
    names = " ".join(f'"{name}"' for name in components)
    parameters = f'({names});created={int(at.timestamp())};keyid="{key_id}";alg="ed25519"'
    signature = key.sign(_base({**derived, "content-digest": digest}, components, parameters))
    return {
        "Content-Digest": digest,
        "Signature-Input": f"sig={parameters}",
        "Signature": f"sig=:{base64.b64encode(signature).decode()}:",
    }


def _verify(
    key: Ed25519PublicKey,
    headers: Mapping[str, str],
    derived: Mapping[str, str],
    components: tuple[str, ...],
    body: bytes,
) -> Signed:
    key_id, created, parameters, signature = _parsed(headers, components)
    digest = _content_digest(body)
    if headers.get("content-digest") != digest:
        raise SignatureError("the body is not the one that was signed")
    try:
        key.verify(signature, _base({**derived, "content-digest": digest}, components, parameters))
    except InvalidSignature:
        raise SignatureError("the signature is not good") from None
    return Signed(key_id, datetime.fromtimestamp(created, UTC))


def _parsed(headers: Mapping[str, str], components: tuple[str, ...]) -> tuple[str, int, str, bytes]:
    told, proof = headers.get("signature-input", ""), headers.get("signature", "")
    if len(told) > _MAX_HEADER or len(proof) > _MAX_HEADER:
        raise SignatureError("the signature is too long")
    input_, signature = _INPUT.fullmatch(told), _SIGNATURE.fullmatch(proof)
    if input_ is None or signature is None:
        raise SignatureError("the message is not signed as agreed")
    if input_["components"] != " ".join(f'"{name}"' for name in components):
        raise SignatureError("the signature does not cover what it must")
    try:
        raw = base64.b64decode(signature["signature"], validate=True)
    except binascii.Error:
        raise SignatureError("the message is not signed as agreed") from None
    return input_["key_id"], int(input_["created"]), told.removeprefix("sig="), raw


def _content_digest(body: bytes) -> str:
    return f"sha-256=:{base64.b64encode(hashlib.sha256(body).digest()).decode()}:"


def _base(values: Mapping[str, str], components: tuple[str, ...], parameters: str) -> bytes:
    """Return the signature base (RFC 9421, section 2.5)."""
    lines = [f'"{name}": {values[name]}' for name in components]
    return "\n".join([*lines, f'"@signature-params": {parameters}']).encode()
