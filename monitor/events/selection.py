"""Which events are wanted, and where each stands in time."""

from collections.abc import Mapping
from datetime import datetime
from typing import Final

import msgspec

from monitor.events.deadlines import due_intervals
from monitor.events.interval import Interval
from monitor.events.record import Links, RegulatoryEvent
from monitor.events.timeline import Span, span

_MIRRORS: Final = {
    "caused_by": "causes",
    "reversal_of": "reversed_by",
    "followed_by": "follows",
    "related": "related",
}


class Filter(msgspec.Struct, frozen=True, kw_only=True):
    """Which events are wanted; what is empty asks nothing. An event fits `since` and `until` by overlap."""

    countries: tuple[str, ...] = ()
    platforms: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    since: datetime | None = None
    until: datetime | None = None

    def fits(self, event: RegulatoryEvent, when: "When") -> bool:
        """Tell whether an event is wanted."""
        ends = when.latest
        return (
            (not self.countries or any(one in self.countries for one in event.countries))
            and (not self.platforms or any(one.id in self.platforms for one in event.platforms))
            and (not self.kinds or event.kind in self.kinds)
            and (not self.tags or any(tag in self.tags for tag in event.tags))
            and (self.until is None or when.earliest < self.until)
            and (self.since is None or ends is None or ends > self.since)
        )


class When(msgspec.Struct, frozen=True, kw_only=True):
    """From when until when an event stands on a chart; `latest` is None while it is open."""

    earliest: datetime
    latest: datetime | None
    span: Span | None


def when(event: RegulatoryEvent, events: Mapping[str, RegulatoryEvent]) -> When | None:
    """Return where an event stands in time; a deadline stands where it is due. None if nothing dates it."""
    found = span(event)
    if found is not None:
        end = found.end
        return When(
            earliest=found.start.interval.earliest, latest=end.interval.latest if end is not None else None, span=found
        )
    dues = due_intervals(event, events)
    around = dues or [Interval(one.earliest, one.latest) for one in event.dates]
    if not around:
        return None
    return When(earliest=min(one.earliest for one in around), latest=max(one.latest for one in around), span=None)


def with_mirrored_links(events: Mapping[str, RegulatoryEvent]) -> dict[str, RegulatoryEvent]:
    """Return the events with each link there in both directions."""
    added: dict[str, dict[str, list[str]]] = {}
    for event in events.values():
        for there, back in _MIRRORS.items():
            for target in getattr(event.links, there):
                if target in events:
                    added.setdefault(target, {}).setdefault(back, []).append(event.id)
    return {
        name: msgspec.structs.replace(
            event,
            links=Links(
                **{
                    field: tuple(dict.fromkeys((*getattr(event.links, field), *added.get(name, {}).get(field, ()))))
                    for field in Links.__struct_fields__
                }
            ),
        )
        for name, event in events.items()
    }
