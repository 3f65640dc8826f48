"""YAML text → plain values, with the line and the source text of each, and everything that is wrong with its form.

Stricter than YAML 1.1 on purpose: only `true` and `false` are truth values (NO is a country), 1:30 is text, keys are
always text, and no tag builds an object. Merge keys (`<<`) have no special meaning; anchors and aliases work.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import yaml

from monitor.config.fields import Referenced

KeyPath = tuple[str | int, ...]

_NODES_AT_MOST: Final = 50_000  # aliases can stand for far more values than the text has characters
_DEPTH_AT_MOST: Final = 30
_PLAIN_VALUES: Final[dict[str, Callable[[str], Any]]] = {
    "null": lambda _: None,
    "bool": {"true": True, "false": False}.__getitem__,
    "int": int,
    "float": float,
}
_VARIABLE: Final = re.compile(r"(\$?)\$\{([^}]*)\}")


class Complaint(NamedTuple):
    """What is wrong at `path`. A `line` is given if it is not the one where the value of that path stands."""

    path: KeyPath
    message: str
    line: int | None = None


@dataclass
class Document:
    """What a file says. `lines` counts from 1; `written` holds each scalar as it stands in the file."""

    root: Any = None
    lines: dict[KeyPath, int] = field(default_factory=dict)
    written: dict[KeyPath, str] = field(default_factory=dict)
    complaints: list[Complaint] = field(default_factory=list)

    def line(self, path: KeyPath) -> int:
        """Return the line of `path`, or of the nearest mapping or list around it that has one."""
        return next((self.lines[path[:end]] for end in range(len(path), -1, -1) if path[:end] in self.lines), 1)

    def names(self, section: str) -> list[str]:
        """Return the names defined under a top-level mapping, valid or not."""
        found = self.root.get(section) if isinstance(self.root, dict) else None
        return list(found) if isinstance(found, dict) else []


class _Loader(yaml.CSafeLoader):
    yaml_implicit_resolvers = {}  # noqa: RUF012 - PyYAML's own way to start without YAML 1.1's guesses


for _tag, _pattern, _first in (
    ("null", r"(?:~|null|)", ["~", "n", ""]),
    ("bool", r"(?:true|false)", ["t", "f"]),
    ("int", r"[-+]?[0-9]+", list("-+0123456789")),
    ("float", r"[-+]?[0-9]+\.[0-9]+", list("-+0123456789")),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(f"^{_pattern}$"), _first)


def read_document(text: bytes, environ: Mapping[str, str]) -> Document:
    """Read UTF-8 YAML and replace `${NAME}` in values by variables; never raises, see `Document.complaints`."""
    document = Document()
    loader = None
    try:
        _refuse_deep_nesting(text)
        loader = _Loader(text)
        node = loader.get_single_node()
    except _TooLargeError as error:
        document.complaints.append(Complaint((), str(error)))
        return document
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        document.lines[()] = mark.line + 1 if mark else 1
        document.complaints.append(Complaint((), ", ".join(filter(None, (error.context, error.problem)))))
        return document
    except yaml.YAMLError as error:  # characters that are no text
        document.complaints.append(Complaint((), f"not YAML text: {getattr(error, 'reason', 'cannot be read')}"))
        return document
    finally:
        if loader is not None:
            loader.dispose()
    if node is None:
        document.complaints.append(Complaint((), "the file is empty"))
        return document
    _Builder(document, environ).build_root(node)
    return document


def _refuse_deep_nesting(text: bytes) -> None:
    """Look at the stream of events alone: composing nodes recurses in C and would crash the process."""
    depth = 0
    for event in yaml.parse(text, _Loader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > _DEPTH_AT_MOST:
            raise _TooLargeError


class _Builder:
    """Turns nodes into values inside the bounds."""

    def __init__(self, document: Document, environ: Mapping[str, str]) -> None:
        self._document = document
        self._environ = environ
        self._nodes = 0

    def build_root(self, node: yaml.Node) -> None:
        self._document.lines[()] = node.start_mark.line + 1
        try:
            self._document.root = self._build(node, ())
        except _TooLargeError as error:
            self._document.complaints.append(Complaint((), str(error)))

    def _build(self, node: yaml.Node, path: KeyPath) -> Any:
        self._nodes += 1
        if self._nodes > _NODES_AT_MOST or len(path) > _DEPTH_AT_MOST:
            raise _TooLargeError
        if isinstance(node, yaml.MappingNode):
            return {key: self._build(value, (*path, key)) for key, value in self._entries(node, path)}
        if isinstance(node, yaml.SequenceNode):
            items = []
            for index, item in enumerate(node.value):
                self._document.lines[*path, index] = item.start_mark.line + 1
                items.append(self._build(item, (*path, index)))
            return items
        return self._scalar(node.tag.removeprefix("tag:yaml.org,2002:"), node.value, path)

    def _entries(self, node: yaml.MappingNode, path: KeyPath) -> Iterator[tuple[str, yaml.Node]]:
        seen: dict[str, int] = {}
        for key_node, value in node.value:
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode):
                self._document.complaints.append(Complaint(path, "a key must be plain text", line))
                continue
            key = key_node.value
            if key in seen:
                message = f"this key stands in line {seen[key]} already"
                self._document.complaints.append(Complaint((*path, key), message, line))
                continue
            seen[key] = line
            self._document.lines[*path, key] = line
            yield key, value

    def _scalar(self, tag: str, text: str, path: KeyPath) -> Any:
        self._document.written[path] = text
        if tag == "str":
            return self._expanded(text, path)
        try:
            return _PLAIN_VALUES[tag](text)
        except (KeyError, ValueError):
            self._document.complaints.append(Complaint(path, "has a tag or a form that is not understood here"))
            return None

    def _expanded(self, text: str, path: KeyPath) -> str:
        referred = False

        def value_of(match: re.Match[str]) -> str:
            nonlocal referred
            escaped, name = match.groups()
            if escaped:
                return f"${{{name}}}"
            referred = True
            value = self._environ.get(name, "")
            if not value:
                # An empty text would quietly turn a protected thing into an open one.
                self._document.complaints.append(Complaint(path, f"environment variable {name!r} is not set"))
            return value

        expanded = _VARIABLE.sub(value_of, text)
        return Referenced(expanded) if referred else expanded


class _TooLargeError(Exception):
    """The values are too many or nested too deeply."""

    def __str__(self) -> str:
        return f"holds more than {_NODES_AT_MOST} values or {_DEPTH_AT_MOST} levels, aliases counted"
