"""Which target is measured from which vantage, as the file asks for it."""

from collections.abc import Iterator

import msgspec

from monitor.config.schema import CONTROL_SITES_PLATFORM, Configuration, ServiceOptions, TargetConfig
from monitor.model.target import Expectation, Target
from monitor.model.vantage import Role


class Assignment(msgspec.Struct, frozen=True, kw_only=True):
    """A target to be measured from a vantage, over and over."""

    target: Target
    vantage_name: str
    interval_seconds: float
    is_control_site: bool = False


def targets_of(config: Configuration) -> Iterator[tuple[Target, TargetConfig]]:
    """Yield every target in the order of the file, control sites last, under the platform `control-sites`."""
    for platform, its in config.platforms.items():
        for name, written in its.targets.items():
            yield _target(name, platform, written), written
    for name, written in config.control_sites.items():
        yield _target(name, CONTROL_SITES_PLATFORM, written), written


def assignments(config: Configuration) -> Iterator[Assignment]:
    """Yield each target with each of its vantages; controls are asked on demand and have no assignments.

    A service measures what it lists itself, at its own pace or the target's, whichever is slower.
    """
    asked = {name: vantage for name, vantage in config.vantages.items() if vantage.role is not Role.CONTROL}
    services = {name: vantage for name, vantage in asked.items() if isinstance(vantage, ServiceOptions)}
    everywhere = tuple(name for name in asked if name not in services)
    for target, written in targets_of(config):
        interval = written.interval or config.defaults.interval
        paces = dict.fromkeys(written.vantages or everywhere, interval)
        paces |= {name: max(interval, one.interval) for name, one in services.items() if target.name in one.targets}
        for vantage, seconds in paces.items():
            yield Assignment(
                target=target,
                vantage_name=vantage,
                interval_seconds=seconds,
                is_control_site=target.platform == CONTROL_SITES_PLATFORM,
            )


def _target(name: str, platform: str, written: TargetConfig) -> Target:
    expect = written.expect
    expectation = Expectation(
        tls_only=expect.until == "tls",
        tcp_only=expect.until == "tcp",
        statuses=expect.status,
        title=expect.title,
        text=expect.text,
        final_host=expect.final_host,
    )
    return Target(
        name=name, platform=platform, url=written.url, probe=written.probe, expectation=expectation, quic=written.quic
    )
