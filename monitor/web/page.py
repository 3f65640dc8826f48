"""The page at `/`: what somebody without Grafana sees. Made here, without a script."""

import asyncio
import base64
import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from functools import cache
from itertools import groupby
from typing import Final

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from monitor.detect.rollup import PlatformVerdict
from monitor.model.vantage import VantageState
from monitor.model.verdict import Status
from monitor.store.incident_detail import IncidentDetail
from monitor.web.guard import CONTENT_POLICY
from monitor.web.route import Route
from monitor.web.services import DaemonStatus, IncidentQuery, Services, TargetState, VantageHealth

# A sign as well as a colour: one reader in twenty does not see the difference between red and green. Worst first.
_SIGNS: Final = {
    Status.BLOCKED: "✕",
    Status.THROTTLED: "≈",
    Status.WITHHELD: "⊘",
    Status.DOWN: "▼",
    Status.INCONCLUSIVE: "?",
    None: "…",
    Status.ACCESSIBLE: "✓",
}
_RANK: Final = {status: rank for rank, status in enumerate(_SIGNS)}
_ROUNDS_UNTIL_STALE: Final = 3
_MOST_INCIDENTS: Final = 100


async def page(services: Services, _: Request) -> Response:
    """Return the page as it is now."""
    targets = await services.targets()
    incidents = await services.incidents(IncidentQuery(is_open=True, limit=_MOST_INCIDENTS))
    platforms = services.platforms(targets)
    text = await asyncio.to_thread(render, services.status(), targets, platforms, incidents)
    policy = f"{CONTENT_POLICY}; style-src '{_style_hash()}'"
    return HTMLResponse(text, headers={"Content-Security-Policy": policy})


def render(
    status: DaemonStatus,
    targets: Sequence[TargetState],
    platforms: Sequence[PlatformVerdict] = (),
    incidents: Sequence[IncidentDetail] = (),
) -> str:
    """Return the HTML."""
    ordered = sorted(
        targets,
        key=lambda one: (one.platform_name.casefold(), one.platform, _RANK[one.status], one.target, one.vantage),
    )
    groups = [list(members) for _, members in groupby(ordered, key=lambda one: one.platform)]
    groups.sort(key=lambda members: min(_RANK[one.status] for one in members))
    counts = Counter(one.status for one in targets)
    ranked = sorted(platforms, key=lambda one: (_worst(one), _RANK[one.status], one.name.casefold()))
    return (
        _environment()
        .get_template("page.html")
        .render(
            status=status,
            incidents=incidents,
            groups=groups,
            platforms=[one for one in ranked if not _is_clear(one)],
            clear=[one for one in ranked if _is_clear(one)],
            counts=[(found, counts[found]) for found in _SIGNS if counts[found]],
            signs=_SIGNS,
            style=_style(),
            sick=[one for one in status.vantages if one.state not in {None, VantageState.ONLINE}],
            network=network_text,
            ago=lambda at: duration_text(status.now - at),
            is_stale=lambda one: (
                one.measured_at is not None
                and status.now - one.measured_at > timedelta(seconds=_ROUNDS_UNTIL_STALE * one.interval_seconds)
            ),
            words=lambda value: str(value).replace("_", " "),
        )
    )


def _is_clear(one: PlatformVerdict) -> bool:
    """Tell whether a platform is accessible from every vantage, and all that could be judged of it."""
    return not one.is_partial and all(vantage.status is Status.ACCESSIBLE for vantage in one.vantages)


def _worst(one: PlatformVerdict) -> int:
    """Return the rank of the worst that any target of a platform shows anywhere: one that is blocked is the signal."""
    shown = (status for vantage in one.vantages for status in vantage.targets.values())
    return min(map(_RANK.__getitem__, shown), default=_RANK[one.status])


def duration_text(duration: timedelta) -> str:
    """Return a length of time in its two largest units: 3 d 4 h, 12 min, 8 s."""
    seconds = max(0, int(duration.total_seconds()))
    units = (("d", 86_400), ("h", 3600), ("min", 60), ("s", 1))
    largest = next((place for place, (_, length) in enumerate(units) if seconds >= length), len(units) - 1)
    parts: list[str] = []
    for name, length in units[largest : largest + 2]:
        count, seconds = divmod(seconds, length)
        if count or not parts:
            parts.append(f"{count} {name}")
    return " ".join(parts)


def network_text(one: TargetState | VantageHealth) -> str:
    """Return name and number of the network that was observed."""
    names: Iterable[str | None] = (one.network.name, f"AS{one.network.asn}" if one.network.asn is not None else None)
    return " · ".join(name for name in names if name) or "unknown network"


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("monitor.web"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["utc"] = _utc
    return environment


@cache
def _style() -> str:
    return _environment().get_template("page.css").render()


@cache
def _style_hash() -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(_style().encode()).digest()).decode()


def _utc(at: datetime) -> str:
    return at.strftime("%Y-%m-%d %H:%M")


ROUTE: Final = Route("/", page, "The page", is_public=True)
