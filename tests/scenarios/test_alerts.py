"""From a censor's rule to a message in somebody's hands, through the daemon."""

import hashlib
import hmac
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from monitor.lab import Answer, Cut, Lab, Line
from monitor.lab.resolvers import NXDOMAIN
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


def alerts(folder: Path, hook: Receiver, **more: object) -> dict[str, Any]:
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


def test_what_is_confirmed_later_is_told_and_to_who_wants_nothing_likely_it_is_the_beginning(
    lab: Lab, hook: Receiver, tmp_path: Path
) -> None:
    lab.site("switched.lab.test")
    targets = {"switched": lab.url("switched.lab.test")}
    with receiver() as strict:
        section = alerts(tmp_path, hook)
        section["channels"] |= {"strict": {"kind": "webhook", "url": strict.url}}
        section["routes"] |= {"strict": {"channels": "strict", "kinds": ["start", "end"], "confidence": "confirmed"}}
        daemon = Daemon(configuration(lab, tmp_path, targets, interval_seconds=1, alerts=section))
        with daemon.running():
            daemon.wait_for(lambda: daemon.rows("SELECT 1 FROM detector WHERE state = 'accessible'"))
            # A lie of one resolver is told from a mistake of it by nothing but the others.
            lab.lie("switched.lab.test", NXDOMAIN)
            daemon.wait_for(lambda: hook.kinds == ["start"])
            lab.censor("switched.lab.test", Cut.RESET)
            lab.lie("switched.lab.test", Answer((lab.address("switched.lab.test"),)))
            daemon.wait_for(lambda: strict.kinds == ["confirmed"])
            daemon.wait_for(lambda: "confirmed" in hook.kinds)
            lab.lift()
            daemon.wait_for(lambda: strict.kinds == ["confirmed", "end"])
            daemon.wait_for(lambda: hook.kinds[-1] == "end")
    assert "(likely)" in hook.taken[0].json["headline"]
    assert strict.taken[0].json["headline"].startswith("[now confirmed] lab blocked on the one network measured")
    assert strict.taken[0].json["headline"].endswith("(confirmed)")
    assert hook.kinds.count("confirmed") == 1
    (incident,) = daemon.rows("SELECT confirmed_at > opened_at FROM incident")
    assert incident == 1
