"""The published account of verdicts, drawn from the rows that decide: docs/verdicts.md."""

from collections.abc import Iterable, Mapping
from typing import Final

from monitor.classify.content import MODIFIED_SIGNALS, SAME_LENGTH_RATIO, TITLE_WORD_CHARS
from monitor.classify.mechanisms import TRIGGERS, WORDS
from monitor.classify.rules import RULES, RULES_VERSION, Rule
from monitor.classify.throttling import EXTREME_RATIO, NEEDED, REPEATS
from monitor.model.fingerprint import CONFIRMING_SCOPES, Fingerprint
from monitor.model.measurement import Limits
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

`Exercised by` names recorded cases in `tests/classify/cases/`, and one that comes near without reaching the rule.

| # | id | fires when | status | confidence | exercised by |
|---|---|---|---|---|---|
"""

_REST: Final = """
Confidence speaks about interference or refusal. An `accessible` verdict without findings has none; with findings it is
`confirmed` if a follow-up or an artefact settles the finding, else `likely`.

A verdict names the observations that it rests on by their positions: in the measurement itself (`observations`) and in
the earlier deep run that stands for it (`isolation_observations`).

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

A proxy that is asked by name (`resolve: remote`) shows neither the lookup nor the address. If it does not connect, the
name, the address or the proxy may be why: that has no label, no layer, and alone no verdict but `down`, where a control
can neither look the name up nor connect. Once connected, what happens counts if the target's name is shown to set it
off, or a certificate proved whose the place is; a connection alone, or another page in cleartext, proves nothing.

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
hour that showed the same symptom of the same host stands for it, unless trying again had helped, what fails now worked
in it, or the target was reached in between. Its stages: the failed step again, other resolvers, a harmless name at the
same resolver; then addresses not tried yet, a harmless name and no name at the same address, the target's name at an
unrelated address, another port, HTTP/3; then the target's name once more, and in small packets where it is never
answered. An address that the system resolver gave too and that works counts as the system path: a browser tries it
next.

*Long packets.* Where a link on the way carries less than it says, and the message that says so is lost, connections
open and long answers never come. A short error for a harmless name comes, so this looks like a filter of names. The
step is therefore tried over a connection that asks the server for small packets; a filter does not care about their
length. Two such looks that pass make the round `inconclusive` (`long_packets_lost`).

Routine run, deep run, their controls and the wait for a free slot end within 60 s. A series is isolated anew at most
six times an hour; beyond that what failed is only tried again. While deep runs are on, `differs` wants a failure that
happened again when tried again.

*Residual blocking.* After a hit some boxes punish the pair of addresses for minutes, so that a harmless name failing
right after it proves nothing. Then one more deep run follows three minutes later, from new source ports and with the
harmless name first. If that passes and the target's name fails right after, twice, the name is the trigger. This run is
a measurement of its own that stands for the rounds after it; it does not count for a change by itself.

## HTTP/3

Browsers fall back from QUIC to TCP without a word, so QUIC alone never makes a target `blocked`. It is tried in deep
runs, where TCP or TLS failed or the server offers it (`quic: always`: in every run). Where it works although TCP does
not, `because` says so and the status stays. A dead one is a finding, `quic.timeout` or `quic.refused`, only if it
failed twice, the control reaches the target over QUIC and this vantage reaches another operator over QUIC. Beside it a
question for the versions spoken there (a packet of a version that no server speaks) is stored: an answer shows that UDP
passes, so that what is filtered is the handshake.

## Throttling

Only with `throughput.enabled`. A response that our deadline cut while bytes still came, or that took ten times as long
as usual or as at the control (and half a second at least), is followed by transfers: the target, then an innocuous file
over the same line, up to five times, one after the other; over TLS once the target again under a harmless name. A
transfer ends after {transfer_kib} KiB, after 10 s, or after 5 s once 64 KiB came. No speed by itself
counts: the target must be {ratio:g} times slower than the innocuous file and than the control, in {needed} of {repeats}
transfers, and slower than distance explains: three times the course in which TCP doubles what it sends in each round
trip. Bodies under 16 KiB are compared by how long handshake and first byte take, in seconds and in round trips, five
times of five. The rate's coefficient of variation is stored: a policer holds a rate steady, congestion scatters.
`confirmed` takes the same server being quick under the harmless name between two slow transfers. Where the innocuous
file is as slow and the page was cut, the line is to blame: `inconclusive` (`vantage_degraded`).

## Refusals and walls

Over verified TLS only; in cleartext a 451 may come from anyone. 451, or 403 with a sentence that refuses the visitor's
country (English, Urdu, Russian, Arabic, Turkish, Spanish, French, German, Persian), is `withheld`. 429, and 403 or 503
with the marks of an anti-bot service (Cloudflare, Turnstile, hCaptcha, reCAPTCHA, DataDome, PerimeterX, Akamai), is
`inconclusive` (`challenge`), and so is a page that is not the declared one and asks to sign in or to prove that a
person is there.

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
A line is `degraded` if no certificate of its checks came good although something answers, or if half of the connections
that open take three times as long as usual and 0.9 s longer: usual is the median of its last 100 checks on that
network, ten at least since the daemon started.

## When a change counts

One round never changes a state. A round is kept if its status is `accessible`, `blocked`, `throttled` or `withheld`, or
if it is `inconclusive` for `challenge` or `server_differs` over verified TLS (kept as accessible: the network let it
through). Kept rounds feed a Bernoulli CUSUM (p0 0.05, p1 0.60, h 9): four failing rounds in a row, or two `confirmed`
ones, or eleven accessible ones on the way back, make a transition. A series is unknown until three accessible rounds or
a first crossing; after a silence of a day the score halves every two days, and after ten days the state is unknown.
How soon that is, when a change is said to have happened and how often it is wrong: [detection.md](detection.md).
"""


def markdown(fingerprints: Iterable[Fingerprint], exercised: Mapping[str, str]) -> str:
    """Return the whole page; `fingerprints` are those that come with the program.

    `exercised` says by rule id which recorded cases reach it.
    """
    rows = "\n".join(_row(number, rule, exercised[rule.id]) for number, rule in enumerate(RULES, 1))
    labels = "\n".join(f"| `{label}` | {words} |" for label, words in WORDS.items())
    triggers = "\n".join(f"| `.{trigger}` | {words.strip(', ')} |" for trigger, words in TRIGGERS.items())
    signatures = "\n".join(
        f"| `{row.id}` | {row.location} | {row.scope} | {' '.join(row.countries) or 'any'} |" for row in fingerprints
    )
    closing = _CLOSING.format(
        transfer_kib=Limits().transfer_bytes // 1024,
        ratio=EXTREME_RATIO,
        needed=NEEDED,
        repeats=REPEATS,
        length_ratio=SAME_LENGTH_RATIO,
        title_chars=TITLE_WORD_CHARS,
        modified=MODIFIED_SIGNALS,
        scopes=" or ".join(f"`{scope}`" for scope in sorted(CONFIRMING_SCOPES)),
        fingerprints=signatures,
    )
    heading = "A trigger is added only when a follow-up showed it:\n\n| trigger | in words |\n|---|---|"
    return f"{_OPENING.format(version=RULES_VERSION)}{rows}\n{_REST}{labels}\n\n{heading}\n{triggers}\n{closing}"


def _row(number: int, rule: Rule, exercised: str) -> str:
    status = rule.status.value
    if rule.status is Status.ACCESSIBLE:
        confidence = "of the findings"
    elif callable(rule.confidence):
        confidence = "confirmed or likely"
    else:
        confidence = rule.confidence.value if rule.confidence else "none"
    return f"| {number} | `{rule.id}` | {rule.needs} | `{status}` | {confidence} | {exercised} |"
