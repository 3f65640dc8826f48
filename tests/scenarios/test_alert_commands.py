"""Commands and API around alerts, on a database that a laboratory filled, and trouble that no outbox can tell of."""

import json
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing

import pytest

from monitor.lab import Cut, Lab
from tests.alerts.receivers import Receiver, receiver
from tests.scenarios.daemon import Daemon, configuration
from tests.scenarios.running import MONITOR, ROOT


@pytest.fixture(scope="module")
def hook() -> Iterator[Receiver]:
    with receiver() as found:
        yield found


@pytest.fixture(scope="module")
def heart() -> Iterator[Receiver]:
    with receiver() as found:
        yield found


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory, hook: Receiver, heart: Receiver) -> Iterator[Daemon]:
    """Run a daemon that knows of one blocked platform, muted but for what was found at the first look."""
    folder = tmp_path_factory.mktemp("alerts")
    (folder / "heart").write_text(f"{heart.url}/a-secret")
    with Lab() as lab:
        lab.site("switched.lab.test")
        alerts = {
            "channels": {"hook": {"kind": "webhook", "url": hook.url}},
            "routes": {"all": {"channels": "hook", "kinds": ["found", "end", "storage", "storage_end", "vantage"]}},
            "group": 0,
            "conditions": {"storage": "1s"},
            "heartbeat": {"address_file": str(folder / "heart"), "interval": "10s"},
        }
        lab.censor("switched.lab.test", Cut.RESET)
        config = configuration(
            lab, folder, {"switched": lab.url("switched.lab.test")}, interval_seconds=1, alerts=alerts
        )
        daemon = Daemon(config)
        with daemon.running():
            daemon.wait_for(lambda: "found" in hook.kinds)
            yield daemon


def failing(daemon: Daemon, *arguments: str) -> tuple[int, str]:
    done = subprocess.run(
        [*MONITOR, *arguments, "-c", str(daemon.config)],
        capture_output=True, text=True, timeout=60, check=False, cwd=ROOT,
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


def test_deliveries_and_their_attempts_are_shown_by_command_and_api(daemon: Daemon) -> None:
    (listed,) = (json.loads(line) for line in daemon.command("alerts", "list", "--json").splitlines())
    (asked,) = daemon.get("/api/v1/alerts", params={"channel": "hook", "state": "delivered"}).json()["alerts"]
    assert listed == asked
    (sent,) = asked["deliveries"]
    assert (sent["state"], sent["attempts"][0]["detail"]) == ("delivered", "HTTP 204")
    assert "HTTP 204" in daemon.command("alerts", "list")
    assert daemon.get("/api/v1/alerts", params={"state": "lost"}).status_code == 400


def test_the_heart_beats_and_nobody_learns_where(daemon: Daemon, heart: Receiver) -> None:
    heart.says(500)
    (first, *_) = heart.wait_for(2)
    assert first.path == "/hook/a-secret"
    assert "a-secret" not in daemon.log.read_text()


def test_a_test_says_what_the_other_side_answered(daemon: Daemon, hook: Receiver) -> None:
    assert daemon.command("alerts", "test", "hook") == "hook: delivered, HTTP 204\n"
    assert hook.taken[-1].json["alerts"][0]["kind"] == "test"
    hook.says(503)
    assert failing(daemon, "alerts", "test", "hook") == (1, "hook: failed, HTTP 503\n")
    status, said = failing(daemon, "alerts", "test", "hok")
    assert (status, "known: hook" in said) == (2, True)


def test_a_retraction_goes_to_whoever_was_told_past_a_silence(daemon: Daemon, hook: Receiver) -> None:
    (incident,) = daemon.rows("SELECT id FROM incident")
    until = daemon.command("silence", "add", "--everything", "--for", "1h", "--why", "a test", "--author", "me")
    assert until.startswith("Silent until ")
    (silence,) = (json.loads(line) for line in daemon.command("silence", "list", "--json").splitlines())
    assert (silence["author"], silence["why"]) == ("me", "a test")
    said = daemon.command("alerts", "retract", incident, "--why", "a mistake of ours")
    assert said == f"Correction 1 of {incident} goes to hook.\n"
    daemon.wait_for(lambda: hook.kinds[-1] == "retraction")
    assert "a mistake of ours" in hook.taken[-1].json["text"]
    assert daemon.command("silence", "expire", str(silence["id"])).startswith("Silence")
    assert daemon.command("silence", "list") == "Nothing is silenced.\n"
    assert failing(daemon, "silence", "expire", str(silence["id"]))[0] == 2
    assert failing(daemon, "alerts", "retract", "x-pk-20200101", "--why", "no such")[0] == 2
    assert failing(daemon, "silence", "add", "--for", "1h", "--why", "too much", "--author", "me")[0] == 2


def test_trouble_with_the_database_is_told_past_the_outbox_in_it(daemon: Daemon, hook: Receiver) -> None:
    with closing(sqlite3.connect(daemon.database, isolation_level=None)) as db:
        db.execute("BEGIN IMMEDIATE")
        daemon.wait_for(lambda: hook.kinds[-1] == "storage")
        db.execute("ROLLBACK")
    daemon.wait_for(lambda: hook.kinds[-1] == "storage_end")
    assert "another program holds the database" in hook.taken[-2].json["headline"]
    assert [kind for kind in hook.kinds if kind.startswith("storage")] == ["storage", "storage_end"]
