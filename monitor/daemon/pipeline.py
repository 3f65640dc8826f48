"""One round of one target at one vantage: read, decide, write.

    sanity check ─▶ measurement ─▶ unexpected? ─no──────────────────────────▶ verdict ─▶ detector ─▶ one transaction
                                        └yes─▶ fresh control ─▶ follow-ups, stage by stage ─┘

What is unexpected, which follow-ups to run and what it all means is decided by pure functions of `classify` and
`detect`; this module only carries facts between them and the world.
"""

import asyncio
import logging
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol
from urllib.parse import urlsplit
from weakref import WeakValueDictionary

import msgspec

from monitor.classify.context import Context
from monitor.classify.expected import is_unexpected
from monitor.classify.facts import Facts
from monitor.classify.follow_ups import FollowUpSettings, Stranger, control_checks, follow_ups, residual_looks
from monitor.classify.redraw import circumstances
from monitor.classify.verdict import verdict_on
from monitor.config.schema import CONTROL_SITES_PLATFORM
from monitor.daemon.memory import Memory, Series, country_of
from monitor.daemon.sanity_book import SanityBook
from monitor.detect.cusum import changed_layer, is_failing, step
from monitor.detect.incidents import QUORUM, Applied, Setting, apply, failed_again
from monitor.detect.reprobe import REPROBES, ReprobeSettings, next_look
from monitor.model.address import is_address
from monitor.model.fingerprint import Fingerprint
from monitor.model.measurement import FollowUp, Limits, Measurement, Recording, Request
from monitor.model.observation import DnsObservation, Purpose, ThroughputObservation, TlsObservation
from monitor.model.outcome import Member, Outcome
from monitor.model.place import Place
from monitor.model.seams import Clock, Vantage, VantageError
from monitor.model.target import QuicUse, Target
from monitor.model.vantage import Role, VantageCheck, VantageState
from monitor.model.verdict import Reason, Transition, Verdict
from monitor.network.asn_table import AsnTable
from monitor.network.web_url import web_url

log = logging.getLogger("monitor.run")

# Routine and deep run together, their controls included, end within a minute.
ROUND_SECONDS = 60.0
UNRELATED_SECONDS = 3600.0
# Some boxes punish the pair of addresses for minutes after a hit; a harmless name is looked at again when they forgot.
RESIDUAL_SECONDS = 180.0
MAX_RESIDUAL_ROUNDS = 50  # waiting at the same time
# What a deep run leaves of the minute for its verdict.
LAST_SECONDS = 1.0
# How long a round waits, from its start, for a control that hangs.
CONTROL_SECONDS = 15.0
FRESH_CONTROL_SECONDS = 5.0  # how old a control may be for a look on suspicion


@dataclass(frozen=True)
class Settings:
    """What rounds need of the configuration; replaced as a whole by a reload."""

    request: Request  # for every target alike: bounds, agents, exceptions
    resolvers: Mapping[str, tuple[str, ...]]  # by vantage
    follow_ups: FollowUpSettings | None  # None: deep runs are switched off
    unrelated_host: str  # resolved when first needed
    quic_reference: tuple[str, int] | None  # host and port, resolved when first needed
    transfer_reference: str | None  # URL; None: no transfers
    daily_transfer_bytes: int
    deep_limits: Limits
    isolation_seconds: float
    host_concurrency: int
    asn_table: AsnTable | None = None
    fingerprints: tuple[Fingerprint, ...] = ()
    reprobes: ReprobeSettings = REPROBES
    quorum: int = QUORUM
    asks_controls_routinely: bool = True  # False: only where something unexpected was seen


class Controls(Protocol):
    """Control measurements, taken here or asked for elsewhere; times are those of `Clock.boottime`."""

    def __bool__(self) -> bool:
        """Tell whether there is any control at all."""
        ...

    def known(self, target: Target, since: float) -> tuple[Measurement, ...]:
        """Return those at hand that began at `since` or later."""
        ...

    async def fresh(self, request: Request, since: float) -> tuple[Measurement, ...]:
        """Return one from each usable control that began at `since` or later."""
        ...

    async def extended(self, request: Request, checks: tuple[FollowUp, ...], since: float) -> tuple[Measurement, ...]:
        """Return fresh ones, and beside each what the control found at the test vantage's own endpoints."""
        ...


class Look(StrEnum):
    """Why a round is made."""

    SCHEDULED = "scheduled"
    SUSPICION = "suspicion"  # a round failed: with short deadlines, and the control asked again
    CLEARING = "clearing"  # reachable again, not confirmed


@dataclass
class Round:
    """A round under way: what was recorded, what it is judged by, and which controls that rests on."""

    recording: Recording
    context: Context
    control_ids: tuple[int, ...] = ()
    began: float = 0.0  # monotonic; the minute of the whole counts from here
    # On the clock that counts suspension, when the first look was over: a control that began before explains a failure
    # but does not decide. Asked just before an outage, it would make the outage look like a block.
    controls_since: float = 0.0

    @property
    def is_ready(self) -> bool:
        """Whether the vantage was fit for use when the round began; without that no follow-up says anything."""
        context = self.context
        return context.fault is None and context.state_before is VantageState.ONLINE


class Pipeline:
    """Carries out rounds. `record` takes every outcome, in the order in which they must be stored."""

    def __init__(
        self,
        *,
        settings: Settings,
        clock: Clock,
        sanity: SanityBook,
        controls: Controls,
        memory: Memory,
        record: Callable[[Outcome], None],
        deep_slots: asyncio.Semaphore,
        nothing_seen: Callable[[Target, Vantage], Measurement],
        round_seconds: float = ROUND_SECONDS,
        residual_seconds: float = RESIDUAL_SECONDS,
    ) -> None:
        self._round_seconds = round_seconds
        self._settings = settings
        self._residual_seconds = residual_seconds
        self._clock = clock
        self._sanity = sanity
        self._controls = controls
        self._memory = memory
        self._record = record
        self._deep_slots = deep_slots
        self._nothing_seen = nothing_seen
        self._host_slots: WeakValueDictionary[tuple[str, str], asyncio.Semaphore] = WeakValueDictionary()
        self._strangers: dict[tuple[str, str], tuple[float, str]] = {}  # by vantage and host: when found, address
        self._transferred: dict[str, tuple[int, int]] = {}  # by vantage: a UTC day, bytes moved on it
        self._waiting: dict[tuple[str, str], asyncio.Task[None]] = {}  # residual rounds by target and vantage
        self._is_closed = False
        self._kept: Collection[Series] | None = None  # of a closed one: those whose rounds still count

    def request(self, target: Target, vantage: Vantage) -> Request:
        """Return the routine request for a target at a vantage."""
        resolvers = self._settings.resolvers.get(vantage.info.name, ("system",))
        return msgspec.structs.replace(self._settings.request, target=target, resolvers=resolvers)

    async def round(
        self,
        target: Target,
        vantage: Vantage,
        interval_seconds: float,
        *,
        deep: bool = False,
        in_series: bool = True,
        look: Look = Look.SCHEDULED,
    ) -> Outcome:
        """Measure, conclude and hand over one round. Only our own mistakes raise.

        Outside the series (`in_series` false: somebody asked once) the detector hears nothing of it.
        """
        async with self._host_slot(target, vantage):
            if look is not Look.SCHEDULED:
                self._memory.looked((target.name, vantage.info.name), self._clock.now())
            run = await self._first_look(target, vantage, interval_seconds, look)
            return await self._round(run, target, vantage, interval_seconds, deep=deep, in_series=in_series)

    async def _first_look(self, target: Target, vantage: Vantage, interval_seconds: float, look: Look) -> Round:
        if look is not Look.SUSPICION:
            return await self._look(target, vantage, interval_seconds)
        # What failed at both ends a moment ago may have passed: the control is asked again, too.
        return await self._look(target, vantage, FRESH_CONTROL_SECONDS, hastened(self._settings.request.limits))

    async def _round(
        self, run: Round, target: Target, vantage: Vantage, interval_seconds: float, *, deep: bool, in_series: bool
    ) -> Outcome:
        facts = Facts(run.recording.measurement, run.context)
        if deep or facts.symptom:
            unexpected = is_unexpected(run.recording.measurement, run.context)
            # A name that leads to a new address every minute would be isolated anew every time; what failed is tried
            # again even so, since a single look tells no block from a lost packet.
            series, now = (target.name, vantage.info.name), self._clock.now()
            may_deepen = deep or self._memory.may_deepen(series, now)
            if run.is_ready and (deep or unexpected):
                if may_deepen:
                    self._memory.deepened(series, now)
                # A line that was cut for half a minute is well again when the deep run ends.
                at_failure = asyncio.ensure_future(self._sanity.since(vantage, self._clock.boottime()))
                try:
                    await self._deepen(run, self.request(target, vantage), vantage, is_whole=may_deepen)
                except BaseException:
                    at_failure.cancel()
                    raise
                self._take_check(run, await at_failure)
                if in_series and may_deepen:
                    self._look_later(run, target, vantage, interval_seconds)
            elif run.is_ready:
                # The isolation of an earlier round stands; whose the addresses are, the control is asked in every one.
                await self._ask_controls(run, self.request(target, vantage))
            await self._check_afterwards(run, vantage)
            facts = Facts(run.recording.measurement, run.context)
        outcome = self._concluded(run, facts, target, vantage, interval_seconds, in_series=in_series)
        self._record(outcome)
        return outcome

    def judge(
        self,
        recording: Recording,
        target: Target,
        vantage: Vantage,
        interval_seconds: float,
        *,
        controls: tuple[Measurement, ...],
        state_before: VantageState | None,
        state_after: VantageState | None,
        fault: Reason | None,
        in_series: bool,
    ) -> Outcome:
        """Conclude on a round that was measured elsewhere, as on one of ours; the caller has the outcome stored.

        The controls are stored already, and one of each is what the whole round is compared with.
        """
        context = self._context(
            recording, target=target, vantage=vantage, controls=controls, before=state_before, fault=fault
        )
        # A deep run is its own isolation.
        isolation = None if recording.measurement.is_deep else context.isolation
        run = Round(recording, msgspec.structs.replace(context, state_after=state_after, isolation=isolation))
        self._take_controls(run, controls)
        facts = Facts(recording.measurement, run.context)
        return self._concluded(run, facts, target, vantage, interval_seconds, in_series=in_series)

    def _concluded(
        self, run: Round, facts: Facts, target: Target, vantage: Vantage, interval_seconds: float, *, in_series: bool
    ) -> Outcome:
        outcome = self._outcome(run, facts)
        if in_series and (self._kept is None or (target.name, vantage.info.name) in self._kept):
            outcome = self._detected(outcome, target, vantage, interval_seconds)
        else:
            outcome = msgspec.structs.replace(outcome, is_aside=True)
        self._memory.learn(outcome)
        return outcome

    async def glance(self, target: Target, vantage: Vantage, timeout_seconds: float) -> Outcome:
        """Measure once, routine only, and conclude; nothing is stored or remembered (`/probe`)."""
        bounds = self._settings.request.limits
        limits = msgspec.structs.replace(bounds, total_seconds=min(bounds.total_seconds, timeout_seconds))
        run = await self._look(target, vantage, 600.0, limits, in_haste=True)
        return self._outcome(run, Facts(run.recording.measurement, run.context))

    def give_up(self, target: Target, vantage: Vantage) -> None:
        """Record that a round failed by a mistake of ours: inconclusive, and never evidence."""
        recording = Recording(measurement=self._nothing_seen(target, vantage))
        context = self._context(
            recording, target=target, vantage=vantage, controls=(), before=None, fault=Reason.INTERNAL_ERROR
        )
        self._record(self._outcome(Round(recording, context), Facts(recording.measurement, context)))

    def _numbers(self, *measurements: Measurement) -> dict[str, int]:
        """Return the AS numbers of the addresses that names led to, as far as the file knows them."""
        table = self._settings.asn_table
        if table is None:
            return {}
        addresses = {
            address
            for measurement in measurements
            for one in measurement.observations
            if isinstance(one, DnsObservation)
            for address in one.addresses
        }
        return {address: number for address in addresses if (number := table.number(address)) is not None}

    def _served_from(self, measurement: Measurement) -> tuple[Place, ...]:
        """Return where the servers are that proved with a trusted certificate to be the target's own.

        An address that a resolver merely tells may be a lie, and would look like a platform that moved its servers.
        """
        table = self._settings.asn_table
        if table is None:
            return ()
        proved = {
            one.address
            for one in measurement.observations
            if isinstance(one, TlsObservation) and one.purpose is Purpose.PATH and one.hop == 0 and one.verified
        }
        return tuple(sorted({place for address in proved if (place := table.place(address)) is not None}))

    def _host_slot(self, target: Target, vantage: Vantage) -> asyncio.Semaphore:
        """Return what bounds the measurements of one host from one vantage; it lives as long as somebody waits."""
        key = (vantage.info.name, urlsplit(target.url).hostname or "")
        slot = self._host_slots.get(key)
        if slot is None:
            slot = self._host_slots[key] = asyncio.Semaphore(self._settings.host_concurrency)
        return slot

    async def _look(
        self,
        target: Target,
        vantage: Vantage,
        control_age_seconds: float,
        limits: Limits | None = None,
        *,
        in_haste: bool = False,
    ) -> Round:
        # Somebody who scrapes has no time for a new check where there is an old one.
        before = (self._sanity.latest(vantage.info.name) if in_haste else None) or await self._sanity.recent(vantage)
        request = self.request(target, vantage)
        control_seconds = min(CONTROL_SECONDS, limits.total_seconds) if limits else CONTROL_SECONDS
        began = self._clock.monotonic()
        oldest = self._clock.boottime() - control_age_seconds
        asking = asyncio.ensure_future(self._control(request, oldest))
        fault: Reason | None = None
        try:
            recording = await vantage.measure(msgspec.structs.replace(request, limits=limits or request.limits))
        except VantageError as error:
            fault = Reason(error.reason)
            recording = Recording(measurement=self._nothing_seen(target, vantage))
        except BaseException:
            asking.cancel()
            raise
        ended = self._clock.boottime()
        # A control that hangs delays a round by so much at most; its answer serves the next one.
        await asyncio.wait([asking], timeout=max(0.0, control_seconds - (self._clock.monotonic() - began)))
        controls = asking.result() if asking.done() else self._controls.known(target, oldest)
        context = self._context(
            recording, target=target, vantage=vantage, controls=controls, before=before.state, fault=fault
        )
        return Round(recording, context, ids_of(controls), began, ended)

    async def _control(self, request: Request, since: float) -> tuple[Measurement, ...]:
        """Return the controls of a target; a control site is itself what the line is compared with."""
        if request.target.platform == CONTROL_SITES_PLATFORM or not self._settings.asks_controls_routinely:
            return ()
        return await self._controls.fresh(request, since)

    def _context(
        self,
        recording: Recording,
        *,
        target: Target,
        vantage: Vantage,
        controls: tuple[Measurement, ...],
        before: VantageState | None,
        fault: Reason | None,
    ) -> Context:
        series = (target.name, vantage.info.name)
        follow_ups = self._settings.follow_ups
        return Context(
            expectation=target.expectation,
            state_before=before,
            # As if the line stayed as it was, until it is checked again: see `_check_afterwards`.
            state_after=before,
            controls=merged(controls),
            has_control_vantage=bool(self._controls),
            isolation=self._memory.isolation(series, recording.measurement, self._settings.isolation_seconds),
            known_addresses=frozenset(self._memory.addresses.get(target.name, ())),
            allowed_bogons=self._settings.request.allowed_bogons,
            fingerprints=self._settings.fingerprints,
            bodies=bodies_of(recording),
            asn_of=self._numbers(recording.measurement, *controls),
            country=_claimed_or_seen(vantage, recording.measurement),
            harmless_name=follow_ups.harmless_name if follow_ups else "",
            measures_throughput=self._settings.transfer_reference is not None
            and follow_ups is not None
            and not vantage.info.is_service,
            has_retries=follow_ups is not None and follow_ups.retries > 1,
            usual_http_seconds=self._memory.usual_http_seconds(series),
            fault=fault,
        )

    async def _deepen(self, run: Round, request: Request, vantage: Vantage, *, is_whole: bool) -> None:
        """Gather fresh controls and follow-ups until the questions are answered or the time is up.

        One that is not whole only tries again what failed, and is no deep run.
        The wait for a slot counts too: a minute after the round began it is over, whatever was seen.
        """
        deep_request = msgspec.structs.replace(request, limits=self._settings.deep_limits)
        are_asked = False
        try:
            async with asyncio.timeout(self._left(run)), self._deep_slots:
                _, settings = await asyncio.gather(
                    self._ask_controls(run, deep_request), self._follow_up_settings(deep_request, vantage)
                )
                are_asked = True
                settings = settings and msgspec.structs.replace(settings, is_whole=is_whole)
                while settings and (wanted := follow_ups(run.recording.measurement, run.context, settings)):
                    limits = msgspec.structs.replace(
                        deep_request.limits, total_seconds=max(0.0, self._left(run) - LAST_SECONDS)
                    )
                    asked = msgspec.structs.replace(deep_request, follow_ups=wanted, limits=limits)
                    answer = await vantage.measure(asked)
                    if not answer.measurement.observations:
                        break  # a vantage that cannot look this way would be asked for ever
                    self._count_transfers(answer, vantage)
                    run.recording = joined(run.recording, answer, is_deep=is_whole)
                    run.context = msgspec.structs.replace(
                        run.context,
                        bodies=bodies_of(run.recording),
                        asn_of=self._numbers(run.recording.measurement, *run.context.controls),
                    )
                    settings = self._within_budget(settings, vantage)
        except (TimeoutError, VantageError) as error:
            # What was seen so far stands; a rule that needs more than was seen does not fire.
            log.info("deep run ended early", extra={"target": request.target.name, "why": type(error).__name__})
        if not are_asked:
            # What a control saw before the round explained what was seen here; it decides nothing.
            self._take_controls(run, self._controls.known(request.target, run.controls_since))
        # The run is its own isolation now.
        run.context = msgspec.structs.replace(run.context, isolation=None)

    def _left(self, run: Round) -> float:
        """Return what is left of the minute of a round."""
        return max(0.0, self._round_seconds - (self._clock.monotonic() - run.began))

    async def _ask_controls(self, run: Round, request: Request) -> None:
        """Have the controls measure anew, and try the addresses that this round was led to; none is waited for long.

        What they found before the failure here speaks for before it: a platform that went down in between would look
        blocked. After this the failed steps are tried again, so a control's success lies between two failures here.
        """
        is_slow = run.context.measures_throughput and Facts(run.recording.measurement, run.context).is_slow
        checks = control_checks(
            run.recording.measurement,
            request.allowed_bogons,
            http3=request.target.quic is not QuicUse.OFF,
            transfer=is_slow,
        )
        try:
            async with asyncio.timeout(CONTROL_SECONDS):
                fresh = await self._controls.extended(request, checks, run.controls_since)
        except TimeoutError:
            fresh = self._controls.known(request.target, run.controls_since)
        self._take_controls(run, fresh)

    def _take_controls(self, run: Round, controls: tuple[Measurement, ...]) -> None:
        """Have the round judged by these controls, and know the networks of what they and the isolating run met."""
        isolation = (run.context.isolation,) if run.context.isolation else ()
        run.context = msgspec.structs.replace(
            run.context,
            controls=merged(controls),
            asn_of=self._numbers(run.recording.measurement, *controls, *isolation),
        )
        run.control_ids = ids_of(controls)

    async def _follow_up_settings(self, request: Request, vantage: Vantage) -> FollowUpSettings | None:
        """Return the settings with the addresses of the hosts that a deep run compares with."""
        settings = self._settings.follow_ups
        if settings is None:
            return None
        is_direct = not (vantage.info.is_tunnel or vantage.info.is_service)
        http3 = request.target.quic is not QuicUse.OFF and is_direct
        resolvers = settings.resolvers
        if vantage.info.is_tunnel:
            resolvers = tuple(one for one in resolvers if not one.startswith("udp://"))
        quic = self._settings.quic_reference or (self._settings.unrelated_host, settings.unrelated_port)
        unrelated, quic_address, transfer_reference = await asyncio.gather(
            self._stranger(self._settings.unrelated_host, request, vantage),
            self._stranger(quic[0] if http3 else "", request, vantage),
            self._transfer_reference(request, vantage),
        )
        return self._within_budget(
            msgspec.structs.replace(
                settings,
                resolvers=resolvers,
                unrelated_address=unrelated,
                http3=http3,
                quic_reference=Stranger(host=quic[0], address=quic_address, port=quic[1]) if quic_address else None,
                transfer_reference=transfer_reference,
            ),
            vantage,
        )

    async def _transfer_reference(self, request: Request, vantage: Vantage) -> Stranger | None:
        """Return the innocuous file with an address of its host; None: no transfers, or the host is not found."""
        if self._settings.transfer_reference is None:
            return None
        url = web_url(self._settings.transfer_reference)
        address = await self._stranger(url.host, request, vantage)
        return Stranger(host=url.authority, address=address, port=url.port, url=url.text) if address else None

    async def _stranger(self, host: str, request: Request, vantage: Vantage) -> str:
        """Return an address of a host that a deep run compares with, as encrypted and other resolvers tell it.

        Empty for no host, and where nobody tells.
        """
        settings = self._settings.follow_ups
        if settings is None or not host or is_address(host):
            return host
        key = (vantage.info.name, host)
        found_at, address = self._strangers.get(key, (-UNRELATED_SECONDS, ""))
        if self._clock.monotonic() - found_at >= UNRELATED_SECONDS:
            lookups = tuple(
                FollowUp(purpose=Purpose.OTHER_RESOLVER, until="dns", host=host, resolver=resolver)
                for resolver in reversed((*request.resolvers, *settings.resolvers))
            )
            answer = await vantage.measure(msgspec.structs.replace(request, follow_ups=lookups))
            answers = [one for one in answer.measurement.observations if isinstance(one, DnsObservation)]
            address = next((one.addresses[0] for one in answers if one.addresses), "")
            if address:
                self._strangers[key] = self._clock.monotonic(), address
        return address

    def _within_budget(self, settings: FollowUpSettings, vantage: Vantage) -> FollowUpSettings:
        """Return the settings without transfers once the day's megabytes are used up."""
        day, moved = self._transferred.get(vantage.info.name, (None, 0))
        if day == self._clock.now().toordinal() and moved >= self._settings.daily_transfer_bytes:
            return msgspec.structs.replace(settings, transfer_reference=None)
        return settings

    def _count_transfers(self, answer: Recording, vantage: Vantage) -> None:
        moved = sum(
            one.bytes_received for one in answer.measurement.observations if isinstance(one, ThroughputObservation)
        )
        today = self._clock.now().toordinal()
        day, before = self._transferred.get(vantage.info.name, (today, 0))
        self._transferred[vantage.info.name] = today, moved + (before if day == today else 0)

    def _look_later(self, run: Round, target: Target, vantage: Vantage, interval_seconds: float) -> None:
        """Have a round wait for what may be residual blocking to pass; one for each series, so many in all."""
        series = (target.name, vantage.info.name)
        is_full = series in self._waiting or len(self._waiting) >= MAX_RESIDUAL_ROUNDS
        if self._settings.follow_ups is None or self._is_closed or is_full:
            return
        looks = residual_looks(run.recording.measurement, run.context, self._settings.follow_ups)
        if looks:
            waiting = asyncio.create_task(self._residual_round(target, vantage, interval_seconds, looks))
            self._waiting[series] = waiting
            waiting.add_done_callback(lambda task: self._waited(series, task))

    def _waited(self, series: tuple[str, str], task: asyncio.Task[None]) -> None:
        self._waiting.pop(series, None)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a residual round failed", exc_info=error, extra={"target": series[0], "vantage": series[1]})

    async def _residual_round(
        self, target: Target, vantage: Vantage, interval_seconds: float, looks: tuple[FollowUp, ...]
    ) -> None:
        """Look at the harmless name first, from a new source port, then make a deep round of its own.

        It is stored like any other and stands for the rounds after it; the detector hears nothing of it, since it does
        not come on the beat.
        """
        await asyncio.sleep(self._residual_seconds)
        async with self._host_slot(target, vantage):
            asked = msgspec.structs.replace(self.request(target, vantage), follow_ups=looks)
            try:
                first = await vantage.measure(asked)
            except VantageError as error:
                log.info("a residual round gave nothing", extra={"target": target.name, "why": str(error)})
                return
            run = await self._look(target, vantage, interval_seconds)
            run.recording = joined(first, run.recording)
            run.context = msgspec.structs.replace(run.context, isolation=None, bodies=bodies_of(run.recording))
            await self._round(run, target, vantage, interval_seconds, deep=True, in_series=False)

    async def close(self, kept: Collection[Series] | None = None) -> None:
        """Give up the rounds that still wait; a round under way goes on, and leaves none behind.

        If its target and vantage are not among the `kept` (None: all are) it is set aside: what it measured is no
        longer measured so, and no later round would end an incident that it opened.
        """
        self._is_closed = True
        self._kept = kept
        waiting = tuple(self._waiting.values())
        for each in waiting:
            each.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)

    async def _check_afterwards(self, run: Round, vantage: Vantage) -> None:
        """Check the line again; a clean round needs no such check, since it proved the line itself."""
        if run.is_ready and run.context.state_after is VantageState.ONLINE:
            self._take_check(run, await self._sanity.since(vantage, self._clock.boottime()))

    @staticmethod
    def _take_check(run: Round, check: VantageCheck) -> None:
        fault = Reason(check.reason) if check.reason else run.context.fault
        run.context = msgspec.structs.replace(run.context, state_after=check.state, fault=fault)

    def _outcome(self, run: Round, facts: Facts) -> Outcome:
        context = run.context
        return Outcome(
            recording=run.recording,
            verdict=verdict_on(facts),
            served_from=self._served_from(run.recording.measurement),
            control_ids=run.control_ids,
            isolation_id=facts.isolation.measurement.id if facts.isolation else None,
            state_before=context.state_before,
            state_after=context.state_after,
            circumstances=circumstances(run.recording.measurement, context),
        )

    def _detected(self, outcome: Outcome, target: Target, vantage: Vantage, interval_seconds: float) -> Outcome:
        """Return the outcome with what the detector makes of it, and what that does to an incident."""
        measurement, verdict = outcome.recording.measurement, outcome.verdict
        if verdict is None:
            return outcome
        at = measurement.started_at
        series = (target.name, vantage.info.name)
        before = self._memory.detector(series, measurement.network)
        after, transition = step(before, verdict, measurement, at)
        applied = None
        if target.platform != CONTROL_SITES_PLATFORM:
            setting = self._setting(target, vantage, measurement, is_kept=is_failing(verdict, measurement) is not None)
            applied = self._applied(
                transition, verdict, measurement, setting, is_other_layer=changed_layer(before, after)
            )
        return msgspec.structs.replace(
            outcome,
            detector=after,
            transition=transition,
            incident=applied and applied.incident,
            updates=applied.updates if applied else (),
            look_again_seconds=next_look(
                before,
                after,
                self._memory.looks.get(series, ()),
                at,
                interval_seconds=interval_seconds,
                settings=self._settings.reprobes,
                elapsed_seconds=measurement.elapsed_seconds,
            ),
        )

    def _applied(
        self,
        transition: Transition | None,
        verdict: Verdict,
        measurement: Measurement,
        setting: Setting,
        *,
        is_other_layer: bool,
    ) -> Applied | None:
        known = self._memory.incidents.get((setting.platform, setting.country))
        if transition is not None:
            return apply(known, transition, verdict, setting, taken=self._memory.incident_ids)
        if known is None:
            return None
        member = Member(measurement.target, measurement.vantage, measurement.network.asn or 0)
        return failed_again(known, member, verdict, setting, measurement.started_at, is_other_layer=is_other_layer)

    def _setting(self, target: Target, vantage: Vantage, measurement: Measurement, *, is_kept: bool) -> Setting:
        key = (target.platform, country_of(vantage.info, measurement.network))
        is_test = vantage.info.role is Role.TEST
        if is_test and is_kept:
            measured = self._memory.saw_network(key, measurement.network, measurement.started_at)
        else:
            measured = self._memory.measured_networks(key)
        return Setting(
            *key,
            network=measurement.network.name,
            measured_networks=measured,
            measurement_id=measurement.id,
            is_test=is_test,
            quorum=self._settings.quorum,
        )


def hastened(limits: Limits) -> Limits:
    """Return the deadlines of a look on suspicion: half, but long enough for a slow line that is not blocked."""
    steps = ("tcp_seconds", "tls_seconds", "http_seconds")
    shorter = {step: min(getattr(limits, step), max(5.0, getattr(limits, step) / 2)) for step in steps}
    total = min(limits.total_seconds, max(15.0, limits.total_seconds / 2))
    return msgspec.structs.replace(limits, **shorter, total_seconds=total)


def _claimed_or_seen(vantage: Vantage, measurement: Measurement) -> str | None:
    """Return the country whose block pages are expected: of a tunnel where its exit is seen, else as claimed."""
    return vantage.info.country_on(measurement.network) if vantage.info.is_tunnel else vantage.info.country


def ids_of(measurements: tuple[Measurement, ...]) -> tuple[int, ...]:
    """Return the ids of measurements."""
    return tuple(one.id for one in measurements)


def bodies_of(recording: Recording) -> dict[str, bytes]:
    """Return the stored responses of a recording by digest."""
    return {one.sha256: one.content for one in recording.evidence if one.kind == "http_response"}


def merged(controls: tuple[Measurement, ...]) -> tuple[Measurement, ...]:
    """Return one measurement for each control vantage: its own way and what else it tried, in order of time."""
    by_vantage: dict[str, Measurement] = {}
    for one in controls:
        first = by_vantage.get(one.vantage)
        by_vantage[one.vantage] = one if first is None else _joined(first, one, 0.0)
    return tuple(by_vantage.values())


def joined(recording: Recording, follow_up: Recording, *, is_deep: bool = True) -> Recording:
    """Return the recording with the observations and evidence of a follow-up added: one measurement."""
    first = recording.measurement
    measurement = _joined(first, follow_up.measurement, first.elapsed_seconds)
    return Recording(
        measurement=msgspec.structs.replace(measurement, is_deep=is_deep),
        evidence=(*recording.evidence, *follow_up.evidence),
    )


def _joined(first: Measurement, later: Measurement, least_seconds: float) -> Measurement:
    """Join two; the later began so long after the first at least, whatever a clock says that was set back meanwhile."""
    offset = max(least_seconds, (later.started_at - first.started_at).total_seconds())
    moved = tuple(
        msgspec.structs.replace(one, started_seconds=round(one.started_seconds + offset, 6))
        for one in later.observations
    )
    return msgspec.structs.replace(
        first,
        observations=(*first.observations, *moved),
        elapsed_seconds=round(offset + later.elapsed_seconds, 6),
        interrupted=first.interrupted or later.interrupted,
    )
