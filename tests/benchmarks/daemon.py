"""The monitor under test: the real daemon as a process, with a configuration for the benchmark's world."""

import re
import sqlite3
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.blackbox import target_url
from tests.benchmarks.process import Process, fetch, running
from tests.benchmarks.world import ADDRESS, NAME_SERVER, TEXT, ZONE, World
from tests.ports import free_port

# Sanity checks, at most one a minute for all targets together, are left out: they would need a world of their own.
CONFIGURATION = """
version: 1
defaults:
  interval: {interval}
  jitter: 10%
  allow_fast_interval: true
  timeouts: {{dns: {step}, tcp: {step}, tls: {step}, http: {step}, quic: {step}, total: {total}}}
network: {{allowed_bogons: [127.0.0.0/8]}}
tls: {{ca_file: {ca_file}}}
sanity: {{enabled: false, whoami: null}}
follow_ups:
  harmless_name: t0000.{zone}
  resolvers: ["{resolver}"]
  unrelated: t0000.{zone}:{port}
storage: {{path: {database}}}
server: {{listen: "{address}:{server_port}"}}
vantages:
  here: {{kind: direct, resolvers: ["{resolver}"]}}
platforms:
  bench:
    targets:
"""


@dataclass(frozen=True)
class Plan:
    """What the daemon is to measure; `hung` of the targets never answer."""

    targets: int
    interval_seconds: float
    port: int
    hung: int = 0


@dataclass(frozen=True)
class Reading:
    """What a daemon has done until a moment. Times are seconds."""

    at: float
    cpu: float
    measurements: int
    skipped: int
    lags: dict[float, int]  # cumulative counts by upper bound
    series: int
    scrape: float


@dataclass(frozen=True)
class Daemon:
    """A daemon that runs."""

    process: Process
    server_port: int
    database: Path

    def read(self) -> Reading:
        """Scrape the daemon and look at its processor time."""
        start = time.monotonic()
        text = fetch(f"http://{ADDRESS}:{self.server_port}/metrics")
        end = time.monotonic()
        return Reading(
            at=end,
            cpu=self.process.cpu_seconds(),
            measurements=int(total(text, "monitor_measurements_total")),
            skipped=int(total(text, "monitor_runs_skipped_total")),
            lags={
                float(bound): int(float(count))
                for bound, count in re.findall(
                    r'^monitor_schedule_lag_seconds_bucket\{le="([^"]+)"\} (\S+)$', text, re.MULTILINE
                )
            },
            series=sum(1 for line in text.splitlines() if not line.startswith("#")),
            scrape=end - start,
        )

    def committed(self) -> int:
        """Return how many runs the daemon says are safe."""
        return int(total(fetch(f"http://{ADDRESS}:{self.server_port}/metrics"), "monitor_store_committed_total"))

    def stored_bytes(self) -> int:
        """Return how many bytes of the database are in use."""
        with closing(sqlite3.connect(f"file:{self.database}?mode=ro", uri=True)) as connection:
            pages, free, size = (
                connection.execute(f"PRAGMA {name}").fetchone()[0]
                for name in ("page_count", "freelist_count", "page_size")
            )
        return int((pages - free) * size)

    def elapsed_seconds(self) -> list[float]:
        """Return how long each stored measurement took, sorted."""
        with closing(sqlite3.connect(f"file:{self.database}?mode=ro", uri=True)) as connection:
            rows = connection.execute("SELECT elapsed_microseconds FROM measurement").fetchall()
        return sorted(row[0] / 1e6 for row in rows)


def total(text: str, name: str) -> float:
    """Return the sum over all series of a metric in an exposition."""
    return sum(float(value) for value in re.findall(rf"^{name}(?:\{{[^\n]*\}})? (\S+)$", text, re.MULTILINE))


def lag_below(before: Reading, after: Reading, share: float) -> float:
    """Return the histogram bound below which `share` of the runs between two readings started late."""
    counts = {bound: after.lags[bound] - before.lags.get(bound, 0) for bound in sorted(after.lags)}
    wanted = share * max(counts.values())
    return next(bound for bound, count in counts.items() if count >= wanted)


@contextmanager
def daemon(world: World, plan: Plan, name: str) -> Iterator[Daemon]:
    """Start the daemon on a plan, with files called `name`."""
    server_port = free_port()
    database = world.folder / f"{name}.db"
    lines = [
        CONFIGURATION.format(
            interval=plan.interval_seconds,
            step=min(10.0, plan.interval_seconds / 2),
            total=min(45.0, plan.interval_seconds),
            ca_file=world.ca_file,
            zone=ZONE,
            port=plan.port,
            resolver=f"udp://{NAME_SERVER}:{world.dns_port}",
            database=database,
            address=ADDRESS,
            server_port=server_port,
        )
    ]
    for number in range(plan.targets):
        url = target_url(number, world.silent_port if number < plan.hung else plan.port)
        lines.append(f'      t{number:04}: {{url: "{url}", expect: {{text: "{TEXT}"}}}}\n')
    configuration = world.folder / f"{name}.yaml"
    configuration.write_text("".join(lines))
    command = (sys.executable, "-m", "monitor", "run", "-c", str(configuration))
    with running(command, world.folder / f"{name}.log") as process:
        process.wait_until_open(ADDRESS, server_port)
        yield Daemon(process, server_port, database)
