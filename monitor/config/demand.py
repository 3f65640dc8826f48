"""What the schedule asks of services, so that it can be compared with their quotas before anything is sent.

A routine measurement is a lookup and a visit; a check of the probe is another visit, made before the round unless one
is fresh. What follows when something fails comes on top: that is what the rest of a quota is for.
"""

from collections.abc import Iterator
from typing import Final

import msgspec

from monitor.config.assignment import assignments
from monitor.config.schema import (
    CREDITS_PER_DAY,
    TESTS_PER_HOUR_WITH_TOKEN,
    TESTS_PER_HOUR_WITHOUT_TOKEN,
    Configuration,
    GlobalpingOptions,
    RipeAtlasOptions,
    ServiceOptions,
)

_HOUR: Final = 3600
_DAY: Final = 86_400
_STEP_CREDITS: Final = 20  # of a lookup over UDP, or a handshake, each a one-off
DEEP_STEPS: Final = 25  # of a deep run, about


class Demand(msgspec.Struct, frozen=True, kw_only=True):
    """What one vantage's routine rounds ask within the window of its quota."""

    vantage: str
    unit: str  # tests, credits
    window: str  # hour, day
    needed: int
    allowed: int  # by the configuration
    step_units: int  # what one step costs

    @property
    def within(self) -> str:
        """The window in words."""
        return {"hour": "an hour", "day": "a day"}[self.window]


def demands(config: Configuration, factor: float = 1.0) -> Iterator[Demand]:
    """Yield what each service is asked for if every interval is multiplied by `factor`; controls wait to be needed."""
    runs: dict[str, float] = {}  # a second
    for one in assignments(config):
        runs[one.vantage_name] = runs.get(one.vantage_name, 0.0) + 1 / (one.interval_seconds * factor)
    for name, vantage in config.vantages.items():
        if not isinstance(vantage, ServiceOptions):
            continue
        steps = 2 * runs.get(name, 0.0) + min(runs.get(name, 0.0), 1 / config.sanity.max_age)
        if isinstance(vantage, RipeAtlasOptions):
            needed = round(steps * _DAY * _STEP_CREDITS)
            allowed, unit, window, step_units = vantage.credits_per_day, "credits", "day", _STEP_CREDITS
        elif isinstance(vantage, GlobalpingOptions):
            needed = round(steps * _HOUR)
            allowed, unit, window, step_units = vantage.tests_per_hour, "tests", "hour", 1
        else:
            raise TypeError(type(vantage))
        yield Demand(vantage=name, unit=unit, window=window, needed=needed, allowed=allowed, step_units=step_units)


def granted(vantage: ServiceOptions) -> int:
    """Return what the service grants to the account behind a vantage, in the unit and window of its quota."""
    if isinstance(vantage, RipeAtlasOptions):
        return CREDITS_PER_DAY
    has_token = isinstance(vantage, GlobalpingOptions) and vantage.token is not None
    return TESTS_PER_HOUR_WITH_TOKEN if has_token else TESTS_PER_HOUR_WITHOUT_TOKEN


def account(vantage: ServiceOptions) -> tuple[str, str, str]:
    """Return what tells one account at a service from another; without a token it is this machine's address."""
    token = getattr(vantage, "token", None)
    return vantage.kind, vantage.base_url, token.get_secret_value() if token is not None else ""
