"""Where Grafana's JSON Schemas lie, if anywhere: they are not part of this project."""

import os
from pathlib import Path

ROOT = Path(__file__).parents[2]


def folder() -> Path | None:
    """Return the folder that GRAFANA_SCHEMAS names, else one beside the project or above it; None without any."""
    named = os.environ.get("GRAFANA_SCHEMAS")
    places = [Path(named)] if named else [parent / "shared" / "schemas" / "grafana" for parent in ROOT.parents]
    return next((place for place in places if (place / "dashboard.jsonschema.json").is_file()), None)
