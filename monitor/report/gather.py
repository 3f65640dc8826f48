"""From the record to a report. Reads rollups, incidents and dated changes; never every measurement."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import groupby
from math import ceil
from operator import attrgetter
from typing import Final
from urllib.parse import urlsplit

import msgspec

import monitor
from monitor.detect import coincidence
from monitor.detect.coincidence import WINDOW, ChangeInterval, NetworkSeries
from monitor.detect.rollup import network_words
from monitor.events.annotation import Calendar, Mark, span_text
from monitor.events.record import RegulatoryEvent
from monitor.events.selection import when
from monitor.events.timeline import span
from monitor.model.onset import Edge
from monitor.model.outcome import IncidentUpdate, Member, UpdateKind
from monitor.model.vantage import NetworkIdentity, Role
from monitor.model.verdict import SeriesState, Status
from monitor.report import words
from monitor.report.comparing import change, compared, questions, window
from monitor.report.places import place_of
from monitor.report.record import (
    SIMULATED,
    Band,
    Bucket,
    ChangeKind,
    Chart,
    Comparison,
    DatedChange,
    Flag,
    ImportedMonth,
    Place,
    Proof,
    Report,
    ReportedIncident,
    SourceLink,
    Span,
    Way,
)
from monitor.store.incident_detail import IncidentDetail, details
from monitor.store.reader import Counted, DatedEdge, MeasuredFrom, Reader

UNKNOWN: Final = "unknown"
LONGEST: Final = timedelta(days=3 * 366)
_BUCKETS: Final = 300
_ROWS: Final = 800  # of the table
_WIDTHS: Final = tuple(timedelta(hours=hours) for hours in (1, 2, 3, 6, 12, 24, 48, 96, 168, 336))
_HOUR: Final = timedelta(hours=1)
_AROUND_AN_EDGE: Final = timedelta(hours=30)
_LONGEST_EDGE: Final = timedelta(days=4)
_STILL_NOW: Final = timedelta(hours=2)
_GAP_WORTH_TELLING: Final = timedelta(days=1)
_MOST_BANDS: Final = 60
_MOST_INCIDENTS: Final = 40
_MOST_FLAGS: Final = 60
_MOST_COMPARISONS: Final = 120
_MOST_PROOFS: Final = 24
_YEAR: Final = timedelta(days=365.25)
_COUNTS: Final = attrgetter(*(one.value for one in Status))


class ReportError(Exception):
    """What was asked for is not there; the message says what is."""


@dataclass(frozen=True)
class Subject:
    """What a report is about."""

    platform: str
    name: str  # what people call the platform
    country: str
    since: datetime
    until: datetime
    words: str
    incident: str | None = None  # the one that it is about


def about_event(reader: Reader, calendar: Calendar, event_id: str, platform: str | None, now: datetime) -> Subject:
    """Return the subject that an event gives: its platform and country, with a month on both sides."""
    event = calendar.events.get(event_id)
    if event is None:
        raise ReportError(f"There is no event {event_id!r}; `monitor events list` names them.")
    stands = when(event, calendar.events)
    if stands is None:
        raise ReportError(f"Nothing dates the event {event_id!r}.")
    named = [platform] if platform else [one.id for one in event.platforms]
    measured = [one for one in named if reader.measured_from(one)]
    if len(measured) != 1:
        told = "None of the platforms of this event is" if not measured else f"{', '.join(measured)} are"
        raise ReportError(f"{told} measured; name one with --platform.")
    country = event.countries[0] if event.countries else _country(reader, measured[0], None)
    margin = timedelta(days=30)
    latest = min(now, stands.latest or now)
    return Subject(
        platform=measured[0],
        name="",
        country=country,
        since=stands.earliest - margin,
        until=min(now, latest + margin),
        words=event.name,
    )


def about_incident(reader: Reader, incident_id: str, now: datetime) -> Subject:
    """Return the subject that an incident gives."""
    found = reader.incident(incident_id)
    if found is None:
        raise ReportError(f"There is no incident {incident_id!r}; `monitor incidents` lists them.")
    length = (found.closed_at or now) - found.opened_at
    margin = min(max(length / 10, timedelta(days=2)), timedelta(days=30))
    return Subject(
        platform=found.platform,
        name="",
        country=found.country,
        since=found.opened_at - margin,
        until=min(now, (found.closed_at or now) + margin),
        words=f"incident {incident_id}",
        incident=incident_id,
    )


def about_platform(reader: Reader, platform: str, country: str | None, now: datetime) -> Subject:
    """Return the subject that a platform gives: the last 90 days."""
    if not reader.measured_from(platform):
        raise ReportError(f"{platform} was never measured.")
    place = _country(reader, platform, country)
    return Subject(platform, "", place, now - timedelta(days=90), now, f"{platform} in {place}")


def _country(reader: Reader, platform: str, wanted: str | None) -> str:
    known = sorted({one.country or UNKNOWN for one in reader.measured_from(platform) if one.role is not Role.CONTROL})
    if wanted is None and len(known) > 1:
        raise ReportError(f"{platform} is measured in {', '.join(known)}; name one with --country.")
    return wanted or known[0]


def gathered(reader: Reader, calendar: Calendar, subject: Subject, now: datetime) -> Report:
    """Read what the report says; blocking, and bounded by the length of the period and the number of vantages."""
    since, until = _hour(max(subject.since, subject.until - LONGEST)), _hour(subject.until + _HOUR, up=False)
    if since >= until:
        raise ReportError("The period ends before it begins.")
    events = [one for one in calendar.events.values() if _concerns(one, subject)]
    place = place_of(subject.country, calendar.events.values())
    vantages = [one for one in reader.measured_from(subject.platform) if (one.country or UNKNOWN) == subject.country]
    own = [one for one in vantages if not one.is_imported][:_MOST_BANDS]
    found = reader.incidents(
        platform=subject.platform, country=subject.country, since=since - WINDOW, until=until + WINDOW
    )
    detailed = list(reversed(details(reader, found[:_MOST_INCIDENTS])))
    source = _Source(reader, subject.platform, own, [update for one in detailed for update in one.updates])
    # The whole period is read once; everything else is made of these rows.
    table = source.chart(since, until, _width(until - since))
    main_chart = folded(table, ceil((until - since) / table.width / _BUCKETS))
    incidents = [_incident(one, table) for one in detailed if _meets(one, since, until)]
    comparisons = _comparisons(reader, events, detailed, source, (since, until))
    flags = _flags(calendar, events, since, until)
    principal = _principal(incidents, subject, until)
    others = [one for one in incidents if one is not principal]
    measured = len({band.network.asn for band in main_chart.bands if band.kept and band.role is Role.TEST})
    if principal is None or not measured:
        first = words.quiet_sentence(subject.name, place, measured, since, until)
    else:
        first = words.main_sentence(subject.name, place, principal, _last_told(table, now))
    tests = [one for one in main_chart.bands if one.role is Role.TEST]
    sentences = (
        first,
        words.claims_sentence(comparisons) if principal else "",
        words.other_incidents_sentence(subject.name, place, others) if measured else "",
        words.basis_sentence(tests, since, until, place),
    )
    charts = [("Reachability by network", main_chart)]
    if principal is not None and until - since > 4 * _AROUND_AN_EDGE:
        charts += [(caption, source.chart(*edge, _HOUR)) for caption, edge in _edges(principal, since, until)]
    proofs = _proofs(reader, detailed, principal)
    named = {asn for event in events for asn in event.asns}
    return Report(
        platform=subject.platform,
        name=subject.name,
        place=place,
        since=since,
        until=until,
        written_at=now,
        version=monitor.__version__,
        rules_versions=tuple(sorted({one.rules_version for one in proofs})),
        subject=subject.words,
        is_simulated=any(one.vantage.startswith(SIMULATED) for one in vantages),
        sentences=tuple(one for one in sentences if one),
        charts=tuple(charts),
        table=table,
        flags=flags,
        incidents=tuple(sorted(incidents, key=lambda one: one is not principal)),
        comparisons=comparisons,
        elsewhere=tuple(_elsewhere(reader, subject, principal)) if principal else (),
        proofs=proofs,
        imported=tuple(_imported(reader, subject, vantages, since, until)),
        unknowns=(
            *_unknowns(reader, subject, place, table, named),
            *_undated(incidents),
        ),
        changes_a_year=_changes_a_year(detailed, since, until),
    )


# --- Bands


class _Source:
    """Reads charts of one platform at some vantages."""

    def __init__(
        self, reader: Reader, platform: str, vantages: Sequence[MeasuredFrom], updates: Sequence[IncidentUpdate]
    ) -> None:
        self._reader = reader
        self.platform = platform
        self.vantages = vantages
        self._ways = _ways(updates)

    def chart(self, since: datetime, until: datetime, width: timedelta) -> Chart:
        """Return a chart; its stretches begin at whole hours."""
        rows: dict[str, list[Counted]] = {}
        for row in self._reader.counted(self.platform, since, until, width):
            rows.setdefault(row.vantage, []).append(row)
        bands = [band for one in self.vantages for band in self._bands(one, rows.get(one.vantage, ()), width)]
        bands.sort(key=lambda one: (one.role is not Role.TEST, one.network.asn or 2**32, one.vantage))
        return Chart(since=since, until=until, width=width, bands=tuple(bands))

    def _bands(self, one: MeasuredFrom, rows: Sequence[Counted], width: timedelta) -> Iterator[Band]:
        """Yield a vantage's bands: one for each network that it was on."""
        by_network: dict[int, list[Bucket]] = {network.asn or 0: [] for network in one.networks} or {0: []}
        asn = next(iter(by_network))
        for row in rows:
            if len(by_network) > 1:
                ends = row.start + width
                seen = self._reader.network_from(one.vantage, one.targets[0], row.start, ends)
                asn = asn if seen is None or seen not in by_network else seen
            by_network[asn].append(_bucket(row))
        names = {network.asn or 0: network for network in one.networks}
        for number, buckets in by_network.items():
            if not buckets and len(by_network) > 1:
                continue
            network = names.get(number, NetworkIdentity())
            yield Band(
                vantage=one.vantage,
                network=network,
                name=network_words(network),
                role=one.role,
                buckets=tuple(buckets),
                ways=tuple(self._ways.get((one.vantage, number), ())),
            )


def _last_told(chart: Chart, now: datetime) -> datetime | None:
    """Return until when rounds tell of the networks of a country; None if that is now."""
    ends = (
        one.start + chart.width for band in chart.bands if band.role is Role.TEST for one in band.buckets if one.kept
    )
    last = min(max(ends), chart.until)
    return None if now - last <= _STILL_NOW else last


def folded(chart: Chart, factor: int) -> Chart:
    """Return a chart whose stretches are `factor` times as long."""
    return msgspec.structs.replace(
        chart,
        width=chart.width * factor,
        bands=tuple(
            msgspec.structs.replace(band, buckets=tuple(_folded(band.buckets, chart.since, chart.width * factor)))
            for band in chart.bands
        ),
    )


def _folded(buckets: Sequence[Bucket], since: datetime, width: timedelta) -> Iterator[Bucket]:
    for place, group in groupby(buckets, key=lambda one: (one.start - since) // width):
        members = list(group)
        counts: Counter[Status] = Counter()
        for one in members:
            counts.update(one.counts)
        yield Bucket(
            start=since + place * width,
            expected=sum(one.expected for one in members),
            runs=sum(one.runs for one in members),
            kept=sum(one.kept for one in members),
            counts=dict(counts),
        )


def _measured(chart: Chart, since: datetime, until: datetime) -> int:
    """Return on how many networks rounds count, in the stretches that a time meets."""
    return len(
        {
            band.network.asn
            for band in chart.bands
            if band.role is Role.TEST
            and any(one.kept and one.start < until and one.start + chart.width > since for one in band.buckets)
        }
    )


def _bucket(row: Counted) -> Bucket:
    counts = {status: count for status, count in zip(Status, _COUNTS(row), strict=True) if count}
    return Bucket(start=row.start, expected=row.expected, runs=row.runs, kept=row.kept, counts=counts)


def _ways(updates: Iterable[IncidentUpdate]) -> dict[tuple[str, int], list[Way]]:
    """Return how access was prevented at each vantage and network, from what happened to incidents."""
    found: dict[tuple[str, int], list[Way]] = {}
    for one in sorted(updates, key=lambda each: (each.at, each.sequence)):
        if one.member is None or one.kind is UpdateKind.QUORUM:
            continue
        ways = found.setdefault((one.member.vantage, one.member.asn), [])
        if ways and ways[-1].until is None:
            ways[-1] = Way(since=ways[-1].since, until=one.at, mechanisms=ways[-1].mechanisms)
        if one.kind not in {UpdateKind.END, UpdateKind.PARTIAL_END, UpdateKind.UNWATCHED}:
            ways.append(Way(since=one.at, until=None, mechanisms=one.mechanisms))
    return found


def _width(length: timedelta) -> timedelta:
    return next((one for one in _WIDTHS if length / one <= _ROWS), _WIDTHS[-1])


def _hour(at: datetime, *, up: bool = False) -> datetime:
    whole = at.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    return whole + _HOUR if up and whole < at else whole


# --- Incidents


def _incident(one: IncidentDetail, table: Chart) -> ReportedIncident:
    tested = [network for network in one.networks if network.is_test] or list(one.networks)
    ends = one.closed_at or (one.updates[-1].at if one.updates else one.opened_at)
    return ReportedIncident(
        id=one.id,
        status=one.status,
        networks=tuple(_network_name(network.asn, network.name) for network in tested),
        measured=_measured(table, one.opened_at, ends + _HOUR),
        mechanisms=one.mechanisms,
        opened_at=one.opened_at,
        closed_at=one.closed_at,
        start=None if one.start is None else Span(earliest=one.start.earliest, latest=one.start.latest),
        end=None if one.end is None else Span(earliest=one.end.earliest, latest=one.end.latest),
        began_unmeasured=one.started_after is None,
        changes=tuple(_changes(one.edges)),
    )


def _changes(edges: Sequence[DatedEdge]) -> Iterator[DatedChange]:
    last = {one.member: one for one in edges}
    before: dict[Member, DatedEdge] = {}
    for one in edges:
        onset = one.onset
        yield DatedChange(
            incident=one.incident,
            kind=_kind(one, before.get(one.member), is_last=last.get(one.member) is one),
            vantage=one.member.vantage,
            network=_network_name(one.member.asn, one.network),
            target=one.member.target,
            dating=onset.dating if onset else None,
            earliest=onset.earliest if onset else None,
            latest=onset.latest if onset else None,
            around=(one.last_before_at, one.first_after_at),
            confirmed_at=one.confirmed_at,
        )
        before[one.member] = one


def _kind(one: DatedEdge, before: DatedEdge | None, *, is_last: bool) -> ChangeKind:
    if not _is_start(one):
        return ChangeKind.END if is_last else ChangeKind.OPENING
    if before is None:
        return ChangeKind.START
    return ChangeKind.STILL if _is_start(before) else ChangeKind.AGAIN


def _is_start(one: DatedEdge) -> bool:
    return one.edge is Edge.START


def _meets(one: IncidentDetail, since: datetime, until: datetime) -> bool:
    return one.opened_at < until and (one.closed_at is None or one.closed_at > since)


def _principal(found: Sequence[ReportedIncident], subject: Subject, until: datetime) -> ReportedIncident | None:
    """Return the incident that the report is about: the one named, else the longest."""
    named = [one for one in found if one.id == subject.incident]
    return max(named or found, key=lambda one: (one.closed_at or until) - one.opened_at, default=None)


def _edges(one: ReportedIncident, since: datetime, until: datetime) -> Iterator[tuple[str, tuple[datetime, datetime]]]:
    for caption, around in (("The beginning, hour by hour", one.start), ("The end, hour by hour", one.end)):
        if around is not None:
            earliest = max(around.earliest or around.latest, around.latest - _LONGEST_EDGE)
            first = max(since, _hour(earliest - _AROUND_AN_EDGE))
            yield caption, (first, min(until, _hour(around.latest + _AROUND_AN_EDGE)))


def _network_name(asn: int, name: str | None) -> str:
    return network_words(NetworkIdentity(asn=asn or None, name=name))


def _proofs(
    reader: Reader, detailed: Sequence[IncidentDetail], principal: ReportedIncident | None
) -> tuple[Proof, ...]:
    """Return the measurements that confirmed what happened, of the incident that the report is about first."""
    ordered = sorted(detailed, key=lambda one: principal is None or one.id != principal.id)
    ids = dict.fromkeys(update.measurement_id for one in ordered for update in one.updates if update.measurement_id)
    found = (reader.measurement(one) for one in list(ids)[:_MOST_PROOFS])
    return tuple(
        Proof(
            measurement=one.measurement.id,
            digest=one.digest,
            at=one.measurement.started_at,
            vantage=one.measurement.vantage,
            rule=one.verdicts[0].verdict.rule,
            rules_version=one.verdicts[0].verdict.rules_version,
            because=one.verdicts[0].verdict.because,
        )
        for one in found
        if one is not None and one.verdicts
    )


def _changes_a_year(detailed: Sequence[IncidentDetail], since: datetime, until: datetime) -> float | None:
    """Return how often a series changed in a year of the period, by the one that changed most."""
    if until - since < timedelta(days=90):
        return None
    changes = Counter(edge.member for one in detailed for edge in one.edges if since <= edge.confirmed_at < until)
    return max(changes.values(), default=0) / ((until - since) / _YEAR)


# --- Events


def _concerns(event: RegulatoryEvent, subject: Subject) -> bool:
    """Tell whether an event names the platform or none, and the country or none."""
    is_its = not event.platforms or any(one.id == subject.platform for one in event.platforms)
    return (
        is_its
        and (subject.country in event.countries or not event.countries)
        and bool(event.platforms or event.countries)
    )


def _flags(calendar: Calendar, events: Sequence[RegulatoryEvent], since: datetime, until: datetime) -> tuple[Flag, ...]:
    known = {one.id: one for one in events}
    shown = [
        mark
        for mark in calendar.marks
        if mark.event in known and (since <= mark.earliest < until or _is_long(mark, since, until))
    ]
    return tuple(_flag(number, mark, known[mark.event]) for number, mark in enumerate(shown[:_MOST_FLAGS], 1))


def _is_long(mark: Mark, since: datetime, until: datetime) -> bool:
    """Tell whether a mark that began before reaches into the period: what names no platform is left to the list."""
    return bool(mark.platforms) and mark.earliest < until and (mark.latest is None or mark.latest > since)


def _flag(number: int, mark: Mark, event: RegulatoryEvent) -> Flag:
    links = _links(event)
    stands = span(event)
    if mark.id == event.id:
        text = " ".join(filter(None, (event.summary.get("en"), span_text(event, stands) if stands else "")))
    else:
        # A secondary mark ends in the number of the date that it is about: its sources are that date's.
        text, place = mark.text, mark.id.rpartition("-")[2]
        told = event.dates[int(place) - 1].sources if place.isdigit() else tuple(links)
        links = {name: link for name, link in links.items() if name in told}
    return Flag(
        number=number,
        event=mark.event,
        kind=mark.kind,
        since=mark.earliest,
        until=mark.latest,
        title=mark.title,
        text=text,
        sources=tuple(links.values()),
    )


def _links(event: RegulatoryEvent) -> dict[str, SourceLink]:
    return {
        one.id: SourceLink(publisher=one.publisher, title=one.title, url=web_address(one.url)) for one in event.sources
    }


def web_address(url: str | None) -> str | None:
    """Return a URL that may be linked to, None for any other."""
    try:
        return url if url and urlsplit(url).scheme in {"http", "https"} else None
    except ValueError:
        return None


def _comparisons(
    reader: Reader,
    events: Sequence[RegulatoryEvent],
    detailed: Sequence[IncidentDetail],
    source: "_Source",
    period: tuple[datetime, datetime],
) -> tuple[Comparison, ...]:
    since, until = period
    wanted = [
        (question, event)
        for event in events
        if event.platforms  # what is about no platform in particular lies beside everything
        for question in questions(event)
        if any(since <= latest and earliest < until for earliest, latest in question.intervals)
    ]
    wanted.sort(key=lambda one: (one[0].interval.earliest, one[0].event.id))
    tests = [one for one in source.vantages if one.role is Role.TEST]
    changes = _changes_by_network(detailed)
    found = []
    for question, event in wanted[:_MOST_COMPARISONS]:
        kept = _kept(reader, source.platform, window(question))
        series = [
            NetworkSeries(
                vantage=one.vantage,
                network=network_words(network),
                kept=kept.get(one.vantage, ()),
                changes=tuple(changes.get((one.vantage, network.asn or 0), ())),
            )
            for one in tests
            for network in one.networks
        ]
        found.append(compared(question, series, period, _links(event)))
    return tuple(found)


def _changes_by_network(detailed: Sequence[IncidentDetail]) -> dict[tuple[str, int], list[ChangeInterval]]:
    found: dict[tuple[str, int], list[ChangeInterval]] = {}
    for one in detailed:
        edges = zip(one.edges, _changes(one.edges), strict=True)
        for edge in (edge for edge, made in edges if made.kind is not ChangeKind.STILL):
            earliest, latest = edge.last_before_at, edge.first_after_at or edge.confirmed_at
            if edge.onset is not None and edge.onset.latest is not None:
                earliest, latest = edge.onset.earliest, edge.onset.latest
            made = change(earliest, latest, is_start=_is_start(edge))
            found.setdefault((edge.member.vantage, edge.member.asn), []).append(made)
    return found


def _kept(
    reader: Reader, platform: str, stretches: Iterable[tuple[datetime, datetime]]
) -> Mapping[str, Sequence[datetime]]:
    """Return when rounds that count were made, to the hour: spread evenly within it."""
    found: dict[str, list[datetime]] = {}
    for since, until in stretches:
        for row in reader.counted(platform, _hour(since), _hour(until, up=True), _HOUR):
            found.setdefault(row.vantage, []).extend(
                row.start + _HOUR * (number + 0.5) / row.kept for number in range(row.kept)
            )
    return {name: sorted(set(times)) for name, times in found.items()}


# --- What else


def _elsewhere(reader: Reader, subject: Subject, principal: ReportedIncident) -> Iterator[str]:
    """Yield what other series did around the beginning, to exclude other explanations."""
    if principal.start is None:
        return
    since = (principal.start.earliest or principal.start.latest) - timedelta(hours=6)
    until = principal.start.latest + timedelta(hours=6)
    changed = [one for one in reader.transitions(since=since, until=until) if one.after is SeriesState.NOT_ACCESSIBLE]
    groups: dict[str, tuple[set[tuple[str, str]], set[tuple[str, str]]]] = {}
    for platform in reader.platforms():
        for one in reader.measured_from(platform):
            what = _comparison_of(one, platform, subject)
            if what is None or one.is_imported or not _is_measured(reader, platform, one, since, until):
                continue
            measured, moved = groups.setdefault(what, (set(), set()))
            for target in one.targets:
                measured.add((target, one.vantage))
                if any((each.target, each.vantage) == (target, one.vantage) for each in changed):
                    moved.add((target, one.vantage))
    for what, (measured, moved) in sorted(groups.items()):
        reading = coincidence.Comparison(what=what, measured=len(measured), changed=len(moved)).reading
        yield f"{_GROUPS[what]}: {reading} ({len(moved)} of {len(measured)} series)."


_GROUPS: Final = {
    "control_sites": "Uncontroversial sites, same networks",
    "other_platforms": "Other platforms, same networks",
    "other_countries": "The same platform, other countries",
    "circumvention": "Circumvention routes",
}


def _comparison_of(one: MeasuredFrom, platform: str, subject: Subject) -> str | None:
    if one.role is Role.CIRCUMVENTION:
        return "circumvention" if platform == subject.platform and one.country == subject.country else None
    if platform == subject.platform:
        return "other_countries" if (one.country or UNKNOWN) != subject.country else None
    if (one.country or UNKNOWN) != subject.country:
        return None
    return "control_sites" if platform == "control-sites" else "other_platforms"


def _is_measured(reader: Reader, platform: str, one: MeasuredFrom, since: datetime, until: datetime) -> bool:
    rows = reader.counted(platform, _hour(since), _hour(until, up=True), until - since + 2 * _HOUR)
    return any(row.vantage == one.vantage and row.kept for row in rows)


def _imported(
    reader: Reader, subject: Subject, vantages: Sequence[MeasuredFrom], since: datetime, until: datetime
) -> Iterator[ImportedMonth]:
    """Yield what others measured, month by month; never mixed with what is ours."""
    hosts = sorted({host for url in reader.urls(subject.platform) if (host := urlsplit(url).hostname)})
    for host in hosts:
        days = reader.ooni_counts(host, country=subject.country, since=since, until=until, limit=10_000)
        # A row for all networks counts what the rows of the networks count already.
        if any(one.asn for one in days):
            days = [one for one in days if one.asn]
        months: dict[str, Counter[str]] = {}
        for one in reversed(days):
            counts = months.setdefault(f"{one.day:%Y-%m}", Counter())
            counts.update(ok=one.ok, anomaly=one.anomaly, confirmed=one.confirmed, failure=one.failure)
        for month, counts in months.items():
            yield ImportedMonth(month=month, what=f"OONI, {host}", measurements=counts.total(), parts=dict(counts))
    imported = {one.vantage for one in vantages if one.is_imported}
    if imported:
        months = {}
        for row in reader.counted(subject.platform, since, until, timedelta(days=1)):
            if row.vantage in imported:
                months.setdefault(f"{row.start:%Y-%m}", Counter()).update(
                    {status.value: getattr(row, status.value) for status in Status}
                )
        for month, counts in months.items():
            parts = {name: count for name, count in counts.items() if count}
            what = "OONI's measurements, judged by our rules"
            yield ImportedMonth(month=month, what=what, measurements=counts.total(), parts=parts)


def _unknowns(reader: Reader, subject: Subject, place: Place, chart: Chart, named: AbstractSet[int]) -> Iterator[str]:
    """Yield what the record cannot tell; `named` are the networks that events name."""
    tests = [one for one in chart.bands if one.role is Role.TEST]
    missing = named - {one.network.asn for one in tests if one.kept}
    if missing:
        listed = ", ".join(f"AS{asn}" for asn in sorted(missing)[:12])
        yield f"No vantage measured on these networks, which events of this report name: {listed}."
    yield (
        f"Nothing is known of networks of {place.name} that no vantage was on, nor of other regions of those that "
        "were, nor whether mobile and fixed lines of a network differ."
    )
    for band in chart.bands:
        for start, end in gaps(band, chart.since, chart.until, chart.width):
            if end - start >= _GAP_WORTH_TELLING:
                yield (
                    f"{band.name} was not measured, or its rounds told nothing, from {words.day(start, place)} to "
                    f"{words.day(end, place)}."
                )
    for silent in reader.silences(since=chart.since):
        if silent.country == subject.country and silent.started_at < chart.until:
            ended = f"to {words.clock(silent.ended_at, place)}" if silent.ended_at else "until now"
            since = words.clock(silent.started_at, place)
            yield f"From {since} {ended} no vantage there had a line: a shutdown, or a fault of the lines."
    lost = sum(one.runs for one in reader.gaps(chart.since) if one.from_at < chart.until)
    if lost:
        yield f"{lost} runs could not be written to the database and are lost."


def _undated(incidents: Sequence[ReportedIncident]) -> Iterator[str]:
    for one in incidents:
        if one.began_unmeasured:
            yield f"Incident {one.id} began before the first measurement; when is not known."
        undated = [each for each in one.changes if each.latest is None and each.kind is not ChangeKind.STILL]
        if undated:
            yield f"{len(undated)} changes of incident {one.id} cannot be dated from the rounds around them."


def gaps(band: Band, since: datetime, until: datetime, width: timedelta) -> list[tuple[datetime, datetime]]:
    """Return the stretches in which a band has no round that counts, joined where they touch."""
    kept = [one.start for one in band.buckets if one.kept]
    found: list[tuple[datetime, datetime]] = []
    at = since
    while at < until:
        place = bisect_left(kept, at)
        following = kept[place] if place < len(kept) else until
        if following > at:
            found.append((at, min(following, until)))
        at = max(following, at) + width
    return found
