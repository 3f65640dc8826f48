"""A report as a value; `gather.py` fills it, the other modules write it down."""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final
from zoneinfo import ZoneInfo

import msgspec

from monitor.detect.coincidence import Coincidence, CountryLine
from monitor.model.onset import Dating
from monitor.model.vantage import NetworkIdentity, Role
from monitor.model.verdict import Status

# Vantages so called hold no measurements: demonstrations and tests are told from the record by it.
SIMULATED: Final = "simulated-"


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """A country and where its clocks stand."""

    country: str  # ISO 3166-1 alpha-2, or `unknown`
    name: str  # Pakistan
    zone: str  # of the time zone database; UTC where the country has several or is not known

    @property
    def clock(self) -> ZoneInfo:
        """The zone."""
        return ZoneInfo(self.zone)


class Bucket(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a stretch of time showed. Rounds that were expected and not made are missing, never accessible."""

    start: datetime
    expected: float = 0.0
    runs: int = 0
    kept: int = 0
    counts: dict[Status, int] = {}


class Way(msgspec.Struct, frozen=True, kw_only=True):
    """How access was prevented on a network, as confirmed; `until` is None while it lasts."""

    since: datetime
    until: datetime | None
    mechanisms: tuple[str, ...]


class Band(msgspec.Struct, frozen=True, kw_only=True):
    """One vantage on one network: a row of the picture."""

    vantage: str
    network: NetworkIdentity
    name: str  # PTCL (AS17557)
    role: Role
    buckets: tuple[Bucket, ...]  # those that are counted, in order of time
    ways: tuple[Way, ...] = ()

    @property
    def kept(self) -> int:
        """Rounds that say something about the platform."""
        return sum(one.kept for one in self.buckets)

    @property
    def expected(self) -> float:
        """Rounds that the schedule called for."""
        return sum(one.expected for one in self.buckets)


class Chart(msgspec.Struct, frozen=True, kw_only=True):
    """A stretch of time to be drawn."""

    since: datetime
    until: datetime
    width: timedelta
    bands: tuple[Band, ...]


class SourceLink(msgspec.Struct, frozen=True, kw_only=True):
    """Who tells something, and where it can be read."""

    publisher: str
    title: str
    url: str | None  # http or https only


class Flag(msgspec.Struct, frozen=True, kw_only=True):
    """An event in the picture, by its number in the list below it; `until` is None while it is open."""

    number: int
    event: str
    kind: str
    since: datetime
    until: datetime | None
    title: str
    text: str
    sources: tuple[SourceLink, ...]


class ChangeKind(StrEnum):
    """What a change of a series is within its incident."""

    START = "start"
    OPENING = "opening"  # accessible for a while, then not again
    AGAIN = "again"  # not accessible again after an opening
    STILL = "still"  # not accessible as before, when measuring went on after a pause
    END = "end"


class DatedChange(msgspec.Struct, frozen=True, kw_only=True):
    """When one network changed; `earliest` and `latest` are the 95 % interval, `around` the two rounds next to it."""

    incident: str
    vantage: str
    network: str
    target: str
    dating: Dating | None  # None: not dated yet
    earliest: datetime | None
    latest: datetime | None
    around: tuple[datetime | None, datetime | None]
    confirmed_at: datetime
    kind: ChangeKind


class Span(msgspec.Struct, frozen=True, kw_only=True):
    """Within what all dated networks changed; `earliest` is None if one of them changed unmeasured."""

    earliest: datetime | None
    latest: datetime


class ReportedIncident(msgspec.Struct, frozen=True, kw_only=True):
    """An incident as a reader needs it."""

    id: str
    status: Status
    networks: tuple[str, ...]
    measured: int  # networks with rounds that count while it lasted
    mechanisms: tuple[str, ...]
    opened_at: datetime
    closed_at: datetime | None
    start: Span | None
    end: Span | None
    began_unmeasured: bool
    changes: tuple[DatedChange, ...]


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """One date of an event against the changes of every network."""

    event: str
    title: str
    phase: str
    date: str  # in words
    is_claim: bool  # somebody said that it was over
    note: str | None
    sources: tuple[SourceLink, ...]
    outcomes: tuple[Coincidence, ...]
    line: CountryLine
    chance: float | None  # that the same interval at a random time does as well; for the method note alone


class Proof(msgspec.Struct, frozen=True, kw_only=True):
    """A measurement behind an incident."""

    measurement: int
    digest: str
    at: datetime
    vantage: str
    rule: str
    rules_version: int
    because: str


class ImportedMonth(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody else's counts of one month: OONI's own labels, or our verdicts on its measurements."""

    month: str
    what: str
    measurements: int
    parts: dict[str, int]


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """Everything a report says."""

    platform: str
    name: str
    place: Place
    since: datetime
    until: datetime
    written_at: datetime
    version: str
    rules_versions: tuple[int, ...]
    subject: str  # what was asked for, in words
    is_simulated: bool
    sentences: tuple[str, ...]  # to be quoted, the first one alone or all together
    charts: tuple[tuple[str, Chart], ...]  # by caption
    table: Chart
    flags: tuple[Flag, ...]
    incidents: tuple[ReportedIncident, ...]  # oldest first
    comparisons: tuple[Comparison, ...]
    elsewhere: tuple[str, ...]  # what else was looked at to exclude other explanations
    proofs: tuple[Proof, ...]
    imported: tuple[ImportedMonth, ...]
    unknowns: tuple[str, ...]
    changes_a_year: float | None
