"""When a change happened, as far as the rounds around it tell."""

from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple, Self

import msgspec


class KeptRound(NamedTuple):
    """A round that detection counts: when it started (UTC), and whether it failed."""

    at: datetime
    is_failing: bool


class Edge(StrEnum):
    """Which end of not being accessible is dated."""

    START = "start"
    END = "end"


class Dating(StrEnum):
    """What can be said about an edge."""

    DATED = "dated"  # between `earliest` and `latest`, with 95 % probability
    BEFORE = "before"  # before `latest`: the beginning was not measured
    UNDATED = "undated"  # the rounds do not support one change


class Onset(msgspec.Struct, frozen=True, kw_only=True):
    """The interval of one edge at one vantage and network (docs/detection.md)."""

    edge: Edge
    dating: Dating
    earliest: datetime | None = None
    median: datetime | None = None
    latest: datetime | None = None
    log_support: float  # logarithm of the Bayes factor of one change against none
    rounds: int  # kept rounds in the window
    window_start: datetime
    window_end: datetime
    computed_at: datetime
    is_final: bool  # no later computation will change it

    def with_(self, **fields: Any) -> Self:
        """Return the onset with some fields changed."""
        return msgspec.structs.replace(self, **fields)
