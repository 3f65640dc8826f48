"""Interference comes and goes, the daemon and its control end and begin again: one incident, from first to last."""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from monitor.detect.replay import replay
from monitor.lab import Cut, Lab
from monitor.store.reader import Reader
from tests.scenarios.daemon import Daemon, configuration
from tests.scenarios.running import control_agent

ROUNDS_TO_CLEAR = 11  # accessible rounds in a row that end an incident


@pytest.fixture
def lab() -> Iterator[Lab]:
    with Lab() as lab:
        yield lab


def transitions(daemon: Daemon, target: str) -> list[tuple[str, str]]:
    return daemon.rows(
        "SELECT before, after FROM transition JOIN target ON target.id = target_id WHERE target.name = ? ORDER BY at",
        target,
    )


def is_known(daemon: Daemon, target: str) -> Callable[[], bool]:
    """Ask whether the detector knows the target's state."""
    query = "SELECT detector.state FROM detector JOIN target ON target.id = target_id WHERE target.name = ?"
    return lambda: daemon.rows(query, target) not in ([], ["unknown"])


def test_interference_is_one_incident_from_beginning_to_end_through_a_restart(lab: Lab, tmp_path: Path) -> None:
    for name in ("switched", "steady"):
        lab.site(f"{name}.lab.test")
    targets = {name: lab.url(f"{name}.lab.test") for name in ("switched", "steady")}
    daemon = Daemon(configuration(lab, tmp_path, targets, interval_seconds=1))
    with daemon.running():
        daemon.wait_for(is_known(daemon, "switched"))
        assert daemon.metric("access_incident_active", platform="lab") in {None, 0}
        lab.censor("switched.lab.test", Cut.RESET)
        daemon.wait_for(lambda: daemon.metric("access_incident_active", platform="lab", country="PK") == 1)
        daemon.wait_for(lambda: transitions(daemon, "switched") == [("accessible", "not_accessible")])
        # Two confirmed rounds are enough; one is not.
        assert [status for status, _ in daemon.verdicts("switched")].count("blocked") >= 2
        (incident,) = daemon.get("/api/v1/incidents").json()["incidents"]
        ((target, vantage, asn),) = incident["members"]
        assert (incident["mechanisms"], target, vantage) == (["tls.reset.sni"], "switched", "here")
        assert [one["asn"] for one in incident["networks"]] == [asn]
        assert incident["started_after"] < incident["started_before"] <= incident["opened_at"]
        assert f"/report?incident={incident['id']}" in daemon.get("/").text
        report = daemon.get(f"/report?incident={incident['id']}").text
        assert "lab is blocked on the one network measured in Pakistan." in report
        assert "no end has been confirmed" in report

    # Stopped; then as it was, before a single further round.
    with daemon.running():
        assert daemon.metric("access_incident_active", platform="lab", country="PK") == 1
        daemon.wait_for_rounds("switched", 3)
        assert daemon.rows("SELECT id FROM incident") == [incident["id"]]
        lab.lift()
        daemon.wait_for(lambda: not daemon.metric("access_incident_active", platform="lab"))
        daemon.wait_for(lambda: daemon.rows("SELECT closed_at FROM incident WHERE closed_at NOT NULL"))

    assert transitions(daemon, "switched") == [("accessible", "not_accessible"), ("not_accessible", "accessible")]
    assert transitions(daemon, "steady") == []
    cleared_by = daemon.rows("SELECT measurement_id FROM transition ORDER BY at DESC LIMIT 1")[0]
    rounds = daemon.rows(
        "SELECT status FROM measurement_detail WHERE target = 'switched' AND id <= ? ORDER BY id DESC", cleared_by
    )
    assert rounds.index("blocked") == ROUNDS_TO_CLEAR
    assert {status for status, _ in daemon.verdicts("steady")} == {"accessible"}

    states = {one["target"]: one for one in map(json.loads, daemon.command("status", "--json").splitlines())}
    assert (states["switched"]["status"], states["steady"]["status"]) == ("accessible", "accessible")
    assert states["switched"]["since"] > states["steady"]["since"]
    then = incident["opened_at"]
    states = {
        one["target"]: one for one in map(json.loads, daemon.command("status", "--json", "--at", then).splitlines())
    }
    assert (states["switched"]["status"], states["steady"]["status"]) == ("blocked", "accessible")
    with Reader(daemon.database) as reader:
        assert replay(reader.rounds()) == reader.transitions()
    exported = [json.loads(line) for line in daemon.command("export").splitlines()]
    assert [one["id"] for one in exported] == daemon.rows("SELECT id FROM measurement ORDER BY id")
    assert "tls.reset.sni" in daemon.command("history", "switched", "--limit", "1000")


def test_a_control_that_dies_takes_nothing_back_and_starts_nothing_anew(lab: Lab, tmp_path: Path) -> None:
    lab.site("dropped.lab.test")
    lab.site("clean.lab.test")
    lab.censor("dropped.lab.test", Cut.DROP)
    targets = {name: lab.url(f"{name}.lab.test") for name in ("dropped", "clean")}

    def rounds_say(status: str, reason: str | None) -> Callable[[], bool]:
        return lambda: daemon.verdicts("dropped")[-2:] == [(status, reason)] * 2

    with ExitStack() as control:
        agent = control.enter_context(control_agent(lab, tmp_path))
        daemon = Daemon(configuration(lab, tmp_path, targets, control=agent, interval_seconds=2))
        with daemon.running():
            daemon.wait_for(lambda: daemon.metric("access_incident_active", platform="lab", country="PK") == 1)
            assert rounds_say("blocked", None)()
            control.close()
            # An address block cannot be told from an outage now.
            daemon.wait_for(rounds_say("inconclusive", "no_control"))
            daemon.wait_for(lambda: daemon.metric("access_vantage_online", vantage="control") == 0)
            assert daemon.metric("access_incident_active", platform="lab", country="PK") == 1
            with control_agent(lab, tmp_path, listen=agent.url.removeprefix("https://")):
                daemon.wait_for(rounds_say("blocked", None))
                assert daemon.metric("access_vantage_online", vantage="control") == 1
            assert daemon.count("incident") == 1
            assert transitions(daemon, "dropped") == [("unknown", "not_accessible")]
            assert {status for status, _ in daemon.verdicts("clean")} == {"accessible"}
