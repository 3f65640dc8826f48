"""What was seen, and the verdict that a person approved for it: the source of the folders in cases/.

Names of groups A to G are those of the laboratory's scenarios; the others are one case and one near miss for each rule.
"""

from collections.abc import Callable
from typing import Any, Final, NamedTuple

import msgspec

from monitor.classify.context import Context
from monitor.config.fingerprints import shipped
from monitor.model.failure import TOO_MANY_REDIRECTS
from monitor.model.fingerprint import Fingerprint
from monitor.model.measurement import Measurement
from monitor.model.observation import Purpose
from monitor.model.target import Expectation
from monitor.model.vantage import VantageState
from monitor.model.verdict import Reason
from tests.classify.scene import HARMLESS, Scene, bodies

EXAMPLE: Final = "www.example.com"
HTTPS: Final = f"https://{EXAMPLE}/"
HTTP: Final = f"http://{EXAMPLE}/"
ORIGIN: Final = "93.184.216.34"
OTHER_NODE: Final = "93.184.216.35"
BLOCK_PAGE_HOST: Final = "83.224.65.41"
RELAY: Final = "130.192.182.17"
IMPOSTOR: Final = "104.154.89.105"
SHORTENER: Final = "67.199.248.11"
STRANGER: Final = "68.183.70.80"
SIX: Final = "2606:2800:21f::1"
UDP: Final = "udp://9.9.9.9"
TCP: Final = "tcp://9.9.9.9"
DOH: Final = "https://dns.quad9.net/dns-query@9.9.9.9"
ASN_OF: Final = {
    ORIGIN: 15133, OTHER_NODE: 15133, BLOCK_PAGE_HOST: 30722, RELAY: 137, IMPOSTOR: 15169, SHORTENER: 396982,
}  # fmt: skip

NOTICE: Final = b"<title>Access Denied</title><p>This page is not for you, says the laboratory.</p>"
PAKISTANI: Final = tuple(row for row in shipped()[1] if row.id.startswith(("ooni.pk_", "cp.")))
LABORATORY: Final = (
    Fingerprint(id="lab.page", location="body", type="contains", pattern="says the laboratory", scope="isp"),
    Fingerprint(id="lab.host", location="dns", type="full", pattern=BLOCK_PAGE_HOST, scope="isp"),
)

READY: Final = Context(
    state_before=VantageState.ONLINE,
    state_after=VantageState.ONLINE,
    asn_of=ASN_OF,
    harmless_name=HARMLESS,
    fingerprints=LABORATORY,
)


class Approved(NamedTuple):
    """The verdict a person approved, as it is compared."""

    rule: str
    status: str
    confidence: str | None = None
    mechanisms: tuple[str, ...] = ()
    reason: str | None = None


class Story(NamedTuple):
    measurement: Measurement
    context: Context
    approved: Approved


STORIES: dict[str, Story] = {}


def story(
    name: str, rule: str, status: str, confidence: str | None = None, *mechanisms: str, reason: str | None = None
) -> Callable[[Callable[[], tuple[Scene | Measurement, Context]]], None]:
    def tell(build: Callable[[], tuple[Scene | Measurement, Context]]) -> None:
        seen, context = build()
        measurement = seen.done(is_deep=True) if isinstance(seen, Scene) else seen
        STORIES[name] = Story(measurement, context, Approved(rule, status, confidence, mechanisms, reason))

    return tell


def judged_with(*controls: Scene, **more: Any) -> Context:
    measured = tuple(one.done() for one in controls)
    return msgspec.structs.replace(READY, controls=measured, has_control_vantage=bool(measured), **more)


# What the control sees, and clean beginnings.


def control(url: str = HTTPS) -> Scene:
    return Scene(url, "outside")


def control_https(host: str = EXAMPLE, address: str = ORIGIN) -> Scene:
    return _https(control(f"https://{host}/"), host, address)


def control_http(host: str = EXAMPLE, address: str = ORIGIN, **response: Any) -> Scene:
    return _http(control(f"http://{host}/"), host, address, **response)


def _https(scene: Scene, host: str = EXAMPLE, address: str = ORIGIN, **response: Any) -> Scene:
    return scene.dns(host, address).tcp(address).tls(address, host).http(f"https://{host}/", address, **response)


def _http(scene: Scene, host: str = EXAMPLE, address: str = ORIGIN, **response: Any) -> Scene:
    scene.dns(host, address).tcp(address, 80).http(f"http://{host}/", address, **response)
    scene.at(Purpose.ADDRESS_CHECK).tcp(address).tls(address, host)
    return scene.at(Purpose.PATH)


def other_resolvers(scene: Scene, host: str, address: str, *, over_udp: str | None = None) -> Scene:
    scene.at(Purpose.OTHER_RESOLVER)
    scene.dns(host, over_udp or address, resolver=UDP).dns(host, address, resolver=DOH)
    return scene.at(Purpose.RESOLVER_HARMLESS_NAME).dns(HARMLESS, "198.41.0.4")


def other_address(scene: Scene, host: str = EXAMPLE, address: str = ORIGIN) -> Scene:
    return scene.at(Purpose.OTHER_ADDRESS).tcp(address).tls(address, host)


def sni_filtered(scene: Scene, failure: str, host: str = EXAMPLE, address: str = ORIGIN) -> Scene:
    """Fail again, pass with a harmless name, fail again; and the same at a stranger's address."""
    scene.at(Purpose.RETRY).tcp(address).tls(address, host, failure)
    scene.at(Purpose.HARMLESS_NAME).tcp(address).tls(address, HARMLESS, "ssl_invalid_hostname", leaf="true-leaf")
    scene.at(Purpose.UNRELATED_ADDRESS).tcp(STRANGER).tls(STRANGER, host, failure)
    scene.at(Purpose.UNRELATED_HARMLESS).tcp(STRANGER).tls(STRANGER, HARMLESS)
    return scene.at(Purpose.RETRY).tcp(address).tls(address, host, failure)


def host_filtered(scene: Scene, failure: str, host: str = EXAMPLE, address: str = ORIGIN) -> Scene:
    """Fail again and pass with a harmless host by turns, as often as it takes to tell it from overload."""
    scene.at(Purpose.RETRY).tcp(address, 80).http(f"http://{host}/", address, None, failure=failure)
    for _ in range(4):
        scene.at(Purpose.HARMLESS_NAME).tcp(address, 80).http(f"http://{HARMLESS}/", address, 400)
        scene.at(Purpose.RETRY).tcp(address, 80).http(f"http://{host}/", address, None, failure=failure)
    return scene


def reset_in_tls(failure: str = "connection_reset") -> Scene:
    return Scene(HTTPS).dns(EXAMPLE, ORIGIN).tcp(ORIGIN).tls(ORIGIN, EXAMPLE, failure)


def never_answered(small: str | None) -> Scene:
    """TLS hangs with any name, also when tried again; in small packets it passes, then ends with `small`."""
    here = other_resolvers(reset_in_tls("generic_timeout_error"), EXAMPLE, ORIGIN)
    here.at(Purpose.RETRY).tcp(ORIGIN).tls(ORIGIN, EXAMPLE, "generic_timeout_error")
    here.at(Purpose.HARMLESS_NAME).tcp(ORIGIN).tls(ORIGIN, HARMLESS, "generic_timeout_error")
    here.at(Purpose.SMALL_SEGMENTS).tcp(ORIGIN).tls(ORIGIN, EXAMPLE)
    return here.tcp(ORIGIN).tls(ORIGIN, EXAMPLE, small)


# A. Nothing interferes


@story("reachable-http", "content_same", "accessible")
def _() -> tuple[Scene, Context]:
    return _http(Scene(HTTP)), judged_with(control_http())


@story("reachable-https", "tls_success", "accessible")
def _() -> tuple[Scene, Context]:
    return _https(Scene(HTTPS)), judged_with(control_https())


@story("large-body", "content_same", "accessible")
def _() -> tuple[Scene, Context]:
    large = {
        "headers": (("alt-svc", "h3"), ("content-length", "33554432")), "title": None, "body_bytes": 65536,
        "body_is_truncated": True,
    }  # fmt: skip
    here = _http(Scene("http://largefile.com/"), "largefile.com", "52.35.36.75", body=b"random", **large)
    return here, judged_with(control_http("largefile.com", "52.35.36.75", body=b"other", **large))


# B. Broken for everybody


@story("expired-certificate", "control_fails_too", "down")
def _() -> tuple[Scene, Context]:
    def seen(scene: Scene) -> Scene:
        scene.dns("expired.badssl.com", IMPOSTOR).tcp(IMPOSTOR)
        return scene.tls(IMPOSTOR, "expired.badssl.com", "ssl_invalid_certificate", leaf="old", covers=True)

    url = "https://expired.badssl.com/"
    return seen(Scene(url)), judged_with(seen(control(url)))


@story("loopback-everywhere", "control_fails_too", "down")
def _() -> tuple[Scene, Context]:
    return Scene(HTTP).dns(EXAMPLE, "127.0.0.1"), judged_with(control(HTTP).dns(EXAMPLE, "127.0.0.1"))


@story("redirects-without-end", "control_fails_too", "down")
def _() -> tuple[Scene, Context]:
    def seen(scene: Scene) -> Scene:
        for hop in range(11):
            scene.hop(hop).dns("httpbin.com", "172.67.144.64").tcp("172.67.144.64").tls("172.67.144.64", "httpbin.com")
            scene.http(
                f"https://httpbin.com/redirect/{15 - hop}",
                "172.67.144.64",
                302,
                failure=TOO_MANY_REDIRECTS if hop == 10 else None,
                location=f"https://httpbin.com/redirect/{14 - hop}",
            )
        return scene

    url = "https://httpbin.com/redirect/15"
    return seen(Scene(url)), judged_with(seen(control(url)))


@story("name-gone", "control_fails_too", "down")
def _() -> tuple[Scene, Context]:
    url, name = "http://www.example.xyz/", "www.example.xyz"
    gone = Scene(url).dns(name, failure="dns_nxdomain_error")
    return gone, judged_with(control(url).dns(name, failure="dns_nxdomain_error"))


@story("port-closed", "control_fails_too", "down")
def _() -> tuple[Scene, Context]:
    url = "http://www.example.com:444/"
    here, there = (
        one.dns(EXAMPLE, ORIGIN).tcp(ORIGIN, 444, "connection_refused") for one in (Scene(url), control(url))
    )
    return here, judged_with(there)


# C. Server and control


@story("anti-bot-challenge", "tls_challenge", "inconclusive", reason="challenge")
def _() -> tuple[Scene, Context]:
    name, address = "www.cloudflare-cache.com", "104.16.132.229"
    here = _https(Scene(f"https://{name}/"), name, address, status=503, title="Just a moment...", body=b"x" * 8400)
    return here, judged_with(control_https(name, address))


@story("control-lost-cleartext", "no_control", "inconclusive", reason="no_control")
def _() -> tuple[Scene, Context]:
    return _http(Scene("http://www.example.org/"), "www.example.org"), judged_with()


@story("control-lost-cleartext-declared", "content_expected", "accessible")
def _() -> tuple[Scene, Context]:
    here = _http(Scene("http://www.example.org/"), "www.example.org")
    return here, judged_with(expectation=Expectation(title="example domain"))


@story("control-lost-tls", "tls_success", "accessible")
def _() -> tuple[Scene, Context]:
    return _https(Scene("https://www.example.org/"), "www.example.org"), judged_with()


# D. DNS


@story("dns-impostor", "dns_impostor", "blocked", "confirmed", "dns.wrong_address.name")
def _() -> tuple[Scene, Context]:
    here = Scene(HTTPS).dns(EXAMPLE, IMPOSTOR).tcp(IMPOSTOR)
    here.tls(IMPOSTOR, EXAMPLE, "ssl_unknown_authority", leaf="forged", covers=True)
    other_address(other_resolvers(here, EXAMPLE, ORIGIN, over_udp=IMPOSTOR))
    return here, judged_with(control_https())


@story("dns-impostor-without-control", "dns_impostor", "blocked", "confirmed", "dns.wrong_address.name")
def _() -> tuple[Scene, Context]:
    here = Scene(HTTPS).dns(EXAMPLE, IMPOSTOR).tcp(IMPOSTOR)
    here.tls(IMPOSTOR, EXAMPLE, "ssl_unknown_authority", leaf="forged", covers=True)
    other_address(other_resolvers(here, EXAMPLE, ORIGIN, over_udp=IMPOSTOR))
    return here, judged_with()


@story("dns-impostor-that-the-control-tried-too", "dns_impostor", "blocked", "confirmed", "dns.wrong_address")
def _() -> tuple[Scene, Context]:
    here = Scene(HTTPS).dns(EXAMPLE, IMPOSTOR).tcp(IMPOSTOR)
    here.tls(IMPOSTOR, EXAMPLE, "ssl_unknown_authority", leaf="forged", covers=True)
    there = control_https().at(Purpose.CONTROL_CHECK).tcp(IMPOSTOR)
    return here, judged_with(there.tls(IMPOSTOR, EXAMPLE, "ssl_unknown_authority", leaf="forged", covers=True))


@story("dns-impostor-other-name", "dns_impostor", "blocked", "likely", "dns.wrong_address.name")
def _() -> tuple[Scene, Context]:
    here = Scene(HTTPS).dns(EXAMPLE, IMPOSTOR).tcp(IMPOSTOR)
    here.tls(IMPOSTOR, EXAMPLE, "ssl_invalid_hostname", leaf="someone", covers=False)
    other_address(other_resolvers(here, EXAMPLE, ORIGIN))
    return here, judged_with(control_https())


@story("dns-bogon", "dns_bogon", "blocked", "confirmed", "dns.bogon.name")
def _() -> tuple[Scene, Context]:
    here = Scene(HTTPS).dns(EXAMPLE, "10.10.34.35")
    other_address(other_resolvers(here, EXAMPLE, ORIGIN))
    return here, judged_with(control_https())


@story("dns-bogon-without-control", "dns_bogon", "blocked", "confirmed", "dns.bogon.name")
def _() -> tuple[Scene, Context]:
    here = Scene(HTTPS).dns(EXAMPLE, "10.10.34.35")
    other_address(other_resolvers(here, EXAMPLE, ORIGIN))
    return here, judged_with()


@story("dns-nxdomain", "differs", "blocked", "likely", "dns.nxdomain.name")
def _() -> tuple[Scene, Context]:
    here = Scene(HTTPS).dns(EXAMPLE, failure="dns_nxdomain_error")
    here.at(Purpose.RETRY).dns(EXAMPLE, failure="dns_nxdomain_error")
    other_address(other_resolvers(here, EXAMPLE, ORIGIN))
    return here, judged_with(control_https())


@story("dns-relay", "content_same", "accessible", "likely", "dns.wrong_address.name")
def _() -> tuple[Scene, Context]:
    here = _http(Scene(HTTP), address=RELAY)
    return other_resolvers(here, EXAMPLE, ORIGIN, over_udp=RELAY), judged_with(control_http())


@story("dns-ghost-name", "dns_blockpage_address", "blocked", "confirmed", "dns.blockpage_address.name")
def _() -> tuple[Scene, Context]:
    name, url = "itsat.info", "http://itsat.info/"
    here = Scene(url).dns(name, BLOCK_PAGE_HOST).tcp(BLOCK_PAGE_HOST, 80)
    here.http(url, BLOCK_PAGE_HOST, title="Access Denied", headers=(), body=NOTICE, keep_body=True)
    here.at(Purpose.ADDRESS_CHECK).tcp(BLOCK_PAGE_HOST, failure="connection_refused")
    here.at(Purpose.OTHER_RESOLVER).dns(name, BLOCK_PAGE_HOST, resolver=UDP)
    here.dns(name, failure="dns_nxdomain_error", resolver=DOH)
    here.at(Purpose.RESOLVER_HARMLESS_NAME).dns(HARMLESS, "198.41.0.4")
    return here, judged_with(control(url).dns(name, failure="dns_nxdomain_error"), bodies=bodies(NOTICE))


# E. TCP and TLS


@story("tcp-timeout", "differs", "blocked", "likely", "tcp.timeout")
def _() -> tuple[Scene, Context]:
    here = Scene(HTTPS).dns(EXAMPLE, ORIGIN).tcp(ORIGIN, failure="generic_timeout_error")
    other_resolvers(here, EXAMPLE, ORIGIN)
    here.at(Purpose.RETRY).tcp(ORIGIN, failure="generic_timeout_error").at(Purpose.OTHER_PORT).tcp(ORIGIN, 80)
    return here, judged_with(control_https())


@story("tls-reset", "isolated_trigger", "blocked", "confirmed", "tls.reset.sni")
def _() -> tuple[Scene, Context]:
    here = sni_filtered(other_resolvers(reset_in_tls(), EXAMPLE, ORIGIN), "connection_reset")
    return here, judged_with(control_https())


@story("tls-reset-without-control", "isolated_trigger", "blocked", "confirmed", "tls.reset.sni")
def _() -> tuple[Scene, Context]:
    return sni_filtered(other_resolvers(reset_in_tls(), EXAMPLE, ORIGIN), "connection_reset"), judged_with()


@story("tls-reset-without-follow-ups", "differs", "blocked", "likely", "tls.reset")
def _() -> tuple[Scene, Context]:
    return reset_in_tls(), judged_with(control_https())


# F. HTTP in cleartext


def reset_in_http(failure: str = "connection_reset") -> Scene:
    here = Scene(HTTP).dns(EXAMPLE, ORIGIN).tcp(ORIGIN, 80).http(HTTP, ORIGIN, None, failure=failure)
    return here.at(Purpose.ADDRESS_CHECK).tcp(ORIGIN).tls(ORIGIN, EXAMPLE).at(Purpose.PATH)


def injected_page(*, keep_body: bool = True) -> Scene:
    here = _http(Scene(HTTP), headers=(), title="Access Denied", body=NOTICE, keep_body=keep_body)
    return other_resolvers(here, EXAMPLE, ORIGIN)


@story("http-reset", "isolated_trigger", "blocked", "confirmed", "http.reset.host")
def _() -> tuple[Scene, Context]:
    here = host_filtered(other_resolvers(reset_in_http(), EXAMPLE, ORIGIN), "connection_reset")
    return here, judged_with(control_http())


@story("http-reset-without-follow-ups", "differs", "blocked", "likely", "http.reset")
def _() -> tuple[Scene, Context]:
    return reset_in_http(), judged_with(control_http())


@story("http-injected-page", "http_blockpage", "blocked", "confirmed", "http.blockpage")
def _() -> tuple[Scene, Context]:
    return injected_page(), judged_with(control_http(), bodies=bodies(NOTICE))


@story("http-injected-page-unlisted", "http_modified", "blocked", "likely", "http.modified")
def _() -> tuple[Scene, Context]:
    return injected_page(), judged_with(control_http(), bodies=bodies(NOTICE), fingerprints=())


# G. Behind a redirect


def shortened(scene: Scene, onward: str) -> Scene:
    """A clean first hop over verified TLS."""
    url = "https://bit.ly/32447"
    scene.dns("bit.ly", SHORTENER).tcp(SHORTENER).tls(SHORTENER, "bit.ly").http(url, SHORTENER, 308, location=onward)
    return scene.hop(1)


def shortened_control(onward: str) -> Scene:
    there = shortened(control("https://bit.ly/32447"), onward)
    return _http(there) if onward == HTTP else _https(there)


@story("redirect-refused", "differs", "blocked", "likely", "tcp.refused.address")
def _() -> tuple[Scene, Context]:
    here = shortened(Scene("https://bit.ly/32447"), HTTP)
    here.dns(EXAMPLE, ORIGIN).tcp(ORIGIN, 80, "connection_refused")
    here.at(Purpose.ADDRESS_CHECK).tcp(ORIGIN, failure="connection_refused")
    here.at(Purpose.RETRY).tcp(ORIGIN, 80, "connection_refused").tcp(ORIGIN, failure="connection_refused")
    return here, judged_with(shortened_control(HTTP))


def both_cut(failure: str) -> Scene:
    here = shortened(Scene("https://bit.ly/32447"), HTTP)
    here.dns(EXAMPLE, ORIGIN).tcp(ORIGIN, 80).http(HTTP, ORIGIN, None, failure=failure)
    here.at(Purpose.ADDRESS_CHECK).tcp(ORIGIN).tls(ORIGIN, EXAMPLE, failure)
    return host_filtered(sni_filtered(other_resolvers(here, EXAMPLE, ORIGIN), failure), failure)


@story("redirect-reset", "isolated_trigger", "blocked", "confirmed", "tls.reset.sni", "http.reset.host")
def _() -> tuple[Scene, Context]:
    return both_cut("connection_reset"), judged_with(shortened_control(HTTP))


@story("long-packets-lost", "long_packets_lost", "inconclusive", reason="long_packets_lost")
def _() -> tuple[Scene, Context]:
    return never_answered(None), judged_with(control_https())


@story("small-packets-lost-as-well", "differs", "blocked", "likely", "tls.timeout")
def _() -> tuple[Scene, Context]:
    return never_answered("generic_timeout_error"), judged_with(control_https())


@story("long-page-lost-and-short-answer-not", "long_packets_lost", "inconclusive", reason="long_packets_lost")
def _() -> tuple[Scene, Context]:
    here = Scene(HTTP).dns(EXAMPLE, ORIGIN).tcp(ORIGIN, 80).http(HTTP, ORIGIN, None, failure="generic_timeout_error")
    here = host_filtered(here.at(Purpose.ADDRESS_CHECK).tcp(ORIGIN).tls(ORIGIN, EXAMPLE), "generic_timeout_error")
    here.at(Purpose.SMALL_SEGMENTS).tcp(ORIGIN, 80).http(HTTP, ORIGIN).tcp(ORIGIN, 80).http(HTTP, ORIGIN)
    return here, judged_with(control_http())


@story("long-packets-lost-at-the-control-too", "control_fails_too", "down")
def _() -> tuple[Scene, Context]:
    there = control().dns(EXAMPLE, ORIGIN).tcp(ORIGIN).tls(ORIGIN, EXAMPLE, "generic_timeout_error")
    return never_answered(None), judged_with(there)


@story("redirect-timeout", "isolated_trigger", "blocked", "confirmed", "tls.timeout.sni", "http.timeout.host")
def _() -> tuple[Scene, Context]:
    return both_cut("generic_timeout_error"), judged_with(shortened_control(HTTP))


@story("redirect-nxdomain", "differs", "blocked", "likely", "dns.nxdomain.name")
def _() -> tuple[Scene, Context]:
    here = shortened(Scene("https://bit.ly/32447"), HTTPS).dns(EXAMPLE, failure="dns_nxdomain_error", late=[ORIGIN])
    here.at(Purpose.RETRY).dns(EXAMPLE, failure="dns_nxdomain_error")
    other_address(other_resolvers(here, EXAMPLE, ORIGIN))
    return here, judged_with(shortened_control(HTTPS))


# One case and one near miss for each rule that the groups above do not show


@story("vantage-offline", "vantage_not_ready", "inconclusive", reason="vantage_offline")
def _() -> tuple[Scene, Context]:
    return reset_in_tls(), msgspec.structs.replace(judged_with(control_https()), state_after=VantageState.OFFLINE)


@story("vantage-unchecked", "vantage_not_ready", "inconclusive", reason="vantage_unready")
def _() -> tuple[Scene, Context]:
    return _https(Scene(HTTPS)), msgspec.structs.replace(READY, state_before=None)


@story("imported-line-that-nobody-checked", "tls_success", "accessible")
def _() -> tuple[Scene, Context]:
    return _https(Scene(HTTPS)), Context(is_checked=False)


@story("captive-portal", "vantage_not_ready", "inconclusive", reason="captive_portal")
def _() -> tuple[Scene, Context]:
    return injected_page(), msgspec.structs.replace(READY, state_before=VantageState.CAPTIVE)


@story("vantage-unreachable", "vantage_not_ready", "inconclusive", reason="vantage_offline")
def _() -> tuple[Scene, Context]:
    return Scene(HTTPS), msgspec.structs.replace(READY, fault=Reason.VANTAGE_OFFLINE)


@story("quota-exhausted", "vantage_not_ready", "inconclusive", reason="quota_exhausted")
def _() -> tuple[Scene, Context]:
    return Scene(HTTPS), msgspec.structs.replace(READY, state_before=VantageState.OFFLINE, fault=Reason.QUOTA_EXHAUSTED)


# What a service's probe cannot see, or says in words that nobody knows, is absent: neither success nor block.


@story("lent-probe-sends-no-request", "insufficient", "inconclusive", reason="insufficient_data")
def _() -> tuple[Scene, Context]:
    return Scene(HTTPS).dns(EXAMPLE, ORIGIN).tcp(ORIGIN).tls(ORIGIN, EXAMPLE), judged_with(control_https())


@story("lent-probe-is-not-understood", "insufficient", "inconclusive", reason="insufficient_data")
def _() -> tuple[Scene, Context]:
    return Scene(HTTPS).dns(EXAMPLE, ORIGIN), judged_with(control_https())


@story("lent-probe-saw-no-step-at-all", "insufficient", "inconclusive", reason="insufficient_data")
def _() -> tuple[Scene, Context]:
    return Scene(HTTPS), judged_with(control_https())


@story("lent-probe-lost-its-handshake", "insufficient", "inconclusive", reason="insufficient_data")
def _() -> tuple[Scene, Context]:
    here = Scene(HTTPS).dns(EXAMPLE, ORIGIN).tcp(ORIGIN)
    here.http(HTTPS, ORIGIN, None, failure="eof_error")
    here.at(Purpose.RETRY).tcp(ORIGIN).http(HTTPS, ORIGIN, None, failure="eof_error")
    return here, judged_with(control_https())


@story("proxy-failed-and-offline-for-it", "proxy_failed", "inconclusive", reason="proxy_failed")
def _() -> tuple[Scene, Context]:
    return Scene(HTTPS), msgspec.structs.replace(READY, state_before=VantageState.OFFLINE, fault=Reason.PROXY_FAILED)


@story("proxy-failed", "proxy_failed", "inconclusive", reason="proxy_failed")
def _() -> tuple[Scene, Context]:
    return Scene(HTTPS), msgspec.structs.replace(READY, fault=Reason.PROXY_FAILED)


@story("suspended", "interrupted", "inconclusive", reason="interrupted")
def _() -> tuple[Measurement, Context]:
    return reset_in_tls().done(interrupted=True), judged_with(control_https())


@story("own-mistake", "internal_error", "inconclusive", reason="internal_error")
def _() -> tuple[Scene, Context]:
    return Scene(HTTPS), msgspec.structs.replace(READY, fault=Reason.INTERNAL_ERROR)


@story("local-firewall", "local_fault", "inconclusive", reason="local_fault")
def _() -> tuple[Scene, Context]:
    here = Scene(HTTPS).dns(EXAMPLE, ORIGIN).tcp(ORIGIN, failure="permission_denied")
    return here, judged_with(control_https())


@story("local-fault-of-one-family", "tls_success", "accessible")
def _() -> tuple[Scene, Context]:
    here = Scene(HTTPS).dns(EXAMPLE, SIX, query_type="AAAA").tcp(SIX, failure="address_family_not_supported")
    return _https(here), judged_with(control_https())


@story("listed-address-beside-a-true-one", "tls_success", "accessible", "likely", "dns.blockpage_address")
def _() -> tuple[Scene, Context]:
    here = Scene(HTTPS).dns(EXAMPLE, BLOCK_PAGE_HOST, ORIGIN).tcp(BLOCK_PAGE_HOST, failure="connection_refused")
    return here.tcp(ORIGIN).tls(ORIGIN, EXAMPLE).http(HTTPS, ORIGIN), judged_with(control_https())


ALIAS: Final = (Fingerprint(id="lab.alias", location="dns", type="full", pattern="blocked.example.pk", scope="isp"),)


@story("alias-of-a-block-page-host", "dns_blockpage_address", "blocked", "confirmed", "dns.blockpage_address")
def _() -> tuple[Scene, Context]:
    here = Scene(HTTPS).dns(EXAMPLE, RELAY, alias="Blocked.example.pk.").tcp(RELAY)
    here.tls(RELAY, EXAMPLE, "connection_reset")
    return here, judged_with(control_https(), fingerprints=ALIAS)


@story("alias-that-serves-the-true-page", "tls_success", "accessible")
def _() -> tuple[Scene, Context]:
    here = Scene(HTTPS).dns(EXAMPLE, ORIGIN, alias="blocked.example.pk").tcp(ORIGIN).tls(ORIGIN, EXAMPLE)
    return here.http(HTTPS, ORIGIN), judged_with(control_https(), fingerprints=ALIAS)


@story("unlisted-host-of-a-known-page", "dns_blockpage_address", "blocked", "confirmed", "dns.blockpage_address")
def _() -> tuple[Scene, Context]:
    here = Scene(HTTP).dns(EXAMPLE, RELAY).tcp(RELAY, 80)
    here.http(HTTP, RELAY, title="Access Denied", headers=(), body=NOTICE, keep_body=True)
    return here, judged_with(control_http(), bodies=bodies(NOTICE))


@story("bogon-beside-a-true-address", "tls_success", "accessible", "confirmed", "dns.bogon")
def _() -> tuple[Scene, Context]:
    here = Scene(HTTPS).dns(EXAMPLE, "10.10.34.35", ORIGIN).tcp(ORIGIN).tls(ORIGIN, EXAMPLE).http(HTTPS, ORIGIN)
    return here, judged_with(control_https())


@story("bogon-with-nobody-to-ask", "no_control", "inconclusive", reason="no_control")
def _() -> tuple[Scene, Context]:
    return Scene(HTTPS).dns(EXAMPLE, "10.10.34.35"), judged_with()


@story("bogon-range-allowed", "tls_success", "accessible")
def _() -> tuple[Scene, Context]:
    here = _https(Scene(HTTPS), address="127.0.0.9")
    return here, judged_with(control_https(address="127.0.0.10"), allowed_bogons=("127.0.0.0/8",))


@story("certificate-substituted", "certificate_substituted", "blocked", "confirmed", "tls.certificate_substituted")
def _() -> tuple[Scene, Context]:
    here = Scene(HTTPS).dns(EXAMPLE, ORIGIN).tcp(ORIGIN)
    here.tls(ORIGIN, EXAMPLE, "ssl_unknown_authority", leaf="forged", covers=True)
    return here, judged_with(control_https())


@story(
    "good-certificate-of-another-name", "certificate_substituted", "blocked", "likely", "tls.certificate_substituted"
)
def _() -> tuple[Scene, Context]:
    here = Scene(HTTPS).dns(EXAMPLE, ORIGIN).tcp(ORIGIN)
    here.tls(ORIGIN, EXAMPLE, "ssl_invalid_hostname", leaf="of-the-node", covers=False)
    return here, judged_with(control_https())


@story("certificate-not-seen-by-the-control", "insufficient", "inconclusive", reason="insufficient_data")
def _() -> tuple[Scene, Context]:
    here = Scene(HTTPS).dns(EXAMPLE, ORIGIN).tcp(ORIGIN)
    here.tls(ORIGIN, EXAMPLE, "ssl_unknown_authority", leaf="forged", covers=True)
    there = control().dns(EXAMPLE, ORIGIN, OTHER_NODE).tcp(OTHER_NODE).tls(OTHER_NODE, EXAMPLE).http(HTTPS, OTHER_NODE)
    return here, judged_with(there)


@story("outdated-ca-bundle", "control_fails_too", "down")
def _() -> tuple[Scene, Context]:
    def seen(scene: Scene) -> Scene:
        return scene.dns(EXAMPLE, ORIGIN).tcp(ORIGIN).tls(ORIGIN, EXAMPLE, "ssl_unknown_authority", leaf="new-root")

    return seen(Scene(HTTPS)), judged_with(seen(control()))


@story("cdn-node-with-a-bad-certificate", "no_control", "inconclusive", reason="no_control")
def _() -> tuple[Scene, Context]:
    # Encrypted DNS gives the same address, so nothing speaks for a lie of the resolver.
    here = Scene(HTTPS).dns(EXAMPLE, IMPOSTOR).tcp(IMPOSTOR)
    here.tls(IMPOSTOR, EXAMPLE, "ssl_invalid_hostname", leaf="someone", covers=False)
    return other_resolvers(here, EXAMPLE, IMPOSTOR), judged_with()


@story("block-page-vetoed", "http_modified", "blocked", "likely", "http.modified")
def _() -> tuple[Scene, Context]:
    veto = Fingerprint(id="lab.veto", location="body", type="contains", pattern="not for you", scope="fp")
    return injected_page(), judged_with(control_http(), bodies=bodies(NOTICE), fingerprints=(*LABORATORY, veto))


@story("block-page-that-vague-wording-matches-too", "http_blockpage", "blocked", "confirmed", "http.blockpage")
def _() -> tuple[Scene, Context]:
    vague = Fingerprint(id="lab.vague", location="body", type="contains", pattern="Access Denied", scope="vbw")
    return injected_page(), judged_with(control_http(), bodies=bodies(NOTICE), fingerprints=(vague, *LABORATORY))


@story("block-page-with-a-veto-also-at-the-control", "content_same", "accessible")
def _() -> tuple[Scene, Context]:
    veto = Fingerprint(id="lab.veto", location="body", type="contains", pattern="Ray ID:", scope="fp")
    page: dict[str, Any] = {"headers": (), "title": "Access Denied", "keep_body": True}
    there = NOTICE + b"<p>Ray ID: 1</p>"
    return _http(Scene(HTTP), **page, body=NOTICE), judged_with(
        control_http(**page, body=there), bodies=bodies(NOTICE, there), fingerprints=(veto, *LABORATORY)
    )


@story("block-page-also-at-the-control", "content_same", "accessible")
def _() -> tuple[Scene, Context]:
    page: dict[str, Any] = {"headers": (), "title": "Access Denied", "body": NOTICE, "keep_body": True}
    return _http(Scene(HTTP), **page), judged_with(control_http(**page), bodies=bodies(NOTICE))


@story("block-page-at-the-control-only", "insufficient", "inconclusive", reason="content_unclear")
def _() -> tuple[Scene, Context]:
    page: dict[str, Any] = {"headers": (), "title": "Access Denied", "body": NOTICE, "keep_body": True}
    return _http(Scene(HTTP)), judged_with(control_http(**page), bodies=bodies(NOTICE))


@story("control-at-an-address-that-proves-nothing", "insufficient", "inconclusive", reason="content_unclear")
def _() -> tuple[Scene, Context]:
    there = Scene(HTTP, "control").dns(EXAMPLE, ORIGIN, RELAY).tcp(RELAY, 80)
    there.http(HTTP, RELAY, headers=(("x-other", "1"),), title="Kindly look elsewhere", body=b"no")
    there.at(Purpose.ADDRESS_CHECK).tcp(RELAY, failure="connection_refused")
    return _http(Scene(HTTP)), judged_with(there)


@story("block-page-quoted-over-tls", "tls_success", "accessible")
def _() -> tuple[Scene, Context]:
    return _https(Scene(HTTPS), body=NOTICE, keep_body=True), judged_with(control_https(), bodies=bodies(NOTICE))


@story("redirect-to-a-known-page", "http_blockpage", "blocked", "confirmed", "http.redirect")
def _() -> tuple[Scene, Context]:
    here = Scene(HTTP).dns(EXAMPLE, ORIGIN).tcp(ORIGIN, 80)
    here.http(HTTP, ORIGIN, 302, location="http://restrict.wateen.net/?u=1", body=b"")
    return here, judged_with(control_http(), fingerprints=PAKISTANI)


@story("redirected-to-a-page-of-another-host", "http_blockpage", "blocked", "confirmed", "http.redirect")
def _() -> tuple[Scene, Context]:
    notice_url = "http://notice.example.pk/"
    here = Scene(HTTP).dns(EXAMPLE, ORIGIN).tcp(ORIGIN, 80).http(HTTP, ORIGIN, 302, location=notice_url, body=b"")
    here.hop(1).dns("notice.example.pk", RELAY).tcp(RELAY, 80)
    here.http(notice_url, RELAY, title="Access Denied", headers=(), body=NOTICE, keep_body=True)
    return here, judged_with(control_http(), bodies=bodies(NOTICE))


@story("pakistani-notice", "http_blockpage", "blocked", "confirmed", "http.blockpage")
def _() -> tuple[Scene, Context]:
    page = b"<html>Surf Safely! This website is prohibited for viewership from within Pakistan.</html>"
    here = _http(Scene(HTTP), headers=(), title="Surf Safely!", body=page, keep_body=True)
    return here, judged_with(bodies=bodies(page), fingerprints=PAKISTANI)


@story("legal-refusal", "tls_refused", "withheld", "confirmed")
def _() -> tuple[Scene, Context]:
    return _https(Scene(HTTPS), status=451), judged_with(control_https())


@story("legal-refusal-without-control", "tls_refused", "withheld", "likely")
def _() -> tuple[Scene, Context]:
    return _https(Scene(HTTPS), status=451), judged_with()


@story("refusal-in-words", "tls_refused", "withheld", "likely")
def _() -> tuple[Scene, Context]:
    page = b"<p>Sorry, this service is not available in your country.</p>"
    here = _https(Scene(HTTPS), status=403, title="Sorry", body=page, keep_body=True)
    return here, judged_with(control_https(), bodies=bodies(page))


@story("refusal-without-words", "tls_server_differs", "inconclusive", reason="server_differs")
def _() -> tuple[Scene, Context]:
    here = _https(Scene(HTTPS), status=403, title="Forbidden")
    here.at(Purpose.RETRY).tcp(ORIGIN).tls(ORIGIN, EXAMPLE).http(HTTPS, ORIGIN, 403)
    return here, judged_with(control_https())


@story("refusal-in-cleartext", "insufficient", "inconclusive", reason="content_unclear")
def _() -> tuple[Scene, Context]:
    return _http(Scene(HTTP), status=451, headers=()), judged_with(control_http())


@story("challenge-that-mentions-the-country", "tls_challenge", "inconclusive", reason="challenge")
def _() -> tuple[Scene, Context]:
    page = b"<p>not available in your country?</p><script src=/cdn-cgi/challenge-platform/h></script>"
    here = _https(Scene(HTTPS), status=403, title="Check", body=page, keep_body=True)
    return here, judged_with(control_https(), bodies=bodies(page))


@story("too-many-requests", "tls_challenge", "inconclusive", reason="challenge")
def _() -> tuple[Scene, Context]:
    return _https(Scene(HTTPS), status=429, title="Slow down"), judged_with()


@story("expected-refusal", "tls_success", "accessible")
def _() -> tuple[Scene, Context]:
    return _https(Scene(HTTPS), status=403), judged_with(expectation=Expectation(statuses=(200, 403)))


@story("expected-redirect", "tls_success", "accessible")
def _() -> tuple[Scene, Context]:
    here = _https(Scene(HTTPS), status=301, location="https://www.example.org/")
    return here, judged_with(expectation=Expectation(statuses=(301,)))


@story("redirect-not-followed-in-time", "no_control", "inconclusive", reason="no_control")
def _() -> tuple[Scene, Context]:
    return _https(Scene(HTTPS), status=301, location="https://www.example.org/"), judged_with()


@story("declared-title-missing-over-tls", "tls_server_differs", "inconclusive", reason="server_differs")
def _() -> tuple[Scene, Context]:
    return _https(Scene(HTTPS)), judged_with(expectation=Expectation(title="Something Else"))


@story("server-error-everywhere", "control_fails_too", "down")
def _() -> tuple[Scene, Context]:
    return _https(Scene(HTTPS), status=502), judged_with(_https(control(), status=502))


@story("server-error-once", "transient", "inconclusive", reason="transient")
def _() -> tuple[Scene, Context]:
    here = _https(Scene(HTTPS), status=502)
    here.at(Purpose.RETRY).tcp(ORIGIN).tls(ORIGIN, EXAMPLE).http(HTTPS, ORIGIN, 200)
    return here, judged_with(control_https())


@story("handshake-is-enough", "tls_success", "accessible")
def _() -> tuple[Scene, Context]:
    here = Scene(HTTPS).dns(EXAMPLE, ORIGIN).tcp(ORIGIN).tls(ORIGIN, EXAMPLE)
    return here, judged_with(expectation=Expectation(tls_only=True))


@story("connection-is-enough", "tcp_success", "accessible")
def _() -> tuple[Scene, Context]:
    return Scene(HTTPS).dns(EXAMPLE, ORIGIN).tcp(ORIGIN), judged_with(expectation=Expectation(tcp_only=True))


@story("connection-to-a-suspect-address", "insufficient", "inconclusive", reason="insufficient_data")
def _() -> tuple[Scene, Context]:
    here = Scene(HTTPS).dns(EXAMPLE, IMPOSTOR).tcp(IMPOSTOR)
    there = control().dns(EXAMPLE, ORIGIN).tcp(ORIGIN)
    return here, judged_with(there, expectation=Expectation(tcp_only=True))


@story("cleartext-redirect-home", "tls_success", "accessible")
def _() -> tuple[Scene, Context]:
    here = Scene("http://example.com/").dns("example.com", ORIGIN).tcp(ORIGIN, 80)
    here.http("http://example.com/", ORIGIN, 301, location=HTTPS)
    return _https(here.hop(1)), judged_with()


@story("cleartext-redirect-elsewhere", "no_control", "inconclusive", reason="no_control")
def _() -> tuple[Scene, Context]:
    here = Scene(HTTP).dns(EXAMPLE, ORIGIN).tcp(ORIGIN, 80)
    here.http(HTTP, ORIGIN, 301, location="https://notice.example.net/")
    return _https(here.hop(1), "notice.example.net", RELAY), judged_with()


@story("one-dead-address-of-two", "tls_success", "accessible", "likely", "tcp.timeout.address")
def _() -> tuple[Scene, Context]:
    here = Scene(HTTPS).dns(EXAMPLE, OTHER_NODE, ORIGIN).tcp(OTHER_NODE, failure="generic_timeout_error")
    here.at(Purpose.OTHER_ADDRESS).tcp(ORIGIN).tls(ORIGIN, EXAMPLE).http(HTTPS, ORIGIN)
    there = control().dns(EXAMPLE, ORIGIN, OTHER_NODE).tcp(OTHER_NODE).tls(OTHER_NODE, EXAMPLE).http(HTTPS, OTHER_NODE)
    return here, judged_with(there)


@story("reset-once", "transient", "inconclusive", reason="transient")
def _() -> tuple[Scene, Context]:
    return reset_in_tls().at(Purpose.RETRY).tcp(ORIGIN).tls(ORIGIN, EXAMPLE), judged_with(control_https())


@story("lookup-failed-once", "transient", "inconclusive", reason="transient")
def _() -> tuple[Scene, Context]:
    here = Scene(HTTPS).dns(EXAMPLE, failure="generic_timeout_error").at(Purpose.RETRY).dns(EXAMPLE, ORIGIN)
    return here, judged_with(control_https())


@story("outage-that-ended-is-no-filter", "no_control", "inconclusive", reason="no_control")
def _() -> tuple[Scene, Context]:
    # The harmless name passes only after the last failure: it may be the time and not the name.
    here = reset_in_tls().at(Purpose.RETRY).tcp(ORIGIN).tls(ORIGIN, EXAMPLE, "connection_reset")
    here.at(Purpose.HARMLESS_NAME).tcp(ORIGIN).tls(ORIGIN, HARMLESS, "ssl_invalid_hostname", leaf="true-leaf")
    return here, judged_with()


@story("residual-blocking-shows-nothing", "no_control", "inconclusive", reason="no_control")
def _() -> tuple[Scene, Context]:
    here = reset_in_tls().at(Purpose.HARMLESS_NAME).tcp(ORIGIN).tls(ORIGIN, HARMLESS, "connection_reset")
    here.at(Purpose.RETRY).tcp(ORIGIN).tls(ORIGIN, EXAMPLE, "connection_reset")
    return here, judged_with()


@story("cut-once-here-and-at-a-stranger", "no_control", "inconclusive", reason="no_control")
def _() -> tuple[Scene, Context]:
    here = reset_in_tls()
    here.at(Purpose.UNRELATED_ADDRESS).tcp(STRANGER).tls(STRANGER, EXAMPLE, "connection_reset")
    return here.at(Purpose.UNRELATED_HARMLESS).tcp(STRANGER).tls(STRANGER, HARMLESS), judged_with()


@story("filter-at-a-suspect-address", "insufficient", "inconclusive", reason="insufficient_data")
def _() -> tuple[Scene, Context]:
    here = Scene(HTTPS).dns(EXAMPLE, IMPOSTOR).tcp(IMPOSTOR).tls(IMPOSTOR, EXAMPLE, "connection_reset")
    here.at(Purpose.HARMLESS_NAME).tcp(IMPOSTOR).tls(IMPOSTOR, HARMLESS, "ssl_invalid_hostname", leaf="its-own")
    here.at(Purpose.RETRY).tcp(IMPOSTOR).tls(IMPOSTOR, EXAMPLE, "connection_reset")
    return here, judged_with(control_https())


@story("server-that-hangs-up-on-strangers", "control_fails_too", "down")
def _() -> tuple[Scene, Context]:
    return sni_filtered(reset_in_tls(), "connection_reset"), judged_with(
        control().dns(EXAMPLE, ORIGIN).tcp(ORIGIN).tls(ORIGIN, EXAMPLE, "connection_reset")
    )


@story("alert-at-a-strangers-address", "no_control", "inconclusive", reason="no_control")
def _() -> tuple[Scene, Context]:
    def rejected(scene: Scene, address: str) -> Scene:
        return scene.tcp(address).tls(address, EXAMPLE, "ssl_failed_handshake", alert="handshake_failure")

    here = rejected(Scene(HTTPS).dns(EXAMPLE, ORIGIN), ORIGIN)
    rejected(rejected(here.at(Purpose.RETRY), ORIGIN).at(Purpose.UNRELATED_ADDRESS), STRANGER)
    return here.at(Purpose.UNRELATED_HARMLESS).tcp(STRANGER).tls(STRANGER, HARMLESS), judged_with()


@story("tls-alert-by-name", "isolated_trigger", "blocked", "confirmed", "tls.alert.sni")
def _() -> tuple[Scene, Context]:
    here = Scene(HTTPS).dns(EXAMPLE, ORIGIN)
    by_turns = ((Purpose.HARMLESS_NAME, HARMLESS, None), (Purpose.RETRY, EXAMPLE, "ssl_failed_handshake"))
    for purpose, name, failure in ((Purpose.PATH, EXAMPLE, "ssl_failed_handshake"), *by_turns * 4):
        here.at(purpose).tcp(ORIGIN).tls(ORIGIN, name, failure, alert="handshake_failure" if failure else None)
    return here, judged_with()


@story("tls-eof-and-control", "differs", "blocked", "likely", "tls.eof")
def _() -> tuple[Scene, Context]:
    return reset_in_tls("eof_error"), judged_with(control_https())


@story("plain-text-instead-of-tls", "insufficient", "inconclusive", reason="insufficient_data")
def _() -> tuple[Scene, Context]:
    return reset_in_tls("ssl_failed_handshake"), judged_with(control_https())


@story("dns-isolated", "dns_isolated", "blocked", "likely", "dns.nxdomain.name")
def _() -> tuple[Scene, Context]:
    here = Scene(HTTPS).dns(EXAMPLE, failure="dns_nxdomain_error")
    here.at(Purpose.RETRY).dns(EXAMPLE, failure="dns_nxdomain_error")
    return other_address(other_resolvers(here, EXAMPLE, ORIGIN)), judged_with()


@story("dns-isolated-from-an-earlier-deep-run", "dns_isolated", "blocked", "likely", "dns.nxdomain.name")
def _() -> tuple[Measurement, Context]:
    earlier = Scene(HTTPS).dns(EXAMPLE, failure="dns_nxdomain_error")
    earlier.at(Purpose.RETRY).dns(EXAMPLE, failure="dns_nxdomain_error")
    other_address(other_resolvers(earlier, EXAMPLE, ORIGIN))
    return Scene(HTTPS).dns(EXAMPLE, failure="dns_nxdomain_error").done(), judged_with(
        isolation=earlier.done(is_deep=True)
    )


@story("earlier-deep-run-of-another-symptom", "no_control", "inconclusive", reason="no_control")
def _() -> tuple[Measurement, Context]:
    earlier = Scene(HTTPS).dns(EXAMPLE, failure="dns_servfail_error")
    earlier.at(Purpose.RETRY).dns(EXAMPLE, failure="dns_servfail_error")
    other_address(other_resolvers(earlier, EXAMPLE, ORIGIN))
    return Scene(HTTPS).dns(EXAMPLE, failure="dns_nxdomain_error").done(), judged_with(
        isolation=earlier.done(is_deep=True)
    )


@story("resolver-answers-nothing-at-all", "no_control", "inconclusive", reason="no_control")
def _() -> tuple[Scene, Context]:
    here = Scene(HTTPS).dns(EXAMPLE, failure="generic_timeout_error")
    here.at(Purpose.RETRY).dns(EXAMPLE, failure="generic_timeout_error")
    here.at(Purpose.OTHER_RESOLVER).dns(EXAMPLE, ORIGIN, resolver=DOH)
    here.at(Purpose.RESOLVER_HARMLESS_NAME).dns(HARMLESS, failure="generic_timeout_error")
    return other_address(here), judged_with()


@story("slow-resolver-is-no-block", "insufficient", "inconclusive", reason="insufficient_data")
def _() -> tuple[Scene, Context]:
    here = Scene(HTTPS).dns(EXAMPLE, failure="generic_timeout_error")
    here.at(Purpose.RESOLVER_HARMLESS_NAME).dns(HARMLESS, failure="generic_timeout_error")
    return here, judged_with(control_https())


@story("address-block-without-control", "no_control", "inconclusive", reason="no_control")
def _() -> tuple[Scene, Context]:
    here = Scene(HTTPS).dns(EXAMPLE, ORIGIN).tcp(ORIGIN, failure="generic_timeout_error")
    other_resolvers(here, EXAMPLE, ORIGIN).at(Purpose.RETRY).tcp(ORIGIN, failure="generic_timeout_error")
    return here, judged_with()


@story("lie-and-filter-stacked", "dns_bogon", "blocked", "confirmed", "dns.bogon.name", "tls.reset.sni")
def _() -> tuple[Scene, Context]:
    here = other_resolvers(Scene(HTTPS).dns(EXAMPLE, "10.10.34.35"), EXAMPLE, ORIGIN)
    here.at(Purpose.OTHER_ADDRESS).tcp(ORIGIN).tls(ORIGIN, EXAMPLE, "connection_reset")
    return sni_filtered(here, "connection_reset"), judged_with(control_https())


@story("suspect-address-that-resets", "insufficient", "inconclusive", reason="insufficient_data")
def _() -> tuple[Scene, Context]:
    here = Scene(HTTPS).dns(EXAMPLE, IMPOSTOR).tcp(IMPOSTOR).tls(IMPOSTOR, EXAMPLE, "connection_reset")
    return here, judged_with(control_https())


@story("forged-reply-before-the-true-one", "differs", "blocked", "likely", "dns.wrong_address")
def _() -> tuple[Scene, Context]:
    here = Scene(HTTPS).dns(EXAMPLE, IMPOSTOR, late=[ORIGIN]).tcp(IMPOSTOR, failure="generic_timeout_error")
    return here, judged_with(control_https())


@story("cdn-node-inside-the-provider", "tls_success", "accessible")
def _() -> tuple[Scene, Context]:
    # Unknown to the control in address and AS, but every resolver here agrees on it.
    here = other_resolvers(_https(Scene(HTTPS), address=RELAY), EXAMPLE, RELAY)
    return here, judged_with(control_https())


@story("two-replies-of-one-network", "tls_success", "accessible")
def _() -> tuple[Scene, Context]:
    here = Scene(HTTPS).dns(EXAMPLE, OTHER_NODE, late=[ORIGIN]).tcp(OTHER_NODE).tls(OTHER_NODE, EXAMPLE)
    return here.http(HTTPS, OTHER_NODE), judged_with(control_https())


@story("certificate-that-the-control-met-as-well", "insufficient", "inconclusive", reason="insufficient_data")
def _() -> tuple[Scene, Context]:
    here = Scene(HTTPS).dns(EXAMPLE, IMPOSTOR).tcp(IMPOSTOR)
    here.tls(IMPOSTOR, EXAMPLE, "ssl_invalid_hostname", leaf="shared", covers=False)
    there = control_https().tcp(OTHER_NODE).tls(OTHER_NODE, EXAMPLE, "ssl_invalid_hostname", leaf="shared")
    return here, judged_with(there)


@story("relay-without-the-certificate-serves-the-true-page", "content_same", "accessible")
def _() -> tuple[Scene, Context]:
    here = Scene(HTTP).dns(EXAMPLE, RELAY).tcp(RELAY, 80).http(HTTP, RELAY)
    here.at(Purpose.ADDRESS_CHECK).tcp(RELAY).tls(RELAY, EXAMPLE, "ssl_invalid_hostname", leaf="its-own", covers=False)
    return here, judged_with(control_http())


@story("unreachable-on-a-line-known-to-work", "differs", "blocked", "likely", "tcp.unreachable")
def _() -> tuple[Scene, Context]:
    here = Scene(HTTPS).dns(EXAMPLE, ORIGIN).tcp(ORIGIN, failure="host_unreachable")
    return here, judged_with(control_https())


@story("cleartext-redirect-to-the-declared-host", "tls_success", "accessible")
def _() -> tuple[Scene, Context]:
    here = Scene("http://short.example/").dns("short.example", SHORTENER).tcp(SHORTENER, 80)
    here.http("http://short.example/", SHORTENER, 301, location=HTTPS)
    return _https(here.hop(1)), judged_with(expectation=Expectation(final_host=EXAMPLE))


@story("two-operators-that-differ", "tls_success", "accessible")
def _() -> tuple[Scene, Context]:
    # A relay for all that, yet without the same operator on two ways nobody was seen to answer on the path.
    here = _https(Scene(HTTPS), address=RELAY).at(Purpose.OTHER_RESOLVER)
    here.dns(EXAMPLE, RELAY, resolver="udp://8.8.8.8").dns(EXAMPLE, ORIGIN, resolver=DOH)
    return here, judged_with(control_https())


@story("control-with-a-fault-of-its-own", "no_control", "inconclusive", reason="no_control")
def _() -> tuple[Scene, Context]:
    return reset_in_tls(), judged_with(control().dns(EXAMPLE, ORIGIN).tcp(ORIGIN, failure="permission_denied"))


@story("control-that-was-interrupted", "no_control", "inconclusive", reason="no_control")
def _() -> tuple[Scene, Context]:
    there = control_https().done(interrupted=True)
    return reset_in_tls(), msgspec.structs.replace(READY, controls=(there,), has_control_vantage=True)


@story("node-that-only-the-control-could-verify", "differs", "blocked", "likely", "tls.reset")
def _() -> tuple[Scene, Context]:
    here = Scene(HTTPS).dns(EXAMPLE, OTHER_NODE).tcp(OTHER_NODE).tls(OTHER_NODE, EXAMPLE, "connection_reset")
    there = control_https().at(Purpose.CONTROL_CHECK).tcp(OTHER_NODE).tls(OTHER_NODE, EXAMPLE)
    return here, judged_with(there)


@story("unknown-node-and-the-true-one-reset", "differs", "blocked", "likely", "tls.reset")
def _() -> tuple[Scene, Context]:
    here = Scene(HTTPS).dns(EXAMPLE, OTHER_NODE).tcp(OTHER_NODE).tls(OTHER_NODE, EXAMPLE, "connection_reset")
    here.at(Purpose.OTHER_ADDRESS).tcp(ORIGIN).tls(ORIGIN, EXAMPLE, "connection_reset")
    return here, judged_with(control_https())


@story("unknown-node-resets-while-a-true-one-works", "insufficient", "inconclusive", reason="insufficient_data")
def _() -> tuple[Scene, Context]:
    third = "93.184.216.36"
    here = Scene(HTTPS).dns(EXAMPLE, OTHER_NODE).tcp(OTHER_NODE).tls(OTHER_NODE, EXAMPLE, "connection_reset")
    other_address(here).tcp(third).tls(third, EXAMPLE, "connection_reset")
    there = control().dns(EXAMPLE, ORIGIN, third).tcp(ORIGIN).tls(ORIGIN, EXAMPLE).http(HTTPS, ORIGIN)
    return here, judged_with(there)


@story("dead-sibling-beside-a-slow-answer", "insufficient", "inconclusive", reason="insufficient_data")
def _() -> tuple[Scene, Context]:
    here = Scene(HTTP).dns(EXAMPLE, OTHER_NODE, ORIGIN).tcp(OTHER_NODE, 80, "generic_timeout_error").tcp(ORIGIN, 80)
    here.http(HTTP, ORIGIN, None, failure="generic_timeout_error", reason="still_receiving")
    there = control(HTTP).dns(EXAMPLE, OTHER_NODE, ORIGIN).tcp(OTHER_NODE, 80).http(HTTP, OTHER_NODE)
    return here, judged_with(there)


@story("legal-refusal-everywhere", "tls_server_differs", "inconclusive", reason="server_differs")
def _() -> tuple[Scene, Context]:
    return _https(Scene(HTTPS), status=451), judged_with(_https(control(), status=451))


def alike_in_headers_only(body: bytes, **more: Any) -> dict[str, Any]:
    return {"headers": (("alt-svc", "h3"),), "title": None, "body": body, "body_bytes": 0, **more}


@story("one-like-signal-and-no-other", "content_same", "accessible")
def _() -> tuple[Scene, Context]:
    here = _http(Scene(HTTP), **alike_in_headers_only(b"access to this site is restricted", keep_body=True))
    return here, judged_with(control_http(**alike_in_headers_only(b"welcome")))


@story("one-like-signal-and-vague-wording", "insufficient", "inconclusive", reason="content_unclear")
def _() -> tuple[Scene, Context]:
    page = b"access to this site is restricted"
    vague = Fingerprint(id="lab.vague", location="body", type="contains", pattern="is restricted", scope="vbw")
    here = _http(Scene(HTTP), **alike_in_headers_only(page, keep_body=True))
    there = control_http(**alike_in_headers_only(b"welcome"))
    return here, judged_with(there, bodies=bodies(page), fingerprints=(vague,))


@story("broken-ipv6", "tls_success", "accessible")
def _() -> tuple[Scene, Context]:
    here = Scene(HTTPS).dns(EXAMPLE, SIX, query_type="AAAA").tcp(SIX, failure="generic_timeout_error")
    there = control().dns(EXAMPLE, SIX, query_type="AAAA").tcp(SIX).tls(SIX, EXAMPLE)
    return _https(here), judged_with(_https(there))


@story("controls-disagree", "insufficient", "inconclusive", reason="control_disagrees")
def _() -> tuple[Scene, Context]:
    blocked_there = control().dns(EXAMPLE, ORIGIN).tcp(ORIGIN).tls(ORIGIN, EXAMPLE, "connection_reset")
    return reset_in_tls(), judged_with(control_https(), blocked_there)


@story("dead-at-the-control-too", "insufficient", "inconclusive", reason="insufficient_data")
def _() -> tuple[Scene, Context]:
    here = Scene(HTTPS).dns(EXAMPLE, OTHER_NODE).tcp(OTHER_NODE, failure="generic_timeout_error")
    there = control().dns(EXAMPLE, ORIGIN, OTHER_NODE).tcp(ORIGIN).tls(ORIGIN, EXAMPLE).http(HTTPS, ORIGIN)
    return here, judged_with(there.at(Purpose.CONTROL_CHECK).tcp(OTHER_NODE, failure="generic_timeout_error"))


@story("slow-body-is-no-timeout", "insufficient", "inconclusive", reason="insufficient_data")
def _() -> tuple[Scene, Context]:
    here = Scene(HTTP).dns(EXAMPLE, ORIGIN).tcp(ORIGIN, 80)
    here.http(HTTP, ORIGIN, None, failure="generic_timeout_error", reason="still_receiving")
    return here, judged_with(control_http())


@story("our-own-time-was-up", "insufficient", "inconclusive", reason="insufficient_data")
def _() -> tuple[Scene, Context]:
    here = Scene(HTTPS).dns(EXAMPLE, ORIGIN).tcp(ORIGIN, failure="generic_timeout_error", reason="total_seconds")
    return here, judged_with(control_https())


@story("page-with-one-difference", "insufficient", "inconclusive", reason="content_unclear")
def _() -> tuple[Scene, Context]:
    here = _http(Scene(HTTP), body=b"short", title="Another Heading")
    return here, judged_with(control_http())


@story("nothing-seen", "insufficient", "inconclusive", reason="insufficient_data")
def _() -> tuple[Scene, Context]:
    return Scene(HTTPS), judged_with(control_https())


# Throttling: the target, an innocuous file over the same line, and the control.

FILE: Final = "http://file.example/"
LARGE: Final = f"http://{EXAMPLE}/large"
STILL_COMING: Final[dict[str, Any]] = {
    "failure": "generic_timeout_error", "reason": "still_receiving", "body_is_truncated": True, "bytes_received": 60_000
}  # fmt: skip


def slow_page(url: str = LARGE) -> Scene:
    """Our deadline cut a page that was still coming."""
    if url.startswith("https"):
        return Scene(url).dns(EXAMPLE, ORIGIN).tcp(ORIGIN).tls(ORIGIN, EXAMPLE).http(url, ORIGIN, **STILL_COMING)
    here = Scene(url).dns(EXAMPLE, ORIGIN).tcp(ORIGIN, 80).http(url, ORIGIN, **STILL_COMING)
    here.at(Purpose.ADDRESS_CHECK).tcp(ORIGIN).tls(ORIGIN, EXAMPLE)
    return here.at(Purpose.PATH)


def transfers(scene: Scene, url: str, *pairs: tuple[tuple[float, int], tuple[float, int]], **how: Any) -> Scene:
    """The target, then the innocuous file, each as (seconds, bytes)."""
    for own, reference in pairs:
        scene.at(Purpose.TRANSFER).transfer(url, ORIGIN, *own, **how)
        scene.at(Purpose.TRANSFER_REFERENCE).transfer(FILE, STRANGER, *reference)
    return scene


def quick_control(url: str = LARGE) -> Scene:
    there = control(url).dns(EXAMPLE, ORIGIN)
    if url.startswith("https"):
        there.tcp(ORIGIN).tls(ORIGIN, EXAMPLE)
    else:
        there.tcp(ORIGIN, 80)
    there.http(url, ORIGIN, bytes_received=65_000, body_is_truncated=True)
    return there.at(Purpose.CONTROL_CHECK).transfer(url, ORIGIN, 0.3, 524_288)


POLICED: Final = (5.0, 80_000)  # 16 kB/s
QUICK: Final = (0.2, 524_288)


@story("throttled-endpoint", "throttled", "throttled", "likely", "throughput.throttled")
def _() -> tuple[Scene, Context]:
    return transfers(slow_page(), LARGE, *[(POLICED, QUICK)] * 3), judged_with(quick_control())


@story("throttled-two-of-five", "insufficient", "inconclusive", reason="insufficient_data")
def _() -> tuple[Scene, Context]:
    pairs = [(POLICED, QUICK), (QUICK, QUICK), (POLICED, QUICK), (QUICK, QUICK), (QUICK, QUICK)]
    return transfers(slow_page(), LARGE, *pairs), judged_with(quick_control())


@story("throttled-by-name", "throttled", "throttled", "confirmed", "throughput.throttled.sni")
def _() -> tuple[Scene, Context]:
    url = f"https://{EXAMPLE}/large"
    here = transfers(slow_page(url), url, (POLICED, QUICK))
    here.at(Purpose.TRANSFER_HARMLESS).transfer(url, ORIGIN, *QUICK)
    return transfers(here, url, *[(POLICED, QUICK)] * 2), judged_with(quick_control(url))


@story("throttled-and-refused-under-the-harmless-name", "throttled", "throttled", "likely", "throughput.throttled")
def _() -> tuple[Scene, Context]:
    url = f"https://{EXAMPLE}/large"
    here = transfers(slow_page(url), url, (POLICED, QUICK))
    here.at(Purpose.TRANSFER_HARMLESS).transfer(url, ORIGIN, 0.1, 900, status=421, is_cut=False)
    return transfers(here, url, *[(POLICED, QUICK)] * 2), judged_with(quick_control(url))


@story("throttled-page-that-came-whole", "throttled", "throttled", "likely", "throughput.throttled")
def _() -> tuple[Scene, Context]:
    here = Scene(HTTPS).dns(EXAMPLE, ORIGIN).tcp(ORIGIN).tls(ORIGIN, EXAMPLE)
    here.http(HTTPS, ORIGIN, bytes_received=65_000)
    return transfers(here, HTTPS, *[((4.1, 65_700), QUICK)] * 3), judged_with(quick_control(HTTPS))


def small_page(*, waits: int) -> Scene:
    here = _https(Scene(HTTPS))
    for number in range(5):
        waited = 2.0 if number < waits else 0.03
        here.at(Purpose.TRANSFER)
        here.transfer(HTTPS, ORIGIN, waited, 4000, is_cut=False, first_byte=waited, handshake=waited)
        here.at(Purpose.TRANSFER_REFERENCE)
        here.transfer("https://file.example/", STRANGER, *QUICK, first_byte=0.03, handshake=0.03)
    return here


def small_control() -> Context:
    there = control_https().at(Purpose.CONTROL_CHECK)
    return judged_with(there.transfer(HTTPS, ORIGIN, 0.05, 4000, is_cut=False, first_byte=0.03, handshake=0.03))


@story("throttled-small-page", "throttled", "throttled", "likely", "throughput.throttled")
def _() -> tuple[Scene, Context]:
    return small_page(waits=5), small_control()


@story("small-page-that-waited-four-times-of-five", "tls_success", "accessible")
def _() -> tuple[Scene, Context]:
    return small_page(waits=4), small_control()


@story("throttled-by-name-without-control", "throttled", "throttled", "confirmed", "throughput.throttled.sni")
def _() -> tuple[Scene, Context]:
    url = f"https://{EXAMPLE}/large"
    here = transfers(slow_page(url), url, (POLICED, QUICK))
    here.at(Purpose.TRANSFER_HARMLESS).transfer(url, ORIGIN, *QUICK)
    return transfers(here, url, *[(POLICED, QUICK)] * 2), judged_with()


@story("slow-without-control", "no_control", "inconclusive", reason="no_control")
def _() -> tuple[Scene, Context]:
    return transfers(slow_page(), LARGE, *[(POLICED, QUICK)] * 3), judged_with()


@story("innocuous-file-that-is-a-redirect", "insufficient", "inconclusive", reason="insufficient_data")
def _() -> tuple[Scene, Context]:
    here = slow_page()
    for _ in range(5):
        here.at(Purpose.TRANSFER).transfer(LARGE, ORIGIN, *POLICED)
        here.at(Purpose.TRANSFER_REFERENCE).transfer(FILE, STRANGER, 0.001, 400, status=301, is_cut=False)
    return here, judged_with(quick_control())


@story("transfers-turned-away", "insufficient", "inconclusive", reason="insufficient_data")
def _() -> tuple[Scene, Context]:
    here = transfers(slow_page(), LARGE, *[((10.0, 900), QUICK)] * 3, status=429)
    return here, judged_with(quick_control())


@story("line-that-is-slow-itself", "line_slow", "inconclusive", reason="vantage_degraded")
def _() -> tuple[Scene, Context]:
    return transfers(slow_page(), LARGE, *[(POLICED, (5.0, 90_000))] * 3), judged_with(quick_control())


@story("slow-line-that-brought-the-page", "tls_success", "accessible")
def _() -> tuple[Scene, Context]:
    here = _https(Scene(HTTPS), bytes_received=65_000)
    return transfers(here, HTTPS, *[(POLICED, (5.0, 90_000))] * 3), judged_with(quick_control(HTTPS))


@story("far-server-is-no-slow-one", "tls_success", "accessible")
def _() -> tuple[Scene, Context]:
    here = Scene(HTTPS).dns(EXAMPLE, ORIGIN).tcp(ORIGIN, seconds=0.6).tls(ORIGIN, EXAMPLE)
    here.http(HTTPS, ORIGIN, bytes_received=65_000)
    # Six round trips of 0.6 s: distance alone explains it, however near file and control are.
    return transfers(here, HTTPS, *[((3.6, 131_000), QUICK)] * 5, round_trip=0.6), judged_with(quick_control(HTTPS))


@story("delayed-and-dropped-on-one-port", "throttled", "throttled", "likely", "throughput.throttled")
def _() -> tuple[Scene, Context]:
    # The port is as far as in the story before; another one of the same address shows how near it is.
    here = Scene(LARGE).dns(EXAMPLE, ORIGIN).tcp(ORIGIN, 80, seconds=0.6)
    here.http(LARGE, ORIGIN, **STILL_COMING)
    here.at(Purpose.ADDRESS_CHECK).tcp(ORIGIN, seconds=0.01).tls(ORIGIN, EXAMPLE)
    return transfers(here, LARGE, *[((6.5, 66_000), QUICK)] * 3, round_trip=0.6), judged_with(quick_control())


@story("slow-at-the-control-too", "insufficient", "inconclusive", reason="insufficient_data")
def _() -> tuple[Scene, Context]:
    there = control(LARGE).dns(EXAMPLE, ORIGIN).tcp(ORIGIN, 80)
    there.http(LARGE, ORIGIN, bytes_received=1000, body_is_truncated=True)
    there.at(Purpose.CONTROL_CHECK).transfer(LARGE, ORIGIN, 5.0, 90_000)
    return transfers(slow_page(), LARGE, *[(POLICED, QUICK)] * 3), judged_with(there)


@story("transfers-too-short-to-tell", "insufficient", "inconclusive", reason="insufficient_data")
def _() -> tuple[Scene, Context]:
    return transfers(slow_page(), LARGE, *[((2.0, 20_000), QUICK)] * 5), judged_with(quick_control())


# HTTP/3 beside the ordinary way.


def quic_dead(scene: Scene, failure: str = "generic_timeout_error", *, reference: str | None = None) -> Scene:
    scene.at(Purpose.HTTP3).quic(ORIGIN, EXAMPLE, failure).quic(ORIGIN, EXAMPLE, failure)
    scene.at(Purpose.QUIC_PING).quic(ORIGIN, None)
    return scene.at(Purpose.QUIC_REFERENCE).quic(STRANGER, "quic.example", reference)


def control_with_quic(failure: str | None = None) -> Scene:
    return control_https().at(Purpose.CONTROL_CHECK).quic(ORIGIN, EXAMPLE, failure)


@story("http3-dead", "tls_success", "accessible", "likely", "quic.timeout")
def _() -> tuple[Scene, Context]:
    return quic_dead(_https(Scene(HTTPS))), judged_with(control_with_quic())


@story("http3-refused", "tls_success", "accessible", "likely", "quic.refused")
def _() -> tuple[Scene, Context]:
    return quic_dead(_https(Scene(HTTPS)), "connection_refused"), judged_with(control_with_quic())


@story("no-udp-on-this-line", "tls_success", "accessible")
def _() -> tuple[Scene, Context]:
    here = quic_dead(_https(Scene(HTTPS)), reference="generic_timeout_error")
    return here, judged_with(control_with_quic())


@story("http3-dead-everywhere", "tls_success", "accessible")
def _() -> tuple[Scene, Context]:
    return quic_dead(_https(Scene(HTTPS))), judged_with(control_with_quic("generic_timeout_error"))


@story("http3-dead-once", "tls_success", "accessible")
def _() -> tuple[Scene, Context]:
    here = _https(Scene(HTTPS)).at(Purpose.HTTP3).quic(ORIGIN, EXAMPLE, "generic_timeout_error").quic(ORIGIN, EXAMPLE)
    here.at(Purpose.QUIC_REFERENCE).quic(STRANGER, "quic.example")
    return here, judged_with(control_with_quic())


@story("http3-works-where-tls-is-reset", "isolated_trigger", "blocked", "confirmed", "tls.reset.sni")
def _() -> tuple[Scene, Context]:
    here = sni_filtered(reset_in_tls(), "connection_reset").at(Purpose.HTTP3).quic(ORIGIN, EXAMPLE)
    return here, judged_with(control_with_quic())


@story("tls-and-http3-dead", "isolated_trigger", "blocked", "confirmed", "tls.reset.sni", "quic.timeout")
def _() -> tuple[Scene, Context]:
    return quic_dead(sni_filtered(reset_in_tls(), "connection_reset")), judged_with(control_with_quic())


# Trying again, and controls that disagree.


@story("reset-without-the-second-try", "insufficient", "inconclusive", reason="insufficient_data")
def _() -> tuple[Scene, Context]:
    return reset_in_tls(), judged_with(control_https(), has_retries=True)


@story("reset-while-connecting", "differs", "blocked", "likely", "tcp.reset")
def _() -> tuple[Scene, Context]:
    here = Scene(HTTPS).dns(EXAMPLE, ORIGIN).tcp(ORIGIN, failure="connection_reset")
    here.at(Purpose.RETRY).tcp(ORIGIN, failure="connection_reset")
    return here, judged_with(control_https(), has_retries=True)


@story("silence-noticed-late", "insufficient", "inconclusive", reason="insufficient_data")
def _() -> tuple[Scene, Context]:
    # The machine was too busy to look in time: the answer may have been lying there.
    here = Scene(HTTPS).dns(EXAMPLE, ORIGIN).tcp(ORIGIN, failure="generic_timeout_error", reason="late")
    here.at(Purpose.RETRY).tcp(ORIGIN, failure="generic_timeout_error", reason="late")
    return here, judged_with(control_https(), has_retries=True)


@story("reset-at-every-try", "differs", "blocked", "likely", "tls.reset")
def _() -> tuple[Scene, Context]:
    here, there = reset_in_tls(), control_https()
    for _ in range(4):
        here.at(Purpose.RETRY).tcp(ORIGIN).tls(ORIGIN, EXAMPLE, "connection_reset")
        there.at(Purpose.CONTROL_CHECK).tcp(ORIGIN).tls(ORIGIN, EXAMPLE)
    return here, judged_with(there, has_retries=True)


@story("reset-at-every-try-and-one-pass-at-the-control", "insufficient", "inconclusive", reason="insufficient_data")
def _() -> tuple[Scene, Context]:
    # A server that resets four connections of five does so to one client in three and serves another one.
    here = reset_in_tls()
    for _ in range(4):
        here.at(Purpose.RETRY).tcp(ORIGIN).tls(ORIGIN, EXAMPLE, "connection_reset")
    return here, judged_with(control_https(), has_retries=True)


@story("reset-at-the-second-try-too", "insufficient", "inconclusive", reason="insufficient_data")
def _() -> tuple[Scene, Context]:
    here = reset_in_tls().at(Purpose.RETRY).tcp(ORIGIN).tls(ORIGIN, EXAMPLE, "connection_reset")
    return here, judged_with(control_https(), has_retries=True)


@story("reset-by-turns-with-another-name", "insufficient", "inconclusive", reason="insufficient_data")
def _() -> tuple[Scene, Context]:
    # Twice cut, once passed between: an overloaded server does so every eighth time.
    here = reset_in_tls().at(Purpose.HARMLESS_NAME).tcp(ORIGIN)
    here.tls(ORIGIN, HARMLESS, "ssl_invalid_hostname", leaf="true-leaf")
    here.at(Purpose.RETRY).tcp(ORIGIN).tls(ORIGIN, EXAMPLE, "connection_reset")
    return here, judged_with(control_https(), has_retries=True)


@story("control-cut-off-once", "insufficient", "inconclusive", reason="insufficient_data")
def _() -> tuple[Scene, Context]:
    here = reset_in_tls()
    for _ in range(4):
        here.at(Purpose.RETRY).tcp(ORIGIN).tls(ORIGIN, EXAMPLE, "connection_reset")
    there = control_https().at(Purpose.CONTROL_CHECK).tcp(ORIGIN).tls(ORIGIN, EXAMPLE, "connection_reset")
    return here, judged_with(there, has_retries=True)


@story("control-stuck-at-an-earlier-layer", "insufficient", "inconclusive", reason="control_disagrees")
def _() -> tuple[Scene, Context]:
    stuck = Scene(HTTPS, "elsewhere").dns(EXAMPLE, ORIGIN).tcp(ORIGIN, failure="generic_timeout_error")
    return reset_in_tls(), judged_with(control_https(), stuck)


@story("nameless-handshake-passes", "isolated_trigger", "blocked", "confirmed", "tls.reset.sni")
def _() -> tuple[Scene, Context]:
    here = reset_in_tls().at(Purpose.RETRY).tcp(ORIGIN).tls(ORIGIN, EXAMPLE, "connection_reset")
    here.at(Purpose.HARMLESS_NAME).tcp(ORIGIN).tls(ORIGIN, HARMLESS, "connection_reset")
    for _ in range(4):
        here.at(Purpose.NO_NAME).tcp(ORIGIN).tls(ORIGIN, None, "ssl_invalid_hostname", leaf="true-leaf")
        here.at(Purpose.RETRY).tcp(ORIGIN).tls(ORIGIN, EXAMPLE, "connection_reset")
    return here, judged_with()


@story("harmless-name-minutes-after-the-hit", "isolated_trigger", "blocked", "confirmed", "tls.reset.sni")
def _() -> tuple[Scene, Context]:
    here = Scene(HTTPS).at(Purpose.RESIDUAL).tcp(ORIGIN).tls(ORIGIN, HARMLESS, "ssl_invalid_hostname", leaf="true-leaf")
    here.at(Purpose.PATH).dns(EXAMPLE, ORIGIN).tcp(ORIGIN).tls(ORIGIN, EXAMPLE, "connection_reset")
    here.at(Purpose.RETRY).tcp(ORIGIN).tls(ORIGIN, EXAMPLE, "connection_reset")
    here.at(Purpose.HARMLESS_NAME).tcp(ORIGIN).tls(ORIGIN, HARMLESS, "connection_reset")
    return here, judged_with(control_https())


@story("harmless-name-still-dead-minutes-later", "differs", "blocked", "likely", "tls.reset")
def _() -> tuple[Scene, Context]:
    here = Scene(HTTPS).at(Purpose.RESIDUAL).tcp(ORIGIN).tls(ORIGIN, HARMLESS, "connection_reset")
    here.at(Purpose.PATH).dns(EXAMPLE, ORIGIN).tcp(ORIGIN).tls(ORIGIN, EXAMPLE, "connection_reset")
    here.at(Purpose.RETRY).tcp(ORIGIN).tls(ORIGIN, EXAMPLE, "connection_reset")
    here.at(Purpose.HARMLESS_NAME).tcp(ORIGIN).tls(ORIGIN, HARMLESS, "connection_reset")
    return here, judged_with(control_https())


@story("name-shown-to-be-filtered-at-another-address", "isolated_trigger", "blocked", "confirmed", "tls.reset.sni")
def _() -> tuple[Scene, Context]:
    earlier = sni_filtered(reset_in_tls(), "connection_reset").done(is_deep=True)
    here = Scene(HTTPS).dns(EXAMPLE, OTHER_NODE).tcp(OTHER_NODE).tls(OTHER_NODE, EXAMPLE, "connection_reset")
    return here, judged_with(isolation=earlier)


@story("address-that-nobody-tried-before", "insufficient", "inconclusive", reason="insufficient_data")
def _() -> tuple[Scene, Context]:
    earlier = Scene(HTTPS).dns(EXAMPLE, ORIGIN).tcp(ORIGIN, failure="generic_timeout_error")
    earlier.at(Purpose.RETRY).tcp(ORIGIN, failure="generic_timeout_error")
    here = Scene(HTTPS).dns(EXAMPLE, OTHER_NODE).tcp(OTHER_NODE, failure="generic_timeout_error")
    there = control_https().at(Purpose.CONTROL_CHECK).tcp(OTHER_NODE).tls(OTHER_NODE, EXAMPLE)
    return here, judged_with(there, isolation=earlier.done(is_deep=True), has_retries=True)


@story("address-that-still-worked-at-the-deep-run", "insufficient", "inconclusive", reason="insufficient_data")
def _() -> tuple[Scene, Context]:
    earlier = reset_in_tls().at(Purpose.RETRY).tcp(ORIGIN).tls(ORIGIN, EXAMPLE, "connection_reset")
    earlier.at(Purpose.OTHER_ADDRESS).tcp(OTHER_NODE).tls(OTHER_NODE, EXAMPLE)
    here = Scene(HTTPS).dns(EXAMPLE, OTHER_NODE).tcp(OTHER_NODE).tls(OTHER_NODE, EXAMPLE, "connection_reset")
    there = control_https().at(Purpose.CONTROL_CHECK).tcp(OTHER_NODE).tls(OTHER_NODE, EXAMPLE)
    return here, judged_with(there, isolation=earlier.done(is_deep=True), has_retries=True)


# A resolver's lie that leads to a dead foreign address, where no database tells whose it is.

DEAD: Final = "185.60.216.35"
OWN_LOGIN: Final = f"https://{EXAMPLE}/login"


def led_to_the_dead(address: str = DEAD, *, answers_harmless: bool = True) -> Scene:
    here = Scene(HTTPS).dns(EXAMPLE, address).tcp(address, failure="generic_timeout_error")
    here.at(Purpose.OTHER_RESOLVER).dns(EXAMPLE, ORIGIN, resolver=UDP).dns(EXAMPLE, ORIGIN, resolver=DOH)
    here.at(Purpose.RESOLVER_HARMLESS_NAME)
    here.dns(HARMLESS, "198.41.0.4") if answers_harmless else here.dns(HARMLESS, failure="dns_servfail_error")
    here.at(Purpose.RETRY).tcp(address, failure="generic_timeout_error")
    return other_address(here)


def dead_at_the_control(address: str = DEAD) -> Scene:
    return control_https().at(Purpose.CONTROL_CHECK).tcp(address, failure="generic_timeout_error")


@story("dead-foreign-address-of-unknown-network", "differs", "blocked", "likely", "dns.wrong_address.name")
def _() -> tuple[Scene, Context]:
    return led_to_the_dead(), judged_with(dead_at_the_control(), asn_of={}, has_retries=True)


@story("dead-node-near-the-platforms-own", "insufficient", "inconclusive", reason="insufficient_data")
def _() -> tuple[Scene, Context]:
    near = "93.184.99.1"
    return led_to_the_dead(near), judged_with(dead_at_the_control(near), asn_of={}, has_retries=True)


@story("dead-address-proven-before", "insufficient", "inconclusive", reason="insufficient_data")
def _() -> tuple[Scene, Context]:
    known = frozenset({DEAD})
    return led_to_the_dead(), judged_with(dead_at_the_control(), asn_of={}, has_retries=True, known_addresses=known)


@story("dead-address-from-a-resolver-in-trouble", "insufficient", "inconclusive", reason="insufficient_data")
def _() -> tuple[Scene, Context]:
    here = led_to_the_dead(answers_harmless=False)
    return here, judged_with(dead_at_the_control(), asn_of={}, has_retries=True)


# The platform's own refusals, and walls that ask for a person.


def answered(status: int, page: str, *, title: str = "", **response: Any) -> tuple[Scene, Context]:
    body = page.encode()
    here = _https(Scene(HTTPS), status=status, title=title, body=body, keep_body=True, **response)
    return here, judged_with(control_https(), bodies=bodies(body))


REFUSALS: Final = {
    "english-app": "This app is not available in your country or region.",
    "urdu": "یہ سروس آپ کے ملک میں دستیاب نہیں ہے۔",
    "russian": "Этот сервис недоступен в вашей стране.",
    "arabic": "هذه الخدمة غير متاحة في بلدك.",
    "turkish": "Bu hizmet ülkenizde kullanılamıyor.",
    "spanish": "Este servicio no está disponible en tu país.",
    "french": "Ce service n’est pas disponible dans votre pays.",
    "german": "Dieser Dienst ist in Ihrem Land nicht verfügbar.",
    "persian": "این سرویس در کشور شما در دسترس نیست.",
}
for _name, _words in REFUSALS.items():
    story(f"refusal-in-{_name}", "tls_refused", "withheld", "likely")(
        lambda words=_words: answered(403, f"<html><p>{words}</p></html>")  # type: ignore[misc]  # bound at once
    )

WALLS: Final = {
    "recaptcha": '<script src="https://www.google.com/recaptcha/api.js"></script>',
    "hcaptcha": '<script src="https://js.hcaptcha.com/1/api.js"></script>',
    "turnstile": '<script src="https://challenges.cloudflare.com/turnstile/v0/api.js"></script>',
    "datadome": '<script src="https://ct.captcha-delivery.com/c.js"></script>',
    "perimeterx": '<div id="px-captcha"></div>',
    "akamai": '<script src="/_sec/cp_challenge/sec-cpt-4-4.js"></script>',
}
for _name, _words in WALLS.items():
    story(f"wall-{_name}", "tls_challenge", "inconclusive", reason="challenge")(
        lambda words=_words: answered(403, f"<html>{words}</html>")  # type: ignore[misc]  # bound at once
    )


@story("wall-served-with-200", "tls_challenge", "inconclusive", reason="challenge")
def _() -> tuple[Scene, Context]:
    here, context = answered(200, WALLS["hcaptcha"], title="Are you a robot?")
    return here, msgspec.structs.replace(context, expectation=Expectation(title="Example Domain"))


@story("login-wall", "tls_challenge", "inconclusive", reason="challenge")
def _() -> tuple[Scene, Context]:
    here = _https(Scene(HTTPS), status=302, location=OWN_LOGIN).hop(1)
    here.dns(EXAMPLE, ORIGIN).tcp(ORIGIN).tls(ORIGIN, EXAMPLE).http(OWN_LOGIN, ORIGIN, title="Log in")
    return here, judged_with(control_https(), expectation=Expectation(title="Example Domain"))


@story("page-with-a-captcha-in-a-form", "tls_success", "accessible")
def _() -> tuple[Scene, Context]:
    return answered(200, WALLS["recaptcha"], title="Example Domain Welcome")


@story("refusal-of-another-kind", "tls_server_differs", "inconclusive", reason="server_differs")
def _() -> tuple[Scene, Context]:
    return answered(403, "<p>You have no right to see this page.</p>", title="Forbidden")


@story("law-in-cleartext-from-anyone", "insufficient", "inconclusive", reason="content_unclear")
def _() -> tuple[Scene, Context]:
    page = REFUSALS["urdu"].encode()
    here = _http(Scene(HTTP), status=451, headers=(), title="", body=page, keep_body=True)
    return here, judged_with(control_http(), bodies=bodies(page))


# Through a proxy that is asked by name: there is no lookup to be seen, and the name stands where an address would.


@story("by-name-and-reached", "tls_success", "accessible")
def _() -> tuple[Scene, Context]:
    here = Scene(HTTPS).tcp(EXAMPLE).tls(EXAMPLE, EXAMPLE).http(HTTPS, EXAMPLE)
    return here, judged_with(control_https())


@story("by-name-and-cut", "isolated_trigger", "blocked", "confirmed", "tls.reset.sni")
def _() -> tuple[Scene, Context]:
    here = Scene(HTTPS).tcp(EXAMPLE).tls(EXAMPLE, EXAMPLE, "connection_reset")
    return sni_filtered(here, "connection_reset", address=EXAMPLE), judged_with(control_https())


@story("by-name-and-cut-whatever-is-asked", "insufficient", "inconclusive", reason="insufficient_data")
def _() -> tuple[Scene, Context]:
    # Whose the place is that the proxy was led to, nobody knows: it may be the resolver that lies.
    here = Scene(HTTPS).tcp(EXAMPLE).tls(EXAMPLE, EXAMPLE, "connection_reset")
    for _ in range(5):
        here.at(Purpose.RETRY).tcp(EXAMPLE).tls(EXAMPLE, EXAMPLE, "connection_reset")
    return here, judged_with(control_https())


@story("by-name-and-refused", "insufficient", "inconclusive", reason="insufficient_data")
def _() -> tuple[Scene, Context]:
    return Scene(HTTPS).tcp(EXAMPLE, failure="connection_refused"), judged_with(control_https())


@story("by-name-and-refused-on-one-port", "insufficient", "inconclusive", reason="insufficient_data")
def _() -> tuple[Scene, Context]:
    """That 443 led to the platform does not say where 80 led."""
    here = Scene(HTTP).tcp(EXAMPLE, 80, "connection_refused").at(Purpose.RETRY).tcp(EXAMPLE, 80, "connection_refused")
    return here.at(Purpose.ADDRESS_CHECK).tcp(EXAMPLE).tls(EXAMPLE, EXAMPLE), judged_with(control_http())


@story("by-name-and-gone-everywhere", "control_fails_too", "down")
def _() -> tuple[Scene, Context]:
    elsewhere = control().dns(EXAMPLE, failure="dns_nxdomain_error")
    return Scene(HTTPS).tcp(EXAMPLE, failure="unknown_failure: general SOCKS failure"), judged_with(elsewhere)


@story("by-name-and-only-a-connection-is-expected", "insufficient", "inconclusive", reason="insufficient_data")
def _() -> tuple[Scene, Context]:
    return Scene(HTTPS).tcp(EXAMPLE), judged_with(control_https(), expectation=Expectation(tcp_only=True))


@story("by-name-and-another-page", "insufficient", "inconclusive", reason="content_unclear")
def _() -> tuple[Scene, Context]:
    here = Scene(HTTP).tcp(EXAMPLE, 80)
    here.http(HTTP, EXAMPLE, title="Nothing to see", body=b"go away", headers=(("server", "other"),))
    return here, judged_with(control_http())
