"""What is asked of a service, how often, and of which probe."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest
from pydantic import TypeAdapter

from monitor.config.fields import Referenced
from monitor.config.schema import AnyVantage, SanityConfig
from monitor.model.identifier import MeasurementIds
from monitor.model.measurement import FollowUp, Limits, Request
from monitor.model.observation import Purpose, step_of
from monitor.model.seams import VantageError
from monitor.model.target import Expectation, Target
from monitor.model.vantage import NetworkIdentity, VantageState
from monitor.network.certificates import TrustStore
from monitor.network.web_url import web_url
from monitor.vantages import build
from monitor.vantages._parts import Parts
from monitor.vantages._service import Probe, ProbeGoneError, ServiceVantage, Visit
from monitor.vantages.ripe_atlas import RipeAtlas
from tests.fakes.outcomes import CONTEXT
from tests.network.loopback import AUTHORITY, SettableClock
from tests.vantages import atlas_server
from tests.vantages.globalping_server import TIMEOUT, Line, World, globalping
from tests.vantages.test_globalping import DEBIAN, HARMLESS, XS, X, world

Work = Callable[[ServiceVantage], Awaitable[None]]
X_HOME = Target(name="x-home", platform="x", url=f"https://{X}/", expectation=Expectation(tls_only=True))
HARMLESS_LOOK = FollowUp(
    purpose=Purpose.HARMLESS_NAME, until="tls", address=XS, server_name=HARMLESS, url=f"https://{X}/"
)


def parts(clock: SettableClock) -> Parts:
    return Parts(
        clock=clock,
        trust=TrustStore(AUTHORITY.cert_pem.bytes()),
        ids=MeasurementIds(),
        context=lambda: CONTEXT,
        sanity=SanityConfig(tls_hosts=(f"{DEBIAN}:443",)),
        limits=Limits(),
        allowed_bogons=(),
        cleartext_user_agent="",
        geo_database=None,
    )


def options(url: str, kind: str = "globalping", **more: Any) -> Any:
    written = {"kind": kind, "country": "PK", "targets": ["x-home"], "base_url": url, **more}
    return TypeAdapter(AnyVantage).validate_python(written)


async def carry_out(url: str, clock: SettableClock, work: Work, **more: Any) -> None:
    vantage = build("lent", options(url, **more), parts(clock))
    assert isinstance(vantage, ServiceVantage)
    try:
        await work(vantage)
    finally:
        await vantage.close()


def carried_out(url: str, clock: SettableClock, work: Work, **more: Any) -> None:
    asyncio.run(carry_out(url, clock, work, **more))


def test_results_are_read_no_more_often_than_is_allowed() -> None:
    here = world(Line("PK", 1))
    here.readings_in_progress = 3

    async def work(vantage: ServiceVantage) -> None:
        assert (await vantage.check()).state is VantageState.ONLINE

    with globalping(here) as url:
        carried_out(url, SettableClock(), work)
    assert (here.reads, here.unchanged_reads, here.refused_reads) == (4, 2, 0)


def test_one_probe_is_asked_for_an_hour_and_follow_ups_go_to_the_one_that_measured() -> None:
    first, second = Line("PK", 17557), Line("PK", 45669)
    here, clock = world(first, second), SettableClock()

    async def work(vantage: ServiceVantage) -> None:
        await vantage.check()
        assert (await vantage.measure(Request(target=X_HOME))).measurement.network.asn == 17557
        await vantage.check()
        clock.asleep_seconds = 3590
        await vantage.check()
        assert (await vantage.measure(Request(target=X_HOME))).measurement.network.asn == 17557
        here.lines.reverse()
        clock.asleep_seconds = 3610
        await vantage.check()
        looks = await vantage.measure(Request(target=X_HOME, follow_ups=(HARMLESS_LOOK,)))
        assert looks.measurement.network.asn == 17557
        assert (await vantage.measure(Request(target=X_HOME))).measurement.network.asn == 45669

    with globalping(here) as url:
        carried_out(url, clock, work)
    chosen = [one for one in here.asked if not isinstance(one["locations"], str)]
    assert [one["locations"] for one in chosen] == [[{"country": "PK", "tags": ["eyeball-network"]}]] * 2
    assert here.targets()[-2:] == [(XS, HARMLESS), (XS, X)]


def test_a_probe_that_went_offline_is_replaced_by_the_next_check() -> None:
    first = Line("PK", 17557)
    here = world(first, Line("PK", 45669))

    async def work(vantage: ServiceVantage) -> None:
        await vantage.check()
        first.is_offline = True
        with pytest.raises(VantageError, match="went offline"):
            await vantage.measure(Request(target=X_HOME))
        here.lines.reverse()
        await vantage.check()
        assert (await vantage.measure(Request(target=X_HOME))).measurement.network.asn == 45669

    with globalping(here) as url:
        carried_out(url, SettableClock(), work)


def test_what_the_service_cannot_see_is_absent_and_costs_nothing() -> None:
    here = world(Line("PK", 1))
    blind = (
        FollowUp(purpose=Purpose.HTTP3, until="quic", address=XS, server_name=X),
        FollowUp(purpose=Purpose.TRANSFER, until="throughput", address=XS, server_name=X, url=f"https://{X}/"),
        FollowUp(purpose=Purpose.SMALL_SEGMENTS, until="tls", address=XS, server_name=X),
        FollowUp(
            purpose=Purpose.OTHER_RESOLVER, until="dns", host=X, resolver="https://dns.quad9.net/dns-query@9.9.9.9"
        ),
        FollowUp(purpose=Purpose.RETRY, until="tls", address=XS, server_name="elsewhere.example", hop=1),
        FollowUp(purpose=Purpose.OTHER_ADDRESS, until="tls", address="10.1.2.3", server_name=X),
    )

    async def work(vantage: ServiceVantage) -> None:
        await vantage.check()
        spent = len(here.asked)
        assert (await vantage.measure(Request(target=X_HOME, follow_ups=blind))).measurement.observations == ()
        assert len(here.asked) == spent

    with globalping(here) as url:
        carried_out(url, SettableClock(), work)


def test_a_service_at_fault_in_the_middle_leaves_what_was_seen() -> None:
    here = world(Line("PK", 1))
    looks = tuple(
        FollowUp(purpose=Purpose.RETRY, until="tls", address=XS, server_name=X, url=f"https://{X}/") for _ in range(3)
    )

    async def work(vantage: ServiceVantage) -> None:
        await vantage.check()
        here.remaining = 1
        seen = await vantage.measure(Request(target=X_HOME, follow_ups=looks))
        assert len(seen.measurement.observations) == 2
        assert vantage.quota().remaining == 0

    with globalping(here) as url:
        carried_out(url, SettableClock(), work)


# What a ping finds, the text of the request beside it, and the steps that follow for a handshake and a connection.
PINGS: dict[str, tuple[dict[str, Any], str, list[tuple[str, str | None]], list[tuple[str, str | None]]]] = {
    "open": (
        {"stats": {"rcv": 2, "min": 20.0}},
        TIMEOUT,
        [("tcp", None), ("tls", "generic_timeout_error")],
        [("tcp", None)],
    ),
    "silent": (
        {"stats": {"rcv": 0}},
        TIMEOUT,
        [("tcp", "generic_timeout_error")],
        [("tcp", "generic_timeout_error")],
    ),
    "refused": (
        {"stats": {"rcv": 0}},
        "connect ECONNREFUSED",
        [("tcp", "connection_refused")],
        [("tcp", "connection_refused")],
    ),
    "unreachable": (
        {"status": "failed", "rawOutput": "connect EHOSTUNREACH"},
        TIMEOUT,
        [("tcp", "host_unreachable")],
        [("tcp", "host_unreachable")],
    ),
    "not-understood": ({"status": "failed", "rawOutput": "who knows"}, TIMEOUT, [], []),
}


def test_a_ping_tells_what_a_request_leaves_open() -> None:
    async def steps(url: str, target: Target) -> list[tuple[str, str | None]]:
        found: list[tuple[str, str | None]] = []

        async def work(vantage: ServiceVantage) -> None:
            await vantage.check()
            _, *seen = (await vantage.measure(Request(target=target))).measurement.observations
            found.extend((step_of(one).value, one.failure) for one in seen)

        await carry_out(url, SettableClock(), work)
        return found

    def interfered(ping: dict[str, Any], text: str) -> World:
        here = world(Line("PK", 1, censor=lambda kind, _, __, name: text if (kind, name) == ("https", X) else None))
        here.override = lambda body: {"status": "finished"} | ping if body["type"] == "ping" else None
        return here

    async def all_of_them(urls: list[str]) -> list[list[tuple[str, str | None]]]:
        alone = msgspec.structs.replace(X_HOME, expectation=Expectation(tcp_only=True))
        return await asyncio.gather(*(steps(url, target) for url in urls for target in (X_HOME, alone)))

    with contextlib.ExitStack() as servers:
        urls = [servers.enter_context(globalping(interfered(ping, text))) for ping, text, _, _ in PINGS.values()]
        found = asyncio.run(all_of_them(urls))
    assert found == [due for _, _, *both in PINGS.values() for due in both]


def atlas_world(*lines: atlas_server.Line) -> atlas_server.World:
    return atlas_server.World({X: XS, DEBIAN: "151.101.2.132"}, lines, AUTHORITY)


def test_measurements_at_ripe_atlas_are_tagged_and_private_only_where_asked_for() -> None:
    here = atlas_world(atlas_server.Line(7, "PK", 17557))

    async def work(vantage: ServiceVantage) -> None:
        await vantage.check()
        assert (await vantage.measure(Request(target=X_HOME))).measurement.network == NetworkIdentity(
            asn=17557, country="PK"
        )

    with atlas_server.atlas(here) as url:
        carried_out(url, SettableClock(), work, kind="ripe_atlas", token=Referenced("key"), is_public=False)
    definitions = [one["definitions"][0] for one in here.asked]
    assert [one["type"] for one in definitions] == ["sslcert", "dns", "sslcert"]
    assert {one["is_public"] for one in definitions} == {False}
    assert [one["probes"][0]["type"] for one in here.asked] == ["country", "probes", "probes"]
    assert (definitions[2]["target"], definitions[2]["hostname"]) == (XS, X)
    assert here.balance == 1_000_000 - 60


def test_credits_that_are_used_up_are_found_before_anything_is_asked() -> None:
    here = atlas_world(atlas_server.Line(7, "PK", 17557))
    here.balance = 70

    async def work(vantage: ServiceVantage) -> None:
        with pytest.raises(VantageError) as refused:
            await vantage.check()
        assert refused.value.reason == "quota_exhausted"

    with atlas_server.atlas(here) as url:
        carried_out(url, SettableClock(), work, kind="ripe_atlas", token=Referenced("key"))
    assert here.asked == []


@pytest.mark.parametrize(
    ("answer", "why"), [(b"[", "agreed form"), (b'{"a": 1}', "agreed form"), (b"[]", "no result came in time")]
)
def test_an_answer_of_ripe_atlas_that_is_none_says_nothing(answer: bytes, why: str) -> None:
    here = atlas_world(atlas_server.Line(7, "PK", 17557))
    here.raw_answer = answer

    async def run(url: str) -> None:
        instrument = RipeAtlas("lent", options(url, "ripe_atlas", token=Referenced("key")), parts(SettableClock()))
        visit = Visit(url=web_url(f"https://{X}/"), until="tls", address=XS, server_name=X)
        probe = Probe(key="7", network=NetworkIdentity())
        try:
            with pytest.raises(VantageError, match=why) as refused:
                await instrument.visit(probe, visit, Limits(), 20.0 if why == "agreed form" else 0.8)
            assert isinstance(refused.value, ProbeGoneError) == (why == "no result came in time")
        finally:
            await instrument.close()

    with atlas_server.atlas(here) as url:
        asyncio.run(run(url))
