from datetime import datetime, timedelta
from typing import Final

import msgspec
from prometheus_client.parser import text_string_to_metric_families

from monitor.exporter.exporter import Exporter
from monitor.exporter.exposition import Format
from monitor.model.rollup import RollupRule
from monitor.model.target import Target
from monitor.model.vantage import NetworkIdentity, Role, VantageInfo
from monitor.model.verdict import Verdict
from tests.fakes.outcomes import ACCESSIBLE, BLOCKED, ISP, LAHORE, NOW, OFFLINE, X_HOME, outcome, recording

IMAGES: Final = Target(name="x-images", platform="x", url="https://pbs.twimg.com/")
KARACHI: Final = VantageInfo(name="karachi", kind="direct", country="PK")
JAZZ: Final = NetworkIdentity(asn=45669, name="Jazz")
PLATFORM_OF: Final = {"x-home": "x", "x-images": "x"}


class Watch:
    """An exporter fed with verdicts, and what it says about platforms."""

    def __init__(self, rule: RollupRule | None = None) -> None:
        self.exporter = Exporter(version="0.1.0", rules_version=1)
        self.exporter.platforms({"x": rule or RollupRule()}, PLATFORM_OF)

    def see(
        self,
        verdict: Verdict | None,
        target: Target = X_HOME,
        vantage: VantageInfo = LAHORE,
        network: NetworkIdentity = ISP,
        at: datetime = NOW,
    ) -> None:
        one = recording(target=target, vantage=vantage.name)
        measurement = msgspec.structs.replace(one.measurement, network=network, started_at=at)
        self.exporter.observe(
            outcome(verdict, msgspec.structs.replace(one, measurement=measurement)), target, vantage, 300
        )

    def said(self, name: str, now: datetime = NOW) -> dict[tuple[str, ...], float]:
        self.exporter.roll_up(now)
        families = text_string_to_metric_families(self.exporter.render(Format.TEXT).decode())
        return {
            tuple(sample.labels.values()): sample.value
            for family in families
            for sample in family.samples
            if sample.name == f"access_platform_{name}"
        }

    def status(self, now: datetime = NOW) -> list[str]:
        return [labels[-1] for labels, value in self.said("status", now).items() if value]


def test_networks_and_vantages_of_a_country_are_counted() -> None:
    watch = Watch(RollupRule(networks=1))
    watch.see(BLOCKED)
    watch.see(ACCESSIBLE, vantage=KARACHI, network=JAZZ)
    assert watch.status() == ["blocked"]
    assert watch.said("partial") == {("x", "PK"): 1}
    networks = watch.said("networks")
    assert {labels[-1]: count for labels, count in networks.items() if count} == {"blocked": 1, "accessible": 1}
    assert watch.said("accessible") == {("x", "karachi", "PK"): 1, ("x", "lahore", "PK"): 0}


def test_every_status_of_a_platform_has_a_sample() -> None:
    watch = Watch()
    watch.see(BLOCKED)
    assert len(watch.said("status")) == len(watch.said("networks")) == 6
    assert sum(watch.said("status").values()) == 1


def test_inconclusive_is_neither_accessible_nor_not() -> None:
    watch = Watch()
    watch.see(OFFLINE)
    assert watch.status() == ["inconclusive"]
    assert watch.said("accessible") == watch.said("partial") == {}


def test_a_target_that_is_measured_no_more_stops_counting_with_time_alone() -> None:
    watch = Watch(RollupRule(all_of=("x-home",)))
    watch.see(BLOCKED)
    assert watch.status(NOW + timedelta(seconds=900)) == ["blocked"]
    assert watch.status(NOW + timedelta(seconds=901)) == ["inconclusive"]
    watch.see(BLOCKED, at=NOW + timedelta(seconds=950))
    assert watch.status(NOW + timedelta(seconds=960)) == ["blocked"]


def test_controls_circumvention_and_control_sites_take_no_part() -> None:
    watch = Watch()
    for role in (Role.CONTROL, Role.CIRCUMVENTION):
        watch.see(ACCESSIBLE, vantage=VantageInfo(name=role.value, kind="direct", country="PK", role=role))
    watch.see(ACCESSIBLE, target=Target(name="debian", platform="control-sites", url="https://www.debian.org/"))
    watch.see(None)
    assert watch.said("status") == {}


def test_what_is_forgotten_or_moved_to_another_platform_counts_no_more() -> None:
    watch = Watch()
    watch.see(BLOCKED)
    watch.see(ACCESSIBLE, target=IMAGES)
    assert watch.said("partial") == {("x", "PK"): 1}
    watch.exporter.platforms({"x": RollupRule()}, {"x-home": "x", "x-images": "other"})
    assert watch.said("partial") == {("x", "PK"): 0}
    watch.exporter.forget("x-home", "lahore")
    assert watch.said("status") == {}
    watch.see(BLOCKED)
    watch.exporter.forget_vantage("lahore")
    assert watch.said("status") == {}


def test_a_rule_that_changes_is_used_at_once() -> None:
    watch = Watch(RollupRule(all_of=("x-images",)))
    watch.see(BLOCKED)
    watch.see(ACCESSIBLE, target=IMAGES)
    assert watch.status() == ["accessible"]
    watch.exporter.platforms({"x": RollupRule(all_of=("x-home",))}, PLATFORM_OF)
    assert watch.status() == ["blocked"]
