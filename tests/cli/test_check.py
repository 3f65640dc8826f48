import json
import os
import subprocess
import sys
from pathlib import Path

SOUND = "vantages: {here: {kind: direct}}\nplatforms: {x: {targets: {x-home: {url: https://x.com/, expect: tls}}}}\n"


def monitor(*arguments: str | Path, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "monitor", *map(str, arguments)]
    return subprocess.run(
        command, cwd=cwd, env=os.environ | variables, capture_output=True, text=True, check=False, timeout=60
    )


def test_sound_file_is_summed_up(tmp_path: Path) -> None:
    (tmp_path / "probes.yaml").write_text(SOUND)
    ran = monitor("check", cwd=tmp_path)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert (
        "Platforms 1, targets 1, control sites 0; vantages 1, of them controls 0; fingerprints of block pages 20, "
        "regulatory events 74." in ran.stdout
    )
    assert "MB per day" in ran.stdout
    assert "an address block cannot be told from an outage" in ran.stdout


def test_summary_is_available_as_json(tmp_path: Path) -> None:
    (tmp_path / "other.yaml").write_text(SOUND + "data: {monthly_mb: 100}\n")
    ran = monitor("check", "-c", "other.yaml", "--json", cwd=tmp_path)
    summary = json.loads(ran.stdout)
    assert ran.returncode == 0
    assert (summary["platforms"], summary["targets"], summary["vantages"]) == (1, 1, 1)
    assert summary["stretch_factor"] > 1
    assert summary["mb_per_month"] <= summary["monthly_mb"] == 100


def test_stretched_intervals_are_announced(tmp_path: Path) -> None:
    (tmp_path / "probes.yaml").write_text(SOUND + "data: {monthly_mb: 100}\n")
    assert "so that data.monthly_mb: 100 holds" in monitor("check", cwd=tmp_path).stdout


def test_every_problem_is_a_line_on_stderr_and_the_exit_is_2(tmp_path: Path) -> None:
    (tmp_path / "probes.yaml").write_text(SOUND + "defaults: {interval: 1m}\nservr: {}\n")
    ran = monitor("check", cwd=tmp_path)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert [line.split(": ")[:2] for line in ran.stderr.splitlines()] == [
        ["probes.yaml:3", "defaults.interval"],
        ["probes.yaml:4", "servr"],
    ]


def test_problems_are_available_as_json(tmp_path: Path) -> None:
    ran = monitor("check", "--json", cwd=tmp_path)
    (problem,) = json.loads(ran.stdout)["problems"]
    assert ran.returncode == 2
    assert problem == {
        "file": "probes.yaml",
        "line": 1,
        "key": "",
        "message": "cannot be read: No such file or directory; `monitor init` writes one, -c FILE names another",
    }


def test_variables_come_from_the_environment(tmp_path: Path) -> None:
    (tmp_path / "probes.yaml").write_text(SOUND + "server: {token: '${TOKEN}'}\n")
    assert monitor("check", cwd=tmp_path, TOKEN="hunter2").returncode == 0  # noqa: S106 - a made-up secret
    assert monitor("check", cwd=tmp_path).returncode == 2


def test_unknown_command_and_option_are_usage_errors(tmp_path: Path) -> None:
    assert monitor("chek", cwd=tmp_path).returncode == 2
    assert monitor("check", "--nonsense", cwd=tmp_path).returncode == 2


def test_help_lists_the_commands(tmp_path: Path) -> None:
    ran = monitor("--help", cwd=tmp_path)
    assert ran.returncode == 0
    assert "check" in ran.stdout
    assert "init" in ran.stdout


def test_what_services_are_asked_for_is_counted(tmp_path: Path) -> None:
    lent = "lent: {kind: globalping, country: PK, targets: x-home, interval: 30m}"
    (tmp_path / "probes.yaml").write_text(SOUND.replace("here:", f"{lent}, here:"))
    ran = monitor("check", cwd=tmp_path)
    assert "lent asks for 6 of 100 tests an hour in routine rounds; a deep run takes about 25.\n" in ran.stdout
    summary = json.loads(monitor("check", "--json", cwd=tmp_path).stdout)
    assert summary["services"] == [
        {"vantage": "lent", "unit": "tests", "window": "hour", "needed": 6, "allowed": 100, "step_units": 1}
    ]
