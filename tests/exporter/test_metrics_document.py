from pathlib import Path

from monitor.exporter.document import markdown


def test_the_published_table_is_the_table_of_metrics() -> None:
    assert Path("docs/metrics.md").read_text() == markdown()
