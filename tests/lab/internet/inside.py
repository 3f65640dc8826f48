"""The process inside the namespaces: `python -m tests.lab.internet.inside FOLDER`, started by laboratory.py.

Carries out one scenario for each JSON line on its standard input and answers each with one; or, told so by further
arguments, opens a shell or counts false alarms.
"""

import contextlib
import json
import os
import subprocess
import sys
import time
import traceback
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from monitor.lab.configuration import Agent
from tests.lab.internet import addresses
from tests.lab.internet.client import look
from tests.lab.internet.configuration import BRISK, PATIENT, probes_yaml
from tests.lab.internet.false_alarms import false_alarms
from tests.lab.internet.internet import Internet
from tests.lab.internet.namespaces import CLIENT, CONTROL, enter, listening
from tests.lab.internet.protocol import FAILING, protocol
from tests.lab.internet.scenarios import SCENARIOS, WAITING, Scenario
from tests.scenarios.running import TOKEN, line_with, probe, running

_BY_NAME: Final = {scenario.name: scenario for scenario in (*SCENARIOS, *WAITING)}


@contextlib.contextmanager
def control_agent(internet: Internet, folder: Path) -> Iterator[Agent]:
    """Run `monitor agent serve` in the control's namespace."""
    token_file = folder / "token"
    token_file.write_text(TOKEN)
    listen = f"{addresses.CONTROL}:{addresses.CONTROL_PORT}"
    options = ("--listen", listen, "--token-file", str(token_file), "--data", str(folder / "agent"), "--rate", "1000")
    enter(CONTROL)
    try:
        agent = running(
            "agent",
            "serve",
            *options,
            "--ca-file",
            str(internet.world.ca_file),
            "--no-sanity",
            log=folder / "agent.log",
        )
        process = agent.__enter__()
    finally:
        enter(CLIENT)
    try:
        line_with(process, "Listening on ")
        url = f"https://{addresses.CONTROL_NAME}:{addresses.CONTROL_PORT}"
        yield Agent(url=url, token_file=token_file, fingerprint=line_with(process, "Fingerprint "))
    finally:
        agent.__exit__(None, None, None)


def shell(internet: Internet, agent: Agent, scenario: Scenario, folder: Path) -> int:
    """Arrange a scenario and hand the client over to whoever sits at the terminal."""
    config = folder / "probes.yaml"
    config.write_text(_configured(internet, agent, scenario, folder))
    internet.arrange(scenario.network)
    sys.stderr.write(
        f"{scenario.name}: {scenario.expected}\n"
        f"  python -m monitor probe {scenario.name} -c {config}\n"
        "  nsenter --net=/run/netns/router tcpdump -ni cl        (also: client, control, world)\n"
        "  nsenter --net=/run/netns/router iptables -vnL         what matched\n"
        "The laboratory ends with this shell.\n"
    )
    with internet.clock():
        path = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "PS1": "client# "}
        subprocess.run(["bash", "--norc"], check=False, env={**os.environ, **path})
    return 0


def _configured(internet: Internet, agent: Agent, scenario: Scenario, folder: Path) -> str:
    return probes_yaml(
        {scenario.name: scenario.target},
        ca_file=internet.world.ca_file,
        database=folder / f"{scenario.name}.db",
        control=agent,
        follow_ups=scenario.follow_ups,
        timeouts=PATIENT if scenario.patient else BRISK,
    )


def one_round(internet: Internet, agent: Agent, scenario: Scenario, folder: Path) -> Mapping[str, Any]:
    """Measure once through the command line; returns what it printed, and what is wrong with it."""
    config = folder / f"{scenario.name}.yaml"
    config.write_text(_configured(internet, agent, scenario, folder))
    internet.arrange(scenario.network)
    with internet.clock(), _nobody_knocks() as knocked:
        status, printed, errors = probe(config, scenario.name)
    if len(printed) != 1:
        raise RuntimeError(f"exit status {status}: {errors}")
    return {**printed[0], "exit_status": status, "wrong": wrong(scenario, printed[0]) + knocked}


@contextlib.contextmanager
def _nobody_knocks() -> Iterator[list[str]]:
    """Listen on the client's loopback meanwhile: whatever a name leads to, the program must not connect there."""
    knocked: list[str] = []
    with contextlib.ExitStack() as opened:
        listeners = [opened.enter_context(listening("127.0.0.1", port)) for port in (80, 443)]
        yield knocked
        for listener in listeners:
            with contextlib.suppress(BlockingIOError):
                listener.accept()[0].close()
                knocked.append("somebody connected to the client's loopback")


def wrong(scenario: Scenario, found: Mapping[str, Any]) -> list[str]:
    """Return how a measurement differs from what the scenario demands."""
    observations, verdict = found["observations"], found["verdict"]
    seen = {f"{one['step']} {one.get('failure')}" for one in observations}
    differences = scenario.expected.differences(verdict)
    differences += [f"no observation {one}" for one in scenario.evidence if one not in seen]
    if verdict["status"] in FAILING and scenario.host_at_fault not in verdict["because"]:
        differences.append(f"the sentence does not name {scenario.host_at_fault}")
    if verdict["status"] == "accessible" and not any(
        one.get("bytes_sent") and one.get("bytes_received") for one in observations
    ):
        differences.append("no bytes were counted in both directions")
    return differences


def main() -> int:
    folder = Path(sys.argv[1]).absolute()
    os.environ["PATH"] += ":/usr/sbin:/sbin"  # where Debian keeps iptables from ordinary users
    with Internet() as internet, control_agent(internet, folder) as agent:
        match sys.argv[2:]:
            case ["shell", name]:
                return shell(internet, agent, _BY_NAME[name], folder)
            case ["false-alarms", measurements, seed]:
                return false_alarms(internet, agent, folder, int(measurements), int(seed))
            case _:
                _answer_requests(internet, agent, folder)
    return 0


def _answer_requests(internet: Internet, agent: Agent, folder: Path) -> None:
    _answer({"ready": True})
    for line in sys.stdin:
        asked = json.loads(line)
        started = time.monotonic()
        try:
            found = _carry_out(asked, internet, agent, folder)
            _answer({**found, "seconds": round(time.monotonic() - started, 1)})
        except Exception:  # noqa: BLE001 - told by whoever asked
            _answer({"error": traceback.format_exc()})


def _carry_out(asked: Mapping[str, Any], internet: Internet, agent: Agent, folder: Path) -> Mapping[str, Any]:
    scenario = _BY_NAME[asked["scenario"]]
    match asked["how"]:
        case "round":
            return one_round(internet, agent, scenario, folder)
        case "protocol":
            return protocol(internet, agent, scenario, folder)
        case "look":
            internet.arrange(scenario.network)
            return {
                "seen": [
                    look(what, address, port, name, internet.world.ca_file)
                    for what, address, port, name in asked["looks"]
                ]
            }
        case how:
            raise ValueError(how)


def _answer(found: Mapping[str, Any]) -> None:
    sys.stdout.write(json.dumps(found) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
