"""A token that a file holds."""

from pathlib import Path

import click

_BYTES_AT_MOST = 4096


def token_in(path: Path) -> str:
    """Return the one line of a file; raises UsageError, and never says what the file holds."""
    with path.open("rb") as file:
        content = file.read(_BYTES_AT_MOST + 1)
    try:
        token = content.decode().strip()
    except UnicodeDecodeError:
        token = ""
    if not token or not token.isascii() or not token.isprintable() or len(content) > _BYTES_AT_MOST:
        raise click.UsageError(f"{path} must hold one line with the token")
    return token
