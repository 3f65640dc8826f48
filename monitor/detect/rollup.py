"""From verdicts on targets to a verdict on their platform: at a vantage, on a network, in a country.

    targets ─ essential ones ─▶ vantage ─ more than half ─▶ network (AS) ─ quorum ─▶ country

What cannot be judged (inconclusive, not measured lately) leaves the count at each step and is named. An even split
decides nothing. `partial` is no status: that a part stands otherwise is said in words.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

import msgspec

from monitor.model.rollup import MAJORITY, RollupRule
from monitor.model.vantage import NetworkIdentity
from monitor.model.verdict import GRAVITY, Reason, Status

ROUNDS_UNTIL_STALE: Final = 3
_NAMED_AT_MOST: Final = 6
_NAME_AT_MOST: Final = 80
_UNKNOWN: Final = "unknown"


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """How one target stands at one test vantage, as of its latest verdict; `status` is None before the first."""

    target: str
    vantage: str
    country: str = _UNKNOWN  # ISO 3166-1 alpha-2
    network: NetworkIdentity = NetworkIdentity()
    interval_seconds: float = 300.0
    status: Status | None = None
    mechanisms: tuple[str, ...] = ()
    reason: Reason | None = None
    since: datetime | None = None
    measured_at: datetime | None = None

    def stale_at(self) -> datetime | None:
        """Return from when on this says nothing any more, if nothing newer comes."""
        rounds = timedelta(seconds=ROUNDS_UNTIL_STALE * self.interval_seconds)
        return None if self.measured_at is None else self.measured_at + rounds


class VantageVerdict(msgspec.Struct, frozen=True, kw_only=True):
    """A platform as one vantage sees it."""

    vantage: str
    network: NetworkIdentity
    status: Status
    targets: dict[str, Status]  # those that were judged
    open_targets: dict[str, str]  # those that were not, and why
    interfered: dict[str, tuple[str, ...]]  # accessible ones that are interfered with, and how
    since: datetime | None = None

    @property
    def is_partial(self) -> bool:
        """Whether a part of the platform stands otherwise than `status` says."""
        return self.status is not Status.INCONCLUSIVE and (
            bool(self.interfered) or any(status is not self.status for status in self.targets.values())
        )


class NetworkVerdict(msgspec.Struct, frozen=True, kw_only=True):
    """A platform as the vantages on one network see it; vantages whose network is unknown count as one."""

    network: NetworkIdentity
    status: Status
    vantages: tuple[str, ...]


class PlatformVerdict(msgspec.Struct, frozen=True, kw_only=True):
    """A platform in a country. `summary` names every network that counts, and what was left out."""

    platform: str
    name: str
    country: str
    status: Status
    is_partial: bool
    summary: str
    networks: tuple[NetworkVerdict, ...]
    vantages: tuple[VantageVerdict, ...]
    since: datetime | None = None

    def counts(self) -> dict[Status, int]:
        """Return how many networks stand how; `inconclusive` ones are not part of the quorum."""
        return dict(Counter(one.status for one in self.networks))


def roll_up(
    platform: str, name: str, rule: RollupRule, standings: Iterable[Standing], now: datetime
) -> tuple[PlatformVerdict, ...]:
    """Return the platform's verdict for each country that it is measured in, by country.

    `standings` are those of this platform alone, in any order; the cost grows with their number and nothing else.
    """
    countries: dict[str, list[Standing]] = {}
    for one in sorted(standings, key=lambda one: (one.country, one.vantage, one.target)):
        countries.setdefault(one.country, []).append(one)
    return tuple(
        _country_verdict(platform, name, country, _vantages(rule, its, now), rule) for country, its in countries.items()
    )


def _country_verdict(
    platform: str, name: str, country: str, vantages: tuple[VantageVerdict, ...], rule: RollupRule
) -> PlatformVerdict:
    networks = _networks(vantages)
    status = _quorum(rule, [one.status for one in networks])
    counted = [one for one in vantages if one.status is not Status.INCONCLUSIVE]
    agreeing = [one for one in counted if one.status is status]
    is_partial = status is not Status.INCONCLUSIVE and (
        len(agreeing) < len(counted) or any(one.is_partial for one in counted)
    )
    return PlatformVerdict(
        platform=platform,
        name=name,
        country=country,
        status=status,
        is_partial=is_partial,
        summary=_summary(name, country, status, networks, vantages),
        networks=networks,
        vantages=vantages,
        since=min((one.since for one in agreeing if one.since), default=None),
    )


def _vantages(rule: RollupRule, standings: Iterable[Standing], now: datetime) -> tuple[VantageVerdict, ...]:
    by_vantage: dict[str, list[Standing]] = {}
    for one in standings:
        by_vantage.setdefault(one.vantage, []).append(one)
    return tuple(_vantage_verdict(rule, its, now) for its in by_vantage.values())


def _vantage_verdict(rule: RollupRule, standings: Sequence[Standing], now: datetime) -> VantageVerdict:
    latest = max(standings, key=lambda one: (one.measured_at is not None, one.measured_at or now, one.target))
    judged: dict[str, Standing] = {}
    left_out: dict[str, str] = {}
    for one in standings:
        if why := _why_left_out(one, latest.network, now):
            left_out[one.target] = why
        else:
            judged[one.target] = one
    status = _essential(rule, {one.target for one in standings}, judged)
    return VantageVerdict(
        vantage=latest.vantage,
        network=latest.network,
        status=status,
        targets={target: one.status for target, one in judged.items() if one.status is not None},
        open_targets=left_out,
        interfered={
            target: one.mechanisms
            for target, one in judged.items()
            if one.status is Status.ACCESSIBLE and one.mechanisms
        },
        since=min((one.since for one in judged.values() if one.status is status and one.since), default=None),
    )


def _why_left_out(one: Standing, network: NetworkIdentity, now: datetime) -> str:
    """Return why a standing says nothing, empty if it does."""
    stale_at = one.stale_at()
    if one.status is None or stale_at is None:
        return "not measured yet"
    if now > stale_at:
        return "not measured lately"
    if one.status is Status.INCONCLUSIVE:
        return str(one.reason or "inconclusive").replace("_", " ")
    return "" if one.network.asn == network.asn else "measured on another network"


def _essential(rule: RollupRule, measured: set[str], judged: Mapping[str, Standing]) -> Status:
    """Return what the targets that matter say together; where none is named, all do."""
    every = [target for target in rule.all_of if target in measured]
    some = [target for target in rule.any_of if target in measured]
    if not every and not some:
        every = sorted(measured)
    status = {target: one.status for target, one in judged.items() if one.status is not None}
    failing = [status[target] for target in every if status.get(target, Status.ACCESSIBLE) is not Status.ACCESSIBLE]
    alternatives = [status[target] for target in some if target in status]
    if alternatives and Status.ACCESSIBLE not in alternatives and 2 * len(alternatives) > len(some):
        failing += alternatives
    if failing:
        return min(failing, key=GRAVITY.index)
    works = sum(target in status for target in every)
    enough = (2 * works > len(every) or not every) and (Status.ACCESSIBLE in alternatives or not some)
    return Status.ACCESSIBLE if enough else Status.INCONCLUSIVE


def _networks(vantages: Sequence[VantageVerdict]) -> tuple[NetworkVerdict, ...]:
    by_number: dict[int | None, list[VantageVerdict]] = {}
    for one in vantages:
        by_number.setdefault(one.network.asn, []).append(one)
    return tuple(
        NetworkVerdict(
            network=max((one.network for one in its), key=lambda network: network.name or ""),
            status=_majority([one.status for one in its]),
            vantages=tuple(one.vantage for one in its),
        )
        for _, its in sorted(by_number.items(), key=lambda item: (item[0] is None, item[0] or 0))
    )


def _majority(found: Sequence[Status]) -> Status:
    """Return what more than half of those that can be judged say."""
    counts = Counter(status for status in found if status is not Status.INCONCLUSIVE)
    for status, count in counts.items():
        if 2 * count > counts.total():
            return status
    return Status.INCONCLUSIVE


def _quorum(rule: RollupRule, found: Sequence[Status]) -> Status:
    """Return a country's status from its networks'."""
    counts = Counter(status for status in found if status is not Status.INCONCLUSIVE)
    measured = counts.total()
    if not measured or measured < rule.min_networks:
        return Status.INCONCLUSIVE
    needed = measured // 2 + 1 if rule.networks == MAJORITY else min(rule.networks, measured)
    accessible = counts.pop(Status.ACCESSIBLE, 0)
    failing = counts.total()
    if failing >= needed:
        (worst, count), *others = counts.most_common()
        is_alone = not others or others[0][1] < count
        return worst if is_alone and count >= needed else Status.INCONCLUSIVE
    return Status.ACCESSIBLE if accessible > failing else Status.INCONCLUSIVE


# --- In words


def _summary(
    name: str,
    country: str,
    status: Status,
    networks: Sequence[NetworkVerdict],
    vantages: Sequence[VantageVerdict],
) -> str:
    where = "" if country == _UNKNOWN else f" in {country}"
    groups = {one: [each for each in networks if each.status is one] for one in GRAVITY}
    undecided = groups.pop(Status.INCONCLUSIVE)
    # The status that was concluded first, then worst first.
    said = sorted((one for one in groups if groups[one]), key=lambda one: (one is not status, GRAVITY.index(one)))
    measured = sum(map(len, groups.values()))
    if not said:
        sentences = [f"Whether {name} is accessible{where} cannot be told: no network could be judged"]
    elif measured == 1:
        only = network_words(groups[said[0]][0].network)
        sentences = [f"{name} is {said[0]} on the one network measured{where}, {only}"]
    else:
        whole = "both" if measured == 2 else f"all {measured}"
        share = whole if len(said) == 1 else f"{len(groups[said[0]])} of {measured}"
        sentences = [f"{name} is {said[0]} on {share} networks measured{where}: {_listed(groups[said[0]])}"]
        sentences += [f"It is {one} on {len(groups[one])}: {_listed(groups[one])}" for one in said[1:]]
    if said and status is Status.INCONCLUSIVE:
        sentences.append("Together they decide nothing")
    return ". ".join([*sentences, *_parts(vantages), *_left_out(undecided, vantages)]) + "."


def _parts(vantages: Sequence[VantageVerdict]) -> list[str]:
    """Return how targets stand where they do not all stand alike, once for all vantages that see the same."""
    counted = [one for one in vantages if one.status is not Status.INCONCLUSIVE]
    seen: dict[str, list[str]] = {}
    for one in counted:
        if one.is_partial:
            seen.setdefault(_stand(one), []).append(one.vantage)
    if len(counted) == 1:
        return [f"There {text}" for text in seen]
    return [f"From {_names(names)}: {text}" for text, names in seen.items()][:_NAMED_AT_MOST]


def _stand(one: VantageVerdict) -> str:
    by_status = {
        status: [target for target, found in one.targets.items() if found is status]
        for status in GRAVITY
        if status in one.targets.values()
    }
    said = [
        f"{_names(targets)} {'is' if len(targets) == 1 else 'are'} {status}" for status, targets in by_status.items()
    ]
    ways = [
        f"{target} is reached although interfered with ({', '.join(how)})" for target, how in one.interfered.items()
    ]
    return "; ".join([*(said if len(said) > 1 else []), *ways[:_NAMED_AT_MOST]])


def _left_out(networks: Sequence[NetworkVerdict], vantages: Sequence[VantageVerdict]) -> list[str]:
    """Return what does not count, and why."""
    silent = {one.vantage: f"{one.vantage} ({_why(one)})" for one in vantages if one.status is Status.INCONCLUSIVE}
    disagreeing = [one for one in networks if not silent.keys() >= set(one.vantages)]
    said = [*silent.values(), *(f"{network_words(one.network)} (its vantages disagree)" for one in disagreeing)]
    return [f"Not counted: {_names(said)}"] if said else []


def _why(one: VantageVerdict) -> str:
    found = Counter(one.open_targets.values())
    return min(found, key=lambda why: (-found[why], why)) if found else "too little is known"


def network_words(network: NetworkIdentity) -> str:
    """Return name and number of a network as people write them: PTCL (AS17557). Names may be anything."""
    name = "".join(filter(str.isprintable, network.name or ""))[:_NAME_AT_MOST]
    number = "" if network.asn is None else f"AS{network.asn}"
    return f"{name} ({number})" if name and number else name or number or "a network that is not known"


def _listed(networks: Sequence[NetworkVerdict]) -> str:
    return _names([network_words(one.network) for one in networks])


def _names(names: Sequence[str]) -> str:
    left = len(names) - _NAMED_AT_MOST
    first, last = (names[:_NAMED_AT_MOST], f"{left} more") if left > 0 else (names[:-1], names[-1])
    return f"{', '.join(first)} and {last}" if first else last
