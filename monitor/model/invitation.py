"""Invitations: one line that an operator hands to a volunteer, and that tells the agent whom to trust.

    https://HOST:PORT/#<token id>.<secret>.<SHA-256 of the centre's key>[.<SHA-256 of its TLS certificate>]

What stands behind the `#` no HTTP client ever sends, so the line may be opened in a browser without harm.
"""

import re
from typing import Final

import msgspec

_MAX_TEXT: Final = 1024
_FORM: Final = re.compile(
    r"(?P<url>https?://[A-Za-z0-9.:_\[\]-]{1,260})/#(?P<token_id>[a-z0-9]{8,32})\.(?P<secret>[A-Za-z0-9_-]{22,86})"
    r"\.(?P<key>[0-9a-f]{64})(?:\.(?P<certificate>[0-9a-f]{64}))?"
)


class Invitation(msgspec.Struct, frozen=True, kw_only=True):
    """What an invitation says."""

    url: str  # scheme, host and port
    token_id: str
    secret: str
    key_fingerprint: str  # SHA-256 (hex) of the centre's raw Ed25519 key
    certificate_fingerprint: str | None = None  # SHA-256 (hex) of the DER form; None: public authorities vouch for it

    @property
    def token(self) -> str:
        """What an enrolment presents."""
        return f"{self.token_id}.{self.secret}"

    def __str__(self) -> str:
        """Return the line to hand over."""
        parts = (self.token_id, self.secret, self.key_fingerprint, self.certificate_fingerprint)
        return f"{self.url}/#{'.'.join(part for part in parts if part)}"


def invitation_from(text: str) -> Invitation:
    """Read an invitation; raises ValueError with a sentence that repeats nothing of it."""
    match = _FORM.fullmatch(text.strip()) if len(text) <= _MAX_TEXT else None
    if match is None:
        raise ValueError("this is no invitation: it looks like https://HOST:PORT/#… and is one line")
    return Invitation(
        url=match["url"],
        token_id=match["token_id"],
        secret=match["secret"],
        key_fingerprint=match["key"],
        certificate_fingerprint=match["certificate"],
    )
