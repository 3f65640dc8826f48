"""What is exported of regulatory events: a pure function of the calendar and the time."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from itertools import product
from typing import Final

from monitor.events.annotation import Calendar
from monitor.events.deadlines import DeadlineState, deadlines
from monitor.events.record import RegulatoryEvent
from monitor.events.selection import when
from monitor.events.timeline import InForce, Span, in_force
from monitor.exporter import table
from monitor.exporter.table import Metric

Samples = Mapping[Metric, Mapping[tuple[str, ...], float]]
_TITLE_CHARACTERS: Final = 200


def event_samples(calendar: Calendar, now: datetime) -> Samples:
    """Return the samples of every event metric as of `now`, by label values."""
    found: dict[Metric, dict[tuple[str, ...], float]] = {metric: {} for metric in table.EVENT_METRICS}
    for event in calendar.events.values():
        stands = when(event, calendar.events)
        if stands is None:
            continue
        for labels in event_labels(event):
            found[table.EVENT_INFO][*labels, event.name[:_TITLE_CHARACTERS]] = 1
            found[table.EVENT_START][labels] = stands.earliest.timestamp()
            if stands.latest is not None:
                found[table.EVENT_END][labels] = stands.latest.timestamp()
            if stands.span is not None and lasts(stands.span):
                found[table.EVENT_ACTIVE][labels] = int(in_force(stands.span, now) is not InForce.NO)
    for one in deadlines(calendar.events, now):
        if one.state is not DeadlineState.MOOT:
            found[table.EVENT_DEADLINE][one.event, one.obligation] = one.interval.latest.timestamp()
    return found


def event_labels(event: RegulatoryEvent) -> Iterator[tuple[str, ...]]:
    """Yield the values of `EVENT_LABELS`, one for each country and platform."""
    platforms = tuple(one.id for one in event.platforms)
    for country, platform in product(event.countries or ("",), platforms or ("",)):
        yield event.id, event.kind.value, country, platform


def lasts(span: Span) -> bool:
    """Tell whether a span is more than a moment."""
    return span.start is not span.end
