"""A running daemon reads its configuration again: wrong ones change nothing, right ones only what differs."""

import json
import signal
from collections.abc import Iterator

import pytest
import yaml

from monitor.lab import Lab
from tests.scenarios.daemon import Daemon, change, configuration

NAMES = ("kept", "changed", "removed", "added")


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab() as lab:
        for name in NAMES:
            lab.site(f"{name}.lab.test")
        yield lab


@pytest.fixture(scope="module")
def daemon(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    targets = {name: {"url": lab.url(f"{name}.lab.test")} for name in NAMES if name != "added"}
    daemon = Daemon(configuration(lab, tmp_path_factory.mktemp("reload"), targets, interval_seconds=1))
    with daemon.running():
        daemon.wait_for(lambda: all(daemon.status(name) for name in targets))
        yield daemon


@pytest.fixture(autouse=True)
def original(daemon: Daemon) -> Iterator[str]:
    """Put the first configuration back in use after each test."""
    original = daemon.config.read_text()
    yield original
    daemon.config.write_text(original)
    assert daemon.reload().status_code == 200


def plan_changes(daemon: Daemon) -> dict[str, int]:
    """Return what the latest reload did to the schedule."""
    lines = [json.loads(line) for line in daemon.log.read_text().splitlines() if "configuration in use" in line]
    return {key: lines[-1][key] for key in ("added", "changed", "kept", "removed")}


def test_a_wrong_file_is_told_with_its_lines_and_changes_nothing(daemon: Daemon) -> None:
    change(daemon.config, platforms={"lab": {"targets": {"kept": {"url": "gopher://kept.lab.test/", "intervall": 5}}}})
    lines = daemon.config.read_text().splitlines()
    wrong = [number for number, line in enumerate(lines, 1) if "gopher" in line or "intervall" in line]
    answer = daemon.reload()
    assert answer.status_code == 500
    told = answer.text.splitlines()
    keys = ("platforms.lab.targets.kept.url", "platforms.lab.targets.kept.intervall")
    assert [line.split(": ")[:2] for line in told] == [
        [f"{daemon.config}:{number}", key] for number, key in zip(wrong, keys, strict=True)
    ]
    assert daemon.metric("monitor_config_last_reload_successful") == 0
    assert "The configuration file has mistakes" in daemon.get("/").text
    for name in ("kept", "changed", "removed"):
        daemon.wait_for_rounds(name, 2)


def test_a_wrong_file_is_refused_by_signal_too(daemon: Daemon, original: str) -> None:
    daemon.config.write_text("platforms: {")
    daemon.signal(signal.SIGHUP)
    daemon.wait_for(lambda: daemon.metric("monitor_config_last_reload_successful") == 0)
    daemon.config.write_text(original)
    daemon.signal(signal.SIGHUP)
    daemon.wait_for(lambda: daemon.metric("monitor_config_last_reload_successful") == 1)
    assert "The configuration file has mistakes" not in daemon.get("/").text


def test_a_right_file_restarts_only_what_differs(daemon: Daemon, lab: Lab) -> None:
    measured = daemon.metric("monitor_measurements_total", vantage="here") or 0
    written = yaml.safe_load(daemon.config.read_text())
    targets = written["platforms"]["lab"]["targets"]
    del targets["removed"]
    targets["changed"]["interval"] = 1.25
    targets["added"] = {"url": lab.url("added.lab.test")}
    daemon.config.write_text(yaml.safe_dump(written))
    assert daemon.reload().status_code == 200
    assert plan_changes(daemon) == {"added": 1, "changed": 1, "kept": 1, "removed": 1}
    assert daemon.metric("monitor_config_last_reload_successful") == 1
    assert (daemon.metric("monitor_measurements_total", vantage="here") or 0) >= measured
    assert daemon.metric("access_probe_interval_seconds", target="kept") == 1
    daemon.wait_for(lambda: daemon.metric("access_probe_interval_seconds", target="changed") == 1.25)
    daemon.wait_for(lambda: daemon.status("added") == "accessible")
    # What is removed is measured and exported no more, and its history stays.
    assert daemon.status("removed") is None
    assert "removed" not in {one["target"] for one in daemon.get("/api/v1/targets").json()["targets"]}
    assert "accessible" in daemon.command("history", "removed")


def test_what_only_a_restart_can_change_is_refused_with_a_sentence(daemon: Daemon) -> None:
    change(daemon.config, storage={"path": str(daemon.config.with_name("another.db"))})
    answer = daemon.reload()
    assert (answer.status_code, answer.text) == (500, "storage.path can only change with a restart\n")
    assert not daemon.config.with_name("another.db").exists()
    daemon.wait_for_rounds("kept", 1)


def test_reload_wants_post(daemon: Daemon) -> None:
    assert daemon.get("/-/reload").status_code == 405
