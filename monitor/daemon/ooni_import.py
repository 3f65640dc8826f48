"""Taking OONI measurements in: read line by line, judge by our rules, store in batches (`monitor import ooni`)."""

import gzip
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple, cast

import msgspec

from monitor.classify.context import Context
from monitor.classify.facts import Facts
from monitor.classify.redraw import circumstances
from monitor.classify.verdict import verdict_on
from monitor.daemon.pipeline import bodies_of
from monitor.daemon.store_events import tell
from monitor.interchange.ooni_import import CONTROL, NotOursError, Taken, Targets, taken
from monitor.model.fingerprint import Fingerprint
from monitor.model.outcome import Outcome
from monitor.store.reader import Reader
from monitor.store.store import Store, StoreEvent

LINE_BYTES: Final = 16 * 1024 * 1024  # the largest published ones are below one
BATCH: Final = 500
BATCH_BYTES: Final = 32 * 1024 * 1024
MOST_PROBLEMS: Final = 100
_GZIP: Final = b"\x1f\x8b"


class ImportStoppedError(Exception):
    """The file cannot be read or the database not be written; the message says which."""


@dataclass(frozen=True)
class Problem:
    """A line that was refused."""

    file: str
    line: int
    why: str

    def __str__(self) -> str:
        """Return it as an editor understands it."""
        return f"{self.file}:{self.line}: {self.why}"


@dataclass
class Summary:
    """What came of an import."""

    accepted: int = 0
    duplicate: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    statuses: Counter[str] = field(default_factory=Counter)
    problems: list[Problem] = field(default_factory=list)  # the first of the refused

    def refuse(self, file: Path, line: int, why: str) -> None:
        """Count a refused line, and keep it to be told while there is room."""
        self.refused[why] += 1
        if len(self.problems) < MOST_PROBLEMS:
            self.problems.append(Problem(str(file), line, why))


class _Line(NamedTuple):
    number: int
    taken: Taken


@dataclass
class Importer:
    """Imports files into one database. `progress` hears how many bytes of a file were read."""

    store: Store
    reader: Reader
    targets: Targets
    refusals: "Refusals"  # what the store tells of
    allowed_bogons: tuple[str, ...]
    fingerprints: tuple[Fingerprint, ...]
    progress: Callable[[int], None] = lambda _: None
    summary: Summary = field(default_factory=Summary)

    def take(self, path: Path) -> None:
        """Import one file: what is in the database already is passed over, so that a run cut short can be repeated."""
        batch: list[_Line] = []
        size = 0
        for number, line in _lines(path, self.progress):
            if line is None:
                self.summary.refuse(path, number, f"longer than {LINE_BYTES >> 20} MiB")
                continue
            if not line.strip():
                continue
            try:
                batch.append(_Line(number, taken(_decoded(line), self.targets)))
            except NotOursError as error:
                self.summary.refuse(path, number, str(error))
                continue
            size += len(line)
            if len(batch) >= BATCH or size >= BATCH_BYTES:
                self._write(path, batch)
                batch, size = [], 0
        self._write(path, batch)

    def _write(self, path: Path, batch: list["_Line"]) -> None:
        known = self.reader.imported(key for _, one in batch for key in one.imported.keys)
        refused_before = self.refusals.count
        waiting = []
        for number, one in batch:
            keys = one.imported.keys
            if same := known.keys() & keys:
                self.summary.duplicate += 1
                # One name may be new: what knows it by that name alone comes later, perhaps.
                if not known.keys() >= set(keys):
                    self.store.record_imported_keys(known[min(same)], keys)
                continue
            known |= dict.fromkeys(keys, one.recording.measurement.id)
            if one.control is not None:
                control = Outcome(recording=one.control, imported=one.control_imported)
                self.store.record_imported(control, one.target, CONTROL)
            outcome = judged(one, self.allowed_bogons, self.fingerprints)
            waiting.append((number, outcome, self.store.record_imported(outcome, one.target, one.vantage)))
        unwritten = 0
        for number, outcome, done in waiting:
            if done.result() and outcome.verdict is not None:
                self.summary.accepted += 1
                self.summary.statuses[outcome.verdict.status] += 1
            else:
                unwritten += 1
                self.summary.refuse(path, number, "no row can hold it, or its id stands for another measurement")
        # What was not written for want of the file counts as refused by nobody.
        if unwritten > self.refusals.count - refused_before:
            raise ImportStoppedError("the database cannot be written; run it again to go on")


class Refusals:
    """Hears from the store, and counts what no row could hold; called in the writer's thread before the answer."""

    count = 0

    def hear(self, event: StoreEvent) -> None:
        """Count a refusal, and log what an operator should know."""
        if event.kind == "refused":
            self.count += 1
        else:
            tell(event)


def judged(one: Taken, allowed_bogons: tuple[str, ...], fingerprints: tuple[Fingerprint, ...]) -> Outcome:
    """Return the measurement with the verdict of our rules on what was seen.

    There were no sanity checks of ours, so none is asked for; nothing is known of earlier rounds.
    """
    context = Context(
        expectation=one.expectation,
        is_checked=False,
        controls=(one.control.measurement,) if one.control is not None else (),
        has_control_vantage=one.control is not None,
        allowed_bogons=allowed_bogons,
        fingerprints=fingerprints,
        bodies=bodies_of(one.recording),
        country=one.vantage.country,
    )
    measurement = one.recording.measurement
    return Outcome(
        recording=one.recording,
        verdict=verdict_on(Facts(measurement, context)),
        control_ids=(one.control.measurement.id,) if one.control is not None else (),
        circumstances=circumstances(measurement, context),
        imported=one.imported,
    )


def _decoded(line: bytes) -> object:
    try:
        return msgspec.json.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise NotOursError("not JSON") from error


def _lines(path: Path, progress: Callable[[int], None]) -> Iterator[tuple[int, bytes | None]]:
    """Yield numbered lines, None for one too long; gzip is recognised by its first bytes. Raises ImportStoppedError."""
    try:
        with closing(path.open("rb")) as raw:
            is_packed = raw.read(2) == _GZIP
            raw.seek(0)
            stream = cast("BinaryIO", gzip.GzipFile(fileobj=raw)) if is_packed else raw
            number, told = 0, 0
            while line := stream.readline(LINE_BYTES):
                number += 1
                is_whole = line.endswith(b"\n") or len(line) < LINE_BYTES
                if not is_whole:
                    _skip_line(stream)
                yield number, line if is_whole else None
                progress(raw.tell() - told)
                told = raw.tell()
    except (OSError, EOFError, zlib.error) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else "it is damaged or cut short"
        raise ImportStoppedError(f"{path}: {why}; what came before is kept") from error


def _skip_line(stream: BinaryIO) -> None:
    """Read on to the end of the line, keeping none of it."""
    while (piece := stream.readline(LINE_BYTES)) and not piece.endswith(b"\n"):
        pass
