import asyncio
import hashlib
import ssl
from datetime import UTC, datetime

import pytest
import trustme
import uvloop

from monitor.model.failure import Failure
from monitor.model.observation import FailureDetail, TlsObservation
from monitor.network.connect import connect
from monitor.network.handshake import HELLO_PROFILE, WEB_ALPN, client_context, handshake
from monitor.network.local import LocalNetwork
from monitor.network.recorder import Recorder
from tests.network.loopback import (
    AUTHORITY,
    STRANGER,
    Handler,
    after_hello,
    close,
    reset,
    server_context,
    silence,
    tcp_server,
    toolbox,
)


async def shake(
    handler: Handler, context: ssl.SSLContext | None = None, server_name: str | None = "x.test", seconds: float = 5.0
) -> tuple[TlsObservation, Recorder]:
    tools = toolbox()
    recorder = Recorder(tools.clock)
    async with tcp_server(handler, context) as port:
        _, stream = await connect(LocalNetwork(), recorder, "127.0.0.1", port, seconds=5.0)
        assert stream is not None
        observation, secure = await handshake(
            tools.clock, tools.trust, recorder, stream,
            server_name=server_name, address="127.0.0.1", port=port, seconds=seconds,
        )  # fmt: skip
        stream.close()
    assert (secure is None) == (observation.version is None)
    return observation, recorder


@pytest.mark.parametrize("loop_factory", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def test_good_handshake_gives_every_fact(loop_factory: object) -> None:
    with asyncio.Runner(loop_factory=loop_factory) as runner:  # type: ignore[arg-type]  # a row holds a function
        observation, recorder = runner.run(shake(silence, server_context("x.test", alpn=("h2", "http/1.1"))))
    assert observation.failure is None
    assert observation.verified
    assert (observation.version, observation.alpn, observation.server_name) == ("TLSv1.3", "h2", "x.test")
    assert observation.cipher is not None
    assert observation.offered_alpn == WEB_ALPN
    assert observation.leaf_covers_name is True
    assert observation.bytes_sent > 200
    assert observation.bytes_received > 400
    assert observation.chain == observation.evidence
    for digest in observation.chain:
        assert hashlib.sha256(recorder.evidence[digest].content).hexdigest() == digest


@pytest.mark.parametrize(
    ("context", "failure", "verify_code"),
    [
        (server_context("x.test", authority=STRANGER), Failure.SSL_UNKNOWN_AUTHORITY, 20),
        (server_context("y.test"), Failure.SSL_INVALID_HOSTNAME, 62),
        (
            server_context(
                "x.test", not_before=datetime(2020, 1, 1, tzinfo=UTC), not_after=datetime(2021, 1, 1, tzinfo=UTC)
            ),
            Failure.SSL_INVALID_CERTIFICATE,
            10,
        ),
    ],
    ids=["stranger", "name", "expired"],
)
def test_bad_certificate_is_kept_with_fingerprint_issuer_and_end(
    context: ssl.SSLContext, failure: Failure, verify_code: int
) -> None:
    observation, recorder = asyncio.run(shake(silence, context))
    assert (observation.failure, observation.detail) == (failure, FailureDetail(verify_code=verify_code))
    assert not observation.verified
    assert observation.certificate_failures == (failure,)
    assert observation.chain[0] in recorder.evidence
    assert observation.leaf_issuer is not None
    assert observation.leaf_not_after is not None
    assert observation.version == "TLSv1.3"


def test_whole_presented_chain_is_kept() -> None:
    intermediate = AUTHORITY.create_child_ca(key_type=trustme.KeyType.ECDSA)
    observation, _ = asyncio.run(shake(silence, server_context("x.test", authority=intermediate)))
    assert observation.verified
    assert len(observation.chain) == 2


@pytest.mark.parametrize(
    ("handler", "failure"),
    [(close, Failure.EOF_ERROR), (reset, Failure.CONNECTION_RESET), (silence, Failure.GENERIC_TIMEOUT_ERROR)],
)
def test_interference_after_the_hello_is_named_after_what_it_did(handler: Handler, failure: Failure) -> None:
    observation, _ = asyncio.run(shake(after_hello(handler), seconds=0.3))
    assert observation.failure == failure
    assert (observation.version, observation.chain) == (None, ())


def test_alert_is_kept_by_name() -> None:
    async def refuse(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"\x15\x03\x03\x00\x02\x02\x28")

    observation, _ = asyncio.run(shake(after_hello(refuse)))
    assert observation.failure == Failure.SSL_FAILED_HANDSHAKE
    assert observation.detail == FailureDetail(alert="handshake_failure")


def test_literal_address_is_not_named_and_the_certificate_tested_for_it() -> None:
    observation, _ = asyncio.run(shake(silence, server_context("127.0.0.1"), server_name="127.0.0.1"))
    assert observation.verified
    assert observation.server_name is None
    observation, _ = asyncio.run(shake(silence, server_context("x.test"), server_name=None))
    assert observation.failure == Failure.SSL_INVALID_HOSTNAME


def test_name_is_sent_and_nothing_is_resumed() -> None:
    names: list[str | None] = []
    resumed: list[bool] = []
    context = server_context("x.test")
    context.sni_callback = lambda _, name, __: names.append(name)

    async def note(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        resumed.append(writer.get_extra_info("ssl_object").session_reused)
        await silence(_, writer)

    async def run() -> None:
        await shake(note, context)
        await shake(note, context)

    asyncio.run(run())
    assert names == ["x.test", "x.test"]
    assert True not in resumed


def test_contexts_are_made_once_and_the_hello_has_a_name() -> None:
    assert client_context(WEB_ALPN) is client_context(WEB_ALPN)
    assert HELLO_PROFILE.startswith("openssl-")
