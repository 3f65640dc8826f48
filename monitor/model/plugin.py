"""Plug-ins: the word in probes.yaml is the name of the module, so that no registry can be forgotten."""

from collections.abc import Sequence
from functools import cache
from importlib import import_module
from pkgutil import iter_modules
from types import ModuleType


class UnknownKindError(ValueError):
    """No module has the name of this kind."""

    def __init__(self, kind: str, known: Sequence[str]) -> None:
        super().__init__(f"unknown kind {kind!r}; known: {', '.join(known)}")
        self.kind = kind
        self.known = tuple(known)


@cache
def load(package: str, kind: str) -> ModuleType:
    """Import the plug-in module that `kind` names; raises UnknownKindError listing the known kinds."""
    known = sorted(m.name for m in iter_modules(import_module(package).__path__) if not m.name.startswith("_"))
    if kind not in known:
        raise UnknownKindError(kind, known)
    return import_module(f"{package}.{kind}")
