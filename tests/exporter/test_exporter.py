import re
import subprocess
import sys
import threading
from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import Metric as Family
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from prometheus_client.parser import text_string_to_metric_families as text_families

from monitor.events.record import Phase
from monitor.events.record import Platform as EventPlatform
from monitor.exporter import table
from monitor.exporter.exporter import Exporter
from monitor.exporter.exposition import Format, document, format_for
from monitor.model.agent import Agent
from monitor.model.alert import Attempt, DeliveryState, Result
from monitor.model.observation import Purpose, QuicObservation, ThroughputObservation
from monitor.model.outcome import Incident, Silence
from monitor.model.place import Place
from monitor.model.rollup import RollupRule
from monitor.model.target import Target
from monitor.model.vantage import NetworkIdentity, ProbeCount, QuotaUse, Role, VantageCheck, VantageInfo, VantageState
from monitor.model.verdict import SeriesState, Status, Transition
from monitor.store.outbox_reader import Backlog
from tests.fakes.events import BLOCK, CALENDAR, LONG_AFTER, ORDER, calendar, dated, event
from tests.fakes.outcomes import ACCESSIBLE, BLOCKED, DNS, LAHORE, NOW, OFFLINE, TCP, TLS, X_HOME, outcome, recording
from tests.fakes.services import STORE

INCIDENT = Incident(
    id="x-pk-20261122",
    platform="x",
    country="PK",
    status=Status.BLOCKED,
    opened_at=NOW,
    started_after=None,
    started_before=datetime(2026, 11, 22, 10, tzinfo=UTC),
)
CHECK = VantageCheck(
    vantage=LAHORE.name, started_at=NOW, state=VantageState.ONLINE, network=NetworkIdentity(country="PK"),
    observations=(TCP, TCP, TCP),
)  # fmt: skip
SILENCE = Silence(country="PK", started_at=NOW, vantages=("cmpak", "ptcl"), networks=(17557, 59257))
ATTEMPT = Attempt(
    parcel=1,
    number=1,
    started_at=NOW,
    elapsed_seconds=0.2,
    result=Result.DELIVERED,
    detail="HTTP 204",
    state=DeliveryState.DELIVERED,
    due_at=NOW,
)
TRANSITION = Transition(
    target=X_HOME.name,
    vantage=LAHORE.name,
    at=NOW,
    before=SeriesState.ACCESSIBLE,
    after=SeriesState.NOT_ACCESSIBLE,
    status=Status.BLOCKED,
    score=9.6,
)


def an_exporter() -> Exporter:
    return Exporter(version="0.1.0", rules_version=1)


AGENT = Agent(
    id="a", vantage=LAHORE.name, token_id=LAHORE.name, public_key=bytes(32), enrolled_at=NOW, consent_version=1,
    last_seen_at=NOW, quiet="paused", spool_rows=7, dropped_count=2, clock_offset_seconds=-0.5,
)  # fmt: skip


def a_full_exporter() -> Exporter:
    """Return an exporter that has something to say about every metric."""
    exporter = an_exporter()
    exporter.platforms({"x": RollupRule()}, {"x-home": "x", "x-api": "x", "x-short": "x"})
    served = msgspec.structs.replace(outcome(BLOCKED, recording(is_deep=True)), served_from=(Place("US", 13335),))
    exporter.observe(served, X_HOME, LAHORE, 300)
    api = Target(name="x-api", platform="x", url="https://api.x.com/")
    exporter.observe(outcome(ACCESSIBLE, recording(target=api)), api, LAHORE, 300)
    short = Target(name="x-short", platform="x", url="https://t.co/")
    exporter.observe(outcome(OFFLINE, recording(target=short)), short, LAHORE, 300)
    exporter.observe_check(CHECK, LAHORE)
    exporter.incidents([INCIDENT])
    exporter.calendar(CALENDAR, NOW)
    exporter.silences([SILENCE])
    exporter.quota(LAHORE.name, QuotaUse(unit="tests", window_seconds=3600, limit=100, used=40, remaining=50))
    exporter.probes(LAHORE.name, [ProbeCount(country="PK", asn=asn, probes=3) for asn in (17557, 45669)])
    exporter.looked_again(LAHORE.name, "suspicion")
    exporter.set_reload(ok=True, at=NOW)
    exporter.set_store(msgspec.structs.replace(STORE, last_error="disk_full"))
    exporter.started(0.2)
    exporter.skipped(LAHORE.name)
    exporter.dropped(LAHORE.name, "vantage_offline")
    exporter.in_flight(3)
    exporter.module_unknown()
    exporter.attempted("desk", ATTEMPT)
    exporter.outbox([Backlog(channel="desk", pending=2, oldest_at=NOW, dead=1)], NOW)
    exporter.changed(TRANSITION)
    exporter.agents([AGENT, msgspec.structs.replace(AGENT, id="b", revoked_at=NOW)])
    exporter.received(LAHORE.name, "live", {"live": 3, "duplicate": 1}, 4.5)
    exporter.refused("signature")
    exporter.roll_up(NOW)
    return exporter


def samples(exporter: Exporter, name: str) -> list[tuple[dict[str, str], float]]:
    families = text_families(exporter.render(Format.TEXT).decode())
    return [(one.labels, one.value) for family in families for one in family.samples if one.name == name]


def openmetrics_families(text: str) -> list[Family]:
    return list(text_string_to_metric_families(text))  # type: ignore[no-untyped-call]  # untyped there


def test_probes_of_all_networks_of_a_country_are_one_number() -> None:
    exporter = a_full_exporter()
    assert samples(exporter, "access_vantage_probes") == [({"vantage": LAHORE.name, "country": "PK"}, 6)]
    exporter.forget_vantage(LAHORE.name)
    assert samples(exporter, "access_vantage_probes") == []
    assert samples(exporter, "access_vantage_quota_used") == []


def test_every_metric_of_the_table_is_exported_and_no_other() -> None:
    families = openmetrics_families(a_full_exporter().render(Format.OPENMETRICS).decode())
    exported = {family.name for family in families}
    declared = {one.name.removesuffix("_total") for one in (*table.TARGET_METRICS, *table.OTHER_METRICS)}
    assert {name for name in exported if not name.startswith("process_")} == declared
    assert "process_resident_memory_bytes" in exported


def test_both_formats_hold_the_same_samples() -> None:
    exporter = a_full_exporter()
    text = {
        (one.name, tuple(sorted(one.labels.items())))
        for family in text_families(exporter.render(Format.TEXT).decode())
        for one in family.samples
    }
    openmetrics = {
        (one.name, tuple(sorted(one.labels.items())))
        for family in openmetrics_families(exporter.render(Format.OPENMETRICS).decode())
        for one in family.samples
    }
    assert text == openmetrics


def test_promtool_finds_nothing_to_say_about_the_text_format() -> None:
    done = subprocess.run(
        ["promtool", "check", "metrics"], input=a_full_exporter().render(Format.TEXT), capture_output=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


@pytest.mark.parametrize("metric", [*table.TARGET_METRICS, *table.OTHER_METRICS, *table.PROBE_METRICS])
def test_a_name_tells_kind_and_unit(metric: table.Metric) -> None:
    assert (metric.kind is table.Kind.COUNTER) == metric.name.endswith("_total")
    assert metric.name.endswith(metric.unit)
    assert metric.help.endswith(".")
    assert not set(metric.help) & set('\\"\n')


def test_openmetrics_is_for_who_asks() -> None:
    prometheus = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.2,*/*;q=0.1"
    assert format_for(prometheus) is Format.OPENMETRICS
    assert format_for("text/html") is Format.TEXT
    assert format_for("") is Format.TEXT


def test_a_series_is_labelled_by_what_is_configured_and_the_network_observed() -> None:
    exporter = an_exporter()
    exporter.observe(outcome(ACCESSIBLE), X_HOME, LAHORE, 300)
    assert samples(exporter, "access_target_accessible") == [
        ({"platform": "x", "target": "x-home", "vantage": "lahore", "country": "PK", "asn": "17557"}, 1)
    ]


def test_a_network_and_a_country_that_nobody_knows_are_unknown() -> None:
    exporter = an_exporter()
    nowhere = VantageInfo(name="nowhere", kind="direct")
    exporter.observe(outcome(ACCESSIBLE, recording(network=NetworkIdentity())), X_HOME, nowhere, 300)
    labels, _ = samples(exporter, "access_target_accessible")[0]
    assert (labels["country"], labels["asn"]) == ("unknown", "unknown")


def test_status_is_one_hot() -> None:
    exporter = an_exporter()
    exporter.observe(outcome(BLOCKED), X_HOME, LAHORE, 300)
    statuses = {labels["status"]: value for labels, value in samples(exporter, "access_target_status")}
    assert statuses == {status: int(status is Status.BLOCKED) for status in Status}


def test_accessible_is_absent_while_inconclusive_and_the_reason_is_there() -> None:
    exporter = an_exporter()
    exporter.observe(outcome(ACCESSIBLE), X_HOME, LAHORE, 300)
    exporter.observe(outcome(OFFLINE), X_HOME, LAHORE, 300)
    assert samples(exporter, "access_target_accessible") == []
    [(labels, value)] = samples(exporter, "access_target_inconclusive")
    assert (labels["reason"], value) == ("vantage_offline", 1)
    exporter.observe(outcome(ACCESSIBLE), X_HOME, LAHORE, 300)
    assert samples(exporter, "access_target_inconclusive") == []


def test_a_mechanism_that_is_gone_leaves_no_series() -> None:
    exporter = an_exporter()
    exporter.observe(outcome(BLOCKED), X_HOME, LAHORE, 300)
    [(labels, value)] = samples(exporter, "access_target_mechanism")
    assert (labels["mechanism"], value) == ("tls.reset.sni", 1)
    assert samples(exporter, "access_target_confirmed")[0][1] == 1
    exporter.observe(outcome(ACCESSIBLE), X_HOME, LAHORE, 300)
    assert samples(exporter, "access_target_mechanism") == []
    assert samples(exporter, "access_target_confirmed")[0][1] == 0


def test_another_network_ends_the_series_and_begins_another() -> None:
    exporter = an_exporter()
    exporter.observe(outcome(ACCESSIBLE), X_HOME, LAHORE, 300)
    exporter.observe(outcome(ACCESSIBLE, recording(network=NetworkIdentity(asn=45669))), X_HOME, LAHORE, 300)
    assert [labels["asn"] for labels, _ in samples(exporter, "access_target_accessible")] == ["45669"]
    assert {value for _, value in samples(exporter, "access_step_duration_seconds_count")} == {1}


def test_a_target_that_is_forgotten_leaves_no_series() -> None:
    exporter = an_exporter()
    exporter.observe(outcome(ACCESSIBLE), X_HOME, LAHORE, 300)
    exporter.forget(X_HOME.name, LAHORE.name)
    assert b"x-home" not in exporter.render(Format.TEXT)


def test_a_vantage_that_is_forgotten_keeps_its_counters_alone() -> None:
    exporter = an_exporter()
    exporter.observe(outcome(ACCESSIBLE), X_HOME, LAHORE, 300)
    exporter.observe_check(CHECK, LAHORE)
    exporter.forget_vantage(LAHORE.name)
    with_vantage = {line.partition(b"{")[0] for line in exporter.render(Format.TEXT).splitlines() if b"lahore" in line}
    assert with_vantage == {b"monitor_measurements_total"}


def test_a_control_vantage_is_counted_and_timed_but_not_judged() -> None:
    exporter = an_exporter()
    control = VantageInfo(name="frankfurt", kind="agent", role=Role.CONTROL, country="DE")
    exporter.observe(outcome(None), X_HOME, control, 300)
    assert samples(exporter, "access_target_status") == []
    assert samples(exporter, "access_incident_active") == []
    assert samples(exporter, "access_last_measurement_timestamp_seconds")[0][1] == NOW.timestamp()
    assert samples(exporter, "monitor_measurements_total") == [({"vantage": "frankfurt", "status": "unjudged"}, 1)]


def test_step_durations_fall_into_buckets_and_failed_steps_and_follow_ups_do_not_count() -> None:
    exporter = an_exporter()
    failed = msgspec.structs.replace(TCP, failure="connection_reset", elapsed_seconds=9.0)
    follow_up = msgspec.structs.replace(TCP, purpose=Purpose.RETRY, elapsed_seconds=9.0)
    exporter.observe(outcome(BLOCKED, recording(DNS, TCP, failed, follow_up)), X_HOME, LAHORE, 300)
    buckets = {
        labels["le"]: value
        for labels, value in samples(exporter, "access_step_duration_seconds_bucket")
        if labels["step"] == "tcp"
    }
    assert buckets == {"0.01": 0, "0.03": 0, "0.1": 1, "0.3": 1, "1.0": 1, "3.0": 1, "10.0": 1, "+Inf": 1}
    sums = {labels["step"]: value for labels, value in samples(exporter, "access_step_duration_seconds_sum")}
    assert sums == {"dns": 0.02, "tcp": 0.05}


def test_http3_and_transfers_are_timed_though_they_come_as_follow_ups() -> None:
    exporter = an_exporter()
    quic = QuicObservation(
        address="162.159.140.229", port=443, server_name="x.com", purpose=Purpose.HTTP3, elapsed_seconds=0.04
    )
    moved = ThroughputObservation(
        url="https://x.com/", address="162.159.140.229", port=443, is_tls=True, purpose=Purpose.TRANSFER,
        elapsed_seconds=5.0,
    )  # fmt: skip
    innocuous = msgspec.structs.replace(moved, purpose=Purpose.TRANSFER_REFERENCE, elapsed_seconds=0.1)
    exporter.observe(outcome(BLOCKED, recording(quic, moved, innocuous)), X_HOME, LAHORE, 300)
    sums = {labels["step"]: value for labels, value in samples(exporter, "access_step_duration_seconds_sum")}
    assert sums == {"quic": 0.04, "throughput": 5.0}


def test_the_end_of_an_untrusted_certificate_is_exported() -> None:
    exporter = an_exporter()
    expired = msgspec.structs.replace(TLS, failure="ssl_invalid_certificate", leaf_not_after=1_600_000_000)
    exporter.observe(outcome(BLOCKED, recording(DNS, TCP, expired)), X_HOME, LAHORE, 300)
    assert samples(exporter, "access_certificate_expiry_timestamp_seconds")[0][1] == 1_600_000_000


@pytest.mark.parametrize("state", VantageState)
def test_only_an_online_vantage_is_online(state: VantageState) -> None:
    exporter = an_exporter()
    exporter.observe_check(msgspec.structs.replace(CHECK, state=state), LAHORE)
    assert samples(exporter, "access_vantage_online") == [({"vantage": "lahore"}, int(state is VantageState.ONLINE))]


@pytest.mark.parametrize("state", VantageState)
def test_the_state_of_a_vantage_is_one_of_all(state: VantageState) -> None:
    exporter = an_exporter()
    exporter.observe_check(msgspec.structs.replace(CHECK, state=state), LAHORE)
    found = {labels["state"]: value for labels, value in samples(exporter, "access_vantage_state")}
    assert found == {one: int(one is state) for one in VantageState}


def test_what_is_claimed_of_a_vantage_is_compared_with_what_is_seen() -> None:
    exporter = an_exporter()
    claimed = msgspec.structs.replace(LAHORE, country="PK", claimed_asn=17557)
    seen = NetworkIdentity(asn=13335, country="PK")
    exporter.observe_check(msgspec.structs.replace(CHECK, network=seen), claimed)
    found = {labels["claim"]: value for labels, value in samples(exporter, "access_vantage_as_claimed")}
    assert found == {"country": 1, "asn": 0}
    exporter.observe_check(msgspec.structs.replace(CHECK, network=NetworkIdentity()), claimed)
    assert samples(exporter, "access_vantage_as_claimed") == []


def test_how_fast_a_line_opens_connections_is_said_while_it_does() -> None:
    exporter = an_exporter()
    opened = [msgspec.structs.replace(TCP, elapsed_seconds=seconds) for seconds in (0.02, 0.03, 0.9)]
    exporter.observe_check(msgspec.structs.replace(CHECK, observations=tuple(opened)), LAHORE)
    assert samples(exporter, "access_vantage_connect_seconds") == [({"vantage": "lahore"}, 0.03)]
    exporter.observe_check(msgspec.structs.replace(CHECK, observations=tuple(opened[:2])), LAHORE)
    assert samples(exporter, "access_vantage_connect_seconds") == []


def test_an_incident_is_active_until_it_closes() -> None:
    exporter = an_exporter()
    exporter.observe(outcome(BLOCKED), X_HOME, LAHORE, 300)
    exporter.incidents([INCIDENT])
    where = {"platform": "x", "country": "PK"}
    assert samples(exporter, "access_incident_active") == [(where, 1)]
    assert samples(exporter, "access_incident_start_timestamp_seconds") == [
        (where, INCIDENT.started_before.timestamp())
    ]
    exporter.incidents([])
    assert samples(exporter, "access_incident_active") == [(where, 0)]
    assert samples(exporter, "access_incident_start_timestamp_seconds") == []


def test_a_refused_reload_keeps_the_time_of_the_last_good_one() -> None:
    exporter = an_exporter()
    exporter.set_reload(ok=True, at=NOW)
    exporter.set_reload(ok=False, at=datetime(2026, 11, 23, tzinfo=UTC))
    assert samples(exporter, "monitor_config_last_reload_successful") == [({}, 0)]
    assert samples(exporter, "monitor_config_last_reload_success_timestamp_seconds") == [({}, NOW.timestamp())]


def test_a_store_that_recovers_is_no_longer_failing() -> None:
    exporter = an_exporter()
    exporter.set_store(msgspec.structs.replace(STORE, last_error="locked", spooled=5))
    assert samples(exporter, "monitor_store_failing") == [({"error": "locked"}, 1)]
    exporter.set_store(STORE)
    assert samples(exporter, "monitor_store_failing") == []
    assert samples(exporter, "monitor_store_spooled") == [({}, 0)]


def test_counters_only_grow() -> None:
    exporter = an_exporter()
    for lag_seconds in (-0.5, 0.02, 100.0):
        exporter.started(lag_seconds)
    exporter.skipped("lahore")
    exporter.skipped("lahore")
    exporter.dropped("lahore", "down")
    assert samples(exporter, "monitor_schedule_lag_seconds_count") == [({}, 3)]
    assert samples(exporter, "monitor_schedule_lag_seconds_sum") == [({}, 100.02)]
    assert samples(exporter, "monitor_runs_skipped_total") == [({"vantage": "lahore"}, 2)]
    assert samples(exporter, "monitor_rounds_dropped_total") == [({"vantage": "lahore", "reason": "down"}, 1)]


# surrogates cannot be written as UTF-8; \r splits lines for the parser only
@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r"), max_size=30))
def test_any_label_value_survives_both_formats(value: str) -> None:
    metric = table.Metric(name="access_x", help="A metric.", labels=("label",))
    for form, families in ((Format.TEXT, text_families), (Format.OPENMETRICS, openmetrics_families)):
        [family] = families(document([(metric, (value,), 1)], form))
        assert family.samples[0].labels == {"label": value}


def test_a_scrape_during_runs_is_never_torn() -> None:
    exporter = an_exporter()
    done = threading.Event()

    def run() -> None:
        while not done.is_set():
            exporter.observe(outcome(BLOCKED), X_HOME, LAHORE, 300)

    runs = threading.Thread(target=run)
    switch_seconds = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    runs.start()
    try:
        for _ in range(500):
            text = exporter.render(Format.TEXT).decode()
            last_buckets = re.findall(r'step_duration_seconds_bucket.*le="\+Inf"} (\d+)', text)
            assert last_buckets == re.findall(r"step_duration_seconds_count.* (\d+)", text)
    finally:
        done.set()
        runs.join()
        sys.setswitchinterval(switch_seconds)


def event_metrics(exporter: Exporter) -> dict[str, dict[str, float]]:
    """Return the values of each event metric by event."""
    return {
        family.name: {one.labels["event"]: one.value for one in family.samples}
        for family in text_families(exporter.render(Format.TEXT).decode())
        if family.name.startswith("access_event")
    }


def test_events_tell_what_is_in_force_and_what_is_due() -> None:
    exporter = an_exporter()
    exporter.calendar(CALENDAR, NOW)
    found = event_metrics(exporter)
    assert found["access_event_active"] == {BLOCK.id: 1}  # a court order is a moment
    assert found["access_event_start_timestamp_seconds"][BLOCK.id] == datetime(2026, 10, 31, 19, tzinfo=UTC).timestamp()
    assert set(found["access_event_end_timestamp_seconds"]) == {ORDER.id}
    due = datetime(2026, 12, 1, 19, tzinfo=UTC).timestamp()
    assert found["access_event_deadline_timestamp_seconds"] == {BLOCK.id: due}
    exporter.calendar(CALENDAR, datetime(2026, 10, 31, 18, tzinfo=UTC))
    assert event_metrics(exporter)["access_event_active"] == {BLOCK.id: 0}


def test_an_event_that_is_told_no_more_ends_its_series() -> None:
    exporter = an_exporter()
    exporter.calendar(CALENDAR, NOW)
    exporter.calendar(calendar(ORDER), NOW)
    found = event_metrics(exporter)
    assert set(found["access_event_info"]) == {ORDER.id}
    assert "access_event_active" not in found


def test_a_moot_deadline_is_absent_and_a_passed_one_stays() -> None:
    exporter = an_exporter()
    ended = event(BLOCK.id, *BLOCK.dates, dated(Phase.LIFTED, "2026-11-20"), obligations=BLOCK.obligations)
    exporter.calendar(calendar(ended), LONG_AFTER)
    assert "access_event_deadline_timestamp_seconds" not in event_metrics(exporter)
    exporter.calendar(CALENDAR, LONG_AFTER)
    assert set(event_metrics(exporter)["access_event_deadline_timestamp_seconds"]) == {BLOCK.id}


def test_an_event_has_a_series_for_each_country_and_platform() -> None:
    exporter = an_exporter()
    platforms = (EventPlatform(id="x"), EventPlatform(id="facebook"))
    exporter.calendar(calendar(event("e", dated(Phase.ORDERED, "2026"), platforms=platforms, countries=())), NOW)
    text = exporter.render(Format.TEXT).decode()
    assert 'access_event_active{event="e",kind="block",country="",platform="x"} 1\n' in text
    assert 'access_event_active{event="e",kind="block",country="",platform="facebook"} 1\n' in text


def test_a_silent_country_is_exported_while_it_is_silent() -> None:
    exporter = an_exporter()
    exporter.silences([SILENCE])
    assert samples(exporter, "access_country_silent") == [({"country": "PK"}, 1.0)]
    exporter.silences([])
    assert samples(exporter, "access_country_silent") == []
