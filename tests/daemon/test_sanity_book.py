import asyncio
from collections.abc import Sequence

import pytest

from monitor.daemon.sanity_book import SanityBook
from monitor.detect.line import CHECKS_NEEDED
from monitor.model.observation import TcpObservation
from monitor.model.seams import VantageError
from monitor.model.vantage import NetworkIdentity, VantageCheck, VantageState
from tests.fakes.vantages import HandClock, ScriptedVantage

HOME, AWAY, UNKNOWN = NetworkIdentity(asn=17557), NetworkIdentity(asn=135407), NetworkIdentity()
ONLINE, OFFLINE, MOVED = VantageState.ONLINE, VantageState.OFFLINE, VantageState.MOVED
DEGRADED = VantageState.DEGRADED
Look = tuple[VantageState, NetworkIdentity] | tuple[VantageState, NetworkIdentity, float]
QUICK, SLOW = (ONLINE, HOME, 0.03), (ONLINE, HOME, 1.2)


class Changing(ScriptedVantage):
    """Is in another state, or on another network, at each check; an exception is raised."""

    def __init__(self, clock: HandClock, looks: Sequence[Look | VantageError]) -> None:
        super().__init__("tunnel", clock)
        self._looks = looks

    async def check(self) -> VantageCheck:
        look = self._looks[self.checks]
        check = await super().check()
        if isinstance(look, VantageError):
            raise look
        took = look[2:]  # to open each of its connections
        opened = tuple(TcpObservation(address="192.0.2.1", port=443, elapsed_seconds=one) for one in took * 3)
        return VantageCheck(
            vantage="tunnel", started_at=check.started_at, state=look[0], network=look[1], observations=opened
        )


def checks(*looks: Look | VantageError) -> list[VantageCheck]:
    """Return what the book makes of these checks, each a minute after the one before."""

    async def run() -> list[VantageCheck]:
        clock = HandClock()
        vantage = Changing(clock, looks)
        book = SanityBook(clock, 30.0, lambda _: None)
        found = []
        for _ in looks:
            found.append(await book.recent(vantage))
            clock.seconds += 60.0
        return found

    return asyncio.run(run())


@pytest.mark.parametrize(
    ("looks", "states"),
    [
        (((ONLINE, HOME), (ONLINE, HOME)), [ONLINE, ONLINE]),
        (((ONLINE, HOME), (ONLINE, AWAY), (ONLINE, AWAY)), [ONLINE, MOVED, ONLINE]),
        (((ONLINE, HOME), (ONLINE, UNKNOWN), (ONLINE, AWAY)), [ONLINE, ONLINE, MOVED]),
        (((ONLINE, HOME), (OFFLINE, UNKNOWN), (ONLINE, AWAY), (ONLINE, AWAY)), [ONLINE, OFFLINE, MOVED, ONLINE]),
        (
            ((ONLINE, HOME), (VantageState.TLS_INTERCEPTED, HOME), (ONLINE, HOME)),
            [ONLINE, VantageState.TLS_INTERCEPTED, ONLINE],
        ),
        (
            ((ONLINE, HOME), (VantageState.TLS_INTERCEPTED, AWAY), (ONLINE, AWAY)),
            [ONLINE, VantageState.TLS_INTERCEPTED, MOVED],
        ),
    ],
)
def test_a_move_is_told_once_and_apart_from_whatever_else_is_wrong(
    looks: Sequence[Look], states: Sequence[VantageState]
) -> None:
    assert [check.state for check in checks(*looks)] == states


def test_a_vantage_that_cannot_be_used_is_offline_for_a_reason() -> None:
    failed, again = checks(VantageError("the proxy cannot be reached", "proxy_failed"), (ONLINE, HOME))
    assert (failed.state, failed.reason, failed.notes) == (OFFLINE, "proxy_failed", ("the proxy cannot be reached",))
    assert (again.state, again.reason) == (ONLINE, None)


def test_a_line_much_slower_than_before_is_degraded_until_it_is_quick_again() -> None:
    *before, slow, again = checks(*[QUICK] * CHECKS_NEEDED, SLOW, QUICK)
    assert {check.state for check in before} == {ONLINE}
    assert (slow.state, slow.notes) == (DEGRADED, ("connections take much longer to open than usual",))
    assert again.state is ONLINE


def test_a_line_that_stays_slow_is_at_last_a_slow_line() -> None:
    states = [check.state for check in checks(*[QUICK] * CHECKS_NEEDED, *[SLOW] * (CHECKS_NEEDED + 1))]
    assert states[CHECKS_NEEDED:] == [*[DEGRADED] * CHECKS_NEEDED, ONLINE]


def test_another_network_has_a_past_of_its_own() -> None:
    states = [check.state for check in checks(*[QUICK] * CHECKS_NEEDED, (ONLINE, AWAY, 1.2), (ONLINE, AWAY, 1.2))]
    assert states[CHECKS_NEEDED:] == [MOVED, ONLINE]


def test_a_line_that_is_down_is_not_called_slow() -> None:
    states = [check.state for check in checks(*[QUICK] * CHECKS_NEEDED, (OFFLINE, HOME, 1.2))]
    assert states[-1] is OFFLINE
