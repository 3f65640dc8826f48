"""Counting false alarms: the daemon watches healthy targets while innocent faults come and go at random.

Nothing interferes, so not one verdict may be `blocked` or `throttled`, and no incident may open.
"""

import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import click

from monitor.lab.configuration import Agent
from monitor.lab.pages import always, challenge, with_status
from tests.lab.internet import addresses
from tests.lab.internet.configuration import PATIENT, probes_yaml
from tests.lab.internet.hosts import here, origin_page
from tests.lab.internet.internet import Internet
from tests.lab.internet.primitives import (
    Congestion,
    ControlLost,
    Loss,
    Offline,
    Overloaded,
    Primitive,
    Server,
    Silent,
)
from tests.scenarios.daemon import Daemon, change

_PAGES_OF_A_PLATFORM: Final = 10
_CLEARTEXT_PAGES: Final = 3
_INTERVAL_SECONDS: Final = 15
_FAULT_SECONDS: Final = (5.0, 40.0)
_QUIET_SECONDS: Final = (3.0, 15.0)
_TWO_AT_ONCE: Final = 0.3
_BLAMED: Final = ("blocked", "throttled")


@dataclass(frozen=True)
class Fault:
    """An innocent fault; `draw` makes it of a certain strength, somewhere."""

    name: str
    draw: Callable[[random.Random], tuple[Primitive, ...]]
    loses: bool = False  # packets on the way; two such at once would be more than the 20 % that lines are known for


def _somewhere(dice: random.Random) -> str:
    return dice.choice(list(addresses.PLATFORMS.values()))


FAULTS: Final = (
    Fault("loss on the client's line", lambda dice: (Loss(dice.uniform(0.05, 0.2)),), loses=True),
    Fault("loss on everybody's line", lambda dice: (Loss(dice.uniform(0.05, 0.2), "wd"),), loses=True),
    Fault("loss on the control's line", lambda dice: (Loss(dice.uniform(0.1, 0.3), "ct"),)),
    Fault("resets by overload", lambda dice: tuple(
        Overloaded(dice.uniform(0.2, 0.8), address) for address in addresses.PLATFORMS.values())),
    Fault("outage of a platform", lambda dice: (Silent(_somewhere(dice)), Silent(_somewhere(dice)))),
    Fault("errors of a platform", lambda dice: (Server(_somewhere(dice), page=always(with_status(503))),)),
    Fault("a wall against robots", lambda dice: (
        Server(_somewhere(dice), page=here(challenge(403), always(origin_page()))),)),
    Fault("slow servers", lambda dice: tuple(
        Server(address, page=always(replace(origin_page(), wait_seconds=dice.uniform(1.0, 12.0))))
        for address in addresses.PLATFORMS.values())),
    Fault("outage of the resolver", lambda _: (Silent(addresses.SYSTEM_RESOLVER, 53, "udp"),)),
    Fault("outage of every resolver", lambda _: tuple(
        Silent(address, 53, "udp") for address in (addresses.SYSTEM_RESOLVER, *addresses.PUBLIC_RESOLVERS))),
    Fault("cut of the uplink", lambda _: (Offline(),)),
    Fault("congestion", lambda dice: (Congestion(dice.randint(40, 200)),), loses=True),
    Fault("loss of the control", lambda _: (ControlLost(),)),
)  # fmt: skip


def false_alarms(internet: Internet, agent: Agent, folder: Path, measurements: int, seed: int) -> int:
    """Run until that many measurements are stored; prints the counts and returns 1 if anybody was blamed."""
    config = folder / "probes.yaml"
    targets = {
        f"platform-{at}-{page}": f"{'http' if page < _CLEARTEXT_PAGES else 'https'}://{name}/{page}"
        for at, name in enumerate(addresses.PLATFORMS)
        for page in range(_PAGES_OF_A_PLATFORM)
    }
    config.write_text(
        probes_yaml(
            targets,
            ca_file=internet.world.ca_file,
            database=folder / "monitor.db",
            control=agent,
            interval_seconds=_INTERVAL_SECONDS,
            timeouts=PATIENT,
        )
    )
    # Deadlines, retries and sanity checks as on a real line.
    change(
        config,
        sanity={"max_age": 60},
        follow_ups={"retry_wait": 1},
        defaults={"jitter": 0.1, "host_concurrency": _PAGES_OF_A_PLATFORM},
    )
    internet.arrange()
    dice = random.Random(seed)  # noqa: S311 - repeatable, not secret
    seconds: Counter[str] = Counter()
    diary: list[tuple[datetime, datetime, str]] = []
    daemon = Daemon(config)
    with daemon.running():
        while _stored(daemon) < measurements:
            faults = dice.sample(FAULTS, 2 if dice.random() < _TWO_AT_ONCE else 1)
            if all(fault.loses for fault in faults):
                del faults[1:]
            internet.arrange(primitive for fault in faults for primitive in fault.draw(dice))
            lasts = dice.uniform(*_FAULT_SECONDS)
            seconds.update({fault.name: round(lasts) for fault in faults})
            began = datetime.now(UTC)  # noqa: TID251 - beside what the daemon stores
            time.sleep(lasts)
            internet.lift()
            diary.append((began, datetime.now(UTC), " and ".join(fault.name for fault in faults)))  # noqa: TID251 - so
            time.sleep(dice.uniform(*_QUIET_SECONDS))
        rows = daemon.rows(
            "SELECT status, coalesce(reason, ''), count(*) FROM measurement_detail"
            " WHERE vantage = 'here' AND status NOT NULL GROUP BY 1, 2 ORDER BY 3 DESC"
        )
        blamed = daemon.rows(
            "SELECT started_at, target, mechanisms, rule, because FROM measurement_detail WHERE status IN (?, ?)",
            *_BLAMED,
        )
        incidents = daemon.count("incident")
    click.echo(f"seed {seed}; {sum(row[2] for row in rows)} measurements of {len(targets)} healthy targets\n")
    click.echo(f"{'status':<14} {'reason':<22} {'measurements':>12}")
    for status, reason, number in rows:
        click.echo(f"{status:<14} {reason:<22} {number:>12}")
    click.echo(f"\n{'fault':<28} {'seconds':>7}")
    for name, lasted in seconds.most_common():
        click.echo(f"{name:<28} {lasted:>7}")
    click.echo(f"\n{len(blamed)} blamed the network; {incidents} incidents")
    for row in blamed:
        click.echo(f"  {row}")
    for began, ended, names in diary if blamed else ():
        click.echo(f"  {began:%H:%M:%S} to {ended:%H:%M:%S} {names}")
    return 1 if blamed or incidents else 0


def _stored(daemon: Daemon) -> int:
    return int(daemon.rows("SELECT count(*) FROM measurement_detail WHERE vantage = 'here' AND status NOT NULL")[0])
