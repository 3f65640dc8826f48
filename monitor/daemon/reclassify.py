"""Drawing verdicts again from what is stored, with today's rules (`monitor reclassify`)."""

from collections.abc import Iterator
from datetime import datetime
from typing import NamedTuple

from monitor.classify.facts import Facts
from monitor.classify.redraw import context_from
from monitor.classify.verdict import verdict_on
from monitor.daemon.pipeline import merged
from monitor.model.fingerprint import Fingerprint
from monitor.model.measurement import Measurement
from monitor.model.outcome import Redrawn
from monitor.model.verdict import Status, Verdict
from monitor.store.reader import Reader, StoredMeasurement, StoredVerdict

_REMEMBERED = 256  # controls, each shared by the rounds of one interval

NO_CIRCUMSTANCES = "drawn before their circumstances were kept"
NO_CONTROL_LEFT = "their control or isolating run has expired"
NO_EVIDENCE_LEFT = "a response they rest on has expired or was never kept"


class Redrawing(NamedTuple):
    """One measurement judged again; `redrawn` is None, and `obstacle` says why, where a fact is no longer there."""

    stored: StoredMeasurement
    before: Verdict
    redrawn: Redrawn | None
    obstacle: str = ""


class Redrawer:
    """Judges stored measurements again; remembers the controls that neighbouring rounds share.

    With `fingerprints` given these are used, otherwise those that were in use when a verdict was drawn.
    """

    def __init__(self, reader: Reader, fingerprints: tuple[Fingerprint, ...] | None = None) -> None:
        self._reader = reader
        self._fingerprints = fingerprints
        self._of_then: dict[bytes | None, tuple[Fingerprint, ...]] = {}
        self._known: dict[int, Measurement | None] = {}

    def all(self, measurements: Iterator[StoredMeasurement]) -> Iterator[Redrawing]:
        """Yield one redrawing for each measurement that was ever judged."""
        return (self.one(stored) for stored in measurements if stored.verdicts)

    def one(self, stored: StoredMeasurement) -> Redrawing:
        """Judge one measurement again on the facts that its latest verdict rests on."""
        latest = stored.verdicts[0]
        before = latest.verdict
        if latest.circumstances is None:
            return Redrawing(stored, before, None, NO_CIRCUMSTANCES)
        controls = [self._measurement(id_) for id_ in latest.control_ids]
        isolation = None if latest.isolation_id is None else self._measurement(latest.isolation_id)
        if None in controls or (latest.isolation_id is not None and isolation is None):
            return Redrawing(stored, before, None, NO_CONTROL_LEFT)
        bodies = self._bodies(stored)
        if bodies is None:
            return Redrawing(stored, before, None, NO_EVIDENCE_LEFT)
        context = context_from(
            latest.circumstances,
            controls=merged(tuple(one for one in controls if one is not None)),
            isolation=isolation,
            bodies=bodies,
            fingerprints=self._of_then_at(latest.drawn_at) if self._fingerprints is None else self._fingerprints,
            state_before=latest.state_before,
            state_after=latest.state_after,
        )
        facts = Facts(stored.measurement, context)
        verdict = verdict_on(facts)
        return Redrawing(stored, before, _redrawn(stored, latest, verdict, stands=facts.isolation is not None))

    def _of_then_at(self, drawn_at: datetime) -> tuple[Fingerprint, ...]:
        digest = self._reader.fingerprint_digest_at(drawn_at)
        if digest not in self._of_then:
            self._of_then[digest] = self._reader.fingerprints(digest) if digest is not None else ()
        return self._of_then[digest]

    def _measurement(self, id_: int) -> Measurement | None:
        if id_ not in self._known:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            found = self._reader.measurement(id_)
            self._known[id_] = None if found is None else found.measurement
        return self._known[id_]

    def _bodies(self, stored: StoredMeasurement) -> dict[str, bytes] | None:
        """Return the responses by digest; None if one is gone that a verdict other than accessible may rest on."""
        verdict = stored.verdicts[0].verdict
        bodies = {}
        for one in stored.evidence:
            content = self._reader.evidence(one.sha256) if one.kind == "http_response" else None
            if content is not None:
                bodies[one.sha256] = content
            elif one.kind in {"http_response", "unknown"} and not _is_plain(verdict):
                return None
        return bodies


def _is_plain(verdict: Verdict) -> bool:
    """Tell whether a verdict is accessible without a finding, which no rule draws from what stands in a body."""
    return verdict.status is Status.ACCESSIBLE and not verdict.mechanisms


def _redrawn(stored: StoredMeasurement, latest: StoredVerdict, verdict: Verdict, *, stands: bool) -> Redrawn:
    return Redrawn(
        measurement_id=stored.measurement.id,
        verdict=verdict,
        control_ids=latest.control_ids,
        isolation_id=latest.isolation_id if stands else None,
        state_before=latest.state_before,
        state_after=latest.state_after,
        circumstances=latest.circumstances,
    )
