"""Mistakes that only show when the parts of a configuration are seen together."""

import difflib
import importlib.util
import ipaddress
import pkgutil
from collections.abc import Iterable, Iterator, Mapping
from typing import Final
from urllib.parse import urlsplit

from monitor.config.alerting import AlertmanagerChannel, Maintenance, RouteConfig, WebhookChannel
from monitor.config.demand import account, demands, granted
from monitor.config.document import Complaint, KeyPath
from monitor.config.fields import host_name, is_address
from monitor.config.quantities import written_seconds
from monitor.config.schema import (
    CONTROL_SITES_PLATFORM,
    AgentOptions,
    Configuration,
    PlatformConfig,
    ProxyOptions,
    RipeAtlasOptions,
    ServiceOptions,
    TargetConfig,
)
from monitor.model.vantage import Role

POLITE_SECONDS: Final = 300.0
POLITE_WAIT_SECONDS: Final = 5.0
POLITE_CLEARING_SECONDS: Final = 60.0
_PORTS: Final = {"http": 80, "https": 443}


def complaints_about(config: Configuration, declared_vantages: Iterable[str]) -> Iterator[Complaint]:
    """Yield what is wrong across sections.

    `declared_vantages` also names those that the file defines but that were refused: naming them is no second mistake.
    """
    known_vantages = list(declared_vantages)
    yield from _about_vantages(config, known_vantages)
    yield from _about_interval(config, config.defaults.interval, ("defaults", "interval"))
    yield from _about_further_looks(config)
    yield from _about_services(config)
    yield from _about_alerts(config, known_vantages)
    for platform, its in config.platforms.items():
        yield from _about_rollup(platform, its)
    probe_kinds = kinds_in("probes")
    owners: dict[str, str] = {}
    urls: dict[tuple[object, ...], str] = {}
    for platform, path, target in _targets(config):
        name = str(path[-1])
        if name in owners:
            yield Complaint(path, f"this name already belongs to a target of {owners[name]}")
        owners.setdefault(name, platform)
        url = _normal_form(target.url)
        if url in urls:
            yield Complaint((*path, "url"), f"{urls[url]} already measures this address")
        urls.setdefault(url, name)
        if target.probe not in probe_kinds:
            yield Complaint((*path, "probe"), f"unknown kind {target.probe!r}; known: {', '.join(probe_kinds)}")
        if target.interval is not None:
            yield from _about_interval(config, target.interval, (*path, "interval"))
        yield from _about_names(config, path, target)
        yield from _about_choice(config, path, target, known_vantages)


def _about_choice(config: Configuration, path: KeyPath, target: TargetConfig, known: list[str]) -> Iterator[Complaint]:
    for index, name in enumerate(target.vantages or ()):
        where, vantage = (*path, "vantages", index), config.vantages.get(name)
        if name not in known:
            yield Complaint(where, f"unknown vantage {name!r}; {suggestion(name, known)}")
        elif vantage is not None and vantage.role is Role.CONTROL:
            yield Complaint(where, f"{name} is a control, which measures every target anyway")
        elif isinstance(vantage, ServiceOptions):
            yield Complaint(where, f"{name} is a service, which lists its targets itself: vantages.{name}.targets")


def _about_names(config: Configuration, path: KeyPath, target: TargetConfig) -> Iterator[Complaint]:
    """Where a proxy looks the name up, a connection alone may lead anywhere."""
    if target.expect.until != "tcp" or is_address((urlsplit(target.url).hostname or "").strip("[]")):
        return
    for name, vantage in config.vantages.items():
        is_used = target.vantages is None or name in target.vantages or vantage.role is Role.CONTROL
        if is_used and isinstance(vantage, ProxyOptions) and vantage.resolve == "remote":
            message = (
                f"{name} has its proxy look names up (resolve: remote), so a connection does not show whose it is;"
                " expect more, or leave this vantage out of the target's vantages"
            )
            yield Complaint((*path, "expect"), message)


def _about_rollup(platform: str, written: PlatformConfig) -> Iterator[Complaint]:
    for key in ("all_of", "any_of"):
        for index, target in enumerate(getattr(written.rollup, key)):
            if target not in written.targets:
                message = f"{platform} has no target {target!r}; {suggestion(target, written.targets)}"
                yield Complaint(("platforms", platform, "rollup", key, index), message)


def kinds_in(package: str) -> list[str]:
    """Return the kinds that a package of plug-ins offers: its module names, read off without importing any."""
    found = importlib.util.find_spec(f"monitor.{package}")
    folders = found.submodule_search_locations if found else None
    return sorted(module.name for module in pkgutil.iter_modules(folders or []) if not module.name.startswith("_"))


def suggestion(written: str, known: Iterable[str]) -> str:
    """Point to the closest of the known words, or name them all."""
    words = sorted(known)
    close = difflib.get_close_matches(written, words, n=1)
    return f"did you mean {close[0]!r}?" if close else f"known: {', '.join(words)}"


def _targets(config: Configuration) -> Iterator[tuple[str, KeyPath, TargetConfig]]:
    for platform, its in config.platforms.items():
        for name, target in its.targets.items():
            yield platform, ("platforms", platform, "targets", name), target
    for name, target in config.control_sites.items():
        yield CONTROL_SITES_PLATFORM, ("control_sites", name), target


def _about_vantages(config: Configuration, declared: list[str]) -> Iterator[Complaint]:
    if CONTROL_SITES_PLATFORM in config.platforms:
        yield Complaint(("platforms", CONTROL_SITES_PLATFORM), "this name is kept for the targets under control_sites")
    roles = {vantage.role for vantage in config.vantages.values()}
    if Role.TEST not in roles and len(config.vantages) == len(declared):
        yield Complaint(("vantages",), "at least one vantage must have the role test")
    for name, vantage in config.vantages.items():
        if isinstance(vantage, AgentOptions):
            about = _about_pushing(config, vantage) if vantage.is_pushing else _about_asked(vantage)
            yield from (Complaint(("vantages", name, *path), message) for path, message in about)
    yield from _about_ingest(config)


def _about_asked(agent: AgentOptions) -> Iterator[tuple[KeyPath, str]]:
    if agent.token is None:
        yield ("token",), "missing; give token_file"
    if not agent.insecure and _is_exposed(agent.url or ""):
        message = "plain http shows the token to the network; use https, or set insecure: true on a line you trust"
        yield ("url",), message


def _about_pushing(config: Configuration, agent: AgentOptions) -> Iterator[tuple[KeyPath, str]]:
    if config.ingest is None:
        yield (), "an agent without url pushes its results, and there is no ingest section to hear it"
    if agent.role is Role.CONTROL:
        yield ("role",), "an agent without url cannot be asked, so it is no control"
    for key in ("token", "token_file", "fingerprint", "insecure"):
        if getattr(agent, key):
            yield (key,), "belongs to an agent that is asked at its url; one that pushes is known by its own key"


def _about_ingest(config: Configuration) -> Iterator[Complaint]:
    ingest = config.ingest
    if ingest is None or ingest.insecure:
        return
    hint = "use https, or set insecure: true on a line you trust"
    if not ingest.tls and _is_exposed(f"http://{ingest.listen}"):
        yield Complaint(("ingest", "listen"), f"tls: false shows to the network who measures; {hint}")
    for index, url in enumerate(ingest.urls):
        if _is_exposed(url):
            yield Complaint(("ingest", "urls", index), f"plain http shows to the network who measures; {hint}")


def _is_exposed(url: str) -> bool:
    parts = urlsplit(url)
    host = parts.hostname or ""
    is_loopback = host == "localhost" or (is_address(host) and ipaddress.ip_address(host).is_loopback)
    return parts.scheme == "http" and not is_loopback


def _about_interval(config: Configuration, interval: float, path: KeyPath) -> Iterator[Complaint]:
    defaults = config.defaults
    if interval < POLITE_SECONDS and not defaults.allow_fast_interval:
        floor = written_seconds(POLITE_SECONDS)
        message = f"is below the polite floor of {floor}; defaults.allow_fast_interval: true is for lines of your own"
        yield Complaint(path, f"{written_seconds(interval)} {message}")
    elif interval < defaults.timeouts.total:
        total = written_seconds(defaults.timeouts.total)
        yield Complaint(
            path, f"{written_seconds(interval)} is shorter than one measurement may take (timeouts.total: {total})"
        )


def _about_further_looks(config: Configuration) -> Iterator[Complaint]:
    for key, floor in (("reprobe_wait", POLITE_WAIT_SECONDS), ("clearing_interval", POLITE_CLEARING_SECONDS)):
        written = getattr(config.detection, key)
        if written < floor and not config.defaults.allow_fast_interval:
            yield Complaint(
                ("detection", key),
                f"{written_seconds(written)} is below the polite floor of {written_seconds(floor)}; "
                "defaults.allow_fast_interval: true is for lines of your own",
            )


def _about_alerts(config: Configuration, vantages: Iterable[str]) -> Iterator[Complaint]:
    alerts = config.alerts
    known = {"platforms": list(config.platforms), "vantages": list(vantages), "channels": list(alerts.channels)}
    about: list[tuple[KeyPath, RouteConfig | Maintenance]] = [
        *((("alerts", "routes", name), route) for name, route in alerts.routes.items()),
        *((("alerts", "maintenance", index), one) for index, one in enumerate(alerts.maintenance)),
    ]
    for path, named in about:
        for key, names in known.items():
            for index, name in enumerate(getattr(named, key)):
                if name not in names:
                    yield Complaint((*path, key, index), f"unknown {key[:-1]} {name!r}; {suggestion(name, names)}")
    for name, channel in alerts.channels.items():
        where = ("alerts", "channels", name)
        if isinstance(channel, WebhookChannel | AlertmanagerChannel) and channel.token and _is_exposed(channel.url):
            yield Complaint((*where, "url"), "plain http shows the token to the network; use https")
        if not any(name in route.channels for route in alerts.routes.values()):
            yield Complaint(where, "no route leads to this channel, so it would never be told anything")


def _about_services(config: Configuration) -> Iterator[Complaint]:
    """Yield what services cannot do, or would not do for us: unknown targets, unseen steps, more than a quota."""
    targets = {str(path[-1]): target for _, path, target in _targets(config)}
    services = {name: one for name, one in config.vantages.items() if isinstance(one, ServiceOptions)}
    for name, vantage in services.items():
        where = ("vantages", name)
        yield from _about_interval(config, vantage.interval, (*where, "interval"))
        for index, target in enumerate(vantage.targets):
            if target not in targets:
                message = f"unknown target {target!r}; {suggestion(target, targets)}"
                yield Complaint((*where, "targets", index), message)
            elif isinstance(vantage, RipeAtlasOptions) and targets[target].expect.until == "http":
                message = (
                    f"{target} expects a page, which RIPE Atlas cannot see; only expect: tls or tcp can be measured"
                )
                yield Complaint((*where, "targets", index), message)
    for one in demands(config):
        if one.needed > one.allowed:
            message = (
                f"the schedule asks for {one.needed} {one.unit} {one.within} where {one.allowed} are allowed;"
                " list fewer targets or lengthen the interval"
            )
            yield Complaint(("vantages", one.vantage, "interval"), message)
    yield from _about_accounts(config, services)


def _about_accounts(config: Configuration, services: Mapping[str, ServiceOptions]) -> Iterator[Complaint]:
    """Yield where vantages together may spend more than the account behind them is granted."""
    accounts: dict[tuple[str, str, str], list[str]] = {}
    for name, vantage in services.items():
        accounts.setdefault(account(vantage), []).append(name)
    allowed = {one.vantage: one for one in demands(config)}
    for names in accounts.values():
        total, limit = sum(allowed[name].allowed for name in names), granted(services[names[0]])
        if total > limit:
            together = f"{', '.join(names)} share one account and" if len(names) > 1 else f"{names[0]}"
            one = allowed[names[-1]]
            message = f"{together} may spend {total} {one.unit} {one.within} where the service grants {limit}"
            key = "credits_per_day" if one.unit == "credits" else "tests_per_hour"
            yield Complaint(("vantages", names[-1], key), message)


def _normal_form(url: str) -> tuple[object, ...]:
    parts = urlsplit(url)
    host = parts.hostname or ""
    host = host if is_address(host) else host_name(host).removesuffix(".")
    return parts.scheme, host, parts.port or _PORTS[parts.scheme], parts.path or "/", parts.query
