"""What an agent saw is judged by the centre's own rules, and beside what the centre's controls saw."""

from collections.abc import Iterator

import msgspec
import pytest

from monitor.lab.configuration import surroundings
from monitor.lab.laboratory import Lab
from monitor.model.measurement import FollowUp, Measurement, Recording
from monitor.model.observation import DnsObservation, Purpose, TcpObservation, TlsObservation
from monitor.model.vantage import NetworkIdentity
from tests.fakes.agent import FakeAgent, RefusedError
from tests.fleet.centre import Centre, running
from tests.scenarios.daemon import merged

HOST = "site.lab.test"
ISP = NetworkIdentity(asn=17557, name="PKTELECOM", country="PK")


@pytest.fixture(scope="module")
def centre(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Centre]:
    folder = tmp_path_factory.mktemp("centre")
    with Lab() as lab:
        lab.site(HOST)
        sections = merged(
            surroundings(lab, database=folder / "monitor.db", listen="127.0.0.1:0"),
            {
                "sanity": {"enabled": False},
                "vantages": {"outside": {"kind": "direct", "role": "control", "resolvers": [lab.control_resolver]}},
                "platforms": {"x": {"targets": {"x-home": lab.url(HOST)}}},
            },
        )
        with running(folder, **sections) as centre:
            yield centre


@pytest.fixture(scope="module")
def agent(centre: Centre) -> FakeAgent:
    return centre.agent()


def cut(control: Measurement) -> Recording:
    """Return what a filter of names makes of a round that went well at the control."""
    tls = next(one for one in control.observations if isinstance(one, TlsObservation))
    before = tuple(one for one in control.observations if isinstance(one, DnsObservation | TcpObservation))
    silence = TlsObservation(
        address=tls.address,
        port=tls.port,
        server_name=tls.server_name,
        failure="generic_timeout_error",
        started_seconds=tls.started_seconds,
        elapsed_seconds=10.0,
    )
    again = msgspec.structs.replace(silence, purpose=Purpose.RETRY, started_seconds=15.0)
    seen = (*before, silence, again)
    return Recording(measurement=msgspec.structs.replace(control, observations=seen, is_deep=True, network=ISP))


def test_a_block_seen_by_an_agent_becomes_an_incident_of_its_country(centre: Centre, agent: FakeAgent) -> None:
    (control,) = agent.control("x-home").controls
    # It is stored before it is answered, under the id in the answer.
    assert centre.rows("SELECT vantage FROM measurement_detail WHERE id = ?", control.id) == ["outside"]
    well = Recording(measurement=msgspec.structs.replace(control, network=ISP))
    agent.send([agent.result(number, well, age_seconds=60 - number) for number in range(1, 6)])
    blocked = [
        agent.result(number, cut(control), age_seconds=30 - number, control_ids=(control.id,))
        for number in range(6, 12)
    ]
    assert agent.send(blocked).accepted == 6
    rows = centre.rows(
        "SELECT m.status, v.control_ids FROM measurement_detail m JOIN verdict v ON v.measurement_id = m.id "
        "WHERE m.vantage = 'lahore-1' ORDER BY m.started_at"
    )
    assert [row[0] for row in rows] == 5 * ["accessible"] + 6 * ["blocked"]
    assert msgspec.json.decode(rows[-1][1]) == [control.id]
    assert centre.rows("SELECT platform, country, closed_at FROM incident") == [("x", "PK", None)]
    assert centre.metric("access_incident_active", platform="x", country="PK") == 1
    assert centre.metric("access_target_accessible", vantage="lahore-1") == 0


def test_an_isolating_run_that_came_late_explains_the_rounds_after_it(centre: Centre) -> None:
    agent = centre.agent("karachi-1")
    (control,) = agent.control("x-home").controls
    deep = cut(control)
    plain = msgspec.structs.replace(
        deep.measurement, is_deep=False, observations=tuple(one for one in deep.measurement.observations[:-1])
    )
    late = agent.result(1, deep, age_seconds=1200, control_ids=(control.id,))
    agent.send([late], is_backfill=True)
    agent.send([agent.result(2, Recording(measurement=plain), age_seconds=2, control_ids=(control.id,))])
    rows = centre.rows(
        "SELECT m.id, v.isolation_id FROM measurement_detail m JOIN verdict v ON v.measurement_id = m.id "
        "WHERE m.vantage = 'karachi-1' ORDER BY m.started_at"
    )
    assert rows[1][1] == rows[0][0]


def test_a_control_that_was_made_up_or_is_of_another_time_speaks_for_nobody(centre: Centre, agent: FakeAgent) -> None:
    (control,) = agent.control("x-home").controls
    own = centre.rows("SELECT max(id) FROM measurement_detail WHERE vantage = 'lahore-1'")[0]
    agent.boot = "another"
    made_up = agent.result(1, cut(control), age_seconds=2, control_ids=(1, own, 2**53))
    too_early = agent.result(2, cut(control), age_seconds=7200, control_ids=(control.id,))
    assert agent.send([made_up, too_early]).accepted == 2
    rows = centre.rows(
        "SELECT v.control_ids FROM agent_result r JOIN agent_boot b ON b.id = r.boot_id JOIN verdict v "
        "ON v.measurement_id = r.measurement_id WHERE b.boot = 'another' ORDER BY r.sequence"
    )
    # The first is compared with what the centre itself knows of this minute.
    assert rows[0] is None or msgspec.json.decode(rows[0]) == [control.id]
    assert rows[1] is None


def test_the_centre_is_no_scanner_of_its_agents(centre: Centre, agent: FakeAgent) -> None:
    with pytest.raises(RefusedError, match="404 unknown_target"):
        agent.control("other-home")
    before = centre.count("measurement")
    look = FollowUp(purpose=Purpose.CONTROL_CHECK, until="tcp", address="192.168.0.1", port=443)
    refused = (
        look,
        msgspec.structs.replace(look, address="127.0.0.1", port=22),
        msgspec.structs.replace(look, purpose=Purpose.PATH, address="127.0.0.1"),
        msgspec.structs.replace(look, until="throughput", url="http://127.0.0.1/"),
        msgspec.structs.replace(look, until="dns", host="secret.example", resolver="udp://127.0.0.1"),
    )
    (answer,) = agent.control("x-home", follow_ups=refused).controls
    assert {one.purpose for one in answer.observations} == {Purpose.PATH}
    assert centre.count("measurement") == before + 1


def test_what_a_control_saw_at_the_agents_addresses_comes_with_the_answer(agent: FakeAgent, centre: Centre) -> None:
    (control,) = agent.control("x-home", max_age_seconds=3600).controls
    tls = next(one for one in control.observations if isinstance(one, TlsObservation))
    look = FollowUp(
        purpose=Purpose.CONTROL_CHECK, until="tls", host=HOST, address=tls.address, port=tls.port, server_name=HOST
    )
    known, found = agent.control("x-home", follow_ups=(look,), max_age_seconds=3600).controls
    assert known.id == control.id
    assert {one.purpose for one in found.observations} == {Purpose.CONTROL_CHECK}
    assert centre.rows("SELECT vantage FROM measurement_detail WHERE id = ?", found.id) == ["outside"]


def test_questions_about_controls_have_a_rate_of_their_own(agent: FakeAgent) -> None:
    def ask_on() -> None:
        for _ in range(20):
            agent.control("x-home", max_age_seconds=3600)

    with pytest.raises(RefusedError, match="429 rate"):
        ask_on()
    agent.check_in()
