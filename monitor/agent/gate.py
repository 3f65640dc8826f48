"""The agent's own vantage, behind everything that the owner and good manners ask for."""

from collections import OrderedDict, deque
from collections.abc import Callable, Iterable
from typing import Final
from urllib.parse import urlsplit

from monitor.agent.spool import Spool
from monitor.model.measurement import Recording, Request
from monitor.model.observation import DnsObservation, Observation, TcpObservation
from monitor.model.seams import Clock, Vantage, VantageError
from monitor.model.vantage import VantageCheck
from monitor.model.verdict import Reason

# Rounded up, as in the estimate of `monitor check`: what their observations do not count.
_DNS_BYTES: Final = 300
_TCP_BYTES: Final = 400
_REMEMBERED: Final = 4096
_MINUTE_SECONDS: Final = 60.0


def moved_bytes(observations: Iterable[Observation]) -> int:
    """Return about how many bytes these observations cost, both directions."""
    total = 0
    for one in observations:
        match one:
            case DnsObservation():
                total += _DNS_BYTES
            case TcpObservation():
                total += _TCP_BYTES
            case _:
                total += getattr(one, "bytes_sent", 0) + one.bytes_received
    return total


class Budget:
    """Bytes moved on the present UTC day, kept over restarts."""

    def __init__(self, spool: Spool, clock: Clock) -> None:
        self._spool = spool
        self._clock = clock

    def spend(self, count: int) -> None:
        """Count what was moved."""
        name = self._today()
        self._spool.add(name, count)
        self._spool.forget_numbers("moved-", but=name)

    @property
    def spent_bytes(self) -> int:
        """What was moved today."""
        return self._spool.number(self._today())

    def _today(self) -> str:
        return f"moved-{self._clock.now().date().isoformat()}"


class Manners:
    """At most so many rounds of one host within a minute."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._rounds: OrderedDict[str, deque[float]] = OrderedDict()
        self.rounds_per_minute = 6

    def may_begin(self, url: str) -> bool:
        """Take a place in the present minute of a host if there is one."""
        host, now = urlsplit(url).hostname or "", self._clock.monotonic()
        times = self._rounds.setdefault(host, deque())
        self._rounds.move_to_end(host)
        if len(self._rounds) > _REMEMBERED:
            self._rounds.popitem(last=False)
        while times and now - times[0] >= _MINUTE_SECONDS:
            times.popleft()
        if len(times) >= self.rounds_per_minute:
            return False
        times.append(now)
        return True


class GatedVantage:
    """Satisfies `Vantage`: measures only while `quiet()` gives no reason against, and counts what that moves."""

    def __init__(
        self, vantage: Vantage, clock: Clock, quiet: Callable[[], str | None], spend: Callable[[int], None]
    ) -> None:
        self.info = vantage.info
        self._vantage = vantage
        self._clock = clock
        self._quiet = quiet
        self._spend = spend
        self._began: OrderedDict[int, float] = OrderedDict()

    async def measure(self, request: Request) -> Recording:
        """Measure; raises VantageError while nothing is to be measured."""
        self._refuse_if_quiet()
        began = self._clock.boottime()
        recording = await self._vantage.measure(request)
        self._began[recording.measurement.id] = began
        while len(self._began) > _REMEMBERED:
            self._began.popitem(last=False)
        self._spend(moved_bytes(recording.measurement.observations))
        return recording

    async def check(self) -> VantageCheck:
        """Check the line; raises VantageError while nothing is to be measured."""
        self._refuse_if_quiet()
        check = await self._vantage.check()
        self._spend(moved_bytes(check.observations))
        return check

    async def close(self) -> None:
        """Close what is behind the gate."""
        await self._vantage.close()

    def began(self, measurement_id: int) -> float:
        """Return when a measurement began (`Clock.boottime`), the present if it is not known."""
        return self._began.get(measurement_id, self._clock.boottime())

    def _refuse_if_quiet(self) -> None:
        if (why := self._quiet()) is not None:
            raise VantageError(f"nothing is measured: {why}", Reason.VANTAGE_UNREADY)
