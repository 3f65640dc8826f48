"""Where an address is registered; the machine behind it may stand elsewhere."""

import msgspec


class Place(msgspec.Struct, frozen=True, order=True):
    """Country (ISO 3166-1 alpha-2) and AS number; what is not known is empty or 0."""

    country: str = ""
    asn: int = 0
