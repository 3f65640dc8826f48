import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from monitor.daemon.listen import HurriedProtocol, Server, listening_socket, server_config

REQUEST = b"GET / HTTP/1.1\r\nHost: here\r\n\r\n"


class Quick(HurriedProtocol):
    request_seconds = 0.2


@contextlib.asynccontextmanager
async def connection() -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """Connect to a server that gives a request head a fifth of a second."""
    app = Starlette(routes=[Route("/", lambda _: PlainTextResponse("served"))])
    config = server_config(app, graceful_seconds=1)
    config.http = Quick
    listener, server = listening_socket("127.0.0.1:0"), Server(config)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    reader, writer = await asyncio.open_connection(*listener.getsockname())
    try:
        yield reader, writer
    finally:
        writer.close()
        server.should_exit = True
        await serving


@pytest.mark.parametrize("sent", [b"", REQUEST[:10], REQUEST + REQUEST[:10]], ids=["nothing", "half", "one and a half"])
def test_who_does_not_bring_a_whole_request_head_in_time_is_shown_the_door(sent: bytes) -> None:
    async def end() -> bytes:
        async with connection() as (reader, writer), asyncio.timeout(10):
            writer.write(sent)
            return await reader.read()

    served = asyncio.run(end())
    assert served.count(b"served") == sent.count(b"Host")


def test_who_asks_in_time_is_answered_again_and_again() -> None:
    async def answers() -> list[bytes]:
        async with connection() as (reader, writer), asyncio.timeout(10):
            found = []
            for _ in range(5):
                await asyncio.sleep(0.1)  # all in all longer than one request may take
                writer.write(REQUEST)
                found.append(await reader.readuntil(b"served"))
            return found

    assert len(asyncio.run(answers())) == 5
