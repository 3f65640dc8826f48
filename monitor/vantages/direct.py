"""A vantage on this host: the kind that equals being there. Another interface, address or namespace is another line."""

from monitor.config.schema import DirectOptions, VantageConfig
from monitor.network.guard import GuardedNetwork
from monitor.network.local import LocalNetwork
from monitor.network.nameservers import nameservers
from monitor.network.namespace import NetworkNamespace
from monitor.vantages._here import HereVantage
from monitor.vantages._parts import Parts


def build(name: str, config: VantageConfig, parts: Parts) -> "DirectVantage":
    """Build the vantage on this host, through the source address, interface and namespace that `config` names."""
    if not isinstance(config, DirectOptions):
        raise TypeError(type(config))
    return DirectVantage(name, config, parts)


class DirectVantage(HereVantage):
    """Satisfies `Vantage`: measures on a line of this host."""

    def __init__(self, name: str, options: DirectOptions, parts: Parts) -> None:
        self._namespace = NetworkNamespace(options.netns) if options.netns else None
        servers = self._namespace.nameservers if self._namespace else nameservers
        local = LocalNetwork(options.source_address, options.interface, self._namespace)
        guarded = GuardedNetwork(local, parts.allowed_bogons, [address for address, _ in servers()], parts.ports)
        super().__init__(name, options, parts, guarded if parts.is_guarded else local, servers=servers)

    async def close(self) -> None:
        """End the thread that enters the namespace."""
        if self._namespace is not None:
            self._namespace.close()
