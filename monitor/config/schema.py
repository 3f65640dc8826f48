"""The typed configuration: every key of probes.yaml, its type, default and bound.

Models are frozen and refuse unknown keys. Lengths of time are seconds, sizes are bytes, shares are fractions;
`quantities.py` reads the written forms (5m, 64KiB, 10%).
"""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from monitor.config.quantities import Bytes, Seconds, Share
from monitor.config.fields import Address, Cidr, CountryCode, Name, Pattern, PlainName, Resolver, Url
from monitor.model.vantage import Role


class Section(BaseModel):
    """A mapping of probes.yaml."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class Timeouts(Section):
    """Deadlines of the steps (docs/configuration.md, "timeouts")."""

    dns: Seconds = 4.0
    tcp: Seconds = 10.0
    tls: Seconds = 10.0
    http: Seconds = 10.0
    total: Seconds = 45.0  # of one routine measurement; a deep run adds at most 60 s less this


class Defaults(Section):
    """What every target has unless it says otherwise."""

    interval: Seconds = 300.0
    jitter: Share = 0.1
    timeouts: Timeouts = Timeouts()
    body_limit: Annotated[Bytes, Field(ge=1024, le=16 * 1024 * 1024)] = 65_536
    redirects: Annotated[int, Field(ge=0, le=10)] = 10
    user_agent: str = "Mozilla/5.0 (compatible; access-monitor; +https://github.com/access-monitor)"
    # For cleartext requests, which the path can read: names neither the tool nor a contact.
    cleartext_user_agent: str = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"
    # Below five minutes a test is impolite to the platform and conspicuous on the line; on lines of your own only.
    allow_fast_interval: bool = False


class Expect(Section):
    """What a target shows where nothing interferes; `expect: tls` and `expect: tcp` are short forms of `until`."""

    until: Literal["tcp", "tls", "http"] = "http"
    status: tuple[Annotated[int, Field(ge=100, le=599)], ...] = ()
    title: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    text: Pattern | None = None
    final_host: Name | None = None


class TargetConfig(Section):
    """One URL to measure."""

    url: Url
    probe: PlainName = "web"
    expect: Expect = Expect()
    interval: Seconds | None = None
    vantages: tuple[PlainName, ...] | None = None  # all test vantages by default


class PlatformConfig(Section):
    """What people call it, and the targets that stand for it."""

    name: str | None = None
    targets: Annotated[dict[PlainName, TargetConfig], Field(min_length=1)]


class VantageConfig(Section):
    """Keys that every kind of vantage has; a kind adds its own (`monitor/vantages/KIND.py`, class `Options`)."""

    model_config = ConfigDict(extra="allow", frozen=True)

    kind: PlainName
    role: Role = Role.TEST
    country: CountryCode | None = None
    asn: Annotated[int, Field(ge=1, le=4_294_967_295)] | None = None
    resolvers: Annotated[tuple[Resolver, ...], Field(min_length=1)] = ("system",)
    concurrency: Annotated[int, Field(ge=1, le=10_000)] = 1000


class FollowUpConfig(Section):
    """What a deep run compares with."""

    enabled: bool = True
    concurrency: Annotated[int, Field(ge=1, le=1000)] = 20
    # Widely used, uncontroversial, served by many addresses' owners: sent to the target's address in place of its name.
    harmless_name: Name = "www.example.com"
    resolvers: tuple[Resolver, ...] = ("udp://9.9.9.9", "tcp://9.9.9.9", "https://dns.quad9.net/dns-query@9.9.9.9")
    # A host that has nothing to do with any platform: it is asked for the target's name.
    unrelated: str = "www.example.com:443"
    retries: Annotated[int, Field(ge=0, le=5)] = 2
    retry_wait: Seconds = 5.0
    refresh: Seconds = 3600.0  # an unchanged symptom is isolated again after this long


class SanityConfig(Section):
    """Checks that tell a sick line from a blocked platform (docs/verdicts.md, "Vantage sanity")."""

    enabled: bool = True
    max_age: Annotated[Seconds, Field(ge=1, le=60)] = 60.0
    dns_names: tuple[Name, ...] = ("www.example.com", "www.debian.org", "www.iana.org")
    nxdomain_zone: Name | None = "example.com"
    anchors: tuple[str, ...] = ("1.1.1.1:443", "8.8.8.8:443", "9.9.9.9:443")
    # URL → what a good answer shows: a status (204) or text in the body.
    portals: dict[Url, int | str] = Field(
        default_factory=lambda: {
            "http://detectportal.firefox.com/success.txt": "success",
            "http://network-test.debian.org/nm": "NetworkManager is online",
        }
    )
    tls_hosts: tuple[str, ...] = ("www.cloudflare.com:443", "www.debian.org:443", "www.iana.org:443")
    # Who am I: a DNS name whose answer is the asker's public address, and the resolver that answers it.
    whoami: str | None = "o-o.myaddr.l.google.com TXT @ 216.239.32.10"
    origin_zone: Name | None = "origin.asn.cymru.com"
    asn_zone: Name | None = "asn.cymru.com"


class NetworkConfig(Section):
    """Exceptions for laboratories and special networks."""

    allowed_bogons: tuple[Cidr, ...] = ()  # never connected to unless listed


class TlsConfig(Section):
    """Trust store; SSL_CERT_FILE is honoured and `ca_file` overrides it."""

    ca_file: Path | None = None


class GeoConfig(Section):
    """A MaxMind-format file that maps addresses to ASN and country."""

    database: Path | None = None


class Retention(Section):
    """How long rows are kept; transitions, incidents and events stay for ever."""

    measurements: Seconds = 400 * 86400.0
    evidence: Seconds = 30 * 86400.0  # of accessible measurements; what supports another verdict stays
    rollups: Seconds = 10 * 366 * 86400.0


class StorageConfig(Section):
    """Where the SQLite file lies. A relative path is taken from the folder of probes.yaml."""

    path: Path = Path("data/monitor.db")
    retention: Retention = Retention()
    spool_rows: Annotated[int, Field(ge=10, le=1_000_000)] = 10_000  # runs kept in memory while the file is unusable


class ProbeEndpoint(Section):
    """`/probe` measures configured targets only, unless this allows others."""

    allow_hosts: tuple[Name, ...] = ()
    timeout_offset: Seconds = 0.5


class ServerConfig(Section):
    """The daemon's HTTP side."""

    listen: Address = "127.0.0.1:9817"
    probe: ProbeEndpoint = ProbeEndpoint()
    token: SecretStr | None = None  # if set, POST /-/reload, /probe and /api want `Authorization: Bearer …`
    token_file: Path | None = None


class DataConfig(Section):
    """A ceiling for the traffic of measurements."""

    monthly_mb: Annotated[float, Field(gt=0)] | None = None


class Configuration(Section):
    """The whole of probes.yaml."""

    version: Literal[1] = 1
    defaults: Defaults = Defaults()
    network: NetworkConfig = NetworkConfig()
    tls: TlsConfig = TlsConfig()
    geo: GeoConfig = GeoConfig()
    sanity: SanityConfig = SanityConfig()
    follow_ups: FollowUpConfig = FollowUpConfig()
    storage: StorageConfig = StorageConfig()
    server: ServerConfig = ServerConfig()
    data: DataConfig = DataConfig()
    vantages: Annotated[dict[PlainName, VantageConfig], Field(min_length=1)]
    platforms: Annotated[dict[PlainName, PlatformConfig], Field(min_length=1)]
    control_sites: dict[PlainName, TargetConfig] = Field(default_factory=dict)
