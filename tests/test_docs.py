"""What the documents say exists: commands, make targets, files, dependencies; and nothing of anybody's own machine."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from monitor.cli import main

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("tests/**/*.md")])
SUFFIXES = {"", ".cfg", ".html", ".j2", ".json", ".md", ".py", ".toml", ".txt", ".yaml", ".yml"}
ELSEWHERE = ("/work" + "/", ".." + "/shared", "/root" + "/.", "/home" + "/runner")
OURS = ("monitor", "tests", "docs", "tools", "dashboards", ".ci")


def identify(path: Path) -> str:
    return str(path.relative_to(ROOT))


def code(document: Path) -> Iterator[str]:
    """Yield each line of fenced code, and each inline code span."""
    text = document.read_text(encoding="utf-8")
    fenced = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
    for block in fenced.findall(text):
        yield from block.splitlines()
    yield from re.findall(r"`([^`\n]+)`", fenced.sub("", text))


def commands(group: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yield the path of each command of the program."""
    if not isinstance(group, click.Group):
        yield path
        return
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        yield from commands(command, (*path, name))


def is_command(words: list[str]) -> bool:
    """Tell whether the words after `monitor` begin with a command, or name a group of them alone."""
    command: click.Command = main
    for word in words:
        if not isinstance(command, click.Group) or not re.fullmatch(r"[a-z-]+", word) or word.startswith("-"):
            return True
        found = command.get_command(click.Context(command), word)
        if found is None:
            return False
        command = found
    return True


def headings(document: Path) -> set[str]:
    """Return the anchors that the headings of a document have."""
    found = re.findall(r"^#+ +(.+)$", document.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in found}


@pytest.mark.parametrize("document", DOCUMENTS, ids=identify)
def test_every_link_to_a_file_resolves(document: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", document.read_text(encoding="utf-8")):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        there = (document.parent / path).resolve() if path else document
        assert there.is_relative_to(ROOT), link
        assert there.exists(), link
        assert not anchor or anchor in headings(there), link


@pytest.mark.parametrize("document", DOCUMENTS, ids=identify)
def test_every_command_in_the_documents_exists(document: Path) -> None:
    for line in code(document):
        for words in re.findall(r"(?:^|[\s/&;])monitor((?: +[^\s&;|]+)+)", line):
            assert is_command(words.split()), line


@pytest.mark.parametrize("path", sorted(commands(main)), ids=" ".join)
def test_every_command_is_in_the_documents(path: tuple[str, ...]) -> None:
    wanted = " ".join(("monitor", *path))
    assert any(wanted in span for document in DOCUMENTS for span in code(document))


@pytest.mark.parametrize("document", DOCUMENTS, ids=identify)
def test_every_make_target_in_the_documents_exists(document: Path) -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    for line in code(document):
        if named := re.match(r"(?:\$ )?make ([a-z]+)", line):
            assert named[1] in targets


def test_every_make_target_is_in_its_own_help() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert set(re.findall(r"^([a-z]+):", makefile, re.MULTILINE)) == set(
        re.findall(r"^([a-z]+):.*## ", makefile, re.MULTILINE)
    )


def test_no_file_speaks_of_a_place_outside_the_project() -> None:
    # In a further worktree `.git` is a file, which names where the repository lies.
    top = [path for path in ROOT.iterdir() if path.is_file() and path.name != ".git"]
    below = [path for folder in OURS for path in (ROOT / folder).rglob("*") if path.is_file()]
    texts = [path for path in (*top, *below) if path.suffix in SUFFIXES and "__pycache__" not in path.parts]
    assert [
        identify(path) for path in texts if any(place in path.read_text(encoding="utf-8") for place in ELSEWHERE)
    ] == []


def test_decisions_have_numbers_of_their_own_and_say_status_and_date() -> None:
    records = sorted((ROOT / "docs/decisions").glob("*.md"))
    numbers = [int(record.name[:4]) for record in records]
    assert len(set(numbers)) == len(numbers)
    for record in records:
        text = record.read_text(encoding="utf-8")
        assert text.startswith(f"# {int(record.name[:4])}. "), record
        assert re.search(r"^- Status: \w.*\n- Date: \d{4}-\d\d-\d\d$", text, re.MULTILINE), record
        assert re.findall(r"^## (.*)$", text, re.MULTILINE) == ["Context", "Decision", "Consequences"], record


def test_every_dependency_is_pinned_inside_its_range() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    pins = {
        canonicalize_name(pin.name): pin
        for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
        if line and not line.startswith("#")
        for pin in [Requirement(line)]
    }
    extras = project["project"].get("optional-dependencies", {}).values()
    ranges = [*project["project"]["dependencies"], *(one for extra in extras for one in extra)]
    for requirement in map(Requirement, [*ranges, *project["build-system"]["requires"]]):
        pin = pins[canonicalize_name(requirement.name)]
        (version,) = pin.specifier
        assert requirement.specifier.contains(version.version), requirement
