"""How `pytest -n NUMBER` (pytest-xdist) shares the tests out so that waits overlap, and what a run tells at its end."""

from collections import Counter, defaultdict
from pathlib import Path
from typing import Final

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

from tests.dashboards.schemas import folder

_TESTS: Final = Path(__file__).parent
# What takes longest, first: what begins last should not be what ends last.
_FIRST: Final = (
    "scenarios/test_internet.py",
    "scenarios/test_demo.py",
    "scenarios/test_daemon.py",
    "scenarios/test_alerts.py",
    "scenarios/test_storage_trouble.py",
    "scenarios/test_reload.py",
    "scenarios/test_crashes.py",
    "scenarios/test_incidents.py",
    "scenarios/test_alert_commands.py",
    "vantages/test_tunnels.py",
    "dashboards/test_live.py",
    "report/test_report.py",
    "simulation/test_figures.py",
    "daemon/test_agent_server.py",
    "lab/internet/test_internet.py",
    "alerts/test_sender.py",
)
# Each of these runs several laboratories at once, which is load enough: one worker takes them one after the other.
_IN_TURN: Final = ("scenarios/test_internet.py", "scenarios/test_verdicts.py")
# Long files whose tests share little or nothing: any worker takes any test.
_APART: Final = ("scenarios/test_demo.py", "vantages/test_tunnels.py")


class Shares(LoadScopeScheduling):  # type: ignore[misc]  # xdist ships no types
    """A worker takes a whole file, for its tests share what the file sets up; the exceptions stand above."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0].removeprefix("tests/")
        if file in _APART:
            return nodeid
        return _IN_TURN[0] if file in _IN_TURN else file


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Shares:
    config.option.loadscopereorder = False  # keep the order of collection, which is ours
    return Shares(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    order = {_TESTS / file: number for number, file in enumerate(_FIRST)}
    items.sort(key=lambda item: order.get(item.path, len(order)))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say which tests were run, by folder, and how long they took; the waits of workers side by side add up."""
    tests: Counter[str] = Counter()
    seconds: defaultdict[str, float] = defaultdict(float)
    for reports in terminalreporter.stats.values():
        for report in reports:
            if isinstance(report, pytest.TestReport):
                place = str(Path(report.nodeid.partition("::")[0]).parent)
                tests[place] += report.when == "call"
                seconds[place] += report.duration
    terminalreporter.section("tests and seconds by folder")
    for place in sorted(tests):
        terminalreporter.write_line(f"{tests[place]:5} {seconds[place]:7.1f} s  {place}")
    if "tests/dashboards" in tests:
        where = folder()
        how = (
            f"with Grafana's JSON Schemas in {where}"
            if where
            else "by reading and writing them again (GRAFANA_SCHEMAS)"
        )
        terminalreporter.write_line(f"dashboards: validated {how}")
