"""pytest plug-in (`-p tests.refuse_skips`): a run that left a test out, or lost a worker of `-n`, has not passed."""

from typing import Final

import pytest
from xdist.workermanage import WorkerController

_LOST: Final = pytest.StashKey[list[str]]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_LOST] = []


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: WorkerController, error: object | None) -> None:
    # xdist fails the test that was running; a worker that had no test left would be lost in silence.
    if error is not None:
        node.config.stash[_LOST].append(node.gateway.id)


def pytest_sessionfinish(session: pytest.Session) -> None:
    if _skipped(session.config) or session.config.stash[_LOST]:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if _skipped(terminalreporter.config):
        terminalreporter.write_line("Skipped tests fail this run: every one has to be run.", red=True)
    for worker in terminalreporter.config.stash[_LOST]:
        terminalreporter.write_line(f"Worker {worker} died, which fails this run.", red=True)


def _skipped(config: pytest.Config) -> bool:
    """Whether a test was skipped; workers of xdist have no reporter, the process that started them has."""
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    return isinstance(reporter, pytest.TerminalReporter) and bool(reporter.stats.get("skipped"))
