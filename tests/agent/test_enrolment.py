from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from monitor.agent.identity import Identity
from monitor.daemon.agent_server import certificate_at
from monitor.lab import Lab
from monitor.network.clock import SystemClock
from tests.agent.conftest import OPEN
from tests.agent.setting import Machine, instructions
from tests.fakes.centre import FakeCentre
from tests.vantages.servers import microsocks


@pytest.fixture
def tls_centre(tmp_path: Path) -> Iterator[FakeCentre]:
    certificate = certificate_at(tmp_path / "centre", SystemClock().now())
    with FakeCentre(tls=certificate).running() as centre:
        yield centre


def test_a_centre_with_a_certificate_of_its_own_is_known_by_it(
    lab: Lab, tls_centre: FakeCentre, machine: Machine, tmp_path: Path
) -> None:
    tls_centre.instructions = instructions(lab, tmp_path, {"open": lab.url(OPEN)})
    machine.enroll(tls_centre)
    with machine.running():
        tls_centre.wait_for_results("open", 1)
    assert [(one.consent_version, one.consent_at is not None) for one in tls_centre.enrolments] == [(1, True)]


def test_a_proxy_for_reporting_carries_reports_and_no_measurement(
    lab: Lab, tls_centre: FakeCentre, machine: Machine, tmp_path: Path
) -> None:
    source = "127.8.8.8"
    tls_centre.instructions = instructions(lab, tmp_path, {"open": lab.url(OPEN)})
    with microsocks(tmp_path, source=source) as server:
        proxy = ("--report-proxy", f"socks5://{server}")
        machine.command("enroll", tls_centre.invitation(), "--accept-risks", *proxy)
        machine.owner()
        with machine.running(*proxy):
            tls_centre.wait_for_results("open", 1)
    assert tls_centre.askers == {source}
    assert source not in {asked_from for asked_from, _, _ in lab.connections}


def test_another_certificate_or_key_than_the_invitations_gets_no_token(
    tls_centre: FakeCentre, machine: Machine
) -> None:
    url, _, fragment = tls_centre.invitation().partition("#")
    token_id, secret, key, certificate = fragment.split(".")
    for wrong, told in (
        ((token_id, secret, key, "0" * 64), "another one than the invitation names"),
        ((token_id, secret, "0" * 64, certificate), "another centre than the invitation's"),
    ):
        said = machine.command("enroll", f"{url}#{'.'.join(wrong)}", "--accept-risks", expect=2)
        assert told in said
        assert secret not in said
        assert not (machine.data / "identity.json").exists()


def test_consent_is_asked_for_and_silence_is_a_no(centre: FakeCentre, machine: Machine) -> None:
    said = machine.command("enroll", centre.invitation(), expect=2)
    assert "Your internet provider" in said
    assert "کسی اور کے لیے" in said
    assert "--accept-risks" in said
    assert centre.enrolments == []


def test_an_invitation_is_good_once(centre: FakeCentre, machine: Machine, tmp_path: Path) -> None:
    invitation = centre.invitation()
    machine.command("enroll", invitation, "--accept-risks")
    machine.data = tmp_path / "second"
    assert "it was used" in machine.command("enroll", invitation, "--accept-risks", expect=2)


@pytest.mark.parametrize("text", ["https://centre.example.org/", "hello", "https://centre.example.org/#short.key"])
def test_half_an_invitation_is_told_so_without_repeating_it(machine: Machine, text: str) -> None:
    said = machine.command("enroll", text, "--accept-risks", expect=2)
    assert "no invitation" in said
    assert text not in said


def test_plain_http_beyond_this_host_is_refused(centre: FakeCentre, machine: Machine) -> None:
    invitation = centre.invitation().replace("127.0.0.1", "centre.example.org")
    assert "https://" in machine.command("enroll", invitation, "--accept-risks", expect=2)


def test_an_agent_never_shows_its_key(tmp_path: Path) -> None:
    identity = Identity(
        agent_id="a-1",
        vantage="v",
        key=b"k" * 32,
        centre_key=b"c" * 32,
        urls=(),
        enrolled_at=SystemClock().now(),
    )
    assert "k" * 8 not in repr(identity) + str(identity)
    identity.save(tmp_path / "identity.json")
    assert (tmp_path / "identity.json").stat().st_mode & 0o777 == 0o600
    assert msgspec.json.decode((tmp_path / "identity.json").read_bytes())["agent_id"] == "a-1"
