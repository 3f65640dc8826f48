"""What is exported of platforms as a whole."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import partial

from monitor.detect.rollup import PlatformVerdict, Standing, roll_up
from monitor.exporter import table
from monitor.exporter.series import country_of
from monitor.exporter.table import Metric
from monitor.model.outcome import Outcome
from monitor.model.rollup import RollupRule
from monitor.model.target import Target
from monitor.model.vantage import Role, VantageInfo
from monitor.model.verdict import Status

_Samples = dict[Metric, dict[tuple[str, ...], float]]


class _Platform:
    """The standings of one platform, and its verdicts while they hold."""

    def __init__(self, name: str, rule: RollupRule) -> None:
        self.name = name
        self.rule = rule
        self.standings: dict[tuple[str, str], Standing] = {}
        self.verdicts: tuple[PlatformVerdict, ...] = ()
        self.is_changed = False
        self._holds_until: datetime | None = None

    def is_due(self, now: datetime) -> bool:
        return self.is_changed or (self._holds_until is not None and now > self._holds_until)

    def roll_up(self, now: datetime) -> None:
        self.is_changed = False
        self.verdicts = roll_up(self.name, self.name, self.rule, self.standings.values(), now)
        ends = (one.stale_at() for one in self.standings.values())
        self._holds_until = min((end for end in ends if end is not None and end >= now), default=None)


class PlatformBoard:
    """Keeps how targets stand; a measurement costs one entry, and a change one platform's roll-up and no more."""

    def __init__(self) -> None:
        self._platforms: dict[str, _Platform] = {}

    def use(self, rules: Mapping[str, RollupRule], platform_of: Mapping[str, str]) -> None:
        """Take other rules and targets into use; what is not named ends, with what was known of it."""
        before, self._platforms = self._platforms, {name: _Platform(name, rule) for name, rule in rules.items()}
        for name, platform in self._platforms.items():
            if name in before:
                known = before[name].standings
                platform.standings = {
                    series: one for series, one in known.items() if platform_of.get(one.target) == name
                }
                platform.is_changed = True

    def observe(self, outcome: Outcome, target: Target, vantage: VantageInfo, interval_seconds: float) -> None:
        """Take in a verdict of a test vantage."""
        platform, verdict = self._platforms.get(target.platform), outcome.verdict
        if platform is None or verdict is None or vantage.role is not Role.TEST:
            return
        measurement = outcome.recording.measurement
        platform.standings[target.name, vantage.name] = Standing(
            target=target.name,
            vantage=vantage.name,
            country=country_of(vantage, measurement),
            network=measurement.network,
            interval_seconds=interval_seconds,
            status=verdict.status,
            mechanisms=verdict.mechanisms,
            reason=verdict.reason,
            measured_at=measurement.started_at,
        )
        platform.is_changed = True

    def forget(self, is_gone: Callable[[tuple[str, str]], bool]) -> None:
        """Leave out what is no longer measured, by target and vantage."""
        for platform in self._platforms.values():
            gone = [series for series in platform.standings if is_gone(series)]
            for series in gone:
                del platform.standings[series]
                platform.is_changed = True

    def steps(self, now: datetime) -> Sequence[Callable[[], None]]:
        """Return one step for each platform whose verdicts a change or the passing of time may have altered."""
        return [partial(one.roll_up, now) for one in self._platforms.values() if one.is_due(now)]

    def samples(self) -> _Samples:
        """Return the samples of each metric, as of the latest steps."""
        samples: _Samples = {
            metric: {}
            for metric in (
                table.PLATFORM_STATUS,
                table.PLATFORM_PARTIAL,
                table.PLATFORM_NETWORKS,
                table.PLATFORM_ACCESSIBLE,
            )
        }
        for platform in self._platforms.values():
            for verdict in platform.verdicts:
                _add(samples, verdict)
        return samples


def _add(samples: _Samples, verdict: PlatformVerdict) -> None:
    place = (verdict.platform, verdict.country)
    counts = verdict.counts()
    for status in Status:
        samples[table.PLATFORM_STATUS][*place, status] = int(status is verdict.status)
        samples[table.PLATFORM_NETWORKS][*place, status] = counts.get(status, 0)
    if verdict.status is not Status.INCONCLUSIVE:
        samples[table.PLATFORM_PARTIAL][place] = int(verdict.is_partial)
    for one in verdict.vantages:
        if one.status is not Status.INCONCLUSIVE:
            labels = (verdict.platform, one.vantage, verdict.country)
            samples[table.PLATFORM_ACCESSIBLE][labels] = int(one.status is Status.ACCESSIBLE)
