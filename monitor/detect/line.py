"""Is a line much slower than usual? Only its own past can tell: a satellite is always slow, and in order.

Measured is the time that connections to the hosts of the sanity checks take to open, since a lost packet and a long
queue both lengthen it, and no name is in it yet that a filter could know. Connections that do not open say nothing
here: a network may block such a host as well.
"""

import statistics
from collections.abc import Iterable, Sequence
from typing import Final

from monitor.model.observation import Observation, TcpObservation

CHECKS_NEEDED: Final = 10
CHECKS_KEPT: Final = 100
_CONNECTIONS_NEEDED: Final = 3
_RATIO: Final = 3.0
# A lost SYN is sent again after a second (RFC 6298 section 2), so a median that much later tells of half of them lost.
_LATER_SECONDS: Final = 0.9


def opening_seconds(observations: Iterable[Observation]) -> float | None:
    """Return the median time in which the connections of a sanity check were opened, None if too few were."""
    opened = [one.elapsed_seconds for one in observations if isinstance(one, TcpObservation) and one.failure is None]
    return statistics.median(opened) if len(opened) >= _CONNECTIONS_NEEDED else None


def is_degraded(seconds: float, earlier: Sequence[float]) -> bool:
    """Tell whether opening takes much longer than in the checks before, of which there must be enough."""
    if len(earlier) < CHECKS_NEEDED:
        return False
    usual = statistics.median(earlier)
    return seconds >= max(_RATIO * usual, usual + _LATER_SECONDS)
