"""Whether a change lies next to an event: intervals against intervals, and how often that happens by chance.

An outcome here is not a verdict. "Coincides with" is all that is ever said; what caused a change is for people to show.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from math import exp
from typing import Final

import msgspec

WINDOW: Final = timedelta(hours=48)
LEAST_ROUNDS: Final = 12
LEAST_NETWORKS: Final = 2
_YEAR_DAYS: Final = 365.0
_DAY: Final = timedelta(days=1)


class Direction(StrEnum):
    """Which way a series changed, or should have."""

    CLOSING = "closing"  # accessible before, not after
    OPENING = "opening"


class EventInterval(msgspec.Struct, frozen=True, kw_only=True):
    """One phase of an event as an interval [earliest, latest) in UTC; day precision is 24 local hours.

    `alternatives` holds the intervals that sources disagree about; with any, each is compared by itself.
    `expected` is None for what may go along with either change: a statement, a court's decision.
    """

    id: str
    phase: str
    earliest: datetime
    latest: datetime
    expected: Direction | None
    alternatives: tuple[tuple[datetime, datetime], ...] = ()


class ChangeInterval(msgspec.Struct, frozen=True, kw_only=True):
    """A confirmed change of one series, with its 95 % interval; `earliest` is None if it began unmeasured."""

    earliest: datetime | None
    latest: datetime
    direction: Direction


class NetworkSeries(msgspec.Struct, frozen=True, kw_only=True):
    """What one network shows of a platform: when kept rounds were made, and the confirmed changes."""

    vantage: str
    network: str  # "PTCL (AS17557)"
    kept: Sequence[datetime]  # in order of time
    changes: tuple[ChangeInterval, ...] = ()


class Relation(StrEnum):
    """How an event and the changes of one series lie to each other, in the order in which they are tested."""

    DISPUTED_DATES = "disputed_dates"
    NOT_MEASURED = "not_measured"
    NO_CHANGE = "no_change"
    UNEXPECTED_DIRECTION = "unexpected_direction"
    COINCIDES = "coincides"
    PRECEDES = "precedes"
    FOLLOWS = "follows"


class Coincidence(msgspec.Struct, frozen=True, kw_only=True):
    """The outcome for one event phase and one network.

    The lag lies in [lag_low, lag_high] seconds, positive if the change came after the event; `lag_low` is None if the
    change began unmeasured.
    """

    event: str
    phase: str
    vantage: str
    network: str
    relation: Relation
    change: ChangeInterval | None = None
    lag_low_seconds: float | None = None
    lag_high_seconds: float | None = None
    chance: float | None = None  # that an unrelated interval of this length meets a change within the window
    alternatives: tuple["Coincidence", ...] = ()  # one for each disputed date


def coincidence(
    event: EventInterval, series: NetworkSeries, *, changes_a_year: float | None = None, window: timedelta = WINDOW
) -> Coincidence:
    """Compare one phase of an event with one network's series.

    `changes_a_year` of this platform in this country gives the chance level; None leaves it out.
    """
    blank = Coincidence(
        event=event.id, phase=event.phase, vantage=series.vantage, network=series.network, relation=Relation.NO_CHANGE
    )
    if event.alternatives:
        each = (
            msgspec.structs.replace(event, earliest=earliest, latest=latest, alternatives=())
            for earliest, latest in event.alternatives
        )
        return msgspec.structs.replace(
            blank,
            relation=Relation.DISPUTED_DATES,
            alternatives=tuple(coincidence(one, series, changes_a_year=changes_a_year, window=window) for one in each),
        )
    if not is_measured(event, series, window):
        return msgspec.structs.replace(blank, relation=Relation.NOT_MEASURED)
    near = [
        one
        for one in series.changes
        if one.latest >= event.earliest - window and (one.earliest or one.latest) <= event.latest + window
    ]
    if not near:
        return blank
    expected = [one for one in near if event.expected in {None, one.direction}]
    nearest = min(expected or near, key=lambda one: _distance(event, one))
    relation = _relation(event, nearest) if expected else Relation.UNEXPECTED_DIRECTION
    length = event.latest - event.earliest
    return msgspec.structs.replace(
        blank,
        relation=relation,
        change=nearest,
        lag_low_seconds=(nearest.earliest - event.latest).total_seconds() if nearest.earliest else None,
        lag_high_seconds=(nearest.latest - event.earliest).total_seconds(),
        chance=None if changes_a_year is None else chance_level(changes_a_year, length, window),
    )


def is_measured(event: EventInterval, series: NetworkSeries, window: timedelta = WINDOW) -> bool:
    """Tell whether a network was measured well enough on both sides of an event to speak of change."""
    before = sum(event.earliest - window <= at < event.earliest for at in series.kept)
    after = sum(event.latest <= at <= event.latest + window for at in series.kept)
    return min(before, after) >= LEAST_ROUNDS


def _relation(event: EventInterval, change: ChangeInterval) -> Relation:
    earliest = change.earliest or change.latest
    if change.latest < event.earliest:
        return Relation.PRECEDES
    # An event without length is an instant, and meets a change that begins with it.
    is_after = earliest >= event.latest if event.latest > event.earliest else earliest > event.latest
    return Relation.FOLLOWS if is_after else Relation.COINCIDES


def _distance(event: EventInterval, change: ChangeInterval) -> timedelta:
    earliest = change.earliest or change.latest
    return max(event.earliest - change.latest, earliest - event.latest, timedelta())


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """What else was looked at to exclude another explanation, and whether it changed within the same window."""

    what: str  # control_sites, other_platforms, other_countries, circumvention, other_networks, neighbouring_days
    measured: int  # series looked at
    changed: int

    @property
    def reading(self) -> str:
        """What the comparison says, in words that a reader may quote."""
        if not self.measured:
            return "not measured"
        words = READINGS.get((self.what, self.changed > 0))
        return words or f"{self.changed} of {self.measured} changed too"


READINGS: Final = {
    ("control_sites", True): "uncontroversial sites changed as well: the line, or a shutdown",
    ("control_sites", False): "uncontroversial sites did not change",
    ("other_platforms", True): "other platforms changed as well: wider filtering, or a fault of the provider",
    ("other_platforms", False): "other platforms did not change",
    ("other_countries", True): "it changed in other countries as well: the platform itself",
    ("other_countries", False): "it did not change in the other countries measured",
    ("circumvention", True): "it changed on a circumvention route as well",
    ("circumvention", False): "a circumvention route still reached it: this supports interference on the path",
    ("other_networks", True): "it changed on other networks of the country as well",
    ("other_networks", False): "other networks of the country did not change: one network's act or fault",
    ("neighbouring_days", True): "neighbouring days show the same at this hour: a pattern of the day, or load",
    ("neighbouring_days", False): "neighbouring days show nothing at this hour",
}


class CountryLine(msgspec.Struct, frozen=True, kw_only=True):
    """How the networks of a country compare with one phase of an event."""

    relation: Relation | None  # the one that all measured networks share
    counts: dict[Relation, int]
    measured: int
    sentence: str


def country_line(title: str, found: Sequence[Coincidence], *, least_networks: int = LEAST_NETWORKS) -> CountryLine:
    """Count the outcomes of a country's networks and say so in one sentence about `title`, an event in words."""
    counts = {relation: sum(one.relation is relation for one in found) for relation in Relation}
    counts = {relation: count for relation, count in counts.items() if count}
    measured = len(found) - counts.get(Relation.NOT_MEASURED, 0)
    if counts.get(Relation.DISPUTED_DATES):
        return CountryLine(
            relation=Relation.DISPUTED_DATES,
            counts=counts,
            measured=measured,
            sentence=f"The dates of {title} are disputed; it is compared with each of them.",
        )
    if measured < least_networks:
        networks = (
            ("no network was", "only one network was")[measured] if measured < 2 else f"only {measured} networks were"
        )
        return CountryLine(
            relation=Relation.NOT_MEASURED,
            counts=counts,
            measured=measured,
            sentence=f"Around {title} {networks} measured well enough to compare.",
        )
    said = "; ".join(
        f"{_WORDS[relation]} {title} on {count} of {measured} networks measured{_lag_words(relation, found)}"
        for relation, count in counts.items()
        if relation is not Relation.NOT_MEASURED
    )
    shared = [relation for relation, count in counts.items() if count == measured]
    return CountryLine(
        relation=shared[0] if shared else None,
        counts=counts,
        measured=measured,
        sentence=said[:1].upper() + said[1:] + ".",
    )


_WORDS: Final = {
    Relation.NO_CHANGE: "no change was seen around",
    Relation.UNEXPECTED_DIRECTION: "the other change than expected was seen around",
    Relation.COINCIDES: "a change coincides with",
    Relation.PRECEDES: "a change precedes",
    Relation.FOLLOWS: "a change follows",
}


def _lag_words(relation: Relation, found: Sequence[Coincidence]) -> str:
    lags = [one for one in found if one.relation is relation and one.lag_high_seconds is not None]
    if relation not in {Relation.PRECEDES, Relation.FOLLOWS} or not lags:
        return ""
    bounds = [abs(lag) for one in lags for lag in (one.lag_low_seconds, one.lag_high_seconds) if lag is not None]
    return f", by {duration_words(min(bounds))} to {duration_words(max(bounds))}"


def duration_words(seconds: float) -> str:
    """Return a length of time in words: `45 min`, `2 h 5 min`, `3 d 4 h`."""
    minutes = round(abs(seconds) / 60)
    days, hours, rest = minutes // 1440, minutes // 60 % 24, minutes % 60
    if days:
        return f"{days} d {hours} h" if hours else f"{days} d"
    if hours:
        return f"{hours} h {rest} min" if rest else f"{hours} h"
    return f"{rest} min"


def chance_level(changes_a_year: float, event: timedelta, window: timedelta = WINDOW) -> float:
    """Return the probability that an unrelated event of this length meets a change within the window by chance."""
    return 1.0 - exp(-changes_a_year * ((event + 2 * window) / _DAY) / _YEAR_DAYS)


def chance_level_moved(
    event: EventInterval,
    changes: Iterable[ChangeInterval],
    covered: tuple[datetime, datetime],
    shares: Sequence[float],
    window: timedelta = WINDOW,
) -> float | None:
    """Return the share of places in the covered period at which the event would meet a change as well.

    `shares` places the event: random numbers in [0, 1), a thousand of them, say. Better than `chance_level` where a
    year was measured, since real changes come in clusters. None if the period is too short to move the event in.
    """
    length = event.latest - event.earliest
    room = covered[1] - covered[0] - length
    if room <= timedelta() or not shares:
        return None
    wanted = [(one.earliest or one.latest, one.latest) for one in changes if event.expected in {None, one.direction}]
    met = 0
    for share in shares:
        start = covered[0] + share * room
        low, high = start - window, start + length + window
        met += any(earliest <= high and latest >= low for earliest, latest in wanted)
    return met / len(shares)
