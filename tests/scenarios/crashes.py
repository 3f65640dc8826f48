"""The daemon killed again and again while a censor switches a platform off and on; every message is accounted for."""

import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from monitor.lab import Cut, Lab
from monitor.model.alert import AlertKind
from tests.alerts.receivers import Receiver, receiver
from tests.scenarios.daemon import Daemon, configuration

NAME = "switched.lab.test"
EVERYTHING = sorted({one.value for one in AlertKind} - {AlertKind.TEST.value})


class Account(NamedTuple):
    """What was written, what arrived, and what is wrong about it."""

    alerts: int
    requests: int
    repeats: int
    problems: list[str]


def crash(folder: Path, kills: int, chance: random.Random, say: Callable[[str], None] = lambda _: None) -> Account:
    """Kill the daemon at random instants; one receiver is well, the other fails every third time."""
    with Lab() as lab, receiver() as well, receiver() as poor:
        poor.answer = lambda number: (500 if number % 3 == 2 else 204, {})
        lab.site(NAME)
        receivers = {"well": well, "poor": poor}
        alerts = {
            # Without the bound of messages in ten minutes, which a long run meets: the last ones would wait.
            "channels": {
                name: {"kind": "webhook", "url": one.url, "timeout": 5, "rate": {"messages": 10_000}}
                for name, one in receivers.items()
            },
            "routes": {"all": {"channels": list(receivers), "kinds": EVERYTHING}},
            "group": 0,
            "digest": 0,
            "flapping": {"changes": 0},
        }
        detection = {"clearing_interval": 1, "reprobe_wait": 0.5}
        config = configuration(
            lab, folder, {"switched": lab.url(NAME)}, interval_seconds=1, alerts=alerts, detection=detection
        )
        daemon = Daemon(config)
        for number in range(1, kills + 1):
            with daemon.running():
                time.sleep(chance.uniform(0, 8))
                daemon.kill()
            switch(lab, daemon)
            say(f"{number} of {kills}: {daemon.count('alert')} alerts, {len(well.requests)} and {len(poor.requests)} "
                "requests")  # fmt: skip
        lab.lift()
        with daemon.running():
            daemon.wait_for(lambda: not daemon.rows("SELECT 1 FROM incident WHERE closed_at IS NULL"))
            daemon.wait_for(lambda: not daemon.rows("SELECT 1 FROM delivery WHERE state = 'pending'"))
        problems = [one for name, each in receivers.items() for one in problems_of(daemon, name, each)]
        requests = [one for each in receivers.values() for one in each.taken]
        keys = [one.headers["Idempotency-Key"] for one in requests]
        return Account(daemon.count("alert"), len(keys), len(keys) - len(set(keys)), problems)


def switch(lab: Lab, daemon: Daemon) -> None:
    """Interfere once access was confirmed, and let go once interference was."""
    states = daemon.rows("SELECT state FROM detector")
    if states == ["accessible"]:
        lab.censor(NAME, Cut.RESET)
    elif states == ["not_accessible"]:
        lab.lift()


def problems_of(daemon: Daemon, channel: str, taken: Receiver) -> list[str]:
    """Return what is wrong: lost, invented, out of order, or left undone."""
    written = daemon.rows(
        "SELECT d.idempotency_key, d.state, a.subject FROM delivery d JOIN alert a ON a.id = d.alert_id "
        "WHERE d.channel = ? ORDER BY a.id",
        channel,
    )
    wanted = [key for key, state, _ in written if state != "superseded"]
    first: dict[str, None] = dict.fromkeys(one.headers["Idempotency-Key"] for one in taken.taken)
    subjects = {key: subject for key, _, subject in written}
    found = [f"{channel}: {key} never came" for key in wanted if key not in first]
    found += [f"{channel}: {key} was invented" for key in first if key not in subjects]
    found += [f"{channel}: {key} is {state}" for key, state, _ in written if state not in {"delivered", "superseded"}]
    for subject in set(subjects.values()):
        came = [key for key in first if subjects.get(key) == subject]
        if came != [key for key in wanted if subjects[key] == subject]:
            found.append(f"{channel}: {subject} came out of order: {came}")
    updates = daemon.rows("SELECT incident_id || '/' || kind || '/' || sequence FROM incident_update")
    names = {key.rpartition("/")[0] for key in subjects}
    return found + [f"{one} was never to be told" for one in updates if one not in names]
