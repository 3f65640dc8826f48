import pytest

from monitor.detect.line import CHECKS_NEEDED, is_degraded, opening_seconds
from monitor.model.observation import DnsObservation, Observation, TcpObservation


def connections(*seconds: float | None) -> list[Observation]:
    """Connections that took so long to open; None: one that did not."""
    return [
        TcpObservation(
            address="192.0.2.1", port=443, elapsed_seconds=10.0 if one is None else one,
            failure="generic_timeout_error" if one is None else None,
        )
        for one in seconds
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("usual", "now", "degraded"),
    [
        (0.03, 0.04, False),
        (0.03, 0.5, False),  # a long queue, which our deadlines bear
        (0.03, 1.1, True),  # half of the SYNs are lost
        (0.7, 1.7, False),  # a satellite
        (0.7, 2.2, True),
    ],
)
def test_a_line_is_compared_with_its_own_past(usual: float, now: float, *, degraded: bool) -> None:
    assert is_degraded(now, [usual] * CHECKS_NEEDED) is degraded
    assert not is_degraded(now, [usual] * (CHECKS_NEEDED - 1))


def test_one_slow_check_in_the_past_moves_nothing() -> None:
    assert is_degraded(1.1, [0.03] * CHECKS_NEEDED + [9.0])


def test_half_of_the_connections_decide() -> None:
    assert opening_seconds(connections(0.03, 0.03, 0.03, 3.0, 3.0)) == 0.03
    assert opening_seconds(connections(0.03, 0.03, 1.03, 1.03, 1.03)) == 1.03


def test_hosts_that_cannot_be_reached_are_no_slow_line() -> None:
    assert opening_seconds(connections(0.03, 0.03, 0.03, None, None, None, None)) == 0.03


def test_two_connections_are_too_few() -> None:
    lookup = DnsObservation(host="a.example", query_type="A", resolver="system", transport="udp")
    assert opening_seconds([*connections(0.03, 0.03, None), lookup]) is None
