"""One POST to an address of the owner's, and what its answer means.

Redirects are not followed: secrets would go along.
"""

import ssl
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Final

import httpx

from monitor.alerts.channel import LONGEST_RETRY_AFTER_SECONDS, Answer
from monitor.model.alert import Result

# The request itself is wrong, and will be so again. Not among them: what an operator of the other side may mend
# meanwhile (401, 403, 404 during a deployment), and redirects, which a captive portal answers with too.
PERMANENT: Final = frozenset({400, 405, 410, 413, 414, 415, 422, 431, 501})
_ANSWER_BYTES: Final = 4096
_CAUSES: Final = (
    (httpx.ConnectTimeout, "no connection within the time"),
    (httpx.TimeoutException, "no answer within the time"),
    (httpx.ConnectError, "no connection"),
    (httpx.ProtocolError, "an answer that is not HTTP"),
    (httpx.NetworkError, "the connection broke"),
)


def client(ca_file: Path | None = None) -> httpx.AsyncClient:
    """Return a client that follows no redirect and reads no proxy from the environment; the sender bounds its time."""
    trust = ssl.create_default_context(cafile=ca_file)
    return httpx.AsyncClient(follow_redirects=False, trust_env=False, timeout=None, verify=trust)  # noqa: S113 - as said


async def post(client: httpx.AsyncClient, url: str, body: bytes, headers: Mapping[str, str]) -> Answer:
    """Send and judge the answer by its status alone; at most 4 KiB of its body are read, and none is shown."""
    try:
        async with client.stream("POST", url, content=body, headers=dict(headers), follow_redirects=False) as response:
            read = 0
            async for chunk in response.aiter_raw():
                read += len(chunk)
                if read >= _ANSWER_BYTES:
                    break
    except httpx.HTTPError as error:
        # Texts of these exceptions may quote what the other side sent.
        cause = next((words for kind, words in _CAUSES if isinstance(error, kind)), "the request failed")
        return Answer(result=Result.FAILED, detail=f"{cause} ({type(error).__name__})")
    return judged(response.status_code, response.headers.get("retry-after"), response.headers.get("date"))


def judged(status: int, retry_after: str | None, date: str | None) -> Answer:
    """Return what an HTTP status means."""
    if 200 <= status <= 299:
        return Answer(result=Result.DELIVERED, detail=f"HTTP {status}", code=status)
    if status in PERMANENT:
        return Answer(result=Result.REFUSED, detail=f"HTTP {status}: it will not take this message", code=status)
    words = "HTTP {}: it redirects, which is not followed" if 300 <= status <= 399 else "HTTP {}"
    return Answer(
        result=Result.FAILED,
        detail=words.format(status),
        code=status,
        retry_after_seconds=_seconds(retry_after, date),
    )


def _seconds(retry_after: str | None, date: str | None) -> float | None:
    """Read Retry-After: seconds, or a date relative to the answer's own (RFC 9110, 10.2.3)."""
    if not retry_after or len(retry_after) > 40:
        return None
    if retry_after.isascii() and retry_after.isdigit():
        return min(float(retry_after), LONGEST_RETRY_AFTER_SECONDS)
    try:
        seconds = (_date(retry_after) - _date(date or "")).total_seconds()
    except (TypeError, ValueError):
        return None
    return min(max(seconds, 0.0), LONGEST_RETRY_AFTER_SECONDS)


def _date(written: str) -> datetime:
    at = parsedate_to_datetime(written)
    return at if at.tzinfo else at.replace(tzinfo=UTC)
