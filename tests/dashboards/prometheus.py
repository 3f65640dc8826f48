"""A real Prometheus on loopback, with the project's rules, scraping one daemon every second."""

import contextlib
import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import yaml

from tests.dashboards.boards import FOLDER
from tests.ports import free_port

PATIENCE_SECONDS = 180.0


class Prometheus:
    """What can be asked of it."""

    def __init__(self, client: httpx.Client) -> None:
        self._client = client

    def now(self, expr: str) -> list[Any]:
        """Return the series of an instant query."""
        return self._asked("query", query=expr)

    def lately(self, expr: str) -> list[Any]:
        """Return the series of the last minute, sampled as a panel does."""
        end = time.time()  # noqa: TID251 - Prometheus goes by the clock of the machine
        return self._asked("query_range", query=expr, start=end - 60, end=end, step=5)

    def alerts(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._client.get("/api/v1/alerts").json()["data"]["alerts"]
        return [alert for alert in found if alert["state"] == "firing"]

    def _asked(self, path: str, **parameters: Any) -> list[Any]:
        answer = self._client.get(f"/api/v1/{path}", params=parameters)
        assert answer.status_code == 200, answer.text
        found: list[Any] = answer.json()["data"]["result"]
        return [one for one in found if json.dumps(one).count("NaN") < len(one.get("values", [1]))]


@contextlib.contextmanager
def running(folder: Path, scraped: str) -> Iterator[Prometheus]:
    """Run it with the committed configuration, but for whom it scrapes, how often, and whom it tells."""
    config = yaml.safe_load((FOLDER / "prometheus" / "prometheus.yml").read_text())
    del config["alerting"]
    config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    config["rule_files"] = [str(FOLDER / "prometheus" / name) for name in config["rule_files"]]
    config["scrape_configs"][0]["static_configs"] = [{"targets": [scraped]}]
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    address = f"127.0.0.1:{free_port()}"
    options = ("--config.file=prometheus.yml", "--storage.tsdb.path=data", f"--web.listen-address={address}")
    with (
        (folder / "prometheus.log").open("w") as log,
        subprocess.Popen(["prometheus", *options], cwd=folder, stdout=log, stderr=log) as process,
        httpx.Client(base_url=f"http://{address}", trust_env=False, timeout=30) as client,
    ):
        try:
            _wait(client, process, folder / "prometheus.log")
            yield Prometheus(client)
        finally:
            process.terminate()


def _wait(client: httpx.Client, process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < end and process.poll() is None:
        with contextlib.suppress(httpx.TransportError):
            if client.get("/-/ready").status_code == 200:
                return
        time.sleep(0.1)
    raise AssertionError(log.read_text()[-4000:])
