"""What the centre wants measured: checked as if a stranger had written it, kept over restarts, and never older."""

import logging
import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final, TypeVar
from urllib.parse import urlsplit

import msgspec
from pydantic import BaseModel, TypeAdapter, ValidationError

import monitor
from monitor.agent.folder import write_whole
from monitor.agent.owner import LOWEST_PORT, WEB_PORTS
from monitor.config.fields import HeaderText, Pattern, PlainName, Resolver, Url
from monitor.config.schema import FollowUpConfig, SanityConfig
from monitor.daemon.agent_server import CEILING
from monitor.model.fleet import AgentTarget, CheckInAnswer, Instructions
from monitor.model.measurement import Limits
from monitor.network.nameservers import resolver_of

log = logging.getLogger("monitor.agent")

MAX_TARGETS: Final = 2000
MAX_RESOLVERS: Final = 16
MAX_LEASE: Final = timedelta(days=7)
_BYTES_AT_MOST: Final = 8 * 1024 * 1024
_DNS_PORTS: Final = frozenset({53, 853})
_TRANSFER_BYTES: Final = 0  # no transfers from a volunteer's line
_NAME: Final = TypeAdapter(PlainName)
_URL: Final = TypeAdapter(Url)
_RESOLVER: Final = TypeAdapter(Resolver)
_PATTERN: Final = TypeAdapter(Pattern)
_HEADER: Final = TypeAdapter(HeaderText)
_Model = TypeVar("_Model", bound=BaseModel)


class OrdersError(Exception):
    """Instructions that are not followed; the message says why."""


class Orders(msgspec.Struct, frozen=True, kw_only=True):
    """The instructions in use and until when they may be followed."""

    instructions: Instructions | None = None
    lease_until: datetime | None = None  # by the centre's clock
    min_software: str = ""
    refused: str | None = None  # what the centre said of this agent: revoked, unknown_agent

    @property
    def version(self) -> int:
        """The version in use, 0 for none."""
        return self.instructions.version if self.instructions else 0

    def lease_seconds(self, now: datetime) -> float:
        """Return how long the lease still lasts at `now`, at most a week."""
        if self.lease_until is None:
            return 0.0
        return max(0.0, min((self.lease_until - now).total_seconds(), MAX_LEASE.total_seconds()))

    def renewed(self, answer: CheckInAnswer) -> "Orders":
        """Return the same instructions under the lease of a check-in."""
        lease = answer.lease_until if answer.lease_until.tzinfo else None
        return msgspec.structs.replace(self, lease_until=lease, min_software=answer.min_software, refused=None)

    def following(self, answer: CheckInAnswer) -> "Orders":
        """Return the orders with the instructions of a check-in; raises OrdersError for some that are not followed."""
        given = answer.instructions
        if given is None or (self.instructions is not None and given.version == self.version):
            return self
        return msgspec.structs.replace(self, instructions=checked(given, self.version))

    def save(self, path: Path) -> None:
        """Keep them over a restart; raises OSError."""
        write_whole(path, msgspec.json.encode(self))

    @classmethod
    def load(cls, path: Path) -> "Orders":
        """Read them back; none, or damaged ones, are as before the first check-in."""
        try:
            with path.open("rb") as file:
                return msgspec.json.decode(file.read(_BYTES_AT_MOST), type=cls)
        except FileNotFoundError:
            return cls()
        except (OSError, msgspec.MsgspecError, ValueError):
            log.warning("the kept instructions cannot be read; the centre is asked for them")
            return cls()


def checked(given: Instructions, in_use: int) -> Instructions:
    """Return the instructions inside our own bounds; raises OrdersError where that cannot be."""
    if given.version < in_use:
        raise OrdersError(f"version {given.version} is older than {in_use}, which is in use")
    if len(given.targets) > MAX_TARGETS or len(given.resolvers) > MAX_RESOLVERS:
        raise OrdersError("too many targets or resolvers")
    try:
        for resolver in given.resolvers:
            _RESOLVER.validate_python(resolver)
            _port_allowed(resolver_of(resolver).port)
        for text in filter(None, (given.user_agent, given.cleartext_user_agent)):
            _HEADER.validate_python(text)
        follow_ups, sanity = follow_ups_of(given), sanity_of(given)
        for port in _ports(follow_ups, sanity):
            _port_allowed(port)
        for one in given.targets:
            _check(one)
    except ValueError as error:
        raise OrdersError(f"they are malformed: {_first_line(error)}") from error
    names = [one.target.name for one in given.targets]
    if len(set(names)) != len(names):
        raise OrdersError("a target is named twice")
    return msgspec.structs.replace(
        given,
        limits=_bounded(given.limits),
        deep_limits=_bounded(given.deep_limits),
        jitter=max(0.0, min(given.jitter, 0.49)),
        check_in_seconds=max(1.0, min(given.check_in_seconds, 300.0)),
        resolvers=given.resolvers or ("system",),
    )


def follow_ups_of(given: Instructions) -> FollowUpConfig | None:
    """Return what a deep run compares with, None if there are to be none; raises ValueError."""
    if msgspec.json.decode(given.follow_ups) is None:
        return None
    return _section(FollowUpConfig, given.follow_ups)


def sanity_of(given: Instructions) -> SanityConfig:
    """Return the checks of the line; raises ValueError."""
    return SanityConfig() if msgspec.json.decode(given.sanity) is None else _section(SanityConfig, given.sanity)


def ports_of(given: Instructions) -> frozenset[int]:
    """Return the ports that measuring needs, those of the web and of resolvers among them."""
    targets = {
        urlsplit(one.target.url).port or (443 if one.target.url[:6].lower() == "https:" else 80)
        for one in given.targets
    }
    return frozenset(
        {
            *WEB_PORTS, *_DNS_PORTS, *targets,
            *_ports(follow_ups_of(given), sanity_of(given)),
            *(resolver_of(one).port for one in given.resolvers),
        }
    )  # fmt: skip


def is_too_old(min_software: str) -> bool:
    """Tell whether this program is older than the oldest that the centre takes; a word that is no version says no."""
    wanted, ours = _numbers(min_software), _numbers(monitor.__version__)
    return wanted is not None and ours is not None and ours < wanted


def _numbers(text: str) -> tuple[int, ...] | None:
    found = re.match(r"(?:[a-z-]+/)?(\d{1,6}(?:\.\d{1,6}){0,3})", text)
    return tuple(map(int, found[1].split("."))) if found else None


def _section(model: type[_Model], raw: msgspec.Raw) -> _Model:
    """Read a section of the centre's configuration without the keys that this program does not know."""
    written = msgspec.json.decode(raw, type=dict[str, object])
    return model.model_validate({key: value for key, value in written.items() if key in model.model_fields})


def _ports(follow_ups: FollowUpConfig | None, sanity: SanityConfig) -> Iterator[int]:
    for place in (*sanity.anchors, *sanity.tls_hosts):
        yield int(place.rpartition(":")[2])
    for url in sanity.portals:
        yield urlsplit(url).port or (443 if url[:6].lower() == "https:" else 80)
    if sanity.whoami is not None:
        yield int(sanity.whoami.partition("@")[2].partition(":")[2] or 53)
    if follow_ups is not None:
        yield from (resolver_of(one).port for one in follow_ups.resolvers)
        yield int(follow_ups.unrelated.rpartition(":")[2])
        if follow_ups.quic_reference is not None:
            yield int(follow_ups.quic_reference.rpartition(":")[2])


def _port_allowed(port: int) -> None:
    if port < LOWEST_PORT and port not in WEB_PORTS | _DNS_PORTS:
        raise ValueError(f"port {port} is not for measuring")


def _check(one: AgentTarget) -> None:
    target, expectation = one.target, one.target.expectation
    for name in (target.name, target.platform):
        _NAME.validate_python(name)
    _URL.validate_python(target.url)
    if target.probe != "web" or not 1.0 <= one.interval_seconds <= 7 * 86_400.0:
        raise ValueError(f"{target.name} has a probe or an interval that is not known here")
    if expectation.text is not None:
        _PATTERN.validate_python(expectation.text)
    if len(expectation.title or "") > 200 or len(expectation.final_host or "") > 253 or len(expectation.statuses) > 100:
        raise ValueError(f"{target.name} expects too much")


def _bounded(limits: Limits) -> Limits:
    """Return limits that are at most those of any agent."""
    values = {name: max(0, min(getattr(limits, name), getattr(CEILING, name))) for name in limits.__struct_fields__}
    return Limits(**values | {"transfer_bytes": _TRANSFER_BYTES})


def _first_line(error: ValueError) -> str:
    if isinstance(error, ValidationError):
        return str(error.errors()[0]["msg"])[:200]
    return str(error).partition("\n")[0][:200]
