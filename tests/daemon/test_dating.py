import contextlib
import sqlite3
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Final

import msgspec
import pytest

from monitor.daemon.dating import Dater
from monitor.detect.cusum import step
from monitor.detect.incidents import Applied, Setting, apply
from monitor.detect.replay import replay
from monitor.model.onset import Dating, Edge
from monitor.model.vantage import NetworkIdentity
from monitor.model.verdict import DetectorState, SeriesState, Transition
from monitor.store.incident_detail import details
from monitor.store.reader import Reader
from monitor.store.store import Store
from tests.store.samples import ACCESSIBLE, BLOCKED, NETWORK, NOW, FixedClock, open_store, outcome

ROUND: Final = timedelta(minutes=5)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "monitor.db"


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    store = open_store(path)
    yield store
    store.close()


class Line:
    """Feeds the real detector and the real store, round by round."""

    def __init__(self, store: Store) -> None:
        self.at = NOW
        self.transitions: list[Transition] = []
        self.applied: Applied | None = None
        self._store = store
        self._id = 0
        self._taken: set[str] = set()
        self._states: dict[int, DetectorState] = {}

    def rounds(self, signs: str, network: NetworkIdentity = NETWORK) -> None:
        written = None
        for sign in signs:
            self._id += 1
            verdict = BLOCKED if sign == "x" else ACCESSIBLE
            run = outcome(self._id, self.at, verdict=verdict, network=network)
            measurement = run.recording.measurement
            asn = network.asn or 0
            state, transition = step(self._states.get(asn, DetectorState()), verdict, measurement, self.at)
            self._states[asn] = state
            run = msgspec.structs.replace(run, detector=state, transition=transition)
            if transition is not None:
                self.transitions.append(transition)
                place = Setting("x", "PK", network=network.name, measured_networks=1, measurement_id=self._id)
                known = self.applied.incident if self.applied else None
                if applied := apply(known, transition, verdict, place, taken=self._taken):
                    self.applied = applied
                    self._taken.add(applied.incident.id)
                    run = msgspec.structs.replace(run, incident=applied.incident, updates=applied.updates)
            written = self._store.record(run)
            self.at += ROUND
        assert written is None or written.result(30)  # the queue keeps its order

    def aside(self) -> None:
        """Measure once because somebody asked, in the middle of the series."""
        self._id += 1
        assert self._store.record(outcome(self._id, self.at, verdict=BLOCKED, is_aside=True)).result(30)


def dated(store: Store, path: Path, clock: FixedClock) -> None:
    with Reader(path) as reader:
        Dater(reader, store, clock).date_due()
    settle(store)


def settle(store: Store) -> None:
    """Wait until what was queued is written: the queue keeps its order."""
    assert store.sync_configuration({}, [], [], "0" * 64, NOW).result(30)


def test_a_block_is_dated_at_its_alarm_and_finally_a_day_later(store: Store, path: Path) -> None:
    line = Line(store)
    line.rounds("." * 40 + "xx")
    began = NOW + 40 * ROUND
    alarm = began + ROUND
    clock = FixedClock(alarm + timedelta(seconds=2))
    dated(store, path, clock)
    clock.at += timedelta(seconds=30)
    dated(store, path, clock)  # nothing is due
    line.rounds("x" * 300)
    clock.at = alarm + timedelta(hours=24)
    dated(store, path, clock)
    with Reader(path) as reader:
        (detail,) = details(reader, reader.incidents())
    (edge,) = detail.edges
    assert edge.onset is not None
    assert (edge.onset.edge, edge.onset.dating, edge.onset.is_final) == (Edge.START, Dating.DATED, True)
    assert (edge.last_before_at, edge.first_after_at) == (began - ROUND, began)
    assert detail.start is not None
    assert detail.start.earliest is not None
    assert began - 2 * ROUND < detail.start.earliest <= began <= detail.start.latest + ROUND < began + 3 * ROUND
    assert detail.end is None
    assert store.health().refused_total == 0
    with contextlib.closing(sqlite3.connect(path)) as db:
        assert db.execute("SELECT is_final FROM onset ORDER BY computed_at").fetchall() == [(0,), (1,)]


def test_start_and_end_have_each_their_interval_and_the_history_says_so(store: Store, path: Path) -> None:
    line = Line(store)
    line.rounds("." * 40 + "x" * 40 + "." * 11)
    dated(store, path, FixedClock(line.at))
    with Reader(path) as reader:
        (detail,) = details(reader, reader.incidents())
    assert detail.closed_at is not None
    assert detail.end is not None
    assert [one.kind for one in detail.updates] == ["start", "end"]
    assert [one.onset and one.onset.edge for one in detail.edges] == ["start", "end"]
    assert detail.networks[0].ended_at == detail.closed_at
    assert detail.extent == "on the one network measured"


def test_what_was_found_blocked_has_an_upper_bound_only(store: Store, path: Path) -> None:
    line = Line(store)
    line.rounds("xx")
    dated(store, path, FixedClock(line.at))
    with Reader(path) as reader:
        (detail,) = details(reader, reader.incidents())
    assert detail.start is not None
    assert (detail.start.earliest, detail.start.latest, detail.started_after) == (None, NOW, None)
    assert [one.kind for one in detail.updates] == ["found"]


def test_a_return_that_is_not_confirmed_is_seen(store: Store, path: Path) -> None:
    line = Line(store)
    line.rounds("...xx" + "..")
    with Reader(path) as reader:
        (detail,) = details(reader, reader.open_incidents())
    (one,) = detail.returning
    assert (one.member, one.since) == (("x-home", "lahore", 17557), NOW + 5 * ROUND)


def test_another_network_of_the_same_vantage_dates_and_ends_nothing(store: Store, path: Path) -> None:
    line = Line(store)
    line.rounds("." * 20 + "xx")
    line.rounds("." * 20, NetworkIdentity(asn=45773, name="CONNECT", country="PK"))
    dated(store, path, FixedClock(line.at))
    with Reader(path) as reader:
        (detail,) = details(reader, reader.open_incidents())
        assert reader.kept_rounds("x-home", "lahore", 45773, NOW, line.at)[0].is_failing is False
        assert len(reader.kept_rounds("x-home", "lahore", 17557, NOW, line.at)) == 22
    assert detail.returning == ()


def test_three_nights_are_a_pattern(store: Store, path: Path) -> None:
    line = Line(store)
    line.rounds("...")
    for _ in range(3):
        line.rounds("x" * 96 + "." * 192)
    with Reader(path) as reader:
        newest, *_, oldest = details(reader, reader.incidents())
    assert newest.periodic is not None
    assert newest.periodic.days == 3
    assert oldest.periodic is None


def test_the_detector_run_again_over_what_is_stored_gives_the_same_transitions(store: Store, path: Path) -> None:
    line = Line(store)
    line.rounds("...x.xx" + "." * 12 + "xx.")
    line.aside()
    line.rounds("xx", NetworkIdentity(asn=45773, name="CONNECT", country="PK"))
    line.aside()
    line.rounds("." * 12)
    line.rounds("xx")
    assert [one.after for one in line.transitions].count(SeriesState.NOT_ACCESSIBLE) >= 3
    with Reader(path) as reader:
        assert reader.transitions() == sorted(line.transitions, key=lambda one: one.at)
        assert replay(reader.rounds()) == line.transitions
