import asyncio
import socket

import pytest

from monitor.agent.transport import Transport, UnreachableError, usable_url


def test_a_centre_that_hangs_is_given_up() -> None:
    async def ask(port: int) -> None:
        transport = Transport(None)
        try:
            await transport.post(f"http://127.0.0.1:{port}/v1/check-in", b"{}", {}, 0.2)
        finally:
            await transport.close()

    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(UnreachableError, match="TimeoutError"):
        asyncio.run(ask(silent.getsockname()[1]))


@pytest.mark.parametrize(
    ("url", "insecure", "usable"),
    [
        ("https://centre.example.org:9444", False, True),
        ("https://centre.example.org:9444/", False, True),
        ("http://127.0.0.1:9444", False, True),
        ("http://abcdefghij234567.onion", False, True),
        ("http://centre.example.org", False, False),
        ("http://centre.example.org", True, True),
        ("https://user:word@centre.example.org", False, False),
        ("https://centre.example.org/elsewhere", False, False),
        ("ftp://centre.example.org", True, False),
        ("", True, False),
    ],
)
def test_plain_http_needs_this_host_an_onion_or_the_owners_word(url: str, insecure: bool, usable: bool) -> None:  # noqa: FBT001 - a table
    assert (usable_url(url, insecure=insecure) is not None) is usable
