"""blackbox_exporter as the yardstick: the same probe, asked for at the same rate."""

import asyncio
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.benchmarks.process import Process, running
from tests.benchmarks.world import ADDRESS, NAME_SERVER, TEXT, ZONE, World
from tests.ports import free_port

MODULE = f"""
modules:
  bench:
    prober: http
    timeout: 10s
    http:
      fail_if_body_not_matches_regexp: ["{TEXT}"]
      tls_config: {{ca_file: %s}}
"""
# Its resolver reads /etc/resolv.conf; in a mount namespace of its own it reads ours.
IN_OUR_NAMES = 'mount --bind "$0" /etc/resolv.conf && exec "$@"'


@dataclass(frozen=True)
class Blackbox:
    """A blackbox_exporter that runs."""

    process: Process
    port: int

    async def probe(self, client: httpx.AsyncClient, url: str) -> float:
        """Have one URL probed and return the duration it reports, in seconds; raises SystemExit if it failed."""
        answer = await client.get(
            f"http://{ADDRESS}:{self.port}/probe", params={"module": "bench", "target": url}, timeout=30
        )
        lines = dict(line.rsplit(" ", 1) for line in answer.text.splitlines() if line and not line.startswith("#"))
        if lines.get("probe_success") != "1":
            raise SystemExit(f"blackbox_exporter cannot measure {url}: {answer.text}")
        return float(lines["probe_duration_seconds"])

    async def paced(self, port: int, per_second: float, count: int) -> list[float]:
        """Have `count` targets probed at an even rate and return the durations."""
        start = time.monotonic()

        async def one(number: int) -> float:
            await asyncio.sleep(start + number / per_second - time.monotonic())
            return await self.probe(client, target_url(number, port))

        async with httpx.AsyncClient(trust_env=False) as client:
            return list(await asyncio.gather(*map(one, range(count))))

    async def flat_out(self, port: int, at_once: int, seconds: float) -> float:
        """Keep `at_once` probes running and return how many ended per second."""
        end = time.monotonic() + seconds

        async def some() -> int:
            count = 0
            while time.monotonic() < end:
                await self.probe(client, target_url(count, port))
                count += 1
            return count

        async with httpx.AsyncClient(trust_env=False) as client:
            return sum(await asyncio.gather(*(some() for _ in range(at_once)))) / seconds


def target_url(number: int, port: int) -> str:
    """Return the URL of a target; every one has its own name."""
    return f"https://t{number:04}.{ZONE}:{port}/"


@contextmanager
def blackbox(world: World) -> Iterator[Blackbox]:
    """Start blackbox_exporter."""
    program = shutil.which("prometheus-blackbox-exporter")
    if program is None:
        raise SystemExit("blackbox_exporter is missing: sudo tools/debian-packages")
    if world.dns_port != 53:
        raise SystemExit("blackbox_exporter asks name servers on port 53 only: run this as root")
    configuration = world.folder / "blackbox.yml"
    configuration.write_text(MODULE % world.ca_file)
    resolv = world.folder / "resolv.conf"
    resolv.write_text(f"nameserver {NAME_SERVER}\n")
    port = free_port()
    arguments = (f"--config.file={configuration}", f"--web.listen-address={ADDRESS}:{port}", "--log.level=error")
    wrapped = ("unshare", "--mount", "sh", "-c", IN_OUR_NAMES, str(resolv), program, *arguments)
    with running(wrapped, Path(world.folder / "blackbox.log")) as process:
        process.wait_until_open(ADDRESS, port)
        yield Blackbox(process, port)
