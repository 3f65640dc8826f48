"""The report as one HTML page that needs nothing else: no script, no font, no request. Pure."""

import base64
import hashlib
from datetime import datetime
from functools import cache
from typing import Final

from jinja2 import Environment, PackageLoader, StrictUndefined

from monitor.detect.coincidence import Relation, duration_words
from monitor.report import words
from monitor.report.picture import CLAIM_COLOUR, EVENT_COLOURS, described, picture
from monitor.report.record import Report
from monitor.report.table import as_csv

_RELATIONS: Final = {
    Relation.NO_CHANGE: "no change seen",
    Relation.UNEXPECTED_DIRECTION: "only the other change seen",
    Relation.COINCIDES: "coincides",
    Relation.PRECEDES: "change before it",
    Relation.FOLLOWS: "change after it",
    Relation.NOT_MEASURED: "not measured",
    Relation.DISPUTED_DATES: "dates in dispute",
}


def as_page(report: Report) -> str:
    """Return the HTML."""
    charts = []
    for number, (caption, chart) in enumerate(report.charts):
        forms = [
            picture(chart, report.flags, report.place, title=caption, name=f"c{number}{kind}", is_narrow=kind == "n")
            for kind in ("w", "n")
        ]
        charts.append((caption, *forms, described(chart)))
    return (
        _environment()
        .get_template("report.html")
        .render(
            report=report,
            charts=charts,
            csv=base64.b64encode(as_csv(report).encode()).decode(),
            style=_style(),
            relations=_RELATIONS,
            edges=words.EDGES,
            rounds=_rounds,
            changed=lambda one: words.changed(one, report.place),
            clock=lambda at: words.clock(at, report.place),
            between=lambda one: words.between(one, report.place),
            day=lambda at: words.day(at, report.place),
            lag=duration_words,
            spell=lambda value: str(value).replace("_", " "),
        )
    )


def _rounds(around: tuple[datetime | None, datetime | None]) -> str:
    before, after = around
    if before is None or after is None:
        return f"{_utc(before) if before else 'none'} → {_utc(after) if after else 'none'}"
    return f"{_utc(before)} → {after.strftime('%H:%M') if before.date() == after.date() else _utc(after)}"


def style_hash() -> str:
    """Return the hash by which a content security policy allows the page's style sheet."""
    return "sha256-" + base64.b64encode(hashlib.sha256(_style().encode()).digest()).decode()


@cache
def _style() -> str:
    return _environment().get_template("report.css").render(colours=EVENT_COLOURS, other=CLAIM_COLOUR)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("monitor.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["utc"] = _utc
    return environment


def _utc(at: datetime) -> str:
    return at.strftime("%Y-%m-%d %H:%M")
