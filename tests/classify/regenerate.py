"""`python -m tests.classify.regenerate`: writes cases/ and docs/verdicts.md anew and prints what changed."""

import difflib
import sys
from pathlib import Path
from typing import Any

import msgspec

from monitor.classify.document import markdown
from monitor.classify.verdict import classify
from monitor.config.fingerprints import shipped
from tests.classify.reach import exercised
from tests.classify.stories import STORIES

CASES = Path(__file__).parent / "cases"
DOCUMENT = Path(__file__).parents[2] / "docs" / "verdicts.md"


def as_json(value: object) -> str:
    """A file for a person: without what is null or empty anyway, except a server name, which must be given."""
    plain = _without_nothing(msgspec.json.decode(msgspec.json.encode(value, order="deterministic")))
    return msgspec.json.format(msgspec.json.encode(plain), indent=1).decode() + "\n"


def _without_nothing(value: Any) -> Any:
    if isinstance(value, list):
        return [_without_nothing(one) for one in value]
    if isinstance(value, dict):
        return {
            key: _without_nothing(one) for key, one in value.items() if key == "server_name" or one not in (None, [])
        }
    return value


def texts() -> dict[Path, str]:
    """Every generated file with its content."""
    found = {DOCUMENT: markdown(shipped()[1], exercised())}
    for name, story in STORIES.items():
        found[CASES / name / "measurement.json"] = as_json(story.measurement)
        found[CASES / name / "context.json"] = as_json(story.context)
        found[CASES / name / "verdict.json"] = as_json(classify(story.measurement, story.context))
    return found


def main() -> None:
    wanted = texts()
    for path, text in wanted.items():
        before = path.read_text() if path.exists() else ""
        if before == text:
            continue
        lines = difflib.unified_diff(before.splitlines(), text.splitlines(), str(path), str(path), lineterm="")
        sys.stdout.writelines(f"{line}\n" for line in lines)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    for path in sorted(CASES.rglob("*.json")):
        if path not in wanted:
            sys.stdout.write(f"gone: {path}\n")
            path.unlink()


if __name__ == "__main__":
    main()
