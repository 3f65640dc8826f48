import signal
import subprocess
import sys
from pathlib import Path

from monitor.lab import Lab
from monitor.lab.stand_ins import stand_in
from tests.lab.client import get

REPOSITORY = Path(__file__).parents[2]
SHIPPED = """
platforms:
  first:
    targets:
      first-home: { url: "https://first.test/", expect: { status: 200, title: "First of all" } }
      first-images: { url: "https://images.first.test/", expect: tls }
  second:
    targets:
      second-home: https://second.test/
control_sites:
  quiet: { url: "https://quiet.test/", expect: { text: "quiet here" } }
"""


def test_every_host_of_the_file_answers_with_its_turn_of_the_statuses() -> None:
    with Lab() as lab:
        chosen = stand_in(lab, SHIPPED, [200, 403, 429])
        assert chosen == {"first.test": 200, "images.first.test": 403, "second.test": 429, "quiet.test": 200}
        answers = {host: get(lab, host) for host in chosen}
    assert {host: status for host, (status, _, _) in answers.items()} == chosen
    assert b"<title>First of all</title>" in answers["first.test"][2]
    assert b"quiet here" in answers["quiet.test"][2]


def test_the_hosts_of_the_shipped_file_are_all_there() -> None:
    with Lab() as lab:
        hosts = stand_in(lab, (REPOSITORY / "probes.yaml").read_text(), [200])
        assert {get(lab, host)[0] for host in hosts} == {200}
    assert "x.com" in hosts


def test_the_laboratory_runs_in_the_foreground_until_told_to_end(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "monitor.lab", str(tmp_path), "--scenario", "tls-reset"]
    with subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        first = process.stdout.readline()
        while "Ctrl-C" not in process.stdout.readline():
            pass
        assert "platform.lab.test" in (tmp_path / "probes.yaml").read_text()
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=30) == 0
    assert first.startswith("tls-reset: Expected(statuses=('blocked',)")
