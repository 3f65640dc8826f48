"""Configuration → what the daemon does: who measures what and how often, and within which bounds."""

import msgspec

from monitor.config.assignment import Assignment, assignments
from monitor.config.schema import Configuration
from monitor.config.traffic import stretch_factor
from monitor.model.measurement import Limits
from monitor.model.rollup import RollupRule
from monitor.model.vantage import VantageInfo


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """The assignments with their intervals stretched to keep `data.monthly_mb`, and every vantage."""

    assignments: tuple[Assignment, ...]
    vantages: tuple[VantageInfo, ...]


def plan(config: Configuration) -> Plan:
    """Return who measures what, in the order of the file."""
    factor = stretch_factor(config)
    return Plan(
        assignments=tuple(
            msgspec.structs.replace(each, interval_seconds=each.interval_seconds * factor)
            for each in assignments(config)
        ),
        vantages=tuple(
            VantageInfo(name=name, kind=each.kind, role=each.role, country=each.country, claimed_asn=each.asn)
            for name, each in config.vantages.items()
        ),
    )


def rollup_rule_of(config: Configuration, platform: str) -> RollupRule:
    """Return how the platform's verdict follows from those on its targets."""
    usual, own = config.defaults.rollup, config.platforms[platform].rollup
    return RollupRule(
        all_of=own.all_of,
        any_of=own.any_of,
        networks=own.networks or usual.networks,
        min_networks=own.min_networks or usual.min_networks,
    )


def limits_of(config: Configuration) -> Limits:
    """Return the bounds of a routine measurement."""
    timeouts = config.defaults.timeouts
    return Limits(
        dns_seconds=timeouts.dns,
        tcp_seconds=timeouts.tcp,
        tls_seconds=timeouts.tls,
        http_seconds=timeouts.http,
        quic_seconds=timeouts.quic,
        total_seconds=timeouts.total,
        body_bytes=config.defaults.body_limit,
        redirects=config.defaults.redirects,
    )
