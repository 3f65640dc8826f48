"""What a probe needs besides the request and a network."""

from collections.abc import Callable
from dataclasses import dataclass

from monitor.model.identifier import MeasurementIds
from monitor.model.measurement import RunContext
from monitor.model.seams import Clock
from monitor.network.certificates import TrustStore
from monitor.network.nameservers import Endpoint, nameservers


@dataclass(frozen=True, kw_only=True)
class Toolbox:
    """Shared by all measurements of a vantage; `own_addresses` are scrubbed from whatever is kept."""

    clock: Clock
    trust: TrustStore
    ids: MeasurementIds
    context: RunContext
    vantage: str
    own_addresses: frozenset[str] = frozenset()
    private_words: frozenset[str] = (
        frozenset()
    )  # scrubbed from text and pages alone: no answer of a resolver is touched
    nameservers: Callable[[], tuple[Endpoint, ...]] = nameservers  # of the system
    by_name: bool = False  # the network is asked for names, and looks them up itself
