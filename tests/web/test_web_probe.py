from urllib.parse import quote

import pytest

from monitor.exporter.exposition import Format
from monitor.model.target import Expectation, Target
from monitor.web.services import UNLISTED, WebSettings
from tests.fakes.outcomes import BLOCKED, DNS, TCP, X_HOME, recording
from tests.fakes.services import ScriptedServices
from tests.web.client import Client


def probed(services: ScriptedServices, query: str, headers: dict[str, str] | None = None) -> tuple[int, str]:
    answer = Client(services).get(f"/probe?{query}", headers=headers)
    return answer.status_code, answer.text


@pytest.mark.parametrize(
    "target", ["x-home", "https://x.com/", "HTTPS://x.com/", quote(quote("https://x.com/", safe=""), safe="")]
)
def test_a_configured_target_is_measured_by_name_or_url(target: str) -> None:
    services = ScriptedServices()
    status_code, text = probed(services, f"target={target}")
    assert status_code == 200
    assert "probe_success 1\n" in text
    assert services.asked == [("probe", X_HOME, None, 45.0)]


def test_a_target_without_a_scheme_is_taken_as_http() -> None:
    plain = Target(name="plain", platform="plain", url="http://plain.example/")
    services = ScriptedServices(configured=(plain,))
    assert probed(services, "target=plain.example/")[0] == 200
    assert services.asked == [("probe", plain, None, 45.0)]


def test_a_measurement_that_failed_is_answered_with_200() -> None:
    services = ScriptedServices(verdict=BLOCKED, recorded=recording(DNS, TCP))
    status_code, text = probed(services, "target=x-home")
    assert status_code == 200
    assert "probe_success 0\n" in text


def test_an_unknown_module_comes_before_everything_and_is_counted() -> None:
    services = ScriptedServices()
    status_code, text = probed(services, "module=icmp", {"X-Prometheus-Scrape-Timeout-Seconds": "soon"})
    assert (status_code, text) == (400, "Unknown module; known: http_2xx, tls_connect, tcp_connect\n")
    assert b"monitor_module_unknown_total 1\n" in services.exporter.render(Format.TEXT)


def test_a_timeout_that_is_no_number_comes_before_the_target() -> None:
    status_code, _ = probed(ScriptedServices(), "", {"X-Prometheus-Scrape-Timeout-Seconds": "soon"})
    assert status_code == 500


def test_a_target_is_needed() -> None:
    assert probed(ScriptedServices(), "module=http_2xx") == (400, "Target parameter is missing\n")


def test_the_scrape_timeout_bounds_the_measurement() -> None:
    services = ScriptedServices()
    _, text = probed(services, "target=x-home", {"X-Prometheus-Scrape-Timeout-Seconds": "10"})
    assert services.asked == [("probe", X_HOME, None, 9.5)]
    assert "probe_timeout_seconds 9.5\n" in text


@pytest.mark.parametrize(
    ("module", "expectation"),
    [("tls_connect", Expectation(tls_only=True)), ("tcp_connect", Expectation(tcp_only=True))],
)
def test_a_module_can_stop_at_an_earlier_step(module: str, expectation: Expectation) -> None:
    services = ScriptedServices()
    _, text = probed(services, f"target=x-home&module={module}")
    target = services.asked[0][1]
    assert isinstance(target, Target)
    assert (target.name, target.expectation) == ("x-home", expectation)
    assert "probe_http_" not in text


def test_tls_cannot_be_measured_over_http() -> None:
    plain = Target(name="plain", platform="plain", url="http://plain.example/")
    assert probed(ScriptedServices(configured=(plain,)), "target=plain&module=tls_connect")[0] == 400


def test_a_vantage_is_chosen_by_name() -> None:
    services = ScriptedServices()
    assert probed(services, "target=x-home&vantage=lahore")[0] == 200
    assert services.asked == [("probe", X_HOME, "lahore", 45.0)]
    assert probed(services, "target=x-home&vantage=mars") == (400, "Unknown vantage; known: lahore\n")


def test_a_hostname_must_be_that_of_the_target() -> None:
    services = ScriptedServices()
    assert probed(services, "target=x-home&hostname=X.com")[0] == 200
    assert probed(services, "target=x-home&hostname=other.example")[0] == 400


@pytest.mark.parametrize(
    "target",
    [
        "http://169.254.169.254/",
        "http://0xA9FEA9FE/",
        "http://0xa9.0xfe.0xa9.0xfe/",
        "http://2852039166/",
        "http://0251.0376.0251.0376/",
        "http://169.254.43518/",
        "http://[::ffff:169.254.169.254]/",
        "http://[::ffff:a9fe:a9fe]/",
        "http://[64:ff9b::a9fe:a9fe]/",
        "127.0.0.1:22",
        "127.1",
        "http://[::1]/",
        "http://8.8.8.8/",
    ],
)
def test_an_address_is_refused_in_every_spelling_even_if_something_is_allowed(target: str) -> None:
    services = ScriptedServices(settings=WebSettings(allow_hosts=("allowed.example", "0xa9fea9fe")))
    status_code, text = probed(services, f"target={quote(target, safe='')}")
    assert (status_code, services.asked) == (400, [])
    assert "an address, however it is written, is never allowed" in text


@pytest.mark.parametrize(
    "target",
    [
        "http://other.example/",
        "http://allowed.example.evil.example/",
        "http://allowed.example@evil.example/",
        "http://evil.example\\@allowed.example/",
        "http://evil.example\\.allowed.example/",
        "http://evil.example#@allowed.example/",
        "http://allowed.example:0/",
        "http://allowed.example:99999/",
        "http://allowed.example/\r\nX: y",
        "http://[allowed.example/",
        "ftp://allowed.example/",
        "file:///etc/passwd",
        "http://",
        "http://allowed.example/" + "a" * 3000,
    ],
)
def test_what_is_not_configured_and_not_allowed_is_refused(target: str) -> None:
    services = ScriptedServices(settings=WebSettings(allow_hosts=("allowed.example",)))
    status_code, text = probed(services, f"target={quote(target, safe='')}")
    assert (status_code, services.asked) == (400, [])
    assert target not in text


@pytest.mark.parametrize(
    "target",
    ["http://allowed.example/a?b=c", "https://ALLOWED.example:8443/", "allowed.example.", "http://bücher.example/"],
)
def test_an_allowed_host_is_measured_without_a_name_of_its_own(target: str) -> None:
    settings = WebSettings(allow_hosts=("allowed.example", "xn--bcher-kva.example"))
    services = ScriptedServices(settings=settings)
    assert probed(services, f"target={quote(target, safe='')}")[0] == 200
    measured = services.asked[0][1]
    assert isinstance(measured, Target)
    assert (measured.name, measured.platform) == (UNLISTED, UNLISTED)


def test_debug_shows_the_three_blocks_of_blackbox_exporter() -> None:
    status_code, text = probed(ScriptedServices(), "target=x-home&debug=true")
    assert status_code == 200
    logs, metrics, configuration = text.split("\n\n\n\n")
    assert logs.startswith("Logs for the probe:\nstep=dns purpose=path hop=0 host=x.com type=A")
    assert logs.endswith("rule=page_as_expected because=The page of X came as expected.")
    assert metrics.startswith("Metrics that would have been returned:\n# HELP probe_success ")
    assert configuration.startswith("Module configuration:\nmodule: http_2xx\nprober: web\n")


def test_probes_answer_in_openmetrics_if_asked() -> None:
    answer = Client(ScriptedServices()).get(
        "/probe?target=x-home", headers={"Accept": "application/openmetrics-text;version=1.0.0"}
    )
    assert answer.headers["content-type"].startswith("application/openmetrics-text")
    assert answer.text.endswith("# EOF\n")
