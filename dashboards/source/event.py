"""The dashboard `event`: whether access changed around a regulatory event."""

from typing import Final

from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models import units

from dashboards.source import around, frame
from dashboards.source.panels import Panel, chart, rows, sentence, words
from dashboards.source.queries import CHOSEN, FRESH, prom, prom_table

CAVEAT: Final = """\
- Seven days on either side of the event's first date; a day in the record is a day in local time there.
- A share counts only rounds that decided something. Rounds kept and dropped stand beside it.
- **No change seen** and **not measured** are different answers. Before the first measurement there is only the second.
- An event *coincides with*, *precedes* or *follows* a change. That is no proof of a cause.
- `monitor incidents` and the page say what the detector concluded; these tables only count.
"""


def _in_one_sentence() -> Panel:
    return sentence(
        "In one sentence",
        "The incident that began nearest to the event's first date, within a week of it. "
        '"Not measured" where no vantage kept a round in that time. From the database.',
        around.sentence(),
    )


def _share_of_rounds_accessible_by_hour() -> Panel:
    return chart(
        "Share of rounds accessible, by hour",
        "From the hourly counts, which reach back for years. A gap where no round decided anything.",
        around.share_over_time(),
        unit=units.PercentUnit,
        ceiling=1,
    )


def _share_of_targets_accessible_as_scraped() -> Panel:
    return chart(
        "Share of targets accessible, as scraped",
        "From Prometheus, only as far back as it scraped. A gap where no verdict said anything.",
        prom(
            f"avg by (platform, vantage) (access_target_accessible{{{CHOSEN}}} {FRESH})",
            "{{platform}} from {{vantage}}",
        ),
        unit=units.PercentUnit,
        ceiling=1,
    )


def _before_and_after() -> Panel:
    return rows(
        "Before and after",
        "Share of rounds accessible in the week before and the week after the event's first date, with the "
        "number of rounds behind it. Empty where none decided anything.",
        around.before_and_after(),
        unit_of={"share before": units.PercentUnit, "share after": units.PercentUnit},
    )


def _how_to_read_this() -> Panel:
    return words("How to read this", "What these numbers can show and what they cannot.", CAVEAT)


def _incidents_near_the_event() -> Panel:
    return rows(
        "Incidents near the event",
        "Incidents that began within a week of the event's first date. The lag is an interval; negative: the "
        "change came first.",
        around.lags(),
        times=("began before", "ended"),
        unit_of={"lag from": units.Seconds, "lag to": units.Seconds},
        widths={"platform": 100, "country": 70, "status": 130},
    )


def _not_measured_then() -> Panel:
    return rows(
        "Not measured then",
        "Platforms and vantages that kept no round within a week of the event, and since when they "
        "were measured at all. Empty where everything was measured.",
        around.not_measured(),
        times=("measured since",),
    )


def _dates_on_record() -> Panel:
    return rows(
        "Dates on record",
        "Each phase with its interval; sources that disagree have a row each. A claim that it was lifted is a claim.",
        around.dates(),
        times=("from", "to"),
    )


def _deadlines() -> Panel:
    return rows(
        "Deadlines",
        "When obligations under this event fall due. Empty for an event without any.",
        prom_table('1000 * max by (event, obligation) (access_event_deadline_timestamp_seconds{event=~"$event"})'),
        times=("Value",),
        headed={"Value": "due"},
        hidden=("Time",),
    )


def _sources() -> Panel:
    return rows(
        "Sources",
        "What the record rests on, with a link to what was published.",
        around.sources(),
        links={"title": ("What was published", "${__data.fields.url}")},
        hidden=("url",),
        widths={"publisher": 180, "kind": 110, "published": 110},
    )


def build() -> model.Dashboard:
    """Return the dashboard."""
    return frame.dashboard(
        "access-event",
        "Access: event",
        "Did access change around this event?",
        [frame.country(), frame.platform(), frame.event()],
        [
            (4, [(_in_one_sentence(), 24)]),
            (9, [(_share_of_rounds_accessible_by_hour(), 12), (_share_of_targets_accessible_as_scraped(), 12)]),
            (9, [(_before_and_after(), 16), (_how_to_read_this(), 8)]),
            (8, [(_incidents_near_the_event(), 16), (_not_measured_then(), 8)]),
            (8, [(_dates_on_record(), 12), (_deadlines(), 12)]),
            (8, [(_sources(), 24)]),
        ],
    )
