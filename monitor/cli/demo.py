"""`monitor demo`: a story of interference on loopback, and what the monitor concludes from it."""

import signal
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

import click
import msgspec
from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from monitor.cli._rendering import STYLES, console, instant, print_outcome
from monitor.demo.performance import Conclusion, perform
from monitor.demo.stage import Pause, StageError, opened
from monitor.demo.story import STORY, Step
from monitor.model.measurement import Recording
from monitor.model.outcome import Incident, Outcome
from monitor.network.clock import SystemClock
from monitor.web.services import TargetState

_INTERVAL_SECONDS: Final = 4.0
_FAST_INTERVAL_SECONDS: Final = 1.5
_READING_SECONDS: Final = 5.0  # after each step, for whoever looks at the page
_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class _ToldToEndError(Exception):
    """Somebody pressed Ctrl-C or sent a signal."""


@click.command()
@click.option("--port", type=click.IntRange(0, 65_535), default=0, help="Port of the page; a free one by default.")
@click.option("--fast", is_flag=True, help="Measure more often: the story takes about a minute.")
@click.option(
    "--seconds", type=click.FloatRange(0), help="Stay up this long after the story; until Ctrl-C on a terminal."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object for each step.")
@click.option(
    "--folder",
    type=click.Path(path_type=Path, file_okay=False),
    help="Keep configuration, database and logs in this new or empty folder.",
)
@click.pass_context
def command(
    ctx: click.Context, *, port: int, fast: bool, seconds: float | None, as_json: bool, folder: Path | None
) -> None:
    """Show everything against a simulated censor on this host.

    Plays a story in about two minutes: a lying resolver, connections reset by name, a line that goes down, a platform
    that withdraws, one that breaks down, and the end of it all. The daemon, its database and its page are the real
    ones; the platforms are stand-ins. Nothing leaves this host, so no consent is asked for.

    Exit status: 0 if the monitor concluded what the story expects, or was told to end before; 1 if it did not; 2 if
    the demonstration could not start.
    """
    if folder is not None and folder.exists() and any(folder.iterdir()):
        raise click.UsageError(f"{folder} is not empty; the demonstration writes over nothing")
    interval_seconds = _FAST_INTERVAL_SECONDS if fast else _INTERVAL_SECONDS
    to = console()
    tell = _Json() if as_json else _Words(to)
    is_as_expected = True
    try:
        with ExitStack() as resources:
            pause = resources.enter_context(_until_told())
            place = folder or Path(resources.enter_context(tempfile.TemporaryDirectory(prefix="access-demo-")))
            place.mkdir(parents=True, exist_ok=True)
            stage = resources.enter_context(
                opened(place.absolute(), port=port, interval_seconds=interval_seconds, pause=pause)
            )
            tell.opening(stage.url, folder)
            before: Step | None = None
            for step in STORY:
                tell.announce(step)
                conclusion = perform(stage, step, before, SystemClock(), pause)
                is_as_expected = is_as_expected and conclusion.as_expected
                tell.conclude(step, conclusion)
                before = step
                pause(0 if fast else _READING_SECONDS)
            stays = seconds if seconds is not None else (None if sys.stdout.isatty() else 0.0)
            tell.closing(stage.url, stays, is_as_expected=is_as_expected)
            pause(threading.TIMEOUT_MAX if stays is None else stays)
    except _ToldToEndError:
        tell.end()
    except (StageError, OSError) as error:
        click.echo(f"The demonstration cannot go on: {error}", err=True)
        ctx.exit(2)
    ctx.exit(0 if is_as_expected else 1)


@contextmanager
def _until_told() -> Iterator[Pause]:
    """Yield a function that waits some seconds and raises `_ToldToEndError` as soon as a signal asks for the end.

    A signal only sets a flag, so it interrupts nothing half done, clearing up least of all.
    """
    told = threading.Event()

    def pause(seconds: float) -> None:
        if told.wait(seconds):
            raise _ToldToEndError

    before = {number: signal.signal(number, lambda *_: told.set()) for number in _SIGNALS}
    try:
        yield pause
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _Json:
    """One object for each step, and nothing else."""

    def opening(self, url: str, folder: Path | None) -> None:
        """Say nothing."""

    def announce(self, step: Step) -> None:
        """Say nothing."""

    def conclude(self, _: Step, conclusion: Conclusion) -> None:
        """Print the step."""
        click.echo(msgspec.json.encode(conclusion))

    def closing(self, url: str, stays_seconds: float | None, *, is_as_expected: bool) -> None:
        """Say nothing."""

    def end(self) -> None:
        """Say nothing."""


class _Words:
    """The story in plain words."""

    def __init__(self, to: Console) -> None:
        self._to = to
        self._number = 0
        self._known: dict[str, str] = {}

    def opening(self, url: str, folder: Path | None) -> None:
        """Say what this is and where the page is."""
        self._print(
            "A small internet on this host, with a censor in it. Nothing leaves the host, so no consent is asked for."
        )
        self._print("The daemon, its database and its page are real; the platforms are stand-ins under lab.test.")
        self._print(f"The page: {url}  Open it now and reload it after each step. Ctrl-C ends everything.")
        if folder is not None:
            self._print(f"Configuration, database and logs are kept in {folder}.")

    def announce(self, step: Step) -> None:
        """Say what happens now."""
        self._number += 1
        self._print()
        self._print(Text(f"{self._number} of {len(STORY)}  {step.title}", "bold"))
        self._print(step.happens)

    def conclude(self, step: Step, conclusion: Conclusion) -> None:
        """Say what the monitor concluded."""
        self._print(f"After {conclusion.elapsed_seconds:.0f} s the monitor says:")
        shown = [one for one in conclusion.targets if one.target in step.shows]
        for state in shown:
            self._say(state)
        self._others([one for one in conclusion.targets if one not in shown])
        for incident in reversed(conclusion.incidents):
            words = _incident_words(incident)
            before = self._known.get(incident.id)
            if words != before:
                verb = "closed" if incident.closed_at else "opened" if before is None else "goes on"
                self._print(f"  incident {incident.id} {verb}: {words}")
            self._known[incident.id] = words
        if conclusion.evidence is not None:
            stored = conclusion.evidence
            self._print("The first of these measurements, layer by layer:")
            outcome = Outcome(recording=Recording(measurement=stored.measurement), verdict=stored.verdicts[0].verdict)
            print_outcome(self._to, outcome, stored.measurement.vantage, None)
            self._print()
        self._print(Text(step.lesson, "italic"))
        for difference in conclusion.differences:
            self._print(Text(f"  not as expected: {difference}", "bold red"))

    def closing(self, url: str, stays_seconds: float | None, *, is_as_expected: bool) -> None:
        """Sum up, and say how long the page stays."""
        self._print()
        if is_as_expected:
            self._print(Text("Every verdict was what the story expects.", "bold green"))
        else:
            self._print(Text("Not every verdict was what the story expects; see above.", "bold red"))
        if stays_seconds is None:
            self._print(f"The daemon stays up: {url}  Ctrl-C ends it.")
        elif stays_seconds:
            self._print(f"The daemon stays up for {stays_seconds:g} s: {url}")

    def end(self) -> None:
        """Say that it was ended."""
        self._print("Ended.")

    def _print(self, text: Text | str = "") -> None:
        self._to.print(text, highlight=False, markup=False)

    def _say(self, state: TargetState) -> None:
        self._print(Text.assemble("  ", (state.target, "bold"), "  ", _verdict_words(state)))
        self._to.print(Padding(Text(state.because or ""), (0, 0, 0, 4), expand=False))

    def _others(self, states: Sequence[TargetState]) -> None:
        """Name the rest, one line for each verdict."""
        lines: dict[str, list[TargetState]] = {}
        for state in states:
            lines.setdefault(_verdict_words(state).plain, []).append(state)
        for members in lines.values():
            names = ", ".join(one.target for one in members)
            self._print(Text.assemble("  ", _verdict_words(members[0]), f": {names}"))


def _verdict_words(state: TargetState) -> Text:
    if state.status is None:
        return Text("not measured yet")
    words = [state.status.value, f"({state.confidence})" if state.confidence else "", *state.mechanisms]
    if state.reason:
        words.append(f"({state.reason})")
    return Text(" ".join(word for word in words if word), STYLES[state.status])


def _incident_words(incident: Incident) -> str:
    """Say what a person would want to hear of an incident again, should it change."""
    targets = ", ".join(sorted({member.target for member in incident.all_members}))
    if incident.closed_at is not None:
        return f"{targets}, until {instant(incident.closed_at)}"
    began = f"between {instant(incident.started_after)} and" if incident.started_after else "by"
    words = " ".join((incident.status, *incident.mechanisms))
    return f"{words}, {targets}, began {began} {instant(incident.started_before)}"
