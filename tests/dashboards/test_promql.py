"""Every expression parses, and names only metrics and labels that the exporter has."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml

from dashboards.source.statuses import STATUSES
from monitor.exporter import table
from monitor.exporter.table import Kind
from monitor.model.verdict import Status
from tests.dashboards.boards import FOLDER, Asked, filled_promql, promql

# Metrics that are agreed on but not exported yet. Whoever exports one takes it off here.
NOT_YET_EXPORTED: dict[str, set[str]] = {}

OF_PROMETHEUS = {"job", "instance"}
RULES = [
    (group["name"], rule.get("alert") or rule["record"], rule["expr"])
    for path in sorted((FOLDER / "prometheus").glob("*.rules.yaml"))
    for group in yaml.safe_load(path.read_text())["groups"]
    for rule in group["rules"]
]
EXPRESSIONS = [*promql(), *(Asked(group, name, expr) for group, name, expr in RULES)]


def _exported() -> dict[str, set[str]]:
    """Return every series name of /metrics with its labels."""
    found: dict[str, set[str]] = {
        "up": set(),
        "process_resident_memory_bytes": set(),
        "process_cpu_seconds_total": set(),
    }
    for metric in table.TARGET_METRICS + table.OTHER_METRICS:
        if metric.kind is Kind.HISTOGRAM:
            found |= {f"{metric.name}_{part}": set(metric.labels) for part in ("count", "sum")}
            found[f"{metric.name}_bucket"] = {*metric.labels, "le"}
        else:
            found[metric.name] = set(metric.labels)
    return found


def _recorded() -> dict[str, set[str]]:
    """Return what the recording rules make, with the labels that they leave."""
    recorded = {}
    for _, name, expr in RULES:
        if ":" in name:
            parsed = promql_parser.parse(expr)
            assert isinstance(parsed, promql_parser.AggregateExpr)
            recorded[name] = set(parsed.modifier.labels) if parsed.modifier else set()
    return recorded


KNOWN = _exported() | _recorded() | NOT_YET_EXPORTED


def nodes(expr: Any) -> Iterator[Any]:
    """Yield a parsed expression and everything in it."""
    if expr is None:
        return
    yield expr
    for part in ("expr", "lhs", "rhs", "param", "vector_selector"):
        yield from nodes(getattr(expr, part, None))
    for argument in getattr(expr, "args", ()):
        yield from nodes(argument)


def selectors(expr: Any) -> Iterator[tuple[str, dict[str, str]]]:
    for node in nodes(expr):
        if isinstance(node, promql_parser.VectorSelector):
            yield str(node.name), {matcher.name: matcher.value for matcher in node.matchers.matchers}


def made_labels(expr: Any) -> set[str]:
    """Return the labels that `label_replace` makes."""
    return {
        node.args[1].val
        for node in nodes(expr)
        if isinstance(node, promql_parser.Call) and node.func.name == "label_replace"
    }


def grouped_labels(expr: Any) -> Iterator[str]:
    for node in nodes(expr):
        modifier = getattr(node, "modifier", None)
        if isinstance(node, promql_parser.AggregateExpr) and modifier is not None:
            yield from modifier.labels
        if isinstance(node, promql_parser.BinaryExpr) and modifier is not None and modifier.matching is not None:
            yield from modifier.matching.labels


@pytest.mark.parametrize("asked", EXPRESSIONS, ids=str)
def test_it_names_only_what_is_exported(asked: Asked) -> None:
    parsed = promql_parser.parse(filled_promql(asked.text))
    found = dict.fromkeys(name for name, _ in selectors(parsed))
    assert found
    assert [name for name in found if name not in KNOWN] == []
    for name, matchers in selectors(parsed):
        assert matchers.keys() - KNOWN[name] - OF_PROMETHEUS == set(), name
    labels = set().union(*(KNOWN[name] for name in found), OF_PROMETHEUS, made_labels(parsed))
    assert set(grouped_labels(parsed)) - labels == set()


@pytest.mark.parametrize("asked", EXPRESSIONS, ids=str)
def test_it_names_only_statuses_that_there_are(asked: Asked) -> None:
    for name, matchers in selectors(promql_parser.parse(filled_promql(asked.text))):
        if "status" in matchers:
            statuses = matchers["status"].split("|")
            assert set(statuses) <= {*map(str, Status), table.UNJUDGED}, name


def test_every_status_has_a_look_and_every_look_is_of_its_own() -> None:
    assert set(STATUSES) == set(Status)
    for part in ("code", "text", "colour"):
        assert len({getattr(look, part) for look in STATUSES.values()}) == len(Status)


def test_what_is_exported_by_now_is_not_listed_as_missing() -> None:
    assert NOT_YET_EXPORTED.keys() & _exported().keys() == set()


def test_what_is_listed_as_missing_is_asked_for() -> None:
    asked = {name for one in EXPRESSIONS for name, _ in selectors(promql_parser.parse(filled_promql(one.text)))}
    assert NOT_YET_EXPORTED.keys() <= asked


@pytest.mark.parametrize("path", sorted(Path(FOLDER).glob("*.json")), ids=lambda path: path.stem)
def test_no_metric_hides_in_a_place_that_is_not_looked_at(path: Path) -> None:
    everywhere = set(re.findall(r"\b(?:access|monitor)_[a-z_]+\b", path.read_text()))
    parsed = (promql_parser.parse(filled_promql(one.text)) for one in promql())
    assert everywhere - {name for expr in parsed for name, _ in selectors(expr)} == set()
