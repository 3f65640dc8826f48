"""The rules of Prometheus: what promtool says of them, and what makes alerts cry wolf or stay silent."""

import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml

from monitor.exporter import table
from tests.dashboards.boards import BOARDS, FOLDER, ROOT
from tests.dashboards.test_promql import nodes, selectors

RULES = FOLDER / "prometheus"
SCRAPE_SECONDS = 30
SECONDS = {"m": 60, "h": 3600, "d": 86400}


def rules(kind: str) -> Iterator[dict[str, Any]]:
    for path in sorted(RULES.glob("*.rules.yaml")):
        for group in yaml.safe_load(path.read_text())["groups"]:
            yield from (rule for rule in group["rules"] if kind in rule)


ALERTS = {alert["alert"]: alert for alert in rules("alert")}


def run(*command: str) -> None:
    done = subprocess.run(command, cwd=RULES, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def seconds(duration: str) -> int:
    return int(duration[:-1]) * SECONDS[duration[-1]]


def test_promtool_takes_the_configuration_and_every_rule() -> None:
    run("promtool", "check", "config", "prometheus.yml")
    run("promtool", "check", "rules", *(path.name for path in RULES.glob("*.rules.yaml")))


@pytest.mark.parametrize("path", sorted((RULES / "tests").glob("*.yaml")), ids=lambda path: path.stem)
def test_alerts_fire_when_they_should_and_not_else(path: Path) -> None:
    run("promtool", "test", "rules", f"tests/{path.name}")


def test_a_rule_that_is_wrong_fails_its_unit_test(tmp_path: Path) -> None:
    copied = shutil.copytree(RULES, tmp_path / "prometheus")
    alerts = copied / "alerts.rules.yaml"
    alerts.write_text(alerts.read_text().replace("access_vantage_online) == 0", "access_vantage_online) == 1"))
    done = subprocess.run(
        ["promtool", "test", "rules", "tests/trust.yaml"], cwd=copied, capture_output=True, check=False
    )
    assert done.returncode != 0


def test_alertmanager_takes_its_example() -> None:
    run("amtool", "check-config", "alertmanager.yml")


def test_the_example_inhibits_by_alerts_and_labels_that_there_are() -> None:
    for rule in yaml.safe_load((RULES / "alertmanager.yml").read_text())["inhibit_rules"]:
        for matchers in (rule["source_matchers"], rule["target_matchers"]):
            for matcher in matchers:
                pattern = re.fullmatch(r'alertname =~? "(.*)"', matcher)
                assert pattern, matcher
                assert any(re.fullmatch(pattern[1], name) for name in ALERTS), matcher
    assert any(
        rule["source_matchers"] == ['alertname = "AccessVantageOffline"'] and rule["equal"] == ["vantage"]
        for rule in yaml.safe_load((RULES / "alertmanager.yml").read_text())["inhibit_rules"]
    )


def test_names_are_unique_and_every_alert_has_a_unit_test() -> None:
    names = Counter(rule.get("alert") or rule["record"] for kind in ("alert", "record") for rule in rules(kind))
    assert [name for name, count in names.items() if count > 1] == []
    tested = {
        case["alertname"]
        for path in (RULES / "tests").glob("*.yaml")
        for test in yaml.safe_load(path.read_text())["tests"]
        for case in test["alert_rule_test"]
        if case["exp_alerts"]
    }
    assert tested == ALERTS.keys()


@pytest.mark.parametrize("rule", list(rules("record")), ids=lambda rule: rule["record"])
def test_a_recorded_name_says_level_metric_and_operation(rule: dict[str, Any]) -> None:
    level, _, _ = rule["record"].split(":")
    parsed = promql_parser.parse(rule["expr"])
    assert isinstance(parsed, promql_parser.AggregateExpr)
    assert parsed.modifier is not None
    assert level.split("_") == list(parsed.modifier.labels)


@pytest.mark.parametrize("name", ALERTS)
class TestEachAlert:
    """What Cloudflare's pint demands, as far as it fits one file of rules."""

    def test_it_compares(self, name: str) -> None:
        parsed = promql_parser.parse(ALERTS[name]["expr"])
        operators = {str(node.op) for node in nodes(parsed) if isinstance(node, promql_parser.BinaryExpr)}
        absent = any(isinstance(node, promql_parser.Call) and node.func.name == "absent" for node in nodes(parsed))
        assert absent or operators & {">", "<", "==", "!=", ">=", "<="}

    def test_it_waits_for_two_scrapes_where_it_fires_on_absence(self, name: str) -> None:
        if "absent(" in ALERTS[name]["expr"]:
            assert seconds(ALERTS[name]["for"]) >= 2 * SCRAPE_SECONDS

    def test_its_durations_say_something(self, name: str) -> None:
        assert all(seconds(ALERTS[name][key]) > 0 for key in ("for", "keep_firing_for") if key in ALERTS[name])

    def test_it_says_how_grave_it_is_and_no_more(self, name: str) -> None:
        # A label that changes, such as a value, makes another alert and begins `for` anew.
        assert ALERTS[name]["labels"].keys() == {"severity"}
        assert ALERTS[name]["labels"]["severity"] in {"critical", "warning", "info"}

    def test_it_says_what_it_is_and_where_to_look(self, name: str) -> None:
        annotations = ALERTS[name]["annotations"]
        assert annotations.keys() == {"summary", "description", "dashboard", "runbook_url"}
        uid = re.match(r"/d/([a-z-]+)", annotations["dashboard"])
        assert uid is not None
        assert uid[1] in {board["uid"] for board in BOARDS.values()}
        page, anchor = annotations["runbook_url"].split("#")
        assert f"\n### {name}\n" in (ROOT / page).read_text()
        assert anchor == name.lower()

    def test_its_texts_use_labels_that_it_has(self, name: str) -> None:
        used = set(re.findall(r"\$labels\.(\w+)", str(ALERTS[name]["annotations"])))
        fired = [
            alert["exp_labels"].keys()
            for path in (RULES / "tests").glob("*.yaml")
            for test in yaml.safe_load(path.read_text())["tests"]
            for case in test["alert_rule_test"]
            if case["alertname"] == name
            for alert in case["exp_alerts"]
        ]
        assert fired
        assert all(used <= labels for labels in fired)

    def test_rates_are_of_counters_and_span_two_scrapes(self, name: str) -> None:
        parsed = promql_parser.parse(ALERTS[name]["expr"])
        inside = set()
        for node in nodes(parsed):
            if isinstance(node, promql_parser.Call) and node.func.name in {"rate", "irate", "increase"}:
                (argument,) = node.args
                assert argument.range.total_seconds() >= 2 * SCRAPE_SECONDS
                assert argument.vector_selector.name.endswith(("_total", "_bucket", "_count", "_sum"))
                inside.add(argument.vector_selector.name)
        # Which vantages are controls is told by the existence of a counter, not by its value.
        used = {found for found, matchers in selectors(parsed) if matchers.get("status") != table.UNJUDGED}
        assert {found for found in used - inside if found.endswith(("_total", "_bucket"))} == set()

    def test_it_has_nothing_that_flickers(self, name: str) -> None:
        parsed = promql_parser.parse(ALERTS[name]["expr"])
        assert not any(
            isinstance(node, promql_parser.AggregateExpr) and str(node.op) in {"topk", "bottomk"}
            for node in nodes(parsed)
        )

    def test_its_regular_expressions_are_some(self, name: str) -> None:
        for node in nodes(promql_parser.parse(ALERTS[name]["expr"])):
            if isinstance(node, promql_parser.VectorSelector):
                for matcher in node.matchers.matchers:
                    if str(matcher.op) in {"=~", "!~", "MatchOp.Re", "MatchOp.NotRe"}:
                        assert re.search(r"[.*+|?\[(]", matcher.value)
