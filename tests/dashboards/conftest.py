from _pytest.terminal import TerminalReporter

from tests.dashboards.schemas import folder


def pytest_terminal_summary(terminalreporter: TerminalReporter) -> None:
    where = folder()
    terminalreporter.write_line(
        f"dashboards: validated with Grafana's JSON Schemas in {where}"
        if where
        else "dashboards: no JSON Schemas of Grafana at hand (GRAFANA_SCHEMAS); checked by reading and writing again"
    )
