import os
from pathlib import Path

import pytest

from monitor.network.nameservers import nameservers, resolver_of


@pytest.mark.parametrize(
    ("text", "transport", "endpoint", "host", "label"),
    [
        ("udp://9.9.9.9", "udp", ("9.9.9.9", 53), "9.9.9.9", "udp://9.9.9.9"),
        ("tcp://9.9.9.9:5353", "tcp", ("9.9.9.9", 5353), "9.9.9.9", "tcp://9.9.9.9:5353"),
        ("udp://[2620:fe::fe]:53", "udp", ("2620:fe::fe", 53), "2620:fe::fe", "udp://[2620:fe::fe]:53"),
        ("tls://9.9.9.9", "tls", ("9.9.9.9", 853), "9.9.9.9", "tls://9.9.9.9"),
        ("tls://dns.quad9.net:853@9.9.9.9", "tls", ("9.9.9.9", 853), "dns.quad9.net", "tls://dns.quad9.net:853@9.9.9.9"),
        ("https://dns.quad9.net/dns-query@9.9.9.9", "https", ("9.9.9.9", 443), "dns.quad9.net",
         "https://dns.quad9.net/dns-query@9.9.9.9"),
        ("https://dns.quad9.net/dns-query", "https", (None, 443), "dns.quad9.net", "https://dns.quad9.net/dns-query"),
        ("udp://192.168.1.1", "udp", ("192.168.1.1", 53), "192.168.1.1", "private"),
        ("https://dns.home.test/q@10.0.0.1", "https", ("10.0.0.1", 443), "dns.home.test", "private"),
        ("udp://100.64.0.1", "udp", ("100.64.0.1", 53), "100.64.0.1", "private"),
        ("udp://127.0.0.53:53", "udp", ("127.0.0.53", 53), "127.0.0.53", "udp://127.0.0.53:53"),
        ("system", "system", (None, 53), "", "system"),
    ],
)  # fmt: skip
def test_forms_of_resolvers(text: str, transport: str, endpoint: tuple[str | None, int], host: str, label: str) -> None:
    resolver = resolver_of(text)
    assert (resolver.transport, (resolver.address, resolver.port)) == (transport, endpoint)
    assert (resolver.host, resolver.label) == (host, label)


@pytest.mark.parametrize(
    "text", ["", "9.9.9.9", "udp://", "udp://dns.quad9.net", "ftp://9.9.9.9", "https://x.test/q@y"]
)
def test_what_is_no_resolver_is_our_mistake(text: str) -> None:
    with pytest.raises(ValueError, match="no"):
        resolver_of(text)


def test_system_names_at_most_three_servers_and_comments_do_not_count(tmp_path: Path) -> None:
    path = tmp_path / "resolv.conf"
    path.write_text(
        "# nameserver 1.1.1.1\nsearch x.test\nnameserver 9.9.9.9 # first\nnameserver nonsense\n"
        "nameserver 2620:fe::fe\nnameserver 8.8.8.8\nnameserver 8.8.4.4\nnameserver\n"
    )
    assert nameservers(path) == (("9.9.9.9", 53), ("2620:fe::fe", 53), ("8.8.8.8", 53))


def test_changed_file_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "resolv.conf"
    path.write_text("nameserver 9.9.9.9\n")
    assert nameservers(path) == (("9.9.9.9", 53),)
    path.write_text("nameserver 8.8.8.8\n")
    os.utime(path, ns=(1, 1))
    assert nameservers(path) == (("8.8.8.8", 53),)


def test_without_names_the_server_is_local_as_libc_has_it(tmp_path: Path) -> None:
    assert nameservers(tmp_path / "missing") == (("127.0.0.1", 53),)
    (tmp_path / "empty").write_text("")
    assert nameservers(tmp_path / "empty") == (("127.0.0.1", 53),)
