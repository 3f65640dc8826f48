"""Both halves as real processes: an agent in the laboratory, the daemon as its centre, a control at the centre."""

from pathlib import Path
from typing import Any

import yaml

from monitor.agent.spool import depth_at
from monitor.lab import Cut, Lab
from tests.agent.setting import Machine
from tests.fakes.centre import FakeCentre
from tests.fleet.centre import Centre
from tests.ports import free_port
from tests.scenarios.daemon import configuration, merged
from tests.scenarios.running import control_agent

OPEN, CLOSED, DEAD = "open.lab.test", "closed.lab.test", "dead.lab.test"


def centre_in(lab: Lab, folder: Path, control: Any) -> Centre:
    port = free_port()
    path = configuration(
        lab,
        folder,
        {name.partition(".")[0]: lab.url(name) for name in (OPEN, CLOSED, DEAD)},
        control=control,
        interval_seconds=3.0,
    )
    written = yaml.safe_load(path.read_text())
    del written["vantages"]["here"]
    agent = {"kind": "agent", "country": "PK", "resolvers": [lab.system_resolver]}
    ingest = {"listen": f"127.0.0.1:{port}", "urls": [f"https://127.0.0.1:{port}"], "check_in": 1, "rate": 50}
    path.write_text(yaml.safe_dump(merged(written, {"vantages": {"lahore-1": agent}, "ingest": ingest})))
    return Centre(path)


def test_a_block_seen_by_an_agent_is_judged_and_recorded_at_the_centre(tmp_path: Path) -> None:
    with Lab() as lab, control_agent(lab, tmp_path) as control:
        for name in (OPEN, CLOSED):
            lab.site(name)
        lab.site(DEAD, cut=Cut.RESET)
        lab.censor(CLOSED, Cut.RESET)
        centre, machine = centre_in(lab, tmp_path, control), Machine(lab, tmp_path)
        with centre.running():
            machine.command("enroll", centre.invitation(), "--accept-risks")
            machine.owner()
            with machine.running():
                centre.wait_for(lambda: centre.status("open") == "accessible")
                centre.wait_for(lambda: centre.status("closed") == "blocked")
                centre.wait_for(lambda: centre.status("dead") == "down")
                centre.wait_for(lambda: centre.rows("SELECT id FROM incident"))
                assert centre.rows("SELECT platform, country FROM incident") == [("lab", "PK")]
                # The centre goes down as in a power cut, and the agent too; then both are back.
                centre.kill()
                FakeCentre.wait_for(lambda: depth_at(machine.data / "spool.db").rows >= 5)
                machine.kill()
            spooled = depth_at(machine.data / "spool.db").rows
        with centre.running(), machine.running():
            centre.wait_for(lambda: depth_at(machine.data / "spool.db").rows < spooled)
            centre.wait_for(lambda: centre.status("closed") == "blocked")
            runs = "SELECT boot_id, count(*), min(sequence), max(sequence) FROM agent_result GROUP BY boot_id"
            centre.wait_for(lambda: len(centre.rows(runs)) == 2 and depth_at(machine.data / "spool.db").rows <= 1)
            assert all((count, first) == (last, 1) for _, count, first, last in centre.rows(runs))
            centre.said("agent", "revoke", "lahore-1")
            FakeCentre.wait_for(lambda: "revoked this agent" in machine.command("status"))
        assert centre.count("agent_result") == len(
            set(centre.rows("SELECT measurement_id FROM agent_result WHERE measurement_id IS NOT NULL"))
        )
        public = "202.63.192.9"
        for file in tmp_path.rglob("*"):
            assert not file.is_file() or public.encode() not in file.read_bytes(), file
