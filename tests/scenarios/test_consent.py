"""The first `monitor run` at a terminal tells the risks and asks; it asks once."""

import json
import os
import pty
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from monitor.lab import Lab
from tests.scenarios.daemon import configuration
from tests.scenarios.running import MONITOR, ROOT, line_with


@pytest.fixture
def config(tmp_path: Path) -> Iterator[Path]:
    with Lab() as lab:
        lab.site("site.lab.test")
        yield configuration(lab, tmp_path, {"site": lab.url("site.lab.test")}, interval_seconds=60)


def run_at_terminal(
    config: Path, answer: bytes, *, starts: bool, command: tuple[str, ...] = ("run",)
) -> tuple[int, str]:
    """Run a command at a terminal where somebody types `answer`, until it listens or ends by itself."""
    ours, theirs = pty.openpty()
    try:
        os.write(ours, answer)
        with subprocess.Popen(
            [*MONITOR, *command, "-c", str(config)],
            stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT,
        ) as process:  # fmt: skip
            if starts:
                line_with(process, "Listening on ")
                process.terminate()
            _, told = process.communicate(timeout=60)
    finally:
        os.close(ours)
        os.close(theirs)
    return process.returncode, told


def test_who_agrees_is_asked_once(config: Path) -> None:
    status, told = run_at_terminal(config, b"y\n", starts=True)
    assert status == 0
    assert "BEFORE YOU START" in told
    assert "شروع کرنے سے پہلے" in told
    assert "Do you understand this" in told
    assert json.loads((config.parent / "risks-accepted.json").read_text())["how"] == "terminal"
    status, told = run_at_terminal(config, b"", starts=True)
    assert status == 0
    assert "BEFORE YOU START" not in told


def test_who_declines_starts_nothing(config: Path) -> None:
    status, told = run_at_terminal(config, b"n\n", starts=False)
    assert status == 2
    assert "Nothing was started." in told
    assert not list(config.parent.glob("monitor.db*"))


def test_a_first_probe_asks_as_well(config: Path) -> None:
    probe = ("probe", "site")
    status, told = run_at_terminal(config, b"n\n", starts=False, command=probe)
    assert status == 2
    assert "Nothing was measured." in told
    assert not list(config.parent.glob("monitor.db*"))
    status, told = run_at_terminal(config, b"y\n", starts=False, command=probe)
    assert status == 0
    assert "BEFORE YOU START" in told
    status, told = run_at_terminal(config, b"", starts=False, command=probe)
    assert (status, "BEFORE YOU START" in told) == (0, False)
