"""Who lives where in the small internet.

Public-looking addresses throughout, since no name leads to a bogon and nothing connects to one. Names that are not
listed do not exist.
"""

from collections.abc import Mapping
from typing import Final

CLIENT: Final = "130.192.91.211"
CLIENT_V6: Final = "2001:760:220::211"
CONTROL: Final = "68.183.70.80"
CONTROL_V6: Final = "2604:a880:400::80"
CONTROL_NAME: Final = "control.example.net"
CONTROL_PORT: Final = 9443

SYSTEM_RESOLVER: Final = "130.192.3.21"
PUBLIC_RESOLVERS: Final[Mapping[str, str]] = {
    "8.8.8.8": "dns.google",
    "1.1.1.1": "cloudflare-dns.com",
    "9.9.9.9": "dns.quad9.net",
}
ROOT_RESOLVER: Final = "193.0.14.129"
WHOAMI_RESOLVER: Final = "208.67.222.222"
WHOAMI_NAME: Final = "myip.opendns.com"
ORIGIN_ZONE: Final = "origin.asn.cymru.com"
ASN_ZONE: Final = "asn.cymru.com"

ORIGIN: Final = "93.184.216.34"
ORIGIN_V6: Final = "2606:2800:220:1:248:1893:25c8:1946"
ORIGIN_ELSEWHERE: Final = "23.15.7.80"  # where the origin's delivery network sends other visitors
COUNTRY_SITE: Final = "it.example.com"
ORIGIN_NAMES: Final = ("www.example.com", "www.example.org", "example.com", "example.org", COUNTRY_SITE)
BLOCK_PAGE_HOST: Final = "83.224.65.41"
BLOCK_PAGE_NAME: Final = "restrict.wateen.net"  # redirects to it are among the program's fingerprints
RELAY: Final = "130.192.182.17"
SHORTENER: Final = "67.199.248.11"
BAD_CERTIFICATES: Final = "104.154.89.105"
LARGE_FILE: Final = "52.35.36.75"
ANTI_BOT: Final = "104.16.132.229"
REDIRECTOR: Final = "172.67.144.64"
BOGON: Final = "10.10.34.35"

# Healthy platforms for the run that counts false alarms, on as many networks.
PLATFORMS: Final[Mapping[str, str]] = {f"www.platform-{n}.example": f"151.{n}.0.10" for n in range(64, 76)}

# Outside every rule: what the sanity checks of the program ask by default.
PORTALS: Final[Mapping[str, str]] = {"network-test.debian.org": "130.89.148.77", "ping.archlinux.org": "95.217.163.246"}
PORTAL_TEXT: Final = "NetworkManager is online"
SANE_HOSTS: Final[Mapping[str, str]] = {
    "www.debian.org": "151.101.2.132",
    "www.freebsd.org": "96.47.72.84",
    "www.openbsd.org": "199.185.178.80",
}
QUIC_REFERENCE: Final = ("quic.nginx.org", "35.214.218.230")
INNOCUOUS_FILE: Final = ("ftp.debian.org", "151.101.194.132")
UNRELATED_NAME: Final = "www.debian.org"
HARMLESS_NAME: Final = "www.freebsd.org"

# /16 → number, country and name of its network; every other /16 is a network of its own.
NETWORKS: Final[Mapping[str, tuple[int, str, str]]] = {
    "130.192": (137, "IT", "ASGARR"),
    "93.184": (15133, "US", "EDGECAST"),
    "83.224": (30722, "IT", "VODAFONE-IT-ASN"),
    "68.183": (14061, "US", "DIGITALOCEAN-ASN"),
    "23.15": (20940, "NL", "AKAMAI-ASN1"),
}


def network_of(address: str) -> tuple[str, int, str, str]:
    """Return prefix, number, country and name of the network that an IPv4 address belongs to."""
    first, second, *_ = address.split(".")
    number, country, name = NETWORKS.get(
        f"{first}.{second}", (400_000 + int(first) * 256 + int(second), "US", f"LAB-{first}-{second}")
    )
    return f"{first}.{second}.0.0/16", number, country, name
