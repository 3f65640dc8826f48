from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.detect.rollup import PlatformVerdict, Standing, roll_up
from monitor.model.rollup import RollupRule
from monitor.model.vantage import NetworkIdentity
from monitor.model.verdict import Reason, Status

NOW: Final = datetime(2026, 11, 22, 10, 30, tzinfo=UTC)
PTCL: Final = NetworkIdentity(asn=17557, name="PTCL")
JAZZ: Final = NetworkIdentity(asn=45669, name="Jazz")
NAYATEL: Final = NetworkIdentity(asn=23674, name="Nayatel")
ZONG: Final = NetworkIdentity(asn=59257, name="Zong")
TES: Final = NetworkIdentity(asn=135407, name="TES-PL")
NETWORKS: Final = (PTCL, JAZZ, NAYATEL, ZONG, TES)
EVERY: Final = RollupRule()

A, B, W, D, I = (Status.ACCESSIBLE, Status.BLOCKED, Status.WITHHELD, Status.DOWN, Status.INCONCLUSIVE)  # noqa: E741 -- the first letters


def standing(target: str = "x-home", network: NetworkIdentity = PTCL, **fields: Any) -> Standing:
    known = {"vantage": (network.name or "nowhere").lower(), "country": "PK", "status": A, "measured_at": NOW}
    return Standing(target=target, network=network, **{**known, **fields})


def verdict(*standings: Standing, rule: RollupRule = EVERY, now: datetime = NOW) -> PlatformVerdict:
    (found,) = roll_up("x", "X", rule, standings, now)
    return found


def on_networks(*statuses: Status, rule: RollupRule = EVERY) -> PlatformVerdict:
    return verdict(
        *(standing(network=network, status=one) for network, one in zip(NETWORKS, statuses, strict=False)), rule=rule
    )


def at_one_vantage(rule: RollupRule = EVERY, **targets: Status | None) -> PlatformVerdict:
    return verdict(*(standing(f"x-{name}", status=status) for name, status in targets.items()), rule=rule)


def test_nothing_measured_gives_no_verdict() -> None:
    assert roll_up("x", "X", EVERY, (), NOW) == ()


@pytest.mark.parametrize(
    ("statuses", "status", "is_partial", "summary"),
    [
        ((A,), A, False, "X is accessible on the one network measured in PK, PTCL (AS17557)."),
        ((B,), B, False, "X is blocked on the one network measured in PK, PTCL (AS17557)."),
        (
            (B, B, B),
            B,
            False,
            "X is blocked on all 3 networks measured in PK: PTCL (AS17557), Nayatel (AS23674) and Jazz (AS45669).",
        ),
        (
            (B, B, B, A),
            B,
            True,
            (
                "X is blocked on 3 of 4 networks measured in PK: PTCL (AS17557), Nayatel (AS23674) and Jazz (AS45669). "
                "It is accessible on 1: Zong (AS59257)."
            ),
        ),
        (
            (B, B, A, A, A),
            B,
            True,
            (
                "X is blocked on 2 of 5 networks measured in PK: PTCL (AS17557) and Jazz (AS45669). "
                "It is accessible on 3: Nayatel (AS23674), Zong (AS59257) and TES-PL (AS135407)."
            ),
        ),
        (
            (B, A, A),
            A,
            True,
            (
                "X is accessible on 2 of 3 networks measured in PK: Nayatel (AS23674) and Jazz (AS45669). "
                "It is blocked on 1: PTCL (AS17557)."
            ),
        ),
        (
            (B, A),
            I,
            False,
            (
                "X is blocked on 1 of 2 networks measured in PK: PTCL (AS17557). "
                "It is accessible on 1: Jazz (AS45669). "
                "Together they decide nothing."
            ),
        ),
        (
            (B, W),
            I,
            False,
            (
                "X is blocked on 1 of 2 networks measured in PK: PTCL (AS17557). It is withheld on 1: Jazz (AS45669). "
                "Together they decide nothing."
            ),
        ),
        ((B, B, W), B, True, None),
        ((B, B, W, W), I, False, None),
        ((D, D), D, False, "X is down on both networks measured in PK: PTCL (AS17557) and Jazz (AS45669)."),
        (
            (B, I),
            B,
            False,
            "X is blocked on the one network measured in PK, PTCL (AS17557). Not counted: jazz (inconclusive).",
        ),
        (
            (I, I),
            I,
            False,
            (
                "Whether X is accessible in PK cannot be told: no network could be judged. "
                "Not counted: jazz (inconclusive) and ptcl (inconclusive)."
            ),
        ),
    ],
)
def test_networks_make_a_country(
    statuses: tuple[Status, ...], status: Status, summary: str | None, *, is_partial: bool
) -> None:
    found = on_networks(*statuses)
    assert (found.status, found.is_partial) == (status, is_partial)
    assert summary is None or found.summary == summary


@pytest.mark.parametrize(
    ("networks", "statuses", "status"),
    [
        (1, (B, A, A, A), B),
        (1, (A, A), A),
        (3, (B, B, A, A, A), A),
        (3, (B, B, A), I),
        (3, (B, B), B),
        ("majority", (B, B, A, A), I),
        ("majority", (B, B, B, A, A), B),
        ("majority", (B, B, A, A, A), A),
        ("majority", (B,), B),
    ],
)
def test_the_quorum_is_data(networks: Any, statuses: tuple[Status, ...], status: Status) -> None:
    assert on_networks(*statuses, rule=RollupRule(networks=networks)).status is status


def test_too_few_networks_tell_nothing_and_are_still_named() -> None:
    found = on_networks(B, B, rule=RollupRule(min_networks=3))
    assert found.status is I
    assert "blocked on both networks measured" in found.summary


def test_vantages_of_one_network_speak_with_one_voice() -> None:
    three = [standing(vantage=name, status=status) for name, status in (("a", B), ("b", B), ("c", A))]
    found = verdict(*three)
    assert found.status is B
    assert [(one.network, one.vantages) for one in found.networks] == [(PTCL, ("a", "b", "c"))]
    assert found.is_partial
    even = verdict(*three[1:])
    assert even.status is I
    assert "PTCL (AS17557) (its vantages disagree)" in even.summary


def test_vantages_whose_network_is_unknown_never_make_a_quorum() -> None:
    nowhere = [standing(network=NetworkIdentity(), vantage=name, status=B) for name in ("a", "b")]
    found = verdict(*nowhere, *(standing(network=one) for one in (PTCL, JAZZ, ZONG)))
    assert found.status is A
    assert "It is blocked on 1: a network that is not known" in found.summary


@pytest.mark.parametrize(
    ("targets", "rule", "status", "is_partial"),
    [
        ({"home": B, "images": A}, EVERY, B, True),
        ({"home": B, "images": A}, RollupRule(all_of=("x-home",)), B, True),
        ({"home": A, "images": B}, RollupRule(all_of=("x-home",)), A, True),
        ({"home": A, "old": B}, RollupRule(any_of=("x-home", "x-old")), A, True),
        ({"home": B, "old": B}, RollupRule(any_of=("x-home", "x-old")), B, False),
        ({"home": B, "old": I}, RollupRule(any_of=("x-home", "x-old")), I, False),
        ({"home": A, "old": I}, RollupRule(any_of=("x-home", "x-old")), A, False),
        ({"home": A, "api": I}, RollupRule(all_of=("x-home", "x-api")), I, False),
        ({"home": A, "api": A, "app": I}, RollupRule(all_of=("x-home", "x-api", "x-app")), A, False),
        ({"home": B, "api": I}, RollupRule(all_of=("x-home", "x-api")), B, False),
        ({"home": A, "api": None}, RollupRule(all_of=("x-home",)), A, False),
        ({"home": W, "api": B}, EVERY, B, True),
        ({"home": I, "images": A}, RollupRule(all_of=("x-home",)), I, False),
        ({"images": A}, RollupRule(all_of=("x-home",)), A, False),
        ({"home": A, "app": B, "web": A}, RollupRule(all_of=("x-home",), any_of=("x-app", "x-web")), A, True),
        ({"home": A, "app": B, "web": B}, RollupRule(all_of=("x-home",), any_of=("x-app", "x-web")), B, True),
    ],
)
def test_targets_make_a_vantage(
    targets: dict[str, Status | None], rule: RollupRule, status: Status, *, is_partial: bool
) -> None:
    found = at_one_vantage(rule, **targets)
    assert (found.status, found.is_partial) == (status, is_partial)


def test_an_open_media_host_of_a_blocked_platform_is_named() -> None:
    found = at_one_vantage(RollupRule(all_of=("x-home", "x-api")), home=B, api=B, images=A)
    assert found.summary == (
        "X is blocked on the one network measured in PK, PTCL (AS17557). There x-api and x-home are blocked; "
        "x-images is accessible."
    )


def test_vantages_that_see_the_same_parts_are_named_together() -> None:
    rule = RollupRule(all_of=("x-home",))
    found = verdict(
        *(standing(network=one, status=B) for one in (PTCL, JAZZ)),
        *(standing("x-images", network=one) for one in (PTCL, JAZZ)),
        standing(network=ZONG),
        rule=rule,
    )
    assert "From jazz and ptcl: x-home is blocked; x-images is accessible." in found.summary


def test_interference_that_does_not_prevent_access_is_named() -> None:
    found = verdict(standing(mechanisms=("tcp.timeout",)), standing("x-api"))
    assert (found.status, found.is_partial) == (A, True)
    assert "There x-home is reached although interfered with (tcp.timeout)." in found.summary


def test_what_is_stale_leaves_the_count_and_is_named() -> None:
    old = NOW - timedelta(seconds=901)
    found = verdict(standing(status=B, measured_at=old), standing(network=JAZZ))
    assert found.status is A
    assert found.summary.endswith(" Not counted: ptcl (not measured lately).")
    just = verdict(standing(status=B, measured_at=NOW - timedelta(seconds=900)), standing(network=JAZZ))
    assert just.status is I


def test_why_a_vantage_does_not_count_is_its_reason() -> None:
    found = verdict(standing(status=I, reason=Reason.VANTAGE_OFFLINE), standing(network=JAZZ, status=None))
    assert "jazz (not measured yet) and ptcl (vantage offline)" in found.summary


def test_what_was_measured_on_the_network_before_a_move_does_not_count() -> None:
    before = standing("x-api", network=JAZZ, vantage="here", status=B, measured_at=NOW - timedelta(seconds=60))
    found = verdict(before, standing(vantage="here"))
    assert found.status is I
    assert found.networks[0].network == PTCL


def test_each_country_has_a_verdict_of_its_own() -> None:
    found = roll_up("x", "X", EVERY, (standing(status=B), standing(vantage="lhr", country="GB")), NOW)
    assert [(one.country, one.status) for one in found] == [("GB", A), ("PK", B)]


def test_it_began_with_the_first_target_that_says_so() -> None:
    early, late = NOW - timedelta(hours=3), NOW - timedelta(hours=1)
    found = verdict(
        standing(status=B, since=late), standing("x-api", status=B, since=early), standing("x-images", since=NOW)
    )
    assert found.since == early


def test_a_hostile_name_of_a_network_reaches_no_terminal() -> None:
    named = NetworkIdentity(asn=1, name="\x1b[2J" + "x" * 500)
    summary = verdict(standing(network=named, vantage="here")).summary
    assert summary.isprintable()
    assert len(summary) < 200


def test_long_lists_are_cut() -> None:
    many = [standing(network=NetworkIdentity(asn=number, name=f"N{number}"), status=B) for number in range(1, 41)]
    assert "N6 (AS6) and 34 more." in verdict(*many).summary
    assert len(verdict(*many).summary) < 300


standings = st.builds(
    standing,
    target=st.sampled_from(["x-home", "x-api", "x-images"]),
    network=st.sampled_from([*NETWORKS, NetworkIdentity()]),
    vantage=st.sampled_from("abcdefgh"),
    country=st.sampled_from(["PK", "PK", "IN"]),
    status=st.sampled_from([*Status, None]),
    mechanisms=st.sampled_from([(), ("tcp.timeout",)]),
    measured_at=st.sampled_from([NOW, NOW - timedelta(minutes=3), NOW - timedelta(hours=2), None]),
    since=st.sampled_from([None, NOW - timedelta(days=1)]),
)
rules = st.builds(
    RollupRule,
    all_of=st.sampled_from([(), ("x-home",), ("x-home", "x-api")]),
    any_of=st.sampled_from([(), ("x-api", "x-images")]),
    networks=st.sampled_from([1, 2, 3, "majority"]),
    min_networks=st.integers(1, 3),
)


def unique(found: list[Standing]) -> list[Standing]:
    """One standing for each series; a vantage is in one country."""
    series = {(one.target, one.vantage): msgspec.structs.replace(one, country="PK") for one in found}
    return list(series.values())


@given(rules, st.lists(standings, max_size=14), st.randoms(use_true_random=False))
def test_the_order_of_what_comes_in_never_matters(rule: RollupRule, found: list[Standing], generator: Any) -> None:
    ordered = unique(found)
    shuffled = list(ordered)
    generator.shuffle(shuffled)
    assert roll_up("x", "X", rule, shuffled, NOW) == roll_up("x", "X", rule, ordered, NOW)


@given(
    rules,
    st.lists(standings, min_size=1, max_size=14),
    st.sampled_from([*NETWORKS, NetworkIdentity()]),
    st.sampled_from([{"status": I}, {"status": None}, {"status": B, "measured_at": NOW - timedelta(days=1)}]),
)
def test_a_vantage_that_cannot_be_judged_never_changes_the_status(
    rule: RollupRule, found: list[Standing], network: NetworkIdentity, silence: dict[str, Any]
) -> None:
    known = unique(found)
    (before,) = roll_up("x", "X", rule, known, NOW)
    silent = [standing(target, network, vantage="silent", **silence) for target in ("x-home", "x-api")]
    (after,) = roll_up("x", "X", rule, [*known, *silent], NOW)
    assert (after.status, after.is_partial, after.since) == (before.status, before.is_partial, before.since)
    assert "silent (" in after.summary or " more." in after.summary


@given(rules, st.lists(standings, min_size=1, max_size=14))
def test_a_country_is_blocked_only_if_a_network_is(rule: RollupRule, found: list[Standing]) -> None:
    for one in roll_up("x", "X", rule, unique(found), NOW):
        assert one.status is I or one.status in {network.status for network in one.networks}
        assert one.summary.endswith(".")
