"""What the daemon, the commands, the API, the metrics and the database say of a platform as a whole."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from monitor.lab import Cut, Lab
from monitor.lab.pages import unknown_block_page
from tests.scenarios.daemon import Daemon, change, configuration


@pytest.fixture
def lab() -> Iterator[Lab]:
    with Lab() as lab:
        yield lab


def test_a_blocked_front_page_with_an_open_media_host_is_said_alike_everywhere(lab: Lab, tmp_path: Path) -> None:
    for name in ("home", "media"):
        lab.site(f"{name}.lab.test")
    lab.censor("home.lab.test", Cut.RESET)
    targets = {name: lab.url(f"{name}.lab.test") for name in ("home", "media")}
    platform = {"lab": {"name": "The Lab", "rollup": {"all_of": ["home"]}}}
    daemon = Daemon(configuration(lab, tmp_path, targets, interval_seconds=4, platforms=platform))
    place = {"platform": "lab", "country": "PK"}
    with daemon.running():
        daemon.wait_for(lambda: daemon.metric("access_platform_partial", **place) == 1)
        assert daemon.metric("access_platform_status", **place, status="blocked") == 1
        assert daemon.metric("access_platform_networks", **place, status="blocked") == 1
        assert daemon.metric("access_platform_accessible", platform="lab", vantage="here") == 0
        (found,) = daemon.get("/api/v1/platforms?platform=lab&country=PK").json()["platforms"]
        assert (found["status"], found["is_partial"]) == ("blocked", True)
        summary = found["summary"]
        assert summary.startswith("The Lab is blocked on the one network measured in PK, ")
        assert summary.endswith(" There home is blocked; media is accessible.")
        assert summary in daemon.get("/").text
        # Another rule, and the same facts say something else.
        change(daemon.config, platforms={"lab": {"rollup": {"all_of": ["media"]}}})
        assert daemon.reload().status_code == 200
        (found,) = daemon.get("/api/v1/platforms").json()["platforms"]
        assert (found["status"], found["is_partial"]) == ("accessible", True)
    change(daemon.config, platforms={"lab": {"rollup": {"all_of": ["home"]}}})
    # As it was when it was measured last: by now it may be too old to say anything.
    (last,) = daemon.rows("SELECT strftime('%Y-%m-%dT%H:%M:%fZ', max(started_at) / 1e3, 'unixepoch') FROM measurement")
    whole, *others = map(json.loads, daemon.command("status", "--json", "--at", last).splitlines())
    assert (whole["target"], whole["platform"], whole["status"]) == (None, "lab", "blocked")
    assert [one["target"] for one in others] == ["home", "media"]
    then = daemon.command("status", "--at", last)
    assert "blocked, in part" in then
    assert "The Lab is blocked on the one network measured in PK" in then
    counted = "SELECT platform, vantage, country, targets, blocked, accessible FROM platform_status"
    assert daemon.rows(counted) == [("lab", "here", "PK", 2, 1, 1)]


def test_a_block_page_is_known_once_its_fingerprint_is(lab: Lab, tmp_path: Path) -> None:
    lab.site("plain.lab.test")
    lab.censor("plain.lab.test", Cut.PAGE, unknown_block_page())
    targets = {"plain": {"url": lab.url("plain.lab.test", scheme="http"), "expect": {"title": "never"}}}
    daemon = Daemon(configuration(lab, tmp_path, targets, interval_seconds=2))
    order = {"id": "lab.1", "location": "body", "type": "contains", "pattern": "Order Seventeen", "scope": "isp"}
    lines = [{"format": 1, "version": "1"}, order]
    (tmp_path / "lab.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))

    def confirmed() -> list[str]:
        return daemon.rows("SELECT mechanisms FROM measurement_detail WHERE rule = 'http_blockpage'")

    with daemon.running():
        daemon.wait_for_rounds("plain", 1)
        assert confirmed() == []
        change(daemon.config, fingerprints={"files": ["absent.jsonl"]})
        assert daemon.reload().status_code != 200
        change(daemon.config, fingerprints={"files": ["lab.jsonl"]})
        assert daemon.reload().status_code == 200
        daemon.wait_for(confirmed)
    assert set(confirmed()) == {'["http.blockpage"]'}
    assert daemon.rows("SELECT rows FROM fingerprint_use JOIN fingerprint_set USING (digest) ORDER BY since") == [
        20,
        21,
    ]
    assert len(set(daemon.rows("SELECT config_digest FROM run_context"))) == 2
