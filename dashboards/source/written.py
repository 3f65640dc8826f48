"""The dashboards as files."""

import json
from pathlib import Path
from typing import Final

from grafana_foundation_sdk.cog.encoder import JSONEncoder

from dashboards.source import daemon, event, overview, platform, vantage

FOLDER: Final = Path(__file__).parents[1]
DASHBOARDS: Final = {
    "overview": overview.build,
    "platform": platform.build,
    "event": event.build,
    "vantage": vantage.build,
    "daemon": daemon.build,
}


def documents() -> dict[str, str]:
    """Return the name of each file and what it holds."""
    return {f"{name}.json": _document(build()) for name, build in DASHBOARDS.items()}


def write(folder: Path) -> None:
    """Write every file into a folder."""
    for name, text in documents().items():
        (folder / name).write_text(text, encoding="utf-8")


def _document(board: object) -> str:
    return json.dumps(board, cls=JSONEncoder, indent=1, ensure_ascii=False, sort_keys=True) + "\n"
