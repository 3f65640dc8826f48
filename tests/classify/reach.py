"""Which cases reach which rule, and which come near without reaching it; a column of docs/verdicts.md."""

from collections import Counter
from collections.abc import Iterator
from typing import Final

from monitor.classify.rules import RULES
from monitor.lab.scenarios import SCENARIOS
from monitor.model.observation import Observation, step_of
from tests.classify.stories import STORIES, Story

# How many observations a near miss may have more or less than a case that the rule decides.
NEAR: Final = 2

# Rule → a case that another rule decides although it looks nearly the same; a person chose each.
NEAR_MISSES: Final = {
    "vantage_not_ready": "tls-reset-without-follow-ups",
    "proxy_failed": "vantage-unreachable",
    "interrupted": "control-that-was-interrupted",
    "internal_error": "proxy-failed",
    "local_fault": "unreachable-on-a-line-known-to-work",
    "dns_blockpage_address": "block-page-also-at-the-control",
    "dns_bogon": "dns-impostor",
    "certificate_substituted": "certificate-not-seen-by-the-control",
    "dns_impostor": "certificate-not-seen-by-the-control",
    "http_blockpage": "block-page-vetoed",
    "throttled": "small-page-that-waited-four-times-of-five",
    "tls_refused": "refusal-of-another-kind",
    "tls_challenge": "page-with-a-captcha-in-a-form",
    "tls_success": "declared-title-missing-over-tls",
    "tls_server_differs": "server-error-once",
    "tcp_success": "connection-to-a-suspect-address",
    "content_expected": "control-lost-cleartext",
    "line_slow": "slow-at-the-control-too",
    "transient": "reset-at-the-second-try-too",
    "isolated_trigger": "harmless-name-still-dead-minutes-later",
    "dns_isolated": "earlier-deep-run-of-another-symptom",
    "no_control": "control-lost-cleartext-declared",
    "content_same": "page-with-one-difference",
    "control_fails_too": "legal-refusal-everywhere",
    "differs": "reset-without-the-second-try",
    "http_modified": "http-injected-page",
    "insufficient": "certificate-substituted",
}
_SHOWN: Final = 4


def reached_by() -> dict[str, list[str]]:
    """Rule → the cases that it decides, those first that the laboratory plays with real sockets."""
    played = {one.name for one in SCENARIOS}
    found: dict[str, list[str]] = {rule.id: [] for rule in RULES}
    for name in sorted(STORIES, key=lambda name: (name not in played, name)):
        found[STORIES[name].approved.rule].append(name)
    return found


def exercised() -> dict[str, str]:
    """Rule → what the page says about its cases."""
    cells = {}
    for rule, names in reached_by().items():
        more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
        cells[rule] = f"{', '.join(names[:_SHOWN])}{more}; not by {NEAR_MISSES[rule]}"
    return cells


def distance(one: Story, other: Story) -> int:
    """How many observations, the controls' included, one has and the other has not."""
    mine, theirs = Counter(_looks(one)), Counter(_looks(other))
    return ((mine - theirs) + (theirs - mine)).total()


def _looks(story: Story) -> Iterator[tuple[str, ...]]:
    yield from (("here", *_look(one)) for one in story.measurement.observations)
    for control in story.context.controls:
        yield from (("control", *_look(one)) for one in control.observations)


def _look(one: Observation) -> tuple[str, ...]:
    return str(step_of(one)), str(one.purpose), one.failure or ""
