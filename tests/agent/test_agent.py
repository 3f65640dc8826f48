"""The agent as a process: measuring in the laboratory, pushing to a centre over real sockets."""

import contextlib
import signal
import stat
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest

from monitor.agent.gate import Budget
from monitor.agent.spool import Spool, depth_at
from monitor.lab import Cut, Lab
from monitor.network.clock import SystemClock
from tests.agent.conftest import CLOSED, OPEN
from tests.agent.setting import Machine, instructions
from tests.fakes.centre import FakeCentre

HOME_ADDRESS = b"202.63.192.9"  # of the line, as the laboratory's who-am-I answers


def test_measures_what_it_is_told_and_pushes_what_it_saw(
    lab: Lab, centre: FakeCentre, machine: Machine, tmp_path: Path
) -> None:
    lab.censor(CLOSED, Cut.RESET)
    centre.instructions = instructions(lab, tmp_path, {"open": lab.url(OPEN), "closed": lab.url(CLOSED)})
    machine.enroll(centre)
    with machine.running():
        opened = centre.wait_for_results("open", 2)
        closed = centre.wait_for(lambda: [one for one in centre.of("closed") if one.recording.measurement.is_deep])
        assert "state     measuring" in machine.command("status")
    assert not opened[0].recording.measurement.is_deep
    assert any(one.failure == "connection_reset" for one in closed[0].recording.measurement.observations)
    assert closed[0].recording.measurement.vantage == "lahore-1"
    assert closed[0].recording.measurement.network.asn == 64500
    assert {question.target for question in centre.questions} == {"closed"}
    assert set(centre.keys.values()) == {1}
    began = [one.monotonic_seconds for one in sorted(centre.results, key=lambda one: one.sequence)]
    assert began == pytest.approx(sorted(began), abs=2.0)
    assert not any(HOME_ADDRESS in body for body in centre.bodies)
    private = ("", "identity.json", "instructions.json", "spool.db", "status.json")
    assert not any((machine.data / name).stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO) for name in private)
    assert "does not run" in machine.command("status", expect=2)


def test_loses_nothing_and_sends_nothing_twice_through_an_outage_and_kill_9(
    lab: Lab, centre: FakeCentre, machine: Machine, tmp_path: Path
) -> None:
    centre.instructions = instructions(lab, tmp_path, {"open": lab.url(OPEN)})
    machine.enroll(centre)
    with machine.running():
        centre.wait_for_results("open", 1)
        centre.stop()
        centre.wait_for(lambda: depth_at(machine.data / "spool.db").rows >= 3)
        machine.kill()
    waiting = depth_at(machine.data / "spool.db").rows
    assert waiting >= 3
    before = len(centre.keys)
    centre.start()
    with machine.running():
        centre.wait_for(lambda: len(centre.keys) >= before + waiting + 1)
    boots = {boot for boot, _ in centre.keys}
    assert len(boots) == 2
    assert set(centre.keys.values()) == {1}
    for boot in boots:
        numbers = sorted(sequence for one, sequence in centre.keys if one == boot)
        assert numbers == list(range(1, len(numbers) + 1))
    assert any(batch.head.is_backfill for batch in centre.batches)


def test_the_owner_has_the_last_word(lab: Lab, centre: FakeCentre, machine: Machine, tmp_path: Path) -> None:
    targets = {"open": lab.url(OPEN), "closed": lab.url(CLOSED)}
    centre.instructions = instructions(lab, tmp_path, targets)
    machine.enroll(centre, daily_limit="1MB")
    with contextlib.closing(Spool(machine.data / "spool.db")) as spool:
        Budget(spool, SystemClock()).spend(1_000_001)
    with machine.running():
        centre.wait_for(lambda: centre.check_ins and centre.check_ins[-1].quiet == "budget")
        assert centre.results == []
        machine.owner(deny={"hosts": CLOSED})
        centre.wait_for_results("open", 1)
        assert centre.wait_for_check_in(2).vetoed == ("closed",)
        assert "not       closed: denied" in machine.command("status")

        machine.owner(quiet_hours=[{"start": "00:00", "end": "23:59", "zone": "UTC"}])
        centre.wait_for(lambda: centre.check_ins[-1].quiet == "quiet_hours")
        before = len(lab.requests)
        centre.wait_for_check_in(2)
        assert len(lab.requests) == before

        machine.owner(deny={"target": "open"})
        centre.wait_for(lambda: centre.check_ins[-1].quiet == "owner_file")
        machine.owner()
        centre.wait_for_results("closed", 1)

        machine.command("pause")
        centre.wait_for(lambda: centre.check_ins[-1].quiet == "paused" and centre.check_ins[-1].is_paused)
        assert "nothing is measured" in machine.command("status")
        machine.command("resume")
        centre.wait_for_results("open", 1)

        (machine.data / "risks-accepted.json").unlink()
        centre.wait_for(lambda: centre.check_ins[-1].quiet == "consent")
        assert "--accept-risks" in machine.command("resume", expect=2)
        machine.command("resume", "--accept-risks")
        centre.wait_for_results("open", 1)
    assert "agent.yaml:" in machine.said
    assert "deny.target: unknown key" in machine.said


def test_stops_without_lease_and_for_what_the_centre_demands(
    lab: Lab, centre: FakeCentre, machine: Machine, tmp_path: Path
) -> None:
    first = instructions(lab, tmp_path, {"open": lab.url(OPEN)}, version=7)
    centre.instructions = first
    machine.enroll(centre)
    with machine.running():
        centre.wait_for_results("open", 1)
        centre.instructions = instructions(lab, tmp_path, {"old": lab.url(OPEN)}, version=6)
        assert centre.wait_for_check_in(3).config_version == 7
        assert "version 6 is older than 7" in machine.said

        centre.instructions = msgspec.structs.replace(first, version=8, consent_version=99)
        centre.wait_for(lambda: centre.check_ins[-1].quiet == "consent")
        centre.instructions = msgspec.structs.replace(first, version=9)
        centre.min_software = "access-monitor/99.0"
        centre.wait_for(lambda: centre.check_ins[-1].quiet == "software")
        centre.min_software = ""
        centre.wait_for_results("open", 1)

        centre.lease = timedelta(seconds=0.5)
        centre.wait_for_check_in(2)
        centre.stop()
        centre.wait_for(lambda: "not heard for too long" in machine.command("status"))
        machine.wait_for_status(1)  # a round may have been under way
        before = len(lab.requests)
        machine.wait_for_status(2)
        assert len(lab.requests) == before
        centre.lease = timedelta(minutes=5)
        centre.start()
        centre.wait_for_results("open", 1)
    assert "old" not in {one.recording.measurement.target for one in centre.results}


def test_one_agent_a_folder_and_a_clean_end(centre: FakeCentre, machine: Machine) -> None:
    assert "monitor agent enroll" in machine.command("run", expect=2)
    machine.enroll(centre)
    assert "already" in machine.command("enroll", centre.invitation(), "--accept-risks", expect=2)
    with machine.running():
        centre.wait_for_check_in()
        assert "runs on" in machine.command("run", expect=2)
        assert "runs on" in machine.command("uninstall", "--yes", expect=2)
        assert machine.process is not None
        machine.process.send_signal(signal.SIGTERM)
        assert machine.process.wait(20) == 0
    told = machine.command("uninstall", "--yes")
    assert "stays at the centre" in told
    assert [path.name for path in machine.data.iterdir()] == ["agent.yaml"]
