"""Whether a platform is slowed down on purpose: extreme, and aimed at it (docs/verdicts.md, "Throttling").

A speed by itself says nothing: lines are slow, distances long, hours busy. What counts is a comparison inside one deep
run: the target's transfer, right after it an innocuous file over the same line, and the target's URL at a control. Each
threshold stands here with its reason.
"""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from monitor.classify.evidence import AT_CONTROL
from monitor.model.observation import HttpObservation, Purpose, TcpObservation, ThroughputObservation

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from monitor.classify.facts import Facts
    from monitor.classify.path import Hop
    from monitor.model.observation import Observation

# OONI dd-007: throttling that keeps people away is tenfold; congestion and distance seldom are.
EXTREME_RATIO: Final = 10.0
# Three of five: one lossy transfer decides nothing, and five fit into the minute of a round.
NEEDED: Final = 3
REPEATS: Final = 5
# Less is the start of a connection, whose rate is that of TCP's first windows.
SEEN_BYTES: Final = 65_536
SEEN_SECONDS: Final = 9.5
# Smaller bodies come within the first windows: only the waiting for them can be compared, and every time.
SMALL_BYTES: Final = 16_384
# RFC 6928: ten segments at once, doubled in each round trip. A transfer within three times that course is explained by
# distance alone.
FIRST_WINDOW_BYTES: Final = 14_600
COURSES: Final = 3.0
# A look at a transfer that took less is not worth the traffic; no verdict rests on it.
WORTH_SECONDS: Final = 0.5


@dataclass(frozen=True)
class Throttling:
    """What the transfers of one deep run show."""

    slow: int  # how often the target came ten times slower than both the innocuous file and the control
    quick: int  # how often it did not
    line_slow: int  # how often it was as slow as the innocuous file, and ten times slower than the control
    is_by_name: bool  # the same server was quick for a harmless name in between

    @property
    def is_shown(self) -> bool:
        """Whether the target is slowed down on purpose."""
        return self.slow >= NEEDED or self.is_by_name

    @property
    def is_decided(self) -> bool:
        """Whether more transfers would change nothing."""
        others = self.quick + self.line_slow
        return self.slow >= NEEDED or others > REPEATS - NEEDED or self.slow + others >= REPEATS


NOTHING: Final = Throttling(0, 0, 0, is_by_name=False)


def throttling(facts: Facts) -> Throttling:
    """Return what the transfers show: those of this round, or of the deep run that stands for it."""
    for run in facts.runs():
        own = _transfers(run, Purpose.TRANSFER)
        if own:
            return _judge(facts, run, own)
    return NOTHING


def is_slow(facts: Facts) -> bool:
    """Tell whether the response at the end of the routine path came so slowly that transfers are worth a look."""
    hop = facts.routine.end.hop
    response = facts.routine.last.response
    if response is None:
        return False
    if is_still_receiving(response):
        # What is still coming everywhere is a long or slow answer of the server's own.
        answers = [one.response for one in facts.control_hops(hop) if one.response is not None]
        return not any(map(is_still_receiving, answers))
    if (
        not facts.context.measures_throughput
        or response.failure is not None
        or response.elapsed_seconds < WORTH_SECONDS
    ):
        return False
    round_trip = _round_trip_seconds(facts.routine.observations, response.address)
    if response.elapsed_seconds <= COURSES * _course_seconds(response.bytes_received, round_trip):
        return False
    usual = facts.context.usual_http_seconds
    theirs = max(_control_rates(facts, hop), default=0.0)
    is_unusual = usual is not None and response.elapsed_seconds >= EXTREME_RATIO * usual
    return is_unusual or _rate(response) * EXTREME_RATIO <= theirs


def is_still_receiving(response: HttpObservation) -> bool:
    """Tell whether our own deadline cut a response while bytes still came."""
    return response.detail is not None and response.detail.reason == "still_receiving"


def _judge(facts: Facts, run: Sequence[Observation], own: Sequence[ThroughputObservation]) -> Throttling:
    hop = facts.routine.end.hop
    status = hop.response.status_code if hop.response else None  # another answer than the page is another transfer
    control = max(_control_rates(facts, hop), default=0.0)
    small = max((one.bytes_received for one in own), default=0) < SMALL_BYTES and not any(one.is_cut for one in own)
    references = _transfers(run, Purpose.TRANSFER_REFERENCE)
    slow = quick = line_slow = 0
    slow_at: list[ThroughputObservation] = []
    for one, reference in zip(own, references, strict=False):
        if not _says_something(one, small=small) or one.status_code != status or not _is_measure(reference):
            continue
        if small:
            is_slow_here = _waits(one, reference) and any(_waits(one, each) for each in _control_transfers(facts, hop))
            is_slow_line = False
        else:
            is_explained = _is_explained(one, _round_trip_seconds(facts.evidence, one.address))
            is_far_behind = one.bytes_per_second * EXTREME_RATIO <= control and not is_explained
            is_behind_here = one.bytes_per_second * EXTREME_RATIO <= reference.bytes_per_second
            is_slow_here, is_slow_line = is_far_behind and is_behind_here, is_far_behind and not is_behind_here
            if is_behind_here and not is_explained:
                slow_at.append(one)
        slow, line_slow, quick = (
            slow + is_slow_here,
            line_slow + is_slow_line,
            quick + (not is_slow_here and not is_slow_line),
        )
    if small and slow < REPEATS:
        slow = min(slow, NEEDED - 1)  # every one of five, or none
    return Throttling(slow, quick, line_slow, is_by_name=_is_by_name(run, slow_at))


def _transfers(run: Sequence[Observation], purpose: Purpose) -> list[ThroughputObservation]:
    found = [one for one in run if isinstance(one, ThroughputObservation) and one.purpose is purpose]
    return sorted(found, key=lambda one: one.started_seconds)


def _says_something(one: ThroughputObservation, *, small: bool) -> bool:
    """Tell whether enough was seen of a transfer: 64 KiB, ten seconds, or all there was."""
    if one.failure is not None or not one.bytes_received:
        return False
    enough = one.bytes_received >= SEEN_BYTES or one.transfer_seconds >= SEEN_SECONDS
    return enough or (not one.is_cut and (small or one.bytes_received >= SMALL_BYTES))


def _is_measure(reference: ThroughputObservation) -> bool:
    """Tell whether an innocuous file was one: a redirect or an error page is too small to compare with."""
    is_large = reference.bytes_received >= SEEN_BYTES or reference.is_cut
    return reference.failure is None and reference.status_code == 200 and is_large


def _is_explained(one: ThroughputObservation, round_trip_seconds: float) -> bool:
    """Tell whether distance alone explains how long a transfer took."""
    return one.transfer_seconds <= COURSES * _course_seconds(one.bytes_received, round_trip_seconds)


def _round_trip_seconds(observations: Sequence[Observation], address: str) -> float:
    """Return the shortest time in which a connection to an address was opened, on whichever port.

    What slows one port down with delay leaves another at its true distance, or the moment before it hears the name.
    """
    opened = [
        one.elapsed_seconds
        for one in observations
        if isinstance(one, TcpObservation) and one.address == address and one.failure is None
    ]
    moved = [
        one.connect_seconds
        for one in observations
        if isinstance(one, ThroughputObservation) and one.address == address and one.connect_seconds is not None
    ]
    return min((*opened, *moved), default=0.0)


def _course_seconds(received: int, round_trip_seconds: float) -> float:
    """Return how long so many bytes take where nothing but the round trip holds them up."""
    return (math.log2(max(received, 0) / FIRST_WINDOW_BYTES + 1) + 2) * round_trip_seconds


def _waits(one: ThroughputObservation, other: ThroughputObservation) -> bool:
    """Tell whether a small transfer waits ten times longer than another, in seconds and in its own round trips.

    In round trips as well, since a far server is no slow one.
    """
    pairs = [(one.first_byte_seconds, other.first_byte_seconds)]
    if one.handshake_seconds is not None and other.handshake_seconds is not None:
        pairs.append((one.handshake_seconds, other.handshake_seconds))
    mine, theirs = one.connect_seconds, other.connect_seconds
    if not mine or not theirs:
        return False
    return all(
        waited is not None
        and compared is not None
        and waited >= EXTREME_RATIO * compared
        and waited / mine >= EXTREME_RATIO * compared / theirs
        for waited, compared in pairs
    )


def _is_by_name(run: Sequence[Observation], slow: Sequence[ThroughputObservation]) -> bool:
    """Tell whether the same server was quick under a harmless name, between two slow transfers under its own."""
    if len(slow) < NEEDED:
        return False
    usual = statistics.median(one.bytes_per_second for one in slow)
    first, last = slow[0].started_seconds, slow[-1].started_seconds
    return any(
        _says_something(one, small=False)
        and (one.address, one.port) == (slow[0].address, slow[0].port)
        and first < one.started_seconds < last
        and one.status_code == slow[0].status_code
        and one.bytes_per_second >= EXTREME_RATIO * usual
        for one in _transfers(run, Purpose.TRANSFER_HARMLESS)
    )


def _control_transfers(facts: Facts, hop: Hop) -> Iterator[ThroughputObservation]:
    for control in facts.controls_at(hop):
        for one in control.observations:
            if isinstance(one, ThroughputObservation) and one.hop == hop.index and one.purpose in AT_CONTROL:
                yield one


def _control_rates(facts: Facts, hop: Hop) -> Iterator[float]:
    """Yield how fast the target's URL came to the controls: as a transfer, and as their own page."""
    for one in _control_transfers(facts, hop):
        if one.failure is None:
            yield one.bytes_per_second
    for theirs in facts.control_hops(hop):
        if theirs.response is not None and theirs.response.failure is None:
            yield _rate(theirs.response)


def _rate(response: HttpObservation) -> float:
    return response.bytes_received / response.elapsed_seconds if response.elapsed_seconds > 0 else 0.0
