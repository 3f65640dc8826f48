"""Writing a person's own event file: asked for or given by options, validated before it is there."""

import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import yaml

from monitor.config.problem import ConfigError, Problem
from monitor.events.record import Kind, Phase, SourceKind

_ASKED = (
    ("id", "Id of the event (small letters, digits, hyphens; never used again)", None),
    ("kind", "Kind", click.Choice([one.value for one in Kind])),
    ("title", "Title, in English", None),
    ("phase", "What is dated", click.Choice([one.value for one in Phase])),
    ("on", "When (2026, 2026-11, 2026-11-27 or 2026-11-27T22:00)", None),
    ("tz", "Time zone of the place", None),
    ("publisher", "Who tells it (publisher)", None),
    ("source_kind", "What the publisher is", click.Choice([one.value for one in SourceKind])),
    ("source_title", "Title of the page or paper", None),
    ("url", "Its address", None),
)


class Missing(click.UsageError):
    """Something was not given and there is nobody to ask."""


def completed(given: dict[str, Any]) -> dict[str, Any]:
    """Return the answers, asking at a terminal for what is missing; raises Missing where there is none."""
    known = {name: value for name, value in given.items() if value}
    known.setdefault("tz", "UTC" if not sys.stdin.isatty() else None)
    for name, question, choice in _ASKED:
        if known.get(name):
            continue
        if not sys.stdin.isatty():
            raise Missing(f"--{name.replace('_', '-')} is missing, and there is nobody to ask")
        known[name] = click.prompt(question, type=choice, default="UTC" if name == "tz" else None)
    return known


def document(answers: dict[str, Any]) -> str:
    """Return the text of the file."""
    source = {
        "id": "source-1",
        "publisher": answers["publisher"],
        "kind": answers["source_kind"],
        "title": answers["source_title"],
        "url": answers["url"],
    }
    dates = [{"phase": answers["phase"], "on": answers["on"], "sources": ["source-1"]}]
    for written in answers.get("dates", ()):
        phase, _, on = written.partition("=")
        dates.append({"phase": phase, "on": on, "sources": ["source-1"]})
    event: dict[str, Any] = {"id": answers["id"], "kind": str(answers["kind"]), "title": answers["title"]}
    for key in ("summary", "status"):
        if answers.get(key):
            event[key] = str(answers[key])
    for key in ("countries", "platforms"):
        if answers.get(key):
            event[key] = list(answers[key])
    if answers.get("authorities"):
        event["authorities"] = [_authority(written) for written in answers["authorities"]]
    event |= {"tz": answers["tz"], "dates": dates, "sources": [source]}
    if answers.get("tags"):
        event["tags"] = list(answers["tags"])
    text: str = yaml.safe_dump(event, sort_keys=False, allow_unicode=True, width=110)
    return text


def _authority(written: str) -> dict[str, str]:
    name, _, role = written.rpartition("=")
    return {"name": name, "role": role} if name else {"name": role, "role": "acts"}


def written_whole(folder: Path, name: str, text: str, validate: Any) -> Path:
    """Put a file into a folder once `validate(path)` accepts it; raises ConfigError or OSError and leaves nothing.

    One that exists is left as it is. The file appears under its name in one step, whole and synced.
    """
    if Path(name).name != name:
        raise ConfigError((Problem(name, 1, "id", "must be small letters and digits, joined by single hyphens"),))
    folder.mkdir(parents=True, exist_ok=True)
    final = folder / f"{name}.yaml"
    if final.exists():
        raise ConfigError((Problem(str(final), 1, "", "exists already and was left as it is"),))
    with tempfile.TemporaryDirectory(prefix=".new-", dir=folder) as inside:
        fresh = Path(inside) / final.name
        with fresh.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        try:
            validate(fresh)
        except ConfigError as error:
            raise ConfigError(_renamed(error.problems, fresh, final)) from error
        os.link(fresh, final)
    return final


def _renamed(problems: Sequence[Problem], fresh: Path, final: Path) -> tuple[Problem, ...]:
    return tuple(
        Problem(str(final), one.line, one.key, one.message) if one.file == str(fresh) else one for one in problems
    )
