"""The dashboard `daemon`: whether the daemon itself is well."""

from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models import units

from dashboards.source import frame
from dashboards.source.panels import Panel, chart, number, rows
from dashboards.source.queries import prom, prom_now, prom_table
from dashboards.source.statuses import YES_NO

OURS = "and on (job, instance) monitor_build_info"


def _quantile(share: str) -> str:
    buckets = "sum by (instance, le) (rate(monitor_schedule_lag_seconds_bucket[$__rate_interval]))"
    return f"histogram_quantile({share}, {buckets})"


def _scraped() -> Panel:
    return number(
        "Scraped",
        "Whether the latest scrape of each daemon succeeded. None for one that Prometheus never saw.",
        prom_now("up and on (job, instance) last_over_time(monitor_build_info[1d])", "{{instance}}"),
        named=True,
        looks=YES_NO,
    )


def _configuration_taken() -> Panel:
    return number(
        "Configuration taken",
        "Whether the latest reading of the configuration succeeded; if not, the one before it is in use.",
        prom_now("monitor_config_last_reload_successful", "{{instance}}"),
        named=True,
        looks=YES_NO,
    )


def _configuration_in_use_for() -> Panel:
    return number(
        "Configuration in use for",
        "How long ago a configuration was last taken into use.",
        prom_now("time() - monitor_config_last_reload_success_timestamp_seconds", "{{instance}}"),
        units.Seconds,
        named=True,
    )


def _runs_lost() -> Panel:
    return number(
        "Runs lost",
        "Runs of the time range lost because the database could not be written, or refused.",
        prom_now(
            "sum(increase(monitor_store_lost_total[$__range])) + sum(increase(monitor_store_refused_total[$__range]))"
        ),
        alarm_from=1,
        decimals=0,
    )


def _schedule_lag() -> Panel:
    return chart(
        "Schedule lag",
        "How much later than due runs started. A gap where none started.",
        prom(_quantile("0.5"), "half of {{instance}}"),
        prom(_quantile("0.99"), "99 % of {{instance}}", "B"),
        unit=units.Seconds,
    )


def _runs() -> Panel:
    return chart(
        "Runs",
        "Runs active now, and runs per second that were left out.",
        prom("sum by (instance) (monitor_runs_in_flight)", "active at {{instance}}"),
        prom(
            "sum by (instance) (rate(monitor_runs_skipped_total[$__rate_interval]))"
            " or 0 * max by (instance) (monitor_build_info)",
            "left out per second at {{instance}}",
            "B",
        ),
    )


def _measurements() -> Panel:
    return chart(
        "Measurements",
        "Measurements per second by vantage.",
        prom("sum by (vantage) (rate(monitor_measurements_total[$__rate_interval]))", "{{vantage}}"),
        unit=units.CountsPerSecond,
        stacked=True,
    )


def _runs_waiting_to_be_written() -> Panel:
    return chart(
        "Runs waiting to be written",
        "Waiting, and kept in memory because the database cannot be written. What is beyond the memory "
        "for them is lost.",
        prom("sum by (instance) (monitor_store_pending)", "waiting at {{instance}}"),
        prom("sum by (instance) (monitor_store_spooled)", "kept in memory at {{instance}}", "B"),
    )


def _database() -> Panel:
    return chart(
        "Database",
        "Size of the file and of its write-ahead log.",
        prom("monitor_store_file_bytes", "file at {{instance}}"),
        prom("monitor_store_wal_bytes", "log at {{instance}}", "B"),
        unit=units.BytesIEC,
    )


def _writing() -> Panel:
    return chart(
        "Writing",
        "How long the latest commit took.",
        prom("monitor_store_last_commit_duration_seconds", "{{instance}}"),
        unit=units.Seconds,
    )


def _database_trouble() -> Panel:
    return number(
        "Database trouble",
        "1 for the error that keeps the database from being written; 0 while nothing does.",
        prom_now("max by (error) (monitor_store_failing) or vector(0)", "{{error}}"),
        named=True,
        alarm_from=1,
    )


def _memory() -> Panel:
    return chart(
        "Memory",
        "Resident memory of the daemon.",
        prom(f"process_resident_memory_bytes {OURS}", "{{instance}}"),
        unit=units.BytesIEC,
    )


def _processor() -> Panel:
    return chart(
        "Processor",
        "Processors in use by the daemon.",
        prom(f"rate(process_cpu_seconds_total[$__rate_interval]) {OURS}", "{{instance}}"),
    )


def _versions() -> Panel:
    return rows(
        "Versions",
        "Program and rules of each daemon. Verdicts of different rules are not comparable.",
        prom_table("max by (instance, version, rules_version) (monitor_build_info)"),
        hidden=("Time", "Value"),
    )


def build() -> model.Dashboard:
    """Return the dashboard."""
    return frame.dashboard(
        "access-daemon",
        "Access: daemon",
        "Is the daemon itself well?",
        [],
        [
            (5, [(_scraped(), 6), (_configuration_taken(), 6), (_configuration_in_use_for(), 6), (_runs_lost(), 6)]),
            (8, [(_schedule_lag(), 12), (_runs(), 12)]),
            (8, [(_measurements(), 12), (_runs_waiting_to_be_written(), 12)]),
            (8, [(_database(), 8), (_writing(), 8), (_database_trouble(), 8)]),
            (8, [(_memory(), 8), (_processor(), 8), (_versions(), 8)]),
        ],
    )
