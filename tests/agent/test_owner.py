from datetime import UTC, datetime
from pathlib import Path

import pytest

from monitor.agent.owner import Owner, load_owner
from monitor.config.problem import ConfigError
from monitor.model.target import Target


def owner(folder: Path, text: str) -> Owner:
    path = folder / "agent.yaml"
    path.write_text(text)
    return load_owner(path)


def target(url: str, name: str = "x-home", platform: str = "x") -> Target:
    return Target(name=name, platform=platform, url=url)


def test_without_a_file_or_with_an_empty_one_nothing_is_forbidden(tmp_path: Path) -> None:
    assert load_owner(tmp_path / "agent.yaml") == Owner() == owner(tmp_path, "# nothing\n")


def test_every_mistake_is_told_at_once_with_its_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as raised:
        owner(
            tmp_path,
            "deny:\n"
            "  target: x-home\n"
            "quiet_hours:\n"
            "  - {start: '23:00', end: '7', zone: Asia/Lahore}\n"
            "daily_limit: lots\n"
            "off: [everything]\n"
            "rounds_per_minute: 0\n",
        )
    told = [str(one).removeprefix(f"{tmp_path}/") for one in raised.value.problems]
    assert [line.split(": ")[0] for line in told] == [f"agent.yaml:{line}" for line in (2, 4, 4, 5, 6, 7)]
    assert "deny.target: unknown key" in told[0]
    assert "quiet_hours.0.end: must be a time of day such as 22:00, not '7'" in told[1] + told[2]


@pytest.mark.parametrize(
    ("written", "url", "why"),
    [
        ("{}", "https://x.com/", None),
        ("deny: {targets: x-home}", "https://x.com/", "denied"),
        ("deny: {platforms: [x]}", "https://x.com/", "denied"),
        ("deny: {hosts: x.com}", "https://api.x.com/", "denied"),
        ("deny: {hosts: x.com}", "https://x.com./", "denied"),
        ("deny: {hosts: x.com}", "https://notx.com/", None),
        ("off: cleartext", "http://x.com/", "cleartext is off"),
        ("{}", "https://x.com:8443/", None),
        ("{}", "http://x.com:25/", "port 25 is none of the web's"),
        ("{}", "https://192.168.1.1/", "not a public address"),
        ("{}", "https://[fe80::1]/", "not a public address"),
        ("{}", "https://[::ffff:192.168.1.1]/", "not a public address"),
        ("allow_addresses: 192.168.0.0/16", "https://192.168.1.1/", None),
        ("{}", "https://1.1.1.1/", None),
    ],
)
def test_veto(tmp_path: Path, written: str, url: str, why: str | None) -> None:
    assert owner(tmp_path, written).veto(target(url)) == why


@pytest.mark.parametrize(
    ("hour", "minute", "is_quiet"), [(17, 59, False), (18, 0, True), (23, 0, True), (1, 59, True), (2, 0, False)]
)
def test_quiet_hours_are_local_and_reach_over_midnight(tmp_path: Path, hour: int, minute: int, is_quiet: bool) -> None:  # noqa: FBT001 - a table
    quiet = owner(tmp_path, "quiet_hours: [{start: '23:00', end: '07:00', zone: Asia/Karachi}]")
    assert quiet.is_quiet(datetime(2026, 11, 27, hour, minute, tzinfo=UTC)) is is_quiet
