"""How well an event is supported: a rule over its sources."""

from collections.abc import Sequence
from typing import Final

from monitor.events.record import Confidence, ConfidenceLevel, Source, SourceKind

_AUTHORITIES: Final = {SourceKind.OFFICIAL: "an official paper", SourceKind.COURT: "a court paper"}


def confidence_in(sources: Sequence[Source]) -> Confidence:
    """Return `high` for an authority's own paper beside a measurement, `medium` for two publishers, else `low`."""
    papers = [words for kind, words in _AUTHORITIES.items() if any(one.kind is kind for one in sources)]
    is_measured = any(one.kind is SourceKind.MEASUREMENT for one in sources)
    if papers and is_measured:
        return Confidence(level=ConfidenceLevel.HIGH, why=f"{papers[0]} and a measurement")
    publishers = list(dict.fromkeys(one.publisher for one in sources))
    if len(publishers) > 1:
        return Confidence(level=ConfidenceLevel.MEDIUM, why=f"{len(publishers)} publishers")
    return Confidence(level=ConfidenceLevel.LOW, why=f"one publisher: {publishers[0]}" if publishers else "no source")
