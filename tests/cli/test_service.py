import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from monitor.cli._host import obstacle
from monitor.cli.service import command
from monitor.config.load import load
from monitor.daemon.unit import CONFIGURATION_PATH, DATABASE_PATH, UNIT, UNIT_PATH, USER_PATH

ENABLED = Path("etc/systemd/system/multi-user.target.wants") / UNIT


def service(*arguments: str | Path) -> Result:
    return CliRunner().invoke(command, [str(argument) for argument in arguments])


def install(root: Path, program: str = "/usr/bin/monitor") -> Result:
    return service("install", "--root", root, "--program", program)


def under(root: Path, path: Path) -> Path:
    return root / path.relative_to("/")


def test_install_writes_unit_user_and_configuration_and_enables_the_service(tmp_path: Path) -> None:
    assert install(tmp_path).exit_code == 0
    assert 'ExecStart="/usr/bin/monitor" run' in under(tmp_path, UNIT_PATH).read_text()
    assert under(tmp_path, USER_PATH).read_text().startswith("u access-monitor ")
    assert (tmp_path / ENABLED).readlink() == UNIT_PATH
    assert under(tmp_path, CONFIGURATION_PATH).stat().st_mode & 0o777 == 0o640


def test_installed_configuration_is_valid_and_keeps_its_data_in_the_fixed_folder(tmp_path: Path) -> None:
    install(tmp_path)
    assert load(under(tmp_path, CONFIGURATION_PATH), {}).storage.path == DATABASE_PATH


def test_user_is_one_that_systemd_can_create(tmp_path: Path) -> None:
    install(tmp_path)
    subprocess.run(["systemd-sysusers", f"--root={tmp_path}", under(tmp_path, USER_PATH)], check=True, timeout=60)
    assert "\naccess-monitor:x:" in "\n" + (tmp_path / "etc/passwd").read_text()
    assert "\naccess-monitor:x:" in "\n" + (tmp_path / "etc/group").read_text()


def test_installing_again_renews_the_unit_and_leaves_the_configuration_alone(tmp_path: Path) -> None:
    install(tmp_path, "/usr/bin/old")
    under(tmp_path, CONFIGURATION_PATH).write_text("mine")
    assert install(tmp_path, "/usr/bin/new").exit_code == 0
    assert '"/usr/bin/new"' in under(tmp_path, UNIT_PATH).read_text()
    assert under(tmp_path, CONFIGURATION_PATH).read_text() == "mine"


@pytest.mark.parametrize("program", ["/root/venv/bin/monitor", "/home/a/../b/monitor", "venv/bin/monitor"])
def test_program_that_the_service_could_not_see_is_refused(tmp_path: Path, program: str) -> None:
    result = install(tmp_path, program)
    assert result.exit_code == 2
    assert f"cannot see {program}" in result.output
    assert not list(tmp_path.iterdir())


def test_status_tells_installed_from_not_installed(tmp_path: Path) -> None:
    assert service("status", "--root", tmp_path).exit_code == 2
    install(tmp_path)
    result = service("status", "--root", tmp_path)
    assert result.exit_code == 0
    assert str(under(tmp_path, DATABASE_PATH)) in result.output


def test_uninstall_removes_the_service_and_keeps_what_was_measured(tmp_path: Path) -> None:
    install(tmp_path)
    database = under(tmp_path, DATABASE_PATH)
    database.parent.mkdir(parents=True)
    database.write_bytes(b"years")
    assert service("uninstall", "--root", tmp_path).exit_code == 0
    assert not under(tmp_path, UNIT_PATH).exists()
    assert not (tmp_path / ENABLED).is_symlink()
    assert database.read_bytes() == b"years"
    assert under(tmp_path, CONFIGURATION_PATH).exists()
    assert service("uninstall", "--root", tmp_path).exit_code == 2


def test_systemd_that_refuses_is_quoted(tmp_path: Path) -> None:
    (tmp_path / ENABLED).mkdir(parents=True)  # a folder where the link belongs
    result = install(tmp_path)
    assert result.exit_code == 2
    assert "systemctl enable" in result.output


@pytest.mark.parametrize(
    ("is_root", "has_systemd", "says"),
    [(True, True, None), (False, True, "sudo"), (True, False, "monitor run -c"), (False, False, "monitor run -c")],
)
def test_without_root_or_systemd_the_way_out_is_named(*, is_root: bool, has_systemd: bool, says: str | None) -> None:
    reason = obstacle(is_root=is_root, has_systemd=has_systemd)
    assert reason is None if says is None else says in str(reason)
