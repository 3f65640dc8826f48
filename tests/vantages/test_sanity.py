import pytest

from monitor.model.vantage import VantageState
from monitor.vantages._sanity import Findings, state_of

GOOD = Findings(
    names_resolved=(True, True, True),
    anchors_connected=(True, True, True),
    portals=(True, True),
    certificates=(True, True, True),
)
DEAD = Findings(
    names_resolved=(False, False, False),
    anchors_connected=(False, False, False),
    portals=(None, None),
    certificates=(None, None, None),
)


def changed(findings: Findings, **changes: object) -> Findings:
    return Findings(**{**vars(findings), **changes})


@pytest.mark.parametrize(
    ("findings", "state"),
    [
        (GOOD, VantageState.ONLINE),
        (DEAD, VantageState.OFFLINE),
        (changed(GOOD, names_resolved=(True, True, False)), VantageState.ONLINE),
        (changed(GOOD, names_resolved=(True, False, False)), VantageState.DNS_BROKEN),
        (changed(DEAD, anchors_connected=(True, True, False)), VantageState.DNS_BROKEN),
        (changed(GOOD, anchors_connected=(False, False, False)), VantageState.ONLINE),
        (changed(GOOD, anchors_connected=(False, False, True), certificates=(None, True, None)), VantageState.ONLINE),
        (changed(GOOD, portals=((302, "login.test", None), (302, "login.test", None))), VantageState.CAPTIVE),
        (changed(GOOD, portals=((302, "login.test", None), (200, None, "Other"))), VantageState.ONLINE),
        (changed(GOOD, portals=((302, "login.test", None), True)), VantageState.ONLINE),
        (changed(GOOD, certificates=("Filter CA", "Filter CA", "Filter CA")), VantageState.TLS_INTERCEPTED),
        (changed(GOOD, certificates=("Filter CA", "Filter CA", True)), VantageState.ONLINE),
        (changed(GOOD, certificates=("One CA", "Other CA", None)), VantageState.DEGRADED),
        (changed(GOOD, certificates=(None, None, None)), VantageState.DEGRADED),
        (
            changed(GOOD, certificates=(None, None, None), anchors_connected=(False,) * 3, portals=(None, None)),
            VantageState.OFFLINE,
        ),
        (changed(GOOD, nxdomain_rewritten=True), VantageState.ONLINE),
    ],
)
def test_state_is_drawn_from_more_than_one_operator(findings: Findings, state: VantageState) -> None:
    assert state_of(findings)[0] is state


def test_a_single_wrong_portal_is_a_note() -> None:
    assert state_of(changed(GOOD, portals=((302, "login.test", None), True)))[1] == (
        "a portal check answered otherwise than it should",
    )


def test_a_resolver_that_invents_names_is_a_note() -> None:
    assert state_of(changed(GOOD, nxdomain_rewritten=True))[1]


def test_how_many_checks_must_be_good_is_the_owners_choice() -> None:
    one_name = changed(GOOD, names_resolved=(True, False, False))
    assert state_of(one_name, names_required=1)[0] is VantageState.ONLINE
    dead_but_for_one_anchor = changed(DEAD, anchors_connected=(True, False, False))
    assert state_of(dead_but_for_one_anchor, anchors_required=1)[0] is VantageState.DNS_BROKEN
    assert state_of(dead_but_for_one_anchor, anchors_required=2)[0] is VantageState.OFFLINE
