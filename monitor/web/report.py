"""The report of an incident at `/report`: what `monitor report --incident` writes, read-only."""

from typing import Final

from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response

from monitor.report.page import style_hash
from monitor.web.guard import CONTENT_POLICY
from monitor.web.route import Parameter, Route
from monitor.web.services import Services

_LONGEST_ID: Final = 200


async def report(services: Services, request: Request) -> Response:
    """Return the page."""
    name = request.query_params.get("incident", "")
    text = await services.report(name) if 0 < len(name) <= _LONGEST_ID else None
    if text is None:
        return PlainTextResponse("There is no such incident; /api/v1/incidents lists them.\n", 404)
    return HTMLResponse(text, headers={"Content-Security-Policy": f"{CONTENT_POLICY}; style-src '{style_hash()}'"})


ROUTE: Final = Route(
    "/report",
    report,
    "The report of an incident, as a page",
    parameters=(Parameter("incident", "Id of the incident", {"type": "string"}, required=True),),
)
