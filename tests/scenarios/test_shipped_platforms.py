import contextlib
import json
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
def measured(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, int]]:
    """The database of a daemon that measured every shipped target in the laboratory, and what each host answered."""
    folder = tmp_path_factory.mktemp("shipped")
    elsewhere = () if may_bind_80() else ("unshare", "--map-root-user", "--net")
    command = (*elsewhere, sys.executable, "-m", "tests.scenarios.shipped", str(folder))
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return folder / "monitor.db", json.loads(done.stdout)


def may_bind_80() -> bool:
    with socket.socket() as one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            one.bind(("127.80.80.80", 80))
        except PermissionError:
            return False
    return True


def shipped_targets() -> dict[str, dict[str, object]]:
    shipped = yaml.safe_load((ROOT / "probes.yaml").read_text())
    groups = [platform["targets"] for platform in shipped["platforms"].values()] + [shipped["control_sites"]]
    return {name: target for group in groups for name, target in group.items()}


def test_each_target_is_accessible_or_grey_for_the_reason_that_its_server_gives(
    measured: tuple[Path, dict[str, int]],
) -> None:
    database, answered = measured
    with contextlib.closing(sqlite3.connect(database)) as connection:
        rows = connection.execute("SELECT target, status, reason, is_deep FROM measurement_detail").fetchall()
    targets = shipped_targets()
    # What a target answers counts only where it is looked at.
    pages = {
        name: answered[urlsplit(str(target["url"])).hostname or ""]
        for name, target in targets.items()
        if target["expect"] not in ("tls", "tcp")
    }
    assert set(pages.values()) == set(STATUSES)
    grey = {403: "server_differs", 404: "server_differs", 429: "challenge"}
    rounds = Counter(target for target, *_ in rows)
    assert rounds.keys() == targets.keys()
    assert min(rounds.values()) >= ROUNDS
    for target, status, reason, _ in rows:
        why = grey.get(pages.get(target, 200))
        assert (status, reason) == (("inconclusive", why) if why else ("accessible", None)), target
    assert max(Counter(target for target, *_, is_deep in rows if is_deep).values()) == 1
