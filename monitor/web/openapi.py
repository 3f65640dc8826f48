"""The OpenAPI 3.1 document, written from the table of routes."""

from collections.abc import Iterable
from typing import Any, Final

import msgspec

from monitor.web.route import Parameter, Route

_REFERENCE: Final = "#/components/schemas/{name}"


def document(routes: Iterable[Route], version: str) -> dict[str, Any]:
    """Return the document for the routes."""
    routes = tuple(routes)
    answers = [route.answer for route in routes if route.answer is not None]
    schemas, components = msgspec.json.schema_components(answers, ref_template=_REFERENCE)
    schema_of = dict(zip(map(repr, answers), schemas, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        content = (
            {"text/plain": {"schema": {"type": "string"}}}
            if route.answer is None
            else {"application/json": {"schema": schema_of[repr(route.answer)]}}
        )
        operation: dict[str, Any] = {
            "summary": route.summary,
            "parameters": [_parameter(route, one) for one in route.parameters],
            "responses": {"200": {"description": "OK", "content": content}},
        }
        if not route.is_public:
            operation["security"] = [{"token": []}]
            operation["responses"]["401"] = {"description": "A token is configured and was not given"}
        paths.setdefault(route.path.replace(":int}", "}"), {})[route.method.lower()] = operation
    return {
        "openapi": "3.1.0",
        "info": {"title": "Access monitor", "version": version},
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _parameter(route: Route, parameter: Parameter) -> dict[str, Any]:
    is_in_path = f"{{{parameter.name}" in route.path
    return {
        "name": parameter.name,
        "in": "path" if is_in_path else "query",
        "required": parameter.required or is_in_path,
        "description": parameter.summary,
        "schema": parameter.schema,
    }
