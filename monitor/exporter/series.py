"""What is exported of one target at one vantage on one network."""

from collections.abc import Mapping
from typing import Final

from monitor.exporter import table
from monitor.exporter.exposition import Buckets, Histogram, label_text, line
from monitor.exporter.table import Metric
from monitor.model.measurement import Measurement
from monitor.model.observation import Observation, Purpose, Step, TlsObservation, step_of
from monitor.model.place import Place
from monitor.model.target import Target
from monitor.model.vantage import VantageInfo
from monitor.model.verdict import Confidence, Status, Verdict

# Half decades: enough to see a change of an order of magnitude, few enough for thousands of targets.
_STEP_BUCKETS_SECONDS: Final = Buckets(0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
_NO_LINES: Final[Mapping[Metric, str]] = {}


def country_of(vantage: VantageInfo, measurement: Measurement) -> str:
    """Return the country that series and incidents of a vantage carry."""
    return vantage.country_on(measurement.network) or table.UNKNOWN


def label_values(target: Target, vantage: VantageInfo, measurement: Measurement) -> tuple[str, ...]:
    """Return the values of `TARGET_LABELS`; they name a series."""
    asn = measurement.network.asn
    return (
        target.platform,
        target.name,
        vantage.name,
        country_of(vantage, measurement),
        table.UNKNOWN if asn is None else str(asn),
    )


# The ordinary way; HTTP/3 and transfers are looked at beside it only.
_TIMED: Final = frozenset({Purpose.PATH, Purpose.HTTP3, Purpose.TRANSFER})


class TargetSeries:
    """The latest measurement and verdict, and the step durations since the series began.

    `lines` are made when they are first asked for after a measurement, so that a measurement nobody scrapes costs
    nothing and a scrape between two measurements joins what is there.
    """

    __slots__ = (
        "_interval_seconds",
        "_labels",
        "_lines",
        "_measurement",
        "_served_from",
        "_steps",
        "_verdict",
        "values",
    )

    def __init__(self, values: tuple[str, ...]) -> None:
        self.values = values
        self._labels = label_text(table.TARGET_LABELS, values)
        self._steps: dict[Step, Histogram] = {}
        self._measurement: Measurement | None = None
        self._verdict: Verdict | None = None
        self._interval_seconds = 0.0
        self._served_from: tuple[Place, ...] = ()
        self._lines: Mapping[Metric, str] | None = _NO_LINES

    @property
    def is_judged(self) -> bool:
        """Whether verdicts are drawn here: measurements of a control vantage are evidence only."""
        return self._verdict is not None

    def observe(
        self,
        measurement: Measurement,
        verdict: Verdict | None,
        interval_seconds: float,
        served_from: tuple[Place, ...] = (),
    ) -> None:
        """Take in a measurement and what was concluded from it."""
        for observation in measurement.observations:
            if observation.purpose in _TIMED and observation.failure is None:
                step = step_of(observation)
                if step not in self._steps:
                    self._steps[step] = Histogram(_STEP_BUCKETS_SECONDS)
                self._steps[step].observe(observation.elapsed_seconds)
        self._measurement = measurement
        self._verdict = verdict
        self._served_from = served_from or self._served_from
        self._interval_seconds = interval_seconds
        self._lines = None

    def lines(self) -> Mapping[Metric, str]:
        """Return the samples of each metric that has any."""
        if self._lines is None and self._measurement is not None:
            self._lines = self._render(self._measurement)
        return self._lines or _NO_LINES

    def _render(self, measurement: Measurement) -> dict[Metric, str]:
        lines = {
            table.PROBE_INTERVAL: self._line(table.PROBE_INTERVAL, self._interval_seconds),
            table.LAST_MEASUREMENT: self._line(table.LAST_MEASUREMENT, measurement.started_at.timestamp()),
            table.STEP_DURATION: "".join(
                histogram.lines(table.STEP_DURATION.name, f'{self._labels},step="{step}"')
                for step, histogram in self._steps.items()
            ),
        }
        if self._served_from:
            lines[table.SERVED_FROM] = "".join(
                self._line(table.SERVED_FROM, 1, place.country or table.UNKNOWN, str(place.asn or table.UNKNOWN))
                for place in self._served_from
            )
        expiry = _earliest_expiry(measurement.observations)
        if expiry is not None:
            lines[table.CERTIFICATE_EXPIRY] = self._line(table.CERTIFICATE_EXPIRY, expiry)
        if self._verdict is not None:
            lines |= self._verdict_lines(self._verdict)
        return lines

    def _verdict_lines(self, verdict: Verdict) -> dict[Metric, str]:
        is_confirmed = verdict.confidence is Confidence.CONFIRMED
        lines = {
            table.TARGET_STATUS: "".join(
                self._line(table.TARGET_STATUS, int(status is verdict.status), status) for status in Status
            ),
            table.TARGET_MECHANISM: "".join(
                self._line(table.TARGET_MECHANISM, 1, mechanism) for mechanism in dict.fromkeys(verdict.mechanisms)
            ),
            table.TARGET_CONFIRMED: self._line(table.TARGET_CONFIRMED, int(is_confirmed)),
        }
        if verdict.status is not Status.INCONCLUSIVE:
            accessible = int(verdict.status is Status.ACCESSIBLE)
            lines[table.TARGET_ACCESSIBLE] = self._line(table.TARGET_ACCESSIBLE, accessible)
        elif verdict.reason is not None:
            lines[table.TARGET_INCONCLUSIVE] = self._line(table.TARGET_INCONCLUSIVE, 1, verdict.reason)
        return lines

    def _line(self, metric: Metric, value: float, *more: str) -> str:
        """Return a sample; `more` are the values of the labels that the metric has beyond the series' own."""
        labels = self._labels
        if more:
            labels = f"{labels},{label_text(metric.labels[len(table.TARGET_LABELS) :], more)}"
        return line(metric.name, labels, value)


def _earliest_expiry(observations: tuple[Observation, ...]) -> int | None:
    ends = [
        observation.leaf_not_after
        for observation in observations
        if isinstance(observation, TlsObservation)
        and observation.purpose is Purpose.PATH
        and observation.leaf_not_after is not None
    ]
    return min(ends, default=None)
