"""What one measurement collects: when it began, its observations, and the raw material behind them."""

import hashlib
import ipaddress
from functools import lru_cache
from typing import Final

from msgspec.structs import replace

from monitor.model.measurement import Evidence
from monitor.model.observation import DnsAnswer, DnsObservation, Observation
from monitor.model.seams import Clock
from monitor.network.received import SCRUBBED, printable, scrub, scrub_packed, scrub_text

_EVIDENCE_LIMIT: Final = 256  # pieces; a deep run of ten hops keeps about a hundred


class Recorder:
    """Collects in order; times are seconds since it was made, to the microsecond.

    `own_addresses` grows with the local addresses that sockets turn out to have; none of them is ever kept.
    """

    __slots__ = ("_boottime", "_clock", "_origin", "_words", "evidence", "observations", "own_addresses")

    def __init__(
        self, clock: Clock, own_addresses: frozenset[str] = frozenset(), private_words: frozenset[str] = frozenset()
    ) -> None:
        self._clock = clock
        self._origin = clock.monotonic()
        self._boottime = clock.boottime()
        self.observations: list[Observation] = []
        self.evidence: dict[str, Evidence] = {}
        self.own_addresses = own_addresses
        self._words = private_words

    def elapsed(self) -> float:
        """Return seconds since the start."""
        return round(self._clock.monotonic() - self._origin, 6)

    def suspended_seconds(self) -> float:
        """Return how long the host was suspended since the start."""
        return (self._clock.boottime() - self._boottime) - (self._clock.monotonic() - self._origin)

    def add(self, observation: Observation) -> None:
        """Take an observation; an answer that names the vantage itself is blotted out."""
        if isinstance(observation, DnsObservation) and not self.own_addresses.isdisjoint(observation.addresses):
            observation = replace(observation, answers=tuple(map(self._without_own, observation.answers)))
        self.observations.append(observation)

    def saw_local(self, address: str | None) -> None:
        """Remember the local address of a connection as one never to keep; loopback gives nobody away."""
        if address and address not in self.own_addresses and not _is_loopback(address):
            self.own_addresses |= {address.partition("%")[0]}

    def keep(self, kind: str, content: bytes) -> str:
        """Keep raw material once, scrubbed; return its SHA-256 in hex."""
        if self.own_addresses and kind == "dns_reply":
            content = scrub_packed(content, self.own_addresses)
        elif (self.own_addresses or self._words) and kind in {"http_response", "proxy_reply"}:
            content = scrub(content, self.own_addresses | self._words)
        sha256 = hashlib.sha256(content).hexdigest()
        if sha256 not in self.evidence and len(self.evidence) < _EVIDENCE_LIMIT:
            self.evidence[sha256] = Evidence(sha256=sha256, kind=kind, content=content)
        return sha256

    def _without_own(self, answer: DnsAnswer) -> DnsAnswer:
        return DnsAnswer(answer.type, SCRUBBED) if answer.value in self.own_addresses else answer

    def text(self, received: bytes | str, limit: int) -> str:
        """Return received text that is safe to keep: printable, bounded, scrubbed."""
        return scrub_text(printable(received, limit), self.own_addresses | self._words)


@lru_cache(maxsize=256)
def _is_loopback(address: str) -> bool:
    return ipaddress.ip_address(address).is_loopback
