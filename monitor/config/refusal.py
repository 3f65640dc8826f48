"""What is wrong with the values of a document, in the words and places of the file."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, TypeVar

from pydantic import BaseModel, ValidationError

from monitor.config.checks import suggestion
from monitor.config.document import Complaint, Document, KeyPath
from monitor.config.problem import ConfigError, Problem

FILE_BYTES_AT_MOST: Final = 1 << 20
MISSING: Final = "missing"
_SHOWN_CHARACTERS: Final = 60
_ATTEMPTS: Final = 8  # a refused value can take its mapping with it, and that the one around it
_USERINFO: Final = re.compile(r"//[^/@\s]*@")
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
    "string_too_long": "is too long",
    "string_too_short": "must not be empty",
}

Model = TypeVar("Model", bound=BaseModel)


def read_bounded(path: Path, bytes_at_most: int = FILE_BYTES_AT_MOST) -> bytes:
    """Return what a file holds; raises ConfigError if it cannot be read or is too large."""
    try:
        with path.open("rb") as file:
            text = file.read(bytes_at_most + 1)
    except OSError as error:
        raise ConfigError((Problem(str(path), 1, "", f"cannot be read: {error.strerror}"),)) from error
    if len(text) > bytes_at_most:
        raise ConfigError((Problem(str(path), 1, "", f"is larger than {bytes_at_most} bytes"),))
    return text


def validated(
    model: type[Model],
    document: Document,
    context: Mapping[str, Any],
    complaint: Callable[[Document, Any], Complaint],
) -> tuple[Model | None, list[Complaint]]:
    """Validate what is there; then again without what was refused, so that the remaining checks can be made too.

    `complaint` says one of pydantic's errors; `complaint_of` is the general way.
    """
    complaints: list[Complaint] = []
    for _ in range(_ATTEMPTS):
        try:
            return model.model_validate(document.root, context=context), complaints
        except ValidationError as error:
            found = [complaint(document, detail) for detail in error.errors(include_url=False)]
            complaints = complaints or found
            refused = [path[:-1] if message.startswith(MISSING) else path for path, message, _ in found]
            if () in refused:
                return None, complaints
            prune(document.root, refused)
    return None, complaints


def complaint_of(
    document: Document, detail: Any, siblings: Callable[[KeyPath], list[str]], *, is_secret: bool = False
) -> Complaint:
    """Say one of pydantic's errors in the words and places of the file; a secret's value is not repeated."""
    kind, location = detail["type"], detail["loc"]
    path = located(document.root, location)
    if kind == "missing":
        return Complaint((*path, location[-1]), MISSING)
    if kind == "extra_forbidden":
        return Complaint(path, f"unknown key; {suggestion(str(path[-1]), siblings(path))}")
    message = str(detail["ctx"]["error"]) if kind == "value_error" else detail["msg"]
    message = message.replace("Input should be", "must be")
    message = _MESSAGES.get(kind, message)
    if path in document.written and not is_secret and message.startswith("must"):
        message = f"{message}, not {shown(document.written[path])}"
    return Complaint(path, message)


def located(root: Any, location: tuple[str | int, ...]) -> KeyPath:
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


def shown(written: str) -> str:
    """Quote source text for a terminal: bounded, control characters escaped, user names and passwords left out."""
    masked = _USERINFO.sub("//<secret>@", written)
    return repr(masked if len(masked) <= _SHOWN_CHARACTERS else masked[:_SHOWN_CHARACTERS] + "…")


def prune(root: Any, paths: list[KeyPath]) -> None:
    """Take the values at `paths` out; of a list, the whole list, since the others would change places."""
    for path in paths:
        end = next((index for index, part in enumerate(path) if isinstance(part, int)), len(path))
        value = root
        for part in path[: end - 1]:
            value = value.get(part) if isinstance(value, dict) else None
        if end and isinstance(value, dict):
            value.pop(path[end - 1], None)


def problems(document: Document, file: str, complaints: list[Complaint]) -> tuple[Problem, ...]:
    """Return one problem a place, the first that was found, sorted by line."""
    found: dict[tuple[int, str], Problem] = {}
    for path, message, line in complaints:
        problem = Problem(file, line or document.line(path), ".".join(map(_printable, path)), _printable(message))
        found.setdefault((problem.line, problem.key), problem)
    return tuple(sorted(found.values()))


def _printable(text: str | int) -> str:
    """Escape what a terminal would act on."""
    return "".join(each if each.isprintable() else repr(each)[1:-1] for each in str(text))
