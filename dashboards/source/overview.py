"""The dashboard `overview`: what is blocked now, where, and since when."""

from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models import units

from dashboards.source import records
from dashboards.source.frame import country, dashboard, platform
from dashboards.source.panels import Panel, history, number, rows, sentence, words
from dashboards.source.queries import CHOSEN, FRESH, platform_codes, prom, prom_now, prom_table

EXPLANATION = """\
- **blocked**: the network prevents access. **withheld**: the platform's own genuine server refuses this place.
  **down everywhere**: it fails from the control too. **cannot tell**: we looked and could not decide.
- **not measured**: nobody looked, so nothing is said. No panel turns silence into "accessible".
- A platform's row follows its own rule for targets and networks. One network that differs may not turn it: the
  panel "Networks with a block" and the table say on how many.
- Networks without a vantage are not in here at all: a national figure cannot be read from it.
- Times are UTC. An event "coincides with" a change; nothing here says that one caused the other.
"""


AGE = f"time() - max(access_last_measurement_timestamp_seconds{{{CHOSEN}}})"
BLOCKED = f'max by (platform, country) (access_platform_networks{{{CHOSEN},status="blocked"}}) > 0'
MEASURED = f"count(max by (asn) (access_target_status{{{CHOSEN}}} {FRESH}))"


def _in_one_sentence() -> Panel:
    return sentence(
        "In one sentence",
        "One line for each open incident, with the networks it rests on. Without any, what that "
        'rests on. "Not measured" if there is neither. From the database.',
        records.sentences(),
    )


def _days_of_open_incidents() -> Panel:
    return number(
        "Days of open incidents",
        "Days since the first failing round of each open incident. None while no incident is open.",
        prom_now(
            f"(time() - access_incident_start_timestamp_seconds{{{CHOSEN}}}) / 86400", "{{platform}} in {{country}}"
        ),
        units.Days,
        named=True,
        decimals=1,
    )


def _open_incidents() -> Panel:
    return number(
        "Open incidents",
        "Platforms and countries with an open incident, of those chosen.",
        prom_now(f"sum(access_incident_active{{{CHOSEN}}}) or vector(0)"),
        alarm_from=1,
    )


def _networks_measured() -> Panel:
    return number(
        "Networks measured",
        "Networks with a measurement not older than three intervals. None if nobody measures.",
        prom_now(MEASURED),
    )


def _newest_measurement() -> Panel:
    return number(
        "Newest measurement",
        "How long ago the newest measurement of those chosen began. None if there never was one.",
        prom_now(AGE),
        units.Seconds,
        alarm_from=1800,
    )


def _platforms_by_country() -> Panel:
    return history(
        "Platforms by country",
        "How each platform stood as a whole in the country, by its own rule for targets and networks; the gravest "
        'within the cell. "Not measured" for a day after it was last known, then empty.',
        prom(platform_codes(), "{{platform}} in {{country}}"),
    )


def _incidents() -> Panel:
    return rows(
        "Incidents",
        "Incidents of the time range, open ones first. Each began between the two times given; the "
        "first is empty if it began before the first measurement.",
        records.incidents(),
        times=("began after", "began before", "ended"),
        links={
            "platform": ("This platform", "/d/access-platform?var-platform=${__data.fields.name}&${__url_time_range}")
        },
        widths={"platform": 140, "country": 80, "status": 150, "networks affected": 150},
        hidden=("name",),
    )


def _regulatory_events() -> Panel:
    return rows(
        "Regulatory events",
        "Events on record that touch the time range, also those before anything was measured. A "
        "title leads to the event's dashboard, a source to what was published.",
        records.events(),
        times=("date", "until"),
        links={
            "title": (
                "Access around this event",
                "/d/access-event?var-event=${__data.fields.id}&from=${__data.fields.from_ms}&to=${__data.fields.to_ms}",
            ),
            "source": ("What was published", "${__data.fields.url}"),
        },
        widths={"kind": 110, "country": 70, "platform": 90, "source": 150},
        hidden=("url", "id", "from_ms", "to_ms"),
    )


def _how_to_read_this() -> Panel:
    return words("How to read this", "What the words and colours mean, and what is not known.", EXPLANATION)


def _networks_with_a_block() -> Panel:
    return number(
        "Networks with a block",
        "Networks on which the platform as a whole is blocked now. None where there is no such network.",
        prom_now(BLOCKED, "{{platform}} in {{country}}"),
        named=True,
        alarm_from=1,
    )


def _cannot_tell_by_reason() -> Panel:
    return number(
        "Cannot tell, by reason",
        "Targets, each from one vantage, whose latest verdict is inconclusive. None if all are clear.",
        prom_now(f"count by (reason) (access_target_inconclusive{{{CHOSEN}}} == 1 {FRESH})", "{{reason}}"),
        named=True,
    )


def _deadlines_ahead() -> Panel:
    return rows(
        "Deadlines ahead",
        "Obligations under regulatory events that fall due, the nearest first. Empty while none is on record.",
        prom_table("sort(max by (event, obligation) (access_event_deadline_timestamp_seconds) - time() > 0)"),
        headed={"Value": "due in"},
        unit_of={"Value": units.Seconds},
        links={"event": ("Access around this event", "/d/access-event?var-event=${__data.fields.event}")},
        hidden=("Time",),
    )


def build() -> model.Dashboard:
    """Return the dashboard."""
    return dashboard(
        "access-overview",
        "Access: overview",
        "What is blocked now, where, and since when?",
        [country(), platform()],
        [
            (5, [(_in_one_sentence(), 24)]),
            (
                5,
                [
                    (_days_of_open_incidents(), 10),
                    (_open_incidents(), 4),
                    (_networks_measured(), 5),
                    (_newest_measurement(), 5),
                ],
            ),
            (12, [(_platforms_by_country(), 24)]),
            (9, [(_incidents(), 24)]),
            (10, [(_regulatory_events(), 16), (_how_to_read_this(), 8)]),
            (8, [(_deadlines_ahead(), 8), (_networks_with_a_block(), 8), (_cannot_tell_by_reason(), 8)]),
        ],
    )
