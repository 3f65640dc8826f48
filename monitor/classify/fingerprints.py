"""Known block pages, and pages that look like one and are none.

Sources: docs/verdicts.md, "Block pages". OONI blocking-fingerprints and Censored Planet published the Pakistani
signatures; the vetoes are error pages of servers, caches and anti-bot services. Every signature is a plain fact of a
page seen; more can be handed in at run time.
"""

import re
from collections.abc import Iterable
from typing import Final

import msgspec

_MAX_PATTERN_CHARS: Final = 2000
CONFIRMING_SCOPES: Final = frozenset({"nat", "isp"})


class Fingerprint(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One signature, in the columns of OONI's list.

    `location` is body, dns (an address) or header.NAME; `type` is full, prefix, contains or regexp (dot matches
    newline). `scope`: nat, isp, prod, inst, vbw (vague wording, never confirms) or fp (a false positive: it vetoes).
    """

    id: str
    location: str
    type: str
    pattern: str
    scope: str
    countries: tuple[str, ...] = ()  # expected ones, ISO 3166-1 alpha-2

    def matches(self, text: str) -> bool:
        """Tell whether `text`, taken from this fingerprint's location, shows it; a broken pattern never does."""
        match self.type:
            case "full":
                return text == self.pattern
            case "prefix":
                return text.startswith(self.pattern)
            case "contains":
                return self.pattern in text
            case "regexp" if len(self.pattern) <= _MAX_PATTERN_CHARS:
                try:
                    return re.search(self.pattern, text, re.DOTALL) is not None
                except (re.error, OverflowError, RecursionError):
                    return False
            case _:
                return False

    def confirms(self, country: str | None) -> bool:
        """Tell whether a hit settles it in `country`; otherwise it only spoils "same page as at the control"."""
        return self.scope in CONFIRMING_SCOPES or (self.scope not in {"vbw", "fp"} and country in self.countries)


def _body(identifier: str, pattern: str, scope: str, *countries: str) -> Fingerprint:
    return Fingerprint(
        id=identifier, location="body", type="contains", pattern=pattern, scope=scope, countries=countries
    )


def _veto(identifier: str, pattern: str) -> Fingerprint:
    return _body(identifier, pattern, "fp")


FINGERPRINTS: Final = (
    # Vetoes: tried first.
    _veto("fp.cloudflare_challenge", "/cdn-cgi/challenge-platform/"),
    _veto("fp.cloudflare_moment", "<title>Just a moment...</title>"),
    _veto("fp.cloudflare_browser", "Checking your browser before accessing"),
    _veto("fp.cloudflare_ray", "Ray ID:"),
    _veto("fp.akamai", "errors.edgesuite.net"),
    _veto("fp.incapsula", "Incapsula incident ID"),
    _veto("fp.f5_reject", "The requested URL was rejected. Please consult with your administrator"),
    _veto("fp.s3_denied", "<Error><Code>AccessDenied</Code>"),
    _veto("fp.varnish", "Guru Meditation:"),
    _veto("fp.parking", "sedoparking.com/frmpark/"),
    # Pakistan.
    Fingerprint(id="ooni.pk_3", location="dns", type="full", pattern="203.82.48.83", scope="isp", countries=("PK",)),
    Fingerprint(id="ooni.pk_4", location="dns", type="full", pattern="203.82.48.86", scope="isp", countries=("PK",)),
    Fingerprint(
        id="ooni.es_1",
        location="header.server",
        type="full",
        pattern="V2R2C00-IAE/1.0",
        scope="inst",
        countries=("ES", "IT", "MX", "PK"),
    ),
    _body("ooni.pk_1", "http://119.73.65.87:8080/redirect.html?accessurl=", "isp", "PK"),
    _body(
        "ooni.pk_2",
        "As per your subscription of Nayatel Safeweb service, the website you are trying to access is blocked for your"
        " viewing",
        "isp",
        "PK",
    ),
    _body("cp.b_nat_pak_isp_common_blockpage", "prohibited for viewership from within Pakistan", "nat"),
    _body("cp.c_isp_pk_witribe", "redirect.wi-tribe.net.pk/alert/", "isp"),
    _body("cp.c_isp_pk_wateen_body", "http://restrict.wateen.net/", "isp"),
    Fingerprint(
        id="cp.c_isp_pk_wateen_location",
        location="header.location",
        type="prefix",
        pattern="http://restrict.wateen.net/",
        scope="isp",
    ),
    _body("cp.c_isp_pk_wateen_2", "restrictk.wateen.net", "isp"),
)


def first_hit(fingerprints: Iterable[Fingerprint], texts: dict[str, str]) -> Fingerprint | None:
    """Return the first fingerprint that one of `texts` (by location) shows; None as well if a veto shows."""
    rows = [row for row in fingerprints if (text := texts.get(row.location)) is not None and row.matches(text)]
    return None if not rows or any(row.scope == "fp" for row in rows) else rows[0]
