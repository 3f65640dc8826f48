"""How a target is measured: plug-ins, one module per kind; the word in probes.yaml is the module's name."""

from typing import Protocol, cast

from monitor.model import plugin
from monitor.model.measurement import Recording, Request
from monitor.model.seams import Network
from monitor.model.vantage import NetworkIdentity
from monitor.network.toolbox import Toolbox


class Probe(Protocol):
    """What each module of this package offers."""

    async def measure(
        self, request: Request, network: Network, toolbox: Toolbox, identity: NetworkIdentity = ...
    ) -> Recording:
        """Measure one target; failures of the network are observations, only our own mistakes raise."""
        ...


def load(kind: str) -> Probe:
    """Return the probe that `kind` names; raises UnknownKindError listing the known kinds."""
    return cast("Probe", plugin.load(__name__, kind))
