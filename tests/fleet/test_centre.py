"""The centre's side of agents that push: real requests to a real daemon, and what its database and metrics then say."""

import secrets
import socket
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
import pytest
import zstandard
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from monitor.model.fleet import Acknowledgement, CheckInAnswer, Result
from monitor.model.measurement import Recording
from monitor.model.observation import TlsObservation
from monitor.model.vantage import NetworkIdentity
from tests.fakes.agent import FakeAgent, RefusedError
from tests.fakes.outcomes import DNS, TCP, TLS, X_HOME, recording
from tests.fleet.centre import Centre, configuration, running
from tests.ports import free_port
from tests.scenarios.daemon import change

RESET = TlsObservation(
    address="162.159.140.229", port=443, server_name="x.com", failure="connection_reset", started_seconds=0.07
)
ACCESSIBLE = recording()
CUT = recording(DNS, TCP, RESET)


@pytest.fixture(scope="module")
def centre(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Centre]:
    with running(tmp_path_factory.mktemp("centre")) as centre:
        yield centre


@pytest.fixture(scope="module")
def enrolled(centre: Centre) -> FakeAgent:
    return centre.agent("bergen-1")


@pytest.fixture
def agent(enrolled: FakeAgent) -> FakeAgent:
    """The agent of bergen-1 after a restart: its results are numbered from 1."""
    enrolled.boot = secrets.token_hex(8)
    return enrolled


def results(agent: FakeAgent, *ages_seconds: float) -> list[Result]:
    return [agent.result(number, ACCESSIBLE, age_seconds=age) for number, age in enumerate(ages_seconds, 1)]


def refusal(ask: Callable[[], object], status: int, word: str) -> RefusedError:
    with pytest.raises(RefusedError) as found:
        ask()
    assert (found.value.status, found.value.refusal.error) == (status, word)
    return found.value


def stored(centre: Centre, agent: FakeAgent) -> list[tuple[int, str, str, int]]:
    """Return number, status, vantage and lateness of the results of an agent's boot, in the order of their numbers."""
    return centre.rows(
        "SELECT r.sequence, m.status, m.vantage, r.is_late FROM agent_result r JOIN agent_boot b ON b.id = r.boot_id "
        "JOIN agent a ON a.id = b.agent_id JOIN measurement_detail m ON m.id = r.measurement_id WHERE a.name = ? "
        "AND b.boot = ? ORDER BY r.sequence",
        agent.id,
        agent.boot,
    )


def test_results_are_judged_anew_stored_once_and_acknowledged(centre: Centre, agent: FakeAgent) -> None:
    sent = results(agent, 20.0, 10.0)
    first = agent.send(sent)
    assert (first.accepted, first.duplicate, first.rejected) == (2, 0, ())
    # The answer came after the commit: what it accepted is there at once, and once only.
    assert [row[:3] for row in stored(centre, agent)] == [(1, "accessible", "bergen-1"), (2, "accessible", "bergen-1")]
    again = agent.send(sent)
    assert (again.accepted, again.duplicate) == (0, 2)
    assert len(stored(centre, agent)) == 2


def test_the_same_numbers_of_another_boot_are_other_results(centre: Centre, agent: FakeAgent) -> None:
    agent.send(results(agent, 5.0))
    agent.boot = secrets.token_hex(8)
    assert agent.send(results(agent, 1.0)).accepted == 1
    assert len(stored(centre, agent)) == 1


def test_a_body_repeated_byte_for_byte_changes_nothing(centre: Centre, agent: FakeAgent) -> None:
    body = agent.packed(results(agent, 5.0))
    assert agent.ask("/v1/batch", body, Acknowledgement).accepted == 1
    before = centre.count("measurement")
    assert agent.ask("/v1/batch", body, Acknowledgement).duplicate == 1
    assert centre.count("measurement") == before


def test_what_a_stranger_or_a_box_on_the_way_sends_changes_nothing(centre: Centre, agent: FakeAgent) -> None:
    before = centre.count("measurement")
    body = agent.packed(results(agent, 5.0))
    kind = Acknowledgement
    stranger = Ed25519PrivateKey.generate()
    refusal(lambda: agent.ask("/v1/batch", body, kind, key=stranger), 401, "signature")
    refusal(lambda: agent.ask("/v1/batch", body, kind, signed_body=body[:-1]), 401, "signature")
    late = agent.now() - timedelta(minutes=6)
    told = refusal(lambda: agent.ask("/v1/batch", body, kind, signed_at=late), 401, "clock").refusal
    assert abs((told.server_time - agent.now()).total_seconds()) < 60
    known, agent.enrolled = agent.enrolled, msgspec.structs.replace(agent.enrolled, agent_id="0" * 32)
    refusal(lambda: agent.ask("/v1/batch", body, kind), 401, "unknown_agent")
    agent.enrolled = known
    # Packed, hence no check-in, though signed for one. for another path.
    refusal(lambda: agent.ask("/v1/check-in", body, kind), 400, "malformed")
    assert agent.post("/v1/batch", body).json()["error"] == "unsigned"
    refusal(lambda: agent.send(results(agent, 5.0), agent_id="0" * 32), 400, "malformed")
    assert centre.count("measurement") == before


def test_a_batch_that_is_not_whole_is_refused_as_a_whole(centre: Centre, agent: FakeAgent) -> None:
    before = centre.count("measurement")
    sent = results(agent, 9.0, 8.0, 7.0)
    for told in (2, 4):
        refusal(partial(agent.send, sent, results=told), 400, "malformed")
    refusal(lambda: agent.send(sent, boot_id="../../etc"), 400, "malformed")
    whole = agent.packed(sent)
    nested = zstandard.compress(b"[" * 1_000_000)
    for body in (whole[: len(whole) // 2], nested, b"", b"{}", zstandard.compress(b""), zstandard.compress(b"\n\n")):
        refusal(partial(agent.ask, "/v1/batch", body, Result), 400, "malformed")
    assert centre.count("measurement") == before


def test_a_bomb_and_too_much_are_refused(agent: FakeAgent) -> None:
    bomb = zstandard.compress(b"\0" * (80 * 1024 * 1024))
    assert len(bomb) < 100_000
    refusal(lambda: agent.ask("/v1/batch", bomb, Result), 400, "malformed")
    refusal(lambda: agent.ask("/v1/batch", b"\0" * (8 * 1024 * 1024 + 1), Result), 413, "too_large")
    refusal(lambda: agent.ask("/v1/check-in", b"\0" * (256 * 1024 + 1), Result), 413, "too_large")
    many = [agent.result(number, ACCESSIBLE) for number in range(1, 2002)]
    refusal(lambda: agent.send(many), 400, "malformed")
    assert agent.check_in().lease_until > agent.now()


def test_a_result_that_makes_no_sense_is_named_and_the_others_are_taken(centre: Centre, agent: FakeAgent) -> None:
    measurement = ACCESSIBLE.measurement

    def with_(sequence: int, **changes: object) -> Result:
        bad = msgspec.structs.replace(measurement, **changes)
        return msgspec.structs.replace(
            agent.result(sequence, ACCESSIBLE), recording=msgspec.structs.replace(ACCESSIBLE, measurement=bad)
        )

    fine = agent.result(1, ACCESSIBLE)
    lines: Sequence[Result | bytes] = [
        fine,
        b'{"sequence": 2, "recording": []}',
        with_(3, elapsed_seconds=1e300),
        with_(4, url="https://x.com/\x1b[2J"),
        with_(5, network=msgspec.structs.replace(measurement.network, asn=-1)),
        agent.result(6, recording(target=msgspec.structs.replace(X_HOME, name="nobody-asked"))),
        agent.result(7, ACCESSIBLE, age_seconds=11 * 86_400.0),
        agent.result(8, ACCESSIBLE, fault="because"),
        agent.result(9, recording(DNS, TCP, msgspec.structs.replace(TLS, elapsed_seconds=-1.0))),
    ]
    answer = agent.send(lines)
    assert answer.accepted == 1
    assert {one.sequence: one.reason for one in answer.rejected} == {
        2: "malformed", 3: "malformed", 4: "malformed", 5: "malformed", 6: "unknown_target", 7: "expired",
        8: "malformed", 9: "malformed",
    }  # fmt: skip
    assert [number for number, *_ in stored(centre, agent)] == [1]


def test_a_target_of_another_vantage_is_not_taken(agent: FakeAgent) -> None:
    foreign = msgspec.structs.replace(ACCESSIBLE.measurement, target="other-home", url="https://other.example/")
    answer = agent.send([agent.result(1, Recording(measurement=foreign))])
    assert [one.reason for one in answer.rejected] == ["unknown_target"]


def test_rounds_that_came_late_are_history_and_move_nothing(centre: Centre) -> None:
    agent = centre.agent("karachi-1")
    agent.send([agent.result(1, ACCESSIBLE, age_seconds=5.0)])
    day = [agent.result(number, CUT, age_seconds=86_400.0 - 60 * number) for number in range(2, 30)]
    assert agent.send(day, is_backfill=True).accepted == 28
    assert [late for *_, late in stored(centre, agent)] == [0] + 28 * [1]
    assert centre.metric("access_target_accessible", vantage="karachi-1") == 1
    assert not centre.rows("SELECT 1 FROM transition JOIN vantage v ON v.id = vantage_id WHERE v.name = 'karachi-1'")
    assert centre.metric("access_agent_results_total", vantage="karachi-1", result="late") == 28
    # The timeline has them all the same.
    runs = centre.rows(
        "SELECT status FROM status_run s JOIN vantage v ON v.id = s.vantage_id WHERE v.name = 'karachi-1' "
        "ORDER BY s.started_at"
    )
    assert len(runs) == 2
    assert runs[-1] == "accessible"


def test_a_round_older_than_one_already_heard_live_is_history(centre: Centre, agent: FakeAgent) -> None:
    agent.send([agent.result(1, ACCESSIBLE, age_seconds=1.0)])
    agent.send([agent.result(2, CUT, age_seconds=30.0)])
    assert [late for *_, late in stored(centre, agent)] == [0, 1]


def test_a_clock_that_is_wrong_is_corrected_and_said(centre: Centre) -> None:
    agent = centre.agent(clock_offset=timedelta(days=-365))
    agent.send([agent.result(1, ACCESSIBLE, age_seconds=20.0)])
    agent.clock_offset = timedelta(0)
    # The calendar was put right between round and batch; the clock of the boot knows better than both.
    stale = agent.result(2, ACCESSIBLE, age_seconds=10.0)
    wrong = msgspec.structs.replace(stale.recording.measurement, started_at=agent.now() + timedelta(hours=9))
    agent.send([msgspec.structs.replace(stale, recording=Recording(measurement=wrong))])
    # Without the clock of the boot nothing is known but that it cannot have been in the future.
    ahead = msgspec.structs.replace(wrong, started_at=agent.now() + timedelta(hours=1))
    agent.send(
        [msgspec.structs.replace(agent.result(3, ACCESSIBLE), recording=Recording(measurement=ahead))],
        monotonic_seconds=None,
    )
    rows = centre.rows(
        "SELECT r.clock, m.started_at - r.received_at, r.told_at > r.received_at FROM agent_result r "
        "JOIN measurement m ON m.id = r.measurement_id JOIN agent_boot b ON b.id = r.boot_id WHERE b.boot = ? "
        "ORDER BY sequence",
        agent.boot,
    )
    assert [mark for mark, *_ in rows] == ["skewed", "skewed", "clamped"]
    assert [round(after / 5000) * 5 for _, after, _ in rows] == [-20, -10, 0]
    assert [is_ahead for *_, is_ahead in rows] == [0, 1, 1]


def test_an_invitation_is_good_once_for_one_agent_and_a_while(centre: Centre) -> None:
    invitation = centre.invitation()
    first = FakeAgent(invitation)
    refusal(lambda: FakeAgent(invitation), 401, "token")
    secret = first.invitation.secret
    forged = invitation.replace(secret, secret[::-1])
    refusal(lambda: FakeAgent(forged), 401, "token")
    assert "no vantage" in centre.said("agent", "invite", "nowhere", exit_status=2)
    (row,) = centre.rows("SELECT digest FROM agent_token WHERE id = ?", first.invitation.token_id)
    assert secret.encode() not in row
    assert secret not in centre.log.read_text()


def test_who_lost_the_answer_to_the_enrolment_gets_it_again(centre: Centre) -> None:
    agent = centre.agent()
    assert agent.enrol().agent_id == agent.id


def test_a_new_agent_takes_the_place_of_the_one_before(centre: Centre) -> None:
    before, after = centre.agent(), centre.agent()
    refusal(before.check_in, 403, "revoked")
    after.check_in()


def test_a_revoked_agent_is_heard_no_more_from_that_moment(centre: Centre) -> None:
    agent = centre.agent()
    agent.send(results(agent, 5.0))
    centre.said("agent", "revoke", agent.id)
    refusal(agent.check_in, 403, "revoked")
    refusal(lambda: agent.send(results(agent, 1.0)), 403, "revoked")
    assert len(stored(centre, agent)) == 1
    assert agent.id not in centre.said("agent", "list")
    assert "revoked (operator)" in centre.said("agent", "list", "--all")
    assert "is enrolled" in centre.said("agent", "revoke", "lahore-1", exit_status=2)


def test_a_check_in_is_answered_once_and_tells_what_to_measure(centre: Centre) -> None:
    agent = centre.agent()
    answer = agent.check_in(nonce="one")
    assert answer.nonce == "one"
    assert answer.instructions is not None
    assert [one.target.name for one in answer.instructions.targets] == ["x-home"]
    assert answer.instructions.country == "PK"
    assert answer.lease_until - answer.server_time > timedelta(days=6)
    refusal(lambda: agent.check_in(nonce="one"), 409, "replayed")
    assert agent.check_in(config_version=answer.instructions.version).instructions is None
    # An agent that has seen more than this database remembers is never sent back.
    ahead = agent.check_in(config_version=answer.instructions.version + 7).instructions
    assert ahead is not None
    assert ahead.version == answer.instructions.version + 8


def test_what_an_agent_says_of_itself_is_shown(centre: Centre) -> None:
    agent = centre.agent()
    agent.check_in(spool_rows=7, dropped_count=3, quiet="budget", vetoed=("x-home",))
    centre.wait_for(lambda: centre.metric("access_agent_spool_results", vantage="lahore-1") == 7)
    assert centre.metric("access_agent_dropped_results", vantage="lahore-1") == 3
    assert centre.metric("access_agent_quiet", vantage="lahore-1", reason="budget") == 1
    assert centre.metric("access_vantage_online", vantage="lahore-1") == 1
    shown = {one["vantage"]: one for one in centre.get("/api/v1/status").json()["agents"]}
    assert (shown["lahore-1"]["spool_rows"], shown["lahore-1"]["vetoed"]) == (7, ["x-home"])
    assert "public_key" not in shown["lahore-1"]
    assert "and measures nothing (budget), 7 results wait there, 3 were dropped" in centre.get("/").text


def test_where_an_agent_calls_from_is_written_nowhere(centre: Centre) -> None:
    home = "127.66.77.88"
    agent = centre.agent(source=home)
    agent.check_in()
    agent.send(results(agent, 5.0))
    refusal(lambda: agent.send(results(agent, 4.0), results=9), 400, "malformed")
    refusal(lambda: agent.ask("/v1/check-in", b"{}", CheckInAnswer), 400, "malformed")
    assert agent.post("/v1/nothing", b"").status_code == 404
    place = urlsplit(agent.invitation.url)
    for noise in (
        b"\x16\x03\x01" + b"\0" * 40,
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST /v1/batch HTTP/1.1\r\nContent-Length: 5\r\n",
    ):
        with socket.create_connection((place.hostname, place.port), 10, source_address=(home, 0)) as raw:
            raw.sendall(noise)
            raw.shutdown(socket.SHUT_WR)
            raw.recv(1000)
    written = [centre.log, centre.output, *centre.database.parent.glob("monitor.db*")]
    told = [centre.get(path).content for path in ("/", "/metrics", "/api/v1/status")]
    assert not any(home.encode() in content for content in (*told, *(path.read_bytes() for path in written)))


def test_an_agent_that_pushes_cannot_be_asked_and_does_not_look_sick_for_it(centre: Centre) -> None:
    assert "cannot be asked" in centre.said("probe", "x-home", exit_status=2)
    assert "cannot be asked" in centre.said("probe", "x-home", "--vantage", "lahore-1", exit_status=2)
    answer = centre.get("/probe", params={"target": "x-home", "module": "http_2xx"})
    assert (answer.status_code, "No vantage can be asked" in answer.text) == (400, True)
    assert not centre.rows("SELECT 1 FROM vantage_check WHERE state <> 'online'")


def test_one_agent_cannot_take_the_time_of_the_others(tmp_path: Path) -> None:
    with running(tmp_path, ingest={"rate": 0.5}) as centre:
        agent, other = centre.agent(), centre.agent("karachi-1")

        def ask_on() -> None:
            for _ in range(50):
                agent.check_in()

        assert int(refusal(ask_on, 429, "rate").retry_after or 0) > 0
        other.check_in()
        assert centre.metric("access_agent_refused_requests_total", reason="rate") == 1


def test_an_agent_that_says_nothing_is_silent_and_its_targets_are_not_blocked(tmp_path: Path) -> None:
    with running(tmp_path, ingest={"check_in": 1}) as centre:
        lahore, karachi, oslo = (centre.agent(name) for name in ("lahore-1", "karachi-1", "oslo-1"))
        for each, asn in ((lahore, 17557), (karachi, 9541), (oslo, 2119)):
            each.check_in()
            each.send([each.result(1, recording(network=NetworkIdentity(asn=asn)))])

        def are_silent() -> bool:
            oslo.check_in()
            return centre.metric("access_country_silent", country="PK") == 1

        centre.wait_for(are_silent)
        assert centre.metric("access_vantage_state", vantage="lahore-1", state="offline") == 1
        assert centre.metric("access_vantage_online", vantage="oslo-1") == 1
        assert centre.metric("access_target_accessible", vantage="lahore-1") == 1
        shown = {one["name"]: one for one in centre.get("/api/v1/status").json()["vantages"]}
        assert shown["lahore-1"]["reason"] == "silent"
        assert "its agent is silent" in centre.get("/").text
        lahore.check_in()
        centre.wait_for(lambda: centre.metric("access_country_silent", country="PK") is None)


def test_after_kill_minus_nine_nothing_is_lost_that_was_acknowledged(tmp_path: Path) -> None:
    centre = Centre(configuration(tmp_path))
    with centre.running():
        agent = centre.agent()
        answer = agent.check_in()
        agent.send(results(agent, 9.0, 8.0))
        centre.kill()
    with centre.running():
        assert agent.send([agent.result(number, ACCESSIBLE) for number in (1, 2, 3)]).duplicate == 2
        assert len(stored(centre, agent)) == 3
        assert answer.instructions is not None
        assert agent.check_in(config_version=answer.instructions.version).instructions is None


def test_a_reload_changes_what_is_to_be_measured_and_the_version_only_rises(tmp_path: Path) -> None:
    with running(tmp_path) as centre:
        agent = centre.agent()
        first = agent.check_in().instructions
        assert first is not None
        change(centre.config, platforms={"x": {"targets": {"x-api": "https://api.x.com/"}}})
        assert centre.reload().status_code == 200
        second = agent.check_in(config_version=first.version).instructions
        assert second is not None
        assert (second.version, len(second.targets)) == (first.version + 1, 2)
        written = centre.config.read_text()
        centre.config.write_text(written.replace("lahore-1:", "lahore-2:"))
        assert centre.reload().status_code == 200
        # It may come back, so what waits at the agent is not thrown away.
        refusal(lambda: agent.send(results(agent, 5.0)), 503, "not_configured")
        refusal(agent.check_in, 503, "not_configured")
        centre.config.write_text(written)
        assert centre.reload().status_code == 200
        assert agent.send(results(agent, 5.0)).accepted == 1
        change(centre.config, ingest={"listen": "127.0.0.1:1"})
        assert "ingest.listen can only change with a restart" in centre.reload().text


def test_over_tls_the_invitation_names_the_certificate(tmp_path: Path) -> None:
    port = free_port()
    place = {"listen": f"127.0.0.1:{port}", "urls": [f"https://127.0.0.1:{port}"], "tls": True}
    with running(tmp_path, ingest=place) as centre:
        agent = centre.agent()
        assert agent.invitation.certificate_fingerprint is not None
        assert agent.send(results(agent, 5.0)).accepted == 1
        for file in (tmp_path / "ingest").glob("*.key"):
            assert file.stat().st_mode & 0o077 == 0
