"""Bodies undone of their content coding a bounded piece at a time, so that a bomb costs no more than the cap."""

import zlib
from typing import Final

# What a request offers; of anything else a server sends unasked the raw bytes are kept.
ACCEPT_ENCODING: Final = "gzip, deflate"

_EITHER: Final = zlib.MAX_WBITS | 32  # gzip, or deflate as RFC 9110 has it
_RAW: Final = -zlib.MAX_WBITS  # deflate as some servers have it


class Body:
    """Collects a response body of at most `limit` bytes after decoding."""

    def __init__(self, encoding: str, limit: int) -> None:
        self._limit = limit
        self._content = bytearray()
        self._is_coded = encoding.strip().lower() in {"gzip", "x-gzip", "deflate"}
        self._head = b""
        self._inflate: zlib._Decompress | None = None

    def add(self, chunk: bytes) -> bool:
        """Take a chunk of the coded body; return whether there is more than the limit. Raises zlib.error."""
        if not self._is_coded:
            self._content += chunk[: self._room]
        elif self._inflate is None:
            self._head += chunk
            if len(self._head) > 1:  # which tell the three forms apart
                self._inflate = zlib.decompressobj(_EITHER if _has_wrapper(self._head) else _RAW)
                self._decompress(self._inflate, self._head)
        else:
            self._decompress(self._inflate, chunk)
        return self.is_truncated

    @property
    def is_truncated(self) -> bool:
        """Whether there was more than the limit."""
        return len(self._content) > self._limit

    @property
    def content(self) -> bytes:
        """What there is, cut at the limit."""
        return bytes(self._content[: self._limit])

    @property
    def _room(self) -> int:
        # One byte past the limit tells a body that fits from one that was cut.
        return self._limit + 1 - len(self._content)

    def _decompress(self, inflate: "zlib._Decompress", chunk: bytes) -> None:
        while chunk and self._room > 0 and not inflate.eof:
            self._content += inflate.decompress(chunk, self._room)
            chunk = inflate.unconsumed_tail


def _has_wrapper(head: bytes) -> bool:
    """Tell gzip (RFC 1952) and zlib (RFC 1950 section 2.2) from bare deflate, which cannot begin with their bits."""
    return head[:2] == b"\x1f\x8b" or head[0] & 0x0F == 8
