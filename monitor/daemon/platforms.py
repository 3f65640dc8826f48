"""How platforms stand as a whole: the plan and the latest verdicts, rolled up."""

from collections.abc import Mapping
from datetime import datetime

from monitor.config.assignment import Assignment
from monitor.config.plan import Plan, rollup_rule_of
from monitor.config.schema import CONTROL_SITES_PLATFORM, Configuration, TunnelOptions
from monitor.detect.rollup import PlatformVerdict, Standing, roll_up
from monitor.model.vantage import Role, VantageInfo
from monitor.store.reader import CurrentState
from monitor.web.services import TargetState


def platform_verdicts(
    config: Configuration,
    plan: Plan,
    latest: Mapping[tuple[str, str], CurrentState | TargetState],
    now: datetime,
) -> tuple[PlatformVerdict, ...]:
    """Return a verdict for each platform and country, in the order of the file; `latest` is by target and vantage.

    Control sites and vantages that are not of the role `test` take no part.
    """
    measured: dict[str, list[Standing]] = {name: [] for name in config.platforms}
    for one in plan.assignments:
        is_test = config.vantages[one.vantage_name].role is Role.TEST
        if is_test and one.target.platform != CONTROL_SITES_PLATFORM:
            state = latest.get((one.target.name, one.vantage_name))
            measured[one.target.platform].append(_standing(config, one, state))
    return tuple(
        verdict
        for platform, standings in measured.items()
        for verdict in roll_up(
            platform, config.platforms[platform].name or platform, rollup_rule_of(config, platform), standings, now
        )
    )


def _standing(config: Configuration, assignment: Assignment, state: CurrentState | TargetState | None) -> Standing:
    written = config.vantages[assignment.vantage_name]
    claimed = VantageInfo(
        name=assignment.vantage_name,
        kind=written.kind,
        country=written.country,
        is_tunnel=isinstance(written, TunnelOptions),
    )
    if state is None:
        return Standing(
            target=assignment.target.name,
            vantage=assignment.vantage_name,
            country=claimed.country or "unknown",
            interval_seconds=assignment.interval_seconds,
        )
    return Standing(
        target=assignment.target.name,
        vantage=assignment.vantage_name,
        country=claimed.country_on(state.network) or "unknown",
        network=state.network,
        interval_seconds=assignment.interval_seconds,
        status=state.status,
        mechanisms=state.mechanisms,
        reason=state.reason,
        since=state.since,
        measured_at=state.measured_at,
    )
