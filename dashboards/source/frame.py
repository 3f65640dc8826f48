"""What every dashboard has: data sources, variables, event annotations, links to the others, a grid."""

from collections.abc import Sequence
from typing import Final

from grafana_foundation_sdk.builders import dashboard as builder
from grafana_foundation_sdk.cog import builder as cog_builder
from grafana_foundation_sdk.cog import variants
from grafana_foundation_sdk.models import common, prometheus
from grafana_foundation_sdk.models import dashboard as model

from dashboards.source.panels import Panel
from dashboards.source.queries import ALL, GRAFANA, INFINITY, NOW, PROMETHEUS, SQLITE, Query, chosen, sql

TAG: Final = "access-monitor"
WIDTH: Final = 24
END_OF_TIME: Final = 9_999_999_999  # epoch seconds
MOST_PUSHED: Final = 500

Row = tuple[int, Sequence[tuple[Panel, int]]]  # height, and panels with their widths

# Grafana colours annotations by query, not by event.
GROUPS: Final = {
    "Blocks": ("#E0433A", ("block", "throttle", "shutdown")),
    "Openings and restorations": ("#4393C3", ("unblock", "opening")),
    "Court orders": ("#B5489A", ("court_order",)),
    "Rules and orders": (
        "#E69F00",
        ("statute", "rules", "notification", "directive", "licence", "deadline", "consultation", "infrastructure"),
    ),
    "Statements and letters": ("#808080", ("statement", "letter")),
    # What was said and what sources disagree about: never the end of an event's own region.
    "Claims and planned ends": ("#A0A0A0", ("claim",)),
    "Dates in dispute": ("#F4A6A0", ("disputed",)),
}


def dashboard(
    uid: str, title: str, description: str, variables: Sequence[builder.QueryVariable], rows: Sequence[Row]
) -> model.Dashboard:
    """Return a dashboard; the panels of each row stand side by side."""
    board = (
        builder.Dashboard(title)
        .uid(uid)
        .description(description)
        .tags([TAG])
        .timezone("utc")
        .readonly()
        .refresh("1m")
        .tooltip(model.DashboardCursorSync.CROSSHAIR)
        .time("now-7d", "now")
        .links(
            [
                builder.DashboardLink("Access")
                .type(model.DashboardLinkType.DASHBOARDS)
                .tags([TAG])
                .icon("external link")
                .tooltip("The other dashboards, with this time range and these choices")
                .as_dropdown(False)
                .keep_time(True)
                .include_vars(True)
                .target_blank(False)
            ]
        )
        .variables(
            [
                builder.DatasourceVariable("datasource").label("Data source").type("prometheus"),
                builder.DatasourceVariable("events_ds")
                .label("Events (SQLite)")
                .type("frser-sqlite-datasource")
                .hide(model.VariableHide.DONT_HIDE),
                builder.DatasourceVariable("events_api")
                .label("Events (HTTP)")
                .type("yesoreyeram-infinity-datasource")
                .hide(model.VariableHide.HIDE_VARIABLE),
                *variables,
            ]
        )
        .annotations(annotations({variable.build().name for variable in variables}))
    )
    top = 0
    number = 1
    for height, panels in rows:
        left = 0
        for panel, width in panels:
            built = panel.build()
            built.grid_pos = model.GridPos(h=height, w=width, x=left, y=top)
            built.id_val = number
            if built.targets:
                built.datasource = source_of(built.targets[0])
            board.with_panel(_Placed(built))
            left, number = left + width, number + 1
        top += height
    return board.build()


def source_of(query: variants.Dataquery) -> common.DataSourceRef | None:
    """Return the data source that a query names."""
    return query.datasource if isinstance(query, (Query, prometheus.Dataquery)) else None


class _Placed(builder.Panel):
    """A panel that stands where it was put."""

    def __init__(self, panel: model.Panel) -> None:
        super().__init__()
        self._internal = panel


def chosen_values(name: str, label: str, query: str, *, several: bool = True) -> builder.QueryVariable:
    """Return a variable whose values come from Prometheus."""
    variable = (
        builder.QueryVariable(name)
        .label(label)
        .datasource(PROMETHEUS)
        .query(query)
        .refresh(model.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(model.VariableSort.ALPHABETICAL_ASC)
        .multi(several)
        .include_all(several)
    )
    if several:
        variable.all_value(ALL).current(model.VariableOption(selected=True, text="All", value="$__all"))
    return variable


def country() -> builder.QueryVariable:
    """Return the variable `country`."""
    return chosen_values("country", "Country", "label_values(access_target_status, country)")


def platform(*, several: bool = True) -> builder.QueryVariable:
    """Return the variable `platform`, of those measured in the countries chosen."""
    query = 'label_values(access_target_status{country=~"$country"}, platform)'
    return chosen_values("platform", "Platform", query, several=several)


def vantage() -> builder.QueryVariable:
    """Return the variable `vantage`."""
    return chosen_values("vantage", "Vantage", "label_values(access_vantage_online, vantage)")


def event() -> builder.QueryVariable:
    """Return the variable `event`: titles to choose from, ids as values."""
    query = sql(
        """SELECT date(starts_at / 1000, 'unixepoch') || ' ' || title AS __text, id AS __value
        FROM event WHERE id IN (SELECT id FROM event_annotation) ORDER BY starts_at DESC"""
    )
    return (
        builder.QueryVariable("event")
        .label("Event")
        .datasource(SQLITE)
        .query(str(query.keys["rawQueryText"]))
        .refresh(model.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(model.VariableSort.DISABLED)
        .multi(False)
        .include_all(False)
    )


def annotations(variables: set[str]) -> list[cog_builder.Builder[model.AnnotationQuery]]:
    """Return the annotation queries of a dashboard that has these variables.

    Events are asked for by overlap with the time range, not by their start. They come from the database and not from
    Prometheus, which cannot show what happened before it scraped.
    """
    found: list[cog_builder.Builder[model.AnnotationQuery]] = [
        _annotation(name, colour, _events(kinds, variables)) for name, (colour, kinds) in GROUPS.items()
    ]
    found.append(_annotation("Incidents measured here", "#8B1A1A", _incidents(variables)))
    by_http = Query(
        INFINITY,
        refId="Events by HTTP",
        type="json",
        source="url",
        format="dataframe",
        parser="backend",
        url="/api/v1/annotations?from=${__from}&to=${__to}",
        root_selector="",
        url_options={"method": "GET"},
        columns=[
            {"selector": key, "text": key, "type": "timestamp_epoch" if key.startswith("time") else "string"}
            for key in ("time", "timeEnd", "title", "text", "tags", "id")
        ],
    )
    # What `monitor events push-grafana` put there; nothing where it never ran.
    pushed = Query(GRAFANA, type="tags", tags=[TAG], matchAny=False, limit=MOST_PUSHED)
    found.append(_annotation("Events pushed to Grafana", "#E69F00", pushed).datasource(GRAFANA))
    # For a Grafana that cannot read the file; beside the queries above it would draw everything twice.
    found.append(_annotation("Events by HTTP", "#E69F00", by_http).datasource(INFINITY).enable(False))
    return found


def _annotation(name: str, colour: str, query: Query) -> builder.AnnotationQuery:
    return builder.AnnotationQuery().name(name).datasource(SQLITE).enable(True).icon_color(colour).target(query)


def _where(variables: set[str], prefix: str = "") -> str:
    conditions = [
        chosen(f"{prefix}{name}", name, or_null=True) for name in ("country", "platform") if name in variables
    ]
    return "".join(f" AND {condition}" for condition in conditions)


def _events(kinds: Sequence[str], variables: set[str]) -> Query:
    listed = ", ".join(f"'{kind}'" for kind in kinds)
    return sql(
        f"""SELECT time, max(time, coalesce(time_end, {NOW})) AS timeEnd, title, text, tags, id FROM event_annotation
        WHERE time <= $__to / 1000 AND coalesce(time_end, {END_OF_TIME}) >= $__from / 1000 AND kind IN ({listed})
        {_where(variables)} GROUP BY id ORDER BY time""",
        "time",
        "timeEnd",
        ref="Events",
    )


def _incidents(variables: set[str]) -> Query:
    return sql(
        f"""SELECT i.started_before / 1000 AS time, coalesce(i.closed_at / 1000, {NOW}) AS timeEnd,
        i.platform || ' ' || i.status || ' in ' || i.country AS title,
        'Measured here: ' || coalesce((SELECT group_concat(value, ', ') FROM json_each(i.mechanisms)), '')
        || '. It began between ' || coalesce(datetime(i.started_after / 1000, 'unixepoch'), 'an unknown time')
        || ' and ' || datetime(i.started_before / 1000, 'unixepoch') || ' UTC.' AS text,
        'incident,' || i.status AS tags, i.id AS id FROM incident i
        WHERE i.started_before <= $__to AND coalesce(i.closed_at / 1000, {END_OF_TIME}) >= $__from / 1000
        {_where(variables, "i.")} ORDER BY i.started_before""",
        "time",
        "timeEnd",
        ref="Incidents",
    )
