"""Where a measurement is made from, and how healthy that place is."""

from datetime import datetime
from enum import StrEnum
from typing import Final

import msgspec

from monitor.model.observation import Observation


class Role(StrEnum):
    """What a vantage is asked for."""

    TEST = "test"
    CONTROL = "control"
    CIRCUMVENTION = "circumvention"


class VantageState(StrEnum):
    """Outcome of the sanity checks; anything but `online` makes every verdict of the round inconclusive."""

    ONLINE = "online"
    OFFLINE = "offline"
    CAPTIVE = "captive"
    DNS_BROKEN = "dns_broken"
    TLS_INTERCEPTED = "tls_intercepted"
    MOVED = "moved"
    DEGRADED = "degraded"


# Kinds of vantages that stand for measurements somebody else made: part of the record, never of the present.
IMPORTED_KINDS: Final = frozenset({"ooni"})


class NetworkIdentity(msgspec.Struct, frozen=True, kw_only=True):
    """The network a vantage was observed on. The vantage's address itself is never kept."""

    asn: int | None = None
    name: str | None = None
    country: str | None = None  # ISO 3166-1 alpha-2
    resolver_asn: int | None = None


class VantageInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What the configuration claims about a vantage; the network is observed, not claimed."""

    name: str
    kind: str
    role: Role = Role.TEST
    country: str | None = None
    claimed_asn: int | None = None
    # Through a proxy or SSH: no datagrams pass, so QUIC and DNS over UDP cannot be seen, and where it ends is a claim.
    is_tunnel: bool = False
    # Probes of a service, now one and now another, within quotas: no line of ours whose silence would tell something.
    is_service: bool = False

    def country_on(self, network: "NetworkIdentity") -> str | None:
        """Return the country that series and incidents carry.

        The owner of a line knows where it ends better than a registry; where a proxy really ends, its seller does not
        tell: there what is observed goes before what is claimed.
        """
        return (network.country or self.country) if self.is_tunnel else (self.country or network.country)

    def as_claimed(self, network: "NetworkIdentity") -> dict[str, bool]:
        """Return whether `country` and `asn` are as claimed; what is not claimed or not seen is left out."""
        pairs = {"country": (self.country, network.country), "asn": (self.claimed_asn, network.asn)}
        return {claim: claimed == seen for claim, (claimed, seen) in pairs.items() if claimed and seen}


class VantageCheck(msgspec.Struct, frozen=True, kw_only=True):
    """One round of sanity checks: facts, the state drawn from them, and the network seen."""

    vantage: str
    started_at: datetime
    state: VantageState
    network: NetworkIdentity = NetworkIdentity()
    observations: tuple[Observation, ...] = ()
    notes: tuple[str, ...] = ()
    reason: str | None = None  # a Reason value, where the vantage could not be used at all, or `silent`


class QuotaUse(msgspec.Struct, frozen=True, kw_only=True):
    """What a vantage may ask of a service within a sliding window, by its own budget and the service's word."""

    unit: str  # tests, credits
    window_seconds: int
    limit: int
    used: int
    remaining: int


class ProbeCount(msgspec.Struct, frozen=True, kw_only=True, order=True):
    """How many probes a service has in one network of a country; `asn` 0 stands for those whose network is unknown."""

    country: str
    asn: int
    probes: int
