"""One event as a person reads it on a terminal."""

from collections.abc import Sequence

from monitor.cli._rendering import instant
from monitor.events.annotation import date_text, span_text
from monitor.events.deadlines import Deadline
from monitor.events.interval import Interval
from monitor.events.record import Phase, RegulatoryEvent
from monitor.events.timeline import span


def sheet(event: RegulatoryEvent, due: Sequence[Deadline]) -> list[str]:
    """Return the lines that tell everything about an event; what a file says is printable text."""
    publishers = {source.id: source.publisher for source in event.sources}
    lines = [event.name, f"{event.id}, {event.kind}{f', {event.status}' if event.status else ''}"]
    lines += [event.summary["en"]] if "en" in event.summary else []
    lines.append(f"Confidence {event.confidence.level}: {event.confidence.why}.")
    lines += [f"{one.name}: {one.role.replace('_', ' ')}" for one in event.authorities]
    lines += [
        f"{one.relation} {one.name}{f', section {one.section}' if one.section else ''}" for one in event.instruments
    ]
    if (found := span(event)) is not None:
        lines += ["", span_text(event, found)]
    lines += ["", "Dates"]
    for one in event.dates:
        words = date_text(Interval(one.earliest, one.latest), one.precision, one.tz)
        edge = f" ({one.edge})" if one.phase is Phase.OBSERVED else ""
        told = ", ".join(dict.fromkeys(publishers[key] for key in one.sources))
        lines.append(f"  {one.phase.replace('_', ' ')}{edge}: {words}; {told}{f' ({one.note})' if one.note else ''}")
        lines.append(f"    {instant(one.earliest)} to {instant(one.latest)}")
    for title, entries in (
        ("Claims", [_claim(one.what, one.by, one.source, one.retracted_by, publishers) for one in event.claims]),
        ("Claimed causes", [f"{one.claimed}, says {one.by} ({publishers[one.source]})" for one in event.causes]),
        ("Deadlines", [_due(one) for one in due]),
        ("Sources", [f"{one.id}: {one.publisher}, {one.title}, {one.url or one.document}" for one in event.sources]),
    ):
        if entries:
            lines += ["", title, *(f"  {entry}" for entry in entries)]
    return lines


def _claim(what: str, by: str, source: str, retracted_by: str | None, publishers: dict[str, str]) -> str:
    withdrawn = f", withdrawn ({publishers[retracted_by]})" if retracted_by else ""
    return f"{what}, says {by} ({publishers[source]}){withdrawn}"


def _due(one: Deadline) -> str:
    why = f", {one.why_moot}" if one.why_moot else ""
    reported = f", as reported by {one.reported_by}" if one.reported_by else ""
    return f"{one.obligation}: {one.what}, by {instant(one.interval.latest)} ({one.base}{reported}): {one.state}{why}"
