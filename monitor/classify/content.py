"""What responses say: comparison with the control, challenges, refusals, block pages (measurement.md section 7).

Every threshold of the classifier stands here.
"""

import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Final
from urllib.parse import urlsplit

from monitor.classify.fingerprints import Rows, shown
from monitor.classify.refusals import REFUSALS
from monitor.model.observation import HttpObservation
from monitor.model.target import Expectation

# Source of the first three: OONI web_connectivity, httpdiff.
SAME_LENGTH_RATIO: Final = 0.7
TITLE_WORD_CHARS: Final = 5
EVERYDAY_HEADERS: Final = frozenset(
    (
        "accept-ranges", "age", "cache-control", "cf-ray", "connection", "content-encoding", "content-language",
        "content-length", "content-type", "date", "etag", "expires", "last-modified", "link", "location", "p3p",
        "pragma", "server", "set-cookie", "strict-transport-security", "vary", "via", "x-content-type-options",
        "x-frame-options", "x-powered-by", "x-varnish", "x-xss-protection",
    )
)  # fmt: skip
# One differing signal can be a dynamic page; two cannot be chance.
MODIFIED_SIGNALS: Final = 2

CHALLENGE_STATUSES: Final = frozenset({403, 429, 503})
_CHALLENGE_TITLES: Final = ("just a moment...", "attention required!", "are you a robot", "robot or human", "captcha")
# What the pages of anti-bot services load: Cloudflare, hCaptcha, reCAPTCHA, DataDome, PerimeterX, Akamai.
_CHALLENGE_TEXTS: Final = (
    "/cdn-cgi/challenge-platform/", "challenges.cloudflare.com/turnstile/", "hcaptcha.com/1/api.js",
    "/recaptcha/api.js", "/recaptcha/enterprise.js", "captcha-delivery.com/", "px-captcha", "/_sec/cp_challenge/",
)  # fmt: skip
# Paths to which sites send whoever is not signed in.
_LOGIN: Final = re.compile(
    r"/(?:[^/?#]+/){0,3}(?:log-?in|sign-?in|accounts/login|i/flow/login|checkpoint)\b", re.IGNORECASE
)


class Comparison(StrEnum):
    """How a response compares with a control's of the same URL."""

    SAME = "same"
    MODIFIED = "modified"
    UNCLEAR = "unclear"


def meets(response: HttpObservation, expectation: Expectation, host: str) -> bool:
    """Tell whether a response that came from `host` shows all that the target declares."""
    status = response.status_code
    return (
        response.failure is None
        and status is not None
        and expectation.allows(status)
        and (expectation.title is None or expectation.title.casefold() in (response.title or "").casefold())
        and (expectation.text is None or response.text_found is True)
        and (expectation.final_host is None or expectation.final_host.casefold().rstrip(".") == host)
    )


def compare(here: HttpObservation, there: HttpObservation, *, suspicious: bool) -> Comparison:
    """Compare a response with a control's; `suspicious` asks for two signals where one would do."""
    if here.status_code is None or there.status_code is None:
        return Comparison.UNCLEAR
    signals = [one for one in (_same_length(here, there), _same_headers(here, there), _same_title(here, there))
               if one is not None]  # fmt: skip
    like = signals.count(True)
    if here.status_code // 100 == there.status_code // 100:
        digest = here.body_digest is not None and here.body_digest == there.body_digest
        if digest or like >= 2 or (like == 1 and len(signals) == 1 and not suspicious):
            return Comparison.SAME
    if here.status_code == there.status_code and not like and len(signals) >= MODIFIED_SIGNALS:
        return Comparison.MODIFIED
    return Comparison.UNCLEAR


def is_challenge(response: HttpObservation, bodies: Mapping[str, bytes]) -> bool:
    """Tell whether the server asks to prove that we are no robot, or to sign in.

    429 always does, whatever its page says. A 200 does if its title or its address says so: pages that work load the
    same scripts for their forms.
    """
    if response.status_code == 200:
        title = (response.title or "").casefold()
        return any(mark in title for mark in _CHALLENGE_TITLES) or _LOGIN.search(_path_of(response.url)) is not None
    if response.status_code not in CHALLENGE_STATUSES:
        return False
    title = (response.title or "").casefold()
    return (
        response.status_code == 429
        or any(name == "cf-mitigated" for name, _ in response.headers)
        or any(mark in title for mark in _CHALLENGE_TITLES)
        or any(mark in _body(response, bodies) for mark in _CHALLENGE_TEXTS)
    )


def refuses_place(response: HttpObservation, bodies: Mapping[str, bytes]) -> bool:
    """Tell whether the server says that it does not serve this place: 451 (RFC 7725), or 403 with words to that end."""
    if response.status_code == 451:
        return True
    if response.status_code != 403:
        return False
    said = " ".join(f"{response.title or ''}\n{_body(response, bodies)}".casefold().replace("\u2019", "'").split())
    return any(words.search(said) for words in REFUSALS)


def _path_of(url: str) -> str:
    """Return the path of a URL, empty if it is none."""
    try:
        return urlsplit(url).path
    except ValueError:
        return ""


def block_page(response: HttpObservation, bodies: Mapping[str, bytes], fingerprints: Rows) -> tuple[Rows, Rows]:
    """Return the signatures shown in (body or headers, Location) of a cleartext response, vetoes among them.

    Over TLS the page is the server's own and may quote a notice, so nothing counts there.
    """
    if response.is_tls:
        return (), ()
    texts = {f"header.{name}": _bytes(value) for name, value in response.headers}
    page = shown(fingerprints, {**texts, "body": _body_bytes(response, bodies)})
    way = shown(fingerprints, {"header.location": _bytes(response.location)}) if response.location else ()
    return page, way


def same_body(here: HttpObservation, there: HttpObservation) -> bool:
    """Tell whether two responses carried the same body, known by their digests; a control's body is not at hand."""
    return here.body_digest is not None and here.body_digest == there.body_digest


def _body(response: HttpObservation, bodies: Mapping[str, bytes]) -> str:
    return _body_bytes(response, bodies).decode("utf-8", "replace")


def _body_bytes(response: HttpObservation, bodies: Mapping[str, bytes]) -> bytes:
    content = next((bodies[digest] for digest in response.evidence if digest in bodies), b"")
    return content.partition(b"\r\n\r\n")[2]


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "replace")


def _same_length(here: HttpObservation, there: HttpObservation) -> bool | None:
    is_cut = here.body_is_truncated or there.body_is_truncated
    low, high = sorted(_announced_length(one) if is_cut else one.body_bytes for one in (here, there))
    return low / high > SAME_LENGTH_RATIO if low > 0 else None


def _announced_length(response: HttpObservation) -> int:
    value = next((value for name, value in response.headers if name == "content-length"), "")
    return int(value) if value.isascii() and value.isdigit() and len(value) <= 15 else 0


def _same_headers(here: HttpObservation, there: HttpObservation) -> bool | None:
    uncommon = set(there.header_names) - EVERYDAY_HEADERS
    return not uncommon.isdisjoint(here.header_names) if uncommon else None


def _same_title(here: HttpObservation, there: HttpObservation) -> bool | None:
    mine, theirs = _title_words(here), _title_words(there)
    return mine == theirs if mine and theirs else None


def _title_words(response: HttpObservation) -> set[str]:
    return {word for word in (response.title or "").casefold().split() if len(word.encode()) >= TITLE_WORD_CHARS}
