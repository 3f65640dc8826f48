"""What a server, or a box on the line before it, does to a connection in place of letting it through."""

import contextlib
import ctypes
import socket
import struct
from enum import Enum, auto
from typing import Final

from monitor.lab.places import CONTROL_SOURCE
from monitor.lab.wire import Wire, speaks_tls

_SO_ATTACH_FILTER: Final = 26
_SO_DETACH_FILTER: Final = 27
_LOAD_WORD, _JUMP_EQUAL, _RETURN = 0x20, 0x15, 0x06
_NETWORK_HEADER: Final = 0xFFF00000  # SKF_NET_OFF: offsets from here count from the IP header
_SOURCE_ADDRESS: Final = _NETWORK_HEADER + 12
_WHOLE_PACKET: Final = 0x40000


class Cut(Enum):
    """Interference with a connection."""

    REFUSE = auto()  # RST to the SYN: nothing listens (for everybody; a socket cannot tell whom to refuse)
    DROP = auto()  # SYNs vanish
    RESET = auto()  # RST after the first flight
    FIN = auto()  # clean end after the first flight
    SILENCE = auto()  # nothing after the first flight
    ALERT = auto()  # TLS alert handshake_failure
    UNRECOGNIZED_NAME = auto()  # TLS alert unrecognized_name
    CLEARTEXT = auto()  # an HTTP answer where TLS was spoken
    PAGE = auto()  # the block page in place of the site, in cleartext only
    SUBSTITUTE = auto()  # TLS ended by the box, with a certificate of an authority that nobody trusts


async def carry_out(cut: Cut, wire: Wire) -> None:
    """Do `cut` to a connection whose first flight is read but unconsumed. Raises OSError if the client breaks off."""
    match cut:
        case Cut.RESET:
            wire.reset()
            return
        case Cut.ALERT:
            await wire.send(b"\x15\x03\x03\x00\x02\x02\x28")
        case Cut.UNRECOGNIZED_NAME:
            await wire.send(b"\x15\x03\x03\x00\x02\x02\x70")
        case Cut.CLEARTEXT:
            await wire.send(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        case Cut.SILENCE:
            await wire.ignore()
        case _:
            pass
    await wire.finish()


def ends_here(cut: Cut, first_flight: bytes) -> bool:
    """Tell whether `cut` ends a connection that starts so, or lets it go on to some page or certificate."""
    if cut in {Cut.ALERT, Cut.UNRECOGNIZED_NAME, Cut.CLEARTEXT}:
        return speaks_tls(first_flight)
    return cut in {Cut.RESET, Cut.FIN, Cut.SILENCE}


def drop_syns(listener: socket.socket, *, spare_control: bool) -> None:
    """Make the kernel throw away what reaches `listener`, so that a connection attempt meets silence.

    A classic BPF filter needs no privilege on most kernels (socket(7), SO_ATTACH_FILTER); raises PermissionError on
    the others. `spare_control` lets the control through.
    """
    control = int.from_bytes(socket.inet_aton(CONTROL_SOURCE))
    instructions = [
        (_LOAD_WORD | 0x00, 0, 0, _SOURCE_ADDRESS),
        (_JUMP_EQUAL, 0, 1, control if spare_control else 0),
        (_RETURN, 0, 0, _WHOLE_PACKET),
        (_RETURN, 0, 0, 0),
    ]
    program = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *line) for line in instructions))
    listener.setsockopt(
        socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("HP", len(instructions), ctypes.addressof(program))
    )


def let_syns_through(listener: socket.socket) -> None:
    """Take back `drop_syns`."""
    with contextlib.suppress(FileNotFoundError):  # there was none
        listener.setsockopt(socket.SOL_SOCKET, _SO_DETACH_FILTER, 0)
