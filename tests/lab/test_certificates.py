import ssl

import pytest

from monitor.lab import Certificate, Cut, Lab, places
from tests.lab.client import fetch, tls

NAME = "certified.lab.test"
# X.509 verify codes of OpenSSL, see verify(1).
SELF_SIGNED_LEAF, UNKNOWN_ISSUER, EXPIRED, NOT_YET_VALID, SELF_SIGNED_IN_CHAIN, WRONG_NAME = 18, 20, 10, 9, 19, 62


def verify_code(lab: Lab, name: str = NAME, address: str = "", source: str = "127.0.0.1") -> int:
    try:
        with tls(lab, name, address, source=source):
            return 0
    except ssl.SSLCertVerificationError as error:
        return error.verify_code


@pytest.mark.parametrize(
    ("certificate", "code"),
    [
        (Certificate.GOOD, 0),
        (Certificate.ENDING_SOONER, 0),
        (Certificate.EXPIRED, EXPIRED),
        (Certificate.NOT_YET_VALID, NOT_YET_VALID),
        (Certificate.WRONG_NAME, WRONG_NAME),
        (Certificate.UNKNOWN_AUTHORITY, UNKNOWN_ISSUER),
        (Certificate.SELF_SIGNED, SELF_SIGNED_LEAF),
        (Certificate.MISSING_INTERMEDIATE, UNKNOWN_ISSUER),
    ],
)
def test_a_certificate_has_the_defect_it_is_named_after(lab: Lab, certificate: Certificate, code: int) -> None:
    lab.site(NAME, certificate=certificate)
    assert verify_code(lab) == code
    assert verify_code(lab, source=places.CONTROL_SOURCE) == code


def test_another_name_at_a_site_meets_the_site_s_own_certificate(lab: Lab) -> None:
    lab.site(NAME)
    assert verify_code(lab, places.HARMLESS_NAME, lab.address(NAME)) == WRONG_NAME


def test_the_impostor_claims_whatever_name_it_is_asked_for(lab: Lab) -> None:
    assert verify_code(lab, NAME, places.IMPOSTOR) == UNKNOWN_ISSUER
    with tls(lab, NAME, places.IMPOSTOR, verify=False) as connected:
        assert fetch(connected, NAME)[0] == 200


def test_a_substituted_certificate_is_seen_by_the_test_vantage_only(lab: Lab) -> None:
    lab.site(NAME)
    lab.censor(NAME, Cut.SUBSTITUTE)
    assert verify_code(lab) == UNKNOWN_ISSUER
    assert verify_code(lab, source=places.CONTROL_SOURCE) == 0


def test_an_intercepted_line_shows_one_issuer_for_every_host(lab: Lab) -> None:
    lab.line("intercepted")
    assert [verify_code(lab, name) for name in places.SANE_NAMES] == [UNKNOWN_ISSUER] * 3
    assert verify_code(lab, places.SANE_NAMES[0], source=places.CONTROL_SOURCE) == 0


def test_the_protocol_offered_by_both_is_agreed(lab: Lab) -> None:
    lab.site(NAME, alpn=["http/1.1"])
    with tls(lab, NAME, alpn=("h2", "http/1.1")) as connected:
        assert connected.selected_alpn_protocol() == "http/1.1"
    lab.site(NAME)
    with tls(lab, NAME, alpn=("h2", "http/1.1")) as connected:
        assert connected.selected_alpn_protocol() == "h2"
