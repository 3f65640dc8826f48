"""A vantage lent by RIPE Atlas: a volunteer's probe in a network of the country, asked over the service's API (v2).

Lookups are measurements of type dns, connections and handshakes those of type sslcert, which takes a server name and an
address apart; a request is never sent, so http stays absent. Each is a one-off by a single probe. It costs credits
before it is made, twice what one of a series costs.
"""

import asyncio
import re
from collections import Counter
from typing import Any, Final, TypeVar

import msgspec

from monitor.config.schema import RipeAtlasOptions, VantageConfig
from monitor.model.measurement import FollowUp, Limits
from monitor.model.observation import DnsObservation, Purpose
from monitor.model.seams import VantageError
from monitor.model.vantage import NetworkIdentity, ProbeCount
from monitor.model.verdict import Reason
from monitor.network.nameservers import resolver_of
from monitor.vantages._atlas_results import DnsResult, SslcertResult, dns_seen, visit_seen
from monitor.vantages._budget import Budget
from monitor.vantages._parts import Parts
from monitor.vantages._service import Probe, ProbeGoneError, Question, Seen, ServiceVantage, Visit
from monitor.vantages._service_api import ServiceApi

_Form = TypeVar("_Form", DnsResult, SslcertResult)

FIRST_PAUSE_SECONDS: Final = 0.5  # before a result is asked for; each pause is half as long again
LONGEST_PAUSE_SECONDS: Final = 5.0
PREPARED_SECONDS: Final = 3600.0
_DAY: Final = 86_400
_ONE_OFF: Final = 2
_DNS_CREDITS, _DNS_TCP_CREDITS, _SSLCERT_CREDITS = 10 * _ONE_OFF, 20 * _ONE_OFF, 10 * _ONE_OFF
_PAGE: Final = 500
_TAG: Final = "access-monitor"
_HOSTED: Final = ["system-anchor", "datacentre"]
_LARGEST_ASN: Final = 4_294_967_295


class _Created(msgspec.Struct, frozen=True):
    measurements: list[int]


class _Credits(msgspec.Struct, frozen=True):
    current_balance: int | None = None


class _Standing(msgspec.Struct, frozen=True):
    """A probe, without its addresses."""

    asn_v4: int | None = None
    country_code: str | None = None


class _Page(msgspec.Struct, frozen=True):
    count: int
    results: list[_Standing] = []


def build(name: str, config: VantageConfig, parts: Parts) -> ServiceVantage:
    """Build the vantage; the service is not reached before the first check."""
    if not isinstance(config, RipeAtlasOptions):
        raise TypeError(type(config))
    return ServiceVantage(name, config, parts, RipeAtlas(name, config, parts))


class RipeAtlas:
    """Satisfies `Instrument`."""

    round_units = _DNS_CREDITS + 3 * _SSLCERT_CREDITS  # two visits of control sites, a lookup, a visit

    def __init__(self, name: str, options: RipeAtlasOptions, parts: Parts) -> None:
        self._name = name
        self._options = options
        self._clock = parts.clock
        self._trust = parts.trust
        self._api = ServiceApi(name, options.base_url, f"Key {options.token.get_secret_value()}")
        self._prepared_at = float("-inf")
        self.budget = Budget(
            name, parts.clock, parts.ledger, unit="credits", limit=options.credits_per_day, window_seconds=_DAY
        )

    async def prepare(self) -> None:
        """Ask every hour how many credits the account has."""
        if self._clock.boottime() - self._prepared_at < PREPARED_SECONDS:
            return
        answer = await self._api.ask("GET", "/api/v2/credits/")
        if answer.status == 200:
            balance = self._api.read(answer, _Credits).current_balance
            if balance is not None:
                self.budget.told(balance, PREPARED_SECONDS)
        self._prepared_at = self._clock.boottime()

    def sees(self, asked: FollowUp) -> bool:
        """Tell whether there is a measurement for it: lookups over UDP and TCP, connections, handshakes."""
        if asked.until == "dns":
            return resolver_of(asked.resolver or "system").transport in {"system", "udp", "tcp"}
        return asked.until in {"tcp", "tls"} and asked.purpose is not Purpose.SMALL_SEGMENTS

    async def visit(self, probe: Probe | None, visit: Visit, limits: Limits, seconds: float) -> tuple[Probe, Seen]:  # noqa: ARG002  the probe's own deadlines cannot be set
        """Connect and shake hands, as far as the visit goes; a request is not sent."""
        definition: dict[str, Any] = {
            "type": "sslcert",
            "target": visit.address or visit.url.host,
            "af": 6 if ":" in visit.address else 4,
            "port": visit.port,
        }
        if visit.server_name and visit.address:
            definition["hostname"] = visit.server_name
        if not visit.address:
            definition["resolve_on_probe"] = True
        result = await self._result(list[SslcertResult], definition, _SSLCERT_CREDITS, probe=probe, seconds=seconds)
        chosen = probe or Probe(key=str(result.prb_id), network=await self._network(result.prb_id))
        try:
            return chosen, visit_seen(result, visit, self._trust, self._clock.now().timestamp())
        except ValueError as error:
            raise VantageError(f"{self._name}: the result is not in the agreed form") from error

    async def look_up(self, probe: Probe, asked: Question, limits: Limits, seconds: float) -> DnsObservation | None:
        """Ask the probe's own resolvers, or another one."""
        resolver = resolver_of(asked.resolver)
        definition: dict[str, Any] = {
            "type": "dns",
            "af": 4,
            "query_class": "IN",
            "query_type": asked.query_type,
            "query_argument": asked.host,
            "protocol": asked.transport.upper(),
            "set_rd_bit": True,
            "include_abuf": True,
            "timeout": round(limits.dns_seconds * 1000),
        }
        if resolver.address is None:
            definition["use_probe_resolver"] = True
        else:
            definition |= {"target": resolver.address, "af": 6 if ":" in resolver.address else 4, "port": resolver.port}
        units = _DNS_TCP_CREDITS if asked.transport == "tcp" else _DNS_CREDITS
        result = await self._result(list[DnsResult], definition, units, probe=probe, seconds=seconds)
        return dns_seen(result, asked)

    async def count_probes(self) -> tuple[ProbeCount, ...]:
        """Count the connected probes of the country by network."""
        country = self._options.country
        network = f"&asn_v4={self._options.asn}" if self._options.asn else ""
        path = f"/api/v2/probes/?country_code={country}&status=1&page_size={_PAGE}{network}&fields=asn_v4,country_code"
        answer = await self._api.ask("GET", path)
        if answer.status != 200:
            raise VantageError(f"{self._name}: the list of probes was answered with {answer.status}")
        page = self._api.read(answer, _Page)
        found = Counter(one.asn_v4 or 0 for one in page.results[:_PAGE])
        found[0] += max(0, page.count - sum(found.values()))  # beyond the first page
        return tuple(
            ProbeCount(country=country, asn=asn, probes=probes) for asn, probes in sorted(found.items()) if probes
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._api.close()

    async def _network(self, probe: int) -> NetworkIdentity:
        answer = await self._api.ask("GET", f"/api/v2/probes/{probe}/?fields=asn_v4,country_code")
        standing = self._api.read(answer, _Standing) if answer.status == 200 else _Standing()
        country = standing.country_code
        return NetworkIdentity(
            asn=standing.asn_v4 if standing.asn_v4 and 0 < standing.asn_v4 <= _LARGEST_ASN else None,
            country=country if country and re.fullmatch("[A-Z]{2}", country) else None,
        )

    async def _result(
        self, form: type[list[_Form]], definition: dict[str, Any], units: int, *, probe: Probe | None, seconds: float
    ) -> _Form:
        """Have one measurement made and wait for its one result."""
        end = self._clock.monotonic() + seconds
        about = {
            "description": "Is it reachable",
            "tags": [_TAG],
            "is_public": self._options.is_public,
            "skip_dns_check": True,
        }
        body = {"definitions": [definition | about], "probes": [self._place(probe)], "is_oneoff": True}
        self.budget.take(units)
        answer = await self._api.ask("POST", "/api/v2/measurements/", json=body, seconds=seconds)
        match answer.status:
            case 201:
                created = self._api.read(answer, _Created).measurements
            case 402 | 429:
                self.budget.told(0, answer.number("retry-after") or PREPARED_SECONDS)
                raise VantageError(f"{self._name}: the service's quota is used up", Reason.QUOTA_EXHAUSTED)
            case status:
                raise VantageError(f"{self._name}: the service answered {status}")
        if len(created) != 1:
            raise VantageError(f"{self._name}: {len(created)} measurements were made where one was asked for")
        pause = FIRST_PAUSE_SECONDS
        while (left := end - self._clock.monotonic() - pause) > 0:
            await asyncio.sleep(pause)
            pause = min(LONGEST_PAUSE_SECONDS, 1.5 * pause)
            answer = await self._api.ask("GET", f"/api/v2/measurements/{created[0]}/results/", seconds=left)
            if answer.status not in {200, 429}:
                raise VantageError(f"{self._name}: a result was answered with {answer.status}")
            if answer.status == 200 and (results := self._api.read(answer, form)):
                return results[0]
        raise ProbeGoneError(f"{self._name}: no result came in time")

    def _place(self, probe: Probe | None) -> dict[str, Any]:
        if probe is not None:
            return {"type": "probes", "value": probe.key, "requested": 1}
        tags: dict[str, list[str]] = {"include": ["system-ipv4-works"], "exclude": []}
        match self._options.network:
            case "eyeball":
                tags["exclude"] = _HOSTED
            case "datacenter":
                tags["include"] = [*tags["include"], "datacentre"]
            case "any":
                pass
        if self._options.asn is not None:
            return {"type": "asn", "value": self._options.asn, "requested": 1, "tags": tags}
        return {"type": "country", "value": self._options.country, "requested": 1, "tags": tags}
