"""The daemon looks again sooner than its schedule says: on a first suspicion, and until a return is confirmed."""

import json
from pathlib import Path
from typing import Any

from monitor.detect.replay import replay
from monitor.lab import Cut, Lab
from monitor.store.reader import Reader
from tests.scenarios.daemon import Daemon, configuration

INTERVAL_SECONDS = 20
EDGES = ["start", "end"]
DETECTION = {"reprobe_wait": 1, "clearing_interval": 2}


def incident(daemon: Daemon) -> Any:
    """Return the one incident there is, None before."""
    found = daemon.get("/api/v1/incidents").json()["incidents"]
    assert len(found) <= 1
    return found[0] if found else None


def test_a_block_and_its_end_are_confirmed_long_before_the_schedule_would(tmp_path: Path) -> None:
    with Lab() as lab:
        lab.site("switched.lab.test")
        lab.censor("switched.lab.test", Cut.RESET)
        targets = {"switched": lab.url("switched.lab.test")}
        daemon = Daemon(configuration(lab, tmp_path, targets, interval_seconds=INTERVAL_SECONDS, detection=DETECTION))
        with daemon.running():
            daemon.wait_for(lambda: incident(daemon))
            first, second = daemon.rows("SELECT started_at FROM measurement ORDER BY id LIMIT 2")
            assert second - first < 1000 * INTERVAL_SECONDS / 2
            assert daemon.metric("monitor_further_looks_total", vantage="here", look="suspicion") == 1

            # It was so when we came: an upper bound is all that can be said.
            daemon.wait_for(lambda: incident(daemon)["start"])
            found = incident(daemon)
            assert (found["start"]["earliest"], found["started_after"]) == (None, None)
            assert [one["kind"] for one in found["updates"]] == ["found"]
            assert found["extent"] == "on the one network measured"
            ((target, vantage, asn),) = found["members"]
            assert (target, vantage, [one["asn"] for one in found["networks"]]) == ("switched", "here", [asn])

            lab.lift()
            daemon.wait_for(lambda: incident(daemon)["returning"])
            assert "reachable again since" in daemon.get("/").text
            assert "not confirmed" in daemon.command("incidents", "--open")
            assert incident(daemon)["closed_at"] is None
            daemon.wait_for(lambda: incident(daemon)["closed_at"])
            rounds = daemon.rows("SELECT started_at, status FROM measurement_detail ORDER BY id DESC LIMIT 11")
            assert {status for _, status in rounds} == {"accessible"}
            assert rounds[0][0] - rounds[-1][0] < 1000 * 10 * INTERVAL_SECONDS / 2
            daemon.wait_for(
                lambda: [one["onset"] and one["onset"]["edge"] for one in incident(daemon)["edges"]] == EDGES
            )

        shown = json.loads(daemon.command("incidents", "--json"))
        assert [one["kind"] for one in shown["updates"]] == ["found", "end"]
        assert shown["networks"][0]["ended_at"] == shown["closed_at"]
        assert daemon.command("incidents", "--open") == "No incident is stored that fits.\n"
        with Reader(daemon.database) as reader:
            assert replay(reader.rounds()) == reader.transitions() != []
