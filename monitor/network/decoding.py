"""Bodies undone of their content coding a bounded piece at a time, so that a bomb costs no more than the cap."""

import zlib
from typing import Final

_EITHER: Final = zlib.MAX_WBITS | 32  # gzip, or deflate as RFC 9110 has it
_RAW: Final = -zlib.MAX_WBITS  # deflate as many servers have it

# What a request offers; of anything else a server sends unasked the raw bytes are kept.
ACCEPT_ENCODING: Final = "gzip, deflate"


class Body:
    """Collects a response body of at most `limit` bytes after decoding."""

    def __init__(self, encoding: str, limit: int) -> None:
        self._limit = limit
        self._content = bytearray()
        self._is_coded = encoding.strip().lower() in {"gzip", "x-gzip", "deflate"}
        self._inflate = zlib.decompressobj(_EITHER)
        self._has_begun = False

    def add(self, chunk: bytes) -> bool:
        """Take a chunk of the coded body; return whether there is more than the limit. Raises zlib.error."""
        if not self._is_coded:
            self._content += chunk[: self._room]
        while self._is_coded and chunk and self._room > 0 and not self._inflate.eof:
            self._content += self._decompress(chunk)
            chunk = self._inflate.unconsumed_tail
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

    def _decompress(self, chunk: bytes) -> bytes:
        try:
            return self._inflate.decompress(chunk, self._room)
        except zlib.error:
            if self._has_begun:
                raise
            self._inflate = zlib.decompressobj(_RAW)
            return self._inflate.decompress(chunk, self._room)
        finally:
            self._has_begun = True
