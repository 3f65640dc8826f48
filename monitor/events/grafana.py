"""Marks kept in step with the annotations of a Grafana server, over its HTTP API (`/api/annotations`).

Ours carry the tag `access-monitor` and the tag `event:ID`; whatever lacks either is never touched. What is there and
what is wanted are compared as values (`plan`), so a second run changes nothing.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from html import escape
from typing import Any, Final

import httpx
import msgspec

from monitor.events.annotation import Mark

OWN_TAG: Final = "access-monitor"
_EVENT_TAG: Final = "event:"
PAGE: Final = 1000
ANNOTATIONS_AT_MOST: Final = 20_000
_ANSWER_BYTES_AT_MOST: Final = 32 * 1024 * 1024
_ATTEMPTS: Final = 5
_LONGEST_WAIT_SECONDS: Final = 60.0
_FIRST_WAIT_SECONDS: Final = 1.0
_FIRST_MILLISECOND: Final = 1  # Grafana reads 0 as "not asked for"
_LAST_MILLISECOND: Final = 253_402_300_799_000
_TRY_AGAIN: Final = frozenset({429, 502, 503, 504})


class GrafanaError(Exception):
    """The server cannot be used, or says no; the message is one sentence and holds no token."""


class Payload(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """An annotation as it is sent; a point in time has `time_end` equal to `time`."""

    time: int
    time_end: int
    text: str
    tags: tuple[str, ...]


class Existing(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """An annotation as the server has it."""

    id: int
    time: int = 0
    time_end: int = 0
    text: str = ""
    tags: tuple[str, ...] | None = ()
    alert_id: int = 0
    dashboard_uid: str | None = msgspec.field(default=None, name="dashboardUID")


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What has to be done."""

    create: tuple[Payload, ...]
    update: tuple[tuple[int, Payload], ...]
    delete: tuple[int, ...]
    unchanged: int


def wanted(marks: Iterable[Mark], now: datetime) -> dict[str, Payload]:
    """Return the annotation for each mark by its id. An open end is the present hour, so that it moves but hourly."""
    hour = now.replace(minute=0, second=0, microsecond=0)
    return {
        mark.id: Payload(
            time=_ms(mark.earliest),
            time_end=_ms(max(mark.earliest, hour) if mark.latest is None else mark.latest),
            text=escape(f"{mark.title}\n{mark.text}", quote=False),
            tags=(OWN_TAG, f"{_EVENT_TAG}{mark.id}", *mark.tags),
        )
        for mark in marks
    }


def plan(existing: Iterable[Existing], wanted_: Mapping[str, Payload]) -> Plan:
    """Compare; an annotation that is there twice is left once."""
    update, delete, kept = [], [], set()
    for one in sorted(existing, key=lambda each: each.id):
        mark = mark_of(one)
        if mark is None:
            continue
        if mark not in wanted_ or mark in kept:
            delete.append(one.id)
            continue
        kept.add(mark)
        if not _is_same(one, wanted_[mark]):
            update.append((one.id, wanted_[mark]))
    create = tuple(payload for mark, payload in wanted_.items() if mark not in kept)
    return Plan(create=create, update=tuple(update), delete=tuple(delete), unchanged=len(kept) - len(update))


def mark_of(one: Existing) -> str | None:
    """Return the mark that an annotation of ours stands for; None for one that somebody else made."""
    tags = one.tags or ()
    if OWN_TAG not in tags or one.alert_id or one.dashboard_uid:
        return None
    return next((tag.removeprefix(_EVENT_TAG) for tag in tags if tag.startswith(_EVENT_TAG)), None)


def _is_same(one: Existing, payload: Payload) -> bool:
    return (one.time, one.time_end or one.time, one.text, sorted(one.tags or ())) == (
        payload.time,
        payload.time_end,
        payload.text,
        sorted(payload.tags),
    )


def _ms(at: datetime) -> int:
    return int(at.timestamp() * 1000)


class Grafana:
    """A server and the right to write to it. Methods raise GrafanaError."""

    def __init__(
        self,
        client: httpx.Client,
        token: str,
        *,
        now: Callable[[], datetime],
        sleep: Callable[[float], None] = time.sleep,
        page: int = PAGE,
    ) -> None:
        self._client = client
        self._headers = {"Authorization": f"Bearer {token}", "Accept": "application/json"}
        self._now = now
        self._sleep = sleep
        self._page = page

    def annotations(self) -> list[Existing]:
        """Return every annotation that carries our tag.

        The API has a limit and no page: a range of time that fills the limit is cut in half and asked again.
        """
        found: dict[int, Existing] = {}
        ranges = [(_FIRST_MILLISECOND, _LAST_MILLISECOND)]
        while ranges:
            since, until = ranges.pop()
            query = {"type": "annotation", "tags": OWN_TAG, "limit": self._page, "from": since, "to": until}
            answer = self._ask("GET", "/api/annotations", params=query)
            try:
                part = msgspec.json.decode(answer, type=list[Existing])
            except msgspec.DecodeError as error:
                raise GrafanaError(f"the server's list of annotations is not understood: {error}") from error
            found |= {one.id: one for one in part}
            if len(found) > ANNOTATIONS_AT_MOST:
                raise GrafanaError(f"the server has more than {ANNOTATIONS_AT_MOST} annotations with our tag")
            if len(part) >= self._page:
                if since >= until:
                    raise GrafanaError(f"the server has {self._page} annotations or more at one instant")
                middle = (since + until) // 2
                ranges += [(since, middle), (middle + 1, until)]
        return list(found.values())

    def carry_out(self, steps: Plan) -> None:
        """Create, update and delete; an interrupted run is finished by the next one."""
        for payload in steps.create:
            self._ask("POST", "/api/annotations", content=msgspec.json.encode(payload))
        for number, payload in steps.update:
            self._ask("PUT", f"/api/annotations/{number}", content=msgspec.json.encode(payload))
        for number in steps.delete:
            self._ask("DELETE", f"/api/annotations/{number}", may_be_gone=True)

    def _ask(self, method: str, path: str, *, may_be_gone: bool = False, **options: Any) -> bytes:
        wait, trouble = _FIRST_WAIT_SECONDS, ""
        headers = self._headers | ({"Content-Type": "application/json"} if "content" in options else {})
        for attempt in range(_ATTEMPTS):
            if attempt:
                self._sleep(wait)
                wait = min(2 * wait, _LONGEST_WAIT_SECONDS)
            try:
                with self._client.stream(method, path, headers=headers, **options) as answer:
                    if answer.is_success or (may_be_gone and answer.status_code == 404):
                        return _bounded(answer)
                    trouble = f"{method} {path} is answered with status {answer.status_code}"
                    if answer.status_code not in _TRY_AGAIN:
                        raise GrafanaError(f"{trouble}{_hint(answer.status_code)}")
                    if (asked := self._retry_after(answer)) is not None:
                        wait = min(asked, _LONGEST_WAIT_SECONDS)
            except httpx.HTTPError as error:
                # A request that was lost may have been carried out: an annotation that is there twice is found and
                # deleted by the next run.
                trouble = f"{method} {path} fails: {type(error).__name__}"
        raise GrafanaError(f"{trouble}, {_ATTEMPTS} times")

    def _retry_after(self, answer: httpx.Response) -> float | None:
        """Return the seconds of a Retry-After header (RFC 9110, section 10.2.3)."""
        written = answer.headers.get("retry-after", "")
        if written.isascii() and written.isdigit() and len(written) <= 6:
            return float(written)
        try:
            at = parsedate_to_datetime(written)
        except (ValueError, IndexError):
            return None
        at = at if at.tzinfo else at.replace(tzinfo=UTC)
        return max(0.0, (at - self._now()).total_seconds())


def _bounded(answer: httpx.Response) -> bytes:
    content = bytearray()
    for chunk in answer.iter_bytes():
        content += chunk
        if len(content) > _ANSWER_BYTES_AT_MOST:
            raise GrafanaError(f"the server answers with more than {_ANSWER_BYTES_AT_MOST} bytes")
    return bytes(content)


def _hint(status: int) -> str:
    return {
        401: ": the token is not known there",
        403: ": the token may not do that; it needs annotations:read, :create, :write and :delete",
        404: ": is that the address of a Grafana server?",
    }.get(status, "")
