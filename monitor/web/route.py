"""A route, and what its caller may read about it."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from monitor.web.services import Services

Handler = Callable[[Services, Request], Awaitable[Response]]


@dataclass(frozen=True)
class Parameter:
    """A parameter of the query, or of the path if its name stands there in braces."""

    name: str
    summary: str
    schema: dict[str, Any]
    required: bool = False


@dataclass(frozen=True)
class Route:
    """One path and method. It is closed to strangers unless declared public (see `guard.py`)."""

    path: str
    handler: Handler
    summary: str
    method: str = "GET"
    is_public: bool = False
    parameters: tuple[Parameter, ...] = ()
    answer: Any = None  # the type that the JSON answer is written from; None: text
