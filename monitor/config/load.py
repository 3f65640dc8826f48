"""probes.yaml → `Configuration`, or every mistake in it at once."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from monitor.config.alerting import CHANNEL_KINDS
from monitor.config.checks import complaints_about, suggestion
from monitor.config.document import Complaint, Document, KeyPath, read_document
from monitor.config.fields import Referenced
from monitor.config.keys import siblings
from monitor.config.problem import ConfigError, Problem
from monitor.config.schema import SECRET_FILES, VANTAGE_KINDS, Configuration

_FILE_BYTES_AT_MOST: Final = 1 << 20
_SECRET_BYTES_AT_MOST: Final = 4096
_SHOWN_CHARACTERS: Final = 60
_MISSING: Final = "missing"
_ATTEMPTS: Final = 8  # a refused value can take its mapping with it, and that the one around it
_USERINFO: Final = re.compile(r"//[^/@\s]*@")
_SECRETS: Final = frozenset(SECRET_FILES.values())
_SECRET_KEYS: Final = _SECRETS | frozenset(SECRET_FILES)
# pydantic's words for what is wrong with a mapping, a list or a text speak of Python.
_MESSAGES: Final = {
    "model_type": "must be a mapping of keys and values",
    "model_attributes_type": "must be a mapping of keys and values",
    "dict_type": "must be a mapping of names and values",
    "tuple_type": "must be a list",
    "string_type": "must be text; put numbers in quotes",
    "too_short": "must hold at least one entry",
    "path_type": "must be the path of a file",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "int_type": "must be a whole number",
    "string_pattern_mismatch": "holds characters that cannot stand here, or is too long",
}


def load(path: Path, environ: Mapping[str, str], *, only_to_read: bool = False) -> Configuration:
    """Read, expand, validate and check a file; raises ConfigError with all of its problems, sorted by line.

    `${NAME}` in a value stands for a variable of `environ`, `$${` for a literal `${`. Relative paths in the file are
    taken from its folder. Secrets are never part of a problem.

    With `only_to_read`, for commands that look at what is stored and measure nothing, secrets that are not at hand and
    files that do not exist are no mistakes: whoever reads need not be allowed all that the daemon is.
    """
    try:
        with path.open("rb") as file:
            text = file.read(_FILE_BYTES_AT_MOST + 1)
    except OSError as error:
        raise ConfigError((Problem(str(path), 1, "", f"cannot be read: {error.strerror}"),)) from error
    if len(text) > _FILE_BYTES_AT_MOST:
        raise ConfigError((Problem(str(path), 1, "", f"is larger than {_FILE_BYTES_AT_MOST} bytes"),))
    document = read_document(text, environ)
    if document.root is None:
        raise ConfigError(_problems(document, str(path), document.complaints))
    folder = path.absolute().parent
    unread = list(_read_secrets(document, document.root, (), folder))
    if only_to_read:
        _stand_in(document)
        unread = []
    complaints = [*document.complaints, *unread]
    declared = document.names("vantages")
    # A value that already has a complaint is taken out, so that it causes no second one.
    _prune(document.root, [complaint.path for complaint in document.complaints if complaint.line is None])
    config, refused = _validate(document, {"folder": folder, "only_to_read": only_to_read})
    complaints += refused
    if config is not None:
        complaints += complaints_about(config, declared)
    if config is None or complaints:
        raise ConfigError(_problems(document, str(path), complaints))
    return config


def _read_secrets(document: Document, value: Any, path: KeyPath, folder: Path) -> Iterator[Complaint]:
    """Put the text of each secret's file beside its path, below `value`."""
    if not isinstance(value, dict):
        return
    for file_key, key in SECRET_FILES.items():
        if value.get(file_key) is not None:
            where = (*path, file_key)
            if key in value:
                yield Complaint(where, f"give either {file_key} or {key}, not both")
                continue
            try:
                value[key] = _secret_in(folder / str(value[file_key]))
            except (OSError, ValueError) as error:
                value[key] = Referenced("unread")  # the complaint below says it; nothing is to be added about the key
                reason = error.strerror if isinstance(error, OSError) else error
                yield Complaint(where, f"the file cannot be used: {reason}")
            document.lines[*path, key] = document.line(where)
    for key, below in value.items():
        yield from _read_secrets(document, below, (*path, key), folder)


def _stand_in(document: Document) -> None:
    """Put a word in place of every secret whose variable is not set, and withdraw the complaint about it."""
    unset = [one for one in document.complaints if one.line is None and one.path and one.path[-1] in _SECRETS]
    for complaint in unset:
        value = document.root
        for part in complaint.path[:-1]:
            value = value[part]
        value[complaint.path[-1]] = Referenced("unread")
        document.complaints.remove(complaint)


def _secret_in(path: Path) -> Referenced:
    if not path.is_file():  # a pipe would wait for ever
        raise ValueError("no such file")
    with path.open("rb") as file:
        content = file.read(_SECRET_BYTES_AT_MOST + 1)
    if len(content) > _SECRET_BYTES_AT_MOST:
        raise ValueError(f"it is larger than {_SECRET_BYTES_AT_MOST} bytes")
    try:
        text = content.decode().strip()
    except UnicodeDecodeError:
        text = ""
    if not text.isprintable() or not text:
        raise ValueError("it is empty or holds more than one line of text")
    return Referenced(text)


def _validate(document: Document, context: Mapping[str, Any]) -> tuple[Configuration | None, list[Complaint]]:
    """Validate what is there; then again without what was refused, so that the remaining checks can be made too."""
    complaints: list[Complaint] = []
    for _ in range(_ATTEMPTS):
        try:
            return Configuration.model_validate(document.root, context=dict(context)), complaints
        except ValidationError as error:
            found = [_complaint(document, detail) for detail in error.errors(include_url=False)]
            complaints = complaints or found
            refused = [path[:-1] if message.startswith(_MISSING) else path for path, message, _ in found]
            if () in refused:
                return None, complaints
            _prune(document.root, refused)
    return None, complaints


def _complaint(document: Document, detail: Any) -> Complaint:
    """Say one of pydantic's errors in the words and places of the file."""
    kind, location = detail["type"], detail["loc"]
    path = _located(document.root, location)
    if kind == "missing":
        files = [file_key for file_key, key in SECRET_FILES.items() if key == location[-1]]
        return Complaint((*path, location[-1]), f"{_MISSING}; give {files[0]}" if files else _MISSING)
    if kind == "extra_forbidden":
        return Complaint(path, f"unknown key; {suggestion(str(path[-1]), siblings(path))}")
    known = ", ".join(CHANNEL_KINDS if path[:1] == ("alerts",) else VANTAGE_KINDS)
    if kind == "union_tag_not_found":
        return Complaint((*path, "kind"), f"{_MISSING}; known: {known}")
    if kind == "union_tag_invalid":
        path = (*path, "kind")
        return Complaint(path, f"unknown kind {_shown(document.written.get(path, ''))}; known: {known}")
    message = str(detail["ctx"]["error"]) if kind == "value_error" else detail["msg"]
    message = message.replace("Input should be", "must be")
    message = _MESSAGES.get(kind, message)
    if path in document.written and _SECRET_KEYS.isdisjoint(path) and message.startswith("must"):
        message = f"{message}, not {_shown(document.written[path])}"
    return Complaint(path, message)


def _located(root: Any, location: tuple[str | int, ...]) -> KeyPath:
    """Return the path in the document that pydantic's location means, which also names union members and key checks."""
    path: list[str | int] = []
    value: Any = root
    for part in location:
        try:
            value = value[part]
        except (KeyError, IndexError, TypeError):
            continue
        path.append(part)
    return tuple(path)


def _shown(written: str) -> str:
    """Quote source text for a terminal: bounded, control characters escaped, user names and passwords left out."""
    masked = _USERINFO.sub("//<secret>@", written)
    return repr(masked if len(masked) <= _SHOWN_CHARACTERS else masked[:_SHOWN_CHARACTERS] + "…")


def _prune(root: Any, paths: list[KeyPath]) -> None:
    """Take the values at `paths` out; of a list, the whole list, since the others would change places."""
    for path in paths:
        end = next((index for index, part in enumerate(path) if isinstance(part, int)), len(path))
        value = root
        for part in path[: end - 1]:
            value = value.get(part) if isinstance(value, dict) else None
        if end and isinstance(value, dict):
            value.pop(path[end - 1], None)


def _problems(document: Document, file: str, complaints: list[Complaint]) -> tuple[Problem, ...]:
    """Return one problem a place, the first that was found, sorted by line."""
    found: dict[tuple[int, str], Problem] = {}
    for path, message, line in complaints:
        problem = Problem(file, line or document.line(path), ".".join(map(_printable, path)), _printable(message))
        found.setdefault((problem.line, problem.key), problem)
    return tuple(sorted(found.values()))


def _printable(text: str | int) -> str:
    """Escape what a terminal would act on."""
    return "".join(each if each.isprintable() else repr(each)[1:-1] for each in str(text))
