import asyncio
import errno
import os
import resource
import socket
import ssl
import zlib

import h2.exceptions
import h11
import pytest

from monitor.model.failure import LOCAL_FAULTS, Failure
from monitor.model.observation import FailureDetail
from monitor.network.failures import (
    CLASS_FAILURES,
    ERRNO_FAILURES,
    OUR_FAULT,
    VERIFY_FAILURES,
    ClassifiedError,
    failure_of,
    unknown_failure,
)
from monitor.network.handshake import client_context
from monitor.network.local import LocalNetwork
from monitor.network.stream import TlsStream
from tests.network.loopback import Handler, after_hello, close, closed_port, reset, tcp_server


def raised_by(action: object) -> Exception:
    """Run a coroutine and return what it raised."""

    async def run() -> None:
        await action  # type: ignore[misc]  # any coroutine

    try:
        asyncio.run(run())
    except Exception as error:  # noqa: BLE001  the test looks at whatever it is
        return error
    raise AssertionError("nothing was raised")


async def received_from(handler: Handler) -> None:
    async with tcp_server(handler) as port:
        stream = await LocalNetwork().connect_tcp("127.0.0.1", port)
        try:
            await stream.send(b"hello")
            await stream.receive()
        finally:
            stream.close()


async def written_after_reset() -> None:
    async def finish_and_reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write_eof()
        await reader.readexactly(5)
        await reset(reader, writer)

    async with tcp_server(finish_and_reset) as port:
        stream = await LocalNetwork().connect_tcp("127.0.0.1", port)
        try:
            assert await stream.receive() == b""
            await stream.send(b"hello")
            while True:  # until the reset has arrived
                await asyncio.sleep(0)
                await stream.send(b"again")
        finally:
            stream.close()


async def handshaken_with(said: bytes) -> None:
    """Shake hands with a server that answers the hello with `said` and closes."""

    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(said)

    async with tcp_server(after_hello(answer)) as port:
        stream = await LocalNetwork().connect_tcp("127.0.0.1", port)
        try:
            await TlsStream(stream, client_context(()), "x.test").handshake()
        finally:
            stream.close()


async def connected(address: str, port: int, network: LocalNetwork | None = None) -> None:
    (await (network or LocalNetwork()).connect_tcp(address, port)).close()


async def sent_too_much() -> None:
    with await LocalNetwork().connect_udp("127.0.0.1", 9) as udp:
        udp.send(bytes(70_000))


async def answered_unreachable() -> None:
    with await LocalNetwork().connect_udp("127.0.0.1", closed_port()) as udp:
        udp.send(b"hello")
        await asyncio.get_running_loop().sock_recv(udp, 100)


async def sent_to_everybody() -> None:
    (await LocalNetwork().connect_udp("127.255.255.255", 9)).close()


async def bound_twice() -> None:
    with socket.socket() as first, socket.socket() as second:
        first.bind(("127.0.0.1", 0))
        second.bind(first.getsockname())


async def used_unconnected() -> None:
    with socket.socket() as unconnected:
        unconnected.send(b"hello")


async def used_closed() -> None:
    closed = socket.socket()
    closed.close()
    closed.send(b"hello")


async def asked_for_nonsense() -> None:
    with socket.socket() as plain:
        plain.setsockopt(socket.IPPROTO_TCP, 9999, 1)


async def overdue() -> None:
    async with asyncio.timeout(0):
        await asyncio.Event().wait()


@pytest.mark.parametrize(
    ("action", "failure", "number"),
    [
        (lambda: connected("127.0.0.1", closed_port()), Failure.CONNECTION_REFUSED, errno.ECONNREFUSED),
        (answered_unreachable, Failure.CONNECTION_REFUSED, errno.ECONNREFUSED),
        (lambda: received_from(after_hello(reset)), Failure.CONNECTION_RESET, errno.ECONNRESET),
        (written_after_reset, Failure.CONNECTION_RESET, errno.EPIPE),
        (sent_to_everybody, Failure.PERMISSION_DENIED, errno.EACCES),
        (lambda: connected("127.0.0.1", 80, LocalNetwork("198.51.100.77")), Failure.ADDRESS_NOT_AVAILABLE,
         errno.EADDRNOTAVAIL),
        (lambda: connected("::1", 80, LocalNetwork("127.0.0.1")), Failure.NETWORK_UNREACHABLE, errno.ENETUNREACH),
        (lambda: connected("127.0.0.1", 80, LocalNetwork(interface="nowhere0")), Failure.NETWORK_DOWN, errno.ENODEV),
        (sent_too_much, Failure.MESSAGE_SIZE, errno.EMSGSIZE),
        (bound_twice, Failure.ADDRESS_IN_USE, errno.EADDRINUSE),
        (used_unconnected, Failure.CONNECTION_RESET, errno.EPIPE),
        (used_closed, Failure.CONNECTION_ALREADY_CLOSED, errno.EBADF),
        (asked_for_nonsense, Failure.NO_PROTOCOL_OPTION, errno.ENOPROTOOPT),
    ],
)  # fmt: skip
def test_real_socket_gives_its_failure_and_errno(action: object, failure: Failure, number: int) -> None:
    error = raised_by(action())  # type: ignore[operator]  # a row holds a function
    assert failure_of(error) == (failure, FailureDetail(errno=number))


@pytest.mark.parametrize(("number", "failure"), ERRNO_FAILURES.items())
def test_every_errno_of_the_table_maps_whatever_class_python_gives_it(number: int, failure: Failure) -> None:
    assert failure_of(OSError(number, os.strerror(number))) == (failure, FailureDetail(errno=number))


def test_our_own_deadline_is_told_from_the_kernels() -> None:
    assert failure_of(raised_by(overdue())) == (Failure.GENERIC_TIMEOUT_ERROR, None)
    kernel = OSError(errno.ETIMEDOUT, "Connection timed out")
    assert isinstance(kernel, TimeoutError)
    assert failure_of(kernel)[0] == Failure.TIMED_OUT


def test_fin_in_the_handshake_is_end_of_file_and_rst_a_reset() -> None:
    async def shaken(handler: Handler) -> None:
        async with tcp_server(after_hello(handler)) as port:
            stream = await LocalNetwork().connect_tcp("127.0.0.1", port)
            try:
                await TlsStream(stream, client_context(()), "x.test").handshake()
            finally:
                stream.close()

    assert failure_of(raised_by(shaken(close))) == (Failure.EOF_ERROR, None)
    assert failure_of(raised_by(shaken(reset))) == (Failure.CONNECTION_RESET, FailureDetail(errno=errno.ECONNRESET))


@pytest.mark.parametrize(
    ("number", "name"),
    [
        (10, "unexpected_message"), (20, "bad_record_mac"), (40, "handshake_failure"), (42, "bad_certificate"),
        (43, "unsupported_certificate"), (44, "certificate_revoked"), (45, "certificate_expired"),
        (46, "certificate_unknown"), (47, "illegal_parameter"), (48, "unknown_ca"), (49, "access_denied"),
        (50, "decode_error"), (51, "decrypt_error"), (70, "protocol_version"), (71, "insufficient_security"),
        (80, "internal_error"), (86, "inappropriate_fallback"), (109, "missing_extension"),
        (116, "certificate_required"), (120, "no_application_protocol"),
    ],
)  # fmt: skip
def test_alert_is_a_failed_handshake_with_the_alerts_name(number: int, name: str) -> None:
    error = raised_by(handshaken_with(b"\x15\x03\x03\x00\x02\x02" + bytes([number])))
    assert failure_of(error) == (Failure.SSL_FAILED_HANDSHAKE, FailureDetail(alert=name))


def test_alert_112_is_a_wrong_name() -> None:
    error = raised_by(handshaken_with(b"\x15\x03\x03\x00\x02\x02\x70"))
    assert failure_of(error) == (Failure.SSL_INVALID_HOSTNAME, FailureDetail(alert="unrecognized_name"))


def test_peer_that_does_not_speak_tls_is_a_wrong_version() -> None:
    error = raised_by(handshaken_with(b"HTTP/1.1 400 Bad Request\r\n\r\n"))
    assert failure_of(error) == (Failure.SSL_FAILED_HANDSHAKE, FailureDetail(reason="wrong_version_number"))


def test_numbers_of_openssl_are_not_taken_for_errnos() -> None:
    assert ssl.SSLError(errno.EPERM, "anything").errno == errno.EPERM
    assert failure_of(ssl.SSLError(errno.EPERM, "anything"))[0] == Failure.SSL_FAILED_HANDSHAKE
    assert failure_of(ssl.SSLEOFError(8, "EOF occurred"))[0] == Failure.EOF_ERROR


@pytest.mark.parametrize(
    ("error", "failure"),
    [
        (EOFError(), Failure.EOF_ERROR),
        (asyncio.IncompleteReadError(b"", 2), Failure.EOF_ERROR),
        (zlib.error("incorrect header check"), Failure.HTTP_REQUEST_FAILED),
        (h11.RemoteProtocolError("illegal status line"), Failure.HTTP_REQUEST_FAILED),
        (h2.exceptions.ProtocolError("bad frame"), Failure.HTTP_REQUEST_FAILED),
        (h2.exceptions.InvalidBodyLengthError(9, 3), Failure.EOF_ERROR),
        (ClassifiedError(Failure.DNS_NO_ANSWER), Failure.DNS_NO_ANSWER),
    ],
)
def test_other_exceptions_map_by_class(error: Exception, failure: Failure) -> None:
    assert failure_of(error)[0] == failure


def test_lack_of_our_own_resources_raises() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with socket.socket() as highest:
        resource.setrlimit(resource.RLIMIT_NOFILE, (highest.fileno() + 1, hard))
        try:
            with pytest.raises(OSError, match="Too many open files") as caught:
                socket.socket()
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert caught.value.errno in OUR_FAULT
    with pytest.raises(OSError, match="Too many open files"):
        failure_of(caught.value)


@pytest.mark.parametrize("number", OUR_FAULT)
def test_no_errno_is_both_evidence_and_our_fault(number: int) -> None:
    assert number not in ERRNO_FAILURES


@pytest.mark.parametrize(
    "address",
    ["192.0.2.7", "2001:db8::7", "2001:0db8:0000:0000:0000:0000:0000:0007", "::ffff:192.0.2.7", "fe80::1%eth0"],
)
def test_unknown_text_is_scrubbed_of_addresses(address: str) -> None:
    assert unknown_failure(f"cannot reach {address} now") == "unknown_failure: cannot reach [scrubbed] now"


def test_unknown_text_is_bounded_and_printable() -> None:
    text = unknown_failure("\x1b[31m\n" + "a" * 10_000)
    assert text.isprintable()
    assert len(text) <= 220


def test_unlisted_errno_is_an_unknown_failure_that_keeps_its_number() -> None:
    failure, detail = failure_of(OSError(errno.EXDEV, os.strerror(errno.EXDEV)))
    assert failure == "unknown_failure: Invalid cross-device link"
    assert detail == FailureDetail(errno=errno.EXDEV)


def test_times_of_day_are_not_scrubbed_as_addresses() -> None:
    assert unknown_failure("at 12:30:05 it broke, version 1.2") == "unknown_failure: at 12:30:05 it broke, version 1.2"


def test_verify_codes_are_those_of_the_reference() -> None:
    assert VERIFY_FAILURES[20] == Failure.SSL_UNKNOWN_AUTHORITY
    assert VERIFY_FAILURES[62] == VERIFY_FAILURES[64] == Failure.SSL_INVALID_HOSTNAME
    assert VERIFY_FAILURES[10] == Failure.SSL_INVALID_CERTIFICATE


def test_local_faults_are_never_given_for_what_a_peer_does() -> None:
    assert not {failure for _, failure, _ in CLASS_FAILURES} & LOCAL_FAULTS
