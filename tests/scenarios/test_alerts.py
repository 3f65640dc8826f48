"""From a censor's rule to a message in somebody's hands, through the daemon."""

import hashlib
import hmac
from collections.abc import Iterator
from pathlib import Path

import pytest

from monitor.lab import Cut, Lab, Line
from tests.alerts.receivers import Receiver, receiver
from tests.scenarios.daemon import Daemon, configuration

SECRET = "of the laboratory"  # noqa: S105 - of a laboratory


@pytest.fixture
def lab() -> Iterator[Lab]:
    with Lab() as lab:
        yield lab


@pytest.fixture
def hook() -> Iterator[Receiver]:
    with receiver() as found:
        yield found


def alerts(folder: Path, hook: Receiver, **more: object) -> dict[str, object]:
    """Return a section that tells one webhook of everything, each alert by itself."""
    (folder / "secret").write_text(SECRET)
    channel = {"kind": "webhook", "url": hook.url, "secret_file": str(folder / "secret"), "timeout": 2}
    return {
        "channels": {"hook": channel},
        "routes": {"all": {"channels": "hook"}},
        "group": 0,
        "digest": 0,
        "flapping": {"changes": 0},
        **more,
    }


def test_a_block_and_its_end_are_told_once_with_evidence_also_when_the_end_came_while_nothing_ran(
    lab: Lab, hook: Receiver, tmp_path: Path
) -> None:
    lab.site("switched.lab.test")
    targets = {"switched": lab.url("switched.lab.test")}
    daemon = Daemon(configuration(lab, tmp_path, targets, interval_seconds=1, alerts=alerts(tmp_path, hook)))
    with daemon.running():
        daemon.wait_for(lambda: daemon.rows("SELECT 1 FROM detector WHERE state = 'accessible'"))
        lab.censor("switched.lab.test", Cut.RESET)
        daemon.wait_for(lambda: hook.kinds == ["start"])
        daemon.wait_for(lambda: daemon.metric("monitor_alert_deliveries_total", channel="hook") == 1)
    lab.lift()
    with daemon.running():
        daemon.wait_for(lambda: hook.kinds[-1] == "end")
        daemon.wait_for(lambda: daemon.rows("SELECT 1 FROM delivery WHERE state = 'pending'") == [])
    start, end = hook.taken[0], hook.taken[-1]
    assert [kind for kind in hook.kinds if kind in {"start", "end"}] == ["start", "end"]
    (incident,) = daemon.rows("SELECT id FROM incident")
    assert start.headers["Idempotency-Key"] == f"{incident}/start/1/hook"
    assert start.json["alerts"][0]["incident"]["mechanisms"] == ["tls.reset.sni"]
    assert "blocked on the one network measured in Pakistan (confirmed)" in start.json["headline"]
    assert "TLS handshake is reset" in start.json["text"]
    assert "accessible again" in end.json["headline"]
    time, _, proof = start.headers["Monitor-Signature"].partition(",v1=")
    signed = f"{time.removeprefix('t=')}.".encode() + start.body
    assert hmac.new(SECRET.encode(), signed, hashlib.sha256).hexdigest() == proof
    assert SECRET not in daemon.log.read_text()


def test_our_own_line_is_told_once_as_that_and_no_platform_is_blamed(lab: Lab, hook: Receiver, tmp_path: Path) -> None:
    names = [f"site{number}" for number in range(4)]
    for name in names:
        lab.site(f"{name}.lab.test")
    targets = {name: lab.url(f"{name}.lab.test") for name in names}
    section = alerts(tmp_path, hook, conditions={"vantage": "1s"})
    daemon = Daemon(configuration(lab, tmp_path, targets, interval_seconds=2, alerts=section))
    with daemon.running():
        daemon.wait_for(lambda: set(daemon.rows("SELECT state FROM detector")) == {"accessible"})
        lab.line(Line.OFFLINE)
        daemon.wait_for(lambda: hook.kinds == ["vantage"])
    # A restart while it lasts tells it no second time, and its end is told.
    with daemon.running():
        daemon.wait_for(lambda: ("inconclusive", "vantage_offline") in daemon.verdicts("site0")[-1:])
        lab.line(Line.ONLINE)
        daemon.wait_for(lambda: "vantage_end" in hook.kinds)
    assert hook.kinds == ["vantage", "vantage_end"]
    assert "Vantage here is out of order: its line is down" in hook.taken[0].json["headline"]
    assert daemon.count("incident") == 0
