"""The rules of Grafana's dashboard-linter as its code behaves (commit 4d0844b4), and rules of our own."""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import promql_parser
import pytest
import yaml

from dashboards.source.statuses import LAYERS, NOT_MEASURED, STATUSES
from tests.dashboards.boards import BOARDS, FOLDER, filled_promql, panels, variables
from tests.dashboards.test_promql import grouped_labels, nodes

Board = Mapping[str, Any]
Found = Iterator[tuple[str, str]]  # the panel or variable, and what is wrong
EXCLUSIONS = yaml.safe_load((FOLDER / "lint-exclusions.yaml").read_text())
NUMERIC = {"stat", "singlestat", "graph", "table", "timeseries", "gauge"}


def _targets(board: Board) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    for panel in panels(board):
        for target in panel.get("targets", []):
            yield panel, target


def _parsed(board: Board) -> Iterator[tuple[str, Any]]:
    for panel, target in _targets(board):
        if "expr" in target:
            yield panel["title"], promql_parser.parse(filled_promql(target["expr"]))


def template_datasource(board: Board) -> Found:
    sources = [one["name"] for one in variables(board) if one["type"] == "datasource"]
    if len(sources) != 1 or sources[0] not in {"datasource", "prometheus_datasource"}:
        yield "", f"data source variables {sources}"


def _has_variable(board: Board, name: str) -> Found:
    if not any(one["name"] == name and one.get("allValue") == ".+" for one in variables(board)):
        yield "", f"no variable {name}"


def template_job(board: Board) -> Found:
    return _has_variable(board, "job")


def template_instance(board: Board) -> Found:
    return _has_variable(board, "instance")


def template_label_promql(board: Board) -> Found:
    for one in variables(board):
        if one["type"] == "query" and not re.fullmatch(
            r"(label_values|label_names|metrics|query_result)\(.*\)", one["query"]
        ):
            yield one["name"], "not a query of Prometheus"


def template_on_time_change_reload(board: Board) -> Found:
    for one in variables(board):
        if one["type"] == "query" and one["refresh"] != 2:
            yield one["name"], "is not read again when the time range changes"


def panel_datasource(board: Board) -> Found:
    names = {f"${one['name']}" for one in variables(board) if one["type"] == "datasource"}
    for panel in panels(board):
        uids = [panel["datasource"]["uid"]] if panel.get("targets") else []
        uids += [target["datasource"]["uid"] for target in panel.get("targets", [])]
        if set(uids) - names:
            yield panel["title"], f"data source {uids}"


def panel_title_description(board: Board) -> Found:
    for panel in panels(board):
        if not panel.get("title") or not panel.get("description"):
            yield panel.get("title", "?"), "no title or description"


def panel_units(board: Board) -> Found:
    for panel in panels(board):
        defaults = panel.get("fieldConfig", {}).get("defaults", {})
        fields = panel.get("options", {}).get("reduceOptions", {}).get("fields", "")
        if panel["type"] in NUMERIC and not fields and not defaults.get("unit") and not defaults.get("mappings"):
            yield panel["title"], "no unit"


def panel_no_targets(board: Board) -> Found:
    for panel in panels(board):
        if panel["type"] in NUMERIC and not panel.get("targets"):
            yield panel["title"], "asks nothing"


def target_promql(board: Board) -> Found:
    for panel, target in _targets(board):
        if "expr" not in target:
            yield panel["title"], "no PromQL"


def target_rate_interval(board: Board) -> Found:
    for panel, target in _targets(board):
        for called, window in re.findall(r"\b(rate|irate|increase)\([^()]*\[([^]]+)\]", target.get("expr", "")):
            if window != "$__rate_interval" and (called, window) != ("increase", "$__range"):
                yield panel["title"], f"{called} over {window}"


def target_job(board: Board) -> Found:
    return ((title, "no matcher for job") for title, _ in _parsed(board))


def target_instance(board: Board) -> Found:
    return ((title, "no matcher for instance") for title, _ in _parsed(board))


def target_counter_agg(board: Board) -> Found:
    for title, parsed in _parsed(board):
        rated = {
            argument.vector_selector.name
            for node in nodes(parsed)
            if isinstance(node, promql_parser.Call) and node.func.name in {"rate", "irate", "increase"}
            for argument in node.args
        }
        used = {str(node.name) for node in nodes(parsed) if isinstance(node, promql_parser.VectorSelector)}
        if any(name.endswith("_total") for name in used - rated):
            yield title, "a bare counter"


def uneditable_dashboard(board: Board) -> Found:
    if board["editable"] is not False:
        yield "", "can be edited"


RULES: tuple[Callable[[Board], Found], ...] = (
    template_datasource, template_job, template_instance, template_label_promql, template_on_time_change_reload,
    panel_datasource, panel_title_description, panel_units, panel_no_targets, target_promql, target_rate_interval,
    target_job, target_instance, target_counter_agg, uneditable_dashboard,
)  # fmt: skip


def _name(rule: Callable[[Board], Found]) -> str:
    return rule.__name__.replace("_", "-")


def _excludes(exclusion: Mapping[str, str], rule: str, board: str, place: str) -> bool:
    return (
        exclusion["rule"] == rule
        and exclusion.get("dashboard", board) == board
        and exclusion.get("panel", place) == place
    )


VIOLATIONS = [
    (_name(rule), board, place, what)
    for rule in RULES
    for board, found in BOARDS.items()
    for place, what in rule(found)
]


@pytest.mark.parametrize("rule", [_name(rule) for rule in RULES])
def test_rule_of_the_linter(rule: str) -> None:
    assert [
        (board, place, what)
        for found, board, place, what in VIOLATIONS
        if found == rule and not any(_excludes(exclusion, rule, board, place) for exclusion in EXCLUSIONS)
    ] == []


@pytest.mark.parametrize(
    "exclusion", EXCLUSIONS, ids=lambda one: " ".join(str(value) for value in list(one.values())[:-1])
)
def test_an_exclusion_has_a_reason_and_excludes_something(exclusion: Mapping[str, str]) -> None:
    assert exclusion.keys() <= {"rule", "dashboard", "panel", "reason"}
    assert len(exclusion["reason"]) > 20
    assert any(_excludes(exclusion, rule, board, place) for rule, board, place, _ in VIOLATIONS)


def test_identifiers_and_titles_are_unique() -> None:
    uids = [board["uid"] for board in BOARDS.values()]
    titles = [board["title"] for board in BOARDS.values()]
    assert len(set(uids)) == len(set(titles)) == len(BOARDS)
    for board in BOARDS.values():
        for key in ("id", "title"):
            values = [panel[key] for panel in panels(board)]
            assert len(set(values)) == len(values)


@pytest.mark.parametrize("name", BOARDS)
class TestEachDashboard:
    def test_its_frame(self, name: str) -> None:
        board = BOARDS[name]
        assert board["schemaVersion"] == 42
        assert (board["timezone"], board["refresh"], board["graphTooltip"]) == ("utc", "1m", 1)
        assert (board["time"], board["tags"]) == ({"from": "now-7d", "to": "now"}, ["access-monitor"])
        assert {"version", "__inputs", "__requires", "__elements"} & board.keys() == set()
        assert board.get("id") is None
        assert next(one for one in variables(board) if one["type"] == "datasource")["name"] == "datasource"

    def test_its_grid_has_neither_overlap_nor_hole(self, name: str) -> None:
        cells: set[tuple[int, int]] = set()
        for panel in panels(BOARDS[name]):
            at = panel["gridPos"]
            assert at["x"] >= 0
            assert at["x"] + at["w"] <= 24
            here = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
            assert not here & cells, panel["title"]
            cells |= here
        assert len(cells) == 24 * (max(y for _, y in cells) + 1)

    def test_it_draws_events_and_leads_to_the_others(self, name: str) -> None:
        board = BOARDS[name]
        assert {"Blocks", "Court orders", "Rules and orders", "Claims and planned ends"} <= {
            one["name"] for one in board["annotations"]["list"]
        }
        (link,) = board["links"]
        assert (link["type"], link["tags"], link["keepTime"], link["includeVars"]) == (
            "dashboards", ["access-monitor"], True, True
        )  # fmt: skip

    def test_its_variables_match_no_empty_label(self, name: str) -> None:
        for one in variables(BOARDS[name]):
            if one.get("includeAll"):
                assert (one["multi"], one["allValue"]) == (True, ".+")

    def test_its_timelines_end(self, name: str) -> None:
        for panel in panels(BOARDS[name]):
            if panel["type"] == "state-timeline":
                custom = panel["fieldConfig"]["defaults"]["custom"]
                assert custom["insertNulls"] > 0
                assert custom["spanNulls"] is False
                # What ends must say so, or its last state is drawn until then.
                assert all(" or 0 * max by " in target["expr"] for target in panel["targets"])

    def test_a_status_looks_the_same_everywhere(self, name: str) -> None:
        looks = {
            **{str(look.code): look for look in (NOT_MEASURED, *STATUSES.values())},
            **{str(status): look for status, look in STATUSES.items()},
        }
        colours = {str(status): look.colour for status, look in STATUSES.items()}
        colours |= {layer: look.colour for layer, look in LAYERS.items()}
        for panel in panels(BOARDS[name]):
            for mapping in panel.get("fieldConfig", {}).get("defaults", {}).get("mappings", []):
                if "blocked" in mapping["options"]:
                    assert {key: (one["text"], one["color"]) for key, one in mapping["options"].items()} == {
                        key: (look.text, look.colour) for key, look in looks.items()
                    }
            for override in panel.get("fieldConfig", {}).get("overrides", []):
                for one in override["properties"]:
                    if one["id"] == "color" and override["matcher"]["options"] in colours:
                        assert one["value"]["fixedColor"] == colours[override["matcher"]["options"]]

    def test_it_leads_nowhere_else(self, name: str) -> None:
        for panel in panels(BOARDS[name]):
            for override in panel.get("fieldConfig", {}).get("overrides", []):
                for one in override["properties"]:
                    for link in one["value"] if one["id"] == "links" else ():
                        assert link["url"].startswith(("/d/access-", "${__data.fields.url}")), link

    def test_links_use_columns_that_the_query_has(self, name: str) -> None:
        for panel in (one for one in panels(BOARDS[name]) if one["type"] == "table"):
            (target,) = panel["targets"]
            columns = {"status"}  # where there is none, its look is of no consequence
            if "expr" in target:
                columns |= {"Time", "Value", *grouped_labels(promql_parser.parse(filled_promql(target["expr"])))}
            else:
                columns |= {
                    quoted or bare for quoted, bare in re.findall(r'AS (?:"([^"]+)"|(\w+))', target["rawQueryText"])
                }
            named = {override["matcher"]["options"] for override in panel["fieldConfig"]["overrides"]}
            linked = set(re.findall(r"\$\{__data\.fields\.(\w+)\}", str(panel["fieldConfig"])))
            assert (named | linked) - columns == set(), panel["title"]
