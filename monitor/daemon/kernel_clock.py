"""What the kernel believes about the clock: how far off, and whether anything keeps it right (adjtimex(2))."""

import ctypes
from typing import Final

_STA_UNSYNC: Final = 0x0040
_STA_NANO: Final = 0x2000


class _Timex(ctypes.Structure):
    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_long * 32),  # fields not read here, and room for more
    )


def clock_offset() -> tuple[float | None, str]:
    """Return (seconds off as the kernel estimates, source): `kernel_ntp`, or `unsynchronised` with None.

    Rounded to 0.1 s, since it is part of a run context that many measurements share.
    """
    timex = _Timex()
    try:
        state = ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.byref(timex))
    except (OSError, AttributeError):  # another C library
        return None, "unknown"
    if state < 0:  # a sandbox that forbids the call
        return None, "unknown"
    if timex.status & _STA_UNSYNC:
        return None, "unsynchronised"
    scale = 1e9 if timex.status & _STA_NANO else 1e6
    return round(timex.offset / scale, 1), "kernel_ntp"
