"""The part of probes.yaml that says who is told what: channels, routes, quiet hours, maintenance."""

from datetime import UTC, datetime, time
from pathlib import Path
from typing import Annotated, Any, Final, Literal, get_args
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Discriminator,
    Field,
    StringConstraints,
    ValidationInfo,
    model_validator,
)

from monitor.config.fields import Address, CountryCode, LocalFile, OneOrMany, PlainName, SecretText, Url, Whole
from monitor.config.quantities import Seconds
from monitor.config.section import Deadline, Section, Text
from monitor.model.alert import AlertKind, Severity
from monitor.model.verdict import Confidence, Status

LANGUAGES: Final = ("en", "ur")


def _clock_time(written: object) -> object:
    try:
        if isinstance(written, str) and len(written) == 5:
            return time.fromisoformat(written)
    except ValueError:
        pass
    raise ValueError("must be a time of day such as 22:00")


def _zone(written: str) -> str:
    try:
        ZoneInfo(written)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError("must be an IANA time zone such as Asia/Karachi") from error
    return written


def _instant(written: object) -> object:
    try:
        if isinstance(written, str) and (at := datetime.fromisoformat(written)).tzinfo is not None:
            return at.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise ValueError("must be a time with a zone such as 2026-12-01T22:00+05:00")


def _mail_address(written: str) -> str:
    name, at, host = written.rpartition("@")
    if not (name and at and host) or not written.isprintable() or any(map(str.isspace, written)) or len(written) > 254:
        raise ValueError("must be a mail address such as desk@example.org")
    return written


def _folder(path: Path, info: ValidationInfo) -> Path:
    located = info.context["folder"] / path if info.context else path
    if not (info.context and info.context.get("only_to_read")) and not located.is_dir():
        raise ValueError("must be a folder that exists")
    return located


ClockTime = Annotated[time, BeforeValidator(_clock_time)]
Zone = Annotated[str, AfterValidator(_zone)]
Instant = Annotated[datetime, BeforeValidator(_instant)]
MailAddress = Annotated[str, AfterValidator(_mail_address)]
Folder = Annotated[Path, AfterValidator(_folder)]
Names = Annotated[tuple[PlainName, ...], OneOrMany]
Language = Literal["en", "ur"]
UserName = Annotated[str, StringConstraints(min_length=1, max_length=200)]


class Rate(Section):
    """How many messages a channel may bring; what is beyond waits, and then goes as one."""

    messages: Annotated[Whole, Field(ge=1, le=10_000)] = 20
    per: Deadline = 600.0


class ChannelConfig(Section):
    """Keys that every kind of channel has; each kind below adds its own."""

    kind: str
    timeout: Annotated[Deadline, Field(le=120)] = 15.0
    ca_file: LocalFile | None = None  # certificates that the other side's is checked against, instead of the system's
    rate: Rate = Rate()


class WebhookChannel(ChannelConfig):
    """JSON to an address of your own, signed."""

    kind: Literal["webhook"]
    url: Url
    secret: SecretText | None = None  # signs the body: HMAC-SHA256
    secret_file: Path | None = None
    token: SecretText | None = None  # sent as Authorization: Bearer
    token_file: Path | None = None


class AlertmanagerChannel(ChannelConfig):
    """Prometheus Alertmanager, API version 2."""

    kind: Literal["alertmanager"]
    url: Url
    token: SecretText | None = None
    token_file: Path | None = None
    refresh: Annotated[Deadline, Field(le=240)] = 60.0  # Alertmanager forgets what is not told again


class SmtpChannel(ChannelConfig):
    """Mail through a server."""

    kind: Literal["smtp"]
    server: Address
    security: Literal["starttls", "tls", "none"] = "starttls"
    user: UserName | None = None
    password: SecretText | None = None
    password_file: Path | None = None
    sender: MailAddress
    to: Annotated[tuple[MailAddress, ...], OneOrMany, Field(min_length=1, max_length=100)]

    @model_validator(mode="after")
    def _consistent(self) -> "SmtpChannel":
        if (self.user is None) != (self.password is None):
            raise ValueError("user and password (or password_file) go together")
        if self.user is not None and self.security == "none":
            raise ValueError("security: none would show the password to the network")
        return self


class AppriseChannel(ChannelConfig):
    """Anything that Apprise knows, by its URL: chat, push, text messages, gateways."""

    kind: Literal["apprise"]
    address: SecretText  # Apprise's URL, which holds the credentials
    address_file: Path | None = None


CHANNEL_KINDS: Final = {
    get_args(kind.model_fields["kind"].annotation)[0]: kind
    for kind in (AlertmanagerChannel, AppriseChannel, SmtpChannel, WebhookChannel)
}
AnyChannel = Annotated[AlertmanagerChannel | AppriseChannel | SmtpChannel | WebhookChannel, Discriminator("kind")]


class QuietHours(Section):
    """Hours of the local day in which only what is grave is told; the rest waits for their end."""

    start: ClockTime
    end: ClockTime
    zone: Zone
    passes: Severity = Severity.CRITICAL

    @model_validator(mode="after")
    def _last(self) -> "QuietHours":
        if self.start == self.end:
            raise ValueError("start and end are the same time of day")
        return self


class RouteConfig(Section):
    """Which alerts go to which channels; a condition left out means any."""

    channels: Annotated[tuple[PlainName, ...], OneOrMany, Field(min_length=1)]
    platforms: Names = ()
    countries: Annotated[tuple[CountryCode, ...], OneOrMany] = ()
    vantages: Names = ()
    status: Annotated[tuple[Status, ...], OneOrMany] = ()
    confidence: Confidence | None = None  # confirmed: nothing as long as it is only likely
    severity: Severity = Severity.INFO  # this or graver
    kinds: Annotated[tuple[AlertKind, ...], OneOrMany] = ()  # all but found, join and reminder by default
    quorum: Literal["any", "majority", "all"] | Annotated[Whole, Field(ge=1, le=100)] = "any"
    delay: Seconds = 0.0  # what ends sooner is not told
    remind: Annotated[Seconds, Field(ge=300)] | None = None
    quiet: QuietHours | None = None
    language: Language = "en"
    form: Literal["short", "long"] = "long"

    @model_validator(mode="before")
    @classmethod
    def _number(cls, written: Any) -> Any:
        if isinstance(written, dict) and str(written.get("quorum", "")).isdigit():
            return written | {"quorum": int(written["quorum"])}
        return written

    @model_validator(mode="after")
    def _likely_is_any(self) -> "RouteConfig":
        if self.confidence is Confidence.LIKELY:
            raise ValueError("confidence: likely would leave out what is confirmed; leave the key out for both")
        return self


class Maintenance(Section):
    """A planned time in which nothing is told; measuring goes on."""

    start: Instant
    end: Instant
    author: Text
    why: Text
    platforms: Names = ()
    countries: Annotated[tuple[CountryCode, ...], OneOrMany] = ()
    vantages: Names = ()
    channels: Names = ()

    @model_validator(mode="after")
    def _ordered(self) -> "Maintenance":
        if self.end <= self.start:
            raise ValueError("it ends before it starts")
        return self


class Flapping(Section):
    """When a place changes so often that telling each change would help nobody."""

    changes: Annotated[Whole, Field(ge=0, le=1000)] = 8  # told within the time below; 0: never
    within: Deadline = 6 * 3600.0
    steady: Deadline = 1800.0  # without a change, until it is told again how things stand


class Conditions(Section):
    """How long what is no incident must last before it is told."""

    vantage: Deadline = 300.0  # out of order
    down: Deadline = 300.0  # a platform fails from the control too
    stopped: Deadline = 900.0  # nothing measured; at least three intervals
    storage: Deadline = 60.0  # the database cannot be written
    certificate: Deadline = 14 * 86_400.0  # that long before one ends
    deadlines: Annotated[tuple[Deadline, ...], OneOrMany] = (7 * 86_400.0, 86_400.0)  # before a regulatory deadline


class Heartbeat(Section):
    """A dead man's switch: an address that raises the alarm when it is not asked any more."""

    address: SecretText
    address_file: Path | None = None
    interval: Annotated[Deadline, Field(ge=10, le=86_400)] = 60.0


class AlertsConfig(Section):
    """Who is told what, and how (docs/alerts.md)."""

    channels: dict[PlainName, AnyChannel] = Field(default_factory=dict)
    routes: dict[PlainName, RouteConfig] = Field(default_factory=dict)
    group: Seconds = 10.0  # how long an alert waits for others of its kind; 0: each is a message of its own
    digest: Annotated[Whole, Field(ge=0, le=1000)] = 5  # subjects due at once that become one message; 0: never
    give_up: Annotated[Deadline, Field(ge=3600)] = 3 * 86_400.0  # a message that no attempt delivered
    flapping: Flapping = Flapping()
    conditions: Conditions = Conditions()
    maintenance: Annotated[tuple[Maintenance, ...], Field(max_length=100)] = ()
    heartbeat: Heartbeat | None = None
    templates: Folder | None = None  # texts of your own, see docs/alerts.md
    link: Url | None = None  # where people reach the page, for links in messages
