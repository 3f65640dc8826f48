"""The report as a table of what was measured, and as plain text. Pure."""

import csv
import io
from collections.abc import Iterator
from datetime import timedelta

from monitor.model.verdict import Status
from monitor.report import words
from monitor.report.record import Report

COLUMNS = (
    "start", "seconds", "platform", "country", "vantage", "role", "asn", "network", "expected", "runs", "kept",
    *(status.value for status in Status),
)  # fmt: skip
# What a spreadsheet would take for a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def as_csv(report: Report) -> str:
    """Return one row for each network and stretch of time that was counted; counts are rounds. Times are UTC."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(COLUMNS)
    seconds = report.table.width // timedelta(seconds=1)
    for band in report.table.bands:
        for one in band.buckets:
            writer.writerow(
                (
                    one.start.isoformat(),
                    seconds,
                    report.platform,
                    report.place.country,
                    _plain(band.vantage),
                    band.role.value,
                    band.network.asn or "",
                    _plain(band.network.name or ""),
                    round(one.expected, 2),
                    one.runs,
                    one.kept,
                    *(one.counts.get(status, 0) for status in Status),
                )
            )
    return text.getvalue()


def _plain(text: str) -> str:
    return f"'{text}" if text.startswith(_FORMULA) else text


def as_text(report: Report) -> str:
    """Return the report for a terminal or a message."""
    return "\n".join(_lines(report)) + "\n"


def _lines(report: Report) -> Iterator[str]:
    place = report.place
    if report.is_simulated:
        yield "SIMULATED: nobody measured this.\n"
    yield from report.sentences
    for one in report.incidents:
        yield ""
        yield f"{one.id} ({', '.join(one.mechanisms) or 'mechanism not known'})"
        for change in one.changes:
            yield f"  {words.EDGES[change.kind]} on {change.network}: {words.changed(change, place)}"
    if report.comparisons:
        yield '\nEvents, by date ("coincides" is about time alone)'
    for compared in report.comparisons:
        yield f"  {compared.title}: {compared.phase}, {compared.date}"
        yield f"    {compared.line.sentence}"
        yield f"    Told by {', '.join(dict.fromkeys(one.publisher for one in compared.sources)) or 'nobody named'}."
    for title, lines in (("Other explanations", report.elsewhere), ("What is not known", report.unknowns)):
        if lines:
            yield f"\n{title}"
            yield from (f"  {line}" for line in lines)
    yield ""
    yield (
        f"Version {report.version}, rules {', '.join(map(str, report.rules_versions)) or 'none applied'}; evidence: "
        f"measurements {', '.join(str(one.measurement) for one in report.proofs) or 'none'}."
    )
