"""pytest plug-in (`-p tests.refuse_skips`): a run that left a test out has not passed."""

import pytest


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped, and `make test` runs everything: {report.longrepr}"


def pytest_collectreport(report: pytest.CollectReport) -> None:
    if report.skipped:
        report.outcome = "failed"
