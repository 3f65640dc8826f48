from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from monitor.agent.orders import MAX_LEASE, Orders, OrdersError, is_too_old, ports_of
from monitor.config.schema import FollowUpConfig, SanityConfig
from monitor.model.fleet import AgentTarget, CheckInAnswer, Instructions
from monitor.model.measurement import Limits
from monitor.model.target import Expectation, Target

NOW = datetime(2026, 11, 27, 12, 0, tzinfo=UTC)
TARGET = AgentTarget(target=Target(name="x-home", platform="x", url="https://x.com:8443/"), interval_seconds=300)
GIVEN = Instructions(
    version=5,
    config_digest="d5",
    targets=(TARGET,),
    resolvers=("system",),
    limits=Limits(),
    deep_limits=Limits(),
    jitter=0.1,
    user_agent="ours",
    cleartext_user_agent="theirs",
    follow_ups=msgspec.Raw(FollowUpConfig().model_dump_json().encode()),
    sanity=msgspec.Raw(SanityConfig().model_dump_json().encode()),
)


def answer(instructions: Instructions | None, *, lease: timedelta = timedelta(hours=1)) -> CheckInAnswer:
    return CheckInAnswer(
        nonce="n", server_time=NOW, lease_until=NOW + lease, min_software="", instructions=instructions
    )


def follow(orders: Orders, instructions: Instructions | None) -> Orders:
    return orders.renewed(answer(instructions)).following(answer(instructions))


def changed(**values: object) -> Instructions:
    return msgspec.structs.replace(GIVEN, **values)


def test_newer_instructions_are_followed_and_kept_over_a_restart(tmp_path: Path) -> None:
    orders = follow(follow(Orders(), GIVEN), changed(version=6, config_digest="d6"))
    orders.save(tmp_path / "instructions.json")
    assert Orders.load(tmp_path / "instructions.json") == orders
    assert orders.version == 6


def test_none_older_than_those_in_use_is_followed_but_the_lease_holds() -> None:
    orders = follow(Orders(), GIVEN).renewed(answer(None, lease=timedelta(hours=2)))
    with pytest.raises(OrdersError, match="version 4 is older than 5"):
        orders.following(answer(changed(version=4, config_digest="d4")))
    assert orders.lease_seconds(NOW) == 7200


def test_the_version_in_use_stays_as_it_was_first_heard() -> None:
    assert follow(follow(Orders(), GIVEN), changed(targets=())).instructions == follow(Orders(), GIVEN).instructions


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"instructions": 5}', b"\xff\xfe"])
def test_damaged_ones_count_as_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "instructions.json").write_bytes(content)
    assert Orders.load(tmp_path / "instructions.json") == Orders()


def test_no_lease_is_longer_than_a_week() -> None:
    assert Orders().lease_seconds(NOW) == 0
    assert Orders().renewed(answer(None, lease=timedelta(days=4000))).lease_seconds(NOW) == MAX_LEASE.total_seconds()
    assert Orders().renewed(answer(None, lease=timedelta(days=-1))).lease_seconds(NOW) == 0


def one(**values: object) -> tuple[AgentTarget, ...]:
    return (msgspec.structs.replace(TARGET, target=msgspec.structs.replace(TARGET.target, **values)),)


@pytest.mark.parametrize(
    "instructions",
    [
        changed(targets=(TARGET, TARGET)),
        changed(targets=one(url="file:///etc/passwd")),
        changed(targets=one(url="https://user:word@x.com/")),
        changed(targets=one(name="../../x")),
        changed(targets=one(platform="X\n")),
        changed(targets=one(probe="shell")),
        changed(targets=one(expectation=Expectation(text="(" * 50))),
        changed(targets=one(expectation=Expectation(title="x" * 10_000))),
        changed(targets=(msgspec.structs.replace(TARGET, interval_seconds=0.01),)),
        changed(targets=(msgspec.structs.replace(TARGET, interval_seconds=float("nan")),)),
        changed(targets=tuple(one(name=f"x-{number}")[0] for number in range(2001))),
        changed(resolvers=("udp://router",)),
        changed(resolvers=("udp://9.9.9.9:25",)),
        changed(resolvers=("udp://9.9.9.9",) * 17),
        changed(user_agent="two\r\nlines"),
        changed(sanity=msgspec.Raw(SanityConfig(anchors=("192.0.2.1:22",)).model_dump_json().encode())),
        changed(sanity=msgspec.Raw(b'{"names_required": -5}')),
        changed(sanity=msgspec.Raw(b"[1]")),
        changed(follow_ups=msgspec.Raw(b'{"unrelated": "192.0.2.1:23"}')),
    ],
)
def test_malformed_or_greedy_instructions_are_refused(instructions: Instructions) -> None:
    with pytest.raises(OrdersError):
        follow(Orders(), instructions)


def test_bounds_are_ours_and_unknown_settings_are_left_out() -> None:
    greedy = changed(
        limits=Limits(total_seconds=9000, body_bytes=1 << 40, addresses_per_family=500),
        jitter=7.0,
        check_in_seconds=0.0,
        follow_ups=msgspec.Raw(b'{"retries": 1, "something_newer": true}'),
        sanity=msgspec.Raw(b"null"),
    )
    used = follow(Orders(), greedy).instructions
    assert used is not None
    assert (used.limits.total_seconds, used.limits.body_bytes, used.limits.addresses_per_family) == (55, 512 * 1024, 4)
    assert used.limits.transfer_bytes == 0
    assert (used.jitter, used.check_in_seconds) == (0.49, 1.0)


def test_ports_are_those_that_measuring_needs() -> None:
    assert ports_of(changed(resolvers=("udp://9.9.9.9:5353",))) == {53, 80, 443, 853, 5353, 8443}


@pytest.mark.parametrize(
    ("wanted", "too_old"),
    [("", False), ("access-monitor/0.0.1", False), ("0.1.0", False), ("access-monitor/99.0", True), ("soon", False)],
)
def test_an_older_program_than_the_centre_takes(wanted: str, too_old: bool) -> None:  # noqa: FBT001 - a table
    assert is_too_old(wanted) is too_old
