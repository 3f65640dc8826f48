"""Incidents: a platform not accessible in a country, gathered from the transitions of its targets and vantages."""

from collections.abc import Collection
from datetime import datetime
from typing import Final, TypeVar

import msgspec

from monitor.model.outcome import Incident
from monitor.model.verdict import SeriesState, Status, Transition, Verdict

_T = TypeVar("_T")
_GRAVITY: Final = (Status.WITHHELD, Status.THROTTLED, Status.BLOCKED)


def apply(
    incident: Incident | None,
    transition: Transition,
    verdict: Verdict,
    platform: str,
    country: str,
    *,
    taken: Collection[str] = (),
) -> Incident | None:
    """Return the incident as a transition leaves it, None if it changes nothing.

    `incident` is the open one of this platform and country, if any; `taken` holds ids already given out. `country` is
    ISO 3166-1 alpha-2 in upper case, or `unknown`.
    """
    member = (transition.target, transition.vantage)
    if incident is not None and incident.closed_at is not None:
        incident = None
    if transition.after is SeriesState.NOT_ACCESSIBLE:
        if incident is None:
            incident = _opened(transition, platform, country, taken)
        return msgspec.structs.replace(
            incident,
            status=max(incident.status, transition.status, key=_gravity),
            mechanisms=_with(incident.mechanisms, *verdict.mechanisms),
            members=_with(incident.members, member),
            all_members=_with(incident.all_members, member),
        )
    if incident is None or member not in incident.members:
        return None
    left = tuple(one for one in incident.members if one != member)
    return msgspec.structs.replace(incident, members=left, closed_at=None if left else transition.at)


def without(incident: Incident, members: Collection[tuple[str, str]], at: datetime) -> Incident:
    """Return the incident without members that are measured no more; one that has none left ends `at`."""
    left = tuple(one for one in incident.members if one not in members)
    if left == incident.members:
        return incident
    return msgspec.structs.replace(incident, members=left, closed_at=None if left else at)


def _opened(transition: Transition, platform: str, country: str, taken: Collection[str]) -> Incident:
    stem = f"{platform}-{country.lower()}-{transition.at:%Y%m%d}"
    number = 2
    name = stem
    while name in taken:
        name, number = f"{stem}-{number}", number + 1
    return Incident(
        id=name,
        platform=platform,
        country=country,
        status=transition.status,
        opened_at=transition.at,
        started_after=transition.last_before_at if transition.before is SeriesState.ACCESSIBLE else None,
        started_before=transition.first_after_at or transition.at,
    )


def _gravity(status: Status) -> int:
    return _GRAVITY.index(status) if status in _GRAVITY else -1


def _with(known: tuple[_T, ...], *new: _T) -> tuple[_T, ...]:
    return tuple(dict.fromkeys((*known, *new)))
