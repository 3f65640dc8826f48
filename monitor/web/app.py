"""The Starlette application: every route in one table."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Final

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route as StarletteRoute

from monitor.exporter.exposition import format_for
from monitor.web import api, events_api, openapi, page, probe, report
from monitor.web.guard import Guard
from monitor.web.route import Handler, Route
from monitor.web.services import Services


async def metrics(services: Services, request: Request) -> Response:
    """Return every metric. Written in a thread of its own, so that a scrape delays no measurement."""
    form = format_for(request.headers.get("accept", ""))
    services.exporter.set_store(services.status().store)
    return Response(await asyncio.to_thread(services.exporter.render, form), media_type=form)


async def healthy(_: Services, __: Request) -> Response:
    """Say that the process lives."""
    return PlainTextResponse("Healthy\n")


async def ready(services: Services, _: Request) -> Response:
    """Say whether the daemon does its work."""
    return PlainTextResponse("Ready\n") if services.is_ready() else PlainTextResponse("Not ready\n", 503)


async def reload(services: Services, _: Request) -> Response:
    """Read the configuration again; a bad file leaves the old one in use."""
    ok, message = await services.reload()
    return PlainTextResponse(f"{message}\n", 200 if ok else 500)


async def describe(services: Services, _: Request) -> Response:
    """Return the OpenAPI document."""
    return JSONResponse(openapi.document(ROUTES, services.status().version))


ROUTES: Final = (
    page.ROUTE,
    report.ROUTE,
    Route("/metrics", metrics, "Every metric, for Prometheus", is_public=True),
    Route("/-/healthy", healthy, "200 while the process lives", is_public=True),
    Route("/-/ready", ready, "200 while the daemon does its work, 503 otherwise", is_public=True),
    Route("/-/reload", reload, "Read the configuration again; 500 and what is wrong with it if refused", "POST"),
    probe.ROUTE,
    *api.ROUTES,
    *events_api.ROUTES,
    Route("/api/v1/openapi.json", describe, "This document", answer=dict[str, Any]),
)


def create_app(services: Services) -> Starlette:
    """Return the application over the daemon's services."""
    return Starlette(
        routes=[
            StarletteRoute(route.path, _endpoint(route.handler, services), methods=[route.method]) for route in ROUTES
        ],
        exception_handlers={api.BadQueryError: api.bad_query},
        middleware=[
            Middleware(
                Guard,
                settings=lambda: services.settings,
                public=frozenset(route.path for route in ROUTES if route.is_public),
            )
        ],
    )


def _endpoint(handler: Handler, services: Services) -> Callable[[Request], Coroutine[Any, Any, Response]]:
    async def endpoint(request: Request) -> Response:
        return await handler(services, request)

    return endpoint
