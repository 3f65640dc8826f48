"""Everything that one run produces; the store writes it in one transaction."""

from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

import msgspec

from monitor.model.agent import Receipt
from monitor.model.measurement import Recording
from monitor.model.place import Place
from monitor.model.vantage import VantageState
from monitor.model.verdict import DetectorState, Status, Transition, Verdict


class Member(NamedTuple):
    """A series inside an incident; the same vantage on another network is another member."""

    target: str
    vantage: str
    asn: int  # 0 if unknown


class AffectedNetwork(msgspec.Struct, frozen=True, kw_only=True):
    """A network on which an incident was seen."""

    asn: int  # 0 if unknown
    name: str | None = None
    alarmed_at: datetime  # when its first series was confirmed, the last time that it was drawn in
    ended_at: datetime | None = None  # when its last series was confirmed to be back
    is_test: bool = True  # circumvention routes do not speak for a country


class Incident(msgspec.Struct, frozen=True, kw_only=True):
    """A platform not accessible in a country, from the first transition until every member has returned."""

    id: str  # platform-country-date of opening, with a suffix if that is taken: x-pk-20240217
    platform: str
    country: str  # ISO 3166-1 alpha-2 in upper case, or `unknown`
    status: Status
    opened_at: datetime  # when the first transition was confirmed
    started_after: datetime | None  # last round of the old state; None: began before the first measurement
    started_before: datetime  # first round of the run that opened it
    closed_at: datetime | None = None
    mechanisms: tuple[str, ...] = ()
    members: tuple[Member, ...] = ()  # not accessible now
    all_members: tuple[Member, ...] = ()  # every one that ever was
    networks: tuple[AffectedNetwork, ...] = ()  # every one that ever was
    measured_networks: int = 0  # of the country for this platform, at the last update
    quorum_at: datetime | None = None  # when enough networks had been alarmed within an hour; None: never
    confirmed_at: datetime | None = None  # when an artefact first settled it; None: all of it is only likely
    sequence: int = 0  # number of its last update


class UpdateKind(StrEnum):
    """What happened to an incident."""

    START = "start"
    FOUND = "found"  # the first thing ever seen: it began before the first measurement
    JOIN = "join"  # another target on a network that is affected already
    SPREAD = "spread"  # another network
    QUORUM = "quorum"  # enough networks, close enough in time, to speak of the country
    CONFIRMED = "confirmed"  # it began as likely, and now an artefact settles it
    MECHANISM = "mechanism"  # prevented at another layer than before
    PARTIAL_END = "partial_end"
    END = "end"
    UNWATCHED = "unwatched"  # a member is measured no more: its end will not be seen


class IncidentUpdate(msgspec.Struct, frozen=True, kw_only=True):
    """One entry of an incident's history, numbered from 1."""

    incident: str
    sequence: int
    kind: UpdateKind
    at: datetime
    member: Member | None = None
    network: str | None = None  # name of the member's network
    status: Status | None = None
    mechanisms: tuple[str, ...] = ()
    measurement_id: int | None = None  # that confirmed it


class Silence(msgspec.Struct, frozen=True, kw_only=True):
    """A possible shutdown: no vantage of a country has a line, on several networks, while others are heard."""

    country: str
    started_at: datetime  # when the last of them fell silent
    vantages: tuple[str, ...]
    networks: tuple[int, ...]
    ended_at: datetime | None = None


class Imported(msgspec.Struct, frozen=True, kw_only=True):
    """Where an imported measurement comes from, and what its source said of it, which is never a verdict of ours."""

    source: str  # ooni
    keys: tuple[bytes, ...]  # SHA-256 of each name that the source knows it by; any of them stands for it
    uid: str | None = None  # the source's id, where it gives one
    report: str | None = None
    label: str | None = None  # JSON: the source's own conclusion


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """One run and what was concluded from it.

    `verdict` is None for measurements of a control vantage, which are evidence and not judged.
    `control_ids` and `isolation_id` name the measurements that the verdict also rests on, `circumstances` is the rest
    of its context (classify/redraw.py): with them it can be redrawn.
    """

    recording: Recording
    verdict: Verdict | None = None
    control_ids: tuple[int, ...] = ()
    isolation_id: int | None = None
    state_before: VantageState | None = None
    state_after: VantageState | None = None
    detector: DetectorState | None = None
    transition: Transition | None = None
    served_from: tuple[Place, ...] = ()  # of the addresses that proved to serve the target, if a database tells
    incident: Incident | None = None  # as it is after this run, if this run changed it
    updates: tuple[IncidentUpdate, ...] = ()  # what happened to it
    is_aside: bool = False  # asked for once: no round of the series
    look_again_seconds: float | None = None  # a further look is wanted sooner than the schedule says
    circumstances: str | None = None
    imported: Imported | None = None  # where it comes from, if it was not measured by a vantage of ours
    receipt: Receipt | None = None  # how it was received, if an agent pushed it

    @property
    def measurement_id(self) -> int:
        """The measurement that the verdict is on."""
        return self.recording.measurement.id

    @property
    def is_late(self) -> bool:
        """Whether it came too late to speak of the present: it amends history, and nobody is told."""
        return self.receipt is not None and self.receipt.is_late


class Redrawn(msgspec.Struct, frozen=True, kw_only=True):
    """Another verdict on a measurement that is stored already, and what it rests on."""

    measurement_id: int
    verdict: Verdict
    control_ids: tuple[int, ...] = ()
    isolation_id: int | None = None
    state_before: VantageState | None = None
    state_after: VantageState | None = None
    circumstances: str | None = None
