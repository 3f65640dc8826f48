"""Events as OpenMetrics text with timestamps, for `promtool tsdb create-blocks-from openmetrics`.

One family after the other, one sample an hour: a query then looks back with `last_over_time(…[90m])`. A finer cadence
would make more than a hundred thousand samples for a year of one event and show nothing more.
"""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Final

from monitor.events.record import RegulatoryEvent
from monitor.events.selection import When, when
from monitor.exporter import table
from monitor.exporter.event_samples import event_labels, lasts
from monitor.exporter.exposition import Format, header, label_text
from monitor.exporter.table import Metric

_HOUR: Final = 3600
_TITLE_CHARACTERS: Final = 200


def event_history(
    events: Iterable[RegulatoryEvent], all_events: Mapping[str, RegulatoryEvent], now: datetime
) -> Iterator[str]:
    """Yield the lines from the beginning of each event to its end, or to `now`; `# EOF` is the last."""
    dated = [(one, found) for one in events if (found := when(one, all_events)) is not None and found.earliest <= now]
    for metric in (table.EVENT_INFO, table.EVENT_ACTIVE, table.EVENT_START, table.EVENT_END):
        yield header(metric, Format.OPENMETRICS)
        for event, stands in dated:
            for labels in event_labels(event):
                yield from _samples(metric, event, stands, labels, now)
    yield "# EOF\n"


def _samples(
    metric: Metric, event: RegulatoryEvent, stands: When, labels: tuple[str, ...], now: datetime
) -> Iterator[str]:
    end = stands.latest
    value: float = 1
    if metric is table.EVENT_INFO:
        labels = (*labels, event.name[:_TITLE_CHARACTERS])
    elif metric is table.EVENT_ACTIVE and (stands.span is None or not lasts(stands.span)):
        return
    elif metric is table.EVENT_START:
        value = stands.earliest.timestamp()
    elif metric is table.EVENT_END:
        if end is None:
            return
        value = end.timestamp()
    start = f"{metric.name}{{{label_text(metric.labels, labels)}}}"
    last = int(min(end or now, now).timestamp())
    for at in range(int(stands.earliest.timestamp()), last, _HOUR):
        yield f"{start} {value} {at}\n"
    # It ended: a region that is drawn from the samples must not go on for as long as Prometheus looks back.
    is_over = metric is table.EVENT_ACTIVE and end is not None and end <= now
    yield f"{start} {0 if is_over else value} {last}\n"
