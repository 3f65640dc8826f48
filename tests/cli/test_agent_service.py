import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from monitor.cli.agent import command
from monitor.daemon.unit import AGENT_DATA_FOLDER, AGENT_UNIT, AGENT_UNIT_PATH, AGENT_USER_PATH, agent_unit

ENABLED = Path("etc/systemd/system/multi-user.target.wants") / AGENT_UNIT


def agent(*arguments: str | Path) -> Result:
    return CliRunner().invoke(command, [str(argument) for argument in arguments])


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A host whose agent is enrolled."""
    data = tmp_path / AGENT_DATA_FOLDER.relative_to("/")
    data.mkdir(parents=True)
    (data / "identity.json").write_text("{}")
    return tmp_path


def install(root: Path) -> Result:
    return agent("install", "--root", root, "--program", "/usr/bin/monitor")


def test_a_machine_that_is_no_agent_gets_no_service(tmp_path: Path) -> None:
    result = install(tmp_path)
    assert result.exit_code == 2
    assert "Enrol first" in result.output


def test_the_service_runs_the_agent_under_its_own_user(root: Path) -> None:
    assert install(root).exit_code == 0
    unit = (root / AGENT_UNIT_PATH.relative_to("/")).read_text()
    assert f'ExecStart="/usr/bin/monitor" agent run --data {AGENT_DATA_FOLDER}\n' in unit
    assert "\nUser=access-monitor-agent\n" in unit
    assert (root / ENABLED).readlink() == AGENT_UNIT_PATH
    subprocess.run(
        ["systemd-sysusers", f"--root={root}", root / AGENT_USER_PATH.relative_to("/")], check=True, timeout=60
    )


def test_one_command_removes_service_and_data(root: Path) -> None:
    install(root)
    result = agent("uninstall", "--root", root, "--yes")
    assert result.exit_code == 0, result.output
    assert not (root / AGENT_UNIT_PATH.relative_to("/")).exists()
    assert not (root / ENABLED).is_symlink()
    assert not (root / AGENT_DATA_FOLDER.relative_to("/")).exists()


def test_systemd_has_nothing_to_complain_about(tmp_path: Path) -> None:
    path = tmp_path / AGENT_UNIT
    path.write_text(agent_unit(Path("/bin/true")))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", path], check=False, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
