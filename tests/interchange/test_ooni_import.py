import base64
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.config.fingerprints import shipped
from monitor.daemon.ooni_import import judged
from monitor.interchange.ooni_failure import failure_from
from monitor.interchange.ooni_import import NotOursError, Targets, taken
from monitor.model.identifier import imported_id
from monitor.model.observation import DnsObservation, HttpObservation, Purpose, TcpObservation, TlsObservation
from monitor.model.outcome import Outcome
from monitor.model.target import Expectation, Target
from monitor.model.verdict import Reason, Status
from tests.interchange import ooni_lines as lines

X = Target(name="x-home", platform="x", url="https://x.com/", expectation=Expectation(title="X / today"))
TARGETS = Targets((X,))
VERSIONS = {"0.4": lines.version_4, "0.5": lines.version_5, "older": lines.older}


def outcome(found: dict[str, Any]) -> Outcome:
    return judged(taken(found, TARGETS), (), shipped()[1])


def words(found: dict[str, Any]) -> tuple[str, ...]:
    verdict = outcome(found).verdict
    assert verdict is not None
    return (verdict.status, *(verdict.confidence or "",) * bool(verdict.confidence), *verdict.mechanisms)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_reachable_page_is_accessible(version: str) -> None:
    assert words(VERSIONS[version]()) == ("accessible",)


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_a_handshake_that_is_reset_while_the_helper_passes_is_a_block_at_that_layer(version: str) -> None:
    assert words(VERSIONS[version]("connection_reset")) == ("blocked", "likely", "tls.reset")


def test_what_ooni_concluded_is_kept_and_never_read() -> None:
    found = lines.version_4()
    found["test_keys"] |= {"blocking": "tcp_ip", "accessible": False}
    assert words(found) == ("accessible",)
    label = msgspec.json.decode(taken(found, TARGETS).imported.label or "{}")
    assert (label["blocking"], label["accessible"], label["x_status"]) == ("tcp_ip", False, 1024)


def test_without_handshakes_a_failed_https_request_is_no_block_since_its_layer_is_unknown() -> None:
    assert words(lines.older("connection_reset"))[0] == "inconclusive"


def test_a_cleartext_request_that_is_reset_while_the_helper_is_served_is_a_block() -> None:
    url = "http://x.com/"
    found = lines.base(url)
    found["test_keys"] = {
        "queries": [lines.system_lookup()], "tcp_connect": [lines.connect(port=80)],
        "requests": [lines.request(url, "connection_reset")], "control_failure": None,
        "control": lines.control(
            tcp_connect={f"{lines.ADDRESS}:80": {"status": True, "failure": None}}, tls_handshake={}
        ),
    }  # fmt: skip
    assert words(found) == ("blocked", "likely", "http.reset")


def test_a_name_that_does_not_exist_here_alone_is_a_block_by_dns() -> None:
    found = lines.version_4()
    found["test_keys"] |= {
        "queries": [lines.system_lookup(failure="dns_nxdomain_error")], "tcp_connect": [], "tls_handshakes": [],
        "requests": [lines.request(failure="dns_nxdomain_error")],
    }  # fmt: skip
    assert words(found) == ("blocked", "likely", "dns.nxdomain")


def test_what_fails_at_the_helper_too_is_down() -> None:
    found = lines.version_4("connection_reset")
    endpoint = f"{lines.ADDRESS}:443"
    found["test_keys"]["control"] |= {
        "tls_handshake": {endpoint: {"status": False, "failure": "connection_reset"}},
        "http_request": {
            "failure": "connection_reset",
            "status_code": -1,
            "body_length": -1,
            "headers": {},
            "title": "",
        },
    }
    assert words(found) == ("down",)


def test_without_the_helper_a_failure_stays_open() -> None:
    found = lines.version_4("connection_reset")
    found["test_keys"] |= {"control": None, "control_failure": "generic_timeout_error"}
    verdict = outcome(found).verdict
    assert verdict is not None
    assert (verdict.status, verdict.reason) == (Status.INCONCLUSIVE, Reason.NO_CONTROL)


def test_a_redirect_to_a_verified_page_is_accessible_although_old_data_show_nothing_of_that_hop() -> None:
    found = lines.version_4()
    found["input"] = "http://x.com/"
    away = lines.request("http://x.com/") | {"response": lines.response(301, "", Location="https://x.com/home")}
    found["test_keys"] |= {
        "requests": [lines.request("https://x.com/home"), away],
        "tcp_connect": [lines.connect(port=80)],
        "tls_handshakes": [],
    }
    assert words(found) == ("accessible",)
    hops = [
        one.hop for one in taken(found, TARGETS).recording.measurement.observations if isinstance(one, HttpObservation)
    ]
    assert hops == [0, 1]


def test_a_failure_behind_a_redirect_is_no_block_since_nobody_saw_its_layer() -> None:
    found = lines.version_4()
    away = lines.request() | {"response": lines.response(302, "", Location="https://other.example/")}
    found["test_keys"]["requests"] = [lines.request("https://other.example/", "connection_reset"), away]
    assert words(found)[0] == "inconclusive"


def test_a_handshake_that_checked_nothing_proves_nothing() -> None:
    found = lines.version_4()
    found["test_keys"]["tls_handshakes"] = [lines.handshake(no_tls_verify=True)]
    assert words(found)[0] == "inconclusive"


def test_certificates_are_kept_as_evidence_and_named_by_their_digest() -> None:
    der = lines.certificate()
    found = lines.version_4()
    data = {"format": "base64", "data": base64.b64encode(der).decode()}
    found["test_keys"]["tls_handshakes"] = [lines.handshake(peer_certificates=[data])]
    recording = taken(found, TARGETS).recording
    (tls,) = [one for one in recording.measurement.observations if isinstance(one, TlsObservation)]
    assert tls.chain == tls.evidence
    assert (tls.leaf_covers_name, tls.leaf_issuer) == (True, "CN=x.com")
    assert der in [one.content for one in recording.evidence]


def test_addresses_that_only_others_know_are_no_part_of_the_way() -> None:
    observations = taken(lines.version_5(), TARGETS).recording.measurement.observations
    assert {one.address: one.purpose for one in observations if isinstance(one, TcpObservation)} == {
        lines.ADDRESS: Purpose.PATH,
        lines.OTHER: Purpose.OTHER_ADDRESS,
    }
    lookups = [one for one in observations if isinstance(one, DnsObservation)]
    assert [(one.purpose, one.resolver, one.transport) for one in lookups] == [
        (Purpose.PATH, "system", "udp"),
        (Purpose.OTHER_RESOLVER, "udp://8.8.8.8", "udp"),
        (Purpose.OTHER_RESOLVER, "https://dns.google/dns-query", "https"),
    ]


def test_a_private_resolver_stays_private() -> None:
    found = lines.version_5()
    found["test_keys"]["queries"][1]["resolver_address"] = "192.168.178.1:53"
    lookups = taken(found, TARGETS).recording.measurement.observations
    assert "udp://private" in [one.resolver for one in lookups if isinstance(one, DnsObservation)]


def test_a_target_is_found_by_its_host_and_judged_by_statuses_only() -> None:
    one = taken(lines.base("http://www.x.com/i/flow", test_keys={"queries": None}), TARGETS)
    assert (one.target, one.expectation) == (X, Expectation())


@pytest.mark.parametrize(
    ("url", "name"), [("https://www.example.com/a", "example.com"), ("http://9.9.9.9/", "literal-")]
)
def test_a_host_that_nobody_configured_is_a_target_named_after_it_and_never_an_address(url: str, name: str) -> None:
    target = taken(lines.base(url, test_keys={"queries": None}), TARGETS).target
    assert target.name.startswith(name)
    assert target.platform == "imported"
    assert "9.9.9.9" not in target.name


def test_the_vantage_stands_for_country_and_network() -> None:
    assert taken(lines.version_4(), TARGETS).recording.measurement.vantage == "ooni-pk-as17557"
    assert taken(lines.version_4() | {"probe_asn": "AS0"}, TARGETS).vantage.claimed_asn is None


@pytest.mark.parametrize(
    ("value", "failure"),
    [
        (None, None),
        (False, None),
        ("dns_name_error", "dns_nxdomain_error"),
        ("connection_refused_error", "connection_refused"),
        ("tcp_timed_out_error", "timed_out"),
        ("dns_lookup_error", "dns_server_misbehaving"),
        ("response_never_received", "unknown_failure: response_never_received"),
        ("unknown_failure: dial tcp 203.135.1.2:443: oops", "unknown_failure: dial tcp [scrubbed]: oops"),
        (True, "unknown_failure: not a string"),
        ({"a": 1}, "unknown_failure: not a string"),
    ],
)
def test_old_and_odd_failures_become_ours(value: object, failure: str | None) -> None:
    assert failure_from(value) == failure


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"test_name": "telegram"}, "not of the test web_connectivity"),
        ({"input": "x.com"}, "its input is no http or https URL"),
        ({"measurement_start_time": "yesterday", "test_start_time": None}, "no readable measurement_start_time"),
        ({"probe_cc": None}, "no probe_cc"),
        ({"test_keys": None}, "no measurement with test_keys"),
    ],
)
def test_a_line_that_cannot_be_taken_in_says_why(changes: dict[str, Any], why: str) -> None:
    with pytest.raises(NotOursError, match=why):
        taken(lines.version_4() | changes, TARGETS)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("null", [True, False], ids=["null", "absent"])
def test_any_key_may_be_null_or_absent(version: str, null: bool) -> None:  # noqa: FBT001 - a parameter of the test
    found = VERSIONS[version]("connection_reset")
    for path in lines.paths(found):
        changed = lines.without(found, path, null=null)
        try:
            verdict = outcome(changed).verdict
        except NotOursError:
            continue
        assert verdict is not None, path


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda below: st.lists(below) | st.dictionaries(st.text(), below),
    max_leaves=8,
)


@given(value=ANYTHING, data=st.data())
@settings(max_examples=200, deadline=None)
def test_any_key_may_hold_anything(value: object, data: st.DataObject) -> None:
    found = lines.version_5("connection_reset")
    path = data.draw(st.sampled_from(lines.paths(found)))
    place: Any = found
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    try:
        one = outcome(found)
    except NotOursError:
        return
    assert one.verdict is not None
    assert len(one.recording.measurement.observations) <= 1024


def test_a_body_may_be_an_object_and_headers_a_map() -> None:
    found = lines.version_4()
    body = {"format": "base64", "data": base64.b64encode(b"<title>Page</title>\xff").decode()}
    answer = lines.response(body=body, Server="nginx", Set_Cookie="session=secret")
    del answer["headers_list"]
    found["test_keys"]["requests"][0]["response"] = answer
    recording = taken(found, TARGETS).recording
    (http,) = [one for one in recording.measurement.observations if isinstance(one, HttpObservation)]
    assert (http.title, http.body_bytes, ("server", "nginx") in http.headers) == ("Page", 20, True)
    assert not any(b"secret" in one.content for one in recording.evidence)


def test_ids_are_the_same_every_time_and_sort_by_second() -> None:
    one, again = (taken(lines.version_4(), TARGETS).recording.measurement.id for _ in range(2))
    assert one == again
    later = taken(lines.version_4() | {"measurement_start_time": "2024-02-18 10:00:01"}, TARGETS)
    old = taken(lines.older(), TARGETS)
    oldest = taken(lines.older() | {"measurement_start_time": "2017-11-26 07:59:59"}, TARGETS)
    ids = [each.recording.measurement.id for each in (oldest, old)] + [one, later.recording.measurement.id]
    assert ids == sorted(ids)
    assert min(ids) > 0
    assert max(ids) < 2**53


def test_ids_of_old_times_never_meet_those_of_new_ones() -> None:
    moment = taken(lines.version_4(), TARGETS).recording.measurement.started_at
    first, last = moment.replace(year=2012, month=1, day=1), moment.replace(year=2020, month=1, day=3, hour=23)
    assert 0 < imported_id(first, b"\xff" * 32) < imported_id(last, bytes(32))
    assert imported_id(last, b"\xff" * 32) < imported_id(moment.replace(year=2020, month=1, day=5), bytes(32))
