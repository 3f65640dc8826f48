from typing import Final

import msgspec
import pytest

from monitor.classify.context import Context
from monitor.classify.expected import is_unexpected, symptom
from monitor.model.observation import Purpose
from monitor.model.target import Expectation
from monitor.model.vantage import VantageState
from monitor.model.verdict import Reason
from tests.classify.scene import Scene, bodies
from tests.classify.stories import (
    EXAMPLE,
    HTTP,
    HTTPS,
    IMPOSTOR,
    NOTICE,
    ORIGIN,
    OTHER_NODE,
    READY,
    RELAY,
    SIX,
    control_http,
    control_https,
    judged_with,
    reset_in_tls,
    sni_filtered,
)


def page(address: str = ORIGIN, status: int = 200) -> Scene:
    here = Scene(HTTPS).dns(EXAMPLE, address).tcp(address).tls(address, EXAMPLE)
    return here.http(HTTPS, address, status)


def cleartext(address: str = ORIGIN, body: bytes = b"the page" * 190) -> Scene:
    here = Scene(HTTP).dns(EXAMPLE, address).tcp(address, 80).http(HTTP, address, body=body, keep_body=True)
    return here.at(Purpose.ADDRESS_CHECK).tcp(address).tls(address, EXAMPLE)


WITHOUT: Final = judged_with()
WITH: Final = judged_with(control_https())


@pytest.mark.parametrize(
    ("scene", "context"),
    [
        (page(), WITHOUT),
        (page(), WITH),
        (page(status=403), judged_with(expectation=Expectation(statuses=(403,)))),
        (page(status=429), WITHOUT),
        (page(), judged_with(known_addresses=frozenset({ORIGIN, OTHER_NODE}))),
        (page(OTHER_NODE), judged_with(known_addresses=frozenset({ORIGIN}))),
        (cleartext(), judged_with(control_http())),
        (cleartext(), WITHOUT),
        (page().dns(EXAMPLE, SIX, query_type="AAAA").tcp(SIX, failure="network_unreachable"), WITHOUT),
        (page().dns(EXAMPLE, failure="dns_no_answer", query_type="AAAA"), WITHOUT),
    ],
    ids=[
        "expected page",
        "expected page and control",
        "declared refusal",
        "challenge, of which nothing more can be learned",
        "known address",
        "new address in a known network",
        "same page as at the control",
        "cleartext page with nothing to compare",
        "no way for IPv6",
        "no IPv6 address",
    ],
)
def test_what_is_expected_starts_no_deep_run(scene: Scene, context: Context) -> None:
    assert symptom(scene.done(), context) == ()
    assert not is_unexpected(scene.done(), context)


@pytest.mark.parametrize(
    ("scene", "context", "shown"),
    [
        (reset_in_tls(), WITHOUT, "0:tls:443:reset"),
        (Scene(HTTPS).dns(EXAMPLE, failure="dns_nxdomain_error"), WITHOUT, "0:dns:nxdomain"),
        (Scene(HTTPS).dns(EXAMPLE, "10.0.0.1"), WITHOUT, "0:dns:bogon"),
        (page(status=404), WITHOUT, "0:http:status:404"),
        (page(RELAY), WITH, "unknown_address"),
        (page(IMPOSTOR), judged_with(known_addresses=frozenset({ORIGIN})), "unknown_address"),
        (cleartext(body=NOTICE), judged_with(bodies=bodies(NOTICE)), "0:http:block_page"),
        (Scene(HTTPS).dns(EXAMPLE, ORIGIN), WITHOUT, "0:tcp:absent"),
    ],
    ids=["reset", "name denied", "bogon", "status", "unknown to the control", "unknown to history", "block page",
         "step not taken"],
)  # fmt: skip
def test_anything_else_starts_a_deep_run(scene: Scene, context: Context, shown: str) -> None:
    assert shown in symptom(scene.done(), context)
    assert is_unexpected(scene.done(), context)


def test_what_the_control_meets_too_is_expected() -> None:
    there = Scene(HTTPS, "outside").dns(EXAMPLE, ORIGIN).tcp(ORIGIN).tls(ORIGIN, EXAMPLE, "connection_reset")
    assert not is_unexpected(reset_in_tls().done(), judged_with(there))


def test_same_symptom_is_not_isolated_again() -> None:
    earlier = reset_in_tls().at(Purpose.RETRY).tcp(ORIGIN).tls(ORIGIN, EXAMPLE, "connection_reset").done(is_deep=True)
    assert not is_unexpected(reset_in_tls().done(), judged_with(isolation=earlier))


def test_another_symptom_is_isolated_anew() -> None:
    earlier = reset_in_tls("eof_error").done(is_deep=True)
    assert is_unexpected(reset_in_tls().done(), judged_with(isolation=earlier))


def test_symptom_that_went_away_when_tried_again_is_isolated_anew() -> None:
    earlier = reset_in_tls().at(Purpose.RETRY).tcp(ORIGIN).tls(ORIGIN, EXAMPLE).done(is_deep=True)
    assert is_unexpected(reset_in_tls().done(), judged_with(isolation=earlier))


def test_an_address_that_worked_when_another_was_looked_into_is_isolated_when_it_fails_too() -> None:
    earlier = reset_in_tls().at(Purpose.RETRY).tcp(ORIGIN).tls(ORIGIN, EXAMPLE, "connection_reset")
    earlier.at(Purpose.OTHER_ADDRESS).tcp(OTHER_NODE).tls(OTHER_NODE, EXAMPLE)
    here = Scene(HTTPS).dns(EXAMPLE, OTHER_NODE).tcp(OTHER_NODE).tls(OTHER_NODE, EXAMPLE, "connection_reset")
    assert is_unexpected(here.done(), judged_with(isolation=earlier.done(is_deep=True)))


def led_to(host: str) -> Scene:
    onward = (("location", f"https://{host}/"),)
    here = Scene(HTTPS).dns(EXAMPLE, ORIGIN).tcp(ORIGIN).tls(ORIGIN, EXAMPLE)
    here.http(HTTPS, ORIGIN, 302, headers=onward, location=f"https://{host}/")
    return here.hop(1).dns(host, OTHER_NODE).tcp(OTHER_NODE).tls(OTHER_NODE, host, "connection_reset")


def test_a_name_that_was_shown_to_be_filtered_says_nothing_of_another_that_a_redirect_leads_to() -> None:
    earlier = sni_filtered(led_to("a.example.com"), "connection_reset", "a.example.com", OTHER_NODE)
    context = judged_with(isolation=earlier.done(is_deep=True))
    assert not is_unexpected(led_to("a.example.com").done(), context)
    assert is_unexpected(led_to("b.example.com").done(), context)


def test_symptom_is_the_same_for_another_address_and_a_later_timeout() -> None:
    first = Scene(HTTPS).dns(EXAMPLE, ORIGIN).tcp(ORIGIN, failure="generic_timeout_error")
    second = Scene(HTTPS).dns(EXAMPLE, OTHER_NODE).tcp(OTHER_NODE, failure="timed_out")
    assert symptom(first.done(), WITHOUT) == symptom(second.done(), WITHOUT) != ()


@pytest.mark.parametrize(
    "context",
    [
        msgspec.structs.replace(READY, state_before=VantageState.OFFLINE),
        msgspec.structs.replace(READY, state_before=None),
        msgspec.structs.replace(READY, fault=Reason.INTERNAL_ERROR),
    ],
    ids=["offline", "unchecked", "our mistake"],
)
def test_vantage_that_is_not_in_order_starts_no_deep_run(context: Context) -> None:
    assert not is_unexpected(reset_in_tls().done(), context)


def test_check_after_the_round_is_not_waited_for() -> None:
    assert is_unexpected(reset_in_tls().done(), msgspec.structs.replace(READY, state_after=None))


def test_local_fault_starts_no_deep_run() -> None:
    here = Scene(HTTPS).dns(EXAMPLE, ORIGIN).tcp(ORIGIN, failure="permission_denied")
    assert not is_unexpected(here.done(), WITHOUT)
