"""Who lives at which loopback address; Linux accepts all of 127.0.0.0/8 without privileges."""

from typing import Final

SYSTEM_RESOLVER: Final = "127.0.0.53"  # the provider's, which a censor may order to lie
PUBLIC_RESOLVER: Final = "127.0.0.9"  # UDP, TCP and, as its encrypted twin, DNS over TLS and over HTTPS
CONTROL_RESOLVER: Final = "127.0.0.54"  # asked by the control vantage only; never lies
CONTROL_SOURCE: Final = "127.9.9.9"  # connections from here do not pass the censor
# Lines of other providers: a test vantage that connects from here is on another network of the same country.
SECOND_LINE: Final = "127.9.1.2"
THIRD_LINE: Final = "127.9.1.3"
UNCENSORED: Final = "127.2."  # destinations here are reached past the censor, whoever asks

ANCHORS: Final = ("127.0.1.1", "127.0.1.2", "127.0.1.3")
PORTALS: Final = ("127.0.1.11", "127.0.1.12")
SANE_HOSTS: Final = ("127.0.1.21", "127.0.1.22", "127.0.1.23")
HARMLESS: Final = "127.0.2.1"
UNRELATED: Final = "127.0.2.2"
LANDMARKS: Final = frozenset({*ANCHORS, *PORTALS, *SANE_HOSTS, HARMLESS, UNRELATED})  # the control asks none of them
IMPOSTOR: Final = "127.3.0.1"  # shows a certificate for any name asked, by an authority nobody trusts
BLOCK_PAGE_HOST: Final = "127.4.0.1"  # shows the block page in cleartext to anybody; its TLS port is closed

DOMAIN: Final = "lab.test"
RESOLVER_NAME: Final = f"dns.{DOMAIN}"
HARMLESS_NAME: Final = f"harmless.{DOMAIN}"
UNRELATED_NAME: Final = f"unrelated.{DOMAIN}"
PORTAL_TEXT: Final = "the line is open"
PORTAL_NAMES: Final = (f"portal-one.{DOMAIN}", f"portal-two.{DOMAIN}")
SANE_NAMES: Final = (f"sane-one.{DOMAIN}", f"sane-two.{DOMAIN}", f"sane-three.{DOMAIN}")
WHOAMI_NAME: Final = f"whoami.{DOMAIN}"
ORIGIN_ZONE: Final = f"origin.asn.{DOMAIN}"
ASN_ZONE: Final = f"asn.{DOMAIN}"


def passes_censor(source: str, destination: str) -> bool:
    """Tell whether traffic between the two runs over the censored line."""
    return source != CONTROL_SOURCE and not destination.startswith(UNCENSORED)
