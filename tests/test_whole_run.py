"""A run of tests that is shared out among workers passes only if each test was run, by a worker that lived."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOUND = "def test_sound(): pass\n"
SKIPPED = "import pytest\n@pytest.mark.skip\ndef test_left_out(): pass\n"
KILLED = "import os, signal\ndef test_killed(): os.kill(os.getpid(), signal.SIGKILL)\n"
KILLED_AT_THE_END = """import os, signal, pytest
@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session):
    if getattr(session.config, "workerinput", {}).get("workerid") == "gw0":
        os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize(
    ("files", "exit_status", "told"),
    [
        ({"test_two": SOUND}, 0, "2 passed"),
        ({"test_two": SKIPPED}, 1, "Skipped tests fail this run"),
        ({"test_two": KILLED}, 1, "crashed while running"),
        ({"conftest": KILLED_AT_THE_END}, 1, "Worker gw0 died, which fails this run"),
    ],
    ids=["sound", "skipped", "killed in a test", "killed after its tests"],
)
def test_a_run_passes_only_if_nothing_was_left_out_and_no_worker_died(
    tmp_path: Path, files: dict[str, str], exit_status: int, told: str
) -> None:
    for name, text in {"test_one": SOUND, **files}.items():
        (tmp_path / f"{name}.py").write_text(text)
    options = ("-p", "tests.refuse_skips", "-p", "no:cacheprovider", "-n", "2", "--rootdir", str(tmp_path))
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, str(tmp_path)],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == exit_status, done.stdout + done.stderr
    assert told in done.stdout
