"""Events as comma-separated values (RFC 4180), one row for each event."""

import csv
import io
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Final

from monitor.events.record import RegulatoryEvent
from monitor.events.timeline import PhaseDate, span

COLUMNS: Final = (
    "id",
    "kind",
    "status",
    "title",
    "countries",
    "platforms",
    "start_phase",
    "start_earliest",
    "start_latest",
    "start_precision",
    "start_disputed",
    "end_phase",
    "end_earliest",
    "end_latest",
    "end_precision",
    "end_disputed",
    "confidence",
    "publishers",
    "urls",
)
_FORMULA: Final = ("=", "+", "-", "@")  # what a spreadsheet would compute


def table(events: Iterable[RegulatoryEvent], _: Mapping[str, RegulatoryEvent]) -> Iterator[str]:
    """Yield the lines, a header first; lists have semicolons inside a cell, times are UTC."""
    yield _line(COLUMNS)
    for event in events:
        found = span(event)
        start = found.start if found else None
        end = found.end if found else None
        yield _line(
            (
                event.id,
                event.kind,
                event.status or "",
                event.name,
                ";".join(event.countries),
                ";".join(one.id for one in event.platforms),
                *_date(start),
                *_date(end),
                event.confidence.level,
                ";".join(dict.fromkeys(one.publisher for one in event.sources)),
                ";".join(one.url for one in event.sources if one.url),
            )
        )


def _date(one: PhaseDate | None) -> tuple[str, ...]:
    if one is None:
        return ("",) * 5
    first, last = _utc(one.interval.earliest), _utc(one.interval.latest)
    return one.phase, first, last, one.precision, "yes" if one.is_disputed else "no"


def _utc(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


def _line(cells: Iterable[str]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer).writerow(f"'{cell}" if cell.startswith(_FORMULA) else cell for cell in cells)
    return buffer.getvalue()
