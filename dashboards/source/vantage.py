"""The dashboard `vantage`: whether the numbers can be trusted."""

from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models import units

from dashboards.source import frame
from dashboards.source.panels import Panel, chart, number, rows, timeline
from dashboards.source.queries import online_codes, prom, prom_now, prom_table
from dashboards.source.statuses import ONLINE, STATUSES

HERE = 'vantage=~"$vantage"'
CONTROLS = 'group by (vantage) (monitor_measurements_total{status="unjudged"})'


STALE = f"time() - access_last_measurement_timestamp_seconds{{{HERE}}} > 3 * access_probe_interval_seconds"


def _last_complete_round() -> Panel:
    return number(
        "Last complete round",
        "How long ago the latest complete round of each vantage began. None for one that never ran.",
        prom_now(f"time() - max by (vantage) (monitor_last_round_timestamp_seconds{{{HERE}}})", "{{vantage}}"),
        units.Seconds,
        named=True,
        alarm_from=1800,
    )


def _online() -> Panel:
    return number(
        "Online",
        "Whether the latest sanity checks found the vantage online. While one is not, its verdicts are inconclusive.",
        prom_now(online_codes(HERE), "{{vantage}}"),
        named=True,
        looks=ONLINE,
    )


def _targets_nobody_looks_at() -> Panel:
    return number(
        "Targets nobody looks at",
        "Targets, each from one vantage, whose latest measurement is older than three intervals.",
        prom_now(f"count({STALE}) or vector(0)"),
        alarm_from=1,
    )


def _controls_online() -> Panel:
    return number(
        "Controls online",
        "Share of the control vantages that are online. None without a control vantage: then a block by "
        "address cannot be told from an outage.",
        prom_now(f"avg(access_vantage_online and on (vantage) {CONTROLS})"),
        units.PercentUnit,
    )


def _online_over_time() -> Panel:
    return timeline(
        "Online over time",
        'What the sanity checks of each vantage found. "Not measured" for a day after the last, then empty.',
        prom(online_codes(HERE), "{{vantage}}"),
        ONLINE,
    )


def _rounds_by_verdict() -> Panel:
    return chart(
        "Rounds by verdict",
        "Measurements per second by the status of their verdict; those of a control are not judged.",
        prom(f"sum by (status) (rate(monitor_measurements_total{{{HERE}}}[$__rate_interval]))", "{{status}}"),
        unit=units.CountsPerSecond,
        stacked=True,
        colours={str(status): look.colour for status, look in STATUSES.items()},
    )


def _rounds_dropped_by_reason() -> Panel:
    return chart(
        "Rounds dropped, by reason",
        "Rounds per second that say nothing about access and that detection leaves out.",
        prom(
            f"sum by (vantage, reason) (rate(monitor_rounds_dropped_total{{{HERE}}}[$__rate_interval]))",
            "{{reason}} at {{vantage}}",
        ),
        unit=units.CountsPerSecond,
        stacked=True,
    )


def _cannot_tell_by_reason() -> Panel:
    return chart(
        "Cannot tell, by reason",
        "Targets whose latest verdict is inconclusive. Empty while every verdict is clear.",
        prom(f"count by (vantage, reason) (access_target_inconclusive{{{HERE}}} == 1)", "{{reason}} at {{vantage}}"),
        stacked=True,
    )


def _deep_runs_and_runs_left_out() -> Panel:
    return chart(
        "Deep runs and runs left out",
        "Per second: measurements that went on to isolate a cause, and runs left out because the one "
        "before was still active or the program too busy.",
        prom(f"sum by (vantage) (rate(monitor_deep_runs_total{{{HERE}}}[$__rate_interval]))", "deep at {{vantage}}"),
        prom(
            # A run left out makes the series; until then there is nothing to count.
            f"sum by (vantage) (rate(monitor_runs_skipped_total{{{HERE}}}[$__rate_interval]))"
            f" or 0 * max by (vantage) (access_vantage_online{{{HERE}}})",
            "left out at {{vantage}}",
            "B",
        ),
        unit=units.CountsPerSecond,
    )


def _networks() -> Panel:
    return rows(
        "Networks",
        "The networks each vantage was on when it last measured, with the number of targets. A vantage "
        "that moves begins new series.",
        prom_table(f"count by (vantage, country, asn) (access_last_measurement_timestamp_seconds{{{HERE}}})"),
        headed={"Value": "targets"},
        hidden=("Time",),
    )


def _oldest_measurements() -> Panel:
    return rows(
        "Oldest measurements",
        "The targets that were measured longest ago, and how long that is.",
        prom_table(
            f"topk(20, time() - max by (target, vantage, asn) (access_last_measurement_timestamp_seconds{{{HERE}}}))"
        ),
        headed={"Value": "age"},
        unit_of={"Value": units.Seconds},
        hidden=("Time",),
        largest_first="age",
    )


def build() -> model.Dashboard:
    """Return the dashboard."""
    return frame.dashboard(
        "access-vantage",
        "Access: vantages",
        "Can the numbers be trusted?",
        [frame.vantage()],
        [
            (
                6,
                [(_last_complete_round(), 8), (_online(), 8), (_targets_nobody_looks_at(), 4), (_controls_online(), 4)],
            ),
            (7, [(_online_over_time(), 24)]),
            (9, [(_rounds_by_verdict(), 12), (_rounds_dropped_by_reason(), 12)]),
            (9, [(_cannot_tell_by_reason(), 12), (_deep_runs_and_runs_left_out(), 12)]),
            (9, [(_networks(), 12), (_oldest_measurements(), 12)]),
        ],
    )
