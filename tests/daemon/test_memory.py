from datetime import timedelta
from pathlib import Path

import msgspec
import pytest

from monitor.daemon.memory import DEEP_RUNS_PER_HOUR, Memory
from monitor.model.measurement import Measurement
from monitor.model.observation import Purpose
from monitor.model.outcome import Outcome
from monitor.model.vantage import NetworkIdentity, VantageState
from monitor.model.verdict import DetectorState, SeriesState, Verdict
from monitor.store.reader import Reader
from tests.fakes.outcomes import ACCESSIBLE, BLOCKED, DNS, HTTP, ISP, NOW, TCP, TLS, recording
from tests.store.samples import open_store

HOUR_SECONDS = 3600.0
ONLINE = VantageState.ONLINE
CUT = msgspec.structs.replace(TLS, failure="connection_reset", chain=())


def deep_run(**changes: object) -> Measurement:
    return msgspec.structs.replace(recording().measurement, **{"is_deep": True, "network": ISP, **changes})


def learned(run: Measurement, after: VantageState = ONLINE) -> Memory:
    memory = Memory()
    made = msgspec.structs.replace(recording(), measurement=run)
    memory.learn(Outcome(recording=made, state_before=ONLINE, state_after=after))
    return memory


@pytest.mark.parametrize(
    ("changes", "stands"),
    [
        ({}, True),
        ({"url": "https://elsewhere.test/"}, False),
        ({"network": NetworkIdentity(asn=64500)}, False),
        ({"started_at": recording().measurement.started_at + timedelta(hours=2)}, False),
        ({"started_at": recording().measurement.started_at - timedelta(hours=1)}, False),
    ],
    ids=["the same", "another URL", "another network", "too old", "a clock set back"],
)
def test_an_isolation_stands_for_the_same_url_on_the_same_network_for_its_time(
    changes: dict[str, object], *, stands: bool
) -> None:
    isolation, later = deep_run(), deep_run(**changes)
    found = learned(isolation).isolation((later.target, later.vantage), later, HOUR_SECONDS)
    assert found == (isolation if stands else None)


def test_a_deep_run_on_a_sick_line_stands_for_nothing() -> None:
    isolation = deep_run()
    memory = learned(isolation, after=VantageState.OFFLINE)
    assert memory.isolation((isolation.target, isolation.vantage), isolation, HOUR_SECONDS) is None


def test_a_clock_set_back_does_not_use_up_the_deep_runs_of_the_hours_until_it_is_there_again() -> None:
    memory, series = Memory(), ("x-home", "lahore")
    for _ in range(DEEP_RUNS_PER_HOUR):
        memory.deepened(series, NOW)
    assert not memory.may_deepen(series, NOW)
    assert memory.may_deepen(series, NOW - timedelta(days=1))


def test_looks_of_before_a_clock_was_set_back_are_forgotten() -> None:
    memory, series = Memory(), ("x-home", "lahore")
    memory.looked(series, NOW)
    memory.looked(series, NOW - timedelta(days=1))
    assert list(memory.looks[series]) == [NOW - timedelta(days=1)]


def clean_round(memory: Memory, after: Measurement, *, isolation_id: int | None = None) -> Measurement:
    run = msgspec.structs.replace(after, is_deep=False, started_at=after.started_at + timedelta(minutes=5))
    made = msgspec.structs.replace(recording(), measurement=run)
    memory.learn(Outcome(recording=made, verdict=ACCESSIBLE, isolation_id=isolation_id))
    return run


def test_a_failure_after_a_clean_round_is_another_failure_which_no_earlier_deep_run_stands_for() -> None:
    isolation = deep_run(observations=(DNS, TCP, CUT))
    memory = learned(isolation)
    later = clean_round(memory, isolation)
    assert memory.isolation((later.target, later.vantage), later, HOUR_SECONDS) is None


def test_a_round_that_is_reached_in_spite_of_the_same_trouble_leaves_the_deep_run_standing() -> None:
    isolation = deep_run(observations=(DNS, TCP, CUT))
    memory = learned(isolation)
    later = clean_round(memory, isolation, isolation_id=isolation.id)
    assert memory.isolation((later.target, later.vantage), later, HOUR_SECONDS) == isolation


def test_a_clean_round_leaves_standing_what_looked_into_an_address_that_nobody_knew() -> None:
    isolation = deep_run()
    memory = learned(isolation)
    later = clean_round(memory, isolation)
    assert memory.isolation((later.target, later.vantage), later, HOUR_SECONDS) == isolation


def test_only_what_an_accessible_way_led_to_becomes_a_known_address() -> None:
    elsewhere = msgspec.structs.replace(TLS, address="203.0.113.9", server_name="notice.test", hop=1)
    run = deep_run(observations=(DNS, TCP, TLS, HTTP, elsewhere))
    memory = Memory()
    made = msgspec.structs.replace(recording(), measurement=run)
    memory.learn(Outcome(recording=made, verdict=msgspec.structs.replace(ACCESSIBLE, status="inconclusive")))
    assert memory.addresses[run.target] == {TLS.address}
    memory.learn(Outcome(recording=made, verdict=ACCESSIBLE))
    assert memory.addresses[run.target] == {TLS.address, "203.0.113.9"}


def recalled(path: Path, *outcomes: Outcome) -> Memory:
    """What a daemon remembers of these outcomes after a restart."""
    store = open_store(path)
    stored = [store.record(one) for one in outcomes]
    assert all(one.result(30) for one in stored)
    store.close()
    memory, run = Memory(), outcomes[-1].recording.measurement
    with Reader(path) as reader:
        memory.recall(reader, [(run.target, run.vantage)], run.started_at, {})
    return memory


def judged(run: Measurement, verdict: Verdict = BLOCKED, after: VantageState = ONLINE) -> Outcome:
    made = msgspec.structs.replace(recording(), measurement=run)
    return Outcome(recording=made, verdict=verdict, state_before=ONLINE, state_after=after)


@pytest.mark.parametrize(
    ("after", "interrupted", "stands"),
    [(ONLINE, False, True), (VantageState.OFFLINE, False, False), (ONLINE, True, False)],
    ids=["a good line", "a sick line", "a host that slept"],
)
def test_after_a_restart_the_same_deep_runs_stand_as_before(
    tmp_path: Path, after: VantageState, *, interrupted: bool, stands: bool
) -> None:
    isolation = deep_run(observations=(DNS, TCP, CUT), interrupted=interrupted)
    memory = recalled(tmp_path / "monitor.db", judged(isolation, after=after))
    found = memory.isolation((isolation.target, isolation.vantage), isolation, HOUR_SECONDS)
    assert found == (isolation if stands else None)


def test_after_a_restart_too_a_clean_round_ends_what_a_deep_run_stands_for(tmp_path: Path) -> None:
    isolation = deep_run(observations=(DNS, TCP, CUT))
    later = deep_run(id=2, is_deep=False, started_at=isolation.started_at + timedelta(minutes=5))
    memory = recalled(tmp_path / "monitor.db", judged(isolation), judged(later, ACCESSIBLE))
    assert memory.isolation((later.target, later.vantage), later, HOUR_SECONDS) is None


def test_after_a_restart_the_known_addresses_are_those_of_before(tmp_path: Path) -> None:
    stranger = msgspec.structs.replace(
        TLS, address="203.0.113.7", server_name="www.harmless.test", purpose=Purpose.UNRELATED_HARMLESS
    )
    notice = msgspec.structs.replace(TLS, address="203.0.113.9", server_name="notice.test", hop=1)
    run = deep_run(observations=(DNS, TCP, TLS, HTTP, stranger, notice))
    made = judged(run, msgspec.structs.replace(BLOCKED, status="inconclusive"))
    before = Memory()
    before.learn(made)
    assert recalled(tmp_path / "monitor.db", made).addresses == before.addresses == {run.target: {TLS.address}}


def test_what_a_detector_made_of_a_round_after_the_clock_was_set_back_outlives_a_restart(tmp_path: Path) -> None:
    first = deep_run(is_deep=False)
    second = deep_run(id=2, is_deep=False, started_at=first.started_at - timedelta(days=2))
    made = [
        msgspec.structs.replace(judged(run), detector=DetectorState(state=state))
        for run, state in ((first, SeriesState.ACCESSIBLE), (second, SeriesState.NOT_ACCESSIBLE))
    ]
    memory = recalled(tmp_path / "monitor.db", *made)
    assert memory.detector((first.target, first.vantage), first.network).state is SeriesState.NOT_ACCESSIBLE
