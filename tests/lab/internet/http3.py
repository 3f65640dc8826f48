"""HTTP/3 (RFC 9114) at the origin: the same pages as over TCP, through aioquic."""

import socket
from typing import Any, Final

from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.asyncio.server import QuicServer
from aioquic.h3.connection import H3_ALPN, H3Connection
from aioquic.h3.events import H3Event, HeadersReceived
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.events import ProtocolNegotiated, QuicEvent

from monitor.lab.pages import Answerer, Asked

_EVERYTHING: Final = 1 << 20


def configuration(chain: str, key: str) -> QuicConfiguration:
    """Return the server's side with the certificates and the key of two PEM files."""
    made = QuicConfiguration(alpn_protocols=H3_ALPN, is_client=False)
    made.load_cert_chain(chain, key)
    return made


def protocol(configured: QuicConfiguration, answerer: Answerer, address: str) -> QuicServer:
    """Return what answers on one UDP socket."""

    def conversation(*arguments: Any, **options: Any) -> _Conversation:
        return _Conversation(answerer, address, *arguments, **options)

    return QuicServer(configuration=configured, create_protocol=conversation)


class _Conversation(QuicConnectionProtocol):
    """One connection; every request is answered from its headers alone."""

    def __init__(self, answerer: Answerer, address: str, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._answerer = answerer
        self._address = address
        self._http: H3Connection | None = None

    def quic_event_received(self, event: QuicEvent) -> None:
        if isinstance(event, ProtocolNegotiated):
            self._http = H3Connection(self._quic)
        for received in self._http.handle_event(event) if self._http else ():
            self._answer(received)

    def _answer(self, event: H3Event) -> None:
        if not isinstance(event, HeadersReceived) or self._http is None:
            return
        fields = {name.decode(): value.decode() for name, value in event.headers}
        page = self._answerer(
            Asked(
                fields[":method"], fields[":path"], fields.get(":authority", "").rsplit(":", 1)[0].lower(),
                "", self._address, fields, is_tls=True,
            )
        )  # fmt: skip
        headers = [(name.lower().encode(), value.encode()) for name, value in page.headers]
        self._http.send_headers(event.stream_id, [(b":status", str(page.status).encode()), *headers])
        self._http.send_data(event.stream_id, page.body[:_EVERYTHING], end_stream=True)
        self.transmit()


def bound(address: str) -> socket.socket:
    """Return a UDP socket on port 443 of the namespace this thread is in."""
    opened = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
    opened.setblocking(False)
    opened.bind((address, 443))
    return opened
