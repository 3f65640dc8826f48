import contextlib
import socket
import sqlite3
import subprocess
import sys
from collections import Counter
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml

from tests.scenarios.running import ROOT
from tests.scenarios.shipped import ROUNDS, STATUSES


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The database of a daemon that measured every shipped target in the laboratory."""
    folder = tmp_path_factory.mktemp("shipped")
    elsewhere = () if may_bind_80() else ("unshare", "--map-root-user", "--net")
    command = (*elsewhere, sys.executable, "-m", "tests.scenarios.shipped", str(folder))
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return folder / "monitor.db"


def may_bind_80() -> bool:
    with socket.socket() as one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            one.bind(("127.80.80.80", 80))
        except PermissionError:
            return False
    return True


def test_each_target_is_accessible_or_grey_for_a_reason_that_its_server_gives(database: Path) -> None:
    with contextlib.closing(sqlite3.connect(database)) as connection:
        rows = connection.execute("SELECT target, status, reason, is_deep FROM measurement_detail").fetchall()
    measured = Counter(target for target, *_ in rows)
    expected, served = what_is_shown()
    assert measured.keys() == expected.keys()
    assert min(measured.values()) >= ROUNDS
    for target, status, reason, _ in rows:
        is_page = expected[target] == "page"
        grey = {403: "server_differs", 404: "server_differs", 429: "challenge"}.get(served[target]) if is_page else None
        assert (status, reason) == (("inconclusive", grey) if grey else ("accessible", None)), target
    deep = Counter(target for target, *_, is_deep in rows if is_deep)
    assert max(deep.values()) == 1
    # Every status met a target that looks at pages, so nothing above was passed by for want of a case.
    assert {served[target] for target, kind in expected.items() if kind == "page"} == set(STATUSES)


def what_is_shown() -> tuple[dict[str, str], dict[str, int]]:
    """Return by target how far it looks (page, tls or tcp) and which status its host answers."""
    shipped = yaml.safe_load((ROOT / "probes.yaml").read_text())
    groups = [platform["targets"] for platform in shipped["platforms"].values()] + [shipped["control_sites"]]
    targets = {name: target for group in groups for name, target in group.items()}
    hosts = {name: urlsplit(target["url"]).hostname for name, target in targets.items()}
    turn = {host: STATUSES[number % len(STATUSES)] for number, host in enumerate(dict.fromkeys(hosts.values()))}
    looks = {
        name: "page" if target["expect"] not in ("tls", "tcp") else target["expect"] for name, target in targets.items()
    }
    return looks, {name: turn[host] for name, host in hosts.items()}
