"""A short name for a configuration, so that a change of method is never read as a change of policy."""

import hashlib
import json
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from monitor.config.schema import Configuration
from monitor.model.fingerprint import FingerprintSet


def digest(config: Configuration, fingerprints: FingerprintSet) -> str:
    """Return the SHA-256 (hex) of everything but secrets, the folders of files, who is told what and who is heard.

    `fingerprints` are those that `config.fingerprints` names: what verdicts rest on is what the files hold.
    """
    named = {**config.model_dump(exclude={"alerts", "ingest"}), "fingerprints": fingerprints.digest()}
    text = json.dumps(named, sort_keys=True, separators=(",", ":"), default=_plain)
    return hashlib.sha256(text.encode()).hexdigest()


def _plain(value: Any) -> str:
    if isinstance(value, Path):
        return value.name
    if isinstance(value, SecretStr):
        return ""
    raise TypeError(f"a configuration holds no {type(value).__name__}")
