"""Who an agent is: its key, the centre's key, and where the centre is found."""

from datetime import datetime
from pathlib import Path

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from monitor.agent.folder import write_whole

_BYTES_AT_MOST = 1 << 20


class IdentityError(Exception):
    """There is no usable identity; the message is one sentence for the owner."""


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """What enrolment left behind. The file that holds it is readable by its owner only."""

    agent_id: str
    vantage: str
    key: bytes  # Ed25519, 32 bytes, secret
    centre_key: bytes  # Ed25519, 32 bytes
    urls: tuple[str, ...]  # of the centre, tried in this order
    enrolled_at: datetime
    certificate: bytes | None = None  # DER, of a centre that made its own; None: public authorities vouch for it
    insecure: bool = False  # plain HTTP beyond loopback was asked for

    def __repr__(self) -> str:
        """Return who it is, without the key."""
        return f"Identity({self.agent_id})"

    @property
    def private_key(self) -> Ed25519PrivateKey:
        """The agent's key."""
        return Ed25519PrivateKey.from_private_bytes(self.key)

    @property
    def centre_public_key(self) -> Ed25519PublicKey:
        """The key that every answer is signed with."""
        return Ed25519PublicKey.from_public_bytes(self.centre_key)

    def save(self, path: Path) -> None:
        """Write it with mode 0600; raises OSError."""
        write_whole(path, msgspec.json.encode(self))

    @classmethod
    def load(cls, path: Path) -> "Identity":
        """Read it back; raises IdentityError."""
        try:
            with path.open("rb") as file:
                found = msgspec.json.decode(file.read(_BYTES_AT_MOST), type=cls)
            Ed25519PrivateKey.from_private_bytes(found.key)
            Ed25519PublicKey.from_public_bytes(found.centre_key)
        except FileNotFoundError:
            raise IdentityError(f"{path.parent} holds no agent: monitor agent enroll INVITATION") from None
        except OSError as error:
            raise IdentityError(f"{path} cannot be read: {error.strerror}") from error
        except (msgspec.MsgspecError, ValueError) as error:
            raise IdentityError(f"{path} is damaged: ask for a new invitation and enrol again") from error
        return found
