"""Everything that one run produces; the store writes it in one transaction."""

from datetime import datetime

import msgspec

from monitor.model.measurement import Recording
from monitor.model.place import Place
from monitor.model.vantage import VantageState
from monitor.model.verdict import DetectorState, Status, Transition, Verdict


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
    members: tuple[tuple[str, str], ...] = ()  # (target, vantage) pairs not accessible now
    all_members: tuple[tuple[str, str], ...] = ()  # every pair that ever was


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """One run and what was concluded from it.

    `verdict` is None for measurements of a control vantage, which are evidence and not judged.
    `control_ids` and `isolation_id` name the measurements that the verdict also rests on, so that it can be redrawn.
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
