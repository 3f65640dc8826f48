"""What the program must conclude in each situation of the small internet.

A scenario is a name, the expected verdict, a URL and the primitives that make it out of the clean network. The notation
of expected verdicts is that of `monitor.lab.scenarios`. With `isolated`, the confidence and the triggers in square
brackets rest on follow-ups: without these the same network must give `likely` and no such trigger.
"""

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import count
from typing import Final
from urllib.parse import urlsplit

from monitor.lab.authority import Certificate
from monitor.lab.interference import Cut
from monitor.lab.pages import (
    Asked,
    Page,
    challenge,
    country_refusal,
    html,
    legal_refusal,
    redirect,
    unknown_block_page,
    with_status,
)
from monitor.lab.resolvers import EMPTY, NXDOMAIN, REFUSED, SERVFAIL, SILENCE, Answer
from monitor.lab.scenarios import ACCESSIBLE, ANY, DOWN, NOBODY_BLAMED, Expected, confirmed, inconclusive, likely
from tests.lab.internet import addresses
from tests.lab.internet.hosts import TITLE, block_page, here, origin_page
from tests.lab.internet.primitives import (
    BrokenV6,
    Captive,
    Congestion,
    ControlCannot,
    ControlLost,
    ControlZone,
    Drop,
    DropQuic,
    DropText,
    InjectedDns,
    InjectFin,
    InjectPage,
    InjectReset,
    InLine,
    Intercepted,
    Loss,
    MtuHole,
    Offline,
    Overloaded,
    Primitive,
    Refuse,
    RefuseQuic,
    Refusing,
    ResetConnecting,
    ResetText,
    Server,
    Silent,
    Slow,
    SlowServer,
    Unreachable,
    WrongClock,
    Zone,
)

HTTP, HTTPS = "http://www.example.com/", "https://www.example.com/"
NAME: Final = "www.example.com"
SHORTENER: Final = "bit.ly"
ORIGIN: Final = addresses.ORIGIN
NOT_BLAMED: Final = Expected(("accessible", "inconclusive"))


@dataclass(frozen=True)
class Scenario:
    """One situation. `expect` is the target's expectation as probes.yaml writes it.

    `evidence` lists steps with their failures that must be stored, such as `tls connection_reset`.
    """

    name: str
    expected: Expected
    url: str
    network: tuple[Primitive, ...] = ()
    evidence: tuple[str, ...] = ()
    isolated: bool = False
    patient: bool = False  # needs the deadlines of real lines, not those of the laboratory
    follow_ups: bool = True
    expect: Mapping[str, object] | str | int | None = None
    quic: str | None = None  # when HTTP/3 is tried, as probes.yaml writes it
    clean: Expected = ACCESSIBLE  # what the network gives without the primitives

    @property
    def target(self) -> dict[str, object]:
        """The target as probes.yaml writes it."""
        written = {"url": self.url, "expect": self.expect, "quic": self.quic}
        return {key: value for key, value in written.items() if value is not None}

    @property
    def host_at_fault(self) -> str:
        """The host that the sentence of a verdict must name: behind a shortener the next one."""
        host = urlsplit(self.url).hostname or ""
        return NAME if host == SHORTENER else host

    def without_follow_ups(self) -> "Scenario":
        """Return the same situation with the follow-ups off, and what is then still to be concluded."""
        bare = tuple(re.sub(r"\[.*?\]", "", one) for one in self.expected.mechanisms)
        expected = dataclasses.replace(self.expected, confidence="likely", mechanisms=bare)
        return dataclasses.replace(
            self, name=f"{self.name}-without-follow-ups", expected=expected, follow_ups=False, isolated=False
        )


def _isolated(*mechanisms: str) -> Expected:
    return confirmed(*mechanisms)


def _page(title: str, text: str) -> Page:
    return html(title, text, headers={"X-Laboratory": "origin"})


def _in_italian(asked: Asked) -> Page:
    """The same page in the visitor's language."""
    return here(_page("Piattaforma di laboratorio esemplare", "Nulla si frappone fra voi e questa pagina. " * 31))(
        asked
    )


def _login_wall(asked: Asked) -> Page:
    if asked.path == "/login":
        return html("Log in", "Log in to see this page.")
    return here(redirect("/login"))(asked)


def _country_site(asked: Asked) -> Page:
    if asked.host == addresses.COUNTRY_SITE:
        return html("Italian laboratory platform", "Benvenuti.")
    return here(redirect(f"https://{addresses.COUNTRY_SITE}/"))(asked)


def _by_turns(asked: Asked) -> Page:
    """An A/B test: another variant at every turn."""
    turn = next(_TURNS) % 2
    return _page(f"{TITLE} variant {'AB'[turn]}", f"Variant {turn} of this page for {asked.host}. " * (20 + 20 * turn))


def _by_the_hour(asked: Asked) -> Page:
    """The same page with other news on it each time."""
    turn = next(_TURNS)
    return _page(TITLE, f"News number {turn} for {asked.host}. " * (25 + turn % 7))


_TURNS: Final = count()
IMPOSTOR: Final = Answer((addresses.BAD_CERTIFICATES,))
LIE: Final = Answer((addresses.BOGON,))
ELSEWHERE: Final = Answer((addresses.ORIGIN_ELSEWHERE,))
BOTH_FAMILIES: Final = Zone(NAME, Answer((ORIGIN, addresses.ORIGIN_V6)), None)

NOTHING: Final = (
    Scenario("reachable-http", ACCESSIBLE, HTTP),
    Scenario("reachable-https", ACCESSIBLE, HTTPS),
    Scenario("large-body", ACCESSIBLE, "http://largefile.com/"),
    Scenario("both-families", ACCESSIBLE, HTTPS, (BOTH_FAMILIES,)),
)

FOR_EVERYBODY: Final = (
    Scenario("expired-certificate", DOWN, "https://expired.badssl.com/", evidence=("tls ssl_invalid_certificate",),
             clean=DOWN),
    Scenario("loopback-everywhere", DOWN, HTTP, (Zone(NAME, Answer(("127.0.0.1",)), None),)),
    Scenario("redirects-without-end", DOWN, "https://httpbin.com/redirect/15",
             evidence=("http unknown_failure: stopped after too many redirects",), clean=DOWN),
    Scenario("name-gone", DOWN, "http://www.example.xyz/", evidence=("dns dns_nxdomain_error",), clean=DOWN),
    Scenario("port-closed", DOWN, "http://www.example.com:444/", evidence=("tcp connection_refused",), clean=DOWN),
    Scenario("server-resets-everybody", DOWN, HTTPS, (Server(cut=Cut.RESET),), ("tls connection_reset",)),
    Scenario("server-resets-every-request", DOWN, HTTP, (Server(cut=Cut.RESET),), ("http connection_reset",)),
    Scenario("server-ends-everybody", DOWN, HTTPS, (Server(cut=Cut.FIN),), ("tls eof_error",)),
    Scenario("server-is-silent-after-hello", DOWN, HTTPS, (Server(cut=Cut.SILENCE),), ("tls generic_timeout_error",)),
    Scenario("server-alerts-everybody", DOWN, HTTPS, (Server(cut=Cut.ALERT),), ("tls ssl_failed_handshake",)),
    Scenario("server-refuses-everybody", DOWN, HTTPS, (Refusing(),), ("tcp connection_refused",)),
    Scenario("platform-outage", DOWN, HTTPS, (Silent(),), ("tcp generic_timeout_error",)),
    Scenario("certificate-of-nobody", DOWN, HTTPS, (Server(certificate=Certificate.UNKNOWN_AUTHORITY),),
             ("tls ssl_unknown_authority",)),
    Scenario("nxdomain-everywhere", DOWN, HTTPS, (Zone(NAME, NXDOMAIN, None),), ("dns dns_nxdomain_error",)),
    Scenario("servfail-everywhere", DOWN, HTTPS, (Zone(NAME, SERVFAIL, None),), ("dns dns_servfail_error",)),
    Scenario("no-answer-everywhere", DOWN, HTTPS, (Zone(NAME, EMPTY, None),), ("dns dns_no_answer",)),
    Scenario("refused-everywhere", DOWN, HTTPS, (Zone(NAME, REFUSED, None),), ("dns dns_refused_error",)),
    Scenario("silent-zone", DOWN, HTTPS, (Zone(NAME, SILENCE, None),), ("dns generic_timeout_error",)),
    Scenario("server-error", DOWN, HTTPS, (Server(page=lambda _: with_status(503)),)),
    Scenario("server-never-answers", DOWN, HTTPS,
             (Server(page=lambda _: Page(wait_seconds=20.0)),), ("http generic_timeout_error",)),
)  # fmt: skip

SERVER_AND_CONTROL: Final = (
    Scenario("anti-bot-challenge", inconclusive("challenge"), "https://www.cloudflare-cache.com/",
             clean=inconclusive("challenge")),
    Scenario("control-lost-cleartext", inconclusive("no_control"), "http://www.example.org/", (ControlLost(),)),
    Scenario("control-lost-titled", ACCESSIBLE, "http://www.example.org/", (ControlLost(),), expect={"title": TITLE}),
    Scenario("control-lost-tls", ACCESSIBLE, "https://www.example.org/", (ControlLost(),)),
    Scenario("control-lost-while-down", inconclusive("no_control"), HTTPS, (ControlLost(), Silent())),
    Scenario("control-blocked-from-the-platform", ACCESSIBLE, HTTPS, (ControlCannot(ORIGIN),)),
    Scenario("control-blocked-cleartext", NOT_BLAMED, HTTP, (ControlCannot(ORIGIN),)),
    Scenario("control-slow", ACCESSIBLE, HTTPS, (Loss(0.3, "ct"),), patient=True),
    Scenario("control-lied-to-by-dns", ACCESSIBLE, HTTPS, (ControlZone(NAME, NXDOMAIN),)),
    Scenario("control-sees-a-block-page", NOT_BLAMED, HTTP,
             (ControlZone(NAME, Answer((addresses.BLOCK_PAGE_HOST,))),)),
    Scenario("withheld-by-law", Expected(("withheld",), "confirmed"), HTTPS, (Server(page=here(legal_refusal())),)),
    Scenario("withheld-from-the-country", Expected(("withheld",), "likely"), HTTPS,
             (Server(page=here(country_refusal())),)),
    Scenario("forbidden-here", inconclusive("server_differs"), HTTPS, (Server(page=here(with_status(403))),)),
    Scenario("forbidden-here-in-cleartext", inconclusive("content_unclear"), HTTP,
             (Server(page=here(with_status(403))),)),
    Scenario("too-many-requests", inconclusive("challenge"), HTTPS, (Server(page=here(with_status(429))),)),
    Scenario("captcha", inconclusive("challenge"), HTTPS, (Server(page=here(challenge(403))),)),
    Scenario("login-wall", ACCESSIBLE, HTTPS, (Server(page=_login_wall),)),
    Scenario("country-site", ACCESSIBLE, HTTPS,
             (Server(page=_country_site),)),
    Scenario("page-in-another-language", NOT_BLAMED, HTTP, (Server(page=_in_italian),)),
    Scenario("page-of-an-experiment", NOT_BLAMED, HTTP, (Server(page=_by_turns),)),
    Scenario("page-of-the-hour", ACCESSIBLE, HTTP, (Server(page=_by_the_hour),)),
    Scenario("slow-server", ACCESSIBLE, HTTPS,
             (Server(page=lambda _: dataclasses.replace(origin_page(), wait_seconds=1.5)),)),
    Scenario("slow-here-only", NOT_BLAMED, HTTPS,
             (Server(page=here(dataclasses.replace(origin_page(), wait_seconds=1.5))),)),
)  # fmt: skip

DNS: Final = (
    Scenario("dns-impostor", confirmed("dns.wrong_address(.name)"), HTTPS, (InjectedDns(NAME, IMPOSTOR),),
             ("tls ssl_unknown_authority",)),
    Scenario("dns-bogon", confirmed("dns.bogon(.name)"), HTTPS, (Zone(NAME, LIE),)),
    Scenario("dns-nxdomain", likely("dns.nxdomain(.name)"), HTTPS, (Zone(NAME, NXDOMAIN),),
             ("dns dns_nxdomain_error",)),
    Scenario("dns-relay", Expected(("accessible",), "likely", ("dns.wrong_address(.name)",)), HTTP,
             (InjectedDns(NAME, Answer((addresses.RELAY,))),)),
    Scenario("dns-ghost-name", confirmed("dns.blockpage_address(.name)"), "http://itsat.info/",
             (InjectedDns("itsat.info", Answer((addresses.BLOCK_PAGE_HOST,))),), clean=DOWN),
    Scenario("dns-no-answer", likely("dns.no_answer(.name)"), HTTPS, (Zone(NAME, EMPTY),), ("dns dns_no_answer",)),
    Scenario("dns-refused", likely("dns.refused(.name)"), HTTPS, (Zone(NAME, REFUSED),), ("dns dns_refused_error",)),
    Scenario("dns-servfail", likely("dns.servfail(.name)"), HTTPS, (Zone(NAME, SERVFAIL),),
             ("dns dns_servfail_error",)),
    Scenario("dns-timeout", likely("dns.timeout(.name)"), HTTPS, (Zone(NAME, SILENCE),),
             ("dns generic_timeout_error",)),
    Scenario("dns-injected-bogon", confirmed("dns.bogon(.name)"), HTTPS, (InjectedDns(NAME, LIE),)),
    # Innocent.
    Scenario("cdn-answers-other-addresses", ACCESSIBLE, HTTPS, (ControlZone(NAME, ELSEWHERE),)),
    Scenario("cdn-answers-other-addresses-in-cleartext", ACCESSIBLE, HTTP, (ControlZone(NAME, ELSEWHERE),)),
)  # fmt: skip

TCP_AND_TLS: Final = (
    Scenario("tcp-timeout", likely("tcp.timeout"), HTTPS, (Drop(ORIGIN, 443),), ("tcp generic_timeout_error",)),
    Scenario("tcp-timeout-of-the-address", likely("tcp.timeout(.address)"), HTTPS, (Drop(ORIGIN),),
             ("tcp generic_timeout_error",)),
    Scenario("tcp-refused", likely("tcp.refused(.address)"), HTTPS, (Refuse(ORIGIN, 443),),
             ("tcp connection_refused",)),
    Scenario("tcp-unreachable", likely("tcp.unreachable(.address)"), HTTPS, (Unreachable(ORIGIN),),
             ("tcp host_unreachable",)),
    Scenario("tcp-reset", likely("tcp.reset(.address)"), HTTPS, (ResetConnecting(ORIGIN, 443),),
             ("tcp connection_reset",)),
    Scenario("tls-reset", _isolated("tls.reset[.sni]"), HTTPS, (ResetText(NAME),), ("tls connection_reset",),
             isolated=True),
    Scenario("tls-reset-injected", _isolated("tls.reset[.sni]"), HTTPS, (InjectReset(NAME),), ("tls connection_reset",),
             isolated=True),
    Scenario("tls-eof", _isolated("tls.eof[.sni]"), HTTPS, (InjectFin(NAME),), ("tls eof_error",), isolated=True),
    Scenario("tls-eof-by-a-box-in-line", _isolated("tls.eof[.sni]"), HTTPS, (InLine(NAME, Cut.FIN),),
             ("tls eof_error",)),
    Scenario("tls-timeout", _isolated("tls.timeout[.sni]"), HTTPS, (DropText(NAME),), ("tls generic_timeout_error",),
             isolated=True),
    Scenario("tls-alert", _isolated("tls.alert[.sni]"), HTTPS, (InLine(NAME, Cut.ALERT),),
             ("tls ssl_failed_handshake",), isolated=True),
    Scenario("tls-substituted", confirmed("tls.certificate_substituted(.sni)"), HTTPS, (InLine(NAME, Cut.SUBSTITUTE),),
             ("tls ssl_unknown_authority",)),
    # The first harmless look falls into the punishment, later ones need not.
    Scenario("tls-reset-with-residue", Expected(("blocked",), ANY, ("tls.reset(.sni)",)), HTTPS,
             (ResetText(NAME, residual_seconds=3),), ("tls connection_reset",)),
)  # fmt: skip

CLEARTEXT: Final = (
    Scenario("http-reset", _isolated("http.reset[.host]"), HTTP, (ResetText(NAME, 80, ORIGIN),),
             ("http connection_reset",), isolated=True),
    Scenario("http-eof", _isolated("http.eof[.host]"), HTTP, (InjectFin(NAME, 80),), ("http eof_error",),
             isolated=True),
    Scenario("http-timeout", _isolated("http.timeout[.host]"), HTTP, (DropText(NAME, 80),),
             ("http generic_timeout_error",), isolated=True),
    Scenario("http-injected-page", confirmed("http.blockpage(.host)"), HTTP, (InjectPage(NAME, ORIGIN),)),
    Scenario("http-injected-page-unknown", likely("http.modified(.host)"), HTTP,
             (InjectPage(NAME, ORIGIN, block_page("Nobody may read this, by order number seventeen.")),)),
    Scenario("http-page-of-a-box-in-line", likely("http.modified(.host)"), HTTP,
             (InLine(NAME, Cut.PAGE, 80, unknown_block_page()),)),
    Scenario("http-redirect-to-a-block-page", confirmed("http.redirect(.host)"), HTTP,
             (InLine(NAME, Cut.PAGE, 80, redirect(f"http://{addresses.BLOCK_PAGE_NAME}/")),)),
)  # fmt: skip

BEHIND_A_REDIRECT: Final = (
    Scenario("redirect-refused", likely("tcp.refused(.address)"), "https://bit.ly/32447",
             (Refuse(ORIGIN, 80), Refuse(ORIGIN, 443)), ("tcp connection_refused",)),
    Scenario("redirect-reset", _isolated("tls.reset[.sni]", "http.reset[.host]"), "https://bit.ly/32447",
             (ResetText(NAME, 80, ORIGIN), ResetText(NAME)), ("tls connection_reset", "http connection_reset"),
             isolated=True),
    Scenario("redirect-nxdomain", likely("dns.nxdomain(.name)"), "https://bit.ly/21645",
             (InjectedDns(NAME, NXDOMAIN),), ("dns dns_nxdomain_error",)),
    Scenario("redirect-timeout", _isolated("tls.timeout[.sni]", "http.timeout[.host]"), "https://bit.ly/32447",
             (DropText(NAME, 80, ORIGIN), DropText(NAME)), ("tls generic_timeout_error", "http generic_timeout_error"),
             isolated=True),
)  # fmt: skip

OWN_LINE: Final = (
    Scenario("vantage-offline", inconclusive("vantage_offline"), HTTPS, (Offline(),)),
    Scenario("offline-mid-round", inconclusive("vantage_offline"), HTTPS, (Offline(ORIGIN),)),
    Scenario("resolver-down", inconclusive("vantage_dns_broken"), HTTPS, (Drop(addresses.SYSTEM_RESOLVER),
             Silent(addresses.SYSTEM_RESOLVER, 53, "udp"))),
    Scenario("captive-portal", inconclusive("captive_portal"), HTTPS, (Captive(),)),
    Scenario("tls-intercepted", inconclusive("tls_intercepted"), HTTPS, (Intercepted(),)),
    Scenario("ipv6-broken", ACCESSIBLE, HTTPS, (BOTH_FAMILIES, BrokenV6())),
    Scenario("mtu-black-hole", NOT_BLAMED, HTTPS, (MtuHole(),)),
    Scenario("loss-of-5-percent", NOT_BLAMED, HTTPS, (Loss(0.05),), patient=True),
    Scenario("loss-of-20-percent", NOT_BLAMED, HTTPS, (Loss(0.2),), patient=True),
    Scenario("clock-a-day-behind", NOT_BLAMED, HTTPS, (WrongClock("-1d"), Server(fresh=True))),
    Scenario("clock-a-week-ahead", NOT_BLAMED, HTTPS, (WrongClock("+7d"), Server(fresh=True))),
    Scenario("overloaded-server", NOBODY_BLAMED, HTTPS, (Overloaded(0.5),)),
)  # fmt: skip

QUIC_AND_THROUGHPUT: Final = (
    Scenario("quic-reachable", ACCESSIBLE, HTTPS, quic="always"),
    Scenario("quic-timeout", Expected(("accessible",), "likely", ("quic.timeout",)), HTTPS, (DropQuic(ORIGIN),),
             ("quic generic_timeout_error",), quic="always"),
    Scenario("quic-refused", Expected(("accessible",), "likely", ("quic.refused",)), HTTPS, (RefuseQuic(ORIGIN),),
             ("quic connection_refused",), quic="always"),
    Scenario("quic-down", ACCESSIBLE, HTTPS, (Silent(ORIGIN, 443, "udp"),), quic="always"),
    Scenario("quic-dead-on-the-whole-line", ACCESSIBLE, HTTPS, (DropQuic(None),), quic="always"),
    Scenario("tcp-blocked-quic-open", likely("tcp.timeout(.address)"), HTTPS, (Drop(ORIGIN, 443),)),
    Scenario("throttled-endpoint", Expected(("throttled",), "likely", ("throughput.throttled",)),
             "http://largefile.com/", (Slow(addresses.LARGE_FILE, 80),), patient=True),
    Scenario("throttled-by-name", Expected(("throttled",), "confirmed", ("throughput.throttled.sni",)),
             "https://largefile.com/", (Slow(None, 443, "largefile.com"),), patient=True),
    Scenario("congested-line", NOT_BLAMED, "http://largefile.com/", (Congestion(20),), patient=True),
    Scenario("slow-file-for-everybody", NOT_BLAMED, "http://largefile.com/", (SlowServer(addresses.LARGE_FILE),),
             patient=True),
)  # fmt: skip

# What the program cannot measure yet. Move a line up when it can.
WAITING: Final = (
    # Silence of one address towards long packets only: it would take the kernel's count of segments out of order.
    Scenario("mtu-black-hole-on-the-way-there", NOT_BLAMED, HTTPS, (MtuHole(source=ORIGIN),)),
)  # fmt: skip

_WRITTEN: Final = (
    *NOTHING, *FOR_EVERYBODY, *SERVER_AND_CONTROL, *DNS, *TCP_AND_TLS, *CLEARTEXT, *BEHIND_A_REDIRECT, *OWN_LINE,
    *QUIC_AND_THROUGHPUT,
)  # fmt: skip
SCENARIOS: Final = (*_WRITTEN, *(one.without_follow_ups() for one in _WRITTEN if one.isolated))
