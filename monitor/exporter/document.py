"""docs/metrics.md, written from the table of metrics."""

from collections.abc import Iterable
from typing import Final

from monitor.exporter import table
from monitor.exporter.table import Metric

_INTRODUCTION: Final = """\
# Metrics

Written from `monitor/exporter/table.py`; a test compares the two.

`/metrics` answers in the Prometheus text format 0.0.4, or in OpenMetrics 1.0 if the `Accept` header names it.
Names that begin with `access_` say what was observed, `monitor_` what the daemon itself does; `process_*` are those
of every Prometheus client. No URL, address or free text is a label, but for the title of an event on
`access_event_info`. So the number of series is bounded by `probes.yaml`: about 50 for each target at each vantage, two
thirds of them step durations, and about four for each platform of each regulatory event that it names
(`events.builtin: []` for none).

## What was observed

The labels `platform`, `target`, `vantage`, `country` and `asn` name a series. `country` is what `probes.yaml` says of
the vantage, else what was observed; `asn` is always observed. Either is `unknown` where nothing is known. A vantage
that moves to another network ends its series and begins new ones. A control vantage's measurements are evidence and
not judged: they have step durations and times, but no status.
"""
_ALERTING: Final = """\
A target is absent from `access_target_accessible` while its verdict is inconclusive, so a dead line of the vantage
cannot look like a block. A useful alert therefore waits for both:

```
access_target_accessible == 0                                # something prevents access
access_target_inconclusive == 1 unless on(vantage) (access_vantage_online == 0)   # grey, and not for our own line
time() - access_last_measurement_timestamp_seconds > 3 * access_probe_interval_seconds   # nobody looks any more
```

## The daemon itself
"""
_PROBE: Final = """\
## `/probe`

`/probe?target=x-home` measures at once and answers in the names of blackbox_exporter, so that its dashboards and
alerts keep working. `target` is the name or the URL of a configured target; another URL only if `server.probe`
allows its host. `module` is `http_2xx` (the default: the target as it is configured), `tls_connect` or `tcp_connect`
(the same target, no further than that step). `vantage` names the vantage, `hostname` must be the target's own, and
`debug=true` shows what happened. A measurement that failed is answered with status 200 and `probe_success 0`.

The time budget is the header `X-Prometheus-Scrape-Timeout-Seconds` (120 s without it) less
`server.probe.timeout_offset`, and never more than `defaults.timeouts.total`.

Certificate facts are there for every handshake that delivered a certificate; blackbox_exporter has none for a
certificate that does not verify.
"""


def markdown() -> str:
    """Return the whole of docs/metrics.md."""
    return "\n".join(
        [
            _INTRODUCTION,
            _rows(table.TARGET_METRICS + tuple(one for one in table.OTHER_METRICS if one.name.startswith("access_"))),
            _ALERTING,
            _rows(one for one in table.OTHER_METRICS if one.name.startswith("monitor_")),
            _PROBE,
            _rows(table.PROBE_METRICS),
        ]
    )


def _rows(metrics: Iterable[Metric]) -> str:
    lines = ["| metric | type | labels | meaning |", "|---|---|---|---|"]
    lines += [f"| `{one.name}` | {one.kind} | {_labels(one)} | {one.help} |" for one in metrics]
    return "\n".join(lines) + "\n"


def _labels(metric: Metric) -> str:
    own = metric.labels
    shown = []
    if own[: len(table.TARGET_LABELS)] == table.TARGET_LABELS:
        own = own[len(table.TARGET_LABELS) :]
        shown = ["…"]  # the labels that name a series, introduced above the table
    return ", ".join([*shown, *(f"`{name}`" for name in own)])
