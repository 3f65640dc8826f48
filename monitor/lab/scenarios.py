"""What the program must conclude in each situation of the laboratory.

A scenario is arranged on a laboratory without interference, around one site, `PLATFORM`. Its expected verdict is
written as in the project's catalogue of cases: `[.sni]` must be part of a mechanism, `(.name)` may be.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from monitor.lab import places
from monitor.lab.authority import Certificate
from monitor.lab.interference import Cut
from monitor.lab.laboratory import Lab, Line
from monitor.lab.pages import (
    Page,
    always,
    by_place,
    challenge,
    country_refusal,
    legal_refusal,
    policed,
    redirect,
    unknown_block_page,
    with_status,
)
from monitor.lab.resolvers import EMPTY, NXDOMAIN, REFUSED, SERVFAIL, SILENCE, Answer, Manner

PLATFORM: Final = f"platform.{places.DOMAIN}"
SHORTENER: Final = f"short.{places.DOMAIN}"
TITLE: Final = "Welcome to the laboratory platform"
BOGON: Final = Answer(("10.10.34.35",))
IMPOSTOR: Final = Answer((places.IMPOSTOR,))
ANY: Final = "any"


@dataclass(frozen=True)
class Expected:
    """A verdict; more than one status, or `ANY` confidence, where the catalogue leaves a choice."""

    statuses: tuple[str, ...]
    confidence: str | None = None
    mechanisms: tuple[str, ...] = ()
    reason: str | None = None

    def differences(self, verdict: Mapping[str, object]) -> list[str]:
        """Compare with a verdict in its JSON form; empty if it is as expected."""
        found = []
        if verdict["status"] not in self.statuses:
            found.append(f"status {verdict['status']}, not {' or '.join(self.statuses)}")
        for key, wanted in (("confidence", self.confidence), ("reason", self.reason)):
            if wanted != ANY and verdict.get(key) != wanted and len(self.statuses) == 1:
                found.append(f"{key} {verdict.get(key)}, not {wanted}")
        seen = verdict.get("mechanisms") or ()
        if not isinstance(seen, Sequence) or not _fit(self.mechanisms, [str(each) for each in seen]):
            found.append(f"mechanisms {seen}, not {list(self.mechanisms)}")
        return found


def _fit(wanted: Sequence[str], seen: Sequence[str]) -> bool:
    patterns = [re.sub(r"\\\((.*?)\\\)", r"(\1)?", re.sub(r"\\\[(.*?)\\\]", r"\1", re.escape(each))) for each in wanted]
    return len(patterns) == len(seen) and all(map(re.fullmatch, patterns, seen))


ACCESSIBLE: Final = Expected(("accessible",))
DOWN: Final = Expected(("down",))
THROTTLED: Final = Expected(("throttled",), "likely", ("throughput.throttled",))
NOBODY_BLAMED: Final = Expected(("accessible", "down", "inconclusive"))


def confirmed(*mechanisms: str) -> Expected:
    """Expect `blocked`, confirmed."""
    return Expected(("blocked",), "confirmed", mechanisms)


def likely(*mechanisms: str) -> Expected:
    """Expect `blocked`, likely."""
    return Expected(("blocked",), "likely", mechanisms)


def inconclusive(reason: str) -> Expected:
    """Expect `inconclusive` for this reason."""
    return Expected(("inconclusive",), reason=reason)


def _nothing(_: Lab) -> None:
    pass


@dataclass(frozen=True)
class Scenario:
    """One situation. `expect` is the target's expectation as probes.yaml writes it."""

    name: str
    expected: Expected
    arrange: Callable[[Lab], None] = _nothing
    control: bool = True
    scheme: str = "https"
    path: str = "/"
    expect: Mapping[str, object] | str | int = field(default_factory=dict)
    url: Callable[[Lab], str] | None = None  # in place of PLATFORM's

    def prepare(self, lab: Lab) -> dict[str, object]:
        """Bring the laboratory into this situation; returns the target as probes.yaml writes it."""
        lab.lift()
        lab.site(PLATFORM)
        self.arrange(lab)
        url = self.url(lab) if self.url else lab.url(PLATFORM, self.path, self.scheme)
        return {"url": url, "expect": self.expect} if self.expect else {"url": url}


def _censored(cut: Cut) -> Callable[[Lab], None]:
    return lambda lab: lab.censor(PLATFORM, cut)


def _lied(answer: Answer) -> Callable[[Lab], None]:
    return lambda lab: lab.lie(PLATFORM, answer)


def _broken(*, cut: Cut | None = None, certificate: Certificate = Certificate.GOOD) -> Callable[[Lab], None]:
    def arrange(lab: Lab) -> None:
        lab.site(PLATFORM, cut=cut, certificate=certificate)

    return arrange


def _differs(status: int) -> Callable[[Lab], None]:
    return lambda lab: _show(lab, with_status(status))


def _show(lab: Lab, page: Page) -> None:
    lab.site(PLATFORM, by_place(page))


def _slow_for_everybody(lab: Lab) -> None:
    lab.site(PLATFORM, always(policed()))


def _line(state: Line) -> Callable[[Lab], None]:
    return lambda lab: lab.line(state)


def _gone(lab: Lab) -> str:
    return lab.url(f"gone.{places.DOMAIN}")


def _closed(lab: Lab) -> str:
    return f"https://{PLATFORM}:{lab.closed_port}/"


def _shortened(lab: Lab) -> str:
    lab.site(SHORTENER, always(redirect(lab.url(PLATFORM), 308)))
    return lab.url(SHORTENER)


SCENARIOS: Final = (
    # Nothing interferes.
    Scenario("clean-https", ACCESSIBLE),
    Scenario("clean-https-without-control", ACCESSIBLE, control=False),
    Scenario("clean-http", ACCESSIBLE, scheme="http"),
    Scenario("clean-http-without-control", inconclusive("no_control"), scheme="http", control=False),
    Scenario("titled-http-without-control", ACCESSIBLE, scheme="http", control=False, expect={"title": TITLE}),
    Scenario("tls-only", ACCESSIBLE, expect="tls"),
    Scenario("tls-only-without-control", ACCESSIBLE, expect="tls", control=False),
    Scenario("declared-status", ACCESSIBLE, path="/status/401", expect=401),
    Scenario("five-redirects", ACCESSIBLE, path="/redirect/5"),
    Scenario("through-a-shortener", ACCESSIBLE, url=_shortened),
    Scenario("large-body", ACCESSIBLE, path="/large"),
    Scenario("truncated-dns", ACCESSIBLE, lambda lab: lab.lie(PLATFORM, _true(lab, Manner.TRUNCATED))),
    Scenario("foreign-dns-reply-first", ACCESSIBLE, lambda lab: lab.lie(PLATFORM, _true(lab, Manner.WRONG_ID_FIRST))),
    # A server that behaves badly costs bounded time and memory, and blames nobody.
    Scenario("gzip-bomb", ACCESSIBLE, path="/gzip-bomb"),
    Scenario("endless-chunks", ACCESSIBLE, path="/endless"),
    Scenario("drip", NOBODY_BLAMED, path="/drip"),
    Scenario("header-flood", NOBODY_BLAMED, path="/many-headers"),
    # Broken for everybody.
    Scenario("expired-certificate", DOWN, _broken(certificate=Certificate.EXPIRED)),
    Scenario("wrong-name-certificate", DOWN, _broken(certificate=Certificate.WRONG_NAME)),
    Scenario("unknown-authority", DOWN, _broken(certificate=Certificate.UNKNOWN_AUTHORITY)),
    Scenario("name-gone", DOWN, url=_gone),
    Scenario("name-gone-without-control", inconclusive("no_control"), url=_gone, control=False),
    Scenario(
        "bogon-everywhere",
        DOWN,
        lambda lab: lab.publish(f"bogus.{places.DOMAIN}", BOGON),
        url=lambda lab: lab.url(f"bogus.{places.DOMAIN}"),
    ),
    Scenario("port-closed", DOWN, url=_closed),
    Scenario("port-closed-without-control", inconclusive("no_control"), url=_closed, control=False),
    Scenario("dead-address", DOWN, _broken(cut=Cut.DROP)),
    Scenario("tls-reset-by-the-server", DOWN, _broken(cut=Cut.RESET)),
    Scenario(
        "tls-reset-by-the-server-without-control", inconclusive("no_control"), _broken(cut=Cut.RESET), control=False
    ),
    Scenario("redirects-without-end", DOWN, path="/redirect/15"),
    Scenario("redirect-loop", DOWN, path="/loop"),
    Scenario("server-error", DOWN, path="/status/500"),
    # The server looks at who asks.
    Scenario("withheld-by-law", Expected(("withheld",), "confirmed"), lambda lab: _show(lab, legal_refusal())),
    Scenario("withheld-from-the-country", Expected(("withheld",), "likely"), lambda lab: _show(lab, country_refusal())),
    Scenario("challenge-503", inconclusive("challenge"), lambda lab: _show(lab, challenge(503))),
    Scenario("challenge-403", inconclusive("challenge"), lambda lab: _show(lab, challenge(403))),
    Scenario("too-many-requests", inconclusive("challenge"), _differs(429)),
    Scenario("not-found-here", inconclusive("server_differs"), _differs(404)),
    # DNS.
    Scenario("dns-nxdomain", likely("dns.nxdomain(.name)"), _lied(NXDOMAIN)),
    Scenario("dns-nxdomain-without-control", likely("dns.nxdomain(.name)"), _lied(NXDOMAIN), control=False),
    Scenario("dns-no-answer", likely("dns.no_answer(.name)"), _lied(EMPTY)),
    Scenario("dns-refused", likely("dns.refused(.name)"), _lied(REFUSED)),
    Scenario("dns-servfail", likely("dns.servfail(.name)"), _lied(SERVFAIL)),
    Scenario("dns-servfail-without-control", likely("dns.servfail(.name)"), _lied(SERVFAIL), control=False),
    Scenario("dns-timeout", likely("dns.timeout(.name)"), _lied(SILENCE)),
    Scenario("dns-bogon", confirmed("dns.bogon(.name)"), _lied(BOGON)),
    Scenario("dns-bogon-without-control", confirmed("dns.bogon(.name)"), _lied(BOGON), control=False),
    Scenario("dns-impostor", confirmed("dns.wrong_address(.name)"), _lied(IMPOSTOR)),
    Scenario("dns-impostor-without-control", confirmed("dns.wrong_address(.name)"), _lied(IMPOSTOR), control=False),
    Scenario(
        "dns-injected-impostor",
        confirmed("dns.wrong_address(.name)"),
        lambda lab: lab.inject(PLATFORM, Answer(IMPOSTOR.addresses, manner=Manner.BEFORE_GENUINE)),
    ),
    Scenario(
        "dns-blockpage-address",
        confirmed("dns.blockpage_address(.name)"),
        _lied(Answer((places.BLOCK_PAGE_HOST,))),
        scheme="http",
    ),
    # TCP.
    Scenario("tcp-timeout", likely("tcp.timeout(.address)"), _censored(Cut.DROP)),
    Scenario("tcp-timeout-without-control", inconclusive("no_control"), _censored(Cut.DROP), control=False),
    # TLS.
    Scenario("tls-reset", confirmed("tls.reset[.sni]"), _censored(Cut.RESET)),
    Scenario("tls-reset-without-control", confirmed("tls.reset[.sni]"), _censored(Cut.RESET), control=False),
    Scenario("tls-reset-of-a-tls-only-target", confirmed("tls.reset[.sni]"), _censored(Cut.RESET), expect="tls"),
    Scenario("tls-eof", confirmed("tls.eof[.sni]"), _censored(Cut.FIN)),
    Scenario("tls-timeout", confirmed("tls.timeout[.sni]"), _censored(Cut.SILENCE)),
    Scenario("tls-alert", confirmed("tls.alert[.sni]"), _censored(Cut.ALERT)),
    Scenario("tls-substituted", confirmed("tls.certificate_substituted(.sni)"), _censored(Cut.SUBSTITUTE)),
    Scenario("tls-reset-behind-a-redirect", confirmed("tls.reset[.sni]"), _censored(Cut.RESET), url=_shortened),
    Scenario("dns-nxdomain-behind-a-redirect", likely("dns.nxdomain(.name)"), _lied(NXDOMAIN), url=_shortened),
    # HTTP in cleartext.
    Scenario("http-reset", confirmed("http.reset[.host]"), _censored(Cut.RESET), scheme="http"),
    Scenario("http-eof", confirmed("http.eof[.host]"), _censored(Cut.FIN), scheme="http"),
    Scenario("http-timeout", confirmed("http.timeout[.host]"), _censored(Cut.SILENCE), scheme="http"),
    Scenario("http-blockpage", confirmed("http.blockpage(.host)"), _censored(Cut.PAGE), scheme="http"),
    Scenario(
        "http-blockpage-without-control",
        confirmed("http.blockpage(.host)"),
        _censored(Cut.PAGE),
        scheme="http",
        control=False,
    ),
    Scenario(
        "http-unknown-blockpage",
        likely("http.modified(.host)"),
        lambda lab: lab.censor(PLATFORM, Cut.PAGE, unknown_block_page()),
        scheme="http",
    ),
    # Throttling: the server itself looks at who asks, which the client cannot tell from a policer on the way.
    Scenario("throttled-http", THROTTLED, lambda lab: _show(lab, policed()), scheme="http", path="/large"),
    Scenario("throttled-https", THROTTLED, lambda lab: _show(lab, policed()), path="/large"),
    Scenario("slow-for-everybody", NOBODY_BLAMED, _slow_for_everybody, path="/large"),
    # The vantage's own line.
    Scenario("vantage-offline", inconclusive("vantage_offline"), _line(Line.OFFLINE)),
    Scenario("captive-portal", inconclusive("captive_portal"), _line(Line.CAPTIVE)),
    Scenario("tls-intercepted", inconclusive("tls_intercepted"), _line(Line.INTERCEPTED)),
)


def _true(lab: Lab, manner: Manner) -> Answer:
    return Answer((lab.address(PLATFORM),), manner=manner)
