"""probes.yaml → `Configuration`, or every mistake in it at once."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from monitor.config.alerting import CHANNEL_KINDS
from monitor.config.checks import complaints_about
from monitor.config.document import Complaint, Document, KeyPath, read_document
from monitor.config.fields import Referenced
from monitor.config.keys import siblings
from monitor.config.problem import ConfigError, Problem
from monitor.config.refusal import MISSING, complaint_of, located, problems, prune, read_bounded, shown, validated
from monitor.config.schema import SECRET_FILES, VANTAGE_KINDS, Configuration

_SECRET_BYTES_AT_MOST: Final = 4096
_SECRETS: Final = frozenset(SECRET_FILES.values())
_SECRET_KEYS: Final = _SECRETS | frozenset(SECRET_FILES)


def load(path: Path, environ: Mapping[str, str], *, only_to_read: bool = False) -> Configuration:
    """Read, expand, validate and check a file; raises ConfigError with all of its problems, sorted by line.

    `${NAME}` in a value stands for a variable of `environ`, `$${` for a literal `${`. Relative paths in the file are
    taken from its folder. Secrets are never part of a problem.

    With `only_to_read`, for commands that look at what is stored and measure nothing, secrets that are not at hand and
    files that do not exist are no mistakes: whoever reads need not be allowed all that the daemon is.
    """
    if not path.exists():
        message = "cannot be read: No such file or directory; `monitor init` writes one, -c FILE names another"
        raise ConfigError((Problem(str(path), 1, "", message),))
    text = read_bounded(path)
    document = read_document(text, environ)
    if document.root is None:
        raise ConfigError(problems(document, str(path), document.complaints))
    folder = path.absolute().parent
    unread = list(_read_secrets(document, document.root, (), folder))
    if only_to_read:
        _stand_in(document)
        unread = []
    complaints = [*document.complaints, *unread]
    declared = document.names("vantages")
    # A value that already has a complaint is taken out, so that it causes no second one.
    prune(document.root, [complaint.path for complaint in document.complaints if complaint.line is None])
    config, refused = validated(Configuration, document, {"folder": folder, "only_to_read": only_to_read}, _complaint)
    complaints += refused
    if config is not None:
        complaints += complaints_about(config, declared)
    if config is None or complaints:
        raise ConfigError(problems(document, str(path), complaints))
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


def _complaint(document: Document, detail: Any) -> Complaint:
    """Say one of pydantic's errors, those about secrets and kinds of vantages in words of their own."""
    kind, location = detail["type"], detail["loc"]
    path = located(document.root, location)
    files = [file_key for file_key, key in SECRET_FILES.items() if key == location[-1]] if location else []
    if kind == "missing" and files:
        return Complaint((*path, location[-1]), f"{MISSING}; give {files[0]}")
    known = ", ".join(CHANNEL_KINDS if path[:1] == ("alerts",) else VANTAGE_KINDS)
    if kind == "union_tag_not_found":
        return Complaint((*path, "kind"), f"{MISSING}; known: {known}")
    if kind == "union_tag_invalid":
        path = (*path, "kind")
        return Complaint(path, f"unknown kind {shown(document.written.get(path, ''))}; known: {known}")
    return complaint_of(document, detail, siblings, is_secret=not _SECRET_KEYS.isdisjoint(path))
