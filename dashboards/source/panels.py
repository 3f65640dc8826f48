"""Panels as this project draws them. Each has a title, a description that says when a value is absent, and a unit."""

from collections.abc import Mapping, Sequence
from typing import Final

from grafana_foundation_sdk.builders import common as common_builder
from grafana_foundation_sdk.builders import dashboard as builder
from grafana_foundation_sdk.builders import stat, statetimeline, statushistory, table, text, timeseries
from grafana_foundation_sdk.cog import builder as cog_builder
from grafana_foundation_sdk.cog import variants
from grafana_foundation_sdk.models import common, units
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models import text as text_model

from dashboards.source.queries import DAY, SQLITE, Query
from dashboards.source.statuses import Look, code_mapping, status_mapping

NEUTRAL: Final = "#4393C3"
ALARM: Final = "#E0433A"
TIME_COLUMN: Final = units.DatetimeISO

Target = cog_builder.Builder[variants.Dataquery]
Panel = cog_builder.Builder[model.Panel]


def sentence(title: str, description: str, query: Query) -> stat.Panel:
    """One line of text for each row of the column `sentence`."""
    # A stat reads numbers only unless it is told the field.
    reading = common_builder.ReduceDataOptions().values(True).calcs(["lastNotNull"]).fields("/^sentence$/").limit(12)
    return (
        stat.Panel()
        .title(title)
        .description(description)
        .datasource(SQLITE)
        .targets([query])
        .reduce_options(reading)
        .text_mode(common.BigValueTextMode.VALUE)
        .color_mode(common.BigValueColorMode.NONE)
        .graph_mode(common.BigValueGraphMode.NONE)
        .justify_mode(common.BigValueJustifyMode.AUTO)
        .orientation(common.VizOrientation.HORIZONTAL)
        .text(common_builder.VizTextDisplayOptions().value_size(18))
        .no_value("not measured")
    )


def number(
    title: str,
    description: str,
    target: Target,
    unit: str = units.Short,
    *,
    named: bool = False,
    looks: Sequence[Look] = (),
    alarm_from: float | None = None,
    decimals: float | None = None,
) -> stat.Panel:
    """One number, or one for each series if `named`; from `alarm_from` on it is coloured as a trouble."""
    steps = [model.Threshold(value=None, color=NEUTRAL)]
    if alarm_from is not None:
        steps.append(model.Threshold(value=alarm_from, color=ALARM))
    panel = (
        stat.Panel()
        .title(title)
        .description(description)
        .targets([target])
        .reduce_options(common_builder.ReduceDataOptions().calcs(["lastNotNull"]).values(False))
        .text_mode(common.BigValueTextMode.VALUE_AND_NAME if named else common.BigValueTextMode.VALUE)
        .color_mode(common.BigValueColorMode.VALUE)
        .graph_mode(common.BigValueGraphMode.NONE)
        .unit(unit)
        .thresholds(builder.ThresholdsConfig().mode(model.ThresholdsMode.ABSOLUTE).steps(steps))
        .mappings(code_mapping(looks) if looks else [])
        .no_value("none")
    )
    return panel if decimals is None else panel.decimals(decimals)


def chart(
    title: str,
    description: str,
    *targets: Target,
    unit: str = units.Short,
    stacked: bool = False,
    bars: bool = False,
    ceiling: float | None = None,
    colours: Mapping[str, str] | None = None,
) -> timeseries.Panel:
    """Lines over time, or bars. `colours` belong to series by name: Grafana's own change when a series appears."""
    panel = (
        timeseries.Panel()
        .title(title)
        .description(description)
        .targets(list(targets))
        .unit(unit)
        .min(0)
        .span_nulls(False)
        .draw_style(common.GraphDrawStyle.BARS if bars else common.GraphDrawStyle.LINE)
        .line_width(1)
        .fill_opacity(80 if bars else 30 if stacked else 0)
        .show_points(common.VisibilityMode.AUTO)
        .legend(
            common_builder.VizLegendOptions()
            .show_legend(True)
            .display_mode(common.LegendDisplayMode.LIST)
            .placement(common.LegendPlacement.BOTTOM)
            .calcs([])
        )
        .tooltip(common_builder.VizTooltipOptions().mode(common.TooltipDisplayMode.MULTI).sort(common.SortOrder.NONE))
    )
    if stacked:
        panel.stacking(common_builder.StackingConfig().mode(common.StackingMode.NORMAL).group("A"))
    if ceiling is not None:
        panel.max(ceiling)
    for name, colour in (colours or {}).items():
        panel.override_by_name(name, [_value("color", {"mode": "fixed", "fixedColor": colour})])
    return panel


def timeline(title: str, description: str, target: Target, looks: Sequence[Look] = ()) -> statetimeline.Panel:
    """States of series, one row each; `looks` other than those of the statuses."""
    return (
        statetimeline.Panel()
        .title(title)
        .description(description)
        .targets([target])
        .mappings(code_mapping(looks) if looks else status_mapping())
        .unit(units.Short)
        # Wide enough that even a year has more points than this; what ends is ended by the query's own 0.
        .insert_nulls(DAY)
        .span_nulls(False)
        # Two minutes hold a scrape even where somebody scrapes only once a minute.
        .interval("2m")
        .merge_values(True)
        .show_value(common.VisibilityMode.NEVER)
        .align_value(common.TimelineValueAlignment.LEFT)
        .row_height(0.9)
        .per_page(20)
        .line_width(1)
        .fill_opacity(85)
        .legend(_legend())
        .tooltip(common_builder.VizTooltipOptions().mode(common.TooltipDisplayMode.SINGLE).sort(common.SortOrder.NONE))
    )


def history(title: str, description: str, target: Target) -> statushistory.Panel:
    """Show the status of series in cells of equal length."""
    return (
        statushistory.Panel()
        .title(title)
        .description(description)
        .targets([target])
        .mappings(status_mapping())
        .unit(units.Short)
        # More cells than pixels are an error in this panel.
        .interval("10m")
        .max_data_points(150)
        .show_value(common.VisibilityMode.NEVER)
        .row_height(0.9)
        .col_width(0.95)
        .per_page(30)
        .line_width(1)
        .fill_opacity(85)
        .legend(_legend())
        .tooltip(common_builder.VizTooltipOptions().mode(common.TooltipDisplayMode.SINGLE).sort(common.SortOrder.NONE))
    )


def rows(
    title: str,
    description: str,
    target: Target,
    *,
    times: Sequence[str] = (),
    links: Mapping[str, tuple[str, str]] | None = None,
    widths: Mapping[str, float] | None = None,
    hidden: Sequence[str] = (),
    unit_of: Mapping[str, str] | None = None,
    headed: Mapping[str, str] | None = None,
    largest_first: str | None = None,
) -> table.Panel:
    """Rows. `links` gives a column the title and URL of a link, `times` are shown in ISO 8601, `headed` renames."""
    panel = (
        table.Panel()
        .title(title)
        .description(description)
        .targets([target])
        .unit(units.NoUnit)
        .mappings(status_mapping())
        .show_header(True)
        .no_value("none")
    )
    if largest_first is not None:
        panel.sort_by([common_builder.TableSortByFieldState().display_name(largest_first).desc(True)])
    overrides: dict[str, list[model.DynamicConfigValue]] = {}

    def add(column: str, key: str, value: object) -> None:
        overrides.setdefault(column, []).append(_value(key, value))

    for column in times:
        add(column, "unit", TIME_COLUMN)
        add(column, "custom.width", 190)
    for column, unit in (unit_of or {}).items():
        add(column, "unit", unit)
    for column, name in (headed or {}).items():
        add(column, "displayName", name)
    for column, width in (widths or {}).items():
        add(column, "custom.width", width)
    for column, (label, url) in (links or {}).items():
        add(column, "links", [{"title": label, "url": url, "targetBlank": url.startswith("${")}])
    for column in hidden:
        add(column, "custom.hidden", True)
    add("status", "custom.cellOptions", {"type": "color-text"})
    for column, values in overrides.items():
        panel.override_by_name(column, values)
    return panel


def words(title: str, description: str, content: str) -> text.Panel:
    """Markdown."""
    return text.Panel().title(title).description(description).mode(text_model.TextMode.MARKDOWN).content(content)


def _legend() -> common_builder.VizLegendOptions:
    return (
        common_builder.VizLegendOptions()
        .show_legend(True)
        .display_mode(common.LegendDisplayMode.LIST)
        .placement(common.LegendPlacement.BOTTOM)
        .calcs([])
    )


def _value(key: str, value: object) -> model.DynamicConfigValue:
    return model.DynamicConfigValue(id_val=key, value=value)
