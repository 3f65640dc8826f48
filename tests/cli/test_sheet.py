"""Lists on terminals of any width."""

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest


def on_terminal(*arguments: str, columns: int, cwd: Path) -> str:
    """Return what the command prints on a terminal that is `columns` wide."""
    ours, its = pty.openpty()
    environ = {**os.environ, "COLUMNS": str(columns), "NO_COLOR": "1", "TERM": "xterm"}
    process = subprocess.Popen(
        [sys.executable, "-m", "monitor", *arguments], stdin=its, stdout=its, stderr=its, cwd=cwd, env=environ
    )
    os.close(its)
    text = b""
    try:
        while part := os.read(ours, 65_536):
            text += part
    except OSError:  # how Linux says that nobody holds the other end any more
        pass
    os.close(ours)
    assert process.wait(timeout=60) == 0
    return text.decode()


@pytest.mark.parametrize("columns", [40, 60, 100, 120, 200])
def test_no_identifier_is_cut_or_broken_however_narrow_the_terminal_is(columns: int, tmp_path: Path) -> None:
    listed = on_terminal("events", "list", "--country", "pk", "--platform", "x", columns=columns, cwd=tmp_path)
    assert "pk-x-block-2024" in listed.split()
    assert "…" not in listed


def test_a_table_is_narrowed_between_words_before_it_becomes_blocks(tmp_path: Path) -> None:
    wide = on_terminal("events", "list", "--country", "PK", columns=140, cwd=tmp_path)
    assert wide.splitlines()[0].split()[:2] == ["from", "(UTC)"]
    assert max(map(len, wide.splitlines())) <= 140
    narrow = on_terminal("events", "list", "--country", "PK", columns=60, cwd=tmp_path)
    assert "event         pk-x-block-2024" in narrow.splitlines()


def test_lines_in_a_pipe_are_whole_and_end_without_blanks(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "monitor", "events", "list", "--country", "PK"]
    lines = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path).stdout.splitlines()
    assert [line for line in lines if line != line.rstrip()] == []
    assert all(" PK " in line for line in lines[1:])
