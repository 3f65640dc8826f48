"""Incidents with all that is known about them, as commands, the API and the page show them."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec

from monitor.detect.incidents import Returning, extent, returning
from monitor.detect.onset import hull
from monitor.detect.periodic import Pattern, pattern
from monitor.model.onset import Edge
from monitor.model.outcome import Incident, IncidentUpdate, Member
from monitor.model.verdict import DetectorState
from monitor.store.reader import DatedEdge, Reader

PATTERN_WITHIN: Final = timedelta(days=14)


class Interval(msgspec.Struct, frozen=True, kw_only=True):
    """Within what all dated networks changed; `earliest` is None if one of them changed unmeasured."""

    earliest: datetime | None
    latest: datetime


class IncidentDetail(Incident, frozen=True, kw_only=True):
    """An incident with its dated edges, its history, and what is visible but not confirmed."""

    extent: str  # in words: on how much of what is measured
    start: Interval | None = None  # hull over vantages and networks; None: cannot be dated
    end: Interval | None = None
    edges: tuple[DatedEdge, ...] = ()
    updates: tuple[IncidentUpdate, ...] = ()
    returning: tuple[Returning, ...] = ()  # reachable again, not confirmed
    periodic: Pattern | None = None  # it comes back at this time of day, UTC


def details(reader: Reader, incidents: Sequence[Incident]) -> list[IncidentDetail]:
    """Return incidents with their details, in the order given."""
    names = [one.id for one in incidents]
    updates: dict[str, list[IncidentUpdate]] = {}
    for update in reader.incident_updates(names):
        updates.setdefault(update.incident, []).append(update)
    edges: dict[str, list[DatedEdge]] = {}
    for edge in reader.dated_edges(names):
        edges.setdefault(edge.incident, []).append(edge)
    is_open = any(one.closed_at is None for one in incidents)
    detectors = (
        {Member(one.target, one.vantage, one.asn or 0): one.detector for one in reader.detector_states()}
        if is_open
        else {}
    )
    history = reader.incidents(since=min(one.opened_at for one in incidents) - PATTERN_WITHIN) if incidents else []
    return [
        _detail(one, edges.get(one.id, []), updates.get(one.id, []), detectors, _pattern(one, history))
        for one in incidents
    ]


def _detail(
    incident: Incident,
    edges: Sequence[DatedEdge],
    updates: Sequence[IncidentUpdate],
    detectors: Mapping[Member, DetectorState],
    periodic: Pattern | None,
) -> IncidentDetail:
    fields = {name: getattr(incident, name) for name in Incident.__struct_fields__}
    return IncidentDetail(
        **fields,
        extent=extent(incident),
        start=_interval(edges, Edge.START),
        end=_interval(edges, Edge.END) if incident.closed_at else None,
        edges=tuple(edges),
        updates=tuple(updates),
        returning=() if incident.closed_at else returning(incident, detectors),
        periodic=periodic,
    )


def _interval(edges: Sequence[DatedEdge], edge: Edge) -> Interval | None:
    """Return the hull of the first starts or last ends: a series that opened for a while did not begin anew."""
    ordered = reversed(edges) if edge is Edge.START else edges
    decisive = {one.member: one.onset for one in ordered if one.edge is edge}
    found = hull([one for one in decisive.values() if one is not None])
    return None if found is None else Interval(earliest=found[0], latest=found[1])


def _pattern(incident: Incident, history: Sequence[Incident]) -> Pattern | None:
    """Return what comes back daily in the incidents of the same platform and country up to this one."""
    spans = [
        (one.started_before, one.closed_at)
        for one in history
        if (one.platform, one.country) == (incident.platform, incident.country)
        and timedelta() <= incident.opened_at - one.opened_at <= PATTERN_WITHIN
    ]
    return pattern(spans, UTC)
