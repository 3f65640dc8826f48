"""The daemon left running in the laboratory: what it measures is stored, exported and shown, and nothing secret is."""

import json
import subprocess
from collections.abc import Iterator
from html import unescape

import httpx
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as text_format

from monitor.lab import Certificate, Cut
from monitor.lab.laboratory import Lab
from monitor.lab.resolvers import NXDOMAIN
from tests.scenarios.daemon import Daemon, configuration
from tests.scenarios.running import TOKEN, control_agent

SERVER_TOKEN = "the token of the daemon's own API"  # noqa: S105 - of a laboratory
EXPECTED = {"clean": "accessible", "reset": "blocked", "gone": "blocked", "expired": "down"}


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A daemon with a control, after it has measured every target."""
    folder = tmp_path_factory.mktemp("daemon")
    (folder / "server-token").write_text(SERVER_TOKEN)
    with Lab() as lab, control_agent(lab, folder) as agent:
        for name in EXPECTED:
            certificate = Certificate.EXPIRED if name == "expired" else Certificate.GOOD
            lab.site(f"{name}.lab.test", certificate=certificate)
        lab.censor("reset.lab.test", Cut.RESET)
        lab.lie("gone.lab.test", NXDOMAIN)
        targets = {name: lab.url(f"{name}.lab.test") for name in EXPECTED}
        server = {"token_file": str(folder / "server-token")}
        config = configuration(lab, folder, targets, control=agent, interval_seconds=2, server=server)
        daemon = Daemon(config, SERVER_TOKEN)
        with daemon.running():
            daemon.wait_for(lambda: {name: daemon.status(name) for name in EXPECTED} == EXPECTED)
            daemon.wait_for(lambda: daemon.metric("monitor_store_committed_total"))
            yield daemon


@pytest.mark.parametrize(("target", "status"), EXPECTED.items())
def test_what_was_measured_is_stored_exported_and_shown(daemon: Daemon, target: str, status: str) -> None:
    assert daemon.verdicts(target)[0] == (status, None)
    assert daemon.status(target) == status
    assert daemon.metric("access_target_accessible", target=target) == (status == "accessible")
    assert daemon.metric("access_target_inconclusive", target=target) is None
    states = {one["target"]: one for one in daemon.get("/api/v1/targets").json()["targets"]}
    assert states[target]["status"] == status
    assert states[target]["because"] in unescape(daemon.get("/", headers={"Authorization": ""}).text)
    stored = json.loads(daemon.command("history", target, "--vantage", "here", "--limit", "1", "--json"))
    assert stored["status"] == status
    assert f"AS{stored['network']['asn']}" == "AS64500"


def test_mechanisms_certificates_and_vantages_are_exported(daemon: Daemon) -> None:
    found = {(labels["target"], labels["mechanism"]) for labels, _ in daemon.metrics("access_target_mechanism")}
    assert found == {("reset", "tls.reset.sni"), ("gone", "dns.nxdomain.name")}
    assert daemon.metric("access_target_confirmed", target="reset") == 1
    # 2017-04-12: the end of the certificate that does not verify.
    assert daemon.metric("access_certificate_expiry_timestamp_seconds", target="expired", vantage="here") == 1491955200
    assert {labels["vantage"]: value for labels, value in daemon.metrics("access_vantage_online")} == {
        "here": 1,
        "control": 1,
    }


def test_a_verdict_stays_what_it_is_from_round_to_round(daemon: Daemon) -> None:
    daemon.wait_for_rounds("expired", 4)
    for target, status in EXPECTED.items():
        assert set(daemon.verdicts(target)) == {(status, None)}


def test_both_formats_of_metrics_are_clean(daemon: Daemon) -> None:
    text = daemon.get("/metrics").text
    assert len(list(text_format(text))) > 20
    done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    answer = daemon.get("/metrics", headers={"Accept": "application/openmetrics-text"})
    assert answer.headers["content-type"].startswith("application/openmetrics-text")
    assert len(list(openmetrics(answer.text))) > 20  # type: ignore[no-untyped-call]  # untyped there


def test_ready_and_healthy_are_told_to_anybody(daemon: Daemon) -> None:
    for path in ("/-/ready", "/-/healthy", "/metrics", "/"):
        assert daemon.get(path, headers={"Authorization": ""}).status_code == 200


@pytest.mark.parametrize("path", ["/api/v1/targets", "/api/v1/status", "/probe?target=clean"])
def test_the_rest_wants_the_token(daemon: Daemon, path: str) -> None:
    assert daemon.get(path, headers={"Authorization": "Bearer wrong"}).status_code == 401


def probed(answer: httpx.Response) -> dict[str, float]:
    return {sample.name: sample.value for family in text_format(answer.text) for sample in family.samples}


def test_probe_measures_a_configured_target_within_the_scrapers_time(daemon: Daemon) -> None:
    found = probed(daemon.get("/probe?target=clean", headers={"X-Prometheus-Scrape-Timeout-Seconds": "1.75"}))
    assert found["probe_timeout_seconds"] == 1.25  # less the offset of half a second
    assert (found["probe_success"], found["probe_http_status_code"], found["probe_http_ssl"]) == (1, 200, 1)


def test_probe_tells_a_failure_with_status_200(daemon: Daemon) -> None:
    answer = daemon.get("/probe?target=reset")
    assert answer.status_code == 200
    found = probed(answer)
    assert (found["probe_success"], found["probe_http_status_code"], found["probe_timeout_seconds"]) == (0, 0, 2)


def test_probe_explains_itself(daemon: Daemon) -> None:
    text = daemon.get("/probe?target=expired&debug=true").text
    blocks = [
        "Logs for the probe:\n",
        "\n\n\nMetrics that would have been returned:\n",
        "\n\n\nModule configuration:\n",
    ]
    places = [text.index(block) for block in blocks]
    assert places == sorted(places)
    assert "ssl_invalid_certificate" in text[: places[1]]
    assert "probe_success 0" in text[places[1] : places[2]]


@pytest.mark.parametrize(
    "target",
    [
        "https://elsewhere.lab.test/",
        "http://0xA9FEA9FE/",
        "http://2852039166/",
        "http://[::ffff:169.254.169.254]/",
        "file:///etc/passwd",
    ],
)
def test_probe_refuses_what_is_not_configured(daemon: Daemon, target: str) -> None:
    assert daemon.get("/probe", params={"target": target}).status_code == 400


def test_secrets_are_in_nothing_that_the_daemon_writes_or_answers(daemon: Daemon) -> None:
    paths = (
        "/",
        "/metrics",
        "/api/v1/status",
        "/api/v1/targets",
        "/api/v1/openapi.json",
        "/probe?target=clean&debug=true",
    )
    told = [daemon.get(path).content for path in paths]
    written = [path.read_bytes() for path in daemon.config.parent.glob("*") if path.suffix != ""]
    names = {path.name for path in daemon.config.parent.glob("*") if path.suffix != ""}
    assert {"monitor.db", "monitor.db-wal", "probes.log", "probes.out", "agent.log"} <= names
    for secret in (TOKEN, SERVER_TOKEN):
        assert not [text for text in (*told, *written) if secret.encode() in text]
