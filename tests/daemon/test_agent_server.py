"""`monitor agent serve` as a process: whom it answers, what it measures for them, and what it never does."""

import asyncio
import contextlib
import signal
import socket
import ssl
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import httpx
import msgspec
import pytest
import trustme

from monitor.config.fields import Referenced
from monitor.config.schema import AgentOptions, SanityConfig
from monitor.daemon.agent_server import CEILING, MAX_REQUEST_BYTES, bounded
from monitor.lab import Lab
from monitor.model.identifier import MeasurementIds
from monitor.model.measurement import FollowUp, Limits, Recording, Request, RunContext
from monitor.model.observation import Purpose
from monitor.model.seams import Clock, VantageError
from monitor.model.target import Target
from monitor.model.vantage import VantageCheck, VantageState
from monitor.network.certificates import TrustStore
from monitor.network.clock import SystemClock
from monitor.vantages._parts import Parts
from monitor.vantages.agent import AgentVantage, build, pinned_context
from tests.scenarios.running import MONITOR, ROOT, line_with, running
from tests.store.samples import FixedClock

TOKEN = "a token of more than sixteen characters"  # noqa: S105 - of a test
PUBLIC = Target(name="t", platform="p", url="https://192.0.2.1/")
NAMED = Target(name="t", platform="p", url="https://name.test/")


@dataclass(frozen=True)
class Agent:
    url: str
    fingerprint: str
    folder: Path
    process: subprocess.Popen[str]

    def client(self, token: str = TOKEN) -> httpx.Client:
        context = pinned_context(self.url, self.fingerprint)
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return httpx.Client(base_url=self.url, verify=context, headers=headers, trust_env=False, timeout=30)

    def post(self, request: Request) -> httpx.Response:
        with self.client() as client:
            return client.post("/v1/measure", content=msgspec.json.encode(request))

    def vantage(self, *, fingerprint: str = "", token: str = TOKEN, clock: Clock | None = None) -> AgentVantage:
        return vantage(self.url, fingerprint or self.fingerprint, token, clock)


@contextlib.contextmanager
def serving(folder: Path, *options: str) -> Iterator[Agent]:
    token_file = folder / "token"
    token_file.write_text(TOKEN + "\n")
    place = ("--listen", "127.0.0.1:0", "--token-file", str(token_file), "--data", str(folder / "data"), "--no-sanity")
    with running("agent", "serve", *place, *options, log=folder / "log") as process:
        url = line_with(process, "Listening on ").split()[0]
        fingerprint = line_with(process, "Fingerprint ") if url.startswith("https:") else ""
        yield Agent(url, fingerprint, folder, process)


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Agent]:
    """An agent as it is by default: for public addresses only."""
    with serving(tmp_path_factory.mktemp("agent"), "--rate", "1000") as agent:
        yield agent


def vantage(url: str, fingerprint: str, token: str = TOKEN, clock: Clock | None = None) -> AgentVantage:
    options = AgentOptions.model_validate(
        {"kind": "agent", "url": url, "token": Referenced(token), "fingerprint": fingerprint or None}
    )
    context = RunContext(software="test", config_digest="", ca_digest="", hello_profile="")
    parts = Parts(
        clock=clock or SystemClock(), trust=TrustStore.load(None, {}), ids=MeasurementIds(), context=lambda: context,
        sanity=SanityConfig(enabled=False), limits=Limits(), allowed_bogons=(), cleartext_user_agent="",
        geo_database=None,
    )  # fmt: skip
    built = build("elsewhere", options, parts)
    assert isinstance(built, AgentVantage)
    return built


def asked(vantage: AgentVantage, request: Request) -> Recording:
    async def ask() -> Recording:
        try:
            return await vantage.measure(request)
        finally:
            await vantage.close()

    return asyncio.run(ask())


def test_who_has_token_and_fingerprint_gets_a_measurement(tmp_path: Path) -> None:
    with Lab() as lab, serving(tmp_path, "--allow-address", "127.0.0.0/8", "--ca-file", str(lab.ca_file)) as agent:
        lab.site("site.lab.test")
        elsewhere = vantage(agent.url, agent.fingerprint)
        asking = FollowUp(purpose=Purpose.PATH, until="dns", host="site.lab.test", resolver=lab.control_resolver)
        target = Target(name="site", platform="p", url=lab.url("site.lab.test"))
        measurement = asked(elsewhere, Request(target=target, follow_ups=(asking,))).measurement
        assert (measurement.vantage, measurement.target, measurement.url) == ("elsewhere", "site", target.url)
        (observation,) = measurement.observations
        assert getattr(observation, "addresses", None) == (lab.address("site.lab.test"),)


def test_an_agent_cannot_measure_in_the_past_or_in_the_future(agent: Agent) -> None:
    ours = FixedClock()  # days before the agent's
    elsewhere = agent.vantage(clock=ours)
    assert asked(elsewhere, Request(target=PUBLIC)).measurement.started_at == ours.at
    ours.at += timedelta(days=365)
    assert asked(elsewhere, Request(target=PUBLIC)).measurement.started_at == ours.at


def test_an_agent_whose_line_is_not_checked_says_online(agent: Agent) -> None:
    async def check() -> VantageCheck:
        elsewhere = agent.vantage(clock=FixedClock())
        try:
            return await elsewhere.check()
        finally:
            await elsewhere.close()

    found = asyncio.run(check())
    assert found.state is VantageState.ONLINE
    assert found.started_at == FixedClock().at


@pytest.mark.parametrize("path", ["/v1/measure", "/v1/check"])
@pytest.mark.parametrize("token", ["", "wrong", TOKEN[:-1], TOKEN + "x"])
def test_without_the_token_nothing_is_answered(agent: Agent, path: str, token: str) -> None:
    with agent.client(token) as client:
        answer = client.post(path, content=b"not even read")
    assert answer.status_code == 401
    with pytest.raises(VantageError, match="answered 401"):
        asked(agent.vantage(token=token or "none"), Request(target=PUBLIC))


def test_an_agent_with_another_certificate_is_told_nothing() -> None:
    """Whoever stands in between shows a certificate of his own, and must not learn the token."""
    heard: list[bytes] = []
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(30)

        def stand_in_between() -> None:
            accepted, _ = listener.accept()
            with accepted, contextlib.suppress(OSError), context.wrap_socket(accepted, server_side=True) as secured:
                heard.append(secured.recv(1000))

        thread = threading.Thread(target=stand_in_between)
        thread.start()
        url = f"https://127.0.0.1:{listener.getsockname()[1]}"
        with pytest.raises(VantageError, match="another fingerprint"):
            asked(vantage(url, "ab" * 32), Request(target=PUBLIC))
        thread.join()
    assert heard in ([], [b""])


def test_an_agent_that_is_gone_is_the_vantages_fault(tmp_path: Path) -> None:
    with serving(tmp_path) as agent:
        elsewhere = agent.vantage()
    with pytest.raises(VantageError):
        asked(elsewhere, Request(target=PUBLIC))


def follow_up(until: str, address: str, port: int) -> FollowUp:
    url = f"http://{address}:{port}/" if until == "http" else ""
    return FollowUp(purpose=Purpose.RETRY, until=until, address=address, port=port, server_name="x", url=url)


@pytest.mark.parametrize("host", ["127.0.0.1", "[::ffff:127.0.0.1]", "0x7f000001", "2130706433", "127.1", "localhost"])
def test_targets_that_are_not_public_are_never_connected_to(agent: Agent, host: str) -> None:
    """However they are written, as target, follow-up or resolver, and whatever the caller allows itself."""
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.socket(type=socket.SOCK_DGRAM) as datagrams:
        datagrams.bind(listener.getsockname())
        port = listener.getsockname()[1]
        listener.setblocking(False)
        datagrams.setblocking(False)
        steps = tuple(follow_up(until, host.strip("[]"), port) for until in ("tcp", "tls", "http"))
        dns = FollowUp(purpose=Purpose.PATH, until="dns", host="a.test", resolver=f"udp://127.0.0.1:{port}")
        request = Request(
            target=Target(name="t", platform="p", url=f"http://{host}:{port}/"),
            resolvers=(f"udp://127.0.0.1:{port}", f"tcp://127.0.0.1:{port}"),
            allowed_bogons=("127.0.0.0/8", "::/0"),
            limits=Limits(dns_seconds=1, total_seconds=2),
        )
        for asking in (request, msgspec.structs.replace(request, follow_ups=(*steps, dns))):
            assert agent.post(asking).status_code in {200, 400}
        with pytest.raises(BlockingIOError):
            listener.accept()
        with pytest.raises(BlockingIOError):
            datagrams.recv(1000)


UNREADABLE = [
    b"",
    b"{",
    b"[]",
    b'{"target": {}}',
    b"\xff" * 100,
    b"x" * (MAX_REQUEST_BYTES + 1),
    msgspec.json.encode(Request(target=Target(name="t", platform="p", url="no url"))),
    msgspec.json.encode(Request(target=NAMED, resolvers=("gopher://9.9.9.9",))),
    msgspec.json.encode(Request(target=Target(name="t", platform="p", url=PUBLIC.url, probe="../cli/run"))),
    msgspec.json.encode(Request(target=PUBLIC, follow_ups=(follow_up("tcp", "192.0.2.1", 1),) * 65)),
    msgspec.json.encode(Request(target=PUBLIC, resolvers=("udp://192.0.2.1",) * 65)),
    msgspec.json.encode(Request(target=PUBLIC, user_agent="a\r\nb")),
]


@pytest.mark.parametrize("body", UNREADABLE, ids=range(len(UNREADABLE)))
def test_what_cannot_be_read_is_refused_and_harms_nobody(agent: Agent, body: bytes) -> None:
    with agent.client() as client:
        assert client.post("/v1/measure", content=body).status_code == 400
        assert client.post("/v1/check").status_code == 200


def test_the_callers_bounds_are_never_wider_than_the_agents() -> None:
    wide = Limits(**dict.fromkeys(CEILING.__struct_fields__, 10**9))
    narrow = Limits(**dict.fromkeys(CEILING.__struct_fields__, -5))
    waiting = msgspec.structs.replace(follow_up("tcp", "192.0.2.1", 1), wait_seconds=1e9)
    request = bounded(Request(target=PUBLIC, limits=wide, follow_ups=(waiting,), allowed_bogons=("::/0",)), ())
    assert request.limits == CEILING
    assert request.allowed_bogons == ()
    assert request.follow_ups[0].wait_seconds <= CEILING.total_seconds
    assert set(msgspec.structs.astuple(bounded(Request(target=PUBLIC, limits=narrow), ()).limits)) == {0}


def test_more_requests_than_the_rate_are_told_to_come_back_later(tmp_path: Path) -> None:
    with serving(tmp_path, "--rate", "0.1") as agent, agent.client() as client:
        assert client.post("/v1/check").status_code == 200
        answer = client.post("/v1/check")
        assert answer.status_code == 429
        assert int(answer.headers["Retry-After"]) > 0
        # Who has no token learns nothing of it.
        with agent.client("wrong") as stranger:
            assert stranger.post("/v1/check").status_code == 401


def test_the_certificate_stays_the_same_and_its_key_is_the_owners(tmp_path: Path) -> None:
    with serving(tmp_path) as agent:
        first = agent.fingerprint
    with serving(tmp_path) as agent:
        assert agent.fingerprint == first
        agent.process.send_signal(signal.SIGTERM)
        assert agent.process.wait(30) == 0
    assert stat.S_IMODE((tmp_path / "data" / "agent.key").stat().st_mode) == 0o600
    assert TOKEN not in (tmp_path / "log").read_text()


def test_on_loopback_it_may_go_without_tls(tmp_path: Path) -> None:
    with serving(tmp_path, "--plain-http") as agent:
        assert agent.url.startswith("http://127.0.0.1:")
        request = Request(target=PUBLIC, limits=Limits(total_seconds=0))
        assert asked(vantage(agent.url, ""), request).measurement.observations == ()


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (("--plain-http", "--listen", "0.0.0.0:0"), "would show the token"),
        (("--plain-http", "--listen", "[::]:0"), "would show the token"),
        (("--plain-http", "--listen", "agent.example:80"), "would show the token"),
        (("--listen", "127.0.0.1"), "is not HOST:PORT"),
        (("--listen", "192.0.2.1:1"), "cannot listen on 192.0.2.1:1"),
        (("--listen", "127.0.0.1:0", "--allow-address", "everything"), "no address range"),
    ],
)
def test_what_is_dangerous_or_senseless_is_refused(tmp_path: Path, options: tuple[str, ...], why: str) -> None:
    (tmp_path / "token").write_text(TOKEN)
    refused(tmp_path, options, why)


def test_a_short_token_is_refused(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("guessable")
    refused(tmp_path, ("--listen", "127.0.0.1:0"), "shorter than 16 characters")


def refused(folder: Path, options: tuple[str, ...], why: str) -> None:
    done = subprocess.run(
        [*MONITOR, "agent", "serve", *options, "--token-file", str(folder / "token"), "--data", str(folder / "data")],
        capture_output=True, text=True, timeout=60, check=False, cwd=ROOT,
    )  # fmt: skip
    assert done.returncode == 2
    assert why in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(("options", "asked_for"), [((), ["myip.opendns.com"]), (("--no-sanity",), [])])
def test_an_agent_without_sanity_checks_asks_nobody_who_it_is(
    options: tuple[str, ...], asked_for: list[str], tmp_path: Path
) -> None:
    apart = ("unshare", "--user", "--map-root-user", "--net")
    done = subprocess.run(
        [*apart, sys.executable, "-m", "tests.daemon.quiet_agent", str(tmp_path), *options],
        capture_output=True, text=True, timeout=120, check=True, cwd=ROOT,
    )  # fmt: skip
    assert done.stdout.split() == asked_for
