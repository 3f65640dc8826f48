import subprocess
import sys
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


# PR_SET_MDWE of prctl(2), from Linux 6.3 on, is what MemoryDenyWriteExecute does to a process. An older kernel knows it
# not, and the rest is then a plain run.
WITHOUT_WRITABLE_CODE = """
import ctypes, mmap, time
if ctypes.CDLL(None).prctl(65, 1, 0, 0, 0) == 0:
    try:
        mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    except PermissionError:
        pass
    else:
        raise SystemExit("the prohibition has no effect")
import ssl, trustme
import monitor.cli.run
from monitor.model.pattern import is_found
from monitor.network.certificates import TrustStore

authority = trustme.CA()
leaf = ssl.PEM_cert_to_DER_cert(authority.issue_cert("x.lab.test").cert_chain_pems[0].bytes().decode())
assert TrustStore(authority.cert_pem.bytes()).report([leaf], ("leaf",), "x.lab.test", time.time()).failures == ()
assert is_found("a+b", b"aab")
"""


def test_daemon_needs_no_memory_that_is_writable_and_executable() -> None:
    program = [sys.executable, "-c", WITHOUT_WRITABLE_CODE]
    done = subprocess.run(program, check=False, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
