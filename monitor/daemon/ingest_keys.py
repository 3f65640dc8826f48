"""The key that signs for the centre, and its listener's certificate: made on first use, for their owner alone."""

import contextlib
import os
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from monitor.config.schema import Configuration, IngestConfig
from monitor.daemon.agent_server import certificate_at


@dataclass(frozen=True)
class ListenerFiles:
    """What TLS is served with; `fingerprint` (SHA-256, hex) only of a certificate that nobody else vouches for."""

    certificate: Path
    key: Path
    fingerprint: str | None


def folder_of(config: Configuration, ingest: IngestConfig) -> Path:
    """Return where the centre's keys lie."""
    return ingest.folder or config.storage.path.parent / "ingest"


def signing_key(folder: Path) -> Ed25519PrivateKey:
    """Return the centre's key; raises OSError, and ValueError for a file that holds no such key."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = folder / "centre.key"
    pem = Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    # Daemon and `monitor agent invite` may both be first: the file appears whole, and whoever is second uses it.
    fresh = folder / f"centre.key.{os.getpid()}"
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(pem)
        file.flush()
        os.fsync(file.fileno())
    with contextlib.suppress(FileExistsError):
        path.hardlink_to(fresh)
    fresh.unlink()
    key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    if not isinstance(key, Ed25519PrivateKey):
        raise ValueError(f"{path} holds no Ed25519 key")  # noqa: TRY004 -- the file is wrong, not a type
    return key


def listener_files(config: Configuration, ingest: IngestConfig, now: datetime) -> ListenerFiles | None:
    """Return certificate and key of the listener, None without TLS; raises OSError."""
    if not ingest.tls:
        return None
    if ingest.certificate_file is not None and ingest.key_file is not None:
        return ListenerFiles(ingest.certificate_file, ingest.key_file, None)
    return ListenerFiles(*certificate_at(folder_of(config, ingest), now))
