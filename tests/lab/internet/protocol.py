"""The full protocol of a scenario, through the real daemon.

The clean network first, then the interference for at least three rounds and until its transition, then the clean
network again until the transition back. Every round under interference must show the same verdict.
"""

import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from monitor.lab.configuration import Agent
from tests.lab.internet.configuration import PATIENT, probes_yaml
from tests.lab.internet.internet import Internet
from tests.lab.internet.primitives import ControlLost, WrongClock
from tests.lab.internet.scenarios import Scenario
from tests.scenarios.daemon import Daemon, change

_INTERVAL_SECONDS: Final = 4.0
_TIMEOUTS: Final = {"dns": 1.5, "tcp": 2.5, "tls": 2.5, "http": 2.5, "quic": 2, "total": _INTERVAL_SECONDS}
# Looks on suspicion and after a return follow each other at once: the protocol waits for rounds, and for little else.
_LOOKS: Final = {"reprobe_wait": 0.2, "clearing_interval": 0.2, "budget": 200}
# Longer than any box here remembers whom it has cut off.
_PATIENT_WAIT_SECONDS: Final = 5.0
_ROUNDS: Final = 3
_PATIENCE_SECONDS: Final = 240.0
FAILING: Final = frozenset({"blocked", "throttled", "withheld"})


def protocol(internet: Internet, agent: Agent, scenario: Scenario, folder: Path) -> Mapping[str, Any]:
    """Carry it out; returns the last verdict under interference, the evidence stored, and what is wrong."""
    own = folder / f"{scenario.name}-protocol"
    own.mkdir(exist_ok=True)
    config = own / "probes.yaml"
    config.write_text(
        probes_yaml(
            {scenario.name: scenario.target},
            ca_file=internet.world.ca_file,
            database=own / "monitor.db",
            control=agent,
            follow_ups=scenario.follow_ups,
            timeouts=PATIENT,
        )
    )
    change(config, detection=_LOOKS)
    if scenario.patient:
        change(config, detection={"reprobe_wait": _PATIENT_WAIT_SECONDS})
    else:
        change(config, defaults={"interval": _INTERVAL_SECONDS, "timeouts": _TIMEOUTS})
    # A clock is wrong from the start or not at all: nobody moves it under a running program.
    internet.arrange(one for one in scenario.network if isinstance(one, WrongClock))
    daemon = Daemon(config)
    with internet.clock(), daemon.running():
        watch = _Watch(daemon, scenario)
        wrong = [f"clean: {one}" for one in watch.settled(scenario.clean.differences)]
        internet.arrange(scenario.network)
        if any(isinstance(one, ControlLost) for one in scenario.network):
            time.sleep(_INTERVAL_SECONDS)  # so old may be the control that a round goes by
        watch.forget_the_round_under_way()
        blames = bool(FAILING & set(scenario.expected.statuses))
        wrong += watch.rounds(_ROUNDS, scenario.expected.differences)
        found = watch.verdicts()[-1]
        evidence = watch.failures()
        # A name that was never accessible has no state to come from.
        before = "accessible" if scenario.clean.statuses == ("accessible",) else "unknown"
        if blames:
            wrong += watch.transitions([(before, "not_accessible")])
            wrong += watch.incidents(opened=1, closed=0)
        wrong += [f"no observation {one}" for one in scenario.evidence if one not in evidence]
        internet.lift()
        watch.forget_the_round_under_way()
        wrong += [f"lifted: {one}" for one in watch.settled(scenario.clean.differences)]
        if blames and scenario.clean.statuses == ("accessible",):
            wrong += watch.transitions([(before, "not_accessible"), ("not_accessible", "accessible")])
            wrong += watch.incidents(opened=1, closed=1)
        elif not blames:
            wrong += watch.transitions([])
        accused = sorted(FAILING & {one["status"] for one in watch.verdicts()})
    return {
        "verdict": found, "evidence": sorted(evidence), "accused": accused, "wrong": list(dict.fromkeys(wrong)),
    }  # fmt: skip


class _Watch:
    """Reads what the daemon stores about the one target."""

    def __init__(self, daemon: Daemon, scenario: Scenario) -> None:
        self._daemon = daemon
        self._target = scenario.name
        self._seen = 0

    def verdicts(self) -> list[dict[str, Any]]:
        """Return the verdict of each round, oldest first."""
        query = (
            "SELECT status, confidence, mechanisms, reason, rule, because FROM measurement_detail"
            " WHERE target = ? AND status NOT NULL ORDER BY id"
        )
        names = ("status", "confidence", "mechanisms", "reason", "rule", "because")
        rows = [dict(zip(names, row, strict=True)) for row in self._daemon.rows(query, self._target)]
        return [{**row, "mechanisms": json.loads(row["mechanisms"] or "[]")} for row in rows]

    def failures(self) -> set[str]:
        """Return every step with its failure that is stored, at the control too."""
        query = "SELECT DISTINCT step || ' ' || failure FROM observation_detail WHERE target = ? AND failure NOT NULL"
        return set(self._daemon.rows(query, self._target))

    def forget_the_round_under_way(self) -> None:
        """Ignore rounds up to now and the one that may have begun before now."""
        before = len(self.verdicts())
        self._until(lambda: len(self.verdicts()) > before)
        self._seen = len(self.verdicts())

    def rounds(self, number: int, differences: Callable[[Mapping[str, object]], list[str]]) -> list[str]:
        """Wait for further rounds; returns how any of them differs from what is demanded."""
        if not self._until(lambda: len(self.verdicts()) >= self._seen + number):
            return ["too few rounds"]
        new = self.verdicts()[self._seen :]
        self._seen += len(new)
        return [f"{each} in round {at + 1}" for at, one in enumerate(new) for each in differences(one)]

    def settled(self, differences: Callable[[Mapping[str, object]], list[str]]) -> list[str]:
        """Wait until the last rounds are as demanded; returns how they differ if they never are."""

        def found() -> list[str]:
            last = self.verdicts()[self._seen :][-_ROUNDS:]
            return ["too few rounds"] if len(last) < _ROUNDS else [each for one in last for each in differences(one)]

        self._until(lambda: not found())
        return found()

    def transitions(self, wanted: list[tuple[str, str]]) -> list[str]:
        query = (
            "SELECT before, after FROM transition JOIN target ON target.id = target_id"
            " WHERE target.name = ? ORDER BY transition.id"
        )
        self._until(lambda: len(self._daemon.rows(query, self._target)) >= len(wanted))
        found = self._daemon.rows(query, self._target)
        return [] if found == wanted else [f"transitions {found}, not {wanted}"]

    def incidents(self, *, opened: int, closed: int) -> list[str]:
        query = "SELECT count(*), count(closed_at) FROM incident"
        self._until(lambda: self._daemon.rows(query) == [(opened, closed)])
        found = self._daemon.rows(query)
        return [] if found == [(opened, closed)] else [f"incidents opened and closed {found}, not {(opened, closed)}"]

    def _until(self, question: Callable[[], bool]) -> bool:
        end = time.monotonic() + _PATIENCE_SECONDS
        while not question():
            if time.monotonic() > end:
                return False
            time.sleep(0.5)
        return True
