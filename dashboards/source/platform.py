"""The dashboard `platform`: one platform: how it is blocked, on which networks."""

from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models import units

from dashboards.source import frame, records
from dashboards.source.panels import Panel, chart, number, rows, sentence, timeline
from dashboards.source.queries import CHOSEN, FRESH, layer_codes, prom, prom_now, status_codes
from dashboards.source.statuses import LAYERS, NOT_MEASURED, NOT_SEEN, STATUSES

COLOURS = {str(status): look.colour for status, look in STATUSES.items()} | {"not measured": NOT_MEASURED.colour}


MECHANISMS = (
    f'label_replace(access_target_mechanism{{{CHOSEN}}} == 1 {FRESH}, "layer", "$1", "mechanism", "([a-z]+)[.].*")'
)
SECONDS, COUNT = (
    f"sum by (step) (rate(access_step_duration_seconds_{part}{{{CHOSEN}}}[$__rate_interval]))"
    for part in ("sum", "count")
)


def _in_one_sentence() -> Panel:
    return sentence(
        "In one sentence",
        "The open incident of this platform, with the networks it rests on. From the database.",
        records.sentences(),
    )


def _networks_measured() -> Panel:
    return number(
        "Networks measured",
        "Networks with a measurement not older than three intervals: what every share here rests "
        "on. None if nobody measures.",
        prom_now(f"count(max by (asn) (access_target_status{{{CHOSEN}}} {FRESH}))"),
    )


def _status_by_vantage() -> Panel:
    return timeline(
        "Status by vantage",
        "The gravest status within each step, of each target from each vantage and network. "
        '"Not measured" for a day after the last measurement, then empty.',
        prom(status_codes("target, vantage, asn"), "{{target}} from {{vantage}} (AS{{asn}})"),
    )


def _mechanisms_by_vantage() -> Panel:
    return timeline(
        "Mechanisms by vantage",
        "The layer that is interfered with, one row for each mechanism seen. Not seen: for a day after it was.",
        prom(layer_codes("vantage, asn, mechanism"), "{{mechanism}} at {{vantage}} (AS{{asn}})"),
        (NOT_SEEN, *LAYERS.values()),
    )


def _share_of_targets_accessible() -> Panel:
    return chart(
        "Share of targets accessible",
        "Of the targets with a verdict other than inconclusive, at each vantage. A gap where there "
        "is none. Shaded: regulatory events and incidents.",
        prom(f"avg by (vantage, asn) (access_target_accessible{{{CHOSEN}}} {FRESH})", "{{vantage}} (AS{{asn}})"),
        unit=units.PercentUnit,
        ceiling=1,
    )


def _targets_interfered_with_by_layer() -> Panel:
    return chart(
        "Targets interfered with, by layer",
        "Targets, each from one vantage, by the layer of their mechanisms. Empty where there is none.",
        prom(f"count by (layer) ({MECHANISMS})", "{{layer}}"),
        stacked=True,
        colours={name: look.colour for name, look in LAYERS.items()},
    )


def _rounds_by_day_and_status() -> Panel:
    return chart(
        "Rounds by day and status",
        "How many rounds ended how, from the hourly counts, which reach back for years. Rounds that "
        "the interval called for and that nobody ran are not measured.",
        records.daily_rounds(),
        stacked=True,
        bars=True,
        colours=COLOURS,
    )


def _time_of_the_steps() -> Panel:
    return chart(
        "Time of the steps",
        "Mean time of the steps that succeeded, one above the other. A gap where none did.",
        prom(f"{SECONDS} / ({COUNT} > 0)", "{{step}}"),
        unit=units.Seconds,
        stacked=True,
    )


def _confirmed_changes() -> Panel:
    return rows(
        "Confirmed changes",
        "Each change lies between the two times on the right, and was confirmed by the measurement "
        "named. From the database.",
        records.transitions(),
        times=("confirmed", "after", "before"),
        widths={"vantage": 110, "status": 150},
    )


def _incidents() -> Panel:
    return rows(
        "Incidents",
        "Incidents of this platform in the time range, open ones first.",
        records.incidents(),
        times=("began after", "began before", "ended"),
        widths={"platform": 140, "country": 80, "status": 150, "networks affected": 150},
        hidden=("name",),
    )


def _certificates_end_in() -> Panel:
    return number(
        "Certificates end in",
        "The first certificate to end, of those that were presented for the target's names, trusted "
        "or not. None for a target without TLS.",
        prom_now(f"min by (target) (access_certificate_expiry_timestamp_seconds{{{CHOSEN}}}) - time()", "{{target}}"),
        units.Seconds,
        named=True,
    )


def _where_it_is_served_from() -> Panel:
    return chart(
        "Where it is served from",
        "Targets, each from one vantage, by country and network of servers that proved to be their own. A move of "
        "servers into the country shows here. Empty without geo.database.",
        prom(
            f"count by (server_country, server_asn) (access_target_served_from{{{CHOSEN}}} {FRESH})",
            "{{server_country}} (AS{{server_asn}})",
        ),
        stacked=True,
    )


def build() -> model.Dashboard:
    """Return the dashboard."""
    return frame.dashboard(
        "access-platform",
        "Access: platform",
        "One platform: how is it blocked, and on which networks?",
        [frame.country(), frame.platform(several=False)],
        [
            (4, [(_in_one_sentence(), 18), (_networks_measured(), 6)]),
            (10, [(_status_by_vantage(), 24)]),
            (8, [(_mechanisms_by_vantage(), 24)]),
            (9, [(_share_of_targets_accessible(), 12), (_targets_interfered_with_by_layer(), 12)]),
            (9, [(_rounds_by_day_and_status(), 12), (_time_of_the_steps(), 12)]),
            (9, [(_confirmed_changes(), 24)]),
            (9, [(_incidents(), 24)]),
            (9, [(_where_it_is_served_from(), 12), (_certificates_end_in(), 12)]),
        ],
    )
