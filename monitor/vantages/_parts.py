"""What every kind of vantage is built from."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from monitor.config.schema import SanityConfig
from monitor.model.identifier import MeasurementIds
from monitor.model.measurement import Limits, RunContext
from monitor.model.seams import Clock, Ledger
from monitor.network.certificates import TrustStore


@dataclass(frozen=True, kw_only=True)
class Parts:
    """Handed to `build` of a vantage module by the composition root."""

    clock: Clock
    trust: TrustStore
    ids: MeasurementIds
    context: Callable[[], RunContext]  # of a measurement that starts now
    sanity: SanityConfig
    limits: Limits
    allowed_bogons: tuple[str, ...]
    cleartext_user_agent: str
    geo_database: Path | None
    is_guarded: bool = False  # refuse addresses that are not public, whoever asks
    ledger: Ledger | None = None  # None: what is spent of a service's quota is forgotten with the process
    ports: frozenset[int] | None = None  # of a guarded one: refuse any other; None: any
    private_words: frozenset[str] = frozenset()  # names and addresses that give the host away, never kept
