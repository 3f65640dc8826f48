"""A week without a block, seen from vantages that keep failing: nothing is told about a platform."""

import random
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from monitor.detect.conditions import Limits, Situation, VantageNow, changed
from monitor.detect.cusum import step
from monitor.detect.incidents import Setting, apply
from monitor.detect.policy import USUAL, Policy, Route, alerts_of, plan
from monitor.model.alert import Alert, AlertKind
from monitor.model.measurement import Measurement
from monitor.model.outcome import Incident
from monitor.model.vantage import VantageState
from monitor.model.verdict import Confidence, DetectorState, Reason, Status, Verdict
from tests.fakes.outcomes import CONTEXT
from tests.simulation.series import EPOCH, INTERVAL, WEEK

GOOD: Final = Verdict(status=Status.ACCESSIBLE, rule="r", because="b", rules_version=1)
OFFLINE: Final = Verdict(
    status=Status.INCONCLUSIVE, reason=Reason.VANTAGE_OFFLINE, rule="r", because="b", rules_version=1
)
DOWN: Final = Verdict(status=Status.DOWN, rule="r", because="b", rules_version=1)
# What a fault of a few seconds looks like when a control happened to work meanwhile.
FAULT: Final = Verdict(
    status=Status.BLOCKED,
    confidence=Confidence.LIKELY,
    mechanisms=("tcp.timeout",),
    rule="r",
    because="b",
    rules_version=1,
)
FAULTY_SHARE: Final = 0.01
EVERYTHING: Final = Policy((Route(name="all", channels=("desk",), kinds=USUAL | {AlertKind.FOUND, AlertKind.JOIN}),))


@dataclass
class World:
    """What a daemon would remember."""

    detectors: dict[tuple[str, str], DetectorState] = field(default_factory=dict)
    incidents: dict[str, Incident] = field(default_factory=dict)
    conditions: dict[str, Alert] = field(default_factory=dict)
    told: list[Alert] = field(default_factory=list)

    def tell(self, *alerts: Alert, now: datetime) -> None:
        self.told += [notice.alert for one in alerts if (notice := plan(one, EVERYTHING, now)).planned]

    def round(self, target: str, vantage: str, verdict: Verdict, now: datetime) -> None:
        measurement = Measurement(
            id=1, target=target, url="https://x.com/", vantage=vantage, started_at=now, elapsed_seconds=1,
            context=CONTEXT,
        )  # fmt: skip
        state, transition = step(self.detectors.get((target, vantage), DetectorState()), verdict, measurement, now)
        self.detectors[target, vantage] = state
        platform = target.partition("-")[0]
        place = Setting(platform, "PK", network=vantage, measured_networks=4, measurement_id=1)
        if transition is not None and (found := apply(self.incidents.get(platform), transition, verdict, place)):
            self.incidents[platform] = found.incident
            self.tell(*alerts_of(found.incident, found.updates, verdict), now=now)

    def look(self, vantages: tuple[VantageNow, ...], now: datetime) -> None:
        begun = changed(self.conditions, Situation(now=now, started_at=EPOCH, vantages=vantages), Limits())
        self.conditions.update((one.subject, one) for one in begun)
        self.tell(*begun, now=now)


def offline_spells(chance: random.Random) -> list[tuple[float, float]]:
    starts = sorted(chance.uniform(0, WEEK) for _ in range(25))
    return [(start, start + chance.uniform(60, 5400)) for start in starts]


def week(chance: random.Random, block_from: float = WEEK) -> World:
    """Play a week; from `block_from` on x is blocked everywhere, for the test that would tell it."""
    world = World()
    names = [f"v{number}" for number in range(4)]
    spells = {name: offline_spells(chance) for name in names}
    since = dict.fromkeys(names, (VantageState.ONLINE, EPOCH))
    for number in range(int(WEEK / INTERVAL)):
        seconds = number * INTERVAL
        now = EPOCH + timedelta(seconds=seconds)
        outage = chance.random() < 0.005  # x itself is down for a round
        for name in names:
            is_off = any(start <= seconds < end for start, end in spells[name])
            state = VantageState.OFFLINE if is_off else VantageState.ONLINE
            if since[name][0] is not state:
                since[name] = state, now
            for target in ("x-home", "x-api", "y-home"):
                is_x = target.startswith("x")
                blocked = is_x and seconds >= block_from
                verdict = FAULT if blocked or chance.random() < FAULTY_SHARE else GOOD
                world.round(target, name, OFFLINE if is_off else DOWN if outage and is_x else verdict, now)
        world.look(tuple(VantageNow(name, "PK", *since[name], now, INTERVAL) for name in names), now)
    return world


def test_a_week_of_flaky_vantages_tells_of_vantages_and_of_no_platform() -> None:
    told = Counter(one.kind for one in week(random.Random(20261127)).told)  # noqa: S311 - a simulation
    assert set(told) == {AlertKind.VANTAGE, AlertKind.VANTAGE_END}
    assert told[AlertKind.VANTAGE] > 50


def test_the_same_week_with_a_block_tells_of_it_as_one_incident() -> None:
    told = week(random.Random(20261127), block_from=WEEK / 2).told  # noqa: S311 - a simulation
    about = [one for one in told if one.platform is not None]
    assert [one.kind for one in about if one.kind is AlertKind.START] == [AlertKind.START]
    assert len({one.subject for one in about}) == 1
    assert {one.platform for one in about} == {"x"}
