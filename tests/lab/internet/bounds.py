"""How long rounds take with the deadlines that the program has by default: on a healthy path, and at worst.

A round that fails, routine and deep run together, must end within a minute; a routine run on a healthy path within
twice what its steps take by themselves.
"""

import statistics
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import click
import yaml

from monitor.lab.configuration import Agent
from monitor.lab.resolvers import SILENCE, Answer
from tests.lab.internet import addresses
from tests.lab.internet.configuration import probes_yaml
from tests.lab.internet.internet import Internet
from tests.lab.internet.primitives import ControlLost, Drop, DropQuic, DropText, MtuHole, Offline, Primitive, Zone
from tests.scenarios.running import probe

_NAME: Final = "www.example.com"
_HTTP, _HTTPS = f"http://{_NAME}/", f"https://{_NAME}/"
_BEHIND: Final = "https://bit.ly/32447"
_ROUND_SECONDS: Final = 60.0
_LONGEST_RATIO: Final = 2.0
_REPETITIONS: Final = 9
_DROPPED: Final = (Drop(addresses.ORIGIN), DropQuic(addresses.ORIGIN))
WORST: Final[Sequence[tuple[str, str, tuple[Primitive, ...]]]] = (
    ("everything is dropped", _HTTPS, (Offline(),)),
    ("the line goes dead on the first packet to the target", _HTTPS, (Offline(addresses.ORIGIN),)),
    ("all to the target's address is dropped", _HTTPS, _DROPPED),
    ("the same, in cleartext", _HTTP, _DROPPED),
    ("the same, without the control", _HTTPS, (*_DROPPED, ControlLost())),
    ("the same, at two addresses in two families", _HTTPS, (
        *_DROPPED, Drop(addresses.ORIGIN_ELSEWHERE),
        Zone(_NAME, Answer((addresses.ORIGIN, addresses.ORIGIN_ELSEWHERE, addresses.ORIGIN_V6)), None))),
    ("the resolver never answers for the name", _HTTPS, (Zone(_NAME, SILENCE),)),
    ("no resolver answers for the name", _HTTPS, (Zone(_NAME, SILENCE, None),)),
    ("the name is dropped in TLS", _HTTPS, (DropText(_NAME),)),
    ("the name is dropped in TLS and HTTP, after a redirect", _BEHIND, (DropText(_NAME, 80), DropText(_NAME))),
    ("no long packet from the target arrives", _HTTPS, (MtuHole(source=addresses.ORIGIN),)),
)  # fmt: skip


def bounds(internet: Internet, agent: Agent, folder: Path) -> int:
    """Print how long rounds take; returns 1 if one takes longer than it may."""
    urls = {"https": _HTTPS, "http": _HTTP, "behind": _BEHIND}
    written = yaml.safe_load(
        probes_yaml(urls, ca_file=internet.world.ca_file, database=folder / "monitor.db", control=agent)
    )
    del written["defaults"]["timeouts"], written["defaults"]["interval"], written["follow_ups"]["retry_wait"]
    config = folder / "probes.yaml"
    config.write_text(yaml.safe_dump(written))
    names = {url: name for name, url in urls.items()}
    is_late = False
    click.echo(f"{'healthy path, median of ' + str(_REPETITIONS):<55} {'steps ms':>9} {'run ms':>9} {'ratio':>7}")
    internet.lift()
    for name in urls:
        runs = [_steps_and_whole(_probed(config, name)[1]) for _ in range(_REPETITIONS)]
        steps, whole = (statistics.median(each) for each in zip(*runs, strict=True))
        is_late |= whole > _LONGEST_RATIO * steps
        click.echo(f"{name:<55} {steps * 1000:>9.1f} {whole * 1000:>9.1f} {whole / steps:>7.2f}")
    click.echo(f"\n{'routine and deep run together':<55} {'run s':>9} {'command s':>9}  verdict")
    for words, url, primitives in WORST:
        internet.arrange(primitives)
        seconds, found = _probed(config, names[url])
        whole = _whole(found["observations"])
        is_late |= whole > _ROUND_SECONDS
        verdict = found["verdict"]
        said = f"{verdict['status']} {verdict.get('reason') or ' '.join(verdict.get('mechanisms') or ())}"
        click.echo(f"{words:<55} {whole:>9.1f} {seconds:>9.1f}  {said}")
    return int(is_late)


def _probed(config: Path, name: str) -> tuple[float, Mapping[str, Any]]:
    """Return how long the whole command took, its own start and the sanity checks included, and what it printed."""
    began = time.monotonic()
    status, printed, errors = probe(config, name)
    if len(printed) != 1:
        raise RuntimeError(f"exit status {status}: {errors}")
    return time.monotonic() - began, printed[0]


def _whole(observations: Sequence[Mapping[str, Any]]) -> float:
    return max((one["started_seconds"] + one["elapsed_seconds"] for one in observations), default=0.0)


def _steps_and_whole(found: Mapping[str, Any]) -> tuple[float, float]:
    """Return the time of the longest chain of steps, hop by hop, and that of the run from its start to its end."""
    path = [one for one in found["observations"] if one.get("purpose", "path") in {"path", "address_check"}]
    steps = 0.0
    for hop in {one.get("hop", 0) for one in path}:
        here = [one for one in path if one.get("hop", 0) == hop]

        def longest(step: str, *, check: bool, here: Sequence[Mapping[str, Any]] = here) -> float:
            return max(
                (
                    one["elapsed_seconds"]
                    for one in here
                    if one["step"] == step and (one.get("purpose", "path") == "address_check") == check
                ),
                default=0.0,
            )

        way = sum(longest(step, check=False) for step in ("tcp", "tls", "http"))
        aside = sum(longest(step, check=True) for step in ("tcp", "tls"))
        steps += longest("dns", check=False) + max(way, aside)
    return steps, _whole(path)
