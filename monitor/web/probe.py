"""`/probe`: measure now and answer as blackbox_exporter does (docs/metrics.md, "/probe")."""

import ipaddress
import socket
from typing import Final
from urllib.parse import unquote, urlsplit

import msgspec
import yaml
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from monitor.config.fields import host_name
from monitor.exporter.blackbox import probe_exposition, time_budget_seconds
from monitor.exporter.exposition import format_for
from monitor.model.observation import DnsObservation, HttpObservation, Observation, step_of
from monitor.model.target import Expectation, Target
from monitor.web.route import Parameter, Route
from monitor.web.services import UNLISTED, ProbeResult, Services

_DEFAULT_MODULE: Final = "http_2xx"
# How far a module goes with a target; None: as far as the target is configured to, by default any 2xx.
_MODULES: Final = {
    _DEFAULT_MODULE: None,
    "tls_connect": Expectation(tls_only=True),
    "tcp_connect": Expectation(tcp_only=True),
}
_LONGEST_URL: Final = 2048


class RefusedError(Exception):
    """The request is answered with 400; the message says why."""


async def probe(services: Services, request: Request) -> Response:
    """Answer a request; a measurement that ran and failed is still an answer with status 200."""
    settings = services.settings
    module = _first(request, "module") or _DEFAULT_MODULE
    if module not in _MODULES:
        services.exporter.module_unknown()
        return PlainTextResponse(f"Unknown module; known: {', '.join(_MODULES)}\n", 400)
    try:
        timeout_seconds = time_budget_seconds(
            settings.probe_seconds,
            request.headers.get("x-prometheus-scrape-timeout-seconds"),
            settings.timeout_offset_seconds,
        )
    except ValueError:
        return PlainTextResponse("X-Prometheus-Scrape-Timeout-Seconds must be a number of seconds\n", 500)
    try:
        target = _as_module_wants(_wanted_target(services, request), module)
        vantage = _wanted_vantage(services, request)
    except RefusedError as refused:
        return PlainTextResponse(f"{refused}\n", 400)
    result = await services.probe(target, vantage, timeout_seconds)
    form = format_for(request.headers.get("accept", ""))
    metrics = probe_exposition(result.recording, result.verdict, target, timeout_seconds, form)
    if _first(request, "debug") == "true":
        return PlainTextResponse(_debug(result, metrics, module, target, timeout_seconds))
    return Response(metrics, media_type=form)


def _wanted_target(services: Services, request: Request) -> Target:
    # Decoded once more than usual, as blackbox_exporter does, so that a doubly encoded URL works.
    written = unquote(_first(request, "target") or "")
    if not written:
        raise RefusedError("Target parameter is missing")
    target = _find(services, written)
    hostname = _first(request, "hostname")
    if hostname and hostname.lower() != urlsplit(target.url).hostname:
        raise RefusedError("hostname must be the host of the target: another Host or server name is not sent")
    return target


def _find(services: Services, written: str) -> Target:
    scheme, separator, rest = written.partition("://")
    url = f"{scheme.lower()}://{rest}" if separator else f"http://{written}"
    configured = services.find_target(written) or services.find_target(url)
    if configured is not None:
        return configured
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        is_plain = parts.scheme in {"http", "https"} and parts.port != 0
    except ValueError:
        host, is_plain = "", False
    # A backslash or a user name is read differently by different programs, so nothing that holds one is asked for.
    if not is_plain or len(url) > _LONGEST_URL or not url.isprintable() or any(one in url for one in "\\@ "):
        raise RefusedError("target must be the name or the URL of a configured target")
    if _is_address(host):
        raise RefusedError("Only configured targets are measured; an address, however it is written, is never allowed")
    if not _is_allowed(host, services.settings.allow_hosts):
        raise RefusedError("Only configured targets are measured; server.probe.allow_hosts can allow other hosts")
    return Target(name=UNLISTED, platform=UNLISTED, url=url)


def _is_address(host: str) -> bool:
    """Tell whether a host is an address in any spelling that a resolver reads: hexadecimal, octal, short, mapped."""
    try:
        socket.inet_aton(host)
    except OSError:
        pass
    else:
        return True
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _is_allowed(host: str, allow_hosts: tuple[str, ...]) -> bool:
    try:
        name = host_name(host)
    except ValueError:
        return False
    return name.removesuffix(".") in {allowed.removesuffix(".") for allowed in allow_hosts}


def _as_module_wants(target: Target, module: str) -> Target:
    expectation = _MODULES[module]
    if expectation is None:
        return target
    if expectation.tls_only and urlsplit(target.url).scheme != "https":
        raise RefusedError(f"{module} needs a target whose URL begins with https://")
    return msgspec.structs.replace(target, expectation=expectation)


def _wanted_vantage(services: Services, request: Request) -> str | None:
    vantage = _first(request, "vantage")
    if not services.vantages:
        raise RefusedError("No vantage can be asked: all of them measure by themselves")
    if vantage and vantage not in services.vantages:
        raise RefusedError(f"Unknown vantage; known: {', '.join(sorted(services.vantages))}")
    return vantage or None


def _first(request: Request, name: str) -> str | None:
    """Return the first value of a parameter, as Go's net/url does."""
    return next(iter(request.query_params.getlist(name)), None)


def _debug(result: ProbeResult, metrics: str, module: str, target: Target, timeout_seconds: float) -> str:
    """Return the three blocks that blackbox_exporter shows."""
    verdict = result.verdict
    log = [_log_line(one) for one in result.recording.measurement.observations]
    log.append(f"verdict status={verdict.status} rule={verdict.rule} because={verdict.because}")
    configuration = {
        "module": module,
        "prober": target.probe,
        "timeout_seconds": timeout_seconds,
        "target": {"name": target.name, "url": target.url},
        "expect": msgspec.to_builtins(target.expectation),
    }
    return "\n\n\n".join(
        [
            "Logs for the probe:\n" + "".join(f"{line}\n" for line in log),
            f"Metrics that would have been returned:\n{metrics}",
            "Module configuration:\n" + yaml.safe_dump(configuration, sort_keys=False, allow_unicode=True),
        ]
    )


def _log_line(observation: Observation) -> str:
    """Return what a step did, without text that the network sent."""
    if isinstance(observation, DnsObservation):
        what = f"host={observation.host} type={observation.query_type} addresses={','.join(observation.addresses)}"
    else:
        what = f"address={observation.address} port={observation.port}"
    if isinstance(observation, HttpObservation):
        what += f" status={observation.status_code}"
    line = (
        f"step={step_of(observation)} purpose={observation.purpose} hop={observation.hop} {what}"
        f" started_seconds={observation.started_seconds} elapsed_seconds={observation.elapsed_seconds}"
        f" failure={observation.failure}"
    )
    return "".join(one if one.isprintable() else "\ufffd" for one in line)


_STRING: Final = {"type": "string"}
ROUTE: Final = Route(
    "/probe",
    probe,
    "Measure a target now, in the metric names of blackbox_exporter",
    parameters=(
        Parameter("target", "name or URL of a configured target", _STRING, required=True),
        Parameter("module", "how far to go", {"type": "string", "enum": list(_MODULES), "default": _DEFAULT_MODULE}),
        Parameter("vantage", "where to measure from", _STRING),
        Parameter("hostname", "must be the host of the target", _STRING),
        Parameter("debug", "show what happened", {"type": "string", "enum": ["true"]}),
    ),
)
