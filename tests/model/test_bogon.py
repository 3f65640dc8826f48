import pytest

from monitor.model.bogon import is_bogon


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.9", "10.1.2.3", "100.64.0.1", "127.0.0.1", "169.254.169.254", "172.31.255.255", "192.0.0.8", "192.0.2.1",
        "192.168.1.1", "198.19.0.1", "198.51.100.1", "203.0.113.9", "224.0.0.1", "255.255.255.255",
        "::", "::1", "::7f00:1", "::ffff:8.8.8.8", "100::1", "2001:10::1", "2001:db8::1", "fd00::1", "fe80::1",
        "fec0::1", "ff02::1",
        "2002:7f00:1::1", "2001:0:7f00:1::1", "64:ff9b::a00:1",
        "", "localhost", "0xA9FEA9FE", "2852039166", "[scrubbed]", "1.2.3",
    ],
)  # fmt: skip
def test_address_no_public_name_leads_to_is_a_bogon(address: str) -> None:
    assert is_bogon(address)


@pytest.mark.parametrize(
    "address",
    ["8.8.8.8", "100.63.255.255", "172.32.0.1", "2a00:1450::1", "2002:808:808::1", "64:ff9b::808:808", "192.0.1.1"],
)
def test_public_address_is_none(address: str) -> None:
    assert not is_bogon(address)


def test_listed_range_counts_as_ordinary() -> None:
    assert not is_bogon("127.8.9.10", ("10.0.0.0/8", "127.0.0.0/8"))
    assert is_bogon("192.168.0.1", ("127.0.0.0/8",))
    assert not is_bogon("::1", ("::1/128",))
