"""The committed dashboards, taken apart: panels, queries, annotations, variables."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "dashboards"
BOARDS: Mapping[str, dict[str, Any]] = {
    path.stem: json.loads(path.read_text()) for path in sorted(FOLDER.glob("*.json"))
}
WINDOWS = {"$__interval_ms": "3600000", "$__rate_interval": "10s", "$__interval": "10s", "$__range": "5m"}


@dataclass(frozen=True)
class Asked:
    """One query, and where it stands."""

    board: str
    place: str
    text: str
    times: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.board}: {self.place}"


def panels(board: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield every panel, those inside rows too."""
    for panel in board["panels"]:
        yield panel
        yield from panel.get("panels", [])


def each_panel() -> Iterator[tuple[str, dict[str, Any]]]:
    for name, board in BOARDS.items():
        for panel in panels(board):
            yield name, panel


def variables(board: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    yield from board["templating"]["list"]


def promql() -> list[Asked]:
    """Return every expression of a panel, and every selector that a variable asks for."""
    found = [
        Asked(name, f"{panel['title']} {target['refId']}", target["expr"])
        for name, panel in each_panel()
        for target in panel.get("targets", [])
        if "expr" in target
    ]
    found += [
        Asked(name, f"variable {variable['name']}", labelled[1])
        for name, board in BOARDS.items()
        for variable in variables(board)
        if (labelled := re.fullmatch(r"label_values\((.+), *\w+\)", str(variable.get("query"))))
    ]
    return found


def sql() -> list[Asked]:
    """Return every query of a panel, an annotation or a variable that goes to the database."""
    found = [
        Asked(name, panel["title"], target["rawQueryText"], tuple(target["timeColumns"]))
        for name, panel in each_panel()
        for target in panel.get("targets", [])
        if "rawQueryText" in target
    ]
    for name, board in BOARDS.items():
        found += [
            Asked(name, f"annotation {one['name']}", one["target"]["rawQueryText"], tuple(one["target"]["timeColumns"]))
            for one in board["annotations"]["list"]
            if "rawQueryText" in one["target"]
        ]
        found += [
            Asked(name, f"variable {variable['name']}", variable["query"])
            for variable in variables(board)
            if variable["type"] == "query" and variable["datasource"]["type"] == "frser-sqlite-datasource"
        ]
    return found


def filled(text: str, values: Mapping[str, str]) -> str:
    """Put values in place of variables, as Grafana does; fails if one is left."""
    for variable, value in {**WINDOWS, **values}.items():
        text = text.replace(variable, value)
    assert not re.search(r"\$\D", text), text  # a digit: the group of a regular expression
    return text


def filled_promql(text: str) -> str:
    """Fill an expression with everything chosen."""
    return filled(text, dict.fromkeys(("$platform", "$country", "$vantage", "$event"), ".+"))
