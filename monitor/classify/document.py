"""The published account of verdicts, drawn from the rows that decide: docs/verdicts.md."""

from collections.abc import Iterable
from typing import Final

from monitor.classify.content import MODIFIED_SIGNALS, SAME_LENGTH_RATIO, TITLE_WORD_CHARS
from monitor.classify.mechanisms import TRIGGERS, WORDS
from monitor.classify.rules import RULES, RULES_VERSION, Rule
from monitor.model.fingerprint import CONFIRMING_SCOPES, Fingerprint
from monitor.model.verdict import Status

_OPENING: Final = """# Verdicts

This page is drawn from the rules themselves (`monitor/classify/`); edit them, then run
`python -m tests.classify.regenerate`. Rules version {version}.

A verdict says what an ordinary client at the vantage gets: addresses from its own resolver, a connection, the target's
URL as written. Side ways (another resolver, another address) explain it and never replace it. The classifier is a pure
function of stored facts: the measurement, the controls of the round, the vantage's sanity checks, and a recent deep run
that showed the same symptom. Every verdict names the rule that drew it and the version of the rules, so history can be
judged again.

## Rules

First match wins. The last row always matches: no evidence is neither `accessible` nor a weak `blocked`.

| # | id | fires when | status | confidence |
|---|---|---|---|---|
"""

_REST: Final = """
Confidence speaks about interference or refusal. An `accessible` verdict without findings has none; with findings it is
`confirmed` if a follow-up or an artefact settles the finding, else `likely`. Throttling is not judged yet: no rule here
gives `throttled`.

## Without a control vantage

A verified TLS handshake needs no control: the certificate proves who answered. Block pages, bogons that encrypted DNS
does not give, names that pass or fail by name alone, and a resolver that withholds a name whose address proves itself,
settle the matter from the deep run alone. What remains open is an address that does not answer: without a control
**an address block cannot be told from an outage**, and the verdict is `inconclusive` (`no_control`).

## Trust

Trust is per address. *Trusted*: a control's DNS answer holds it, or a handshake with the target's name verified on it
this round, here or at a control. *Suspect*: a reference (the controls' answers; without them those of encrypted DNS)
lacks it, its AS (where known) is none of the reference's, and nothing verified on it. What a suspect address does,
refuse, reset, show a page or a certificate, is evidence about DNS and never a second mechanism.

On a path that works, `dns.wrong_address` is a finding only if the address and its AS are unknown to the reference *and*
somebody was seen to answer on the path: two replies to one query contradict each other, or one operator answers
differently over UDP and over encrypted DNS. A node of a content network inside the provider fails the second test.

IPv6 that works nowhere from this vantage is masked, an unreachable IPv4 address counts only while the line is known to
work, and errors of the vantage's own system are never evidence.

## Mechanisms

`layer.outcome[.trigger]`, in the order dns, tcp, tls, http, quic, throughput. A failure without a row here gets no
label and no verdict `blocked`.

| label | in words |
|---|---|
"""

_CLOSING: Final = """
## Deep runs

A routine run is followed at once by a deep run if it showed anything that the target's expectation, the control and
the recent past do not lead us to expect, an address that the control never saw included. A deep run younger than an
hour that showed the same symptom stands for it, unless trying again had helped. Its stages: the failed step again,
other resolvers, a harmless name at the same resolver; then addresses not tried yet, a harmless name at the same
address, the target's name at an unrelated address, another port; then the target's name once more. An address that the
system resolver gave too and that works counts as the system path: a browser tries it next.

## Comparing pages

Only cleartext pages are compared with a control's; over TLS the server itself vouches for the page. Length is the same
above a ratio of {length_ratio} (of the announced lengths where a body was cut), headers if they share a name outside
the everyday ones, titles if they have the same words of {title_chars} bytes and more. Status class and digest, or two
of the three: the same page. Status equal and all that can be compared different, at least {modified}: `http.modified`.
Anything between is `inconclusive` (`content_unclear`). The target's own declared title, text or final host comes before
all this.

## Block pages

A signature confirms if its scope is {scopes}, or if the vantage's country is among those where it is expected. A veto
(scope `fp`) that matches too wins; `vbw` (vague wording) never confirms; nothing counts over TLS, and nothing that the
control is served as well. Ids of `ooni` and `cp` are those of OONI's blocking-fingerprints and of Censored Planet; the
vetoes are error pages of servers, caches and anti-bot services.

| id | place | scope | countries |
|---|---|---|---|
{fingerprints}

## Vantage sanity

Before a round, and after one that was not clean, the vantage must be `online`: k of n checks by different operators
(names, anchors, portals,
certificates). Otherwise every verdict of the round is `inconclusive` with the state as its reason, and nothing changes.

## When a change counts

One round never changes a state. A round is kept if its status is `accessible`, `blocked`, `throttled` or `withheld`, or
if it is `inconclusive` for `challenge` or `server_differs` over verified TLS (kept as accessible: the network let it
through). Kept rounds feed a Bernoulli CUSUM (p0 0.05, p1 0.60, h 9): four failing rounds in a row, or two `confirmed`
ones, or eleven accessible ones on the way back, make a transition. A series is unknown until three accessible rounds or
a first crossing; after a silence of a day the score halves every two days, and after ten days the state is unknown.
How soon that is, when a change is said to have happened and how often it is wrong: [detection.md](detection.md).
"""


def markdown(fingerprints: Iterable[Fingerprint]) -> str:
    """Return the whole page; `fingerprints` are those that come with the program."""
    rows = "\n".join(_row(number, rule) for number, rule in enumerate(RULES, 1))
    labels = "\n".join(f"| `{label}` | {words} |" for label, words in WORDS.items())
    triggers = "\n".join(f"| `.{trigger}` | {words.strip(', ')} |" for trigger, words in TRIGGERS.items())
    signatures = "\n".join(
        f"| `{row.id}` | {row.location} | {row.scope} | {' '.join(row.countries) or 'any'} |" for row in fingerprints
    )
    closing = _CLOSING.format(
        length_ratio=SAME_LENGTH_RATIO,
        title_chars=TITLE_WORD_CHARS,
        modified=MODIFIED_SIGNALS,
        scopes=" or ".join(f"`{scope}`" for scope in sorted(CONFIRMING_SCOPES)),
        fingerprints=signatures,
    )
    heading = "A trigger is added only when a follow-up showed it:\n\n| trigger | in words |\n|---|---|"
    return f"{_OPENING.format(version=RULES_VERSION)}{rows}\n{_REST}{labels}\n\n{heading}\n{triggers}\n{closing}"


def _row(number: int, rule: Rule) -> str:
    status = rule.status.value
    if rule.status is Status.ACCESSIBLE:
        confidence = "of the findings"
    elif callable(rule.confidence):
        confidence = "confirmed or likely"
    else:
        confidence = rule.confidence.value if rule.confidence else "none"
    return f"| {number} | `{rule.id}` | {rule.needs} | `{status}` | {confidence} |"
