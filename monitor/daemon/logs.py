"""Log set-up: a line per record, for people on a terminal and JSON (one object) elsewhere.

What a record carries beyond its message goes in `extra` and becomes a field:
`log.info("measured", extra={"target": …})`.
Texts may come from the network: whatever could move a cursor, start a line or reorder text is written as an escape.
"""

import json
import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, TextIO
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Iterable

SECRET: Final = "<secret>"  # noqa: S105 - what stands in a secret's place
TEXT_CHARACTERS: Final = 2_000  # a longer text is cut
TRACEBACK_CHARACTERS: Final = 20_000

# The last is uvicorn's, the message once more with colours.
_STANDARD: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "color_message"}
# They tell every request or job at INFO, with URLs.
_QUIET: Final = ("apscheduler", "hpack", "httpcore", "httpx", "quic", "uvicorn")


class Redaction:
    """Knows the values that no log line may hold. A reload adds the new ones; old ones stay hidden."""

    def __init__(self, secrets: "Iterable[str]" = ()) -> None:
        self._secrets: tuple[str, ...] = ()
        self.hide(secrets)

    def hide(self, secrets: "Iterable[str]") -> None:
        """Keep `secrets` out of every later line, as they are, inside a repr and in a URL; empty ones are ignored."""
        spellings = {
            spelling for secret in secrets for spelling in (secret, repr(secret)[1:-1], quote(secret, safe=""))
        }
        # Longest first, so that a secret inside another leaves no remainder.
        self._secrets = tuple(sorted({*self._secrets, *spellings} - {""}, key=len, reverse=True))

    def __call__(self, text: str) -> str:
        """Return `text` with each secret replaced."""
        for secret in self._secrets:
            text = text.replace(secret, SECRET)
        return text


def configure(stream: TextIO, redaction: Redaction, level: int = logging.INFO) -> None:
    """Send every log record, and Python's warnings, to `stream`; whatever was set up before is replaced."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(HumanFormatter(redaction) if stream.isatty() else JsonFormatter(redaction))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    logging.captureWarnings(capture=True)
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)


def printable(text: str) -> str:
    r"""Return `text` on one line, with controls, separators and direction marks as escapes such as \x1b."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


class _Formatter(logging.Formatter):
    def __init__(self, redaction: Redaction) -> None:
        super().__init__()
        self._redaction = redaction

    def _text(self, text: str, characters: int = TEXT_CHARACTERS) -> str:
        text = self._redaction(text)  # before the cut, which may divide a secret
        return text if len(text) <= characters else text[:characters] + "…"

    def _fields(self, record: logging.LogRecord) -> dict[str, object]:
        fields = ((key, value) for key, value in vars(record).items() if key not in _STANDARD)
        return {
            key: value if isinstance(value, (bool, int, float, type(None))) else self._text(str(value))
            for key, value in fields
        }

    def _traceback(self, record: logging.LogRecord) -> str:
        if not record.exc_info:
            return ""
        return self._text(self.formatException(record.exc_info), TRACEBACK_CHARACTERS)


class HumanFormatter(_Formatter):
    """`14:03:07Z INFO monitor.daemon: measured target=x-home status=accessible`, and a traceback in lines below."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as a line, or several with a traceback."""
        parts = [
            f"{datetime.fromtimestamp(record.created, UTC):%H:%M:%SZ}",
            record.levelname,
            f"{record.name}:",
            printable(self._text(record.getMessage())),
            *(f"{key}={printable(str(value))}" for key, value in self._fields(record).items()),
        ]
        return "\n".join((" ".join(parts), *("  " + printable(line) for line in self._traceback(record).splitlines())))


class JsonFormatter(_Formatter):
    """One JSON object a line in ASCII: time (UTC), level, logger, message, the fields, and traceback if any."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one line."""
        line = {
            **self._fields(record),
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": self._text(record.getMessage()),
        }
        if traceback := self._traceback(record):
            line["traceback"] = traceback
        return json.dumps(line)
