"""Event files → a calendar, or every mistake in them at once."""

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

import msgspec

from monitor.config.document import Complaint, Document, read_document
from monitor.config.keys import siblings
from monitor.config.problem import ConfigError, Problem
from monitor.config.refusal import complaint_of, problems, prune, read_bounded, validated
from monitor.config.schema import EventsConfig
from monitor.events.annotation import Calendar, marks
from monitor.events.checks import complaints_about, complaints_across, dated, read_date, warnings_about
from monitor.events.confidence import confidence_in
from monitor.events.names import KnownInstrument, KnownPlatform, aliases, spelled
from monitor.events.record import (
    Authority,
    Cause,
    Claim,
    Confidence,
    Dated,
    Instrument,
    Links,
    Moot,
    Obligation,
    Phase,
    Platform,
    RegulatoryEvent,
    Source,
)
from monitor.events.schema import EVENT_KEYS, EventPart, ObligationPart
from monitor.events.selection import with_mirrored_links

EVENTS_AT_MOST: Final = 2000
_PACKAGE: Final = "monitor.events"


class _Read(msgspec.Struct, frozen=True):
    """A file that holds an event."""

    file: str
    document: Document
    event: RegulatoryEvent
    warnings: tuple[Complaint, ...]


@cache
def known_platforms() -> Mapping[str, KnownPlatform]:
    """Return the platforms that come with the program, by id."""
    rows = _table("platforms.yaml")
    return {name: KnownPlatform(id=name, name=its["name"], domains=tuple(its["domains"])) for name, its in rows.items()}


@cache
def known_instruments() -> Mapping[str, KnownInstrument]:
    """Return the table from every known spelling of an instrument to the instrument."""
    rows = _table("instruments.yaml")
    return aliases(
        KnownInstrument(name=name, aliases=tuple(its["aliases"]), cite=its["cite"]) for name, its in rows.items()
    )


def load_events(wanted: EventsConfig, platforms: Collection[str], now: datetime) -> Calendar:
    """Read the built-in sets and files that the configuration names; raises ConfigError with all problems.

    A file of one's own replaces the built-in event of the same id. `platforms` are those of the configuration.
    """
    found: list[Problem] = []
    known = {*platforms, *known_platforms()}
    reads: dict[str, _Read] = {}
    for chosen in wanted.builtin:
        for entry in sorted((files(_PACKAGE) / "builtin" / chosen).iterdir(), key=lambda one: one.name):
            _take(reads, _read(entry.read_bytes(), entry.name, chosen, known, now), found)
    own: dict[str, _Read] = {}
    for path in event_files(wanted.files, found):
        try:
            text = read_bounded(path)
        except ConfigError as error:
            found += error.problems
            continue
        _take(own, _read(text, str(path), str(path), known, now), found)
    reads |= own
    events = {name: one.event for name, one in reads.items()}
    if not found:  # a refused file would be missed by those that point to it
        for name, complaint in complaints_across(events):
            found += problems(reads[name].document, reads[name].file, [complaint])
    if found:
        raise ConfigError(tuple(found))
    warnings = tuple(
        problem for one in reads.values() for problem in problems(one.document, one.file, list(one.warnings))
    )
    linked = with_mirrored_links(events)
    return Calendar(linked, marks(linked), warnings)


def _take(reads: dict[str, _Read], read: "_Read | tuple[Problem, ...]", found: list[Problem]) -> None:
    """Add a file that was read, or what is wrong with it; one that repeats an id is wrong as well."""
    if not isinstance(read, _Read):
        found += read
    elif read.event.id in reads:
        message = f"{read.event.id!r} is in {reads[read.event.id].file} already"
        found += problems(read.document, read.file, [Complaint(("id",), message)])
    else:
        reads[read.event.id] = read


def event_files(paths: Iterable[Path], found: list[Problem]) -> list[Path]:
    """Return the files that paths stand for; a folder stands for its .yaml files. What is missing goes to `found`."""
    named: list[Path] = []
    for path in paths:
        if path.is_dir():
            named += sorted(path.glob("*.yaml"))
        elif path.is_file():
            named.append(path)
        else:
            found.append(Problem(str(path), 1, "", "is no file or folder"))
    if len(named) > EVENTS_AT_MOST:
        found.append(Problem(str(named[EVENTS_AT_MOST]), 1, "", f"more than {EVENTS_AT_MOST} events"))
        return []
    return list(dict.fromkeys(named))


def _read(
    text: bytes, file: str, origin: str, platforms: Collection[str], now: datetime
) -> _Read | tuple[Problem, ...]:
    document = read_document(text, {})
    if document.root is None:
        return problems(document, file, document.complaints)
    complaints = list(document.complaints)
    prune(document.root, [complaint.path for complaint in complaints if complaint.line is None])
    part, refused = validated(EventPart, document, {}, _complaint)
    complaints += refused
    if part is not None and not complaints:
        complaints += complaints_about(part, Path(file).stem, platforms, now)
    if part is None or complaints:
        return problems(document, file, complaints)
    event = _event(part, origin)
    return _Read(file, document, event, tuple(warnings_about(part, event)))


def _complaint(document: Document, detail: Any) -> Complaint:
    if detail["type"] == "extra_forbidden" and detail["loc"] == ("observations",):
        return Complaint(("observations",), "are written by the program alone")
    return complaint_of(document, detail, lambda path: siblings(path, EVENT_KEYS))


def _event(part: EventPart, origin: str) -> RegulatoryEvent:
    instruments = known_instruments()
    sources = tuple(msgspec.convert(one.model_dump(), Source) for one in part.sources)
    computed = confidence_in(sources)
    typed = part.confidence
    return RegulatoryEvent(
        id=part.id,
        kind=part.kind,
        title=dict(part.title),
        summary=dict(part.summary),
        status=part.status,
        countries=part.countries,
        regions=part.regions,
        asns=part.asns,
        network_kinds=part.network_kinds,
        platforms=tuple(msgspec.convert(one.model_dump(), Platform) for one in part.platforms),
        authorities=tuple(msgspec.convert(one.model_dump(), Authority) for one in part.authorities),
        instruments=tuple(
            _canonical(msgspec.convert(one.model_dump(), Instrument), instruments) for one in part.instruments
        ),
        dates=tuple(dated(one, part.tz) for one in part.dates),
        is_end_unknown=part.end == "unknown",
        claims=tuple(msgspec.convert(one.model_dump(), Claim) for one in part.claims),
        causes=tuple(msgspec.convert(one.model_dump(), Cause) for one in part.causes),
        obligations=tuple(_obligation(one, part.tz) for one in part.obligations),
        sources=sources,
        confidence=Confidence(level=typed.level, why=typed.why or computed.why) if typed else computed,
        links=msgspec.convert(part.links.model_dump(), Links),
        tags=part.tags,
        origin=origin,
    )


def _canonical(one: Instrument, known: Mapping[str, KnownInstrument]) -> Instrument:
    found = known.get(spelled(one.name))
    return one if found is None else msgspec.structs.replace(one, name=found.name, cite=one.cite or found.cite)


def _obligation(one: ObligationPart, default_zone: str) -> Obligation:
    due = None
    if one.due is not None:
        found, precision, tz = read_date(one.due, default_zone)
        due = Dated(
            phase=Phase.EFFECTIVE,
            earliest=found.earliest,
            latest=found.latest,
            precision=precision,
            tz=tz,
            sources=one.sources,
        )
    return Obligation(
        id=one.id,
        what=one.what,
        after=one.after,
        phases=one.phases,
        event=one.event,
        due=due,
        sources=one.sources,
        reported_by=one.reported_by,
        moot=Moot(why=one.moot.why, source=one.moot.source) if one.moot else None,
    )


def _table(name: str) -> dict[str, Any]:
    entry = files(_PACKAGE) / "builtin" / name
    root = read_document(entry.read_bytes(), {}).root
    assert isinstance(root, dict)  # noqa: S101 -- it comes with the program
    return root
