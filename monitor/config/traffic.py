"""How much the measurements are expected to send and receive, and how far intervals must grow to keep a ceiling.

The numbers are start values for one address family, rounded up: a question and answer of both types 600 bytes, a TCP
connection 400, a handshake with its certificate chain 6 kB, a page as much as is read of it plus 8 kB for all the rest.
"""

from collections.abc import Iterable
from typing import Final

import msgspec

from monitor.config.assignment import Assignment, assignments
from monitor.config.schema import Configuration, ServiceOptions
from monitor.model.target import Expectation, QuicUse
from monitor.model.vantage import Role

_DNS_BYTES: Final = 600
_TCP_BYTES: Final = 400
_TLS_BYTES: Final = 6000
_PORTAL_BYTES: Final = 1500
_PAGE_BYTES: Final = 65_536
_AROUND_PAGE_BYTES: Final = 8000
_DAY_SECONDS: Final = 86_400
_MONTH_DAYS: Final = 30
_LARGEST_FACTOR: Final = 1e6


class Traffic(msgspec.Struct, frozen=True, kw_only=True):
    """Megabytes (10**6 bytes), both directions, all vantages together, deep runs and services not counted."""

    mb_per_day: float
    mb_per_month: float  # of 30 days


def traffic(config: Configuration, factor: float = 1.0) -> Traffic:
    """Return what is expected if every interval is multiplied by `factor`."""
    per_day = _bytes_per_day(config, tuple(assignments(config)), factor) / 1e6
    return Traffic(mb_per_day=per_day, mb_per_month=per_day * _MONTH_DAYS)


def stretch_factor(config: Configuration) -> float:
    """Return the smallest factor (at least 1) for all intervals under which `data.monthly_mb` holds."""
    if config.data.monthly_mb is None:
        return 1.0
    ceiling = config.data.monthly_mb * 1e6 / _MONTH_DAYS
    assigned = tuple(assignments(config))
    if _bytes_per_day(config, assigned, 1.0) <= ceiling:
        return 1.0
    low, high = 1.0, _LARGEST_FACTOR
    while high / low > 1.001:
        middle = (low * high) ** 0.5
        low, high = (low, middle) if _bytes_per_day(config, assigned, middle) <= ceiling else (middle, high)
    return high


def measurement_bytes(expectation: Expectation, body_limit: int) -> int:
    """Return what one routine measurement of a target with this expectation moves."""
    if expectation.tcp_only:
        return _DNS_BYTES + _TCP_BYTES
    if expectation.tls_only:
        return _TLS_BYTES
    return min(body_limit, _PAGE_BYTES) + _AROUND_PAGE_BYTES


def _bytes_per_day(config: Configuration, assigned: Iterable[Assignment], factor: float) -> float:
    services = {name for name, vantage in config.vantages.items() if isinstance(vantage, ServiceOptions)}
    controls = sum(vantage.role is Role.CONTROL for name, vantage in config.vantages.items() if name not in services)
    tested = 0.0
    asked: dict[str, float] = {}
    runs_a_day: dict[str, float] = {}
    for assignment in assigned:
        if assignment.vantage_name in services:
            continue  # measured over other people's lines
        runs = _DAY_SECONDS / (assignment.interval_seconds * factor)
        once = measurement_bytes(assignment.target.expectation, config.defaults.body_limit)
        moved = runs * (once + _TLS_BYTES * (assignment.target.quic is QuicUse.ALWAYS))
        tested += moved
        # A control measures a target once for all vantages, as often as the most eager of them.
        if not assignment.is_control_site:
            asked[assignment.target.name] = max(moved, asked.get(assignment.target.name, 0.0))
        runs_a_day[assignment.vantage_name] = runs_a_day.get(assignment.vantage_name, 0.0) + runs
    return tested + controls * sum(asked.values()) + _sanity_bytes(config, runs_a_day.values())


def _sanity_bytes(config: Configuration, runs_a_day: Iterable[float]) -> float:
    """Count a check before and one after each run, shared by all runs within its age."""
    sanity = config.sanity
    if not sanity.enabled:
        return 0.0
    once = (
        _DNS_BYTES * (len(sanity.dns_names) + bool(sanity.nxdomain_zone) + bool(sanity.whoami))
        + _TCP_BYTES * len(sanity.anchors)
        + _PORTAL_BYTES * len(sanity.portals)
        + _TLS_BYTES * len(sanity.tls_hosts)
    )
    return once * sum(min(_DAY_SECONDS / sanity.max_age, 2 * runs) for runs in runs_a_day)
