"""Vantages that are lent, as probes.yaml writes them: what is refused, who measures what, and what it costs."""

from pathlib import Path

import pytest

from monitor.config.demand import demands
from monitor.config.load import load
from monitor.config.plan import plan
from monitor.config.problem import ConfigError
from monitor.config.schema import Configuration
from monitor.config.traffic import traffic

FILE = """\
vantages:
  here: {kind: direct}
  lent: {kind: globalping, country: PK, targets: [x-home]}
  far: {kind: ripe_atlas, country: PK, token: "${KEY}", targets: [x-home]}
platforms:
  x:
    targets:
      x-home: {url: "https://x.com/", expect: tls}
      x-page: {url: "https://x.com/page"}
control_sites:
  debian: {url: "https://www.debian.org/", expect: {status: 200}}
"""
ENVIRON = {"KEY": "a-key"}


def loaded(folder: Path, *changes: tuple[str, str]) -> Configuration:
    text = FILE
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    (folder / "probes.yaml").write_text(text)
    return load(folder / "probes.yaml", ENVIRON)


def problems(folder: Path, *changes: tuple[str, str]) -> list[str]:
    with pytest.raises(ConfigError) as refused:
        loaded(folder, *changes)
    return [str(problem).removeprefix(f"{folder}/probes.yaml:") for problem in refused.value.problems]


def test_a_service_measures_what_it_lists_at_its_own_pace(tmp_path: Path) -> None:
    config = loaded(
        tmp_path, ("expect: tls}", "expect: tls, interval: 2h}"), ("[x-home]}\n  far", "[x-home, debian]}\n  far")
    )
    assigned = {(one.target.name, one.vantage_name): one.interval_seconds for one in plan(config).assignments}
    assert assigned == {
        ("x-home", "here"): 7200,
        ("x-home", "lent"): 7200,  # the target's own pace is slower
        ("x-home", "far"): 7200,
        ("x-page", "here"): 300,
        ("debian", "here"): 300,
        ("debian", "lent"): 3600,
    }


def test_what_services_measure_is_no_traffic_of_ours(tmp_path: Path) -> None:
    lent = loaded(tmp_path)
    alone = loaded(
        tmp_path,
        ("  lent: {kind: globalping, country: PK, targets: [x-home]}\n", ""),
        ('  far: {kind: ripe_atlas, country: PK, token: "${KEY}", targets: [x-home]}\n', ""),
    )
    assert traffic(lent) == traffic(alone)


def test_demand_counts_check_lookup_and_visit_of_every_round(tmp_path: Path) -> None:
    found = {one.vantage: (one.needed, one.unit, one.window) for one in demands(loaded(tmp_path))}
    assert found == {"lent": (3, "tests", "hour"), "far": (1440, "credits", "day")}


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "targets: [x-home]}\n  far",
            "targets: [x-home], interval: 5m, tests_per_hour: 20}\n  far",
            (
                "3: vantages.lent.interval: the schedule asks for 36 tests an hour where 20 are allowed; list fewer"
                " targets or lengthen the interval"
            ),
        ),
        (
            "targets: [x-home]}\n  far",
            "targets: [x-hone]}\n  far",
            "3: vantages.lent.targets.0: unknown target 'x-hone'; did you mean 'x-home'?",
        ),
        (
            "targets: [x-home]}\n  far",
            "targets: [x-home], interval: 1m}\n  far",
            (
                "3: vantages.lent.interval: 1m is below the polite floor of 5m; defaults.allow_fast_interval: true is"
                " for lines of your own"
            ),
        ),
        (
            "targets: [x-home]}\n  far",
            "targets: [x-home], tests_per_hour: 251}\n  far",
            "3: vantages.lent: tests_per_hour: 251 needs a token; without one Globalping grants 250",
        ),
        (
            "here: {kind: direct}",
            "here: {kind: direct}\n  more: {kind: globalping, country: PK, targets: [x-home], tests_per_hour: 200}",
            (
                "4: vantages.lent.tests_per_hour: more, lent share one account and may spend 300 tests an hour where"
                " the service grants 250"
            ),
        ),
        (
            ", targets: [x-home]}\nplatforms",
            ", targets: [x-page]}\nplatforms",
            (
                "4: vantages.far.targets.0: x-page expects a page, which RIPE Atlas cannot see; only expect: tls or tcp"
                " can be measured"
            ),
        ),
        (
            "targets: [x-home]}\n  far",
            "targets: []}\n  far",
            "3: vantages.lent: a service measures only the targets that it lists: give targets",
        ),
        (
            "globalping, country: PK, targets",
            "globalping, role: control, country: PK, targets",
            "3: vantages.lent: a control is asked for every target, so targets cannot be chosen",
        ),
        (
            "globalping, country: PK,",
            "globalping, role: circumvention, country: PK,",
            "3: vantages.lent: a service's probes are no way around a block: role must be test or control",
        ),
        ("globalping, country: PK,", "globalping,", "3: vantages.lent.country: missing"),
        (
            "globalping, country: PK,",
            "globalping, country: PK, base_url: 'http://api.example.org',",
            (
                "3: vantages.lent.base_url: must begin with https; plain http is for this machine only, not"
                " 'http://api.example.org'"
            ),
        ),
        (
            "globalping, country: PK,",
            "globalping, country: PK, resolvers: udp://9.9.9.9,",
            "3: vantages.lent: the probe's own resolver is asked, so resolvers cannot be chosen",
        ),
        (
            'x-page: {url: "https://x.com/page"}',
            'x-page: {url: "https://x.com/page", vantages: [lent]}',
            (
                "9: platforms.x.targets.x-page.vantages.0: lent is a service, which lists its targets itself:"
                " vantages.lent.targets"
            ),
        ),
    ],
)  # fmt: skip
def test_what_a_service_cannot_do_is_refused(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert message in problems(tmp_path, (old, new))


def test_a_key_is_not_written_into_the_file(tmp_path: Path) -> None:
    (said,) = problems(tmp_path, ('"${KEY}"', "0123-secret"))
    assert "must not be written into the file" in said
    assert "0123-secret" not in said
