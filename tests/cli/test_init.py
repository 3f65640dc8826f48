import json
import os
import pty
import subprocess
import sys
from pathlib import Path

from monitor.config.load import load

COMMAND = [sys.executable, "-m", "monitor", "init"]


def init(*arguments: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [*COMMAND, *map(str, arguments)]
    return subprocess.run(
        command, cwd=cwd, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=60
    )


def at_terminal(answer: bytes, cwd: Path) -> tuple[int, str]:
    """Run `monitor init` with a terminal as its standard input, where somebody types `answer`."""
    ours, theirs = pty.openpty()
    try:
        os.write(ours, answer)
        ran = subprocess.run(COMMAND, cwd=cwd, stdin=theirs, capture_output=True, text=True, check=False, timeout=60)
    finally:
        os.close(ours)
        os.close(theirs)
    return ran.returncode, ran.stdout + ran.stderr


def how_accepted(folder: Path) -> str:
    return str(json.loads((folder / "data/risks-accepted.json").read_text())["how"])


def test_written_file_is_sound(tmp_path: Path) -> None:
    ran = init("new/folder", cwd=tmp_path)
    assert ran.returncode == 0
    assert "BEFORE YOU START" in ran.stderr
    assert how_accepted(tmp_path / "new/folder") == "no-terminal"
    checked = subprocess.run(
        [sys.executable, "-m", "monitor", "check", "-c", "new/folder/probes.yaml"],
        cwd=tmp_path,
        check=False,
        timeout=60,
    )
    assert checked.returncode == 0


def test_existing_file_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "probes.yaml").write_text("mine")
    ran = init(cwd=tmp_path)
    assert ran.returncode == 2
    assert "exists already" in ran.stderr
    assert (tmp_path / "probes.yaml").read_text() == "mine"


def test_dangling_link_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "probes.yaml").symlink_to(tmp_path / "elsewhere")
    assert init(cwd=tmp_path).returncode == 2
    assert not (tmp_path / "elsewhere").exists()


def test_option_counts_as_acceptance(tmp_path: Path) -> None:
    assert init("--accept-risks", cwd=tmp_path).returncode == 0
    assert how_accepted(tmp_path) == "option"


def test_person_at_a_terminal_is_asked(tmp_path: Path) -> None:
    status, shown = at_terminal(b"y\n", tmp_path)
    assert status == 0
    assert "شروع کرنے سے پہلے" in shown
    assert how_accepted(tmp_path) == "terminal"


def test_person_who_declines_gets_nothing(tmp_path: Path) -> None:
    status, shown = at_terminal(b"n\n", tmp_path)
    assert status == 2
    assert "Nothing was written." in shown
    assert list(tmp_path.iterdir()) == []


def test_accepted_text_is_not_shown_again(tmp_path: Path) -> None:
    init(cwd=tmp_path)
    (tmp_path / "probes.yaml").unlink()
    assert "BEFORE YOU START" not in init(cwd=tmp_path).stderr


def test_folder_that_cannot_be_made_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    ran = init("file/folder", cwd=tmp_path)
    assert ran.returncode == 2
    assert "Traceback" not in ran.stderr


def test_a_lent_control_is_offered_and_written(tmp_path: Path) -> None:
    assert "--control globalping" in init("plain", cwd=tmp_path).stdout
    ran = init("lent", "--control", "globalping", cwd=tmp_path)
    assert ran.returncode == 0
    vantages = load(tmp_path / "lent/probes.yaml", {}).vantages
    assert (vantages["lent-control"].kind, vantages["lent-control"].role) == ("globalping", "control")
