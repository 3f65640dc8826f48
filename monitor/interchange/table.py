"""Measurements as rows of a flat table, for spreadsheets and data frames."""

from collections.abc import Iterable, Iterator
from typing import Any, Final

from monitor.store.reader import StoredMeasurement

COLUMNS: Final = (
    "id", "started_at", "platform", "target", "url", "vantage", "country", "asn", "network", "status", "confidence",
    "mechanisms", "reason", "rule", "because", "rules_version", "elapsed_seconds", "is_deep", "imported_from",
)  # fmt: skip
# A spreadsheet takes text that begins so for a formula.
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")


def rows(measurements: Iterable[StoredMeasurement]) -> Iterator[dict[str, Any]]:
    """Yield one row for each measurement, with its latest verdict; times are UTC instants."""
    for stored in measurements:
        measurement = stored.measurement
        verdict = stored.verdicts[0].verdict if stored.verdicts else None
        yield {
            "id": measurement.id,
            "started_at": measurement.started_at,
            "platform": stored.platform,
            "target": measurement.target,
            "url": measurement.url,
            "vantage": measurement.vantage,
            "country": measurement.network.country,
            "asn": measurement.network.asn,
            "network": measurement.network.name,
            "status": verdict and str(verdict.status),
            "confidence": verdict and verdict.confidence and str(verdict.confidence),
            "mechanisms": verdict and " ".join(verdict.mechanisms),
            "reason": verdict and verdict.reason and str(verdict.reason),
            "rule": verdict and verdict.rule,
            "because": verdict and verdict.because,
            "rules_version": verdict and verdict.rules_version,
            "elapsed_seconds": measurement.elapsed_seconds,
            "is_deep": measurement.is_deep,
            "imported_from": stored.imported and stored.imported.source,
        }


def cell(value: object) -> object:
    """Return a value as a spreadsheet may read it: no text becomes a formula."""
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value
