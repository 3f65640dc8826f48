"""A regulatory event with an order, an effect, a claim, a planned end and an obligation; still in force."""

from datetime import UTC, datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

from monitor.events.annotation import Calendar, marks
from monitor.events.confidence import confidence_in
from monitor.events.interval import written
from monitor.events.record import (
    Authority,
    Dated,
    Kind,
    Obligation,
    Phase,
    Platform,
    RegulatoryEvent,
    Source,
    SourceKind,
)

KARACHI: Final = "Asia/Karachi"
COURT: Final = Source(
    id="letter", publisher="Ministry", kind=SourceKind.COURT, title="The letter", document="letter 7 of 2026"
)
PRESS: Final = Source(
    id="dawn", publisher="Dawn", kind=SourceKind.PRESS, title="X blocked", url="https://www.dawn.com/news/1"
)


def dated(phase: Phase, on: str, tz: str = KARACHI, **fields: Any) -> Dated:
    interval, precision = written(on, ZoneInfo(tz))
    return Dated(
        phase=phase,
        earliest=interval.earliest,
        latest=interval.latest,
        precision=precision,
        tz=tz,
        **{"sources": ("dawn",), **fields},
    )


def event(name: str = "x-block-2026", *dates: Dated, **fields: Any) -> RegulatoryEvent:
    known: dict[str, Any] = {
        "kind": Kind.BLOCK,
        "title": {"en": "X blocked again"},
        "countries": ("PK",),
        "platforms": (Platform(id="x", domains=("x.com",)),),
        "authorities": (Authority(name="Ministry of Interior", role="orders"),),
        "sources": (COURT, PRESS),
        "dates": dates,
    }
    return RegulatoryEvent(id=name, **{"confidence": confidence_in((COURT, PRESS)), **known, **fields})


def calendar(*events: RegulatoryEvent) -> Calendar:
    found = {one.id: one for one in events}
    return Calendar(found, marks(found))


BLOCK: Final = event(
    "x-block-2026",
    dated(Phase.ORDERED, "2026-11-01"),
    dated(Phase.PLANNED_END, "2026-12-31"),
    dated(Phase.CLAIMED_LIFTED, "2026-11-10"),
    dated(Phase.RETRACTED, "2026-11-12"),
    obligations=(
        Obligation(
            id="register", what="register with the authority", sources=("dawn",), after="P1M", phases=(Phase.ORDERED,)
        ),
    ),
)
ORDER: Final = event(
    "court-order-2026",
    dated(Phase.COURT_ORDERED, "2026-11-15T09:30"),
    kind=Kind.COURT_ORDER,
    title={"en": "Court orders <b>X</b> opened, and"},
)
CALENDAR: Final = calendar(BLOCK, ORDER)
LONG_AFTER: Final = datetime(2030, 1, 1, tzinfo=UTC)
