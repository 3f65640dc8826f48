"""What a report says in sentences: times in UTC and there, shares with their denominators, and never a cause."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from monitor.detect.coincidence import Relation
from monitor.model.onset import Dating
from monitor.model.verdict import Status
from monitor.report.record import Band, ChangeKind, Comparison, DatedChange, Place, ReportedIncident, Span

_DONE: Final = {
    Status.BLOCKED: "blocked",
    Status.THROTTLED: "throttled (reachable, but slowed)",
    Status.WITHHELD: "withheld by the platform itself",
    Status.DOWN: "down everywhere",
}
_NAMED: Final = 6
EDGES: Final = {
    ChangeKind.START: "began",
    ChangeKind.OPENING: "opened for a while",
    ChangeKind.AGAIN: "began again",
    ChangeKind.STILL: "still so after a pause in measuring",
    ChangeKind.END: "ended",
}


def day(at: datetime, place: Place) -> str:
    """Return the local date: 17 February 2024."""
    return at.astimezone(place.clock).strftime("%-d %B %Y")


def clock(at: datetime, place: Place) -> str:
    """Return an instant in local time and in UTC, each with its date where they differ."""
    local = at.astimezone(place.clock)
    if place.zone == "UTC":
        return f"{local:%H:%M} UTC on {day(at, place)}"
    utc = at.astimezone(UTC)
    other = "" if utc.date() == local.date() else f" on {utc:%-d %B}"
    return f"{local:%H:%M %Z} on {day(at, place)} ({utc:%H:%M} UTC{other})"


def between(span: Span, place: Place) -> str:
    """Return an interval in words, in local time and in UTC."""
    if span.earliest is None:
        return f"before {clock(span.latest, place)}"
    first, last = (at.astimezone(place.clock) for at in (span.earliest, span.latest))
    if first.date() != last.date():
        return f"between {clock(span.earliest, place)} and {clock(span.latest, place)}"
    if place.zone == "UTC":
        return f"between {first:%H:%M} and {last:%H:%M} UTC on {day(span.latest, place)}"
    start, end = span.earliest.astimezone(UTC), span.latest.astimezone(UTC)
    shared = start.date() == end.date()
    here = shared and start.date() == first.date()
    began = f"{start:%H:%M}" + ("" if shared else f" on {start:%-d %B}")
    ended = f"{end:%H:%M} UTC" + ("" if here else f" on {end:%-d %B}")
    return f"between {first:%H:%M} and {last:%H:%M %Z} on {day(span.latest, place)} ({began} to {ended})"


def days(start: Span, end: Span, place: Place) -> str:
    """Return the difference of the local dates of two intervals."""
    zone = place.clock
    firsts = [at.astimezone(zone).date() for at in (start.earliest or start.latest, start.latest)]
    lasts = [at.astimezone(zone).date() for at in (end.earliest or end.latest, end.latest)]
    fewest, most = max(0, (lasts[0] - firsts[1]).days), (lasts[1] - firsts[0]).days
    if most == 0:
        return "less than a day"
    return f"{fewest} day{'s' * (fewest != 1)}" if fewest == most else f"{fewest} to {most} days"


def share(affected: int, measured: int, where: str) -> str:
    """Return on how many of the networks measured."""
    if measured <= 1:
        return f"on the one network measured in {where}"
    whole = "both" if measured == 2 else f"all {measured}"
    return f"on {whole if affected == measured else f'{affected} of {measured}'} networks measured in {where}"


def main_sentence(name: str, place: Place, incident: ReportedIncident, last: datetime | None) -> str:
    """Return the sentence about one incident that may be quoted alone; `last` is when measuring stopped, if it did."""
    what = _DONE.get(incident.status, str(incident.status))
    extent = share(len(incident.networks), max(incident.measured, len(incident.networks)), place.name)
    start = _start(incident, place)
    if incident.closed_at is None and last is None:
        return f"{name} is {what} {extent}. {start}; no end has been confirmed."
    if incident.closed_at is None or (last is not None and last < incident.closed_at):
        when = clock(last or incident.opened_at, place)
        return f"{name} was {what} {extent}. {start}; no end had been confirmed by {when}, where this report ends."
    if incident.end is None:
        return f"{name} was {what} {extent}. {start}, and the end was confirmed by {clock(incident.closed_at, place)}."
    length = f": {days(incident.start, incident.end, place)}" if incident.start else ""
    return f"{name} was {what} {extent}. {start}, and it ended {between(incident.end, place)}{length}."


def _start(incident: ReportedIncident, place: Place) -> str:
    if incident.start is None:
        return f"It was under way at {clock(incident.opened_at, place)}"
    return f"It began {between(incident.start, place)}"


def quiet_sentence(name: str, place: Place, measured: int, since: datetime, until: datetime) -> str:
    """Return the sentence for a time without any incident."""
    period = f"between {day(since, place)} and {day(until, place)}"
    if not measured:
        return f"{name} was not measured in {place.name} {period}; nothing can be said about it."
    networks = "the one network" if measured == 1 else f"any of the {measured} networks"
    return f"No change of {name} was confirmed on {networks} measured in {place.name} {period}."


def basis_sentence(bands: Sequence[Band], since: datetime, until: datetime, place: Place) -> str:
    """Return what it rests on: networks, rounds, coverage."""
    counted = [one for one in bands if one.kept]
    kept, expected = sum(one.kept for one in counted), sum(one.expected for one in counted)
    if not counted:
        return ""
    names = list(dict.fromkeys(one.name for one in counted))
    listed = ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")
    # Further looks come on top of the schedule.
    coverage = f", {min(1.0, kept / expected):.0%} of what was scheduled" if expected else ""
    return (
        f"This rests on {kept:,} rounds that count{coverage}, between {day(since, place)} and {day(until, place)}, "
        f"on {listed}."
    )


def claims_sentence(found: Sequence[Comparison]) -> str:
    """Return how often its end was claimed while nothing changed; empty if that was never compared."""
    claims = [one for one in found if one.is_claim]
    measured = [one for one in claims if one.line.relation is not Relation.NOT_MEASURED]
    still = [one for one in measured if one.line.relation is Relation.NO_CHANGE]
    if not still:
        return ""
    dates = [one.date for one in still]
    listed = " and ".join([", ".join(dates[:-1]), dates[-1]] if len(dates) > 1 else dates)
    times = {1: "once", 2: "twice"}.get(len(claims), f"{len(claims)} times")
    which = "this" if len(claims) == 1 else "any of these" if len(still) == len(claims) else f"{len(still)} of these"
    return f"Its end was claimed {times}; no change was seen around {which} on any network measured ({listed})."


def other_incidents_sentence(name: str, place: Place, others: Sequence[ReportedIncident]) -> str:
    """Return what else there was in the period."""
    if not others:
        return ""
    listed = [f"{_DONE.get(one.status, one.status)} on {day(one.opened_at, place)} ({one.id})" for one in others]
    more = f" and {len(listed) - _NAMED} more times" if len(listed) > _NAMED else ""
    return f"In the same period {name} was also {', '.join(listed[:_NAMED])}{more}."


def changed(one: DatedChange, place: Place) -> str:
    """Return within what a series changed, or why that is not known."""
    if one.dating is Dating.DATED and one.latest is not None:
        return between(Span(earliest=one.earliest, latest=one.latest), place)
    if one.dating is Dating.BEFORE and one.latest is not None:
        return f"before {clock(one.latest, place)}: the beginning was not measured"
    why = "not dated yet" if one.dating is None else "cannot be dated"
    return f"{why}; confirmed by {clock(one.confirmed_at, place)}"
