import subprocess
from pathlib import Path

import pytest

from monitor.daemon.unit import UNIT, is_hidden, unit


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / UNIT
    path.write_text(unit(Path("/bin/true")))
    return path


def test_systemd_finds_nothing_to_complain_about(file: Path) -> None:
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", file], check=False, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_systemd_rates_the_exposure_low(file: Path) -> None:
    # Out of 100; what is left are the network, the notification socket, and reading how far off the clock is.
    rating = ["systemd-analyze", "security", "--offline=yes", "--no-pager", "--threshold=20", str(file)]
    done = subprocess.run(rating, check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("program", "quoted"),
    [
        ("/opt/access-monitor/bin/monitor", '"/opt/access-monitor/bin/monitor"'),
        ('/opt/100% "our" $HOME\\x/monitor', r'"/opt/100%% \"our\" $$HOME\\x/monitor"'),
    ],
)
def test_program_is_named_as_systemd_reads_it(program: str, quoted: str) -> None:
    assert f"\nExecStart={quoted} run -c /etc/access-monitor/probes.yaml\n" in unit(Path(program))


@pytest.mark.parametrize(
    ("path", "hidden"),
    [("/home/a/venv/bin/monitor", True), ("/root/x", True), ("/tmp/x", True), ("/opt/x", False), ("/homes/x", False)],  # noqa: S108 - nothing is written there
)
def test_homes_and_temporary_folders_are_hidden_from_the_service(path: str, hidden: bool) -> None:  # noqa: FBT001 - a column of the table
    assert is_hidden(Path(path)) is hidden
