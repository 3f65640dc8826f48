"""Counts that OONI publishes: its own conclusions, and never verdicts of ours."""

from datetime import datetime

import msgspec


class OoniCount(msgspec.Struct, frozen=True, kw_only=True):
    """One day of one test for one domain in one network (asn 0: all or unknown), as OONI counts it."""

    day: datetime  # its first instant, UTC
    country: str
    asn: int
    domain: str
    test: str
    measurements: int
    ok: int
    anomaly: int
    confirmed: int
    failure: int
