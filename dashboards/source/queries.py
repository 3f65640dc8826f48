"""What the panels ask: PromQL of Prometheus, SQL of the SQLite data source.

Traps that the expressions here step around (docs/grafana.md, "Traps"):

- A gauge keeps its last value as long as it is scraped, however old the measurement behind it is: `FRESH`.
- A state timeline draws a state until the next one, so a series that ends is followed by an explicit "not measured".
- A short block falls between two steps of a wide chart: the gravest status of each step is taken, not the last.
- "All" of a variable that has an `allValue` reaches SQL bare, so it is compared as text: `chosen`.
"""

from typing import Final

from grafana_foundation_sdk.builders import prometheus as prometheus_builder
from grafana_foundation_sdk.cog import builder as cog_builder
from grafana_foundation_sdk.cog import variants
from grafana_foundation_sdk.models import common
from grafana_foundation_sdk.models import prometheus as prometheus_model

from dashboards.source.statuses import LAYERS, STATUSES

PROMETHEUS: Final = common.DataSourceRef(type_val="prometheus", uid="$datasource")
SQLITE: Final = common.DataSourceRef(type_val="frser-sqlite-datasource", uid="$events_ds")
INFINITY: Final = common.DataSourceRef(type_val="yesoreyeram-infinity-datasource", uid="$events_api")

GRAFANA: Final = common.DataSourceRef(type_val="grafana", uid="-- Grafana --")  # its own store, the same everywhere

ALL: Final = ".+"  # and not `.*`: an empty label must not match
MINUTE: Final = 60_000  # milliseconds
DAY: Final = 24 * 60 * MINUTE
SERIES: Final = "platform, target, vantage, country, asn"
FRESH: Final = (
    f"unless on ({SERIES}) (time() - access_last_measurement_timestamp_seconds > 3 * access_probe_interval_seconds)"
)
CHOSEN: Final = 'platform=~"$platform",country=~"$country"'
NOW: Final = "CAST(strftime('%s', 'now') AS INTEGER)"  # without the cast it is text, which sorts above every number


class Query(cog_builder.Builder[variants.Dataquery], variants.Dataquery):
    """A query of a data source that the library does not know."""

    def __init__(self, datasource: common.DataSourceRef, **keys: object) -> None:
        """Take the keys as the plug-in names them."""
        self.keys = keys
        self.datasource = datasource

    def build(self) -> variants.Dataquery:
        """Return itself: the query is as it will be written."""
        return self

    def to_json(self) -> dict[str, object]:
        """Return the query as the dashboard holds it."""
        return {"datasource": self.datasource, **self.keys}


def prom(expr: str, legend: str = "", ref: str = "A") -> prometheus_builder.Dataquery:
    """Ask over the dashboard's time range."""
    return prometheus_builder.Dataquery().datasource(PROMETHEUS).ref_id(ref).expr(expr).legend_format(legend).range()


def prom_now(expr: str, legend: str = "", ref: str = "A") -> prometheus_builder.Dataquery:
    """Ask for the end of the time range only."""
    return prom(expr, legend, ref).instant()


def prom_table(expr: str, ref: str = "A") -> prometheus_builder.Dataquery:
    """Ask for the end of the time range, as rows of a table."""
    return prom_now(expr, ref=ref).format(prometheus_model.PromQueryFormat.TABLE)


def sql(text: str, *times: str, kind: str = "table", ref: str = "A") -> Query:
    """Ask the database; `times` are the columns in epoch seconds that are to be times."""
    return Query(SQLITE, refId=ref, queryType=kind, rawQueryText=" ".join(text.split()), timeColumns=list(times))


def chosen(column: str, variable: str, *, or_null: bool = False) -> str:
    """Return an SQL condition: the column is among the values chosen, or all are.

    Grafana writes "All" as the variable's `allValue` and does not quote it, whatever the format asked for.
    """
    value = f"'${{{variable}:csv}}'"
    here = f"{value} = '{ALL}' OR instr(',' || {value} || ',', ',' || {column} || ',') > 0"
    return f"({column} IS NULL OR {here})" if or_null else f"({here})"


def status_codes(by: str) -> str:
    """Return the gravest status of targets in each step as a number; 0 for a day after the last measurement."""
    known = f"0 * max by ({by}) (present_over_time(access_target_status{{{CHOSEN}}}[1d]))"
    return f"max by ({by}) (({_codes('access_target_status')}) {FRESH}) or {known}"


def platform_codes() -> str:
    """Return the gravest status of platforms in each step as a number; 0 for a day after it was last known.

    The daemon rolls targets and networks up by the platform's own rule, and leaves out what is stale.
    """
    known = f"0 * max by (platform, country) (present_over_time(access_platform_status{{{CHOSEN}}}[1d]))"
    return f"max by (platform, country) ({_codes('access_platform_status')}) or {known}"


def _codes(metric: str) -> str:
    return " or ".join(
        f'{look.code} * (max_over_time({metric}{{{CHOSEN},status="{status}"}}[$__interval]) == 1)'
        for status, look in STATUSES.items()
    )


def layer_codes(by: str) -> str:
    """Return the layer of each mechanism seen in a step as a number; 0 for a day after it was last seen."""
    terms = " or ".join(
        f'{look.code} * max_over_time(access_target_mechanism{{{CHOSEN},mechanism=~"{layer}[.].+"}}[$__interval])'
        for layer, look in LAYERS.items()
    )
    known = f"0 * max by ({by}) (present_over_time(access_target_mechanism{{{CHOSEN}}}[1d]))"
    return f"max by ({by}) (({terms}) {FRESH}) or {known}"


def online_codes(selector: str) -> str:
    """Return 2 for a vantage that is online, 1 for one that is not, 0 for a day after anything was known of it."""
    known = f"0 * max by (vantage) (present_over_time(access_vantage_online{{{selector}}}[1d]))"
    return f"1 + min by (vantage) (min_over_time(access_vantage_online{{{selector}}}[$__interval])) or {known}"
