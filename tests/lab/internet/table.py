"""What the laboratory prints: a row for each scenario, and how expected and drawn statuses meet."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

from tests.lab.internet.scenarios import Scenario

STATUSES: Final = ("accessible", "blocked", "throttled", "withheld", "down", "inconclusive")
_COLUMNS: Final = "{:<5} {:<42} {:<52} {:<52} {:>7}  {}"


def heading() -> str:
    return _COLUMNS.format("", "scenario", "expected", "got", "seconds", "evidence")


def row(scenario: Scenario, found: Mapping[str, Any]) -> str:
    """Return a line about a scenario, and one more for each difference."""
    expected, verdict = scenario.expected, found["verdict"]
    demanded = _verdict("|".join(expected.statuses), expected.confidence, expected.mechanisms, expected.reason)
    got = _verdict(verdict["status"], verdict.get("confidence"), verdict.get("mechanisms") or (), verdict.get("reason"))
    evidence = ", ".join(found.get("evidence") or sorted(failures(found)))
    line = _COLUMNS.format(
        "WRONG" if found["wrong"] else "ok", scenario.name, demanded, got, f"{found['seconds']:.1f}", evidence
    )
    return "\n".join([line, *(f"      {one}" for one in found["wrong"])])


def failures(found: Mapping[str, Any]) -> set[str]:
    """Return the steps of a printed measurement that failed, each with its failure."""
    return {f"{one['step']} {one['failure']}" for one in found["observations"] if one.get("failure")}


def _verdict(status: str, confidence: str | None, mechanisms: Sequence[str], reason: str | None) -> str:
    in_brackets = f" ({confidence or reason})" if confidence or reason else ""
    return f"{status}{in_brackets} {' '.join(mechanisms)}".rstrip()


def confusion(results: Sequence[tuple[Scenario, Mapping[str, Any]]]) -> str:
    """Return the matrix of expected against drawn statuses.

    Where a scenario leaves a choice, the drawn one counts as expected if it is among the choices.
    """
    counted = Counter(
        (got if got in scenario.expected.statuses else scenario.expected.statuses[0], got)
        for scenario, found in results
        for got in (str(found["verdict"]["status"]),)
    )
    lines = [f"{'expected, got:':<15}" + "".join(f"{one:>13}" for one in STATUSES)]
    for expected in STATUSES:
        cells = (counted[expected, got] for got in STATUSES)
        lines.append(f"{expected:<15}" + "".join(f"{cell or '.':>13}" for cell in cells))
    return "\n".join(lines)
