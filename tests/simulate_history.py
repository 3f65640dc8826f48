"""A history that nobody measured, for reports and charts: X in Pakistan from January 2024 to June 2025, simulated.

`python -m tests.simulate_history DIR` writes DIR/probes.yaml and the database that it names. What each round saw is a
golden case of tests/classify; the detector, the incidents, the dates of changes, the rollups and the store are the
program's own, at an accelerated time. The truth follows the dates of the built-in events: blocked from the evening of
17 February 2024, another minute on each network, until 7 May 2025. Of its false endings one is real here (two networks
opened for hours on 19 February), the others are claims during which nothing changes.

Every vantage is called `simulated-…`, and every network says so in its name.
"""

import argparse
import heapq
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from monitor.config.load import load
from monitor.config.plan import plan
from monitor.config.schema import Retention
from monitor.daemon.dating import Dater
from monitor.daemon.memory import Memory, country_of
from monitor.detect.cusum import changed_layer, is_failing, step
from monitor.detect.incidents import Setting, apply, failed_again
from monitor.detect.reprobe import REPROBES, next_look
from monitor.events.load import load_events
from monitor.model.aggregation import OoniCount
from monitor.model.identifier import MeasurementIds
from monitor.model.measurement import Measurement, Recording
from monitor.model.outcome import Incident, Member, Outcome
from monitor.model.target import Target
from monitor.model.vantage import NetworkIdentity, VantageInfo, VantageState
from monitor.model.verdict import Verdict
from monitor.store.reader import Reader
from monitor.store.store import Store

if TYPE_CHECKING:
    from concurrent.futures import Future

CASES: Final = Path(__file__).parent / "classify" / "cases"
START: Final = datetime(2024, 1, 1, tzinfo=UTC)
END: Final = datetime(2025, 7, 1, tzinfo=UTC)
TOLD: Final = datetime(2026, 11, 1, tzinfo=UTC)  # the events as they were known then
INTERVAL: Final = timedelta(minutes=30)
NOISE: Final = 0.004
KEPT: Final = Retention(measurements=10**9, evidence=10**9, rollups=10**9)
_QUEUED: Final = 2000
_UPKEEP: Final = timedelta(days=7)
OPEN: Final = "reachable-https"
BY_NAME: Final = "nameless-handshake-passes"
BY_DNS: Final = "dns-bogon"
OUTAGE: Final = "server-error-everywhere"
OFFLINE: Final = "vantage-offline"
CONFIGURATION: Final = """\
# Simulated: nobody measured what the database beside this file holds. See tests/simulate_history.py.
defaults: {{interval: {minutes}m}}
storage: {{path: simulated.db}}
events: {{builtin: pakistan}}
vantages:
  simulated-ptcl: {{kind: direct, country: PK}}
  simulated-trans: {{kind: direct, country: PK}}
  simulated-fiber: {{kind: direct, country: PK}}
  simulated-cyber: {{kind: direct, country: PK}}
  simulated-berlin: {{kind: direct, country: DE}}
platforms:
  x:
    name: X
    targets: {{x-home: {{url: "https://x.com/"}}}}
  wikipedia:
    name: Wikipedia
    targets: {{wikipedia-home: {{url: "https://www.wikipedia.org/"}}}}
"""


def at(text: str) -> datetime:
    """Return an instant of UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@dataclass(frozen=True)
class Line:
    """A network as it was: from when on which case is seen, and when its vantage was not there."""

    network: NetworkIdentity
    truth: Sequence[tuple[datetime, str]]  # in order of time; before the first it is open
    absent: tuple[tuple[datetime, datetime], ...] = ()

    def case(self, moment: datetime) -> str:
        """Return what is seen at a moment."""
        return next((case for since, case in reversed(self.truth) if since <= moment), OPEN)

    def is_there(self, moment: datetime) -> bool:
        """Tell whether anything is measured at a moment."""
        return not any(start <= moment < end for start, end in self.absent)


def _network(asn: int, name: str, country: str = "PK") -> NetworkIdentity:
    return NetworkIdentity(asn=asn, name=f"{name}, simulated", country=country, resolver_asn=asn)


_OUTAGE: Final = ((at("2025-05-24T10:50"), OUTAGE), (at("2025-05-24T15:05"), OPEN))
# When the block began and ended on each network; the tests compare the onsets with these.
STARTS: Final = {
    "simulated-ptcl": at("2024-02-17T13:12"),
    "simulated-trans": at("2024-02-17T13:41"),
    "simulated-fiber": at("2024-02-17T14:27"),
    "simulated-cyber": at("2024-02-17T16:19"),
}
ENDS: Final = {
    "simulated-ptcl": at("2025-05-06T21:38"),
    "simulated-trans": at("2025-05-06T22:04"),
    "simulated-fiber": at("2025-05-06T23:33"),
    "simulated-cyber": at("2025-05-07T06:05"),
}
OPENINGS: Final = {
    "simulated-ptcl": (at("2024-02-19T05:31"), at("2024-02-19T10:48")),
    "simulated-trans": (at("2024-02-19T05:52"), at("2024-02-19T10:20")),
}


def _truth(vantage: str, first: str = BY_NAME, *moves: tuple[datetime, str]) -> tuple[tuple[datetime, str], ...]:
    opening = OPENINGS.get(vantage)
    opened = ((opening[0], OPEN), (opening[1], first)) if opening else ()
    disrupted = ((at("2024-02-10T09:04"), first), (at("2024-02-10T14:50"), OPEN))
    return (*disrupted, (STARTS[vantage], first), *opened, *moves, (ENDS[vantage], OPEN), *_OUTAGE)


LINES: Final = {
    # On PTCL resolvers lie at first; from July 2024 on the name is filtered.
    "simulated-ptcl": Line(
        _network(17557, "PTCL"), _truth("simulated-ptcl", BY_DNS, (at("2024-07-15T20:00"), BY_NAME))
    ),
    "simulated-trans": Line(_network(135407, "Trans"), _truth("simulated-trans")),
    "simulated-fiber": Line(
        _network(140499, "Fiber"),
        _truth("simulated-fiber"),
        absent=((at("2024-10-03T08:00"), at("2024-10-21T15:00")),),
    ),
    "simulated-cyber": Line(
        _network(9541, "Cyber"),
        _truth("simulated-cyber", BY_NAME, (at("2024-12-30T03:00"), OFFLINE), (at("2025-01-02T18:00"), BY_NAME)),
    ),
    "simulated-berlin": Line(_network(3320, "Berlin", "DE"), _OUTAGE),
}


class MovedClock:
    """A clock that stands where it is put (`monitor.model.seams.Clock`)."""

    def __init__(self, moment: datetime) -> None:
        self.moment = moment

    def now(self) -> datetime:
        return self.moment

    def monotonic(self) -> float:
        return time.monotonic()

    def boottime(self) -> float:
        return time.monotonic()


@cache
def seen(case: str, host: str) -> tuple[Measurement, Verdict]:
    """Return what a golden case saw and what was concluded, as if it had been about `host`."""
    folder = CASES / case
    texts = [
        (folder / name).read_text().replace("www.example.com", host) for name in ("measurement.json", "verdict.json")
    ]
    return msgspec.json.decode(texts[0], type=Measurement), msgspec.json.decode(texts[1], type=Verdict)


def _datings(start: datetime, end: datetime) -> Iterator[datetime]:
    """Yield when changes are dated: a day after each, when no later round will move the interval."""
    changes = {moment for line in LINES.values() for moment, _ in line.truth}
    changes |= {back for line in LINES.values() for _, back in line.absent}
    days = {(moment + timedelta(hours=wait)).replace(minute=0) for moment in changes for wait in (27, 39)}
    yield from sorted(day for day in days if start < day < end)


@dataclass
class History:
    """Makes rounds in the order of time and hands them to the store, as the daemon would."""

    store: Store
    clock: MovedClock
    dater: Dater
    interval: timedelta
    memory: Memory = field(default_factory=Memory)
    chance: random.Random = field(default_factory=lambda: random.Random(17))  # noqa: S311 -- the same every time
    ids: MeasurementIds = field(default_factory=MeasurementIds)
    rounds: int = 0
    written: "Future[bool] | None" = None  # of the last round

    def write(self, targets: Sequence[Target], vantages: Sequence[VantageInfo], start: datetime, end: datetime) -> None:
        """Write everything from `start` until `end`."""
        queue = [
            (start + self.interval * self.chance.random(), number, target, info)
            for number, (target, info) in enumerate((target, info) for target in targets for info in vantages)
        ]
        heapq.heapify(queue)
        due, upkeep = list(_datings(start, end)), start + _UPKEEP
        while queue[0][0] < end:
            moment, number, target, info = heapq.heappop(queue)
            while due and due[0] <= moment:
                self._date(due.pop(0))
            if moment >= upkeep:
                self._count(moment)
                upkeep = moment + _UPKEEP
            self.clock.moment = moment
            wait = self.interval.total_seconds()
            if LINES[info.name].is_there(moment):
                wait = self._round(target, info, moment) or wait
            heapq.heappush(queue, (moment + timedelta(seconds=wait), number, target, info))
        for one in due:
            self._date(one)
        self._count(end)

    def _count(self, moment: datetime) -> None:
        self.store.maintain(moment, KEPT).result()

    def _date(self, moment: datetime) -> None:
        self.clock.moment = moment
        if self.written is not None:
            self.written.result()
        self.dater.date_due()

    def _case(self, target: Target, line: Line, moment: datetime) -> str:
        case = line.case(moment)
        if target.platform != "x" and case != OFFLINE:
            case = OPEN
        if self.chance.random() < NOISE:
            return OFFLINE if self.chance.random() < 0.5 else BY_NAME
        return case

    def _round(self, target: Target, info: VantageInfo, moment: datetime) -> float | None:
        """Make one round; return after how many seconds another look is wanted, if sooner than the schedule says."""
        line = LINES[info.name]
        case = self._case(target, line, moment)
        host = target.url.split("/")[2]
        facts, verdict = seen(case, host)
        measurement = msgspec.structs.replace(
            facts,
            id=self.ids.new(moment),
            target=target.name,
            url=target.url,
            is_deep=False,
            vantage=info.name,
            started_at=moment,
            network=line.network,
        )
        series = (target.name, info.name)
        before = self.memory.detector(series, line.network)
        after, transition = step(before, verdict, measurement, moment)
        place = (target.platform, country_of(info, line.network))
        is_kept = is_failing(verdict, measurement) is not None
        setting = Setting(
            *place,
            network=line.network.name,
            measured_networks=self.memory.saw_network(place, line.network, moment)
            if is_kept
            else self.memory.measured_networks(place),
            measurement_id=measurement.id,
        )
        known: Incident | None = self.memory.incidents.get(place)
        applied = None
        if transition is not None:
            applied = apply(known, transition, verdict, setting, taken=self.memory.incident_ids)
        elif known is not None:
            member = Member(*series, line.network.asn or 0)
            is_other_layer = changed_layer(before, after)
            applied = failed_again(known, member, verdict, setting, moment, is_other_layer=is_other_layer)
        state = VantageState.OFFLINE if case == OFFLINE else VantageState.ONLINE
        outcome = Outcome(
            recording=Recording(measurement=measurement),
            verdict=verdict,
            state_before=state,
            state_after=state,
            detector=after,
            transition=transition,
            incident=applied and applied.incident,
            updates=applied.updates if applied else (),
        )
        self.memory.learn(outcome)
        self.written = self.store.record(outcome)
        self.rounds += 1
        if self.rounds % _QUEUED == 0:
            self.written.result()  # the queue of the store has an end
        seconds = self.interval.total_seconds()
        wait = next_look(
            before, after, self.memory.looks.get(series, ()), moment, interval_seconds=seconds, settings=REPROBES
        )
        if wait is not None:
            self.memory.looked(series, moment + timedelta(seconds=wait))
        return wait


def write(folder: Path, interval: timedelta = INTERVAL, start: datetime = START, end: datetime = END) -> int:
    """Write the configuration and the database into a folder; return how many rounds were made."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "probes.yaml"
    path.write_text(CONFIGURATION.format(minutes=interval // timedelta(minutes=1)))
    config = load(path, {})
    assignments = plan(config).assignments
    targets = list({one.target.name: one.target for one in assignments}.values())
    vantages = [VantageInfo(name=name, kind="direct", country=one.country) for name, one in config.vantages.items()]
    clock = MovedClock(start)
    store = Store.open(config.storage.path, clock, spool_rows=2 * _QUEUED)
    try:
        store.sync_configuration(
            {name: one.name for name, one in config.platforms.items()},
            targets,
            vantages,
            "0" * 64,
            start,
            intervals_seconds={one.name: interval.total_seconds() for one in targets},
        )
        store.sync_events(load_events(config.events, config.platforms, TOLD), start)
        store.record_ooni_counts(list(_counts(start, end)), (), start).result()
        with Reader(config.storage.path) as reader:
            history = History(store, clock, Dater(reader, store, clock), interval)
            history.write([one for one in targets if one.platform in config.platforms], vantages, start, end)
    finally:
        store.close()
    return history.rounds


def _counts(start: datetime, end: datetime) -> Iterator[OoniCount]:
    """Yield what OONI would have counted a day and network; simulated like everything else here."""
    chance = random.Random(5)  # noqa: S311 -- the same every time
    day = start
    while day < end:
        for line in LINES.values():
            if line.network.country != "PK":
                continue
            number, is_open = chance.randrange(4, 40), line.case(day + timedelta(hours=12)) in {OPEN, OUTAGE}
            anomaly = sum(chance.random() < (0.03 if is_open else 0.9) for _ in range(number))
            yield OoniCount(
                day=day,
                country="PK",
                asn=line.network.asn or 0,
                domain="x.com",
                test="web_connectivity",
                measurements=number,
                ok=number - anomaly,
                anomaly=anomaly,
                confirmed=0,
                failure=0,
            )
        day += timedelta(days=1)


def main() -> None:
    """Write a history into the folder named."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--minutes", type=int, default=INTERVAL // timedelta(minutes=1), help="interval of a target")
    wanted = parser.parse_args()
    began = time.monotonic()
    rounds = write(wanted.folder, timedelta(minutes=wanted.minutes))
    print(f"{rounds} simulated rounds in {wanted.folder}, {time.monotonic() - began:.0f} s")  # noqa: T201 -- a script


if __name__ == "__main__":
    main()
