"""Events as a calendar (RFC 5545): what people subscribe to in their own."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from monitor.events.annotation import text_of
from monitor.events.deadlines import Deadline, deadlines
from monitor.events.record import Precision, RegulatoryEvent
from monitor.events.timeline import PhaseDate, span

_LONGEST_OCTETS: Final = 75
_WHOLE_DAYS: Final = frozenset({Precision.DAY, Precision.MONTH, Precision.YEAR})
_LONG_AGO: Final = datetime(1970, 1, 1, tzinfo=UTC)


def icalendar(events: Iterable[RegulatoryEvent], all_events: Mapping[str, RegulatoryEvent]) -> Iterator[str]:
    """Yield the folded lines; one component for each event and each of its deadlines that is not moot."""
    yield from _lines(
        "BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//access-monitor//regulatory events//EN", "CALSCALE:GREGORIAN"
    )
    dues: dict[str, list[Deadline]] = {}
    for due in deadlines(all_events, _LONG_AGO):
        if due.why_moot is None:
            dues.setdefault(due.event, []).append(due)
    for event in events:
        found = span(event)
        if found is not None:
            yield from _component(event, event.id, event.name, text_of(event, found), _when(found.start, found.end))
        for due in dues.get(event.id, ()):
            words = f"{event.name}. {due.base}{', in dispute' if due.is_disputed else ''}."
            first = due.interval.earliest.astimezone(ZoneInfo(due.tz))
            last = due.interval.latest.astimezone(ZoneInfo(due.tz))
            when = [f"DTSTART;VALUE=DATE:{first:%Y%m%d}", f"DTEND;VALUE=DATE:{last:%Y%m%d}"]
            yield from _component(event, f"{event.id}-{due.obligation}", f"Due: {due.what}", words, when)
    yield from _lines("END:VCALENDAR")


def _component(event: RegulatoryEvent, name: str, title: str, words: str, when: list[str]) -> Iterator[str]:
    url = next((source.url for source in event.sources if source.url), None)
    yield from _lines(
        "BEGIN:VEVENT",
        f"UID:{name.replace('@', '-')}@events.access-monitor.invalid",
        # When the component was made (section 3.8.7.2). The same events give the same bytes, so no clock is asked.
        f"DTSTAMP:{_stamp(event):%Y%m%dT%H%M%SZ}",
        *when,
        f"SUMMARY:{_escaped(title)}",
        f"DESCRIPTION:{_escaped(words)}",
        f"CATEGORIES:{','.join(map(_escaped, event.labels))}",
        *([f"URL:{url}"] if url else []),
        "TRANSP:TRANSPARENT",
        "END:VEVENT",
    )


def _stamp(event: RegulatoryEvent) -> datetime:
    return max((one.earliest for one in event.dates), default=_LONG_AGO)


def _when(start: PhaseDate, end: PhaseDate | None) -> list[str]:
    last = end if end is not None else start  # an open event stands at its beginning
    if start.precision in _WHOLE_DAYS or last.precision in _WHOLE_DAYS:
        first_day = start.interval.earliest.astimezone(ZoneInfo(start.tz))
        day_after = (last.interval.latest - timedelta(microseconds=1)).astimezone(ZoneInfo(last.tz)) + timedelta(days=1)
        return [f"DTSTART;VALUE=DATE:{first_day:%Y%m%d}", f"DTEND;VALUE=DATE:{day_after:%Y%m%d}"]
    return [
        f"DTSTART:{start.interval.earliest:%Y%m%dT%H%M%SZ}",
        f"DTEND:{last.interval.latest:%Y%m%dT%H%M%SZ}",
    ]


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace(";", "\\;").replace(",", "\\,").replace("\n", "\\n")


def _lines(*contents: str) -> Iterator[str]:
    """Fold lines of more than 75 octets without cutting a character in two (section 3.1)."""
    for content in contents:
        line = b""
        for character in content:
            octets = character.encode()
            if len(line) + len(octets) > _LONGEST_OCTETS:
                yield f"{line.decode()}\r\n"
                line = b" "
            line += octets
        yield f"{line.decode()}\r\n"
