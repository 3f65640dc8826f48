"""Many agents that push into one centre, which is killed meanwhile: `make fleet`, or with --help what can be varied.

The senders measure nothing: what they send looks like ordinary rounds, one in twenty of them cut off. They keep every
result until it is acknowledged, as real agents do, and reach the centre through a relay that can be cut. In the end
every result that was ever made must be stored exactly once, and nothing that a stranger signed.
"""

import argparse
import asyncio
import contextlib
import hashlib
import os
import secrets
import signal
import sqlite3
import statistics
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import click
import httpx
import msgspec
import yaml
import zstandard
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from monitor.config.load import load as load_file
from monitor.daemon.ingest_keys import listener_files, signing_key
from monitor.model.agent import Agent, Token
from monitor.model.fleet import Acknowledgement, BatchHead, CheckIn, CheckInAnswer, Result
from monitor.model.measurement import Evidence, Recording
from monitor.model.target import Target
from monitor.model.vantage import NetworkIdentity, VantageState
from monitor.network.clock import SystemClock
from monitor.network.message_signatures import SignatureError, sign_request, verify_answer
from monitor.store.store import Store
from monitor.vantages.agent import pinned_context
from tests.benchmarks.process import Process
from tests.fakes.outcomes import DNS, TCP, TLS, recording
from tests.ports import free_port
from tests.scenarios.running import MONITOR, ROOT

TARGETS = 50
PLATFORMS = 5
BATCH_RESULTS = 500
CLOCK = SystemClock()


@dataclass(frozen=True)
class Load:
    """What is asked of the centre."""

    agents: int = 200
    results_a_minute: int = 10_000
    seconds: float = 300.0
    kills: int = 2
    cut_seconds: float = 60.0
    send_seconds: float = 6.0
    check_in_seconds: float = 45.0


@dataclass
class Summary:
    """What became of it."""

    made: int = 0
    stored: int = 0
    twice: int = 0
    duplicates: int = 0
    strangers: int = 0
    strangers_refused: int = 0
    failures: int = 0
    acknowledged_seconds: list[float] = field(default_factory=list)
    cpu_seconds: float = 0.0
    peak_bytes: int = 0
    drain_seconds: float = 0.0


class Relay:
    """Carries connections to the centre while it is open, and ends all of them when it is cut."""

    def __init__(self, to: int) -> None:
        self.port = free_port()
        self._to = to
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._carry, "127.0.0.1", self.port)

    async def cut(self) -> None:
        assert self._server is not None
        self._server.close()
        for writer in tuple(self._writers):
            writer.transport.abort()
        await self._server.wait_closed()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there, back = await asyncio.open_connection("127.0.0.1", self._to)
        except OSError:
            writer.transport.abort()
            return
        self._writers |= {writer, back}
        try:
            await asyncio.gather(_pump(reader, back), _pump(there, writer))
        finally:
            self._writers -= {writer, back}
            for each in (writer, back):
                each.transport.abort()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while chunk := await reader.read(65_536):
            writer.write(chunk)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()


class Sender:
    """An agent with a spool in memory."""

    def __init__(self, number: int) -> None:
        self.vantage = f"agent-{number:03}"
        self.id = secrets.token_hex(16)
        self.key = Ed25519PrivateKey.generate()
        self.boot = secrets.token_hex(8)
        self.network = NetworkIdentity(asn=64512 + number % 20, name="NET", country="PK")
        self.sequence = self.batches = 0
        self.spool: dict[int, tuple[float, bytes]] = {}

    def make(self) -> None:
        """Measure a target, as far as anybody can tell."""
        self.sequence += 1
        name = f"target-{self.sequence % TARGETS:02}"
        target = Target(name=name, platform="", url=f"https://{name}.example/")
        is_cut = self.sequence % 20 == 0
        reset = msgspec.structs.replace(TLS, failure="connection_reset", version=None, cipher=None, chain=())
        reply = secrets.token_bytes(100)
        evidence = Evidence(sha256=hashlib.sha256(reply).hexdigest(), kind="dns_reply", content=reply)
        dns = msgspec.structs.replace(DNS, evidence=(evidence.sha256,))
        steps = (dns, TCP, reset) if is_cut else (dns, *recording().measurement.observations[1:])
        made = recording(*steps, target=target, network=self.network, vantage=self.vantage, evidence=(evidence,))
        measurement = msgspec.structs.replace(made.measurement, started_at=CLOCK.now())
        result = Result(
            sequence=self.sequence,
            recording=Recording(measurement=measurement, evidence=made.evidence),
            monotonic_seconds=CLOCK.boottime(),
            state_before=VantageState.ONLINE,
            state_after=VantageState.ONLINE,
        )
        self.spool[self.sequence] = time.monotonic(), msgspec.json.encode(result)

    def batch(self) -> tuple[list[int], bytes]:
        """Return the numbers of what waits longest, and the body that carries it."""
        numbers = sorted(self.spool)[:BATCH_RESULTS]
        self.batches += 1
        head = BatchHead(
            agent_id=self.id, boot_id=self.boot, batch_sequence=self.batches, nonce=secrets.token_hex(8),
            sent_at=CLOCK.now(), software="access-monitor/0.1.0", results=len(numbers), spool_rows=len(self.spool),
            monotonic_seconds=CLOCK.boottime(),
        )  # fmt: skip
        lines = [msgspec.json.encode(head), *(self.spool[number][1] for number in numbers)]
        return numbers, zstandard.compress(b"\n".join(lines))


class Fleet:
    """The senders, and what they count."""

    def __init__(self, load: Load, senders: list[Sender], relay: Relay, files: Any, centre: Ed25519PublicKey) -> None:
        self.load, self.senders, self.relay, self.centre = load, senders, relay, centre
        self.summary = Summary()
        self.is_making = True
        self._files = files

    @contextlib.asynccontextmanager
    async def _client(self) -> AsyncIterator[httpx.AsyncClient]:
        async with httpx.AsyncClient(
            base_url=f"https://127.0.0.1:{self.relay.port}", verify=self._files, trust_env=False, timeout=60
        ) as client:
            yield client

    async def _ask(self, http: httpx.AsyncClient, one: Sender, path: str, body: bytes, key: Ed25519PrivateKey) -> Any:
        headers = sign_request(key, one.id, "POST", path, body, at=CLOCK.now())
        response = await http.post(path, content=body, headers=headers)
        try:
            verify_answer(self.centre, response.headers, response.status_code, response.content)
        except SignatureError as error:
            # Beyond its bound of connections the listener answers before the centre can sign. Agents come again.
            raise OSError("the answer is not the centre's") from error
        return response

    async def send(self, one: Sender) -> None:
        """Make and send results of one agent until all are acknowledged."""
        pause = 60.0 * self.load.agents / self.load.results_a_minute
        checking_in = asyncio.create_task(self._check_in(one))
        await asyncio.gather(self._make(one, pause), self._deliver(one))
        checking_in.cancel()
        await asyncio.gather(checking_in, return_exceptions=True)

    async def _make(self, one: Sender, pause: float) -> None:
        await asyncio.sleep(pause * secrets.randbelow(1000) / 1000)
        while self.is_making:
            one.make()
            await asyncio.sleep(pause)

    async def _deliver(self, one: Sender) -> None:
        async with self._client() as http:
            wait = self.load.send_seconds
            while self.is_making or one.spool:
                await asyncio.sleep(wait * (0.5 + secrets.randbelow(1000) / 1000))
                if not one.spool:
                    continue
                # As agents do, less and less often while it is in vain.
                wait = min(2 * wait, 5 * self.load.send_seconds)
                numbers, body = one.batch()
                try:
                    response = await self._ask(http, one, "/v1/batch", body, one.key)
                except (httpx.HTTPError, OSError):
                    self.summary.failures += 1
                    continue
                if response.status_code != 200:
                    self.summary.failures += 1
                    continue
                wait = self.load.send_seconds
                answer = msgspec.json.decode(response.content, type=Acknowledgement)
                assert not answer.rejected, answer.rejected[:3]
                self.summary.duplicates += answer.duplicate
                now = time.monotonic()
                for number in numbers:
                    self.summary.acknowledged_seconds.append(now - one.spool.pop(number)[0])

    async def _check_in(self, one: Sender) -> None:
        version = 0
        async with self._client() as http:
            while self.is_making:
                said = CheckIn(
                    nonce=secrets.token_hex(8), sent_at=CLOCK.now(), software="access-monitor/0.1.0",
                    config_version=version, state=VantageState.ONLINE, spool_rows=len(one.spool),
                )  # fmt: skip
                with contextlib.suppress(httpx.HTTPError, OSError):
                    response = await self._ask(http, one, "/v1/check-in", msgspec.json.encode(said), one.key)
                    if response.status_code == 200:
                        answer = msgspec.json.decode(response.content, type=CheckInAnswer)
                        version = answer.instructions.version if answer.instructions else version
                await asyncio.sleep(self.load.check_in_seconds * (0.5 + secrets.randbelow(1000) / 1000))

    async def forge(self) -> None:
        """Send batches under the names of agents, signed by somebody else."""
        stranger, forged = Ed25519PrivateKey.generate(), Sender(0)
        async with self._client() as http:
            while self.is_making:
                await asyncio.sleep(2)
                forged.id = secrets.choice(self.senders).id
                forged.make()
                try:
                    response = await self._ask(http, forged, "/v1/batch", forged.batch()[1], stranger)
                except (httpx.HTTPError, OSError):
                    continue
                self.summary.strangers += 1
                self.summary.strangers_refused += response.status_code == 401


class Centre:
    """The daemon as a process that is killed and started again."""

    def __init__(self, config: Path, log: Path, port: int) -> None:
        self._config, self._log, self._port = config, log, port
        self._process: subprocess.Popen[bytes] | None = None
        self.cpu_seconds = 0.0
        self.peak_bytes = 0

    def start(self) -> None:
        with self._log.open("ab") as output:
            self._process = subprocess.Popen(
                [*MONITOR, "run", "-c", str(self._config)],
                stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd=ROOT,
            )  # fmt: skip
        Process(self._process, self._log).wait_until_open("127.0.0.1", self._port)

    def end(self, number: signal.Signals) -> None:
        """Add up what the process used, and end it."""
        assert self._process is not None
        self.cpu_seconds += Process(self._process, self._log).cpu_seconds()
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        peak = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
        self.peak_bytes = max(self.peak_bytes, int(peak.split()[1]) * 1024)
        self._process.send_signal(number)
        self._process.wait()


def configuration(folder: Path, load: Load, port: int) -> Path:
    """Write the configuration of the centre."""
    targets = [f"target-{number:02}" for number in range(TARGETS)]
    each = TARGETS // PLATFORMS
    written = {
        "defaults": {"interval": 60, "allow_fast_interval": True},
        "sanity": {"enabled": False},
        "events": {"builtin": []},
        "storage": {"path": str(folder / "monitor.db")},
        "server": {"listen": f"127.0.0.1:{free_port()}"},
        "ingest": {"listen": f"127.0.0.1:{port}", "urls": [f"https://127.0.0.1:{port}"], "rate": 5},
        "vantages": {f"agent-{number:03}": {"kind": "agent", "country": "PK"} for number in range(load.agents)},
        "platforms": {
            f"platform-{place}": {
                "targets": {name: f"https://{name}.example/" for name in targets[place * each : (place + 1) * each]}
            }
            for place in range(PLATFORMS)
        },
    }
    path = folder / "probes.yaml"
    path.write_text(yaml.safe_dump(written, sort_keys=False))
    return path


def enrol(database: Path, senders: list[Sender]) -> None:
    """Write the agents as their enrolment would: two hundred commands and requests would only take time."""
    store, now = Store.open(database, CLOCK, spool_rows=10_000), CLOCK.now()
    try:
        for one in senders:
            token = Token(
                id=secrets.token_hex(6), digest=bytes(32), vantage=one.vantage,
                created_at=now, expires_at=now + timedelta(hours=1),
            )  # fmt: skip
            store.invite(token)
            agent = Agent(
                id=one.id, vantage=one.vantage, token_id=token.id, consent_version=1, enrolled_at=now,
                public_key=one.key.public_key().public_bytes_raw(),
            )  # fmt: skip
            store.enrol(agent)
        assert store.settled().result(30)
    finally:
        store.close()


async def run(load: Load, folder: Path) -> Summary:
    """Carry out a load in a new folder."""
    port = free_port()
    path = configuration(folder, load, port)
    config = load_file(path, os.environ)
    assert config.ingest is not None
    senders = [Sender(number) for number in range(load.agents)]
    enrol(config.storage.path, senders)
    centre = Centre(path, folder / "centre.log", port)
    key = signing_key(config.storage.path.parent / "ingest").public_key()
    files = listener_files(config, config.ingest, CLOCK.now())
    assert files is not None
    assert files.fingerprint is not None
    await asyncio.to_thread(centre.start)
    context = await asyncio.to_thread(pinned_context, f"https://127.0.0.1:{port}", files.fingerprint)
    relay = Relay(port)
    await relay.open()
    fleet = Fleet(load, senders, relay, context, key)
    forging = asyncio.create_task(fleet.forge())
    sending = [asyncio.create_task(fleet.send(one)) for one in senders]
    # Kills, and one cut in the middle between two of them.
    share = load.seconds / (2 * load.kills + 2)
    for turn in range(load.kills):
        await asyncio.sleep(share)
        await asyncio.to_thread(centre.end, signal.SIGKILL)
        await asyncio.to_thread(centre.start)
        await asyncio.sleep(share)
        if turn == 0:
            await relay.cut()
            await asyncio.sleep(load.cut_seconds)
            await relay.open()
    await asyncio.sleep(2 * share)
    fleet.is_making = False
    stopped = time.monotonic()
    await asyncio.wait_for(asyncio.gather(*sending), 300)
    await forging
    summary = fleet.summary
    summary.drain_seconds = time.monotonic() - stopped
    await relay.cut()
    await asyncio.to_thread(centre.end, signal.SIGTERM)
    summary.cpu_seconds, summary.peak_bytes = centre.cpu_seconds, centre.peak_bytes
    summary.made = sum(one.sequence for one in senders)
    _count(config.storage.path, summary)
    return summary


def _count(database: Path, summary: Summary) -> None:
    with contextlib.closing(sqlite3.connect(database)) as db:
        (summary.stored,) = db.execute("SELECT count(*) FROM agent_result").fetchone()
        (measured,) = db.execute(
            "SELECT count(*) FROM measurement m JOIN agent_result r ON r.measurement_id = m.id"
        ).fetchone()
        (everything,) = db.execute("SELECT count(*) FROM measurement").fetchone()
    assert measured == summary.stored, "a name without a measurement"
    summary.twice = everything - summary.stored


def lines(load: Load, summary: Summary) -> Iterator[str]:
    """Yield the rows of a table."""
    waits = sorted(summary.acknowledged_seconds)
    median, most = statistics.median(waits), waits[len(waits) * 99 // 100]
    yield f"| agents, results a minute, seconds | {load.agents}, {load.results_a_minute}, {load.seconds:g} |"
    yield f"| results made, stored, stored twice | {summary.made}, {summary.stored}, {summary.twice} |"
    yield f"| sent again and found stored | {summary.duplicates} |"
    yield f"| requests that failed | {summary.failures} |"
    yield f"| batches of a stranger, refused | {summary.strangers}, {summary.strangers_refused} |"
    yield f"| CPU of the centre for each result | {summary.cpu_seconds / max(1, summary.stored) * 1e3:.2f} ms |"
    yield f"| memory of the centre at most | {summary.peak_bytes / 1e6:.0f} MB |"
    yield f"| made to acknowledged, median and 99 % | {median:.1f} s, {most:.1f} s |"
    yield f"| all delivered after the last was made | {summary.drain_seconds:.0f} s |"


def main() -> None:
    """Print the table; exit with 1 if anything is lost, twice, or believed that a stranger said."""
    arguments = argparse.ArgumentParser(description=main.__doc__)
    arguments.add_argument("--agents", type=int, default=200)
    arguments.add_argument("--results-a-minute", type=int, default=10_000)
    arguments.add_argument("--seconds", type=float, default=300.0)
    arguments.add_argument("--kills", type=int, default=2)
    arguments.add_argument("--cut-seconds", type=float, default=60.0)
    options = vars(arguments.parse_args())
    wanted = Load(**options)
    with tempfile.TemporaryDirectory() as folder:
        summary = asyncio.run(run(wanted, Path(folder)))
    click.echo("| what | value |\n|---|---:|")
    for row in lines(wanted, summary):
        click.echo(row)
    is_well = summary.made == summary.stored and not summary.twice and summary.strangers == summary.strangers_refused
    raise SystemExit(0 if is_well else 1)


if __name__ == "__main__":
    main()
