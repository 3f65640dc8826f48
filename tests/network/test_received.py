import base64
import ipaddress
import urllib.parse

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.network.received import SCRUBBED, printable, scrub, scrub_packed, scrub_text

OWN4, OWN6 = "203.0.113.77", "2001:db8:1:2::77"
OWN = frozenset({OWN4, OWN6})


@pytest.mark.parametrize(
    "spelling",
    [
        OWN4, OWN6, "::ffff:203.0.113.77", "::ffff:cb00:714d", "2001:0db8:0001:0002:0000:0000:0000:0077",
        "2001:DB8:1:2::77", "2001:db8:1:2:0:0:0:77", "203-0-113-77", "77.113.0.203", "77.113.0.203.in-addr.arpa",
        ipaddress.ip_address(OWN6).reverse_pointer, urllib.parse.quote(OWN6), "203%2E0%2E113%2E77", "cb00714d",
    ],
)  # fmt: skip
def test_every_spelling_of_our_address_is_scrubbed(spelling: str) -> None:
    text = scrub_text(f"your address <b>{spelling}</b> was logged", OWN)
    assert SCRUBBED in text
    for address in OWN:
        assert spelling not in text
        assert address not in text


@pytest.mark.parametrize("address", [OWN4, OWN6])
@given(before=st.binary(max_size=7), after=st.binary(max_size=7))
def test_our_address_inside_base64_is_scrubbed(address: str, before: bytes, after: bytes) -> None:
    encoded = base64.b64encode(before + address.encode() + after)
    assert SCRUBBED.encode() in scrub(encoded, OWN)


def test_other_addresses_stay() -> None:
    assert scrub_text("at 198.51.100.1 and 2001:db8::1", OWN) == "at 198.51.100.1 and 2001:db8::1"


def test_packed_addresses_in_messages_are_zeroed_in_place() -> None:
    message = b"head" + ipaddress.ip_address(OWN4).packed + b"tail" + ipaddress.ip_address(OWN6).packed
    assert scrub_packed(message, OWN) == b"head" + bytes(4) + b"tail" + bytes(16)


@given(st.one_of(st.binary(), st.text()), st.integers(0, 300))
def test_kept_text_is_printable_and_bounded(received: bytes | str, limit: int) -> None:
    text = printable(received, limit)
    assert text.isprintable()
    assert len(text) <= limit


def test_whitespace_collapses_and_control_characters_are_replaced() -> None:
    assert printable(b" a\r\n\tb \x1b[31m ", 99) == "a b \ufffd[31m"
