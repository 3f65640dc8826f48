import asyncio
import itertools
import sqlite3
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings

from monitor.config.fingerprints import shipped
from monitor.detect.cusum import DEFAULT
from monitor.model.fingerprint import FingerprintSet
from monitor.model.measurement import Measurement, Recording
from monitor.model.observation import TlsObservation
from monitor.model.outcome import AffectedNetwork, Incident, IncidentUpdate, Member, Outcome, UpdateKind
from monitor.model.target import Target
from monitor.model.vantage import NetworkIdentity, Role, VantageCheck, VantageInfo, VantageState
from monitor.model.verdict import DetectorState, Reason, SeriesState, Status, Transition, Verdict
from monitor.store.connection import StoreError, connect_reader
from monitor.store.reader import Reader
from monitor.store.rows import as_stored
from monitor.store.store import Store, StoreEvent
from tests.store.samples import (
    ACCESSIBLE,
    BLOCKED,
    NOW,
    Line,
    open_store,
    outcome,
    seconds,
)
from tests.store.test_rows import MEASUREMENTS

OFFLINE = Verdict(
    status=Status.INCONCLUSIVE,
    reason=Reason.VANTAGE_OFFLINE,
    rule="vantage_unready",
    because="Our own line was down.",
    rules_version=1,
)
FRESH_IDS = itertools.count(1)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "monitor.db"


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    opened = open_store(path)
    yield opened
    opened.close()


def put(store: Store, *outcomes: Outcome) -> None:
    for future in [store.record(one) for one in outcomes]:
        assert future.result(30)


def test_a_run_comes_back_whole_with_all_that_was_concluded(store: Store, path: Path) -> None:
    control = outcome(1, vantage="frankfurt", verdict=None)
    detector = DetectorState(state=SeriesState.NOT_ACCESSIBLE, score=9.5, last_kept_at=NOW)
    transition = Transition(
        target="x-home",
        vantage="lahore",
        at=NOW,
        before=SeriesState.ACCESSIBLE,
        after=SeriesState.NOT_ACCESSIBLE,
        status=Status.BLOCKED,
        score=9.5,
        last_before_at=NOW - seconds(600),
        first_after_at=NOW - seconds(300),
        asn=17557,
        parameters=DEFAULT,
    )
    member = Member("x-home", "lahore", 17557)
    incident = Incident(
        id="x-pk-20261122",
        platform="x",
        country="PK",
        status=Status.BLOCKED,
        opened_at=NOW,
        started_after=None,
        started_before=NOW - seconds(300),
        mechanisms=("tls.reset.sni",),
        members=(member,),
        all_members=(member,),
        networks=(AffectedNetwork(asn=17557, name="PKTELECOM", alarmed_at=NOW),),
        measured_networks=2,
        quorum_at=NOW,
        confirmed_at=NOW,
        sequence=1,
    )
    update = IncidentUpdate(
        incident=incident.id,
        sequence=1,
        kind=UpdateKind.START,
        at=NOW,
        member=member,
        network="PKTELECOM",
        status=Status.BLOCKED,
        mechanisms=("tls.reset.sni",),
        measurement_id=2,
    )
    run = outcome(
        2,
        verdict=BLOCKED,
        body=b"blocked by order",
        control_ids=(1,),
        isolation_id=77,
        state_before=VantageState.ONLINE,
        state_after=VantageState.DEGRADED,
        detector=detector,
        transition=transition,
        incident=incident,
        updates=(update,),
    )
    put(store, control, run)
    with Reader(path) as reader:
        stored = reader.measurement(2)
        assert stored is not None
        assert stored.measurement == as_stored(run.recording.measurement)
        (verdict,) = stored.verdicts
        assert verdict.verdict == BLOCKED
        assert (verdict.control_ids, verdict.isolation_id) == ((1,), 77)
        assert (verdict.state_before, verdict.state_after) == (VantageState.ONLINE, VantageState.DEGRADED)
        assert [one.detector for one in reader.detector_states()] == [detector]
        assert reader.transitions() == [transition]
        assert reader.open_incidents() == reader.incidents() == [incident]
        assert reader.incident_updates([incident.id]) == [update]
        (edge,) = reader.dated_edges([incident.id])
        assert (edge.member, edge.network, edge.confirmed_at, edge.onset) == (member, "PKTELECOM", NOW, None)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(MEASUREMENTS)
def test_any_measurement_comes_back_with_the_digest_that_was_written(
    store: Store, path: Path, measurement: Measurement
) -> None:
    deep = msgspec.structs.replace(measurement, id=next(FRESH_IDS), is_deep=True)
    assert store.record(Outcome(recording=Recording(measurement=deep))).result(30)
    with Reader(path) as reader:
        stored = reader.measurement(deep.id)
    assert stored is not None
    assert stored.measurement == as_stored(deep)
    assert stored.is_genuine


def test_a_changed_row_no_longer_has_its_digest(store: Store, path: Path) -> None:
    put(store, outcome(1))
    with sqlite3.connect(path) as db:
        db.execute("DROP TRIGGER observation_is_final")
        db.execute("UPDATE observation SET elapsed_microseconds = elapsed_microseconds + 1 WHERE position = 1")
    db.close()
    with Reader(path) as reader:
        stored = reader.measurement(1)
    assert stored is not None
    assert not stored.is_genuine


def test_the_record_cannot_be_changed_by_mistake(store: Store, path: Path) -> None:
    put(store, outcome(1, verdict=BLOCKED))
    db = sqlite3.connect(path)
    for statement in (
        "UPDATE verdict SET rules_version = 2",
        "DELETE FROM verdict",
        "UPDATE conclusion SET status = 'accessible'",
        "UPDATE measurement SET started_at = 0",
        "UPDATE observation SET failure = 'connection_reset'",
        "UPDATE observation_facts SET facts = '{}'",
    ):
        with pytest.raises(sqlite3.IntegrityError, match=r"never changed|only with"):
            db.execute(statement)
    db.close()


def test_a_run_recorded_twice_is_stored_once(store: Store, path: Path) -> None:
    put(store, outcome(1), outcome(1))
    with Reader(path) as reader:
        assert reader.counts().measurements == 1
    assert store.health().refused_total == 0


def test_what_no_row_can_hold_is_refused_and_the_rest_of_the_batch_is_kept(path: Path) -> None:
    events: list[StoreEvent] = []
    store = open_store(path, on_event=events.append)
    # Found out only after half of its rows are written.
    huge = outcome(2, verdict=msgspec.structs.replace(ACCESSIBLE, rules_version=2**70))
    futures = [store.record(one) for one in (outcome(1), huge, outcome(3))]
    assert [future.result(30) for future in futures] == [True, False, True]
    store.close()
    assert [event.kind for event in events] == ["refused"]
    assert (store.health().refused_total, store.health().committed_total) == (1, 2)
    with Reader(path) as reader:
        assert reader.counts().measurements == 2


def test_recording_can_be_awaited(store: Store) -> None:
    async def record() -> bool:
        return await asyncio.wrap_future(store.record(outcome(1)))

    assert asyncio.run(record())


def test_evidence_of_ordinary_runs_is_kept_when_it_shows_something_new(store: Store, path: Path) -> None:
    first, again = outcome(1, body=b"page one"), outcome(2, NOW + seconds(300), body=b"page two")
    put(store, first, again)
    with Reader(path) as reader:
        kept, dropped = reader.measurement(1), reader.measurement(2)
        assert kept is not None
        assert dropped is not None
        (one,) = kept.evidence
        assert reader.evidence(one.sha256) == b"page one"
        assert (one.position, one.kind, one.bytes, one.is_held) == (1, "http_response", 8, True)
        assert dropped.evidence == ()
        assert dropped.measurement.observations[1].evidence == ()
        assert dropped.is_genuine


def test_evidence_of_a_page_that_always_changes_is_kept_once_a_day(store: Store, path: Path) -> None:
    for number, hours in enumerate((0, 1, 2, 24), 1):
        run = outcome(number, NOW + timedelta(hours=hours), body=b"page %d" % number)
        dns, http = run.recording.measurement.observations
        titled = msgspec.structs.replace(http, title=f"{number} news")
        measurement = msgspec.structs.replace(run.recording.measurement, observations=(dns, titled))
        put(
            store,
            msgspec.structs.replace(run, recording=msgspec.structs.replace(run.recording, measurement=measurement)),
        )
    with Reader(path) as reader:
        kept = [number for number in range(1, 5) if (stored := reader.measurement(number)) and stored.evidence]
    assert kept == [1, 4]


@pytest.mark.parametrize("how", [{"verdict": BLOCKED}, {"is_deep": True}, {"verdict": OFFLINE}])
def test_evidence_of_remarkable_runs_is_always_kept(store: Store, path: Path, how: dict[str, object]) -> None:
    put(store, outcome(1, body=b"page one"), outcome(2, body=b"page two", **how))  # type: ignore[arg-type]  # each is one of the arguments
    with Reader(path) as reader:
        stored = reader.measurement(2)
        assert stored is not None
        assert [reader.evidence(one.sha256) for one in stored.evidence] == [b"page two"]


def test_evidence_is_stored_once_and_cut_at_its_bound(store: Store, path: Path) -> None:
    big = bytes(range(256)) * 2048
    put(store, outcome(1, body=big, verdict=BLOCKED), outcome(2, body=big, verdict=BLOCKED))
    with Reader(path) as reader:
        stored = reader.measurement(2)
        assert stored is not None
        (one,) = stored.evidence
        assert one.bytes == len(big)
        assert reader.evidence(one.sha256) == big[: 256 * 1024]
    db = sqlite3.connect(path)
    assert db.execute("SELECT count(*) FROM evidence").fetchone() == (1,)
    db.close()


def test_evidence_that_is_not_what_its_digest_says_is_not_kept(store: Store, path: Path) -> None:
    run = outcome(1, verdict=BLOCKED, body=b"true")
    forged = msgspec.structs.replace(run.recording.evidence[0], content=b"forged")
    put(store, msgspec.structs.replace(run, recording=msgspec.structs.replace(run.recording, evidence=(forged,))))
    with Reader(path) as reader:
        assert reader.evidence(forged.sha256) is None
        stored = reader.measurement(1)
        assert stored is not None
        assert not stored.evidence[0].is_held
        assert stored.is_genuine


def test_history_of_renamed_and_removed_targets_stays(store: Store, path: Path) -> None:
    runs = Line()
    first, second = runs.run(1, 1, NOW), runs.run(2, 2, NOW)
    targets = [_target("target1"), _target("target2")]
    store.sync_configuration({"x": "X"}, targets, (), "d1", NOW).result(30)
    put(store, first, second)
    renamed = [_target("target1-new")]
    store.sync_configuration({"x": "X"}, renamed, (), "d2", NOW + seconds(60)).result(30)
    with Reader(path) as reader:
        assert reader.latest() == []
        assert [state.target for state in reader.latest(NOW + seconds(30))] == ["target1", "target2"]
        assert [row.id for row in reader.history("target1")] == [1]
        assert reader.counts().targets == 1
    store.sync_configuration({"x": "X"}, targets, (), "d3", NOW + seconds(120)).result(30)
    with Reader(path) as reader:
        assert [state.target for state in reader.latest()] == ["target1", "target2"]


def test_a_target_keeps_each_definition_it_had(store: Store, path: Path) -> None:
    changed = msgspec.structs.replace(_target("t"), url="https://other.example/")
    for at, target, interval in ((0, _target("t"), 300.0), (60, _target("t"), 300.0), (120, changed, 60.0)):
        store.sync_configuration(
            {"x": None}, [target], (), "d", NOW + seconds(at), intervals_seconds={"t": interval}
        ).result(30)
    store.sync_configuration({"x": None}, [], (), "d", NOW + seconds(180)).result(30)
    db = sqlite3.connect(path)
    rows = db.execute("SELECT url, interval_seconds FROM target_definition ORDER BY since").fetchall()
    db.close()
    assert rows == [("https://x.com/", 300.0), ("https://other.example/", 60.0), ("https://other.example/", None)]


def test_verdicts_can_be_drawn_again_with_the_fingerprints_of_their_time(store: Store, path: Path) -> None:
    before, after = FingerprintSet(rows=shipped()[1]), FingerprintSet()
    for at, fingerprints in ((0, before), (60, before), (120, after), (180, before)):
        store.sync_fingerprints(fingerprints, NOW + seconds(at)).result(30)
    with Reader(path) as reader:
        assert reader.fingerprint_digest_at(NOW - seconds(1)) is None
        for after_seconds, rows in ((90, before.rows), (130, ()), (9999, before.rows)):
            digest = reader.fingerprint_digest_at(NOW + seconds(after_seconds))
            assert digest is not None
            assert reader.fingerprints(digest) == rows
    db = sqlite3.connect(path)
    assert db.execute("SELECT count(*) FROM fingerprint_set").fetchone() == (2,)
    assert db.execute("SELECT count(*) FROM fingerprint_use").fetchone() == (3,)
    db.close()


def test_targets_of_a_platform_are_counted_by_their_latest_verdicts(store: Store, path: Path) -> None:
    names = ("x-home", "x-api", "x-old", "debian")
    targets = [
        Target(name=one, platform="control-sites" if one == "debian" else "x", url=f"https://{one}.example/")
        for one in names
    ]
    vantages = [
        VantageInfo(name="lahore", kind="direct"),
        VantageInfo(name="vpn", kind="direct", role=Role.CIRCUMVENTION),
    ]
    store.sync_configuration({"x": "X"}, targets, vantages, "d", NOW).result(30)
    store.sync_configuration({"x": "X"}, [one for one in targets if one.name != "x-old"], vantages, "d", NOW).result(30)
    runs = [("x-home", BLOCKED), ("x-home", ACCESSIBLE), ("x-api", BLOCKED), ("x-old", BLOCKED), ("debian", ACCESSIBLE)]
    put(
        store,
        *(
            outcome(number, NOW + seconds(number), target=target, verdict=verdict)
            for number, (target, verdict) in enumerate(runs, 1)
        ),
        outcome(9, NOW, target="x-home", vantage="vpn"),
    )
    db = connect_reader(path)
    found = db.execute(
        "SELECT platform, vantage, country, asn, targets, accessible, blocked FROM platform_status"
    ).fetchall()
    db.close()
    assert [tuple(row) for row in found] == [("x", "lahore", "PK", 17557, 2, 1, 1)]


def test_since_is_the_first_round_of_the_confirmed_change(store: Store, path: Path) -> None:
    transition = Transition(
        target="x-home",
        vantage="lahore",
        at=NOW + seconds(600),
        before=SeriesState.ACCESSIBLE,
        after=SeriesState.NOT_ACCESSIBLE,
        status=Status.BLOCKED,
        score=9,
        first_after_at=NOW + seconds(300),
    )
    put(
        store,
        outcome(1),
        outcome(2, NOW + seconds(300), verdict=BLOCKED),
        outcome(3, NOW + seconds(600), verdict=BLOCKED, transition=transition),
        outcome(4, NOW + seconds(900), verdict=BLOCKED),
    )
    with Reader(path) as reader:
        (now,) = reader.latest()
        assert (now.status, now.since, now.measured_at) == (Status.BLOCKED, NOW + seconds(300), NOW + seconds(900))
        assert (now.mechanisms, now.network.asn) == (("tls.reset.sni",), 17557)
        (then,) = reader.latest(NOW + seconds(200))
        assert (then.status, then.since) == (Status.ACCESSIBLE, NOW)


def test_without_a_transition_since_is_the_run_of_the_status_across_inconclusive_rounds(
    store: Store, path: Path
) -> None:
    statuses = (BLOCKED, ACCESSIBLE, OFFLINE, ACCESSIBLE)
    put(store, *(outcome(i + 1, NOW + seconds(60 * i), verdict=verdict) for i, verdict in enumerate(statuses)))
    with Reader(path) as reader:
        assert reader.latest()[0].since == NOW + seconds(60)
        (grey,) = reader.latest(NOW + seconds(150))
        assert (grey.status, grey.reason, grey.since) == (
            Status.INCONCLUSIVE,
            Reason.VANTAGE_OFFLINE,
            NOW + seconds(120),
        )


@pytest.mark.parametrize("order", [(0, 1, 2, 3, 4, 5), (5, 4, 3, 2, 1, 0), (0, 5, 2, 1, 4, 3), (3, 0, 4, 1, 5, 2)])
def test_late_rows_give_the_same_runs_of_status(store: Store, path: Path, order: tuple[int, ...]) -> None:
    verdicts = (ACCESSIBLE, ACCESSIBLE, BLOCKED, ACCESSIBLE, BLOCKED, BLOCKED)
    put(store, *(outcome(i + 1, NOW + seconds(60 * i), verdict=verdicts[i]) for i in order))
    db = sqlite3.connect(path)
    runs = db.execute("SELECT started_at, status FROM status_run ORDER BY started_at").fetchall()
    db.close()
    at = int(NOW.timestamp() * 1000)
    assert runs == [
        (at, "accessible"),
        (at + 120_000, "blocked"),
        (at + 180_000, "accessible"),
        (at + 240_000, "blocked"),
    ]


def test_history_is_newest_first_and_bounded(store: Store, path: Path) -> None:
    put(store, *(outcome(i, NOW + seconds(i)) for i in range(1, 6)), outcome(9, NOW, vantage="karachi"))
    with Reader(path) as reader:
        assert [row.id for row in reader.history("x-home", limit=3)] == [5, 4, 3]
        assert [row.id for row in reader.history("x-home", "karachi")] == [9]
        between = reader.history("x-home", since=NOW + seconds(2), until=NOW + seconds(4))
        assert [row.id for row in between] == [3, 2]
        assert reader.history("unknown") == []
        assert reader.history("x-home", limit=-1) == []


def test_export_gives_lines_that_hold_everything(store: Store, path: Path) -> None:
    control = outcome(1, vantage="frankfurt", verdict=None)
    run = outcome(2, NOW + seconds(1), verdict=BLOCKED, control_ids=(1,))
    put(store, control, run)
    with Reader(path) as reader:
        lines = [msgspec.json.decode(msgspec.json.encode(line)) for line in reader.export()]
        assert [line["id"] for line in reader.export(vantages=["lahore"])] == [2]
        assert [line["id"] for line in reader.export(until=NOW + seconds(1))] == [1]
        assert list(reader.export(targets=["other"])) == []
    assert [line["id"] for line in lines] == [1, 2]
    line = lines[1]
    assert {"target", "url", "vantage", "started_at", "digest", "context", "network", "platform"} <= set(line)
    assert line["observations"][0]["step"] == "dns"
    assert line["verdict"]["rule"] == line["verdicts"][0]["rule"] == "isolated_trigger"
    assert line["control"]["id"] == 1
    assert lines[0]["verdict"] is None
    assert msgspec.convert(line, Measurement) == as_stored(run.recording.measurement)


def test_addresses_that_proved_themselves_are_known(store: Store, path: Path) -> None:
    run = Line(has_ipv6=False).run(1, 1, NOW)
    measurement = run.recording.measurement
    bad = TlsObservation(
        address="192.0.2.9", port=443, server_name="x.com", chain=("a",), failure="ssl_invalid_hostname"
    )
    measurement = msgspec.structs.replace(measurement, observations=(*measurement.observations, bad))
    put(store, msgspec.structs.replace(run, recording=Recording(measurement=measurement)))
    with Reader(path) as reader:
        assert reader.known_addresses("target1") == {"104.16.1.0"}
        assert reader.known_addresses("target1", since=NOW + timedelta(days=1)) == frozenset()


def test_the_newest_deep_run_is_found(store: Store, path: Path) -> None:
    online: dict[str, Any] = {"state_before": VantageState.ONLINE, "state_after": VantageState.ONLINE}
    put(
        store,
        outcome(1, is_deep=True, **online),
        outcome(2, NOW + seconds(1), is_deep=True, **online),
        outcome(3, NOW + seconds(2)),
    )
    with Reader(path) as reader:
        deep = reader.last_deep("x-home", "lahore")
        assert deep is not None
        assert deep.id == 2
        assert reader.last_deep("x-home", "karachi") is None


def test_a_detector_starts_again_on_another_network(store: Store, path: Path) -> None:
    state = DetectorState(state=SeriesState.ACCESSIBLE, score=1.5, last_kept_at=NOW)
    put(
        store,
        outcome(1, detector=state),
        outcome(2, NOW + seconds(1), network=NetworkIdentity(), detector=DetectorState()),
    )
    with Reader(path) as reader:
        assert [(one.asn, one.detector) for one in reader.detector_states()] == [
            (None, DetectorState()),
            (17557, state),
        ]


def test_checks_keep_their_observations_only_when_something_changed(store: Store, path: Path) -> None:
    online = VantageCheck(vantage="lahore", started_at=NOW, state=VantageState.ONLINE)
    later = msgspec.structs.replace(online, started_at=NOW + seconds(60))
    offline = msgspec.structs.replace(
        online, started_at=NOW + seconds(120), state=VantageState.OFFLINE, notes=("no anchor answered",)
    )
    for check in (online, later, offline):
        assert store.record_check(check).result(30)
    db = sqlite3.connect(path)
    rows = db.execute("SELECT state, observations, notes FROM vantage_check ORDER BY started_at").fetchall()
    db.close()
    assert rows == [("online", "[]", None), ("online", None, None), ("offline", "[]", '["no anchor answered"]')]


def test_readers_answer_from_many_threads_while_rows_arrive(store: Store, path: Path) -> None:
    put(store, outcome(1))
    failures: list[Exception] = []

    def read(reader: Reader) -> None:
        try:
            for _ in range(50):
                assert reader.latest()
                assert reader.measurement(1) is not None
        except Exception as error:
            failures.append(error)
            raise

    with Reader(path) as reader:
        threads = [threading.Thread(target=read, args=(reader,)) for _ in range(4)]
        for thread in threads:
            thread.start()
        put(store, *(outcome(i, NOW + seconds(i)) for i in range(2, 50)))
        for thread in threads:
            thread.join()
    assert failures == []


def test_a_reader_cannot_write_and_says_plainly_when_there_is_nothing_to_read(store: Store, path: Path) -> None:
    put(store, outcome(1))
    db = connect_reader(path)
    with pytest.raises(sqlite3.OperationalError):
        db.execute("DELETE FROM gap")
    db.close()
    with pytest.raises(StoreError, match="cannot read"):
        Reader(path.with_name("absent.db"))


def test_what_is_recorded_after_the_end_is_counted_as_lost(path: Path) -> None:
    store = open_store(path)
    store.close()
    assert store.record(outcome(1)).result(5) is False
    assert store.health().lost_total == 1


def test_the_views_for_people_read_like_sentences(store: Store, path: Path) -> None:
    put(store, outcome(1, verdict=BLOCKED, body=b"page"))
    db = sqlite3.connect(path)
    assert db.execute("SELECT target, status, network, asn FROM measurement_detail").fetchall() == [
        ("x-home", "blocked", "PKTELECOM", 17557)
    ]
    assert db.execute("SELECT step, hop, address FROM observation_detail ORDER BY position").fetchall() == [
        ("dns", 0, None),
        ("http", 0, "104.244.42.1"),
    ]
    assert db.execute("SELECT because FROM verdict_detail").fetchall() == [(BLOCKED.because,)]
    columns = [row[1] for row in db.execute("PRAGMA table_info(event_annotation)")]
    assert columns == ["id", "kind", "country", "platform", "time", "time_end", "title", "text", "tags"]
    db.close()


def _target(name: str) -> Target:
    return Target(name=name, platform="x", url="https://x.com/")
