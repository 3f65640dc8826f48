"""Incidents: a platform not accessible in a country, gathered from the transitions of its targets, vantages, networks.

What happens to an incident is an update with a number; the incident itself is how it stands after the last one.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, NamedTuple, TypeVar

import msgspec

from monitor.model.outcome import AffectedNetwork, Incident, IncidentUpdate, Member, UpdateKind
from monitor.model.verdict import Confidence, DetectorState, SeriesState, Status, Transition, Verdict

_T = TypeVar("_T")
_GRAVITY: Final = (Status.WITHHELD, Status.THROTTLED, Status.BLOCKED)
QUORUM: Final = 2
QUORUM_WITHIN: Final = timedelta(minutes=60)


@dataclass(frozen=True)
class Setting:
    """Where a round was made, and what is measured around it."""

    platform: str
    country: str  # ISO 3166-1 alpha-2 in upper case, or `unknown`
    network: str | None  # name of the network
    measured_networks: int  # of this country for this platform, lately
    measurement_id: int
    is_test: bool = True
    quorum: int = QUORUM


class Applied(NamedTuple):
    """An incident after something happened to it, and the entries that say what."""

    incident: Incident
    updates: tuple[IncidentUpdate, ...]


def apply(
    incident: Incident | None,
    transition: Transition,
    verdict: Verdict,
    place: Setting,
    *,
    taken: Collection[str] = (),
) -> Applied | None:
    """Return the incident as a transition leaves it, None if it changes nothing.

    `incident` is the open one of this platform and country, if any; `taken` holds ids already given out.
    """
    member = Member(transition.target, transition.vantage, transition.asn)
    if incident is not None and incident.closed_at is not None:
        incident = None
    if transition.after is SeriesState.NOT_ACCESSIBLE:
        return _entered(incident or _opened(transition, place, taken), member, transition, verdict, place)
    if incident is None or member not in incident.members:
        return None
    left = _without(incident, [member], transition.at)
    kind = UpdateKind.END if left.closed_at else UpdateKind.PARTIAL_END
    left = msgspec.structs.replace(left, measured_networks=place.measured_networks)
    return _noted(left, [kind], transition.at, member, place, status=Status.ACCESSIBLE)


def failed_again(
    incident: Incident, member: Member, verdict: Verdict, place: Setting, at: datetime, *, is_other_layer: bool
) -> Applied | None:
    """Return the incident after a further failing round of one of its members, None if that tells nothing new.

    New is that access is prevented at another layer than before, or that what was only likely is confirmed.
    """
    if member not in incident.members or verdict.status not in _GRAVITY:
        return None
    kinds = [UpdateKind.MECHANISM] if is_other_layer else []
    if _settles(incident, verdict):
        kinds.append(UpdateKind.CONFIRMED)
        incident = msgspec.structs.replace(incident, confirmed_at=at)
    if not kinds:
        return None
    changed = msgspec.structs.replace(incident, mechanisms=_with(incident.mechanisms, *verdict.mechanisms))
    return _noted(changed, kinds, at, member, place, status=verdict.status, mechanisms=verdict.mechanisms)


def without(incident: Incident, members: Collection[Member], at: datetime) -> Applied | None:
    """Return the incident without members that are measured no more; one that has none left ends `at`."""
    gone = [one for one in incident.members if one in members]
    if not gone:
        return None
    left = _without(incident, gone, at)
    names = {one.asn: one.name for one in incident.networks}
    updates = tuple(
        IncidentUpdate(
            incident=incident.id,
            sequence=number,
            kind=UpdateKind.UNWATCHED,
            at=at,
            member=member,
            network=names.get(member.asn),
        )
        for number, member in enumerate(gone, incident.sequence + 1)
    )
    return Applied(msgspec.structs.replace(left, sequence=updates[-1].sequence), updates)


class Returning(msgspec.Struct, frozen=True, kw_only=True):
    """A member that is reachable again, which is not confirmed yet."""

    member: Member
    since: datetime
    score: float  # the return is confirmed at the detector's threshold


def returning(incident: Incident, detectors: Mapping[Member, DetectorState]) -> tuple[Returning, ...]:
    """Return the members of an open incident that have been reachable since some round, not yet confirmed."""
    found = ((member, detectors.get(member)) for member in incident.members)
    return tuple(
        Returning(member=member, since=state.run_started_at, score=round(state.score, 3))
        for member, state in found
        if state and state.state is SeriesState.NOT_ACCESSIBLE and state.run_started_at is not None
    )


def extent(incident: Incident) -> str:
    """Return in words on how much of what is measured it is seen, or was when the last network ended.

    `country-wide` is said only with a quorum and every measured network affected, and with the count. Circumvention
    routes do not speak for a country.
    """
    tested = [one for one in incident.networks if one.is_test]
    if incident.networks and not tested:
        return "on circumvention routes only"
    # Incidents from before networks were kept have members only.
    known = [one.asn for one in tested if one.ended_at is None] or [one.asn for one in tested]
    affected = len(set(known or [one.asn for one in incident.members or incident.all_members]))
    measured = max(incident.measured_networks, affected)
    if measured <= 1:
        return "on the one network measured"
    if affected == measured and incident.quorum_at is not None:
        return f"country-wide as far as is measured: on all {measured} networks"
    return f"on {affected} of {measured} networks measured"


def has_quorum(networks: Iterable[AffectedNetwork], quorum: int) -> bool:
    """Tell whether enough networks, known and different, were alarmed within an hour and are affected still."""
    alarmed = sorted(one.alarmed_at for one in networks if one.asn and one.is_test and one.ended_at is None)
    return any(last - first <= QUORUM_WITHIN for first, last in zip(alarmed, alarmed[quorum - 1 :], strict=False))


def _opened(transition: Transition, place: Setting, taken: Collection[str]) -> Incident:
    stem = f"{place.platform}-{place.country.lower()}-{transition.at:%Y%m%d}"
    number = 2
    name = stem
    while name in taken:
        name, number = f"{stem}-{number}", number + 1
    return Incident(
        id=name,
        platform=place.platform,
        country=place.country,
        status=transition.status,
        opened_at=transition.at,
        started_after=transition.last_before_at if transition.before is SeriesState.ACCESSIBLE else None,
        started_before=transition.first_after_at or transition.at,
    )


def _entered(incident: Incident, member: Member, transition: Transition, verdict: Verdict, place: Setting) -> Applied:
    is_affected = any(one.asn == member.asn for one in incident.members)
    if not incident.sequence:
        kind = UpdateKind.START if transition.before is SeriesState.ACCESSIBLE else UpdateKind.FOUND
    else:
        kind = UpdateKind.JOIN if is_affected else UpdateKind.SPREAD
    kinds = [] if member in incident.members else [kind]
    networks = incident.networks
    if not is_affected:
        network = AffectedNetwork(asn=member.asn, name=place.network, alarmed_at=transition.at, is_test=place.is_test)
        networks = (*(one for one in networks if one.asn != member.asn), network)
    quorum_at = incident.quorum_at
    if quorum_at is None and has_quorum(networks, place.quorum):
        quorum_at = transition.at
        kinds.append(UpdateKind.QUORUM)
    confirmed_at = incident.confirmed_at
    if _settles(incident, verdict):
        confirmed_at = transition.at
        # The first entry says so itself.
        kinds += [UpdateKind.CONFIRMED] if incident.sequence else []
    changed = msgspec.structs.replace(
        incident,
        status=max(incident.status, transition.status, key=_gravity),
        mechanisms=_with(incident.mechanisms, *verdict.mechanisms),
        members=_with(incident.members, member),
        all_members=_with(incident.all_members, member),
        networks=networks,
        measured_networks=place.measured_networks,
        quorum_at=quorum_at,
        confirmed_at=confirmed_at,
    )
    return _noted(changed, kinds, transition.at, member, place, status=transition.status, mechanisms=verdict.mechanisms)


def _without(incident: Incident, gone: Collection[Member], at: datetime) -> Incident:
    members = tuple(one for one in incident.members if one not in gone)
    affected = {one.asn for one in members}
    networks = tuple(
        one if one.asn in affected or one.ended_at else msgspec.structs.replace(one, ended_at=at)
        for one in incident.networks
    )
    return msgspec.structs.replace(incident, members=members, networks=networks, closed_at=None if members else at)


def _noted(
    incident: Incident,
    kinds: Collection[UpdateKind],
    at: datetime,
    member: Member,
    place: Setting,
    *,
    status: Status,
    mechanisms: tuple[str, ...] = (),
) -> Applied:
    updates = tuple(
        IncidentUpdate(
            incident=incident.id,
            sequence=number,
            kind=kind,
            at=at,
            member=member,
            network=place.network,
            status=status,
            mechanisms=mechanisms,
            measurement_id=place.measurement_id,
        )
        for number, kind in enumerate(kinds, incident.sequence + 1)
    )
    return Applied(msgspec.structs.replace(incident, sequence=incident.sequence + len(updates)), updates)


def _settles(incident: Incident, verdict: Verdict) -> bool:
    return incident.confirmed_at is None and verdict.confidence is Confidence.CONFIRMED


def _gravity(status: Status) -> int:
    return _GRAVITY.index(status) if status in _GRAVITY else -1


def _with(known: tuple[_T, ...], *new: _T) -> tuple[_T, ...]:
    return tuple(dict.fromkeys((*known, *new)))
