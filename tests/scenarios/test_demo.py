"""`monitor demo` as a process: the whole story, and every way in which it can end."""

import contextlib
import json
import os
import signal
import socket
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.scenarios.running import MONITOR, ROOT

PATIENCE_SECONDS = 300
# Whoever starts the tests, the demonstration has no privileges.
UNPRIVILEGED = ("setpriv", "--bounding-set=-all", "--inh-caps=-all") if os.geteuid() == 0 else ()
Told = tuple[str, str | None, list[str], str | None]
SNI_RESET: Told = ("blocked", "confirmed", ["tls.reset.sni"], None)
BOGON: Told = ("blocked", "confirmed", ["dns.bogon.name"], None)
WITHHELD: Told = ("withheld", "confirmed", [], None)
OFFLINE: Told = ("inconclusive", None, [], "vantage_offline")
CALM: Mapping[str, Told] = {}


@contextlib.contextmanager
def demo(folder: Path, *options: str) -> Iterator[subprocess.Popen[str]]:
    """Run it with its temporary files in `folder`."""
    with subprocess.Popen(
        [*UNPRIVILEGED, *MONITOR, "demo", "--fast", *options], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True, cwd=ROOT, env={**os.environ, "TMPDIR": str(folder)},
    ) as process:  # fmt: skip
        try:
            yield process
        finally:
            if process.poll() is None:
                process.terminate()


def conclusions(step: Mapping[str, Any]) -> dict[str, Told]:
    """Return what is not plainly accessible in a step, by target."""
    return {
        one["target"]: (one["status"], one["confidence"], one["mechanisms"], one["reason"])
        for one in step["targets"]
        if one["status"] != "accessible"
    }


def test_the_story_is_told_to_its_end_and_every_verdict_is_as_it_should_be(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    with demo(tmp_path, "--json", "--folder", str(kept)) as process:
        output, errors = process.communicate(timeout=PATIENCE_SECONDS)
    steps = {step["step"]: step for step in map(json.loads, output.splitlines())}
    assert {name: step["differences"] for name, step in steps.items() if not step["as_expected"]} == {}
    assert (process.returncode, errors) == (0, "")

    blocked = {"telegram-home": BOGON, "x-home": SNI_RESET, "x-media": SNI_RESET}
    withdrawn = {**blocked, "facebook-home": WITHHELD}
    everything = [one["target"] for one in steps["accessible"]["targets"]]
    assert {name: conclusions(step) for name, step in steps.items()} == {
        "accessible": CALM,
        "dns-lie": {"telegram-home": BOGON},
        "sni-reset": blocked,
        "offline": dict.fromkeys(everything, OFFLINE),
        "withdrawal": withdrawn,
        "outage": {**withdrawn, "youtube-home": ("down", None, [], None)},
        "restoration": CALM,
    }
    is_open = {
        name: {one["platform"] for one in step["incidents"] if one["closed_at"] is None} for name, step in steps.items()
    }
    assert is_open == {
        "accessible": set(),
        "dns-lie": {"telegram"},
        "sni-reset": {"telegram", "x"},
        "offline": {"telegram", "x"},
        "withdrawal": {"telegram", "x", "facebook"},
        "outage": {"telegram", "x", "facebook"},
        "restoration": set(),
    }
    closed = {one["platform"]: one for one in steps["restoration"]["incidents"]}
    assert closed.keys() == {"telegram", "x", "facebook"}
    assert sorted(member[:2] for member in closed["x"]["all_members"]) == [["x-home", "here"], ["x-media", "here"]]
    assert all(one["started_after"] < one["started_before"] < one["closed_at"] for one in closed.values())

    purposes = {one["purpose"] for one in steps["sni-reset"]["evidence"]["measurement"]["observations"]}
    assert {"path", "retry", "harmless_name", "unrelated_address"} <= purposes

    # Everything is ended, what was asked for is kept, and the risks count as accepted nowhere.
    with pytest.raises(httpx.ConnectError):
        httpx.get(steps["accessible"]["page"], trust_env=False)
    assert [one.name for one in tmp_path.iterdir()] == ["kept"]
    assert not (kept / "risks-accepted.json").exists()
    status = subprocess.run(
        [*MONITOR, "status", "-c", str(kept / "probes.yaml"), "--json"],
        capture_output=True, text=True, check=True, timeout=60, cwd=ROOT,
    )  # fmt: skip
    # Platforms as a whole are inconclusive once nothing was measured for a few of these short intervals.
    targets = [one for one in map(json.loads, status.stdout.splitlines()) if one["target"]]
    assert {one["status"] for one in targets} == {"accessible"}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
def test_told_to_end_it_ends_everything_and_leaves_nothing(number: signal.Signals, tmp_path: Path) -> None:
    with demo(tmp_path) as process:
        assert process.stdout is not None
        page = next(line for line in process.stdout if line.startswith("The page: ")).split()[2]
        assert httpx.get(page, trust_env=False).status_code == 200
        process.send_signal(number)
        output, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (0, "")
    assert output.endswith("Ended.\n")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(httpx.ConnectError):
        httpx.get(page, trust_env=False)


def test_told_to_end_before_anything_is_up_it_leaves_nothing(tmp_path: Path) -> None:
    with demo(tmp_path) as process:
        while not list(tmp_path.glob("access-demo-*")):
            assert process.poll() is None
        process.terminate()
        _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (0, "")
    assert list(tmp_path.iterdir()) == []


def test_a_port_in_use_is_named_and_nothing_stays_behind(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with demo(tmp_path, "--port", str(port)) as process:
            output, errors = process.communicate(timeout=60)
    assert (process.returncode, output) == (2, "")
    assert str(port) in errors
    assert "Traceback" not in errors
    assert list(tmp_path.iterdir()) == []


def test_a_folder_with_something_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "probes.yaml").write_text("mine")
    with demo(tmp_path, "--folder", str(tmp_path)) as process:
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "not empty" in errors
    assert [one.name for one in tmp_path.iterdir()] == ["probes.yaml"]
