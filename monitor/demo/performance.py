"""Playing a step: arrange it, wait until the monitor has concluded, and say whether that is what the story expects."""

from collections.abc import Sequence

import msgspec

from monitor.demo.stage import Pause, Stage
from monitor.demo.story import CAST, Step, differences, too_few, wrongly_blamed
from monitor.model.outcome import Incident
from monitor.model.seams import Clock
from monitor.store.reader import HistoryRow, StoredMeasurement
from monitor.web.services import TargetState

_TURN_SECONDS = 0.3
_LEAST_PATIENCE_SECONDS = 60.0
_PATIENCE_ROUNDS = 30  # eleven accessible rounds in a row end an incident


class Conclusion(msgspec.Struct, frozen=True, kw_only=True):
    """What the monitor concluded in one step; `differences` is empty if the story expects that."""

    step: str
    title: str
    happens: str
    lesson: str
    page: str
    as_expected: bool
    differences: tuple[str, ...]
    elapsed_seconds: float
    targets: tuple[TargetState, ...]
    incidents: tuple[Incident, ...]  # newest first, closed ones too
    evidence: StoredMeasurement | None = None


def perform(stage: Stage, step: Step, before: Step | None, clock: Clock, pause: Pause) -> Conclusion:
    """Play one step to its end, or until patience is over. Raises StageError, and what `pause` raises."""
    start = clock.monotonic()
    # What was under way while the change was made may show either side of it.
    step.arrange(stage.lab)
    since = clock.now()
    patience_seconds = max(_LEAST_PATIENCE_SECONDS, _PATIENCE_ROUNDS * stage.interval_seconds)
    while True:
        states, incidents = stage.targets(), stage.incidents()
        found = differences(step, since, states, incidents)
        rows: Sequence[HistoryRow] = ()
        if not found:
            rows = [row for one in CAST for row in stage.history(one.target, since.isoformat())]
            found = too_few(step, rows)
        if not found or clock.monotonic() - start > patience_seconds:
            break
        pause(_TURN_SECONDS)
    found += wrongly_blamed(step, before, rows)
    return Conclusion(
        step=step.name,
        title=step.title,
        happens=step.happens,
        lesson=step.lesson,
        page=stage.url,
        as_expected=not found,
        differences=tuple(found),
        elapsed_seconds=round(clock.monotonic() - start, 1),
        targets=tuple(states),
        incidents=tuple(incidents),
        evidence=_evidence(stage, step, rows),
    )


def _evidence(stage: Stage, step: Step, rows: Sequence[HistoryRow]) -> StoredMeasurement | None:
    """Return the deep run behind the first verdict that is as expected."""
    deep = [row for row in rows if row.target == step.evidence and row.is_deep]
    fitting = [row for row in deep if row.status in step.expected(row.target).statuses]
    return stage.measurement(min(row.id for row in fitting)) if fitting else None
