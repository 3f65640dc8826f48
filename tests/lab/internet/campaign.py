"""Many scenarios, carried out by several laboratories side by side on a machine that others may use as well."""

import threading
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

from tests.lab.internet import table
from tests.lab.internet.laboratory import Laboratory, LaboratoryError
from tests.lab.internet.scenarios import Scenario

# Where the little world itself was late by so much, servers looked slow and resolvers dead that were not.
STARVED_SECONDS: Final = 0.5
MOST_ATTEMPTS: Final = 4


class Campaign:
    """Scenarios carried out by laboratories side by side: those that ended, and what the laboratories could not do.

    A starved laboratory says nothing about the program unless it drew a wrong accusation, which nothing excuses: the
    scenario goes back to the others, and that laboratory closes, so that fewer share the machine.
    """

    def __init__(
        self, scenarios: Sequence[Scenario], how: str, number: int, tell: Callable[[str], None] = lambda _: None
    ) -> None:
        # Those with the deadlines of real lines first: the last to begin should not be the last to end.
        self._waiting = deque(sorted(scenarios, key=lambda scenario: not scenario.patient))
        self._how = how
        self._lock = threading.Lock()
        self._tell = tell
        self.number = self._open = min(number, len(scenarios))
        self._attempts: Counter[str] = Counter()
        self.results: list[tuple[Scenario, Mapping[str, Any]]] = []
        self.starved = 0  # attempts given back

    def carry_out(self, folder: Path) -> None:
        """Let every laboratory work until nothing waits."""
        with ThreadPoolExecutor(self.number) as pool:
            works = [pool.submit(self._work, folder / f"laboratory-{one}") for one in range(self.number)]
        for one in works:
            one.result()

    def _work(self, own: Path) -> None:
        try:
            with Laboratory(own) as laboratory:
                while (scenario := self._next()) is not None:
                    if self._told(scenario, laboratory):
                        return
        except LaboratoryError as error:
            with self._lock:
                self._open -= 1
                self._tell(f"a laboratory could not be opened: {error}")

    def _next(self) -> Scenario | None:
        with self._lock:
            if self._waiting:
                return self._waiting.popleft()
            self._open -= 1
            return None

    def _told(self, scenario: Scenario, laboratory: Laboratory) -> bool:
        """Carry one out and tell of it; returns whether this laboratory is to close, having starved."""
        found: Mapping[str, Any] = {}
        try:
            found = laboratory.ask(scenario.name, self._how)
            delay = found["delay_seconds"]
            is_starved = bool(found["wrong"]) and delay > STARVED_SECONDS and not table.accuses_wrongly(scenario, found)
            why = f"the laboratory was late by {delay:.1f} s"
        except LaboratoryError as error:
            is_starved, why = True, f"the laboratory failed: {error}"
        with self._lock:
            self._attempts[scenario.name] += 1
            if not is_starved:
                self.results.append((scenario, found))
                self._tell(table.row(scenario, found))
                return False
            self.starved += 1
            is_given_up = self._attempts[scenario.name] >= MOST_ATTEMPTS
            self._tell(f"{'LOST' if is_given_up else 'again':<5} {scenario.name}: {why}")
            for difference in found.get("wrong", ()):
                self._tell(f"      {difference}")
            if not is_given_up:
                self._waiting.append(scenario)
            is_too_many = self._open > 1
            self._open -= is_too_many
            return is_too_many
