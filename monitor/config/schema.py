"""The typed configuration: every key of probes.yaml, its type, default and bound.

Models are frozen and refuse unknown keys. Lengths of time are seconds, sizes are bytes, shares are fractions;
`quantities.py` reads the written forms (5m, 64KiB, 10%). docs/configuration.md explains each key.
"""

from pathlib import Path
from typing import Annotated, Any, Final, Literal, get_args

from pydantic import BeforeValidator, Discriminator, Field, model_validator

from monitor.config.alerting import AlertsConfig
from monitor.config.fields import (
    Address,
    Cidr,
    CountryCode,
    Fingerprint,
    HeaderText,
    Interface,
    IpAddress,
    ListenAddress,
    LocalFile,
    LocalPath,
    LoginName,
    Name,
    NamespaceName,
    OneOrMany,
    Origin,
    Pattern,
    PlainName,
    Resolver,
    SecretText,
    ServiceUrl,
    TunnelResolver,
    Url,
    Version,
    WhoAmI,
    Whole,
)
from monitor.config.quantities import Bytes, Seconds, Share
from monitor.config.section import Deadline, Section, Text
from monitor.model.target import QuicUse
from monitor.model.vantage import Role

# A key of the left name holds the path of a file whose text becomes the secret of the right name.
SECRET_FILES: Final = {
    "token_file": "token",
    "secret_file": "secret",
    "password_file": "password",
    "passphrase_file": "passphrase",
    "address_file": "address",
}
# What the services grant to one account, or to one address without any.
TESTS_PER_HOUR_WITHOUT_TOKEN: Final = 250
TESTS_PER_HOUR_WITH_TOKEN: Final = 500
CREDITS_PER_DAY: Final = 1_000_000
CONTROL_SITES_PLATFORM: Final = "control-sites"  # what targets under `control_sites` have as their platform

Quorum = Annotated[Whole, Field(ge=1, le=1000)] | Literal["majority"]


class Timeouts(Section):
    """Deadlines of the steps."""

    dns: Deadline = 4.0
    tcp: Deadline = 10.0
    tls: Deadline = 10.0
    http: Deadline = 10.0
    quic: Annotated[Deadline, Field(le=20)] = 10.0  # beside the ordinary way, cut off with the whole
    total: Annotated[Deadline, Field(le=60)] = 45.0  # of one routine measurement; a deep run adds what is left of 60 s

    @model_validator(mode="after")
    def _steps_fit(self) -> "Timeouts":
        longest = max(self.dns, self.tcp, self.tls, self.http)
        if longest > self.total:
            raise ValueError(
                f"a step may not take longer ({longest:g} s) than the whole measurement ({self.total:g} s)"
            )
        # Silence counts only where a step had all its time: a step cut off by the whole never shows a timeout.
        if self.dns + longest > self.total:
            raise ValueError(
                f"the whole measurement ({self.total:g} s) must leave the longest step its {longest:g} s after"
                f" {self.dns:g} s for dns, else silence could never be told from want of time"
            )
        return self


class RollupDefaults(Section):
    """How many networks make a country's verdict on a platform."""

    networks: Quorum = 2  # that must agree, all if fewer are measured; `majority`: more than half
    min_networks: Annotated[Whole, Field(ge=1, le=1000)] = 1  # fewer tell nothing


class RollupConfig(Section):
    """When a platform counts as accessible; what is not named is as in `defaults.rollup`."""

    all_of: Annotated[tuple[PlainName, ...], OneOrMany] = ()  # each of these targets must be accessible
    any_of: Annotated[tuple[PlainName, ...], OneOrMany] = ()  # one of these is enough; neither named: all of all
    networks: Quorum | None = None
    min_networks: Annotated[Whole, Field(ge=1, le=1000)] | None = None


class Defaults(Section):
    """What every target has unless it says otherwise."""

    interval: Deadline = 300.0
    host_concurrency: Annotated[Whole, Field(ge=1, le=100)] = 2  # measurements at a time of one host from one vantage
    jitter: Annotated[Share, Field(lt=0.5)] = 0.1  # at half an interval two runs could meet
    timeouts: Timeouts = Timeouts()
    body_limit: Annotated[Bytes, Field(ge=1024, le=16 * 1024 * 1024)] = 65_536
    redirects: Annotated[Whole, Field(ge=0, le=10)] = 10
    user_agent: HeaderText = "Mozilla/5.0 (compatible; access-monitor; +https://github.com/access-monitor)"
    # For cleartext requests, which the path can read: names neither the tool nor a contact.
    cleartext_user_agent: HeaderText = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"
    rollup: RollupDefaults = RollupDefaults()
    # Below five minutes a test is impolite to the platform and conspicuous on the line; on lines of your own only.
    allow_fast_interval: bool = False


class Expect(Section):
    """What a target shows where nothing interferes; `expect: tls`, `expect: tcp` and `expect: 200` are short forms."""

    until: Literal["tcp", "tls", "http"] = "http"
    status: Annotated[tuple[Annotated[Whole, Field(ge=100, le=599)], ...], OneOrMany] = ()  # none named: any 2xx
    title: Text | None = None
    text: Pattern | None = None
    final_host: Name | None = None

    @model_validator(mode="before")
    @classmethod
    def _short(cls, written: Any) -> Any:
        match written:
            case bool():
                return written
            case int() | list():
                return {"status": written}
            case str():
                return {"until": written} if not written.isdigit() else {"status": written}
            case _:
                return written

    @model_validator(mode="after")
    def _consistent(self) -> "Expect":
        if self.until != "http" and (self.status or self.title or self.text or self.final_host):
            raise ValueError(
                f"until: {self.until} stops before the page that status, title, text or final_host describe"
            )
        return self


def _off(written: Any) -> Any:
    """Read `off` as the word that was meant: YAML takes it for `false`."""
    return QuicUse.OFF if written is False else written


class TargetConfig(Section):
    """One URL to measure; a target without other keys may be written as its URL alone."""

    url: Url
    probe: PlainName = "web"
    expect: Expect = Expect()
    interval: Deadline | None = None
    quic: Annotated[QuicUse, BeforeValidator(_off)] = QuicUse.DEEP
    vantages: Annotated[tuple[PlainName, ...], Field(min_length=1)] | None = None  # all but controls by default

    @model_validator(mode="before")
    @classmethod
    def _short(cls, written: Any) -> Any:
        return {"url": written} if isinstance(written, str) else written

    @model_validator(mode="after")
    def _handshake_exists(self) -> "TargetConfig":
        if self.expect.until == "tls" and self.url[:5].lower() == "http:":
            raise ValueError("expects a TLS handshake, which an http:// address does not have")
        return self


class PlatformConfig(Section):
    """What people call it, and the targets that stand for it."""

    name: Text | None = None
    rollup: RollupConfig = RollupConfig()
    targets: Annotated[dict[PlainName, TargetConfig], Field(min_length=1)]


class VantageConfig(Section):
    """Keys that every kind of vantage has; each kind below adds its own."""

    kind: str
    role: Role = Role.TEST
    country: CountryCode | None = None
    asn: Annotated[Whole, Field(ge=1, le=4_294_967_295)] | None = None
    resolvers: Annotated[tuple[Resolver, ...], OneOrMany, Field(min_length=1)] = ("system",)
    concurrency: Annotated[Whole, Field(ge=1, le=10_000)] = 1000


class DirectOptions(VantageConfig):
    """A vantage on this host's own network."""

    kind: Literal["direct"]
    source_address: IpAddress | None = None
    interface: Interface | None = None
    netns: NamespaceName | None = None  # as `ip netns` knows it; entering it needs CAP_SYS_ADMIN


class AgentOptions(VantageConfig):
    """A vantage elsewhere: `monitor agent serve` is asked at its `url`; `monitor agent run`, without one, pushes."""

    kind: Literal["agent"]
    url: Url | None = None
    token: SecretText | None = None  # shared with one that is asked; one that pushes is known by its key
    token_file: Path | None = None
    fingerprint: Fingerprint | None = None  # of the agent's own certificate; lower-case hex without colons
    insecure: bool = False  # allows http:// to an agent that is not on this host

    @model_validator(mode="after")
    def _identified(self) -> "AgentOptions":
        is_https = (self.url or "")[:6].lower() == "https:"
        if is_https and self.token is not None and self.fingerprint is None:
            raise ValueError("an https agent needs the fingerprint that `monitor agent serve` prints")
        return self

    @property
    def is_pushing(self) -> bool:
        """Whether the agent sends its results by itself, and cannot be asked."""
        return self.url is None


class TunnelOptions(VantageConfig):
    """A vantage whose connections pass something of somebody else's; datagrams do not."""

    server: Address
    # Asked through the tunnel, so they are what its network sees; UDP does not pass, and a name could not be looked up.
    resolvers: Annotated[tuple[TunnelResolver, ...], OneOrMany, Field(min_length=1)] = ("tcp://9.9.9.9",)
    concurrency: Annotated[Whole, Field(ge=1, le=10_000)] = 20


class ProxyOptions(TunnelOptions):
    """What the kinds of proxies have in common."""

    # `own`: by questions of ours through the proxy, which is then asked for an address; `remote`: by the proxy itself.
    resolve: Literal["own", "remote"] = "own"
    username: LoginName | None = None
    password: SecretText | None = None
    password_file: Path | None = None
    tls: bool = False
    fingerprint: Fingerprint | None = None  # of the proxy's certificate, where no authority vouches for it

    @model_validator(mode="after")
    def _consistent(self) -> "ProxyOptions":
        if (self.username is None) != (self.password is None):
            raise ValueError("username and password (or password_file) go together")
        if self.password is not None and len(self.password.get_secret_value().encode()) > 255:
            raise ValueError("a password has at most 255 bytes")
        if self.fingerprint is not None and not self.tls:
            raise ValueError("a fingerprint needs tls: true")
        return self


class Socks5Options(ProxyOptions):
    """A vantage behind a SOCKS5 proxy."""

    kind: Literal["socks5"]


class HttpConnectOptions(ProxyOptions):
    """A vantage behind an HTTP proxy that knows CONNECT."""

    kind: Literal["http_connect"]


class SshOptions(TunnelOptions):
    """A vantage behind an SSH server that lets connections be forwarded."""

    kind: Literal["ssh"]
    user: LoginName
    key_file: LocalFile
    known_hosts_file: LocalFile
    passphrase: SecretText | None = None
    passphrase_file: Path | None = None


class ServiceOptions(VantageConfig):
    """A vantage that is lent: somebody else's service has its probes measure, within quotas.

    Asks for its own targets at its own pace, since what a line of one's own can bear would use up any quota. As a
    control it is asked in deep runs alone.
    """

    base_url: ServiceUrl
    network: Literal["eyeball", "datacenter", "any"] = "eyeball"
    targets: Annotated[tuple[PlainName, ...], OneOrMany] = ()
    interval: Deadline = 3600.0
    concurrency: Annotated[Whole, Field(ge=1, le=20)] = 4

    @model_validator(mode="after")
    def _answerable(self) -> "ServiceOptions":
        if self.resolvers != ("system",):
            raise ValueError("the probe's own resolver is asked, so resolvers cannot be chosen")
        if self.role is Role.CIRCUMVENTION:
            raise ValueError("a service's probes are no way around a block: role must be test or control")
        if self.role is Role.TEST and not self.targets:
            raise ValueError("a service measures only the targets that it lists: give targets")
        if self.role is Role.CONTROL and self.targets:
            raise ValueError("a control is asked for every target, so targets cannot be chosen")
        return self


class GlobalpingOptions(ServiceOptions):
    """A probe of Globalping, in a network of the country named."""

    kind: Literal["globalping"]
    country: CountryCode
    base_url: ServiceUrl = "https://api.globalping.io"
    token: SecretText | None = None
    token_file: Path | None = None
    # What one address may ask without a token is 250 tests an hour, with one 500; credits are never spent.
    tests_per_hour: Annotated[Whole, Field(ge=5, le=500)] = 100

    @model_validator(mode="after")
    def _granted(self) -> "GlobalpingOptions":
        if self.token is None and self.tests_per_hour > TESTS_PER_HOUR_WITHOUT_TOKEN:
            raise ValueError(
                f"tests_per_hour: {self.tests_per_hour} needs a token; without one Globalping grants"
                f" {TESTS_PER_HOUR_WITHOUT_TOKEN}"
            )
        return self


class RipeAtlasOptions(ServiceOptions):
    """A probe of RIPE Atlas, in a network of the country named."""

    kind: Literal["ripe_atlas"]
    country: CountryCode
    base_url: ServiceUrl = "https://atlas.ripe.net"
    token: SecretText
    token_file: Path | None = None
    credits_per_day: Annotated[Whole, Field(ge=100, le=1_000_000)] = 10_000
    is_public: bool = True  # whether anybody may read the results there


VANTAGE_KINDS: Final = {
    get_args(kind.model_fields["kind"].annotation)[0]: kind
    for kind in (
        AgentOptions,
        DirectOptions,
        GlobalpingOptions,
        HttpConnectOptions,
        RipeAtlasOptions,
        Socks5Options,
        SshOptions,
    )
}
AnyVantage = Annotated[
    DirectOptions
    | AgentOptions
    | HttpConnectOptions
    | Socks5Options
    | SshOptions
    | GlobalpingOptions
    | RipeAtlasOptions,
    Discriminator("kind"),
]


class FollowUpConfig(Section):
    """What a deep run compares with."""

    enabled: bool = True
    concurrency: Annotated[Whole, Field(ge=1, le=1000)] = 20
    # Uncontroversial: stands in place of the target's name at the target's own address.
    harmless_name: Name = "www.example.com"
    resolvers: Annotated[tuple[Resolver, ...], OneOrMany] = (
        "udp://9.9.9.9",
        "tcp://9.9.9.9",
        "https://dns.quad9.net/dns-query@9.9.9.9",
    )
    # Asked for the target's name. It must not stand on a delivery network that might really serve that name.
    unrelated: Address = "www.debian.org:443"
    # Another operator's HTTP/3: silence of a platform's counts only where this one answers.
    quic_reference: Address | None = "quic.nginx.org:443"
    retries: Annotated[Whole, Field(ge=0, le=5)] = 2
    retry_wait: Annotated[Seconds, Field(le=20)] = 5.0
    refresh: Seconds = 3600.0  # an unchanged symptom is isolated again after this long


class ThroughputConfig(Section):
    """Transfers that tell throttling from a slow line; only in deep runs after something came very slowly."""

    enabled: bool = False  # it moves megabytes: switched on by whoever pays for the line
    # Any file of 512 KiB and more that nobody has a reason to slow down, on a network that serves no platform.
    reference: Url = "http://ftp.debian.org/debian/ls-lR.gz"
    daily_mb: Annotated[float, Field(gt=0, le=10_000)] = 50.0  # of each vantage and UTC day


class DetectionConfig(Section):
    """When a change counts, and when to look sooner than the schedule says (docs/detection.md)."""

    reprobes: Annotated[Whole, Field(ge=0, le=5)] = 3  # after a first failing round; 0 waits for the schedule
    reprobe_wait: Annotated[Deadline, Field(le=30)] = 5.0  # before the first; twice and six times before the next
    clearing_interval: Deadline = 60.0  # between rounds while a return is not confirmed
    budget: Annotated[Whole, Field(ge=0, le=200)] = 40  # further looks of one series within six hours
    quorum: Annotated[Whole, Field(ge=2, le=100)] = 2  # networks alarmed within an hour that speak for a country


_PORTALS: Final[dict[str, int | str]] = {
    "http://network-test.debian.org/nm": "NetworkManager is online",
    "http://ping.archlinux.org/nm-check.txt": "NetworkManager is online",
}


class SanityConfig(Section):
    """Checks that tell a sick line from a blocked platform (docs/verdicts.md, "Vantage sanity").

    Names, portals and TLS hosts stand by default on networks that serve no platform of the shipped file, so that
    blocking a platform with all its addresses does not look like a line that is down. The anchors are public resolvers
    of three operators; two of these serve platforms too, and failing anchors alone are but a note.
    """

    enabled: bool = True
    max_age: Annotated[Seconds, Field(ge=1, le=60)] = 60.0
    dns_names: tuple[Name, ...] = ("www.debian.org", "www.freebsd.org", "www.openbsd.org")
    # A random label under it must not exist. (Some DNS providers answer "exists, but empty" instead; not this one.)
    nxdomain_zone: Name | None = "debian.org"
    anchors: tuple[Address, ...] = ("1.1.1.1:443", "8.8.8.8:443", "9.9.9.9:443")
    names_required: Annotated[Whole, Field(ge=1)] = 2  # how many of `dns_names` must resolve
    anchors_required: Annotated[Whole, Field(ge=1)] = 2  # how many of `anchors` must connect
    # URL → what a good answer shows: a status (204) or text in the body. Both are what desktops ask anyway.
    portals: dict[Url, Annotated[Whole, Field(ge=100, le=599)] | Text] = _PORTALS
    tls_hosts: tuple[Address, ...] = ("www.debian.org:443", "www.freebsd.org:443", "www.openbsd.org:443")
    # Who am I: a DNS name whose answer is the asker's public address, and the server that answers it.
    whoami: WhoAmI | None = "myip.opendns.com A @ 208.67.222.222"
    origin_zone: Name | None = "origin.asn.cymru.com"
    asn_zone: Name | None = "asn.cymru.com"


class FingerprintConfig(Section):
    """What is known of block pages and block addresses."""

    shipped: bool = True  # those that come with the program
    # Further ones, as `monitor fingerprints import` writes them; a later row takes the place of an earlier one's id.
    files: Annotated[tuple[LocalFile, ...], OneOrMany] = ()


class NetworkConfig(Section):
    """Exceptions for laboratories and special networks."""

    allowed_bogons: Annotated[tuple[Cidr, ...], OneOrMany] = ()  # never connected to unless listed


class TlsConfig(Section):
    """Trust store; SSL_CERT_FILE is honoured and `ca_file` overrides it."""

    ca_file: LocalFile | None = None


class GeoConfig(Section):
    """A MaxMind-format file that maps addresses to ASN and country."""

    database: LocalFile | None = None


class EventsConfig(Section):
    """Regulatory events to stand beside the measurements."""

    builtin: Annotated[tuple[Literal["pakistan", "world"], ...], OneOrMany] = ("pakistan", "world")
    files: Annotated[tuple[LocalPath, ...], OneOrMany] = ()  # a folder stands for the .yaml files in it


class Retention(Section):
    """How long rows are kept; transitions, incidents and events stay for ever."""

    measurements: Deadline = 400 * 86_400.0
    evidence: Deadline = 30 * 86_400.0  # of accessible measurements; what supports another verdict stays
    rollups: Deadline = 10 * 366 * 86_400.0


class StorageConfig(Section):
    """Where the SQLite file lies. A relative path is taken from the folder of probes.yaml."""

    path: Annotated[LocalPath, Field(validate_default=True)] = Path("data/monitor.db")
    retention: Retention = Retention()
    spool_rows: Annotated[Whole, Field(ge=10, le=1_000_000)] = 10_000  # runs kept in memory while the file is unusable


class ProbeEndpoint(Section):
    """`/probe` measures configured targets only, unless this allows others."""

    allow_hosts: Annotated[tuple[Name, ...], OneOrMany] = ()
    timeout_offset: Seconds = 0.5


class ServerConfig(Section):
    """The daemon's HTTP side."""

    listen: ListenAddress = "127.0.0.1:9817"
    probe: ProbeEndpoint = ProbeEndpoint()
    token: SecretText | None = None  # if set, POST /-/reload, /probe, /report, /api want `Authorization: Bearer …`
    token_file: Path | None = None
    allow_origins: Annotated[tuple[Origin, ...], OneOrMany] = ()  # sites whose pages may read the API in a browser


class IngestConfig(Section):
    """Where agents that push are heard (docs/agents.md)."""

    listen: ListenAddress
    # As agents reach it, tried in this order: the network under test may block some.
    urls: Annotated[tuple[Origin, ...], OneOrMany, Field(min_length=1)]
    # Neither: a certificate of its own is made, and invitations name its fingerprint.
    certificate_file: LocalFile | None = None
    key_file: LocalFile | None = None
    folder: LocalPath | None = None  # of the key that signs for the centre; None: `ingest` beside the database
    tls: bool = True  # False: on loopback, behind a server that ends TLS
    insecure: bool = False  # allows plain HTTP where others can read it
    check_in: Annotated[Deadline, Field(ge=1, le=3600)] = 45.0
    # As long as a spool lasts: an agent that is cut off from the centre is the one that has something to tell.
    lease: Annotated[Deadline, Field(ge=60, le=90 * 86_400)] = 7 * 86_400.0
    min_software: Version = "0"  # older agents stop measuring and say so
    rate: Annotated[float, Field(ge=0.1, le=1000)] = 2.0  # requests a second of one agent

    @model_validator(mode="after")
    def _paired(self) -> "IngestConfig":
        if (self.certificate_file is None) != (self.key_file is None):
            raise ValueError("certificate_file and key_file go together")
        if self.certificate_file is not None and not self.tls:
            raise ValueError("tls: false shows no certificate")
        return self


class DataConfig(Section):
    """A ceiling for the traffic of measurements."""

    monthly_mb: Annotated[float, Field(gt=0)] | None = None  # of all vantages; intervals are stretched until it holds


class Configuration(Section):
    """The whole of probes.yaml."""

    version: Literal[1] = 1
    defaults: Defaults = Defaults()
    network: NetworkConfig = NetworkConfig()
    tls: TlsConfig = TlsConfig()
    geo: GeoConfig = GeoConfig()
    sanity: SanityConfig = SanityConfig()
    follow_ups: FollowUpConfig = FollowUpConfig()
    detection: DetectionConfig = DetectionConfig()
    fingerprints: FingerprintConfig = FingerprintConfig()
    throughput: ThroughputConfig = ThroughputConfig()
    storage: StorageConfig = Field(default_factory=dict, validate_default=True)  # validated: its path has a folder
    server: ServerConfig = ServerConfig()
    ingest: IngestConfig | None = None  # None: no agent is heard
    data: DataConfig = DataConfig()
    alerts: AlertsConfig = AlertsConfig()
    events: EventsConfig = EventsConfig()
    vantages: Annotated[dict[PlainName, AnyVantage], Field(min_length=1)]
    platforms: Annotated[dict[PlainName, PlatformConfig], Field(min_length=1)]
    control_sites: dict[PlainName, TargetConfig] = Field(default_factory=dict)

    @property
    def pushing(self) -> frozenset[str]:
        """The names of the vantages that measure by themselves and cannot be asked."""
        return frozenset(
            name for name, one in self.vantages.items() if isinstance(one, AgentOptions) and one.is_pushing
        )
