"""A week without a block, at accelerated time: vantages that keep failing, and short faults that meet many at once.

The detector, the incidents, the conditions and the policy are the real ones. A look is short; the first that fails is
followed by a deep run, in which what failed is tried again and the control is asked. A fault that has passed by then,
and one that the control meets as well, say nothing about the platform. Line faults are whole spells, seen by sanity
checks; the short faults are of the way to one platform, which no such check sees.
"""

import heapq
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from monitor.detect.conditions import Down, Limits, PlatformNow, Situation, VantageNow, changed, down_after
from monitor.detect.cusum import step
from monitor.detect.incidents import Setting, apply
from monitor.detect.policy import USUAL, Policy, Route, alerts_of, plan
from monitor.detect.reprobe import REPROBES, next_look
from monitor.model.alert import Alert, AlertKind
from monitor.model.measurement import Measurement
from monitor.model.outcome import Incident
from monitor.model.vantage import VantageState
from monitor.model.verdict import Confidence, DetectorState, Reason, Status, Verdict
from tests.fakes.outcomes import CONTEXT
from tests.simulation.series import DEEP_SECONDS, EPOCH, LOOK_SECONDS, WEEK, Faults, at

VANTAGES: Final = ("v0", "v1", "v2", "v3")
TARGETS: Final = ("x-home", "x-api", "y-home")
CONTROL: Final = "control"
FAULTY_SHARE: Final = 0.01  # of rounds that look like a block and are none, each by itself
EVERYTHING: Final = Policy((Route(name="all", channels=("desk",), kinds=USUAL | {AlertKind.FOUND, AlertKind.JOIN}),))
_LOOK_EVERY: Final = 60.0  # at the conditions; the daemon does it more often, and sees the same
_SKEW_SECONDS: Final = 3.0
_HIT_SHARE: Final = 0.7


def _verdict(status: Status, reason: Reason | None = None) -> Verdict:
    return Verdict(status=status, reason=reason, rule="r", because="b", rules_version=1)


GOOD: Final = _verdict(Status.ACCESSIBLE)
DOWN: Final = _verdict(Status.DOWN)
OFFLINE: Final = _verdict(Status.INCONCLUSIVE, Reason.VANTAGE_OFFLINE)
TRANSIENT: Final = _verdict(Status.INCONCLUSIVE, Reason.TRANSIENT)
# What a fault of a few seconds looks like when a control happened to work meanwhile.
FAULT: Final = Verdict(
    status=Status.BLOCKED,
    confidence=Confidence.LIKELY,
    mechanisms=("tcp.timeout",),
    rule="r",
    because="b",
    rules_version=1,
)


@dataclass(frozen=True)
class Correlated:
    """Short faults of the way to a platform, by platform and place; the control is a place."""

    faults: dict[tuple[str, str], Faults]

    @classmethod
    def drawn(cls, chance: random.Random, a_day: float, *, unseen_share: float = 0.0) -> "Correlated":
        """Return faults of 5 to 60 s, so many a day, that begin and end at each place within seconds.

        Each meets most vantages, and the control but for a share that is `unseen`.
        """
        spells: dict[tuple[str, str], list[tuple[float, float]]] = {}
        one = Faults.drawn(chance, WEEK, a_day)
        for start, end in zip(one.starts, one.ends, strict=True):
            platform = chance.choice(("x", "y"))
            hit = [name for name in VANTAGES if chance.random() < _HIT_SHARE]
            if chance.random() >= unseen_share:
                hit.append(CONTROL)
            for place in hit:
                skew = [chance.uniform(-_SKEW_SECONDS, _SKEW_SECONDS) for _ in range(2)]
                spells.setdefault((platform, place), []).append((start + skew[0], end + skew[1]))
        return cls({key: _faults(sorted(found)) for key, found in spells.items()})

    def covers(self, platform: str, place: str, low: float, high: float) -> bool:
        """Tell whether one fault lasts through at a place."""
        found = self.faults.get((platform, place))
        return found is not None and found.covers(low, high)


def _faults(spells: Sequence[tuple[float, float]]) -> Faults:
    return Faults([start for start, _ in spells], [end for _, end in spells])


@dataclass
class World:
    """What a daemon would remember."""

    correlated: Correlated = field(default_factory=lambda: Correlated({}))
    spells: dict[str, list[tuple[float, float]]] = field(default_factory=dict)  # without a line, by vantage
    detectors: dict[tuple[str, str], DetectorState] = field(default_factory=dict)
    looks: dict[tuple[str, str], list[datetime]] = field(default_factory=dict)
    downs: dict[tuple[str, str], Down] = field(default_factory=dict)
    incidents: dict[str, Incident] = field(default_factory=dict)
    conditions: dict[str, Alert] = field(default_factory=dict)
    since: dict[str, tuple[VantageState, datetime]] = field(default_factory=dict)
    told: list[Alert] = field(default_factory=list)

    @property
    def about_platforms(self) -> list[Alert]:
        return [one for one in self.told if one.platform is not None]

    def tell(self, *alerts: Alert, now: datetime) -> None:
        self.told += [notice.alert for one in alerts if (notice := plan(one, EVERYTHING, now)).planned]

    def is_off(self, vantage: str, seconds: float) -> bool:
        return any(start <= seconds < end for start, end in self.spells.get(vantage, ()))

    def verdict(self, target: str, vantage: str, seconds: float, *, fails: bool) -> tuple[Verdict, float]:
        """Return what a round says that begins now, and how long it takes; `fails` is a fault of its own."""
        if self.is_off(vantage, seconds):
            return OFFLINE, LOOK_SECONDS
        platform = target.partition("-")[0]
        is_hit = self.correlated.covers(platform, vantage, seconds, seconds)
        if not is_hit and not fails:
            return GOOD, LOOK_SECONDS
        if fails:
            return FAULT, LOOK_SECONDS
        # In the middle of a run the isolation of its first round stands, and the control is asked beside the look.
        is_deep = self.detectors.get((target, vantage), DetectorState()).score == 0.0
        took = DEEP_SECONDS if is_deep else LOOK_SECONDS
        if not self.correlated.covers(platform, vantage, seconds, seconds + took):
            return TRANSIENT, took
        control_at = seconds + LOOK_SECONDS / 2
        return (DOWN if self.correlated.covers(platform, CONTROL, control_at, control_at) else FAULT), took

    def round(self, target: str, vantage: str, verdict: Verdict, now: datetime, interval: float) -> float | None:
        """Take in a round; return after how many seconds to look again."""
        measurement = Measurement(
            id=1, target=target, url="https://x.com/", vantage=vantage, started_at=now, elapsed_seconds=1,
            context=CONTEXT,
        )  # fmt: skip
        series = (target, vantage)
        before = self.detectors.get(series, DetectorState())
        state, transition = step(before, verdict, measurement, now)
        self.detectors[series] = state
        down = down_after(self.downs.pop(series, None), verdict, now)
        if down is not None:
            self.downs[series] = down
        platform = target.partition("-")[0]
        place = Setting(platform, "PK", network=vantage, measured_networks=len(VANTAGES), measurement_id=1)
        if transition is not None and (found := apply(self.incidents.get(platform), transition, verdict, place)):
            self.incidents[platform] = found.incident
            self.tell(*alerts_of(found.incident, found.updates, verdict), now=now)
        looks = self.looks.get(series, [])
        wait = next_look(before, state, looks, now, interval_seconds=interval, settings=REPROBES)
        if wait is not None:
            self.looks[series] = [*looks[-50:], now + timedelta(seconds=wait)]
        return wait

    def look(self, seconds: float, interval: float) -> None:
        """Look at the conditions."""
        now = at(seconds)
        for name in VANTAGES:
            state = VantageState.OFFLINE if self.is_off(name, seconds) else VantageState.ONLINE
            if self.since.get(name, (None,))[0] is not state:
                self.since[name] = state, now
        situation = Situation(
            now=now,
            started_at=EPOCH,
            vantages=tuple(VantageNow(name, "PK", *self.since[name], now, interval) for name in VANTAGES),
            platforms=tuple(
                PlatformNow(
                    one,
                    None,
                    is_judged=True,
                    downs=tuple(down for (target, _), down in self.downs.items() if target.startswith(one)),
                )
                for one in ("x", "y")
            ),
        )
        begun = changed(self.conditions, situation, Limits())
        self.conditions.update((one.subject, one) for one in begun)
        self.tell(*begun, now=now)


def offline_spells(chance: random.Random) -> list[tuple[float, float]]:
    """Return when a vantage has no line: 25 times a week, for a minute to an hour and a half."""
    starts = sorted(chance.uniform(0, WEEK) for _ in range(25))
    return [(start, start + chance.uniform(60, 5400)) for start in starts]


def week(
    chance: random.Random,
    *,
    interval: float = 300.0,
    faults_a_day: float = 48.0,
    unseen_share: float = 0.0,
    block_from: float = WEEK,
) -> World:
    """Play a week; from `block_from` on x is blocked everywhere, for the test that would tell it."""
    world = World(
        correlated=Correlated.drawn(chance, faults_a_day, unseen_share=unseen_share),
        spells={name: offline_spells(chance) for name in VANTAGES},
    )
    phases = {(target, name): chance.uniform(0, interval) for target in TARGETS for name in VANTAGES}
    queue = [(seconds, "", "", False) for seconds in _times(0.0, _LOOK_EVERY)]
    queue += [
        (seconds, target, name, False)
        for (target, name), phase in phases.items()
        for seconds in _times(phase, interval)
    ]
    heapq.heapify(queue)
    busy: dict[tuple[str, str], float] = {}
    while queue:
        seconds, target, vantage, is_further = heapq.heappop(queue)
        if not target:
            world.look(seconds, interval)
            continue
        if seconds < busy.get((target, vantage), 0.0):
            continue
        is_blocked = target.startswith("x") and seconds >= block_from
        fails = is_blocked or (not is_further and chance.random() < FAULTY_SHARE)
        verdict, took = world.verdict(target, vantage, seconds, fails=fails)
        busy[target, vantage] = seconds + took
        wait = world.round(target, vantage, verdict, at(seconds), interval)
        if wait is not None:
            heapq.heappush(queue, (seconds + took + wait, target, vantage, True))
    return world


def _times(first: float, every: float) -> Iterator[float]:
    yield from (first + number * every for number in range(int((WEEK - first) / every)))
