"""Several changes in one series: an exact segmentation, before each edge is dated by itself.

Each segment fails with an unknown probability of its own, uniform on (0, 1), as in `onset`. A further change must raise
the evidence by a fixed support beyond what its free choice of place costs. The best segmentation is found by dynamic
programming over the rounds at which the value changes, since no other round can be the best place for one.
"""

from collections.abc import Sequence
from itertools import accumulate, pairwise
from math import lgamma, log
from typing import Final

LEAST_ROUNDS: Final = 6
SUPPORT: Final = 3.0


def segments(failing: Sequence[bool], *, least_rounds: int = LEAST_ROUNDS, support: float = SUPPORT) -> list[int]:
    """Return where segments begin: indices into kept rounds in order of time, 0 first, none for an empty series.

    The cost grows with the square of the number of changes of value: about 0.1 s for a month of five-minute rounds
    with 3 % noise.
    """
    rounds = len(failing)
    if not rounds:
        return []
    bounds = [0, *(number for number, (one, next_) in enumerate(pairwise(failing), 1) if one is not next_), rounds]
    counted = list(accumulate(failing, initial=0))
    counts = [counted[bound] for bound in bounds]
    factorial = [lgamma(number + 1.0) for number in range(rounds + 2)]
    penalty = support + log(rounds)
    best, came_from = [0.0], [0]
    for end in range(1, len(bounds)):
        bound, count = bounds[end], counts[end]
        highest, source = float("-inf"), 0
        for start in range(end):
            length = bound - bounds[start]
            if length < least_rounds and start:
                break
            failed = count - counts[start]
            evidence = (
                best[start] + factorial[failed] + factorial[length - failed] - factorial[length + 1]
                - (penalty if start else 0.0)
            )  # fmt: skip
            if evidence > highest:
                highest, source = evidence, start
        # A first segment that is too short cannot stand.
        best.append(
            highest if bounds[end] - bounds[source] >= least_rounds or end == len(bounds) - 1 else float("-inf")
        )
        came_from.append(source)
    found, position = [], len(bounds) - 1
    while position:
        position = came_from[position]
        found.append(bounds[position])
    return found[::-1]
