"""A polite client of OONI's aggregation API, and the import of answers saved as files."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Final

import httpx

import monitor
from monitor.interchange.ooni_aggregation import AnswerError, counts_from
from monitor.model.aggregation import OoniCount
from monitor.model.seams import Clock
from monitor.store.reader import Reader
from monitor.store.store import Store

DEFAULT_API: Final = "https://api.ooni.org"
ANSWER_BYTES: Final = 32 * 1024 * 1024
CHUNK_DAYS: Final = 30
SETTLED: Final = timedelta(days=3)  # measurements arrive late: younger days are asked for again
PAUSE_SECONDS: Final = 1.0
_ATTEMPTS: Final = 5
_LONGEST_PAUSE_SECONDS: Final = 300.0
_USER_AGENT: Final = f"access-monitor/{monitor.__version__} (+https://github.com/access-monitor)"


class AggregationError(Exception):
    """The API gave no usable answer, a file cannot be read, or the database not be written."""


@dataclass(frozen=True)
class Wanted:
    """What is asked for; `until` is exclusive."""

    country: str
    domain: str
    test: str
    since: date
    until: date

    @property
    def days(self) -> int:
        """How many days that are."""
        return max(0, (self.until - self.since).days)


def stored_from(path: Path, store: Store, *, country: str | None, domain: str | None, test: str, at: datetime) -> int:
    """Store the counts of a file that holds one answer; return how many rows. Raises AggregationError."""
    try:
        if path.stat().st_size > ANSWER_BYTES:
            raise AggregationError(f"{path}: larger than {ANSWER_BYTES >> 20} MiB")
        rows = counts_from(path.read_bytes(), country=country, domain=domain, test=test)
    except OSError as error:
        raise AggregationError(f"{path}: {error.strerror}") from error
    except AnswerError as error:
        raise AggregationError("\n".join(f"{path}: {one}" for one in error.problems)) from error
    _store(store, rows, (), at)
    return len(rows)


def fetch(
    wanted: Wanted,
    api: str,
    store: Store,
    reader: Reader,
    *,
    clock: Clock,
    progress: Callable[[int], None],
    pause: Callable[[float], None] = time.sleep,
) -> int:
    """Ask for the days that are not known yet, a month at a time; return how many rows were stored.

    What was stored stays when a later request fails, and is not asked for again. Raises AggregationError.
    """
    known = reader.ooni_days(wanted.domain, wanted.country, wanted.test)
    days = [wanted.since + timedelta(days=count) for count in range(wanted.days)]
    missing = [day for day in days if day not in known]
    progress(len(days) - len(missing))
    written = 0
    headers = {"User-Agent": _USER_AGENT, "Accept": "application/json"}
    with httpx.Client(headers=headers, timeout=60.0, trust_env=True) as client:
        for chunk in _chunks(missing):
            if written or chunk[0] != missing[0]:
                pause(PAUSE_SECONDS)
            content = _answer(client, f"{api.rstrip('/')}/api/v1/aggregation", _query(wanted, chunk), pause)
            try:
                rows = counts_from(content, country=wanted.country, domain=wanted.domain, test=wanted.test)
            except AnswerError as error:
                raise AggregationError("\n".join(f"{api}: {one}" for one in error.problems)) from error
            now = clock.now()
            own = [row for row in rows if row.day.date() in chunk]
            settled = [day for day in chunk if datetime(day.year, day.month, day.day, tzinfo=UTC) <= now - SETTLED]
            _store(store, own, [(wanted, day) for day in settled], now)
            written += len(own)
            progress(len(chunk))
    return written


def _query(wanted: Wanted, chunk: Sequence[date]) -> dict[str, str]:
    return {
        "probe_cc": wanted.country,
        "domain": wanted.domain,
        "test_name": wanted.test,
        "since": chunk[0].isoformat(),
        "until": (chunk[-1] + timedelta(days=1)).isoformat(),
        "time_grain": "day",
        "axis_x": "measurement_start_day",
        "axis_y": "probe_asn",
    }


def _chunks(days: Sequence[date]) -> Iterator[list[date]]:
    """Cut days into runs without a gap, each a month at most."""
    chunk: list[date] = []
    for day in days:
        if chunk and (len(chunk) == CHUNK_DAYS or day - chunk[-1] != timedelta(days=1)):
            yield chunk
            chunk = []
        chunk.append(day)
    if chunk:
        yield chunk


def _answer(client: httpx.Client, url: str, query: dict[str, str], pause: Callable[[float], None]) -> bytes:
    """Return an answer, asking again where the server is busy, as late as it wishes."""
    why = ""
    for attempt in range(_ATTEMPTS):
        wait = min(2.0**attempt, _LONGEST_PAUSE_SECONDS)
        try:
            with client.stream("GET", url, params=query) as response:
                if response.status_code == 200:
                    return _bounded(response)
                why = f"HTTP status {response.status_code}"
                if response.status_code != 429 and response.status_code < 500:
                    break
                wait = max(wait, _retry_after(response))
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            why = type(error).__name__
            if isinstance(error, httpx.InvalidURL | httpx.UnsupportedProtocol):
                break
        if wait > _LONGEST_PAUSE_SECONDS:
            why += f", and it asks for {wait:.0f} s of patience"
            break
        if attempt + 1 < _ATTEMPTS:
            pause(wait)
    raise AggregationError(f"{url}: {why}; what was stored until then is kept, run it again to go on")


def _bounded(response: httpx.Response) -> bytes:
    content = bytearray()
    for piece in response.iter_bytes():
        content += piece
        if len(content) > ANSWER_BYTES:
            raise AggregationError(f"the answer is larger than {ANSWER_BYTES >> 20} MiB")
    return bytes(content)


def _retry_after(response: httpx.Response) -> float:
    value = response.headers.get("retry-after", "")
    return float(value) if value.isascii() and value.isdigit() and len(value) <= 6 else 0.0


def _store(store: Store, rows: Sequence[OoniCount], days: Sequence[tuple[Wanted, date]], at: datetime) -> None:
    settled = [(one.domain, one.country, one.test, day) for one, day in days]
    if not store.record_ooni_counts(rows, settled, at).result():
        raise AggregationError("the database cannot be written; run it again to go on")
