"""A vantage lent by Globalping: a volunteer's probe in a network of the country, asked over the service's API (v1).

One test is one probe at one step. The first measurement asks for one probe of a place; every later one names its id in
place of a location, by which the service takes the same probe again.
"""

import asyncio
import logging
import math
import re
from collections import Counter
from typing import Any, Final, Generic, TypeVar

import msgspec

from monitor.config.schema import GlobalpingOptions, VantageConfig
from monitor.model.address import is_address
from monitor.model.failure import Failure
from monitor.model.measurement import FollowUp, Limits
from monitor.model.observation import DnsObservation, Purpose, Step, TcpObservation
from monitor.model.seams import Clock, VantageError
from monitor.model.vantage import NetworkIdentity, ProbeCount
from monitor.model.verdict import Reason
from monitor.network.nameservers import resolver_of
from monitor.network.received import printable, without_addresses
from monitor.vantages._budget import Budget
from monitor.vantages._globalping_results import (
    TIMED_OUT,
    DnsResult,
    HttpResult,
    Location,
    PingResult,
    Result,
    Told,
    connected,
    dns_failed,
    dns_observation,
    failed_visit,
    finished_visit,
    read_text,
)
from monitor.vantages._parts import Parts
from monitor.vantages._service import Probe, ProbeFaultError, ProbeGoneError, Question, Seen, ServiceVantage, Visit
from monitor.vantages._service_api import Answer, ServiceApi

_Result = TypeVar("_Result", bound=Result)
_Form = TypeVar("_Form")

log = logging.getLogger("monitor.vantage")

POLL_SECONDS: Final = 0.5  # after each answer
WAIT_SECONDS: Final = 10.0  # beyond the probe's own deadline
_HOUR: Final = 3600
_LEAST_TIMEOUT, _MOST_TIMEOUT = 5, 30
_PACKETS: Final = 2
_LONGEST_PAUSE: Final = 5.0
_PAUSE_SECONDS: Final = 60
_LARGEST_ASN: Final = 4_294_967_295
_ID: Final = re.compile("[A-Za-z0-9_-]{1,64}")
_PROBES_COUNTED: Final = 50_000
_TAGS: Final = {"eyeball": "eyeball-network", "datacenter": "datacenter-network"}


class _Created(msgspec.Struct, frozen=True):
    id: str


class _Item(msgspec.Struct, Generic[_Result], frozen=True):
    probe: Location
    result: _Result


class _Progress(msgspec.Struct, frozen=True):
    status: str


class _Measurement(msgspec.Struct, Generic[_Result], frozen=True):
    status: str
    results: list[_Item[_Result]] = []


class _Create(msgspec.Struct, frozen=True):
    remaining: int | None = None
    reset: int = _HOUR


class _Measurements(msgspec.Struct, frozen=True):
    create: _Create = _Create()


class _RateLimit(msgspec.Struct, frozen=True):
    measurements: _Measurements = _Measurements()


class _Limits(msgspec.Struct, frozen=True):
    rate_limit: _RateLimit = msgspec.field(name="rateLimit", default=_RateLimit())


class _Standing(msgspec.Struct, frozen=True):
    location: Location
    tags: list[str] = []


def build(name: str, config: VantageConfig, parts: Parts) -> ServiceVantage:
    """Build the vantage; the service is not reached before the first check."""
    if not isinstance(config, GlobalpingOptions):
        raise TypeError(type(config))
    return ServiceVantage(name, config, parts, Globalping(name, config, parts))


class Globalping:
    """Satisfies `Instrument`."""

    round_units = 5  # two visits of control sites, a lookup, a visit, a ping

    def __init__(self, name: str, options: GlobalpingOptions, parts: Parts) -> None:
        self._name = name
        self._options = options
        self._clock: Clock = parts.clock
        token = options.token.get_secret_value() if options.token else None
        self._api = ServiceApi(name, options.base_url, f"Bearer {token}" if token else None)
        self._is_prepared = False
        self.budget = Budget(
            name, parts.clock, parts.ledger, unit="tests", limit=options.tests_per_hour, window_seconds=_HOUR
        )

    async def prepare(self) -> None:
        """Ask once what is left of this hour, which others at this address may have used."""
        if self._is_prepared:
            return
        answer = await self._api.ask("GET", "/v1/limits")
        if answer.status == 200:
            create = self._api.read(answer, _Limits).rate_limit.measurements.create
            if create.remaining is not None:
                self.budget.told(create.remaining, create.reset)
        self._is_prepared = True

    def sees(self, asked: FollowUp) -> bool:
        """Tell whether there is a test for it: no QUIC, no transfers, no encrypted DNS, no say in packets."""
        if asked.purpose is Purpose.SMALL_SEGMENTS or asked.until in {"quic", "throughput"}:
            return False
        return asked.until != "dns" or resolver_of(asked.resolver or "system").transport in {"system", "udp", "tcp"}

    async def visit(self, probe: Probe | None, visit: Visit, limits: Limits, seconds: float) -> tuple[Probe, Seen]:
        """Visit an endpoint by a test of type http; of a connection alone, a ping over TCP comes first.

        A ping does not tell a refusal from silence, and a request that ran out of time does not tell at which step:
        each is asked where the other left something open.
        """
        end = self._clock.monotonic() + seconds
        pinged: TcpObservation | Told | None = None
        if visit.until == "tcp" and probe is not None:
            pinged = await self._ping(probe, visit, limits, seconds)
            if isinstance(pinged, TcpObservation):
                return probe, Seen((pinged,))
        told, probe, seen = await self._request(probe, visit, limits, end - self._clock.monotonic())
        if told is None:
            return probe, seen
        if told is TIMED_OUT and visit.address:
            if visit.until != "tcp":
                pinged = await self._ping(probe, visit, limits, end - self._clock.monotonic())
            if isinstance(pinged, TcpObservation):
                # What was never answered is the first step that is not known to have passed.
                told = told._replace(step=Step.TLS if visit.is_tls else Step.HTTP)
            elif pinged is None or pinged.step is not Step.TCP:
                return probe, Seen()
            else:
                told = pinged
        return probe, Seen(failed_visit(told, visit))

    async def look_up(self, probe: Probe, asked: Question, limits: Limits, seconds: float) -> DnsObservation | None:
        """Ask by a test of type dns, which has no cache of its own."""
        options: dict[str, Any] = {"query": {"type": asked.query_type}, "protocol": asked.transport.upper()}
        resolver = resolver_of(asked.resolver)
        if resolver.address is not None:
            options |= {"resolver": resolver.address, "port": resolver.port}
        _, result = await self._test(
            _Measurement[DnsResult],
            "dns",
            asked.host,
            options,
            probe=probe,
            timeout_seconds=limits.dns_seconds,
            seconds=seconds,
        )
        if result.status == "finished":
            return dns_observation(result, asked)
        told = read_text(result, is_tls=False)
        return dns_failed(told, asked) if told else None

    async def count_probes(self) -> tuple[ProbeCount, ...]:
        """Count the probes of the country by network, of the kind of network that is asked for."""
        answer = await self._api.ask("GET", "/v1/probes")
        if answer.status != 200:
            raise VantageError(f"{self._name}: the list of probes was answered with {answer.status}")
        tag = _TAGS.get(self._options.network)
        found = Counter(
            one.location.asn or 0
            for one in self._api.read(answer, list[_Standing])[:_PROBES_COUNTED]
            if one.location.country == self._options.country
            and (tag is None or tag in one.tags)
            and self._options.asn in {None, one.location.asn}
        )
        return tuple(
            ProbeCount(country=self._options.country, asn=asn, probes=probes) for asn, probes in sorted(found.items())
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._api.close()

    async def _ping(self, probe: Probe, visit: Visit, limits: Limits, seconds: float) -> TcpObservation | Told | None:
        """Return the connection, or how opening it failed; None if the text is not understood.

        A ping that nothing answers may have been refused: that is told by the text of a request.
        """
        options = {"protocol": "TCP", "port": visit.port, "packets": _PACKETS}
        _, result = await self._test(
            _Measurement[PingResult],
            "ping",
            visit.address,
            options,
            probe=probe,
            timeout_seconds=limits.tcp_seconds,
            seconds=seconds,
        )
        if result.status != "finished":
            return read_text(result, is_tls=False)
        if result.stats.rcv > 0:
            return connected(visit, result.stats.min)
        return Told(Step.TCP, Failure.GENERIC_TIMEOUT_ERROR)

    async def _request(
        self, probe: Probe | None, visit: Visit, limits: Limits, seconds: float
    ) -> tuple[Told | None, Probe, Seen]:
        """Return what the text of a failure tells, or what was seen; neither if the text is not understood."""
        path, _, query = visit.url.parsed.raw_path.decode("ascii").partition("?")
        method = "GET" if visit.until == "http" else "HEAD"
        request = {"method": method, "path": path or "/", "query": query}
        options: dict[str, Any] = {"request": request, "protocol": "HTTPS" if visit.is_tls else "HTTP"}
        options["port"] = visit.port
        if not visit.address:
            options["ipVersion"] = 4
        elif name := _name_for(visit):
            request["host"] = name  # Host header and server name alike
        timeout = max(limits.tcp_seconds, limits.tls_seconds, limits.http_seconds)
        probe, result = await self._test(
            _Measurement[HttpResult], "http", visit.address or visit.url.host, options,
            probe=probe, timeout_seconds=timeout, seconds=seconds,
        )  # fmt: skip
        if result.status == "finished":
            try:
                return None, probe, finished_visit(result, visit)
            except ValueError as error:
                raise VantageError(f"{self._name}: the result is not in the agreed form") from error
        told = read_text(result, is_tls=visit.is_tls)
        if told is None:
            words = without_addresses(printable(result.raw_output or "", 200))
            log.info("a text of a probe is not understood", extra={"vantage": self._name, "text": words})
        return told, probe, Seen()

    async def _test(
        self, form: type[_Measurement[_Result]], kind: str, target: str, options: dict[str, Any], *,
        probe: Probe | None, timeout_seconds: float, seconds: float,
    ) -> tuple[Probe, _Result]:  # fmt: skip
        """Have a test made and wait for its result; raises VantageError unless the probe itself says how it went."""
        timeout = min(_MOST_TIMEOUT, max(_LEAST_TIMEOUT, math.ceil(timeout_seconds)))
        body: dict[str, Any] = {
            "type": kind,
            "target": target,
            "timeout": timeout,
            "inProgressUpdates": False,
            "measurementOptions": options,
            **(self._place() if probe is None else {"locations": probe.key}),
        }
        end = self._clock.monotonic() + min(seconds, timeout + WAIT_SECONDS)
        created = await self._create(body, end - self._clock.monotonic())
        measurement = await self._finished(created, form, end)
        if len(measurement.results) != 1:
            raise VantageError(f"{self._name}: {len(measurement.results)} results came where one was asked for")
        item = measurement.results[0]
        if item.result.status == "offline":
            raise ProbeGoneError(f"{self._name}: the probe went offline")
        if item.result.status not in {"finished", "failed"}:
            raise ProbeFaultError(f"{self._name}: the probe did not finish in time")
        if item.result.failure_source == "internal":
            raise ProbeFaultError(f"{self._name}: the probe failed by its own fault")
        return probe or Probe(key=created, network=_network(item.probe)), item.result

    def _place(self) -> dict[str, Any]:
        place: dict[str, Any] = {"country": self._options.country}
        if tag := _TAGS.get(self._options.network):
            place["tags"] = [tag]
        if self._options.asn is not None:
            place["asn"] = self._options.asn
        return {"limit": 1, "locations": [place]}

    async def _create(self, body: dict[str, Any], seconds: float) -> str:
        self.budget.take(1)
        answer = await self._api.ask("POST", "/v1/measurements", json=body, seconds=max(0.0, seconds))
        self._hear_limits(answer)
        match answer.status:
            case 202:
                created = self._api.read(answer, _Created).id
                if not _ID.fullmatch(created):
                    raise VantageError(f"{self._name}: the answer is not in the agreed form")
                return created
            case 422:
                raise ProbeGoneError(f"{self._name}: the service has no such probe now")
            case 429:
                self.budget.told(0, _reset_seconds(answer))
                raise VantageError(f"{self._name}: the service's quota is used up", Reason.QUOTA_EXHAUSTED)
            case status:
                raise VantageError(f"{self._name}: the service answered {status}")

    def _hear_limits(self, answer: Answer) -> None:
        remaining, reset = answer.number("x-ratelimit-remaining"), answer.number("x-ratelimit-reset")
        if remaining is not None and reset is not None:
            self.budget.told(remaining, reset)

    async def _finished(self, created: str, form: type[_Form], end: float) -> _Form:
        """Read until it is no longer in progress: at most about twice a second, whole answers only when changed."""
        etag = ""
        while (left := end - self._clock.monotonic() - POLL_SECONDS) > 0:
            await asyncio.sleep(POLL_SECONDS)
            headers = {"If-None-Match": etag} if etag else {}
            answer = await self._api.ask("GET", f"/v1/measurements/{created}", headers=headers, seconds=left)
            if answer.status == 429:
                await asyncio.sleep(min(left, _LONGEST_PAUSE, float(answer.number("retry-after") or _LONGEST_PAUSE)))
            elif answer.status == 200:
                if self._api.read(answer, _Progress).status != "in-progress":
                    return self._api.read(answer, form)
                etag = answer.headers.get("etag", "")
            elif answer.status != 304:
                raise VantageError(f"{self._name}: a result was answered with {answer.status}")
        raise VantageError(f"{self._name}: no result came in time")


def _name_for(visit: Visit) -> str | None:
    """Return the name to ask an address for; a literal address is none."""
    name = visit.server_name if visit.is_tls else visit.host
    if name is None or is_address(name) or name.startswith("["):
        return None
    name = name.partition(":")[0]
    return None if is_address(name) else name


def _reset_seconds(answer: Answer) -> int:
    return answer.number("x-ratelimit-reset") or answer.number("retry-after") or _PAUSE_SECONDS


def _network(place: Location) -> NetworkIdentity:
    country = place.country if place.country and re.fullmatch("[A-Z]{2}", place.country) else None
    asn = place.asn if place.asn and 0 < place.asn <= _LARGEST_ASN else None
    return NetworkIdentity(asn=asn, name=printable(place.network or "", 64) or None, country=country)
