"""Every vantage of a country silent at once: perhaps a shutdown. It is no block, and never counted as one.

Our own line is excluded by whoever is still heard elsewhere: without a vantage online in another country, silence says
nothing.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import msgspec

from monitor.model.outcome import Silence
from monitor.model.vantage import VantageState

LEAST_NETWORKS: Final = 2


@dataclass(frozen=True)
class Heard:
    """What was last heard of a vantage."""

    vantage: str
    country: str | None
    asn: int | None  # of the network it was last seen on
    state: VantageState
    since: datetime  # when that state began
    is_test: bool = True


def silences(heard: Iterable[Heard]) -> tuple[Silence, ...]:
    """Return the countries that are silent now."""
    known = tuple(heard)
    online = {one.country for one in known if one.state is VantageState.ONLINE}
    by_country: dict[str, list[Heard]] = {}
    for one in known:
        if one.country is not None and one.is_test:
            by_country.setdefault(one.country, []).append(one)
    return tuple(
        Silence(
            country=country,
            started_at=max(one.since for one in members),
            vantages=tuple(sorted(one.vantage for one in members)),
            networks=tuple(sorted({one.asn for one in members if one.asn})),
        )
        for country, members in sorted(by_country.items())
        if all(one.state is VantageState.OFFLINE for one in members)
        and len({one.asn for one in members if one.asn}) >= LEAST_NETWORKS
        and online - {country}
    )


def changed(before: Mapping[str, Silence], heard: Iterable[Heard], at: datetime) -> tuple[Silence, ...]:
    """Return the silences that began and those that ended, as they are to be stored.

    One ends when somebody of the country is heard again; that nobody was asked yet, or that we lost our own line, ends
    none.
    """
    known = tuple(heard)
    began = tuple(one for one in silences(known) if one.country not in before)
    awake = {one.country for one in known if one.state is not VantageState.OFFLINE}
    ended = tuple(msgspec.structs.replace(one, ended_at=at) for country, one in before.items() if country in awake)
    return began + ended
