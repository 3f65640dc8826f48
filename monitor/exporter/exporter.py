"""The state behind `/metrics`, changed by every run and written out at a scrape."""

import threading
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.process_collector import ProcessCollector

from monitor.detect.line import opening_seconds
from monitor.events.annotation import Calendar
from monitor.exporter import table
from monitor.exporter.event_samples import event_samples
from monitor.exporter.exposition import Buckets, Format, Histogram, header, label_text, line
from monitor.exporter.platforms import PlatformBoard
from monitor.exporter.series import TargetSeries, label_values
from monitor.exporter.table import Kind, Metric
from monitor.model.agent import Agent
from monitor.model.alert import Attempt, DeliveryState, Result
from monitor.model.outcome import Incident, Outcome, Silence
from monitor.model.rollup import RollupRule
from monitor.model.target import Target
from monitor.model.vantage import ProbeCount, QuotaUse, VantageCheck, VantageInfo, VantageState
from monitor.model.verdict import Transition
from monitor.store.outbox_reader import Backlog
from monitor.store.store import StoreHealth

_LAG_BUCKETS_SECONDS: Final = Buckets(0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0)


class Exporter:
    """Keeps what was last seen of every target, vantage and incident, and counters of the daemon.

    Methods may be called from any thread; `render` suits a thread of its own (`asyncio.to_thread`), because it takes
    the lock for one series at a time.
    """

    def __init__(self, version: str, rules_version: int) -> None:
        self._lock = threading.Lock()
        self._series: dict[tuple[str, str], TargetSeries] = {}
        self._samples: dict[Metric, dict[tuple[str, ...], float]] = {metric: {} for metric in table.OTHER_METRICS}
        self._platforms = PlatformBoard()
        self._lag = Histogram(_LAG_BUCKETS_SECONDS)
        self._incidents: dict[tuple[str, str], Incident] = {}
        self._process = CollectorRegistry()
        ProcessCollector(registry=self._process)
        self._put(table.BUILD_INFO, 1, version, str(rules_version))
        self._put(table.MODULE_UNKNOWN, 0)
        self.in_flight(0)

    def observe(self, outcome: Outcome, target: Target, vantage: VantageInfo, interval_seconds: float) -> None:
        """Take in one run. On another network than before, the old series ends and a new one begins."""
        measurement = outcome.recording.measurement
        values = label_values(target, vantage, measurement)
        status = outcome.verdict.status if outcome.verdict is not None else table.UNJUDGED
        with self._lock:
            key = (target.name, vantage.name)
            series = self._series.get(key)
            if series is None or series.values != values:
                series = self._series[key] = TargetSeries(values)
            series.observe(measurement, outcome.verdict, interval_seconds, outcome.served_from)
            self._platforms.observe(outcome, target, vantage, interval_seconds)
            self._put(table.LAST_ROUND, measurement.started_at.timestamp(), vantage.name)
            self._add(table.MEASUREMENTS, vantage.name, status)
            if measurement.is_deep:
                self._add(table.DEEP_RUNS, vantage.name)

    def platforms(self, rules: Mapping[str, RollupRule], platform_of: Mapping[str, str]) -> None:
        """Say which platforms have a verdict as a whole, by which rule, and whose each target is."""
        with self._lock:
            self._platforms.use(rules, platform_of)

    def roll_up(self, now: datetime) -> None:
        """Draw the verdicts on platforms again of which a target changed, or is no longer recent.

        Suits a thread of its own, like `render`: it takes the lock for one platform at a time.
        """
        with self._lock:
            steps = self._platforms.steps(now)
        for step in steps:
            with self._lock:
                step()

    def observe_check(self, check: VantageCheck, vantage: VantageInfo) -> None:
        """Take in a vantage's sanity checks."""
        with self._lock:
            self._put(table.VANTAGE_ONLINE, int(check.state is VantageState.ONLINE), vantage.name)
            for state in VantageState:
                self._put(table.VANTAGE_STATE, int(check.state is state), vantage.name, state)
            self._put(table.VANTAGE_LAST_CHECK, check.started_at.timestamp(), vantage.name)
            self._samples[table.VANTAGE_CONNECT].pop((vantage.name,), None)
            if (seconds := opening_seconds(check.observations)) is not None:
                self._put(table.VANTAGE_CONNECT, seconds, vantage.name)
            claims = vantage.as_claimed(check.network)
            for claim in ("country", "asn"):
                self._samples[table.VANTAGE_AS_CLAIMED].pop((vantage.name, claim), None)
            for claim, holds in claims.items():
                self._put(table.VANTAGE_AS_CLAIMED, int(holds), vantage.name, claim)

    def quota(self, vantage: str, use: QuotaUse) -> None:
        """Say how a vantage's quota at a service stands."""
        with self._lock:
            self._put(table.VANTAGE_QUOTA_LIMIT, use.limit, vantage, use.unit)
            self._put(table.VANTAGE_QUOTA_USED, use.used, vantage, use.unit)
            self._put(table.VANTAGE_QUOTA_REMAINING, use.remaining, vantage, use.unit)

    def probes(self, vantage: str, counts: Sequence[ProbeCount]) -> None:
        """Take in how many probes a service has in each network of a country."""
        with self._lock:
            for country in {one.country for one in counts}:
                total = sum(one.probes for one in counts if one.country == country)
                self._put(table.VANTAGE_PROBES, total, vantage, country)

    def incidents(self, open_incidents: Sequence[Incident]) -> None:
        """Replace the open incidents."""
        with self._lock:
            self._incidents = {(incident.platform, incident.country): incident for incident in open_incidents}

    def calendar(self, calendar: Calendar, now: datetime) -> None:
        """Replace the regulatory events; `now` decides which are in force."""
        samples = event_samples(calendar, now)
        with self._lock:
            self._samples |= {metric: dict(values) for metric, values in samples.items()}

    def silences(self, silent: Sequence[Silence]) -> None:
        """Replace the countries that are silent."""
        with self._lock:
            self._samples[table.COUNTRY_SILENT] = {(one.country,): 1 for one in silent}

    def agents(self, known: Sequence[Agent]) -> None:
        """Replace what is said of agents that push."""
        gauges: dict[Metric, dict[tuple[str, ...], float]] = {metric: {} for metric in table.AGENT_GAUGES}
        for one in known:
            if one.revoked_at is not None:
                revoked = gauges[table.AGENT_REVOKED]
                revoked[one.vantage,] = revoked.get((one.vantage,), 0) + 1
                continue
            if one.last_seen_at is None:
                continue
            gauges[table.AGENT_LAST_SEEN][one.vantage,] = one.last_seen_at.timestamp()
            gauges[table.AGENT_SPOOL][one.vantage,] = one.spool_rows
            gauges[table.AGENT_DROPPED][one.vantage,] = one.dropped_count
            if one.quiet is not None:
                gauges[table.AGENT_QUIET][one.vantage, one.quiet] = 1
            if one.clock_offset_seconds is not None:
                gauges[table.AGENT_CLOCK_OFFSET][one.vantage,] = one.clock_offset_seconds
        with self._lock:
            self._samples |= gauges

    def received(self, vantage: str, lane: str, results: Mapping[str, int], lag_seconds: float | None) -> None:
        """Count a batch of an agent, and what became of its results; the lag is that of the newest live one."""
        with self._lock:
            self._add(table.AGENT_BATCHES, vantage, lane)
            for result, count in results.items():
                self._add(table.AGENT_RESULTS, vantage, result, by=count)
            if lag_seconds is not None:
                self._put(table.AGENT_LAG, lag_seconds, vantage)

    def refused(self, reason: str) -> None:
        """Count a request of an agent, or of a stranger, that was not taken."""
        with self._lock:
            self._add(table.AGENT_REFUSED, reason)

    def looked_again(self, vantage: str, look: str) -> None:
        """Count a round that comes sooner than the schedule says."""
        with self._lock:
            self._add(table.FURTHER_LOOKS, vantage, look)

    def forget(self, target: str, vantage: str) -> None:
        """End the series of a target that a vantage no longer measures."""
        with self._lock:
            self._series.pop((target, vantage), None)
            self._platforms.forget(lambda series: series == (target, vantage))

    def forget_vantage(self, vantage: str) -> None:
        """End what is exported of a vantage itself and of its targets; its counters stay."""
        with self._lock:
            self._series = {key: series for key, series in self._series.items() if key[1] != vantage}
            self._platforms.forget(lambda series: series[1] == vantage)
            for metric in (*table.VANTAGE_METRICS, table.LAST_ROUND):
                self._samples[metric] = {key: one for key, one in self._samples[metric].items() if key[0] != vantage}

    def set_reload(self, *, ok: bool, at: datetime) -> None:
        """Say whether the latest reading of the configuration succeeded, and when it was."""
        with self._lock:
            self._put(table.RELOAD_SUCCESSFUL, int(ok))
            if ok:
                self._put(table.RELOAD_SUCCESS_TIME, at.timestamp())

    def set_store(self, health: StoreHealth) -> None:
        """Take in how the store is."""
        with self._lock:
            self._put(table.STORE_PENDING, health.pending)
            self._put(table.STORE_SPOOLED, health.spooled)
            self._put(table.STORE_LOST, health.lost_total)
            self._put(table.STORE_REFUSED, health.refused_total)
            self._put(table.STORE_COMMITTED, health.committed_total)
            self._put(table.STORE_COMMIT_DURATION, health.last_commit_seconds)
            self._put(table.STORE_FILE_BYTES, health.file_bytes)
            self._put(table.STORE_WAL_BYTES, health.wal_bytes)
            self._samples[table.STORE_FAILING] = {} if health.last_error is None else {(health.last_error,): 1}

    def started(self, lag_seconds: float) -> None:
        """Count a run that started so much later than it was due."""
        with self._lock:
            self._lag.observe(max(0.0, lag_seconds))

    def skipped(self, vantage: str) -> None:
        """Count a run that was left out."""
        with self._lock:
            self._add(table.RUNS_SKIPPED, vantage)

    def dropped(self, vantage: str, reason: str) -> None:
        """Count a round that detection leaves out; `reason` is the verdict's reason, or its status."""
        with self._lock:
            self._add(table.ROUNDS_DROPPED, vantage, reason)

    def in_flight(self, runs: int) -> None:
        """Say how many runs are active."""
        with self._lock:
            self._put(table.RUNS_IN_FLIGHT, runs)

    def attempted(self, channel: str, attempt: Attempt) -> None:
        """Count an attempt to send a message, and what it came to."""
        with self._lock:
            self._add(table.ALERT_ATTEMPTS, channel, attempt.result)
            if attempt.state is not DeliveryState.PENDING:
                self._add(table.ALERT_DELIVERIES, channel, attempt.state)
            if attempt.result is Result.DELIVERED:
                self._put(table.ALERT_LAST_SUCCESS, attempt.started_at.timestamp(), channel)

    def outbox(self, backlogs: Sequence[Backlog], now: datetime) -> None:
        """Replace what is said of the messages that wait."""
        with self._lock:
            self._samples[table.ALERT_QUEUE] = {
                (one.channel, state): getattr(one, state) for one in backlogs for state in ("pending", "dead")
            }
            self._samples[table.ALERT_OLDEST] = {
                (one.channel,): max(0.0, (now - one.oldest_at).total_seconds()) if one.oldest_at else 0.0
                for one in backlogs
            }

    def changed(self, transition: Transition) -> None:
        """Count a confirmed change."""
        with self._lock:
            self._add(table.TRANSITIONS, transition.vantage, transition.after)

    def module_unknown(self) -> None:
        """Count a request to `/probe` that named an unknown module."""
        with self._lock:
            self._add(table.MODULE_UNKNOWN)

    def render(self, form: Format) -> bytes:
        """Return everything in an exposition format."""
        with self._lock:
            series = list(self._series.values())
        groups = [self._lines_of(one) for one in series]
        parts: list[str] = []
        for metric in table.TARGET_METRICS:
            lines = [group[metric] for group in groups if metric in group]
            if any(lines):
                parts += [header(metric, form), *lines]
        for metric, text in self._other_lines(series):
            parts += [header(metric, form), text]
        encode = generate_openmetrics if form is Format.OPENMETRICS else generate_latest
        return "".join(parts).encode() + encode(self._process)

    def _lines_of(self, series: TargetSeries) -> Mapping[Metric, str]:
        with self._lock:
            return series.lines()

    def _other_lines(self, series: list[TargetSeries]) -> list[tuple[Metric, str]]:
        with self._lock:
            samples = {metric: dict(values) for metric, values in self._samples.items()}
            incidents = dict(self._incidents)
            lag = self._lag.lines(table.SCHEDULE_LAG.name, "")
            samples |= self._platforms.samples()
        watched: dict[tuple[str, ...], float] = {(one.values[0], one.values[3]): 0 for one in series if one.is_judged}
        samples[table.INCIDENT_ACTIVE] = watched | dict.fromkeys(incidents, 1)
        samples[table.INCIDENT_START] = {
            key: incident.started_before.timestamp() for key, incident in incidents.items()
        }
        lines = [
            (
                metric,
                lag
                if metric.kind is Kind.HISTOGRAM
                else "".join(
                    line(metric.name, label_text(metric.labels, labels), value)
                    for labels, value in samples[metric].items()
                ),
            )
            for metric in table.OTHER_METRICS
        ]
        return [(metric, text) for metric, text in lines if text]

    def _put(self, metric: Metric, value: float, *labels: str) -> None:
        self._samples[metric][labels] = value

    def _add(self, metric: Metric, *labels: str, by: int = 1) -> None:
        samples = self._samples[metric]
        samples[labels] = samples.get(labels, 0) + by
