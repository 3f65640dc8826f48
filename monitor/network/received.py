"""What was received, made safe to keep: bounded, printable, and without the vantage's own addresses."""

import base64
import ipaddress
import re
from functools import lru_cache
from typing import Final

SCRUBBED: Final = "[scrubbed]"


def printable(received: bytes | str, limit: int) -> str:
    """Return at most `limit` characters on one line: UTF-8 where it is, whitespace collapsed, the rest replaced."""
    text = received[: limit * 8].decode(errors="replace") if isinstance(received, bytes) else received[: limit * 8]
    if not text.isprintable():
        text = "".join(character if character.isprintable() or character.isspace() else "\ufffd" for character in text)
    return " ".join(text.split())[:limit]


def scrub(content: bytes, own_addresses: frozenset[str]) -> bytes:
    """Replace every spelling of the vantage's own addresses and names in `content`."""
    for address in own_addresses:
        for spelling in _spellings(address):
            # A plain search first: nearly always there is nothing to replace.
            if spelling.search(content):
                content = spelling.sub(SCRUBBED.encode(), content)
    return content


# An address in text, unless it is the host of a URL or part of a longer word.
_ADDRESS: Final = re.compile(
    r"(?<!//)(?<!//\[)(?<![\w.:])(?:\d{1,3}(?:\.\d{1,3}){3}|(?:[0-9a-fA-F]{0,4}:){2,7}(?:[0-9a-fA-F]{0,4}|\d{1,3}(?:\.\d{1,3}){3}))(?![\w:])"
)


def without_addresses(text: str) -> str:
    """Replace every address but the hosts of URLs, where the vantage's own is not known."""
    return _ADDRESS.sub(_scrubbed, text)


def _scrubbed(found: re.Match[str]) -> str:
    try:
        ipaddress.ip_address(found[0])
    except ValueError:
        return found[0]
    return SCRUBBED


def scrub_text(text: str, own_addresses: frozenset[str]) -> str:
    """Replace every spelling of the vantage's own addresses in `text`."""
    return scrub(text.encode(), own_addresses).decode() if own_addresses else text


def scrub_packed(message: bytes, own_addresses: frozenset[str]) -> bytes:
    """Zero the vantage's own addresses in a binary message (A and AAAA records, client subnets)."""
    for address in own_addresses:
        packed = ipaddress.ip_address(address).packed
        message = message.replace(packed, bytes(len(packed)))
    return message


@lru_cache(maxsize=256)
def _spellings(address: str) -> tuple[re.Pattern[bytes], ...]:
    """Return patterns for the ways an address is written; each starts with a literal, which `re` searches fast.

    A name is written in one way.
    """
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return (re.compile(re.escape(address.encode()), re.IGNORECASE),)
    texts = {str(ip), ip.exploded, ip.reverse_pointer}
    if isinstance(ip, ipaddress.IPv4Address):
        high, low = ip.packed[:2].hex(), ip.packed[2:].hex()
        texts |= {f"::ffff:{int(high, 16):x}:{int(low, 16):x}", ".".join(reversed(str(ip).split("."))), ip.packed.hex()}
        texts.add(str(ip).replace(".", "-"))
    else:
        texts |= {ip.packed.hex(), ":".join(f"{int(group, 16):x}" for group in ip.exploded.split(":"))}
    texts |= {text.replace(":", "%3A") for text in texts} | {str(ip).replace(".", "%2E")}
    plain = [re.compile(re.escape(text.encode()), re.IGNORECASE) for text in sorted(texts, key=len, reverse=True)]
    return (*plain, *(re.compile(re.escape(form)) for form in _base64_forms(str(ip).encode())))


def _base64_forms(raw: bytes) -> tuple[bytes, ...]:
    """Return what `raw` looks like inside base64 at each of its three alignments, without the shared edges."""
    forms = []
    for lead in range(3):
        encoded = base64.b64encode(bytes(lead) + raw)
        start = -(-lead * 8 // 6)
        forms.append(encoded[start : (lead + len(raw)) * 8 // 6])
    return tuple(forms)
