"""`agent.yaml`: what the owner of the line allows. It is read here alone, and nothing from the centre overrides it."""

import ipaddress
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Final, Literal
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from pydantic import Field, model_validator

from monitor.config.alerting import ClockTime, Zone
from monitor.config.document import Complaint, Document, read_document
from monitor.config.fields import Cidr, IpAddress, LocalFile, Name, OneOrMany, PlainName, Whole
from monitor.config.keys import siblings, walk
from monitor.config.problem import ConfigError
from monitor.config.quantities import Bytes
from monitor.config.refusal import MISSING, complaint_of, located, problems, read_bounded, validated
from monitor.config.section import Deadline, Section
from monitor.detect.policy import Quiet
from monitor.model.target import Target

LOWEST_PORT: Final = 1024  # below it only the web's own ports are ever asked for a page
WEB_PORTS: Final = frozenset({80, 443})


class Deny(Section):
    """What is never measured from here."""

    targets: Annotated[tuple[PlainName, ...], OneOrMany] = ()
    platforms: Annotated[tuple[PlainName, ...], OneOrMany] = ()
    hosts: Annotated[tuple[Name, ...], OneOrMany] = ()  # and everything below them


class QuietHours(Section):
    """Hours of the local day in which nothing is measured; they may reach over midnight."""

    start: ClockTime
    end: ClockTime
    zone: Zone

    @model_validator(mode="after")
    def _differ(self) -> "QuietHours":
        if self.start == self.end:
            raise ValueError("start and end are the same time of day")
        return self


class Owner(Section):
    """Every key of agent.yaml."""

    deny: Deny = Deny()
    quiet_hours: Annotated[tuple[QuietHours, ...], Field(max_length=20)] = ()
    daily_limit: Annotated[Bytes, Field(ge=1_000_000)] | None = None  # of measuring and reporting, per UTC day
    off: Annotated[tuple[Literal["deep", "quic", "cleartext"], ...], OneOrMany] = ()
    interval_floor: Deadline = 300.0  # no target is measured more often on schedule
    rounds_per_minute: Annotated[Whole, Field(ge=1, le=1000)] = 6  # of one host, further looks counted
    allow_addresses: Annotated[tuple[Cidr, ...], OneOrMany] = ()  # measured although they are not public
    source_address: IpAddress | None = None
    geo_database: LocalFile | None = None  # tells the network from a file instead of asking a name server

    def veto(self, target: Target) -> str | None:
        """Return why a target is not measured from here, None if it is."""
        parts = urlsplit(target.url)
        host = (parts.hostname or "").removesuffix(".")
        if target.name in self.deny.targets or target.platform in self.deny.platforms:
            return "denied"
        if any(host == one or host.endswith(f".{one}") for one in self.deny.hosts):
            return "denied"
        if "cleartext" in self.off and parts.scheme == "http":
            return "cleartext is off"
        port = parts.port or (443 if parts.scheme == "https" else 80)
        if port < LOWEST_PORT and port not in WEB_PORTS:
            return f"port {port} is none of the web's"
        if _is_inside(host, self.allow_addresses):
            return "not a public address"
        return None

    def is_quiet(self, now: datetime) -> bool:
        """Tell whether `now` lies in the quiet hours."""
        return any(Quiet(one.start, one.end, ZoneInfo(one.zone)).ends_at(now) for one in self.quiet_hours)


def _is_inside(host: str, allowed: tuple[str, ...]) -> bool:
    """Tell whether a literal address is not public and not allowed either."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    if any(address in ipaddress.ip_network(one) for one in allowed):
        return False
    return not address.is_global


_KEYS: Final = tuple(dict.fromkeys(walk(Owner)))


def load_owner(path: Path) -> Owner:
    """Read the file; without one nothing is forbidden. Raises ConfigError with all of its mistakes."""
    if not path.exists():
        return Owner()
    document = read_document(read_bounded(path), {})
    if document.root is None:
        only_empty = [one.message for one in document.complaints] == ["the file is empty"]
        if only_empty:
            return Owner()
        raise ConfigError(problems(document, str(path), document.complaints))
    owner, refused = validated(Owner, document, {"folder": path.absolute().parent}, _complaint)
    complaints = [*document.complaints, *refused]
    if owner is None or complaints:
        raise ConfigError(problems(document, str(path), complaints))
    return owner


def _complaint(document: Document, detail: Any) -> Complaint:
    if detail["type"] == "missing":
        return Complaint((*located(document.root, detail["loc"]), detail["loc"][-1]), MISSING)
    return complaint_of(document, detail, lambda path: siblings(path, _KEYS))
