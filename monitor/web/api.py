"""The JSON API: what is known now, what was measured, and incidents. Read only; every answer is bounded."""

from datetime import UTC, datetime
from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from monitor.detect.rollup import PlatformVerdict
from monitor.model.aggregation import OoniCount
from monitor.model.alert import DeliveryState
from monitor.store.incident_detail import IncidentDetail
from monitor.store.outbox_reader import AlertRecord
from monitor.store.reader import HistoryRow, ServedFrom, StoredMeasurement
from monitor.web.route import Parameter, Route
from monitor.web.services import (
    AlertQuery,
    CountsQuery,
    DaemonStatus,
    HistoryQuery,
    IncidentQuery,
    Services,
    TargetState,
)

MOST_ITEMS: Final = 1000
_FEW_ITEMS: Final = 100
_LARGEST_ID: Final = 2**63 - 1  # of SQLite
_TEXT: Final = {"type": "string", "maxLength": 64}
_TIME: Final = {"type": "string", "description": "ISO 8601 with an offset, or seconds since 1970"}
LIMIT: Final = Parameter(
    "limit", "how many at most", {"type": "integer", "minimum": 1, "maximum": MOST_ITEMS, "default": _FEW_ITEMS}
)


class Targets(msgspec.Struct, frozen=True):
    """Answer of /api/v1/targets."""

    targets: tuple[TargetState, ...]


class Platforms(msgspec.Struct, frozen=True):
    """Answer of /api/v1/platforms."""

    platforms: tuple[PlatformVerdict, ...]


class History(msgspec.Struct, frozen=True):
    """Answer of /api/v1/history: measurements with their verdicts, newest first."""

    measurements: tuple[HistoryRow, ...]


class OoniCounts(msgspec.Struct, frozen=True):
    """Answer of /api/v1/ooni-aggregation: OONI's own counts, which are no verdicts of ours."""

    counts: tuple[OoniCount, ...]
    source: str = "ooni"


class Incidents(msgspec.Struct, frozen=True):
    """Answer of /api/v1/incidents, newest first."""

    incidents: tuple[IncidentDetail, ...]


class Alerts(msgspec.Struct, frozen=True):
    """Answer of /api/v1/alerts, newest first."""

    alerts: tuple[AlertRecord, ...]


class Served(msgspec.Struct, frozen=True):
    """Answer of /api/v1/served-from: where servers of a target stood, the latest days first."""

    served_from: tuple[ServedFrom, ...]


class Problem(msgspec.Struct, frozen=True):
    """Answer to a request that makes no sense, or asks for what is not there."""

    error: str


class BadQueryError(Exception):
    """The query makes no sense; the message says why."""


async def status(services: Services, _: Request) -> Response:
    """Return how the daemon is."""
    return answer(services.status())


async def targets(services: Services, request: Request) -> Response:
    """Return the present state of targets, of one platform or vantage if the query names it."""
    states = await services.targets()
    platform, vantage = request.query_params.get("platform"), request.query_params.get("vantage")
    return answer(
        Targets(
            tuple(
                one
                for one in states
                if (platform is None or one.platform == platform) and (vantage is None or one.vantage == vantage)
            )
        )
    )


async def platforms(services: Services, request: Request) -> Response:
    """Return how platforms stand as a whole, one of them or in one country if the query names it."""
    platform, country = request.query_params.get("platform"), request.query_params.get("country")
    return answer(
        Platforms(
            tuple(
                one
                for one in services.platforms(await services.targets())
                if (platform is None or one.platform == platform) and (country is None or one.country == country)
            )
        )
    )


async def history(services: Services, request: Request) -> Response:
    """Return stored measurements of one target."""
    target = request.query_params.get("target")
    if not target:
        raise BadQueryError("target: name one, as probes.yaml does")
    wanted = HistoryQuery(
        target=target,
        vantage=request.query_params.get("vantage"),
        since=time_of(request, "since"),
        until=time_of(request, "until"),
        limit=limit_of(request),
    )
    return answer(History(tuple(await services.history(wanted))))


async def served_from(services: Services, request: Request) -> Response:
    """Return where a target was served from."""
    target = request.query_params.get("target")
    if not target:
        raise BadQueryError("target: name one, as probes.yaml does")
    return answer(Served(tuple(await services.served_from(target, limit_of(request)))))


async def ooni_counts(services: Services, request: Request) -> Response:
    """Return counts that OONI published."""
    domain, country = request.query_params.get("domain"), request.query_params.get("country")
    if not domain:
        raise BadQueryError("domain: name one, such as x.com")
    wanted = CountsQuery(
        domain=domain.lower(),
        country=country.upper() if country else None,
        since=time_of(request, "since"),
        until=time_of(request, "until"),
        limit=limit_of(request),
    )
    return answer(OoniCounts(tuple(await services.ooni_counts(wanted))))


async def measurement(services: Services, request: Request) -> Response:
    """Return one stored measurement whole."""
    measurement_id: int = request.path_params["id"]
    found = await services.measurement(measurement_id) if measurement_id <= _LARGEST_ID else None
    return answer(Problem("no such measurement"), 404) if found is None else answer(found)


async def incidents(services: Services, request: Request) -> Response:
    """Return incidents, open and closed, of one platform or country if the query names it."""
    wanted = IncidentQuery(
        platform=request.query_params.get("platform"),
        country=request.query_params.get("country"),
        is_open=request.query_params.get("open", "") not in {"", "0", "false"},
        limit=limit_of(request),
    )
    return answer(Incidents(tuple(await services.incidents(wanted))))


async def alerts(services: Services, request: Request) -> Response:
    """Return alerts with their messages, of one incident, channel or state if the query names it."""
    state = request.query_params.get("state")
    if state and state not in set(DeliveryState):
        raise BadQueryError(f"state: must be one of {', '.join(DeliveryState)}")
    wanted = AlertQuery(
        incident=request.query_params.get("incident"),
        channel=request.query_params.get("channel"),
        state=state,
        limit=limit_of(request),
    )
    return answer(Alerts(tuple(await services.alerts(wanted))))


async def bad_query(_: Request, error: Exception) -> Response:
    """Answer a `BadQueryError`."""
    return answer(Problem(str(error)), 400)


def answer(value: object, status_code: int = 200) -> Response:
    """Return a value as JSON."""
    return Response(msgspec.json.encode(value), status_code, media_type="application/json")


def limit_of(request: Request, default: int = _FEW_ITEMS) -> int:
    """Return how many items are wanted; raises BadQueryError."""
    written = request.query_params.get("limit", str(default))
    if not (written.isascii() and written.isdigit() and len(written) <= 4 and 1 <= int(written) <= MOST_ITEMS):
        raise BadQueryError(f"limit: must be a number from 1 to {MOST_ITEMS}")
    return int(written)


def time_of(request: Request, name: str) -> datetime | None:
    """Return an instant of the query, None if it is not there; raises BadQueryError."""
    written = request.query_params.get(name)
    if not written:
        return None
    try:
        if written.replace(".", "", 1).isdigit():
            return datetime.fromtimestamp(float(written), UTC)
        at = datetime.fromisoformat(written)
        if at.tzinfo is not None:
            return at.astimezone(UTC)
    except (ValueError, OverflowError, OSError):
        pass
    raise BadQueryError(f"{name}: must be a time such as 2026-11-22T10:00:00Z")


ROUTES: Final = (
    Route("/api/v1/status", status, "How the daemon, its vantages and its database are", answer=DaemonStatus),
    Route(
        "/api/v1/targets",
        targets,
        "The present state of every target at every vantage",
        parameters=(Parameter("platform", "only this platform", _TEXT), Parameter("vantage", "only this one", _TEXT)),
        answer=Targets,
    ),
    Route(
        "/api/v1/platforms",
        platforms,
        "How each platform stands as a whole, by country, with the networks that count and those that do not",
        parameters=(Parameter("platform", "only this one", _TEXT), Parameter("country", "only this one, as PK", _TEXT)),
        answer=Platforms,
    ),
    Route(
        "/api/v1/history",
        history,
        "Stored measurements of a target with their verdicts, newest first",
        parameters=(
            Parameter("target", "its name", _TEXT, required=True),
            Parameter("vantage", "only from this one", _TEXT),
            Parameter("since", "the earliest start, included", _TIME),
            Parameter("until", "the latest start, not included", _TIME),
            LIMIT,
        ),
        answer=History,
    ),
    Route(
        "/api/v1/measurements/{id:int}",
        measurement,
        "One stored measurement whole",
        parameters=(Parameter("id", "of the measurement", {"type": "integer"}),),
        answer=StoredMeasurement,
    ),
    Route(
        "/api/v1/ooni-aggregation",
        ooni_counts,
        "Counts that OONI published, imported: no verdicts of ours",
        parameters=(
            Parameter("domain", "such as x.com", {"type": "string", "maxLength": 253}, required=True),
            Parameter("country", "two letters", _TEXT),
            Parameter("since", "the earliest day, included", _TIME),
            Parameter("until", "the latest day, not included", _TIME),
            LIMIT,
        ),
        answer=OoniCounts,
    ),
    Route(
        "/api/v1/served-from",
        served_from,
        "Where a target is served from, day by day, if geo.database is given",
        parameters=(Parameter("target", "its name", _TEXT, required=True), LIMIT),
        answer=Served,
    ),
    Route(
        "/api/v1/incidents",
        incidents,
        "Incidents with their dated edges and what happened to them, newest first",
        parameters=(
            Parameter("platform", "only of this platform", _TEXT),
            Parameter("country", "only in this country", _TEXT),
            Parameter("open", "1: only those that have not ended", {"type": "integer", "enum": [0, 1]}),
            LIMIT,
        ),
        answer=Incidents,
    ),
    Route(
        "/api/v1/alerts",
        alerts,
        "Alerts with their messages and every attempt to send them, newest first",
        parameters=(
            Parameter("incident", "only about this incident", _TEXT),
            Parameter("channel", "only with a message for this channel", _TEXT),
            Parameter("state", "only with a message in this state", {"type": "string", "enum": list(DeliveryState)}),
            LIMIT,
        ),
        answer=Alerts,
    ),
)
