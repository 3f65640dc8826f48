from pathlib import Path

import msgspec
import pytest

from monitor.classify.context import Context
from monitor.classify.rules import RULES, RULES_VERSION
from monitor.classify.verdict import classify
from monitor.model.measurement import Measurement
from monitor.model.verdict import Verdict
from tests.classify.reach import NEAR, NEAR_MISSES, distance, reached_by
from tests.classify.regenerate import texts
from tests.classify.stories import STORIES, Approved

CASES = sorted(path for path in (Path(__file__).parent / "cases").iterdir() if path.is_dir())


@pytest.mark.parametrize("case", CASES, ids=lambda case: str(case.name))
def test_case_gets_the_verdict_a_person_approved(case: Path) -> None:
    measurement = msgspec.json.decode((case / "measurement.json").read_bytes(), type=Measurement)
    context = msgspec.json.decode((case / "context.json").read_bytes(), type=Context)
    verdict = classify(measurement, context)
    assert verdict == msgspec.json.decode((case / "verdict.json").read_bytes(), type=Verdict)
    approved = Approved(
        verdict.rule,
        verdict.status,
        verdict.confidence,
        verdict.mechanisms,
        verdict.reason,
    )
    assert approved == STORIES[case.name].approved


def test_generated_files_are_those_of_the_stories() -> None:
    stale = {str(path): "differs" for path, text in texts().items() if not path.exists() or path.read_text() != text}
    assert not stale, "run python -m tests.classify.regenerate and read the diff"


@pytest.mark.parametrize("rule", [rule.id for rule in RULES])
def test_every_rule_decides_a_case_and_misses_one_nearby(rule: str) -> None:
    cases = reached_by()[rule]
    assert cases
    miss = STORIES[NEAR_MISSES[rule]]
    assert miss.approved.rule != rule
    assert min(distance(miss, STORIES[name]) for name in cases) <= NEAR


def test_rule_ids_are_unique_and_the_last_row_always_matches() -> None:
    assert len({rule.id for rule in RULES}) == len(RULES)
    assert RULES[-1].id == "insufficient"


def test_rules_keep_the_published_order() -> None:
    published = [
        "vantage_not_ready", "proxy_failed", "dns_blockpage_address", "dns_bogon", "certificate_substituted",
        "dns_impostor", "http_blockpage", "tls_refused", "tls_challenge", "tls_success", "content_expected",
        "isolated_trigger", "dns_isolated", "no_control", "content_same", "control_fails_too", "differs",
        "http_modified", "insufficient",
    ]  # fmt: skip
    assert [rule.id for rule in RULES if rule.id in published] == published


def test_verdict_names_the_version_of_the_rules() -> None:
    story = STORIES["tls-reset"]
    assert classify(story.measurement, story.context).rules_version == RULES_VERSION
