"""When a platform counts as accessible or not, from how its targets stand: rules as data."""

from typing import Final, Literal

import msgspec

MAJORITY: Final = "majority"


class RollupRule(msgspec.Struct, frozen=True, kw_only=True):
    """What a platform's verdict asks of its targets and networks.

    At a vantage the platform is not accessible if one target of `all_of` is not, or if none of `any_of` is. In a
    country it is not accessible if at least `networks` of the networks measured agree on it (all of them if there are
    fewer), or more than half with `majority`; fewer than `min_networks` tell nothing.
    """

    all_of: tuple[str, ...] = ()
    any_of: tuple[str, ...] = ()
    networks: int | Literal["majority"] = 2
    min_networks: int = 1
