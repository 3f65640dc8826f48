import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.network.web_url import web_url


@pytest.mark.parametrize(
    ("text", "host", "port", "authority", "shown"),
    [
        ("https://x.test", "x.test", 443, "x.test", "https://x.test/"),
        ("HTTPS://X.Test/A", "x.test", 443, "x.test", "https://x.test/A"),
        ("http://x.test:8080/?q=1#top", "x.test", 8080, "x.test:8080", "http://x.test:8080/?q=1"),
        ("https://x.test./", "x.test", 443, "x.test.", "https://x.test./"),
        ("https://münchen.test/", "xn--mnchen-3ya.test", 443, "xn--mnchen-3ya.test", "https://xn--mnchen-3ya.test/"),
        ("https://192.0.2.1/", "192.0.2.1", 443, "192.0.2.1", "https://192.0.2.1/"),
        ("https://[2001:db8::1]:444/", "2001:db8::1", 444, "[2001:db8::1]:444", "https://[2001:db8::1]:444/"),
        ("https://user:secret@x.test/", "x.test", 443, "x.test", "https://***@x.test/"),
        ("https://sub_domain.x.test/", "sub_domain.x.test", 443, "sub_domain.x.test", "https://sub_domain.x.test/"),
    ],
)
def test_forms_that_people_write(text: str, host: str, port: int, authority: str, shown: str) -> None:
    url = web_url(text)
    assert (url.host, url.port, url.authority) == (host, port, authority)
    assert url.text.replace("münchen", "xn--mnchen-3ya") == shown


def test_literal_addresses_are_known_as_such() -> None:
    assert web_url("https://[::1]/").is_literal
    assert not web_url("https://x.test/").is_literal


def test_port_of_the_scheme_is_not_named_and_another_is() -> None:
    assert not web_url("http://x.test:80/").names_port
    assert web_url("http://x.test:8080/").names_port


@pytest.mark.parametrize(
    "text",
    [
        "", "x.test", "//x.test/", "ftp://x.test/", "javascript:alert(1)", "https://", "https:///path", "https://a b/",
        "https://x.test:0/", "https://x.test:99999/", "https://-x.test/", "https://" + "a" * 64 + ".test/",
        "https://0xA9FEA9FE.1/", "https://2852039166/", "https://127.1/", "https://x..test/",
        "https://x.test/" + "a" * 9000, "https://x.test/\x00",
    ],
)  # fmt: skip
def test_what_leads_nowhere_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  many reasons, one outcome
        web_url(text)


@pytest.mark.parametrize(
    ("reference", "joined"),
    [
        ("/b", "https://x.test/b"),
        ("b", "https://x.test/a/b"),
        ("?q=1", "https://x.test/a/?q=1"),
        ("//y.test/c", "https://y.test/c"),
        ("http://y.test", "http://y.test/"),
        ("https://u:p@y.test/", "https://***@y.test/"),
    ],
)
def test_references_are_joined(reference: str, joined: str) -> None:
    assert web_url("https://x.test/a/").join(reference).text == joined


def test_userinfo_is_not_sent_on() -> None:
    assert web_url("https://u:p@x.test/a").join("/b").text == "https://x.test/b"


@given(st.text(max_size=200))
def test_hostile_references_give_a_url_or_a_value_error(reference: str) -> None:
    try:
        url = web_url("https://x.test/a").join(reference)
    except ValueError:
        return
    assert url.text.startswith(("http://", "https://"))
    assert url.text.isascii()
    assert url.text.isprintable()
