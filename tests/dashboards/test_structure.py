"""The dashboards are what their source writes, and Grafana will read every key of them."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models import dashboard as model
from jsonschema import Draft7Validator

from dashboards.source.written import documents
from tests.dashboards.boards import BOARDS, FOLDER, panels
from tests.dashboards.schemas import folder

# Here the published schemas are stricter than Grafana itself: any value is let through.
LOOSENED = {
    "DynamicConfigValue": "value",
    "MatcherConfig": "options",
    "VariableModel": "query",
    "FieldConfig": "links",
    "Panel": "links",
}


def test_the_committed_files_are_what_their_source_writes() -> None:
    written = {path.name: path.read_text() for path in FOLDER.glob("*.json")}
    assert written == documents(), "run: make dashboards"


@pytest.mark.parametrize("name", BOARDS)
def test_no_key_is_lost_on_reading(name: str) -> None:
    register_default_plugins()
    read = model.Dashboard.from_json(json.loads(json.dumps(BOARDS[name])))
    assert json.loads(json.dumps(read, cls=JSONEncoder)) == BOARDS[name]


@pytest.mark.parametrize("name", BOARDS)
def test_the_published_schemas_find_nothing(name: str) -> None:
    """Where there are none to compare with, the reading above has to do; the summary says so."""
    where = folder()
    assert list(_mistakes(where, BOARDS[name]) if where else []) == []


def test_a_misspelt_key_is_found() -> None:
    register_default_plugins()
    board = json.loads((FOLDER / "overview.json").read_text())
    for panel in board["panels"]:
        panel["gridPoss"] = panel.pop("gridPos")
    read = model.Dashboard.from_json(json.loads(json.dumps(board)))
    assert json.loads(json.dumps(read, cls=JSONEncoder)) != board
    if (where := folder()) is not None:
        assert any("gridPoss" in mistake for mistake in _mistakes(where, board))


def _mistakes(where: Path, board: Mapping[str, Any]) -> Iterator[str]:
    yield from _invalid(where, "dashboard", "Dashboard", {**board, "panels": []})
    for panel in panels(board):
        kind = panel["type"].replace("-", "")
        yield from _invalid(where, "dashboard", "Panel", panel)
        yield from _invalid(where, kind, "Options", panel.get("options", {}))
        custom = panel.get("fieldConfig", {}).get("defaults", {}).get("custom", {})
        yield from _invalid(where, kind, "FieldConfig", custom)
        for target in panel.get("targets", []):
            if "expr" in target:
                yield from _invalid(where, "prometheus", "Dataquery", target)


def _invalid(where: Path, file: str, part: str, value: Any) -> Iterator[str]:
    # A `oneOf` of shapes that do not exclude each other rejects what fits several.
    text = (where / f"{file}.jsonschema.json").read_text().replace('"oneOf"', '"anyOf"')
    definitions = json.loads(text)["definitions"]
    if part not in definitions:
        return
    if file == "dashboard":
        for owner, key in LOOSENED.items():
            definitions[owner]["properties"][key] = {}
    if part != "Dashboard":  # Grafana fills in its defaults
        for definition in definitions.values():
            definition.pop("required", None)
    validator = Draft7Validator({"$ref": f"#/definitions/{part}", "definitions": definitions})
    for error in validator.iter_errors(value):
        yield f"{part} at {'.'.join(map(str, error.path)) or 'top'}: {error.message}"
