"""The written form of an event: every key of an event file, its type and bound; docs/events.md explains each."""

import re
from collections.abc import Callable
from datetime import date
from typing import Annotated, Any, Final, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, model_validator

from monitor.config.fields import CountryCode, Name, OneOrMany, Url, Whole
from monitor.config.keys import walk
from monitor.events.interval import add_period
from monitor.events.record import ConfidenceLevel, Edge, EventStatus, Kind, Phase, Precision, SourceKind

_ID: Final = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
_JOINERS: Final = "\u200c\u200d"  # of Urdu and other scripts; every other character that shows nothing is refused
_QUOTE_WORDS_AT_MOST: Final = 25


def _matching(pattern: str, reason: str) -> Callable[[str], str]:
    def match(written: str) -> str:
        if not re.fullmatch(pattern, written):
            raise ValueError(reason)
        return written

    return match


def _zone(written: str) -> str:
    try:
        ZoneInfo(written)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError("must be a zone such as Asia/Karachi or UTC") from error
    return written


def _visible(written: str) -> str:
    if not written.strip() or not all(one.isprintable() or one in _JOINERS for one in written):
        raise ValueError("must be visible text on one line")
    return written.strip()


def _period(written: str) -> str:
    add_period(date(2000, 1, 1), written)
    return written


def _quote(written: str) -> str:
    if len(written.split()) > _QUOTE_WORDS_AT_MOST:
        raise ValueError(f"must be a quotation of at most {_QUOTE_WORDS_AT_MOST} words")
    return written


def _day(written: object) -> object:
    if isinstance(written, str):
        try:
            return date.fromisoformat(written)
        except ValueError:
            pass
    raise ValueError("must be a day such as 2026-11-21")


EventId = Annotated[
    str,
    StringConstraints(max_length=80),
    AfterValidator(_matching(_ID.pattern, "must be small letters and digits, joined by single hyphens")),
]
Line = Annotated[str, StringConstraints(max_length=200), AfterValidator(_visible)]
Sentences = Annotated[str, StringConstraints(max_length=2000), AfterValidator(_visible)]
Zone = Annotated[str, AfterValidator(_zone)]
# A year alone is a number to YAML.
When = Annotated[str, BeforeValidator(lambda written: str(written) if isinstance(written, int) else written)]
Period = Annotated[str, AfterValidator(_period)]
Region = Annotated[
    str, AfterValidator(_matching("[A-Z]{2}-[A-Z0-9]{1,3}", "must be a region such as PK-BA (ISO 3166-2)"))
]
Tag = Annotated[
    str, AfterValidator(_matching("[a-z0-9][a-z0-9_-]{0,39}", "must be a tag of small letters, digits and hyphens"))
]
Language = Annotated[str, AfterValidator(_matching("[a-z]{2,3}", "must be a language such as en or ur (ISO 639)"))]
SourceKey = EventId
SourceKeys = Annotated[tuple[SourceKey, ...], OneOrMany, Field(min_length=1, max_length=20)]
Words = Annotated[dict[Language, Sentences], BeforeValidator(lambda one: {"en": one} if isinstance(one, str) else one)]


class Part(BaseModel):
    """A mapping of an event file."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class PlatformPart(Part):
    """A platform, also written as its id alone."""

    id: EventId
    domains: Annotated[tuple[Name, ...], OneOrMany, Field(max_length=50)] = ()

    @model_validator(mode="before")
    @classmethod
    def _short(cls, written: Any) -> Any:
        return {"id": written} if isinstance(written, str) else written


class AuthorityPart(Part):
    """Who acted, and as what."""

    name: Line
    role: Tag


class InstrumentPart(Part):
    """A legal text."""

    name: Line
    section: Line | None = None
    cite: Line | None = None
    relation: Literal["under", "amends", "repeals", "replaces"] = "under"


class DuePart(Part):
    """A date: `on`, or `earliest` and `latest` with their `precision`."""

    on: When | None = None
    earliest: When | None = None
    latest: When | None = None
    precision: Precision | None = None
    tz: Zone | None = None

    @model_validator(mode="after")
    def _one_form(self) -> "DuePart":
        edges = (self.earliest, self.latest, self.precision)
        if (self.on is None) == (None in edges) or (self.on is not None and any(edges)):
            raise ValueError("give either on, or earliest, latest and precision")
        return self


class DatePart(DuePart):
    """One phase as one group of sources dates it."""

    phase: Phase
    edge: Edge = Edge.START
    sources: SourceKeys
    note: Line | None = None

    @model_validator(mode="after")
    def _edge_fits(self) -> "DatePart":
        if self.edge is not Edge.START and self.phase is not Phase.OBSERVED:
            raise ValueError("only an observed date has an edge")
        return self


class ClaimPart(Part):
    """What somebody said is so."""

    what: Line
    by: Line
    source: SourceKey
    retracted_by: SourceKey | None = None


class CausePart(Part):
    """Why, in the words of whoever says so."""

    claimed: Line
    by: Line
    source: SourceKey


class MootPart(Part):
    """Why a deadline no longer matters."""

    why: Line
    source: SourceKey


class ObligationPart(Part):
    """What has to be done and by when."""

    id: EventId
    what: Line
    after: Period | None = None
    phases: Annotated[tuple[Phase, ...], OneOrMany] = ()
    event: EventId | None = None
    due: DuePart | None = None
    sources: SourceKeys
    reported_by: Line | None = None
    moot: MootPart | None = None

    @model_validator(mode="after")
    def _one_form(self) -> "ObligationPart":
        if (self.due is None) == (self.after is None):
            raise ValueError("give either due, or after with the phases to count from")
        if (self.after is None) == bool(self.phases):
            raise ValueError("after and phases belong together: how long, and from which dates on")
        return self


class SourcePart(Part):
    """Where something is told."""

    id: SourceKey
    publisher: Line
    kind: SourceKind
    title: Line
    url: Url | None = None
    document: Line | None = None
    published: When | None = None
    accessed: Annotated[date | None, BeforeValidator(_day)] = None
    lang: Language = "en"
    quote: Annotated[Sentences, AfterValidator(_quote)] | None = None


class ConfidencePart(Part):
    """A level that a person sets against the rule, and why."""

    level: ConfidenceLevel
    why: Line | None = None


class LinksPart(Part):
    """Other events."""

    caused_by: Annotated[tuple[EventId, ...], OneOrMany] = ()
    reversal_of: Annotated[tuple[EventId, ...], OneOrMany] = ()
    followed_by: Annotated[tuple[EventId, ...], OneOrMany] = ()
    related: Annotated[tuple[EventId, ...], OneOrMany] = ()


class EventPart(Part):
    """The whole of an event file."""

    id: EventId
    kind: Kind
    title: Annotated[dict[Language, Line], BeforeValidator(lambda one: {"en": one} if isinstance(one, str) else one)]
    summary: Words = Field(default_factory=dict)
    status: EventStatus | None = None
    countries: Annotated[tuple[CountryCode, ...], OneOrMany, Field(max_length=50)] = ()
    regions: Annotated[tuple[Region, ...], OneOrMany, Field(max_length=50)] = ()
    asns: Annotated[tuple[Annotated[Whole, Field(ge=1, le=4_294_967_295)], ...], OneOrMany, Field(max_length=200)] = ()
    network_kinds: Annotated[tuple[Literal["mobile", "fixed"], ...], OneOrMany] = ()
    platforms: Annotated[tuple[PlatformPart, ...], OneOrMany, Field(max_length=50)] = ()
    authorities: Annotated[tuple[AuthorityPart, ...], Field(max_length=20)] = ()
    instruments: Annotated[tuple[InstrumentPart, ...], Field(max_length=20)] = ()
    tz: Zone = "UTC"  # of every date that names none
    end: Literal["open", "unknown"] = "open"  # what it means that no end is dated
    dates: Annotated[tuple[DatePart, ...], Field(max_length=50)] = ()
    claims: Annotated[tuple[ClaimPart, ...], Field(max_length=50)] = ()
    causes: Annotated[tuple[CausePart, ...], Field(max_length=20)] = ()
    obligations: Annotated[tuple[ObligationPart, ...], Field(max_length=20)] = ()
    sources: Annotated[tuple[SourcePart, ...], Field(min_length=1, max_length=50)]
    confidence: ConfidencePart | None = None
    links: LinksPart = LinksPart()
    tags: Annotated[tuple[Tag, ...], OneOrMany, Field(max_length=20)] = ()

    @model_validator(mode="after")
    def _english(self) -> "EventPart":
        if "en" not in self.title:
            raise ValueError("title needs an English text under en")
        return self


EVENT_KEYS: Final = tuple(dict.fromkeys(walk(EventPart)))
