"""Stage by stage, a network that interferes in one known way is asked until its way is shown."""

from dataclasses import dataclass, field
from typing import Final

import msgspec

from monitor.classify.context import Context
from monitor.classify.evidence import STEADY_PASSES
from monitor.classify.follow_ups import FollowUpSettings, Stranger, control_checks, follow_ups, residual_looks
from monitor.classify.verdict import classify
from monitor.model.measurement import FollowUp, Measurement
from monitor.model.observation import Purpose
from monitor.model.target import Expectation
from tests.classify.scene import HARMLESS, Scene
from tests.classify.stories import (
    DOH,
    EXAMPLE,
    FILE,
    HTTP,
    HTTPS,
    IMPOSTOR,
    LARGE,
    ORIGIN,
    OTHER_NODE,
    READY,
    SIX,
    STRANGER,
    TCP,
    UDP,
    control_http,
    control_https,
    control_with_quic,
    judged_with,
    quick_control,
    reset_in_http,
    reset_in_tls,
    shortened,
    shortened_control,
    slow_page,
)

SETTINGS: Final = FollowUpSettings(
    harmless_name=HARMLESS, resolvers=(UDP, TCP, DOH), unrelated_address=STRANGER, retry_wait_seconds=5.0
)


@dataclass
class Censor:
    """Answers follow-ups; the fields say what interferes."""

    denied: str = ""  # name that the plain resolvers deny
    lie: str = ""  # address that the plain resolvers give in place of the true one
    reset_name: str = ""
    reset_host: str = ""
    dead: set[tuple[str, int]] = field(default_factory=set)
    no_http3: bool = False
    rates: dict[str, int] = field(default_factory=dict)  # bytes per second at an address
    resets_every_name: bool = False
    attempts_until_well: int = 99

    def answer(self, scene: Scene, asked: FollowUp) -> None:
        scene.at(asked.purpose, asked.hop)
        match asked.until:
            case "dns":
                self._look_up(scene, asked)
            case "quic":
                is_dead = self.no_http3 and asked.purpose is Purpose.HTTP3
                scene.quic(asked.address, asked.server_name, "generic_timeout_error" if is_dead else None)
            case "throughput":
                rate = self.rates[asked.address]
                scene.transfer(asked.url, asked.address, min(5.0, 524_288 / rate), min(524_288, 5 * rate))
            case _:
                self._connect(scene, asked)

    def _look_up(self, scene: Scene, asked: FollowUp) -> None:
        is_plain, resolver = asked.resolver in {"", UDP}, asked.resolver or "system"
        if asked.host == self.denied and is_plain:
            scene.dns(asked.host, failure="dns_nxdomain_error", resolver=resolver)
        elif asked.host == EXAMPLE:
            scene.dns(EXAMPLE, self.lie if self.lie and is_plain else ORIGIN, resolver=resolver)
        else:
            scene.dns(asked.host, STRANGER, resolver=resolver)

    def _connect(self, scene: Scene, asked: FollowUp) -> None:
        if asked.purpose is Purpose.RETRY:
            self.attempts_until_well -= 1
        is_well = self.attempts_until_well <= 0
        if (asked.address, asked.port) in self.dead and not is_well:
            scene.tcp(asked.address, asked.port, "generic_timeout_error")
            return
        scene.tcp(asked.address, asked.port)
        if asked.until == "tcp":
            return
        if not asked.url.startswith("http://") or asked.until == "tls":
            if (asked.server_name == self.reset_name or self.resets_every_name) and not is_well:
                scene.tls(asked.address, asked.server_name, "connection_reset", port=asked.port)
                return
            scene.tls(asked.address, asked.server_name, port=asked.port)
        if asked.until == "http":
            is_reset = asked.host == self.reset_host and asked.url.startswith("http://") and not is_well
            failure = "connection_reset" if is_reset else None
            scene.http(asked.url, asked.address, None if is_reset else 200, failure=failure, port=asked.port)


def deepen(
    scene: Scene, context: Context, censor: Censor, settings: FollowUpSettings = SETTINGS
) -> tuple[Measurement, list[tuple[FollowUp, ...]]]:
    stages = []
    while wanted := follow_ups(scene.done(is_deep=True), context, settings):
        stages.append(wanted)
        assert len(stages) < 10, "no end of follow-ups"
        for asked in wanted:
            censor.answer(scene, asked)
    return scene.done(is_deep=True), stages


def purposes(stage: tuple[FollowUp, ...]) -> list[str]:
    return sorted({one.purpose for one in stage})


def labels_after(scene: Scene, context: Context, censor: Censor) -> tuple[str, tuple[str, ...]]:
    measurement, _ = deepen(scene, context, censor)
    verdict = classify(measurement, context)
    return verdict.rule, verdict.mechanisms


def test_filter_of_names_is_shown_by_asking_for_the_name_before_and_after_a_harmless_one() -> None:
    measurement, stages = deepen(reset_in_tls(), judged_with(), Censor(reset_name=EXAMPLE))
    assert [purposes(stage) for stage in stages] == [
        ["other_resolver", "resolver_harmless_name", "retry"],
        ["harmless_name", "http3", "no_name", "unrelated_address", "unrelated_harmless"],
        ["retry"],
    ]
    assert classify(measurement, judged_with()).mechanisms == ("tls.reset.sni",)


def test_retry_waits_and_asks_the_failed_step_alone() -> None:
    first = follow_ups(reset_in_tls().done(), judged_with(), SETTINGS)
    (retry,) = [one for one in first if one.purpose is Purpose.RETRY]
    assert (retry.until, retry.address, retry.server_name, retry.wait_seconds) == ("tls", ORIGIN, EXAMPLE, 5.0)


def test_filter_of_hosts_in_cleartext_is_shown() -> None:
    shown = labels_after(reset_in_http(), judged_with(control_http()), Censor(reset_host=EXAMPLE))
    assert shown == ("isolated_trigger", ("http.reset.host",))


def test_both_filters_behind_a_redirect_are_shown_at_the_hop_that_failed() -> None:
    here = shortened(Scene("https://bit.ly/32447"), HTTP).dns(EXAMPLE, ORIGIN).tcp(ORIGIN, 80)
    here.http(HTTP, ORIGIN, None, failure="connection_reset")
    here.at(Purpose.ADDRESS_CHECK).tcp(ORIGIN).tls(ORIGIN, EXAMPLE, "connection_reset")
    context = judged_with(shortened_control(HTTP))
    measurement, stages = deepen(here, context, Censor(reset_name=EXAMPLE, reset_host=EXAMPLE))
    assert classify(measurement, context).mechanisms == ("tls.reset.sni", "http.reset.host")
    assert {one.hop for stage in stages for one in stage} == {1}


def test_failure_that_goes_away_ends_the_questions() -> None:
    measurement, stages = deepen(reset_in_tls(), judged_with(), Censor(reset_name=EXAMPLE, attempts_until_well=1))
    assert len(stages) == 1
    assert classify(measurement, judged_with()).rule == "transient"


def test_lying_resolver_is_shown_without_a_control() -> None:
    denied = Scene(HTTPS).dns(EXAMPLE, failure="dns_nxdomain_error")
    assert labels_after(denied, judged_with(), Censor(denied=EXAMPLE)) == ("dns_isolated", ("dns.nxdomain.name",))


def test_filter_behind_a_lie_is_shown_at_the_true_address() -> None:
    here = Scene(HTTPS).dns(EXAMPLE, "10.10.34.35")
    shown = labels_after(here, judged_with(control_https()), Censor(lie="10.10.34.35", reset_name=EXAMPLE))
    assert shown == ("dns_bogon", ("dns.bogon.name", "tls.reset.sni"))


def test_dead_endpoint_is_told_from_a_blocked_address_by_another_port() -> None:
    here = Scene(HTTPS).dns(EXAMPLE, ORIGIN).tcp(ORIGIN, failure="generic_timeout_error")
    censor = Censor(dead={(ORIGIN, 443)})
    assert labels_after(here, judged_with(control_https()), censor) == ("differs", ("tcp.timeout",))


def test_working_address_that_the_resolver_gave_too_makes_the_target_accessible() -> None:
    here = Scene(HTTPS).dns(EXAMPLE, OTHER_NODE, ORIGIN).tcp(OTHER_NODE, failure="generic_timeout_error")
    rule, _ = labels_after(here, judged_with(), Censor(dead={(OTHER_NODE, 443), (OTHER_NODE, 80)}))
    assert rule == "tls_success"


def test_genuine_server_that_answers_otherwise_is_asked_once_more_and_no_more() -> None:
    here = Scene(HTTPS).dns(EXAMPLE, ORIGIN).tcp(ORIGIN).tls(ORIGIN, EXAMPLE).http(HTTPS, ORIGIN, 404)
    refused = follow_ups(here.done(), judged_with(), SETTINGS)
    assert [(one.purpose, one.until) for one in refused] == [(Purpose.RETRY, "http")]
    here.at(Purpose.RETRY).tcp(ORIGIN).tls(ORIGIN, EXAMPLE).http(HTTPS, ORIGIN, 404)
    assert follow_ups(here.done(), judged_with(), SETTINGS) == ()


def test_path_that_works_gets_a_comparison_of_resolvers_only() -> None:
    here = Scene(HTTPS).dns(EXAMPLE, ORIGIN).tcp(ORIGIN).tls(ORIGIN, EXAMPLE).http(HTTPS, ORIGIN)
    _, stages = deepen(here, judged_with(), Censor())
    assert [purposes(stage) for stage in stages] == [["other_resolver", "resolver_harmless_name"]]


def test_bogons_and_suspect_addresses_are_not_looked_into() -> None:
    here = Scene(HTTPS).dns(EXAMPLE, IMPOSTOR, "10.0.0.1").tcp(IMPOSTOR).tls(IMPOSTOR, EXAMPLE, "connection_reset")
    here.at(Purpose.OTHER_RESOLVER).dns(EXAMPLE, ORIGIN, "10.0.0.2", resolver=DOH)
    here.at(Purpose.RETRY).tcp(IMPOSTOR).tls(IMPOSTOR, EXAMPLE, "connection_reset")
    second = follow_ups(here.done(), judged_with(control_https()), SETTINGS)
    assert [(one.purpose, one.address) for one in second] == [(Purpose.OTHER_ADDRESS, ORIGIN)]


def test_addresses_of_a_family_that_does_not_work_are_not_tried() -> None:
    here = Scene(HTTPS).dns(EXAMPLE, failure="dns_nxdomain_error").at(Purpose.OTHER_RESOLVER)
    here.dns(EXAMPLE, *(f"93.184.216.{number}" for number in range(34, 44)), resolver=DOH).dns(
        EXAMPLE, SIX, resolver=DOH
    )
    second = follow_ups(here.done(), judged_with(), SETTINGS)
    assert [one.address for one in second] == [f"93.184.216.{number}" for number in range(34, 38)]


def test_questions_stay_within_their_number() -> None:
    many = tuple(f"udp://9.9.9.{number}" for number in range(99))
    settings = msgspec.structs.replace(SETTINGS, resolvers=many, max_follow_ups=7)
    measurement, stages = deepen(reset_in_tls(), judged_with(), Censor(reset_name=EXAMPLE), settings)
    assert sum(map(len, stages)) == 7
    assert classify(measurement, judged_with()).rule == "no_control"


def test_target_that_wants_a_connection_only_is_never_asked_for_more() -> None:
    context = msgspec.structs.replace(READY, expectation=Expectation(tcp_only=True))
    here = Scene(HTTPS).dns(EXAMPLE, OTHER_NODE, ORIGIN).tcp(OTHER_NODE, failure="connection_refused")
    _, stages = deepen(here, context, Censor(dead={(OTHER_NODE, 443), (OTHER_NODE, 80)}))
    assert {one.until for stage in stages for one in stage} == {"dns", "tcp"}


def test_literal_address_needs_no_resolver_and_no_server_name() -> None:
    here = Scene(f"https://{ORIGIN}/").tcp(ORIGIN).tls(ORIGIN, None, "connection_reset")
    first = follow_ups(here.done(), judged_with(), SETTINGS)
    assert [(one.purpose, one.server_name) for one in first] == [(Purpose.RETRY, None)]


def test_port_in_the_url_is_kept_in_the_host_header_and_checked_at_the_control() -> None:
    url = "http://www.example.com:8080/"
    here = Scene(url).dns(EXAMPLE, ORIGIN).tcp(ORIGIN, 8080).http(url, ORIGIN, None, failure="eof_error", port=8080)
    retry = next(one for one in follow_ups(here.done(), judged_with(), SETTINGS) if one.purpose is Purpose.RETRY)
    assert (retry.until, retry.host, retry.url, retry.port) == ("http", f"{EXAMPLE}:8080", url, 8080)
    check, *again = control_checks(here.done())
    assert [(one.until, one.host, one.port) for one in again] == [("http", f"{EXAMPLE}:8080", 8080)] * STEADY_PASSES
    assert (check.until, check.address, check.port, check.server_name) == ("tcp", ORIGIN, 8080, None)


def test_control_is_asked_to_try_the_endpoints_of_the_test_vantage_but_no_bogon() -> None:
    here = Scene(HTTPS).dns(EXAMPLE, ORIGIN, "10.0.0.1").tcp(ORIGIN).tcp("10.0.0.1", failure="connection_refused")
    assert [(one.address, one.until, one.server_name) for one in control_checks(here.done())] == [
        (ORIGIN, "tls", EXAMPLE)
    ]
    allowed = control_checks(here.done(), ("10.0.0.0/8",))
    assert {one.address for one in allowed} == {ORIGIN, "10.0.0.1"}


QUIC_SETTINGS: Final = msgspec.structs.replace(
    SETTINGS, quic_reference=Stranger(host="quic.example", address="198.41.0.9")
)
TRANSFER_SETTINGS: Final = msgspec.structs.replace(
    SETTINGS, transfer_reference=Stranger(host="file.example", address=STRANGER, port=80, url=FILE)
)


def test_dead_http3_is_asked_again_beside_another_operator_and_stays_a_finding() -> None:
    page = Scene(HTTPS).dns(EXAMPLE, ORIGIN).tcp(ORIGIN).tls(ORIGIN, EXAMPLE)
    page.http(HTTPS, ORIGIN, headers=(("alt-svc", 'h3=":443"; ma=86400'),))
    context = judged_with(control_with_quic())
    measurement, stages = deepen(page, context, Censor(no_http3=True), QUIC_SETTINGS)
    assert [purposes(stage) for stage in stages][1:] == [["http3"], ["http3", "quic_ping", "quic_reference"]]
    verdict = classify(measurement, context)
    assert (verdict.status, verdict.mechanisms) == ("accessible", ("quic.timeout",))


def test_http3_is_tried_where_tcp_is_dead_and_changes_no_status() -> None:
    here = Scene(HTTPS).dns(EXAMPLE, ORIGIN).tcp(ORIGIN, failure="generic_timeout_error")
    context = judged_with(control_https())
    measurement, stages = deepen(here, context, Censor(dead={(ORIGIN, 443), (ORIGIN, 80)}), QUIC_SETTINGS)
    assert "http3" in purposes(stages[1])
    verdict = classify(measurement, context)
    assert (verdict.status, verdict.rule) == ("blocked", "differs")
    assert verdict.because.endswith("; over HTTP/3 it can still be reached.")


def test_http3_switched_off_is_never_tried() -> None:
    settings = msgspec.structs.replace(QUIC_SETTINGS, http3=False)
    _, stages = deepen(reset_in_tls(), judged_with(), Censor(reset_name=EXAMPLE), settings)
    assert "quic" not in {one.until for stage in stages for one in stage}


def test_slow_page_is_compared_until_three_transfers_agree() -> None:
    context = judged_with(quick_control())
    censor = Censor(rates={ORIGIN: 16_000, STRANGER: 5_000_000})
    measurement, stages = deepen(slow_page(), context, censor, TRANSFER_SETTINGS)
    assert [purposes(stage) for stage in stages] == [["transfer", "transfer_reference"]] * 3
    assert classify(measurement, context).status == "throttled"


def test_slow_page_over_tls_is_also_asked_for_under_a_harmless_name_once() -> None:
    url = f"https://{EXAMPLE}/large"
    (own, reference, harmless) = follow_ups(slow_page(url).done(), judged_with(quick_control(url)), TRANSFER_SETTINGS)
    assert (own.purpose, own.url, own.server_name, own.verify_name) == (Purpose.TRANSFER, url, EXAMPLE, EXAMPLE)
    assert (reference.purpose, reference.url) == (Purpose.TRANSFER_REFERENCE, FILE)
    assert (harmless.server_name, harmless.verify_name, harmless.host) == (HARMLESS, EXAMPLE, EXAMPLE)


def test_quick_transfers_end_the_comparison_at_three() -> None:
    context = judged_with(quick_control())
    censor = Censor(rates={ORIGIN: 2_000_000, STRANGER: 5_000_000})
    _, stages = deepen(slow_page(), context, censor, TRANSFER_SETTINGS)
    assert len(stages) == 3


def small_looks(failure: str | None, *, number: int = 1) -> list[FollowUp]:
    """Return the further looks at TLS that never answers, after so many in small packets."""
    here = reset_in_tls("generic_timeout_error").at(Purpose.RETRY)
    here.tcp(ORIGIN).tls(ORIGIN, EXAMPLE, "generic_timeout_error")
    here.at(Purpose.HARMLESS_NAME).tcp(ORIGIN).tls(ORIGIN, HARMLESS, "generic_timeout_error").at(Purpose.SMALL_SEGMENTS)
    for _ in range(number):
        here.tcp(ORIGIN).tls(ORIGIN, EXAMPLE, failure)
    asked = follow_ups(here.done(), judged_with(control_https()), SETTINGS)
    return [one for one in asked if one.purpose is Purpose.SMALL_SEGMENTS]


def test_what_is_never_answered_is_asked_for_in_small_packets_until_it_fails_or_passed_twice() -> None:
    (first,) = small_looks(None, number=0)
    assert (first.until, first.address, first.server_name) == ("tls", ORIGIN, EXAMPLE)
    assert small_looks(None) == [first]
    assert small_looks(None, number=2) == []
    assert small_looks("generic_timeout_error") == []


def test_without_a_reference_nothing_is_transferred() -> None:
    stage = follow_ups(slow_page().done(), judged_with(quick_control()), SETTINGS)
    assert "throughput" not in {one.until for one in stage}


def test_control_is_asked_how_fast_the_page_comes_and_whether_http3_works() -> None:
    checks = control_checks(slow_page(f"https://{EXAMPLE}/large").done(), http3=True, transfer=True)
    assert [one.until for one in checks][-2:] == ["quic", "throughput"]
    assert {one.purpose for one in checks} == {Purpose.CONTROL_CHECK}
    assert [one.until for one in control_checks(slow_page(LARGE).done())] == ["tcp", "tls"]


def test_harmless_name_that_fails_alike_is_looked_at_again_later() -> None:
    context = judged_with(control_https())
    measurement, _ = deepen(reset_in_tls(), context, Censor(resets_every_name=True))
    (later,) = residual_looks(measurement, context, SETTINGS)
    assert (later.purpose, later.address, later.server_name) == (Purpose.RESIDUAL, ORIGIN, HARMLESS)
    by_name, _ = deepen(reset_in_tls(), context, Censor(reset_name=EXAMPLE))
    assert residual_looks(by_name, context, SETTINGS) == ()
