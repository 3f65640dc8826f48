from datetime import UTC, datetime, timedelta

import pytest

from monitor.demo.story import CAST, STORY, Step, differences, too_few, wrongly_blamed
from monitor.lab.scenarios import ACCESSIBLE
from monitor.model.outcome import Incident, Member
from monitor.model.vantage import NetworkIdentity
from monitor.model.verdict import Confidence, Status
from monitor.store.reader import HistoryRow
from monitor.web.services import TargetState

SINCE = datetime(2026, 11, 27, 12, tzinfo=UTC)
STEPS = {step.name: step for step in STORY}


def state(target: str, status: Status = Status.ACCESSIBLE, *mechanisms: str, seconds: float = 1) -> TargetState:
    is_confirmed = status in {Status.BLOCKED, Status.WITHHELD}
    return TargetState(
        platform=target,
        platform_name=target,
        target=target,
        url=f"https://{target}.lab.test/",
        vantage="here",
        interval_seconds=1,
        status=status,
        confidence=Confidence.CONFIRMED if is_confirmed else None,
        mechanisms=mechanisms,
        measured_at=SINCE + timedelta(seconds=seconds),
    )


def row(target: str, status: Status, number: int = 1) -> HistoryRow:
    return HistoryRow(
        id=number,
        target=target,
        vantage="here",
        started_at=SINCE,
        elapsed_seconds=0.1,
        is_deep=False,
        network=NetworkIdentity(),
        status=status,
        confidence=None,
        layer=None,
        mechanisms=(),
        reason=None,
        rule=None,
        because=None,
    )


def incident(platform: str, *, closed: bool = False) -> Incident:
    return Incident(
        id=f"{platform}-pk-20261127",
        platform=platform,
        country="PK",
        status=Status.BLOCKED,
        opened_at=SINCE,
        started_after=None,
        started_before=SINCE,
        closed_at=SINCE if closed else None,
        members=() if closed else (Member(f"{platform}-home", "here", 0),),
    )


def test_a_step_is_over_when_verdicts_and_open_incidents_are_as_expected() -> None:
    states = [state("telegram-home", Status.BLOCKED, "dns.bogon.name"), state("x-home")]
    assert differences(STEPS["dns-lie"], SINCE, states, [incident("telegram"), incident("x", closed=True)]) == []


@pytest.mark.parametrize(
    ("states", "incidents", "word"),
    [
        ([state("telegram-home")], [incident("telegram")], "status accessible"),
        ([state("telegram-home", Status.BLOCKED, "tls.reset")], [incident("telegram")], "mechanisms"),
        ([state("x-home", Status.BLOCKED, "tls.reset")], [incident("telegram")], "x-home: status blocked"),
        ([state("x-home", seconds=-1)], [incident("telegram")], "x-home was not measured since"),
        ([state("x-home")], [], "telegram-home is in no open incident"),
        ([state("x-home")], [incident("telegram", closed=True)], "telegram-home is in no open incident"),
        ([state("x-home")], [incident("telegram"), incident("x")], "x-home is in an open incident"),
    ],
)
def test_what_is_not_as_expected_is_named(states: list[TargetState], incidents: list[Incident], word: str) -> None:
    assert any(word in each for each in differences(STEPS["dns-lie"], SINCE, states, incidents))


def test_nobody_may_be_blamed_beside_what_this_step_and_the_one_before_expect() -> None:
    before, step = STEPS["sni-reset"], STEPS["offline"]
    assert wrongly_blamed(step, before, [row("x-home", Status.BLOCKED), row("x-home", Status.INCONCLUSIVE)]) == []
    assert wrongly_blamed(step, before, [row("wikipedia-home", Status.BLOCKED, 7)]) == [
        "wikipedia-home was called blocked in measurement 7"
    ]
    assert wrongly_blamed(step, None, [row("x-home", Status.DOWN)])


def test_a_step_wants_its_number_of_rounds_from_every_target() -> None:
    step = STEPS["accessible"]
    rows = [row(one.target, Status.ACCESSIBLE) for one in CAST for _ in range(step.rounds)]
    assert too_few(step, rows) == []
    assert too_few(step, rows[1:]) == [
        f"{CAST[0].target} was concluded so in {step.rounds - 1} rounds, not {step.rounds}"
    ]


def test_the_story_names_targets_and_platforms_of_its_cast_only() -> None:
    targets = {one.target for one in CAST}
    for step in STORY:
        assert {*step.expects, *step.shows, *step.incidents} <= targets
    assert len({step.name for step in STORY}) == len(STORY)


def test_the_story_ends_as_it_begins() -> None:
    def is_calm(step: Step) -> bool:
        return not step.incidents and all(step.expected(one.target) is ACCESSIBLE for one in CAST)

    assert is_calm(STORY[0])
    assert is_calm(STORY[-1])
