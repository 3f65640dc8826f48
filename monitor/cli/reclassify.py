"""`monitor reclassify`: verdicts again with today's rules, appended beside the old ones."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any, Final

import click
import msgspec

from monitor.classify.rules import RULES_VERSION
from monitor.cli._options import config_option
from monitor.cli._reading import stored
from monitor.cli._rendering import console, instant
from monitor.cli._sheet import Sheet
from monitor.cli._times import INSTANT
from monitor.config.fingerprints import fingerprints_of
from monitor.daemon.reclassify import Redrawer, Redrawing
from monitor.daemon.store_events import tell
from monitor.model.verdict import Verdict
from monitor.network.clock import SystemClock
from monitor.store.connection import StoreError
from monitor.store.store import Store

BATCH: Final = 200
_EXAMPLES: Final = 20


@dataclass
class Summary:
    """What came of it: how many, and the first of each kind of change."""

    redrawn: int = 0
    changes: Counter[tuple[str, str]] = field(default_factory=Counter)
    obstacles: Counter[str] = field(default_factory=Counter)
    examples: list[dict[str, Any]] = field(default_factory=list)

    def add(self, one: Redrawing, *, exactly: bool) -> None:
        """Count one; `exactly` also calls a different rule or sentence a change."""
        if one.redrawn is None:
            self.obstacles[one.obstacle] += 1
            return
        self.redrawn += 1
        before, after = one.before, one.redrawn.verdict
        change = (words(before), words(after))
        if change[0] == change[1] and not (exactly and before != after):
            return
        self.changes[change] += 1
        if len(self.examples) < _EXAMPLES:
            measurement = one.stored.measurement
            self.examples.append(
                {
                    "measurement": measurement.id,
                    "target": measurement.target,
                    "vantage": measurement.vantage,
                    "started_at": measurement.started_at,
                    "before": before,
                    "after": after,
                }
            )


@click.command()
@config_option
@click.option("--since", type=INSTANT, help="Measurements from then on.")
@click.option("--until", type=INSTANT, help="Measurements before then.")
@click.option("--target", "targets", multiple=True, metavar="NAME", help="Only this target; may be repeated.")
@click.option("--vantage", "vantages", multiple=True, metavar="ID", help="Only this vantage; may be repeated.")
@click.option("--dry-run", is_flag=True, help="Write nothing; say what would change.")
@click.option("--verify", is_flag=True, help="Write nothing; draw today's verdicts once more; 1 if one differs.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_context
def command(
    ctx: click.Context,
    *,
    config_path: Path,
    since: datetime | None,
    until: datetime | None,
    targets: Sequence[str],
    vantages: Sequence[str],
    dry_run: bool,
    verify: bool,
    as_json: bool,
) -> None:
    """Draw verdicts again with today's rules from what is stored.

    They are appended beside the old ones, never over them, and what today's rules have judged already is left alone.
    A daemon may run meanwhile. No transition, incident or alert follows from it.
    """
    summary = Summary()
    with stored(config_path) as (config, reader):
        measurements = reader.measurements(
            since=since,
            until=until,
            targets=targets,
            vantages=vantages,
            not_judged_by=None if verify else RULES_VERSION,
        )
        redrawings = Redrawer(reader, None if verify else fingerprints_of(config.fingerprints).rows).all(measurements)
        if verify:
            redrawings = (one for one in redrawings if one.before.rules_version == RULES_VERSION)
        if dry_run or verify:
            for one in redrawings:
                summary.add(one, exactly=verify)
        else:
            try:
                store = Store.open(config.storage.path, SystemClock(), spool_rows=2 * BATCH, on_event=tell)
            except StoreError as error:
                click.echo(str(error), err=True)
                ctx.exit(2)
            try:
                is_written = _write(store, redrawings, summary)
            finally:
                store.close()
            if not is_written:
                click.echo("The database cannot be written; what was drawn until then is kept.", err=True)
                ctx.exit(2)
    if as_json:
        click.echo(msgspec.json.encode(_as_json(summary)))
    else:
        _tell(summary, is_kept=not (dry_run or verify))
    ctx.exit(1 if verify and summary.changes else 0)


def words(verdict: Verdict) -> str:
    """Return a verdict as people compare it: status, confidence, mechanisms, reason."""
    parts = (verdict.status, f"({verdict.confidence})" if verdict.confidence else "", *verdict.mechanisms)
    return " ".join(part for part in (*parts, verdict.reason or "") if part)


def _write(store: Store, redrawings: Iterator[Redrawing], summary: Summary) -> bool:
    """Write batch by batch, each durable before the next is drawn; False if the file cannot be written."""
    while batch := list(islice(redrawings, BATCH)):
        waiting = [store.record_redrawn(one.redrawn) for one in batch if one.redrawn is not None]
        if not all(done.result() for done in waiting):
            return False
        for one in batch:
            summary.add(one, exactly=False)
    return True


def _as_json(summary: Summary) -> dict[str, Any]:
    return {
        "rules_version": RULES_VERSION,
        "redrawn": summary.redrawn,
        "changed": summary.changes.total(),
        "changes": [
            {"before": before, "after": after, "count": count}
            for (before, after), count in summary.changes.most_common()
        ],
        "examples": summary.examples,
        "not_redrawn": dict(summary.obstacles),
    }


def _tell(summary: Summary, *, is_kept: bool) -> None:
    to = console()
    verb = "drawn again and kept" if is_kept else "drawn again, nothing written"
    to.print(f"rules {RULES_VERSION}: {summary.redrawn} verdicts {verb}, {summary.changes.total()} changed")
    for obstacle, count in summary.obstacles.most_common():
        to.print(f"{count} not drawn again: {obstacle}")
    if not summary.changes:
        return
    table = Sheet("count", "before", "after")
    for (before, after), count in summary.changes.most_common():
        table.add(str(count), before, after)
    table.print()
    table = Sheet("first of them", "target", "vantage", "started", "before", "after")
    for one in summary.examples:
        table.add(
            str(one["measurement"]),
            one["target"],
            one["vantage"],
            instant(one["started_at"]),
            words(one["before"]),
            words(one["after"]),
        )
    table.print()
