from pathlib import Path

import pytest

from monitor.config.load import load
from monitor.config.plan import limits_of, plan
from monitor.config.schema import Configuration
from monitor.config.traffic import stretch_factor, traffic
from monitor.model.measurement import Limits
from monitor.model.target import Expectation
from monitor.model.vantage import Role

TEXT = """\
defaults: {interval: 10m, body_limit: 16KiB, timeouts: {dns: 2s, total: 30s}}
vantages:
  here: {kind: direct, country: PK, asn: 17557}
  tunnel: {kind: direct, role: circumvention, interface: tun0}
  there: {kind: agent, role: control, url: "http://127.0.0.1:9443", token: "${TOKEN}"}
platforms:
  x:
    targets:
      x-home: {url: https://x.com/, expect: tls}
      x-chat: {url: https://chat.x.com/, expect: tcp, interval: 1h, vantages: [here]}
control_sites:
  debian: {url: https://www.debian.org/, expect: {status: 200, title: Debian}}
"""


def config_of(folder: Path, text: str = TEXT) -> Configuration:
    (folder / "probes.yaml").write_text(text)
    return load(folder / "probes.yaml", {"TOKEN": "secret"})


def test_targets_are_assigned_to_all_vantages_but_controls_unless_they_name_theirs(tmp_path: Path) -> None:
    found = plan(config_of(tmp_path))
    assert [
        (each.target.name, each.vantage_name, each.interval_seconds, each.is_control_site) for each in found.assignments
    ] == [
        ("x-home", "here", 600, False),
        ("x-home", "tunnel", 600, False),
        ("x-chat", "here", 3600, False),
        ("debian", "here", 600, True),
        ("debian", "tunnel", 600, True),
    ]


def test_targets_and_vantages_carry_what_the_file_says(tmp_path: Path) -> None:
    found = plan(config_of(tmp_path))
    targets = {each.target.name: each.target for each in found.assignments}
    assert targets["x-home"].expectation == Expectation(tls_only=True)
    assert targets["x-chat"].expectation == Expectation(tcp_only=True)
    assert targets["debian"].expectation == Expectation(statuses=(200,), title="Debian")
    assert (targets["x-home"].platform, targets["debian"].platform) == ("x", "control-sites")
    assert [(each.name, each.kind, each.role, each.country, each.claimed_asn) for each in found.vantages] == [
        ("here", "direct", Role.TEST, "PK", 17557),
        ("tunnel", "direct", Role.CIRCUMVENTION, None, None),
        ("there", "agent", Role.CONTROL, None, None),
    ]


def test_limits_are_those_of_the_file(tmp_path: Path) -> None:
    expected = Limits(dns_seconds=2, total_seconds=30, body_bytes=16_384)
    assert limits_of(config_of(tmp_path)) == expected


def test_traffic_counts_each_vantage_and_each_control_once(tmp_path: Path) -> None:
    lone = TEXT.replace("  tunnel: {kind: direct, role: circumvention, interface: tun0}\n", "")
    without_checks = lone + "sanity: {enabled: false}\n"
    x_home, x_chat, debian = 144 * 6000, 24 * 1000, 144 * (16_384 + 8000)
    expected = (2 * (x_home + x_chat) + debian) / 1e6
    assert traffic(config_of(tmp_path, without_checks)).mb_per_day == pytest.approx(expected)
    assert traffic(config_of(tmp_path, lone)).mb_per_day > expected


def test_traffic_counts_http3_where_every_run_tries_it(tmp_path: Path) -> None:
    always = TEXT.replace("expect: tls}", "expect: tls, quic: always}")
    more = 3 * 144 * 6000 / 1e6  # two vantages and the control
    before = traffic(config_of(tmp_path)).mb_per_day
    assert traffic(config_of(tmp_path, always)).mb_per_day == pytest.approx(before + more)
    assert plan(config_of(tmp_path, always)).assignments[0].target.quic == "always"


def test_intervals_are_stretched_just_enough_to_keep_the_ceiling(tmp_path: Path) -> None:
    free = config_of(tmp_path)
    ceiling = traffic(free).mb_per_month / 4
    capped = config_of(tmp_path, TEXT + f"data: {{monthly_mb: {ceiling:.3f}}}\n")
    factor = stretch_factor(capped)
    assert traffic(capped, factor).mb_per_month <= ceiling < traffic(capped, factor * 0.99).mb_per_month
    assert plan(capped).assignments[0].interval_seconds == pytest.approx(600 * factor)


def test_intervals_stay_as_written_below_the_ceiling(tmp_path: Path) -> None:
    assert stretch_factor(config_of(tmp_path)) == 1
    assert stretch_factor(config_of(tmp_path, TEXT + "data: {monthly_mb: 1000000}\n")) == 1
