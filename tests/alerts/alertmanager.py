"""Debian's Alertmanager as a process, with one receiver."""

import contextlib
import json
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx

from tests.alerts.receivers import Receiver


@contextlib.contextmanager
def alertmanager(folder: Path, hook: Receiver, port: int) -> Iterator[str]:
    """Run it in an empty folder, so that it knows of nothing; yields its URL."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "alertmanager.yml").write_text(
        json.dumps(
            {
                "route": {"receiver": "hook", "group_by": ["..."], "group_wait": "0s", "group_interval": "1s"},
                "receivers": [
                    {"name": "hook", "webhook_configs": [{"url": hook.url, "send_resolved": True}]},
                ],
            }
        )
    )
    command = ["prometheus-alertmanager", f"--config.file={folder}/alertmanager.yml", f"--storage.path={folder}/am",
               f"--web.listen-address=127.0.0.1:{port}", "--cluster.listen-address="]  # fmt: skip
    with (folder / "am.log").open("w") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        url = f"http://127.0.0.1:{port}"
        try:
            wait_until(lambda: _is_ready(url))
            yield url
        finally:
            process.terminate()
            process.wait(30)


def open_alerts(url: str) -> list[dict[str, Any]]:
    """Return what an Alertmanager holds that has not ended."""
    found: list[dict[str, Any]] = httpx.get(f"{url}/api/v2/alerts", trust_env=False).json()
    return found


def wait_until(question: Callable[[], bool]) -> None:
    """Ask until the answer is yes; fails after a minute."""
    end = time.monotonic() + 60
    while not question():
        assert time.monotonic() < end
        time.sleep(0.1)


def _is_ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/-/ready", trust_env=False).is_success
    except httpx.HTTPError:
        return False
