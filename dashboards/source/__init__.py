"""Grafana dashboards, written by code: `python -m dashboards.source` writes the JSON files of `dashboards/` again."""
