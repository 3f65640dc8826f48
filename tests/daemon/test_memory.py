from datetime import timedelta

import msgspec
import pytest

from monitor.daemon.memory import Memory
from monitor.model.measurement import Measurement
from monitor.model.outcome import Outcome
from monitor.model.vantage import NetworkIdentity, VantageState
from tests.fakes.outcomes import ISP, recording

HOUR_SECONDS = 3600.0
ONLINE = VantageState.ONLINE


def deep_run(**changes: object) -> Measurement:
    return msgspec.structs.replace(recording().measurement, **{"is_deep": True, "network": ISP, **changes})


def learned(run: Measurement, after: VantageState = ONLINE) -> Memory:
    memory = Memory()
    made = msgspec.structs.replace(recording(), measurement=run)
    memory.learn(Outcome(recording=made, state_before=ONLINE, state_after=after))
    return memory


@pytest.mark.parametrize(
    ("changes", "stands"),
    [
        ({}, True),
        ({"url": "https://elsewhere.test/"}, False),
        ({"network": NetworkIdentity(asn=64500)}, False),
        ({"started_at": recording().measurement.started_at + timedelta(hours=2)}, False),
        ({"started_at": recording().measurement.started_at - timedelta(hours=1)}, False),
    ],
    ids=["the same", "another URL", "another network", "too old", "a clock set back"],
)
def test_an_isolation_stands_for_the_same_url_on_the_same_network_for_its_time(
    changes: dict[str, object], *, stands: bool
) -> None:
    isolation, later = deep_run(), deep_run(**changes)
    found = learned(isolation).isolation((later.target, later.vantage), later, HOUR_SECONDS)
    assert found == (isolation if stands else None)


def test_a_deep_run_on_a_sick_line_stands_for_nothing() -> None:
    isolation = deep_run()
    memory = learned(isolation, after=VantageState.OFFLINE)
    assert memory.isolation((isolation.target, isolation.vantage), isolation, HOUR_SECONDS) is None
