from collections.abc import Mapping
from datetime import UTC, datetime

from monitor.events.deadlines import DeadlineState, deadlines
from monitor.events.record import Moot, Obligation, Phase, RegulatoryEvent
from tests.fakes.events import dated, event

NOW = datetime(2020, 5, 1, tzinfo=UTC)


def duty(**fields: object) -> Obligation:
    known = {"id": "register", "what": "register", "sources": ("dawn",), "after": "P3M", "phases": (Phase.NOTIFIED,)}
    return Obligation(**(known | fields))  # type: ignore[arg-type]  # a test's own arguments


def by_id(*events: RegulatoryEvent) -> Mapping[str, RegulatoryEvent]:
    return {one.id: one for one in events}


def found(*events: RegulatoryEvent, now: datetime = NOW) -> list[tuple[str, str, str]]:
    return [
        (one.obligation, f"{one.interval.latest:%Y-%m-%d %H:%M}", one.state) for one in deadlines(by_id(*events), now)
    ]


def test_a_deadline_is_over_when_its_day_is_over_at_the_place() -> None:
    rules = event("rules", dated(Phase.NOTIFIED, "2020-02-01"), obligations=(duty(),))
    end = datetime(2020, 5, 1, 19, tzinfo=UTC)
    assert found(rules, now=end.replace(hour=18, minute=59)) == [("register", "2020-05-01 19:00", "pending")]
    assert found(rules, now=end) == [("register", "2020-05-01 19:00", "passed")]


def test_a_disputed_base_gives_one_deadline_for_each_date_and_each_has_a_name() -> None:
    dates = (dated(Phase.NOTIFIED, "2020-01-31"), dated(Phase.NOTIFIED, "2020-01-21"))
    rules = event("rules", *dates, obligations=(duty(),))
    assert found(rules) == [
        ("register@2020-04-21", "2020-04-21 19:00", "passed"),
        ("register@2020-04-30", "2020-04-30 19:00", "passed"),
    ]
    assert all(one.is_disputed for one in deadlines(by_id(rules), NOW))


def test_dates_that_agree_count_once() -> None:
    rules = event("rules", dated(Phase.NOTIFIED, "2020-02"), dated(Phase.NOTIFIED, "2020-02-12"), obligations=(duty(),))
    assert [name for name, _, _ in found(rules)] == ["register"]


def test_the_base_may_be_another_event() -> None:
    law = event("law", dated(Phase.NOTIFIED, "2020-02-12"))
    due = event("due", obligations=(duty(event="law"),))
    assert found(law, due) == [("register", "2020-05-12 19:00", "pending")]


def test_a_deadline_is_moot_once_what_it_rests_on_ended_before_it() -> None:
    ended = event(
        "rules", dated(Phase.NOTIFIED, "2020-01-21"), dated(Phase.SUSPENDED, "2020-03-01"), obligations=(duty(),)
    )
    [one] = deadlines(by_id(ended), NOW)
    assert (one.state, one.why_moot) == (DeadlineState.MOOT, "X blocked again: suspended before it was due")
    later = event(
        "rules", dated(Phase.NOTIFIED, "2020-01-21"), dated(Phase.SUSPENDED, "2020-04-22"), obligations=(duty(),)
    )
    assert [state for _, _, state in found(later)] == ["passed"]


def test_a_source_can_say_that_it_is_moot() -> None:
    moot = Moot(why="extended", source="dawn")
    fixed = duty(after=None, phases=(), due=dated(Phase.EFFECTIVE, "2024-11-30"), moot=moot)
    [one] = deadlines(by_id(event("vpn", obligations=(fixed,))), NOW)
    assert (one.state, one.why_moot, one.base) == (DeadlineState.MOOT, "extended", "the date set")


def test_a_claim_of_an_end_makes_nothing_moot() -> None:
    claimed = event(
        "rules", dated(Phase.NOTIFIED, "2020-01-21"), dated(Phase.CLAIMED_LIFTED, "2020-03-01"), obligations=(duty(),)
    )
    assert [state for _, _, state in found(claimed)] == ["passed"]
