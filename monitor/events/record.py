"""A regulatory event as a value: something an authority, court, platform or rights group did, with its sources.

Every date is an interval `[earliest, latest)` in UTC. Sources that disagree stand beside each other; what follows from
them (`timeline.py`, `confidence.py`, `deadlines.py`) is computed and never written.
"""

from datetime import date, datetime
from enum import StrEnum

import msgspec


class Kind(StrEnum):
    """What was done."""

    BLOCK = "block"
    THROTTLE = "throttle"
    SHUTDOWN = "shutdown"
    UNBLOCK = "unblock"
    COURT_ORDER = "court_order"
    STATUTE = "statute"
    RULES = "rules"
    NOTIFICATION = "notification"
    DIRECTIVE = "directive"
    STATEMENT = "statement"
    LETTER = "letter"
    CONSULTATION = "consultation"
    LICENCE = "licence"
    DEADLINE = "deadline"
    INFRASTRUCTURE = "infrastructure"


class EventStatus(StrEnum):
    """How the matter stands, as far as the sources tell."""

    ANNOUNCED = "announced"
    IN_FORCE = "in_force"
    PARTIALLY_LIFTED = "partially_lifted"
    LIFTED = "lifted"
    SUSPENDED = "suspended"
    REPEALED = "repealed"
    SUPERSEDED = "superseded"
    DISPUTED = "disputed"
    DENIED = "denied"


class Phase(StrEnum):
    """What happened at a date. Each is a fact of its own: an order is not its effect, a claim not an end."""

    ADOPTED = "adopted"
    NOTIFIED = "notified"
    PUBLISHED = "published"
    ANNOUNCED = "announced"
    ORDERED = "ordered"
    COURT_ORDERED = "court_ordered"
    EFFECTIVE = "effective"
    OBSERVED = "observed"
    SUSPENDED = "suspended"
    PLANNED_END = "planned_end"
    CLAIMED_LIFTED = "claimed_lifted"
    RETRACTED = "retracted"
    LIFTED = "lifted"


class Edge(StrEnum):
    """What an `observed` date saw: the beginning, the end, or an opening in between, which ends nothing."""

    START = "start"
    OPENING = "opening"
    END = "end"


class Precision(StrEnum):
    """The unit that a date is known to."""

    SECOND = "second"
    MINUTE = "minute"
    HOUR = "hour"
    DAY = "day"
    MONTH = "month"
    YEAR = "year"


class SourceKind(StrEnum):
    """Who speaks in a source."""

    OFFICIAL = "official"
    COURT = "court"
    PRESS = "press"
    MEASUREMENT = "measurement"
    NGO = "ngo"


class ConfidenceLevel(StrEnum):
    """How well an event is supported (`confidence.py`)."""

    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"


class Platform(msgspec.Struct, frozen=True, kw_only=True):
    """A platform that the event is about, and the names that were meant."""

    id: str
    domains: tuple[str, ...] = ()


class Authority(msgspec.Struct, frozen=True, kw_only=True):
    """Who acted, and as what: orders, executes, adopts, states, …."""

    name: str
    role: str


class Instrument(msgspec.Struct, frozen=True, kw_only=True):
    """The legal text that something was done under, or that is amended, repealed or replaced; the name is canonical."""

    name: str
    section: str | None = None
    cite: str | None = None
    relation: str = "under"


class Dated(msgspec.Struct, frozen=True, kw_only=True):
    """One phase as one group of sources dates it; UTC, `latest` not included."""

    phase: Phase
    earliest: datetime
    latest: datetime
    precision: Precision
    tz: str  # of the zone database; where a day begins and ends
    sources: tuple[str, ...]
    edge: Edge = Edge.START
    note: str | None = None


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody said is so, which is not thereby so."""

    what: str
    by: str
    source: str
    retracted_by: str | None = None


class Cause(msgspec.Struct, frozen=True, kw_only=True):
    """Why, in the words of whoever says so."""

    claimed: str
    by: str
    source: str


class Moot(msgspec.Struct, frozen=True, kw_only=True):
    """Why a deadline no longer matters."""

    why: str
    source: str


class Obligation(msgspec.Struct, frozen=True, kw_only=True):
    """What has to be done and by when: `after` a base date (ISO 8601: P3M, P90D), or by the `due` date.

    The base is each date of `phases` of this event, or of `event`.
    """

    id: str
    what: str
    sources: tuple[str, ...]
    after: str | None = None
    phases: tuple[Phase, ...] = ()
    event: str | None = None
    due: Dated | None = None
    reported_by: str | None = None  # if the instrument itself was not seen
    moot: Moot | None = None


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """Where something is told; `document` is the name of a file or the reference of a paper."""

    id: str
    publisher: str
    kind: SourceKind
    title: str
    url: str | None = None
    document: str | None = None
    published: str | None = None
    accessed: date | None = None
    lang: str = "en"
    quote: str | None = None


class Confidence(msgspec.Struct, frozen=True, kw_only=True):
    """The level and the reason for it."""

    level: ConfidenceLevel
    why: str


class Links(msgspec.Struct, frozen=True, kw_only=True):
    """Other events by id; after loading each link is there in both directions."""

    caused_by: tuple[str, ...] = ()
    causes: tuple[str, ...] = ()
    reversal_of: tuple[str, ...] = ()
    reversed_by: tuple[str, ...] = ()
    followed_by: tuple[str, ...] = ()
    follows: tuple[str, ...] = ()
    related: tuple[str, ...] = ()


class RegulatoryEvent(msgspec.Struct, frozen=True, kw_only=True):
    """The record. `title` and `summary` map a language to text; `en` is always there."""

    id: str
    kind: Kind
    title: dict[str, str]
    summary: dict[str, str] = {}
    status: EventStatus | None = None
    countries: tuple[str, ...] = ()
    regions: tuple[str, ...] = ()
    asns: tuple[int, ...] = ()
    network_kinds: tuple[str, ...] = ()
    platforms: tuple[Platform, ...] = ()
    authorities: tuple[Authority, ...] = ()
    instruments: tuple[Instrument, ...] = ()
    dates: tuple[Dated, ...] = ()
    is_end_unknown: bool = False  # it ended, or not, and nobody says when: never counted as in force
    claims: tuple[Claim, ...] = ()
    causes: tuple[Cause, ...] = ()
    obligations: tuple[Obligation, ...] = ()
    sources: tuple[Source, ...] = ()
    confidence: Confidence
    links: Links = Links()
    tags: tuple[str, ...] = ()
    origin: str = ""  # the built-in set or the file it was read from

    @property
    def name(self) -> str:
        """The English title."""
        return self.title["en"]

    @property
    def labels(self) -> tuple[str, ...]:
        """Kind, countries, platforms and tags, each once."""
        platforms = (one.id for one in self.platforms)
        return tuple(dict.fromkeys((self.kind.value, *self.countries, *platforms, *self.tags)))
