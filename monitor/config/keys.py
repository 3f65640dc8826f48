"""Every key that probes.yaml may hold, read off the schema: for suggestions, and so that the docs can be compared."""

from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Final, get_args, get_origin

from pydantic import BaseModel

from monitor.config.schema import Configuration

ANY: Final = "ID"  # stands for a name that the file chooses, such as a target's


def _models(annotation: Any) -> Iterator[tuple[tuple[str, ...], type[BaseModel]]]:
    """Yield each mapping below an annotation, with the placeholder that leads to it."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield (), annotation
    elif get_origin(annotation) is dict:
        for path, model in _models(get_args(annotation)[1]):
            yield (ANY, *path), model
    elif get_origin(annotation) is Annotated:
        yield from _models(get_args(annotation)[0])
    else:
        for part in get_args(annotation):
            yield from _models(part)


def walk(model: type[BaseModel], path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yield the path of every key that a model may hold."""
    for name, known in model.model_fields.items():
        yield (*path, name)
        for below, inner in _models(known.annotation):
            yield from walk(inner, (*path, name, *below))


KEYS: Final = tuple(dict.fromkeys(walk(Configuration)))


def siblings(path: Sequence[str | int], keys: Sequence[tuple[str, ...]] = KEYS) -> list[str]:
    """Return the keys that may stand where the last part of `path` stands; places in lists do not count."""
    names = [part for part in path if isinstance(part, str)]
    return [
        key[-1]
        for key in keys
        if len(key) == len(names)
        and all(known in (ANY, part) for known, part in zip(key[:-1], names[:-1], strict=True))
    ]
