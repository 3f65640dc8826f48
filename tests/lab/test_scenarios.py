import socket
from pathlib import Path

import pytest

from monitor.config.load import load
from monitor.lab import Lab
from monitor.lab.configuration import Agent, moved_into, probes_yaml
from monitor.lab.scenarios import SCENARIOS, Expected, Scenario, confirmed, inconclusive
from monitor.model.verdict import Reason, Status

REPOSITORY = Path(__file__).parents[2]


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_a_scenario_can_be_arranged_and_configured(lab: Lab, scenario: Scenario, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("a token of the laboratory")
    agent = Agent("https://127.0.0.1:8443", tmp_path / "token", "0" * 64) if scenario.control else None
    file = tmp_path / "probes.yaml"
    targets = {scenario.name: scenario.prepare(lab)}
    file.write_text(probes_yaml(lab, targets, database=tmp_path / "monitor.db", control=agent))
    config = load(file, {})
    assert list(config.platforms["lab"].targets) == [scenario.name]
    assert ("control" in config.vantages) == scenario.control


def test_scenarios_have_names_of_their_own_and_expect_words_of_the_vocabulary() -> None:
    assert len({scenario.name for scenario in SCENARIOS}) == len(SCENARIOS)
    for scenario in SCENARIOS:
        assert set(scenario.expected.statuses) <= set(Status)
        assert scenario.expected.reason is None or scenario.expected.reason in set(Reason)


@pytest.mark.parametrize(
    ("expected", "verdict", "differences"),
    [
        (confirmed("tls.reset[.sni]"), ("blocked", "confirmed", ["tls.reset.sni"], None), 0),
        (confirmed("tls.reset[.sni]"), ("blocked", "confirmed", ["tls.reset"], None), 1),
        (confirmed("dns.bogon(.name)"), ("blocked", "confirmed", ["dns.bogon"], None), 0),
        (confirmed("dns.bogon(.name)"), ("blocked", "confirmed", ["dns.bogon.name"], None), 0),
        (confirmed("dns.bogon(.name)"), ("blocked", "likely", ["dns.bogon", "tcp.timeout"], None), 2),
        (inconclusive("no_control"), ("inconclusive", None, [], "challenge"), 1),
        (Expected(("accessible", "down")), ("down", None, [], None), 0),
        (Expected(("accessible", "down")), ("blocked", "likely", ["tcp.reset"], None), 2),
    ],
)
def test_verdicts_are_compared_in_the_notation_of_the_catalogue(
    expected: Expected, verdict: tuple[object, ...], differences: int
) -> None:
    named = dict(zip(("status", "confidence", "mechanisms", "reason"), verdict, strict=True))
    assert len(expected.differences(named)) == differences


def test_the_shipped_targets_can_be_moved_into_the_laboratory(lab: Lab, tmp_path: Path) -> None:
    shipped = REPOSITORY / "probes.yaml"
    file = tmp_path / "probes.yaml"
    file.write_text(moved_into(lab, shipped.read_text(), database=tmp_path / "monitor.db"))
    assert load(file, {}).platforms == load(shipped, {}).platforms


def test_ports_wanted_are_ports_had() -> None:
    with socket.socket() as first, socket.socket() as second:
        for each in (first, second):
            each.bind(("127.0.0.1", 0))
        http_port, https_port = first.getsockname()[1], second.getsockname()[1]
    with Lab(http_port=http_port, https_port=https_port) as lab:
        assert (lab.ports.http, lab.ports.https) == (http_port, https_port)
